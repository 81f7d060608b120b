# SPDX-License-Identifier: Apache-2.0
"""tenon-plugin-check: passes what keeps the contract, names what does not."""

import os
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BUILD = os.environ.get('TENON_BUILD', os.path.join(ROOT, 'build/release'))
TESTS = os.path.join(BUILD, 'tests/plugin/abi')


def check(path, *args):
    """Exit code and output of the tool; a sanitizer report counts as output too."""
    # a plugin that is meant to crash shall do so by the signal, not by a report
    env = dict(os.environ, ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':handle_segv=0')
    run = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), path, *args],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150, check=False,
                         env=env)
    assert 'Sanitizer' not in run.stdout and 'runtime error' not in run.stdout, run.stdout
    return run.returncode, run.stdout


def test_mem_keeps_the_contract():
    """The tutorial connector, with results of every shape."""
    code, out = check(os.path.join(BUILD, 'plugins/connector_mem.so'), '--config', 'rows_max=10',
                      '--call', 'values', '--call', 'table=[5]', '--call', 'table=[0]',
                      '--call', 'put=["k","v"]', '--call', 'get=["k"]', '--call', 'get=["absent"]',
                      '--call', 'sleep=[1]')
    assert code == 0, out
    assert 'pass  emit() of table() into a sink that fails at call 2' in out
    assert ' 0 failed, 0 skipped' in out


def test_mem_with_wrong_settings():
    """Configuration mistakes are told like those of a file."""
    mem = os.path.join(BUILD, 'plugins/connector_mem.so')
    code, out = check(mem, '--config', 'rows_may=1', '--config', 'rows_max=x')
    assert code == 1
    assert 'rows_may: unknown setting; did you mean "rows_max"?' in out
    assert 'rows_max: "x" is not a whole number' in out
    code, out = check(mem, '--config', 'password=wrong')
    assert code == 1
    assert 'FAIL  open() within 10 s: TN_E_DENIED: wrong password' in out
    code, out = check(mem, '--config', 'rows_max=3', '--call', 'table=[4]', '--call', 'nothing')
    assert code == 1
    assert 'FAIL  table([4]): TN_E_LIMIT: 4 rows are more than rows_max = 3' in out
    assert 'FAIL  nothing(): no such method' in out


def test_frozen_plugin_still_works():
    """Built from the headers of 1.0, used by today's kernel."""
    code, out = check(os.path.join(TESTS, 'frozen-1.0.so'), '--call', 'hello')
    assert code == 0, out


@pytest.mark.parametrize('case, says', [
    ('twin_a', ['FAIL  open() with a deadline in the past: succeeds',
                'FAIL  invoke() of a method id that is in no table: succeeds',
                'FAIL  emit() of m(): the description holds no result']),
    ('load_fails', ['FAIL  load(): connector unloadable (', 'the library says no']),
    ('ctor_crashes', ['FAIL  the file opens and its descriptor keeps the contract: crashes (signal 11)']),
    ('ctor_exits', ['FAIL  the file opens and its descriptor keeps the contract: ends the process with status 0']),
    ('wrong_magic', ['magic is 0x464c457f, expected 0x31304e54']),
])
def test_broken_plugins_fail(case, says):
    """Each breach has its line."""
    code, out = check(os.path.join(TESTS, 'hostile', case + '.so'), '--call', 'm')
    assert code == 1, out
    for text in says:
        assert text in out


def test_usage():
    """Wrong use is exit code 2, not a failed check."""
    assert check('/nonexistent.so')[0] == 2
    assert check(os.path.join(TESTS, 'frozen-1.0.so'), '--config', 'novalue')[0] == 2
