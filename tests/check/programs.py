# SPDX-License-Identifier: Apache-2.0
"""Running compiled tests: cmocka programs, and fuzz targets over their corpora."""

import concurrent.futures
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
from typing import Dict, List, Optional

import sanitizers
from results import Case, Results, Stopwatch

LIMIT = 300       # seconds for one program
LIMIT_LONG = 3600
RESULT = re.compile(r'^\[\s*(OK|FAILED|SKIPPED|PASSED)\s*\]\s+([A-Za-z_]\w*)\s*$')
SANITIZER = re.compile(r'(ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|SUMMARY: \w*Sanitizer|: runtime error: )')


def environment(root: str, variant: str, scratch: Optional[str] = None) -> Dict[str, str]:
    """Environment of every test process."""
    env = {k: v for k, v in os.environ.items()
           if k == 'TENON_WERROR' or k.startswith('TENON_TEST_') or
           not k.startswith(('TENON_', 'DFF_', 'PYTHON', 'LD_'))}
    env.update(sanitizers.options(root))
    env.update(
        TENON_ROOT=root, TENON_VARIANT=variant, TENON_BUILD=os.path.join(root, 'build', variant),
        PYTHONDONTWRITEBYTECODE='1', LC_ALL='C.UTF-8', TZ='UTC')
    if scratch:
        env['TMPDIR'] = scratch
    return env


def run_logged(command: List[str], root: str, env: Dict[str, str], log: str, limit: float) -> Optional[int]:
    """Runs command with its output in log; None after `limit` seconds. Its whole process group ends with it."""
    with open(log, 'wb') as out:
        with subprocess.Popen(command, cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, start_new_session=True) as child:
            try:
                return child.wait(limit)
            except subprocess.TimeoutExpired:
                return None
            finally:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


def ending(code: Optional[int], limit: float) -> str:
    """What an exit code means, in words."""
    if code is None:
        return 'still running after %d s' % limit
    if code < 0:
        return 'killed by ' + signal.Signals(-code).name
    return 'exit code %d' % code


def cmocka_cases(group: str, output: str, code: Optional[int], limit: float) -> List[Case]:
    """Cases of a cmocka program by its output; a crash is a failed case of its own."""
    status: Dict[str, str] = {}
    for line in output.splitlines():
        found = RESULT.match(line)
        if found and found.group(1) != 'PASSED':
            status[found.group(2)] = {'OK': 'passed', 'FAILED': 'failed', 'SKIPPED': 'skipped'}[found.group(1)]
    cases = [Case('%s::%s' % (group, n), s, 'skipped by the test' if s == 'skipped' else '')
             for n, s in status.items()]
    if code == 77 and not cases:  # the convention of automake for "cannot run here"
        return [Case(group, 'skipped', output.strip().splitlines()[-1] if output.strip() else '')]
    if code != 0 and not any(c.status == 'failed' for c in cases):
        cases.append(Case(group, 'failed', ending(code, limit)))
    if SANITIZER.search(output) and not any(c.status == 'failed' for c in cases):
        cases.append(Case(group, 'failed', 'sanitizer report'))
    if not cases:
        cases.append(Case(group, 'failed', 'ran no test'))
    return cases


def _one(root: str, variant: str, program: str, name: str, results: Results, limit: float,
         args: List[str]) -> None:
    group = '%s %s' % (variant, name)
    log, watch = results.log_path('%s.%s' % (variant, name)), Stopwatch()
    scratch = tempfile.mkdtemp(prefix='tenon-test-')
    try:
        code = run_logged([program] + args, root, environment(root, variant, scratch), log, limit)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    with open(log, encoding='utf-8', errors='replace') as f:
        output = f.read()
    if name.startswith('fuzz/'):
        bad = code != 0 or SANITIZER.search(output)
        cases = [Case(group, 'failed' if bad else 'passed', ending(code, limit) if bad else '')]
    else:
        cases = cmocka_cases(group, output, code, limit)
    results.add(group, cases, watch(), log)


def wanted(root: str, name: str, pattern: str) -> bool:
    """True if the program or one of the test functions in its source is called like pattern."""
    if not pattern or pattern in name:
        return True
    try:
        with open(os.path.join(root, 'tests', name + '.c'), encoding='utf-8') as f:
            return bool(re.search(r'\bvoid \w*%s\w*\(void \*\*' % re.escape(pattern), f.read()))
    except OSError:
        return False


def run(root: str, variant: str, kind: str, results: Results, pattern: str = '', area: str = '',
        long: bool = False, jobs_at_once: int = 2) -> None:
    """Every test program of tests/<kind> (unit, plugin)."""
    build = os.path.join(root, 'build', variant, 'tests')
    found = sorted(p for p in glob.glob('%s/%s/**/test_*' % (build, kind), recursive=True)
                   if os.access(p, os.X_OK) and os.path.isfile(p) and '.' not in os.path.basename(p))
    limit = LIMIT_LONG if long else LIMIT
    with concurrent.futures.ThreadPoolExecutor(jobs_at_once) as pool:
        jobs = []
        for program in found:
            name = os.path.relpath(program, build)
            # a program whose source is gone is a leftover of an older build
            if not os.path.exists(os.path.join(root, 'tests', name + '.c')):
                continue
            if wanted(root, name, pattern) and (not area or name.split('/')[1] == area):
                jobs.append(pool.submit(_one, root, variant, program, name, results, limit, []))
        for job in jobs:
            job.result()


def fuzz(root: str, variant: str, results: Results, pattern: str = '', seconds: int = 0) -> None:
    """Every fuzz target: over its corpus (seconds 0), or searching with libFuzzer (fuzz variant)."""
    for source in sorted(glob.glob(os.path.join(root, 'tests/fuzz/fuzz_*.c'))):
        target = os.path.basename(source)[:-2]
        name = 'fuzz/' + target
        program = os.path.join(root, 'build', variant, 'tests', name)
        corpus = os.path.join(root, 'tests/fuzz/corpus', target[5:])
        if pattern and pattern not in name:
            continue
        if not os.path.isdir(corpus) or not os.listdir(corpus):
            results.add(name, [Case(name, 'failed', 'no corpus in tests/fuzz/corpus/' + target[5:])], 0)
            continue
        if seconds:
            # new inputs go into the build folder: what is worth keeping is copied by a person
            grown = os.path.join(root, 'build', variant, 'corpus', target)
            os.makedirs(grown, exist_ok=True)
            args = ['-max_total_time=%d' % seconds, '-timeout=10', '-rss_limit_mb=2048', '-print_final_stats=1',
                    '-artifact_prefix=%s/crash-' % grown, grown, corpus]
        else:
            args = [corpus]
        _one(root, variant, program, name, results, seconds + LIMIT, args)
