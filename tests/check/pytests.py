# SPDX-License-Identifier: Apache-2.0
"""Running pytest folders and reading what came out from the JUnit file."""

import glob
import os
import sys
import xml.etree.ElementTree as ElementTree
from typing import List

import programs
from results import Case, Results, Stopwatch

LIMIT = 30 * 60
LIMIT_LONG = 6 * 3600
PER_TEST = 180
MAX_FAILED = 30  # when nothing works any more, each test would wait for its own deadline


def _cases(path: str, prefix: str) -> List[Case]:
    cases = []
    for node in ElementTree.parse(path).getroot().iter('testcase'):
        name = '%s::%s' % (node.get('classname', '').replace('.', '/'), node.get('name'))
        bad = [n for kind in ('failure', 'error') for n in node.findall(kind)]
        skip = node.find('skipped')
        if bad:
            text = (bad[0].get('message') or '').strip().splitlines()
            cases.append(Case(prefix + name, 'failed', text[0][:200] if text else ''))
        elif skip is not None:
            cases.append(Case(prefix + name, 'skipped', (skip.get('message') or '').strip()))
        else:
            cases.append(Case(prefix + name, 'passed'))
    # a test that failed and whose teardown failed too stands there twice
    return list({c.name: c for c in sorted(cases, key=lambda c: c.status == 'failed')}.values())


def folders(root: str) -> List[str]:
    """Folders below tests/ with pytest files, except integration: plugin/<name>, unit/<area>, pyshim …"""
    found = {os.path.dirname(p) for p in glob.glob(os.path.join(root, 'tests/**/test_*.py'), recursive=True)}
    names = (os.path.relpath(p, os.path.join(root, 'tests')) for p in found)
    return sorted(n for n in names if n.split(os.sep)[0] not in ('integration', 'bench', 'data'))


def run(root: str, variant: str, folder: str, results: Results, pattern: str = '', long: bool = False,
        light: bool = False) -> None:
    """One folder of pytest files. Marks: `long` runs only when asked for; `heavy` (load, thousands of kills)
    is left out when `light`, which is how the sanitizer variants run."""
    top = os.path.join(root, 'tests', folder)
    files = sorted(glob.glob(os.path.join(top, 'test_*.py')) or
                   glob.glob(os.path.join(top, '**/test_*.py'), recursive=True))
    select: List[str] = []
    if pattern:
        named = [f for f in files if pattern in os.path.relpath(f, os.path.join(root, 'tests'))]
        if named:
            files = named
        else:
            select = ['-k', pattern]
    if not files:
        return
    marks = ' and '.join((['not long'] if not long else []) + (['not heavy'] if light else []))
    name = '%s.%s' % (variant, folder)
    log, watch = results.log_path(name), Stopwatch()
    junit = log[:-4] + '.xml'
    if os.path.exists(junit):
        os.unlink(junit)
    command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', '-q', '-ra', '--tb=short',
               '--rootdir', os.path.join(root, 'tests'), '-c', os.path.join(root, 'tests/check/pytest.ini'),
               '--durations=10', '--maxfail', str(MAX_FAILED), '--junitxml', junit, '--timeout', str(PER_TEST * (10 if long else 1))]
    command += (['-m', marks] if marks else []) + select + files
    limit = LIMIT_LONG if long else LIMIT
    group = '%s %s' % (variant, folder)
    code = programs.run_logged(command, root, programs.environment(root, variant), log, limit)
    if code == 5 and (select or marks):
        return  # nothing in this folder matches
    try:
        cases = _cases(junit, group + ' ')
    except (OSError, ElementTree.ParseError):
        cases = []
    if code != 0 and not any(c.status == 'failed' for c in cases):
        cases.append(Case(group, 'failed', 'pytest: ' + programs.ending(code, limit)))
    results.add(group, cases, watch(), log)
