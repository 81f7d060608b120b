#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What schedules cost: loading many, how late they are noticed and enqueued with spread phases, all due in one second.

    tests/bench/cron.py --schedules 100000 --parts load,spread,burst

The queue of the jobs is paused, so that nothing runs: figures are before execution cost. Times are those of the rows in jobs.db
(the wall clock inside the transaction) against the time an occurrence was due; CPU time is that of the hub's threads."""

import argparse
import os
import sqlite3
import sys
import time
from typing import Any, Dict, List, Tuple

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))

from support.client import Client  # noqa: E402
from support.server import Server, wait_for  # noqa: E402

TICK = os.sysconf('SC_CLK_TCK')


def sql(server: Server, name: str, text: str, *values: Any) -> List[tuple]:
    """Asks or changes one of the files of the store."""
    db = sqlite3.connect(os.path.join(server.data, name), timeout=60)
    try:
        with db:
            return db.execute(text, values).fetchall()
    finally:
        db.close()


def rss(server: Server) -> float:
    """Resident memory of the hub in MiB."""
    with open('/proc/%d/status' % server.pid_of('tenon-hub'), encoding='ascii') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS')) / 1024


def cpu(server: Server) -> Dict[str, float]:
    """CPU seconds of each thread of the hub, by its name."""
    used: Dict[str, float] = {}
    base = '/proc/%d/task' % server.pid_of('tenon-hub')
    for tid in os.listdir(base):
        with open('%s/%s/stat' % (base, tid), encoding='ascii') as f:
            name, rest = f.read().split('(', 1)[1].rsplit(')', 1)
        fields = rest.split()
        used[name] = used.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICK
    return used


def start(server: Server) -> Tuple[float, Client]:
    """Seconds to READY."""
    begin = time.monotonic()
    server.start(120)
    return time.monotonic() - begin, server.client()


def status(client: Client) -> Dict[str, Any]:
    """The scheduler's own figures."""
    return client.get('/cron-status/do/get')


def quantile(values: List[float], part: float) -> float:
    """Of a sorted list."""
    return values[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def prepare(server: Server, n: int) -> float:
    """A script, its jobs written beside the API, the queue paused → seconds a start takes without jobs."""
    start(server)
    client = server.client()
    script = client.script("@DFF.API('f')\ndef f():\n    return 1\n")
    first = client.post('/cron-jobs/do/add', {'data': {'funcId': script + '.f', 'funcCallKwargsJSON': {}, 'cronExpr': '0 0 30 2 *'}})['id']
    server.stop()
    bare, _ = start(server)
    server.stop()
    columns = [r[1] for r in sql(server, 'config.db', 'PRAGMA table_info(biz_main_cron_job)') if r[1] not in ('id', 'seq')]
    sql(server, 'config.db', "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO biz_main_cron_job (id, %s) "
        "SELECT printf('cron-bench%%06d', i), %s FROM n, biz_main_cron_job WHERE id = ?" % (','.join(columns), ','.join(columns)), n, first)
    # one a day, at all minutes of the day
    sql(server, 'config.db', "UPDATE biz_main_cron_job SET cronExpr = (seq % 60) || ' ' || (seq / 60 % 24) || ' * * *' WHERE id LIKE 'cron-bench%'")
    return bare


def change_expr(server: Server, expr: str) -> None:
    """While the platform is down."""
    sql(server, 'config.db', "UPDATE biz_main_cron_job SET cronExpr = ? WHERE id LIKE 'cron-bench%'", expr)
    now = int(time.time() * 1000000)
    sql(server, 'jobs.db', 'UPDATE tn_cursor SET cursorUs = max(cursorUs, ?)', now)


def pause_queue(client: Client) -> None:
    """Nothing of queue 2 is started."""
    client.post('/queues/2/do/modify', {'data': {'isPaused': True}})


def load(server: Server, args: argparse.Namespace, bare: float) -> None:
    """The first start with so many schedules writes their cursors, the next one finds them."""
    for title in ('first start, cursors are made', 'next start, cursors are there'):
        seconds, client = start(server)
        count = status(client)['schedules']
        assert count >= args.schedules, count
        print('| %s | %.2f s to READY, %.2f s of it for %d schedules | hub %.0f MiB |' % (title, seconds, seconds - bare, count, rss(server)), flush=True)
        server.stop()


def watch(server: Server, n: int, seconds: float, spreads: bool) -> Tuple[List[float], Dict[str, float], float]:
    """Waits for the occurrences of one tick → (errors of the rows in ms, CPU by thread, seconds until all were there)."""
    begin_s = (int(time.time()) // 60 + 1) * 60
    wait_for(lambda: time.time() > begin_s - 0.5, 70)
    before = cpu(server)
    rows_of = 'SELECT count(*) FROM tn_occurrence WHERE occurrenceUs = %d' % (begin_s * 1000000)
    time.sleep(max(0.0, begin_s + seconds - time.time()))
    assert wait_for(lambda: sql(server, 'jobs.db', rows_of)[0][0] >= n, 120, 0.5)
    after = cpu(server)
    errors = sorted(created / 1000 - due for created, due in sql(
        server, 'jobs.db', 'SELECT createTime, %s FROM tn_task WHERE occurrenceUs = ?' % ('dueTimeMs' if spreads else 'occurrenceUs / 1000'),
        begin_s * 1000000))
    assert len(errors) == n, (len(errors), n)  # none lost, none twice
    return errors, {k: after[k] - before.get(k, 0) for k in after}, errors[-1] / 1000


def threads(used: Dict[str, float], n: int, seconds: float) -> str:
    """CPU a second and an occurrence, by thread."""
    total = sum(used.values())
    parts = ', '.join('%s %.1f' % (k, v * 1e6 / n) for k, v in sorted(used.items(), key=lambda p: -p[1]) if v > 0)
    return '%.1f %% of a core, %.1f µs an occurrence (%s)' % (100 * total / seconds, total * 1e6 / n, parts)


def spread(server: Server, args: argparse.Namespace) -> None:
    """Each minute, phases spread over the minute."""
    server.env['DFF__FUNC_TASK_DISTRIBUTION_RANGE'] = '60'
    change_expr(server, '* * * * *')
    _, client = start(server)
    pause_queue(client)
    errors, used, _ = watch(server, args.schedules, 60.5, True)
    trigger = status(client)['trigger']
    print('| spread over a minute, %.0f/s | noticed p99 ≤ %.1f ms; enqueued (durable) p50 %.1f, p99 %.1f, max %.1f ms | %s |' % (
        args.schedules / 60, trigger['errorP99Us'] / 1000, quantile(errors, 0.5), quantile(errors, 0.99), errors[-1],
        threads(used, args.schedules, 60)), flush=True)
    server.stop()
    del server.env['DFF__FUNC_TASK_DISTRIBUTION_RANGE']


def burst(server: Server, args: argparse.Namespace) -> None:
    """All in the same second."""
    sql(server, 'jobs.db', 'DELETE FROM tn_task')
    change_expr(server, '* * * * *')
    _, client = start(server)
    pause_queue(client)
    errors, used, all_s = watch(server, args.schedules, 1, False)
    trigger = status(client)['trigger']
    print('| all due in one second | in memory: all within %.0f ms; durable: half after %.2f s, all after %.2f s | %s |' % (
        trigger['errorMaxUs'] / 1000, quantile(errors, 0.5) / 1000, all_s, threads(used, args.schedules, all_s)), flush=True)
    server.stop()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--schedules', type=int, default=100000)
    p.add_argument('--parts', default='load,spread,burst')
    p.add_argument('--port', type=int, default=0, help='on the loopback; default any')
    p.add_argument('--realtime', action='store_true', help='measure in spite of a busy machine: everything with real-time priority')
    args = p.parse_args()
    if args.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    server = Server(port=args.port, args=('--log_level', 'warning'))
    try:
        bare = prepare(server, args.schedules)
        print('| %d schedules; a start without them takes %.2f s | | |\n|---|---|---|' % (args.schedules, bare))
        parts = args.parts.split(',')
        if 'load' in parts:
            load(server, args, bare)
        if 'spread' in parts:
            spread(server, args)
        if 'burst' in parts:
            burst(server, args)
    finally:
        server.close()


if __name__ == '__main__':
    main()
