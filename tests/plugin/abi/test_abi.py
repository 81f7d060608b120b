# SPDX-License-Identifier: Apache-2.0
"""The contract's layout: golden text, growth only at the ends, abidiff against the baseline, HISTORY."""

import os
import re
import shutil
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import contract  # noqa: E402  (beside this file)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BUILT = os.path.join(os.environ.get('TENON_BUILD', os.path.join(ROOT, 'build/release')), 'tests/plugin/abi')
HEADERS = os.path.join(ROOT, 'kernel/abi/tenon')
HINT = 'if the change is meant, run tests/plugin/abi/update "why" and commit what it wrote'


def read(name: str) -> str:
    """A committed text file of this folder."""
    with open(os.path.join(HERE, name), encoding='utf-8') as f:
        return f.read()


def printed() -> str:
    """What the layout program of this build prints."""
    return subprocess.run([os.path.join(BUILT, 'abi_layout')], capture_output=True, text=True, check=True).stdout


def test_every_member_is_in_the_layout_program() -> None:
    """A new struct or member cannot be forgotten."""
    assert contract.include_text(HEADERS) == read('abi_layout.inc'), HINT
    assert len(contract.declared(HEADERS)) >= 44


def test_layout_is_the_golden_one() -> None:
    """Sizes and offsets of every struct, as committed."""
    assert printed() == read('layout.txt'), HINT


def test_released_layout_only_grows_at_the_ends() -> None:
    """A plugin of 1.0 finds everything where it was."""
    old, new = contract.parse(read('layout-1.0.txt')), contract.parse(printed())
    assert not contract.breaks(old, new)
    assert not contract.fixed_breaks(old, new)


def test_the_comparison_can_fail() -> None:
    """Planted changes are found."""
    old = contract.parse('s size 16\n  a 0 8\n  b 8 8\ntn_val size 16\n')
    assert not contract.breaks(old, contract.parse('s size 24\n  a 0 8\n  b 8 8\n  c 16 8\ntn_val size 16\n'))
    for bad in ('tn_val size 16\n',
                's size 16\n  b 0 8\n  a 8 8\ntn_val size 16\n',
                's size 8\n  a 0 8\ntn_val size 16\n',
                's size 16\n  a 0 4\n  c 4 4\n  b 8 8\ntn_val size 16\n',
                's size 16\n  a 0 8\n  x 8 8\ntn_val size 16\n'):
        assert contract.breaks(old, contract.parse(bad)), bad
    assert contract.fixed_breaks(old, contract.parse('s size 16\ntn_val size 24\n'))


def test_minor_version_tells_of_growth() -> None:
    """What was appended since 1.0 needs a higher minor and a line in HISTORY."""
    with open(os.path.join(HEADERS, 'types.h'), encoding='utf-8') as f:
        text = f.read()
    major, minor = (int(re.search(r'#define TN_ABI_%s\s+(\d+)' % n, text).group(1)) for n in ('MAJOR', 'MINOR'))
    history = re.findall(r'^(\d+)\.(\d+)  \S', read('HISTORY'), re.M)
    assert history and history[-1] == (str(major), str(minor)), 'HISTORY ends with another version'
    if read('layout.txt') != read('layout-1.0.txt'):
        assert (major, minor) > (1, 0)


def test_frozen_headers_are_those_of_the_release() -> None:
    """Until 1.0 is tagged they follow the contract; afterwards only the minor may run ahead."""
    old = os.path.join(HERE, 'frozen-1.0/tenon')
    assert sorted(n for n in os.listdir(old) if n.endswith('.h')) == sorted(n for n in os.listdir(HEADERS) if n.endswith('.h'))
    layout = contract.parse(read('layout-1.0.txt'))
    for name, members in contract.declared(old):
        assert list(layout[name][1]) == members, name


def test_abidiff_against_the_baseline(tmp_path) -> None:
    """libabigail sees signatures and types too, not only offsets."""
    if not shutil.which('abidiff'):
        pytest.skip('abidiff is not installed (Debian: abigail-tools)')
    run = subprocess.run(['abidiff', '--no-added-syms', '--no-architecture', os.path.join(HERE, 'contract.abixml'),
                          os.path.join(BUILT, 'abi_surface.so')], capture_output=True, text=True, check=False)
    assert run.returncode == 0, '%s\n%s%s' % (HINT, run.stdout, run.stderr)


def test_abidiff_can_fail(tmp_path) -> None:
    """A member of another type at the same place changes no offset; abidiff must see it."""
    if not shutil.which('abidiff'):
        pytest.skip('abidiff is not installed (Debian: abigail-tools)')
    changed = tmp_path / 'tenon'
    shutil.copytree(HEADERS, changed)
    text = (changed / 'connector.h').read_text()
    assert 'void (*cancel)(void *inst, void *conn);' in text
    (changed / 'connector.h').write_text(text.replace(
        'void (*cancel)(void *inst, void *conn);', 'tn_rc (*cancel)(void *inst, void *conn);'))
    lib = str(tmp_path / 'surface.so')
    subprocess.run(['gcc', '-std=c11', '-g', '-O0', '-shared', '-fPIC', '-I', str(tmp_path), '-o', lib,
                    os.path.join(HERE, 'abi_surface.c')], check=True)
    run = subprocess.run(['abidiff', os.path.join(HERE, 'contract.abixml'), lib],
                         capture_output=True, text=True, check=False)
    assert run.returncode != 0 and 'cancel' in run.stdout
