#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tests that are already built, and ends with the line `N passed, N failed, N skipped`.

Suites: rules (the tree itself), unit, fuzz (corpora), plugin, python (pytest folders other than integration),
integration, fuzz-long (libFuzzer). `--full` is what tests/run does: everything in release, everything that is
not heavy in asan, the two side by side.
"""

import argparse
import concurrent.futures
import glob
import os
import sys
from typing import List, Tuple

sys.dont_write_bytecode = True

import abi_headers
import formatted
import hygiene
import includes
import programs
import pytests
from results import Case, Results, Stopwatch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RULES = {'includes': includes, 'hygiene': hygiene, 'abi_headers': abi_headers, 'formatted': formatted}
DEFAULT = ['unit', 'fuzz', 'plugin', 'python', 'integration']
SANITIZED = ('asan', 'tsan', 'fuzz')
ALONE = 'packaging'  # tests of the build itself: two scons in one tree would wait for each other or fail


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


def fetched(results: Results) -> None:
    """What tests/peers/fetch should have brought. Registries are not ours: what is missing is a skip with its log."""
    for script in sorted(glob.glob(os.path.join(ROOT, 'tests/peers/*/fetch'))):
        name = os.path.basename(os.path.dirname(script))
        there = os.path.exists(os.path.join(ROOT, 'build/peers', name, 'ready'))
        case = Case('peers/' + name, *(('passed',) if there else ('skipped', 'not brought, see build/peers/%s.log' % name)))
        results.add('fetch ' + name, [case], 0)


def one(suite: str, variant: str, results: Results, args: argparse.Namespace) -> None:
    """One suite in one variant."""
    light = variant in SANITIZED
    if suite == 'rules':
        rules(results, args.pattern)
    elif suite in ('unit', 'plugin'):
        programs.run(ROOT, variant, suite, results, args.pattern, args.area, args.long, 1 if args.full else 2)
    elif suite == 'fuzz':
        programs.fuzz(ROOT, variant, results, args.pattern)
    elif suite == 'fuzz-long':
        programs.fuzz(ROOT, variant, results, args.pattern, args.seconds)
    elif suite == 'python':
        for folder in pytests.folders(ROOT):
            if folder != ALONE or not args.full:
                pytests.run(ROOT, variant, folder, results, args.pattern, args.long, light)
    elif suite == ALONE:
        pytests.run(ROOT, variant, ALONE, results, args.pattern, args.long, light)
    elif suite == 'integration':
        pytests.run(ROOT, variant, 'integration', results, args.pattern, args.long, light)


def full(results: Results, args: argparse.Namespace) -> None:
    """The plan of tests/run. Most tests wait more than they compute, so that two variants fill two cores."""
    one('rules', 'release', results, args)
    if not args.pattern:
        fetched(results)
    for variant in ('release', 'asan'):
        one(ALONE, variant, results, args)
    args.seconds = 5  # enough to see that a fuzz target still searches
    plans = ([(s, 'release') for s in DEFAULT] + [('fuzz-long', 'fuzz')], [(s, 'asan') for s in reversed(DEFAULT)])

    def lane(plan: List[Tuple[str, str]]) -> None:
        for suite, variant in plan:
            one(suite, variant, results, args)
    with concurrent.futures.ThreadPoolExecutor(len(plans)) as pool:
        for job in [pool.submit(lane, plan) for plan in plans]:
            job.result()


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
    if args.full:
        full(results, args)
    else:
        for suite in args.suite or ['rules'] + DEFAULT:
            one(suite, args.variant, results, args)
    return results.close()


if __name__ == '__main__':
    sys.exit(main())
