# SPDX-License-Identifier: Apache-2.0
"""The format of C files, as packaging/scons/fmt decides; passed over where clang-format 14 is not installed."""

import os
import subprocess
import tempfile
from typing import List

import source

FMT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../packaging/scons/fmt')
MISSING = 2  # its exit code without the tool
LINE = ' is not formatted'


def _differ(*args: str) -> List[str]:
    """Names of the files that differ."""
    run = subprocess.run([FMT, '--check', *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode == MISSING:
        return []
    found = [line[:-len(LINE)] for line in run.stdout.splitlines() if line.endswith(LINE)]
    return found if found or run.returncode == 0 else ['packaging/scons/fmt: ' + run.stdout.strip()]


def check(root: str) -> List[source.Problem]:
    """Problems of the whole tree."""
    return [(path, 1, 'is not formatted; `scons fmt` does it') for path in _differ()]


def self_test() -> List[source.Problem]:
    """A planted file is found where there is a tool to find it."""
    with tempfile.TemporaryDirectory() as folder:
        wrong, right = os.path.join(folder, 'wrong.c'), os.path.join(folder, 'right.c')
        for path, text in ((wrong, 'int  a ;\n'), (right, 'int a;\n')):
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text)
        there = subprocess.run([FMT, '--check', right], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode != MISSING
        found = _differ(wrong, right)
    return [] if found == ([wrong] if there else []) else [(__file__, 1, 'of wrong.c and right.c it names %r' % found)]
