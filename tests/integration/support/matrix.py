# SPDX-License-Identifier: Apache-2.0
"""The table in connectors/README.md: its rows are made of what the tests of a connector proved in this run.

A test says with `@shows(column, what)` what it proves when it passes; with `param=` that is the value of a parameter of
the test. The last test of the file compares the row with the README; TENON_WRITE_TABLE=1 writes it there instead.
"""

import os
import re
from typing import Any, Dict, List, Tuple

import pytest

from .client import Client
from .connectors import on
from .server import ROOT

README = os.path.join(ROOT, 'connectors/README.md')
COLUMNS = ('type', 'client library', 'server in the tests', 'methods', 'TLS', 'streaming', 'faults')


def shows(column: str, *what: str, param: str = '') -> Any:
    """Marks a test: when it passes, these words stand in this column."""
    return pytest.mark.shows(column, what, param)


class Matrix:
    """What the tests of one file proved; filled by the hook in conftest.py."""

    def __init__(self) -> None:
        self.proved: Dict[str, List[Tuple[str, str]]] = {}
        self.incomplete: Dict[str, str] = {}

    def take(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """A test has ended."""
        file = os.path.basename(str(item.fspath))
        marks = list(item.iter_markers('shows'))
        if marks and not report.passed:
            self.incomplete[file] = item.name
        for mark in marks if report.when == 'call' and report.passed else ():
            column, what, param = mark.args
            words = (str(item.callspec.params[param]),) if param else what  # type: ignore[attr-defined]
            self.proved.setdefault(file, []).extend((column, w.replace('_', ' ')) for w in words)

    def row(self, request: pytest.FixtureRequest, type_: str, library: str, server: str, methods: List[str]) -> str:
        """The row of a type as Markdown."""
        file = os.path.basename(str(request.fspath))
        if file in self.incomplete:
            pytest.skip('%s has not passed: there is no whole row to compare' % self.incomplete[file])
        words: Dict[str, List[str]] = {}
        for column, word in self.proved.get(file, []):
            if word not in words.setdefault(column, []):
                words[column].append(word)
        cells = [type_, library, server, ' '.join('`%s`' % m for m in methods)]
        cells += [', '.join(words.get(c, [])) or '–' for c in COLUMNS[4:]]
        return '| %s |' % ' | '.join(cells)


def check_row(request: pytest.FixtureRequest, api: Client, cid: str, type_: str, library: str, server: str) -> None:
    """The README's row of this type says what the tests before this one have shown."""
    methods = on(api, cid, "return sorted(m for m in dir(c) if m[0] != '_' and callable(getattr(c, m)))")
    row = request.config.stash[MATRIX].row(request, type_, library, server, methods)
    with open(README, encoding='utf-8') as f:
        text = f.read()
    found = re.search(r'^\| %s \|.*\|$' % re.escape(type_), text, re.M)
    if os.environ.get('TENON_WRITE_TABLE') == '1':
        if found:
            text = text[:found.start()] + row + text[found.end():]
        else:
            last = list(re.finditer(r'^\|.*\|$', text.split('<!-- rows end -->')[0], re.M))[-1]
            text = text[:last.end()] + '\n' + row + text[last.end():]
        with open(README, 'w', encoding='utf-8') as f:
            f.write(text)
    else:
        assert found and found.group() == row, \
            'connectors/README.md is not what was tested; run this file with TENON_WRITE_TABLE=1\n' + row


MATRIX = pytest.StashKey[Matrix]()
