#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tests that are already built, and ends with the line `N passed, N failed, N skipped`.

Suites: rules (the tree itself), unit, fuzz (corpora), plugin, python (pytest folders other than integration),
integration, fuzz-long (libFuzzer). `--full` is what tests/run does: everything in release, everything that is
not heavy in asan.
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True

import abi_headers
import hygiene
import includes
import programs
import pytests
from results import Case, Results, Stopwatch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RULES = {'includes': includes, 'hygiene': hygiene, 'abi_headers': abi_headers}
DEFAULT = ['unit', 'fuzz', 'plugin', 'python', 'integration']
SANITIZED = ('asan', 'tsan', 'fuzz')


def rules(results: Results, pattern: str) -> None:
    """Rules over the tree; each proves first that it finds what is planted."""
    for name, module in RULES.items():
        for part in ('self_test', 'check'):
            case = 'rules/%s::%s' % (name, part)
            if pattern and pattern not in case:
                continue
            watch = Stopwatch()
            problems = module.self_test() if part == 'self_test' else module.check(ROOT)
            text = ''.join('\n       %s:%d: %s' % p for p in problems)
            results.add(case, [Case(case, 'failed' if problems else 'passed', text)], watch())
    for note in hygiene.notes(ROOT):
        print('     note: ' + note)


def one(suite: str, variant: str, results: Results, args: argparse.Namespace) -> None:
    """One suite in one variant."""
    light = variant in SANITIZED
    if suite == 'rules':
        rules(results, args.pattern)
    elif suite in ('unit', 'plugin'):
        programs.run(ROOT, variant, suite, results, args.pattern, args.area, args.long)
    elif suite == 'fuzz':
        programs.fuzz(ROOT, variant, results, args.pattern)
    elif suite == 'fuzz-long':
        programs.fuzz(ROOT, variant, results, args.pattern, args.seconds)
    elif suite == 'python':
        for folder in pytests.folders(ROOT):
            pytests.run(ROOT, variant, folder, results, args.pattern, args.long, light)
    elif suite == 'integration':
        pytests.run(ROOT, variant, 'integration', results, args.pattern, args.long, light)


def main() -> int:
    """Parses the command line, runs, returns the exit code."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--variant', default='release')
    p.add_argument('--pattern', default='', help='only tests whose name contains this')
    p.add_argument('--area', default='', help='only this folder of tests/unit')
    p.add_argument('--long', action='store_true', help='with the tests marked long')
    p.add_argument('--seconds', type=int, default=60, help='fuzz-long: time for each target')
    p.add_argument('--full', action='store_true', help='the plan of tests/run')
    p.add_argument('suite', nargs='*', default=[],
                   choices=[[]] + ['rules', 'fuzz-long'] + DEFAULT, help='default: all but fuzz-long')
    args = p.parse_args()
    if args.long:
        os.environ['TENON_TEST_LONG'] = '1'  # tests with counts of their own take the large ones
    results = Results(os.path.join(ROOT, 'build/test-logs'))
    plan = [(s, args.variant) for s in args.suite or ['rules'] + DEFAULT]
    if args.full:
        plan = [('rules', 'release')] + [(s, v) for v in ('release', 'asan') for s in DEFAULT]
        plan.append(('fuzz-long', 'fuzz'))
        args.seconds = 5  # enough to see that the target still searches
    for suite, variant in plan:
        one(suite, variant, results, args)
    return results.close()


if __name__ == '__main__':
    sys.exit(main())
