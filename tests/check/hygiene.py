# SPDX-License-Identifier: Apache-2.0
"""Small rules over all files: licence lines, no machine paths, no registry hosts, no scratch files; long files
are named."""

import os
import re
from typing import List

import source

# Spelled in pieces, or this file would break its own rule.
MACHINE_PATH = re.compile(r'(?<![\w.$}/~-])/(?:' + '|'.join(('wo' 'rk', 'ro' 'ot', 'ho' 'me')) + r')/[\w.]')
HOSTS = ['.'.join(parts) for parts in (
    ('deb', 'debian', 'org'), ('security', 'debian', 'org'), ('snapshot', 'debian', 'org'),
    ('archive', 'ubuntu', 'com'), ('pypi', 'org'), ('files', 'pythonhosted', 'org'),
    ('registry', 'npmjs', 'org'), ('crates', 'io'), ('proxy', 'golang', 'org'),
    ('repo1', 'maven', 'org'), ('repo', 'maven', 'apache', 'org'), ('deb', 'nodesource', 'com'))]
LICENCED = re.compile(r'(\.(c|h|py|ts|js|css|sh|service)|/SConscript|SConstruct)$')
SPDX = 'SPDX-License-Identifier: Apache-2.0'
LONG = 500


def check_file(path: str, text: str) -> List[source.Problem]:
    """Problems of one text file."""
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if MACHINE_PATH.search(line):
            problems.append((path, number, 'a path of one machine: ' + line.strip()[:120]))
        for host in HOSTS:
            if re.search(r'(?<![\w.-])%s(?![\w-])' % re.escape(host), line):
                problems.append((path, number, 'a registry host: ' + host))
    script = text.startswith('#!')
    if LICENCED.search(path) or script:
        if SPDX not in '\n'.join(text.split('\n')[:2 if script else 1]):
            problems.append((path, 1, 'the first line is not ' + SPDX))
    return problems


def _exempt(path: str) -> bool:
    """Data whose bytes are the test."""
    return '/corpus/' in path or path.startswith('tests/data/')


def check(root: str) -> List[source.Problem]:
    """Problems of the whole tree."""
    problems = []
    for path in source.tracked(root):
        if not _exempt(path) and source.is_text(root, path):
            problems += check_file(path, source.read(root, path))
    return problems


def notes(root: str) -> List[str]:
    """C files that probably tell two stories. Not an error: some tables are long."""
    found = []
    for path in source.tracked(root):
        if path.endswith('.c') and not path.startswith('tests/'):
            lines = source.read(root, path).count('\n')
            if lines > LONG:
                found.append('%s has %d lines; over %d it is usually two stories' % (path, lines, LONG))
    return found


_OK = '/* %s */\n' % SPDX
SELF_TEST = [
    ('a.c', _OK + 'open("/' + 'work/main/x");', True),
    ('a.c', _OK + 'open("/' + 'root/.pyenv");', True),
    ('a.c', _OK + 'url = "/api/v1/' + 'work/x";', False),
    ('a.c', _OK + 'open("$HOME/' + 'root/x");', False),
    ('README.md', 'pip install from https://' + HOSTS[4] + '/simple', True),
    ('README.md', 'see x' + HOSTS[4], False),
    ('a.c', 'int x;', True),
    ('a.py', '#!/usr/bin/python3\n# ' + SPDX, False),
    ('run', '#!/bin/bash\nset -e', True),
    ('a.c', _OK, False),
]


def self_test() -> List[source.Problem]:
    """Problems of the rule itself."""
    return [(os.path.basename(__file__), 1, 'self-test: %r in %s is %s' % (
        text, path, 'not found' if violation else 'refused'))
            for path, text, violation in SELF_TEST if bool(check_file(path, text)) != violation]
