# SPDX-License-Identifier: Apache-2.0
"""What came out: counting, and telling it to a person who watches and to one who reads the log later."""

import os
import re
import sys
import threading
import time
from typing import List, NamedTuple

TAIL = 60  # lines of a failing log that are shown
REPORT = re.compile(r'ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|: runtime error: ')


class Case(NamedTuple):
    """One test. status: passed, failed or skipped; text: why, or where the log is."""
    name: str
    status: str
    text: str = ''


class Results:
    """Collects cases; prints a line a group, the reason of every skip, the end of every failing log."""

    def __init__(self, logs: str) -> None:
        self.logs = logs
        self.cases: List[Case] = []
        self.lock = threading.Lock()
        os.makedirs(logs, exist_ok=True)

    def log_path(self, name: str) -> str:
        """Where the output of `name` goes."""
        return os.path.join(self.logs, name.replace('/', '.').replace(os.sep, '.') + '.log')

    def add(self, group: str, cases: List[Case], seconds: float, log: str = '') -> None:
        """Records the cases of one group (a program, a rule, a pytest run) and prints them."""
        with self.lock:  # programs run two at a time
            self._add(group, cases, seconds, log)

    def _add(self, group: str, cases: List[Case], seconds: float, log: str) -> None:
        self.cases += cases
        count = {s: sum(c.status == s for c in cases) for s in ('passed', 'failed', 'skipped')}
        words = ', '.join('%d %s' % (n, s) for s, n in count.items() if n)
        print('%-4s %s: %s (%.1f s)' % ('FAIL' if count['failed'] else 'ok', group, words or 'nothing to do',
                                        seconds), flush=True)
        for case in cases:
            if case.status == 'skipped':
                print('     skip %s: %s' % (case.name, case.text or 'no reason given'))
            elif case.status == 'failed':
                print('     FAIL %s%s' % (case.name, ': ' + case.text if case.text else ''))
        if count['failed'] and log:
            self._tail(log)
        sys.stdout.flush()

    @staticmethod
    def _tail(log: str) -> None:
        with open(log, encoding='utf-8', errors='replace') as f:
            lines = f.read().splitlines()
        # of a sanitizer report the beginning tells something, of everything else the end
        first = next((i for i, line in enumerate(lines) if REPORT.search(line)), None)
        print('     --- %s %s' % ('the end of' if first is None else 'from', os.path.relpath(log)))
        for line in lines[-TAIL:] if first is None else lines[first:first + TAIL // 2]:
            print('     | ' + line[:400])

    def close(self) -> int:
        """Repeats the failures, prints the closing line, returns the exit code."""
        count = {s: sum(c.status == s for c in self.cases) for s in ('passed', 'failed', 'skipped')}
        for case in self.cases:
            if case.status == 'failed':
                print('failed: ' + case.name)
        if not self.cases:
            print('no test matches')
        print('%(passed)d passed, %(failed)d failed, %(skipped)d skipped' % count, flush=True)
        return 1 if count['failed'] or not count['passed'] + count['skipped'] else 0


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self.start
