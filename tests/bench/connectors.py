#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What connectors cost in a script, beside other clients in the same worker and beside the bare client library.

    tests/bench/connectors.py [postgresql] [redis] [mysql] [crowd] [--rounds 7] [--json]

Each figure is a ratio within one call of one function: ours and the other take turns, `rounds` times; the median counts.
Rows are compared by processor time of the worker, which other programs on the machine hardly disturb; single queries by
wall time, with the best of the rounds; `bare_query.c` (the library alone, one connection) runs before and after, its
better run counts. The database has one processor, the worker or the bare program the other.

`crowd`: 200 calls at once, each a query of one second, four times (a worker that ends its call early takes a second one, so
only the third time all workers and connections are there); then 1,000 calls one after the other. Memory of a stream: the worker's while a million rows pass."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict, List, Tuple

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'integration'), os.path.join(HERE, '..')]

from peers import mariadb, postgresql, redis  # noqa: E402
from support.connectors import run  # noqa: E402
from support.server import Server  # noqa: E402

HEAD = '''
import os, statistics, time
os.sched_setaffinity(0, {0})
def resident():
    with open('/proc/self/statm') as f:
        return int(f.read().split()[1]) * 4096
def growth(rows):
    before = most = resident()
    n = 0
    for n, row in enumerate(rows, 1):
        if n % 10000 == 0:
            most = max(most, resident())
    return {'rows': n, 'MiB': round((most - before) / 2**20, 1)}
def cpu(f):
    t = time.process_time()
    f()
    return time.process_time() - t
def rate(f, n):
    t = time.perf_counter()
    for _ in range(n):
        f()
    return n / (time.perf_counter() - t)
def compare(ours, others, rounds):
    for f in [ours] + list(others.values()):
        f()
    ratios = {k: [] for k in others}
    for _ in range(rounds):
        mine = cpu(ours)
        for k, f in others.items():
            ratios[k].append(cpu(f) / mine)
    return {k: round(statistics.median(v), 2) for k, v in ratios.items()}
'''
POSTGRESQL = HEAD + '''
import psycopg2, psycopg2.extras, psycopg2.pool
SQL = "SELECT i AS id, 'name ' || i AS name, i * 1.5::float8 AS price, timestamp '2026-01-01' + i * interval '1s' AS at FROM generate_series(1, 10000) i"
@DFF.API('f', timeout=100)
def f(cid, dsn, rounds):
    c = DFF.CONN(cid)
    pool = psycopg2.pool.SimpleConnectionPool(1, 2, **dsn)
    other = psycopg2.connect(**dsn)
    other.autocommit = True
    def rows():
        with other.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cur:
            cur.execute(SQL)
            return cur.fetchall()
    def pooled():
        conn = pool.getconn()
        try:
            with conn, conn.cursor() as cur:
                cur.execute('SELECT 1')
                return cur.fetchall()
        finally:
            pool.putconn(conn)
    assert rows() == c.query(SQL)
    out = {'10,000 rows as dicts, processor time against RealDictCursor': compare(lambda: c.query(SQL), {'psycopg2': rows}, rounds)}
    mine = [rate(lambda: c.query('SELECT 1'), 500) for _ in range(rounds)]
    theirs = [rate(pooled, 500) for _ in range(rounds)]
    out['SELECT 1 a second'] = {'tenon': round(max(mine)), 'psycopg2 with its pool': round(max(theirs))}
    out['a million rows'] = growth(c.stream("SELECT i, 'name ' || i AS name FROM generate_series(1, 1000000) i"))
    return out
'''
MYSQL = HEAD + '''
import MySQLdb, MySQLdb.cursors, pymysql, pymysql.cursors
SQL = "SELECT seq AS id, concat('name ', seq) AS name, seq * 1.5e0 AS price, timestamp('2026-01-01') + interval seq second AS at FROM seq_1_to_10000"
@DFF.API('f', timeout=100)
def f(cid, dsn, rounds):
    c = DFF.CONN(cid)
    lib = MySQLdb.connect(cursorclass=MySQLdb.cursors.DictCursor, **dsn)
    pure = pymysql.connect(cursorclass=pymysql.cursors.DictCursor, **dsn)
    def of(conn, sql):
        def call():
            cur = conn.cursor()
            cur.execute(sql)
            return list(cur.fetchall())
        return call
    assert of(lib, SQL)() == c.query(SQL) == of(pure, SQL)()
    out = {'10,000 rows as dicts, processor time': compare(lambda: c.query(SQL), {'mysqlclient': of(lib, SQL), 'PyMySQL': of(pure, SQL)}, rounds)}
    rates = {'tenon': lambda: c.query('SELECT 1'), 'mysqlclient': of(lib, 'SELECT 1'), 'PyMySQL': of(pure, 'SELECT 1')}
    out['SELECT 1 a second'] = {k: round(max(rate(g, 500) for _ in range(rounds))) for k, g in rates.items()}
    out['a million rows'] = growth(c.stream("SELECT seq, concat('name ', seq) AS name FROM seq_1_to_1000000"))
    return out
'''
REDIS = HEAD + '''
import redis
@DFF.API('f', timeout=100)
def f(cid, dsn, rounds):
    c = DFF.CONN(cid)
    r = redis.Redis(**dsn)
    c.set('k', 'value')
    rates = {'tenon': lambda: c.get('k'), 'redis-py': lambda: r.get('k')}
    return {'GET a second': {k: round(max(rate(g, 2000) for _ in range(rounds))) for k, g in rates.items()}}
'''


def build_bare() -> str:
    """bare_query, compiled into a folder of its own."""
    program = os.path.join(tempfile.mkdtemp(prefix='tenon-bench-'), 'bare_query')
    libs = subprocess.run(['pkg-config', '--cflags', '--libs', 'libpq', 'libmariadb', 'hiredis'], stdout=subprocess.PIPE,
                          text=True, check=True).stdout.split()
    subprocess.run(['gcc', '-O2', '-o', program, os.path.join(HERE, 'bare_query.c')] + libs, check=True)
    return program


def bare(program: str, kind: str, config: Dict[str, Any]) -> float:
    """Queries a second of the library alone on the processor that scripts have otherwise."""
    user = 'k' if kind == 'redis' else config['user']
    return float(subprocess.run(['taskset', '-c', '0', program, kind, config['host'], str(config['port']), user,
                                 config.get('password', ''), '2'], stdout=subprocess.PIPE, text=True, check=True).stdout)


def pin(pid: int) -> None:
    """A database gets processor 1: its threads, its processes, and those that they make."""
    children = subprocess.run(['pgrep', '-P', str(pid)], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    for p in [str(pid)] + children:
        for tid in os.listdir('/proc/%s/task' % p):
            os.sched_setaffinity(int(tid), {1})


def measure(server: Server, kind: str, rounds: int) -> Dict[str, Any]:
    """All figures of one type."""
    peer, code = {'postgresql': (postgresql.PostgreSQL, POSTGRESQL), 'mysql': (mariadb.MariaDB, MYSQL),
                  'redis': (redis.Redis, REDIS)}[kind]
    program = build_bare()
    with peer() as p:
        pin(p.process.pid)
        config = p.config()
        api = server.client()
        cid = 'bench_' + kind
        api.post('/connectors/do/add', {'data': {'id': cid, 'type': kind, 'configJSON': config}})
        dsn = {k: v for k, v in config.items() if k not in ('charset', 'database')}
        if kind != 'redis':
            dsn['database'] = config['database']
        else:
            run(api, "@DFF.API('f')\ndef f(cid): DFF.CONN(cid).set('k', 'value')", cid=cid)
        before = bare(program, kind, config)
        figures: Dict[str, Any] = run(api, code, cid=cid, dsn=dsn, rounds=rounds)
        rates = next(v for k, v in figures.items() if k.endswith('a second'))
        rates['bare library'] = round(max(before, bare(program, kind, config)))
        figures['of the bare library'] = round(rates['tenon'] / rates['bare library'], 2)
    shutil.rmtree(os.path.dirname(program))
    return figures


CROWD = '''
@DFF.API('sleep', timeout=60)
def sleep(cid, seconds):
    return DFF.CONN(cid).query('SELECT 1 AS one, pg_sleep(?)', [float(seconds)])[0]['one']
@DFF.API('count')
def count(cid):
    return DFF.CONN(cid).query("SELECT count(*) AS n FROM pg_stat_activity WHERE usename = 'tenon'")[0]['n']
'''


def burst(port: int, path: str, n: int) -> Tuple[float, List[int]]:
    """n calls at once -> (seconds until the last answer, the statuses that are not 200)."""
    import http.client
    bad: List[int] = []
    gate = threading.Barrier(n + 1)

    def one() -> None:
        c = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
        c.connect()
        gate.wait()
        c.request('GET', path)
        r = c.getresponse()
        r.read()
        if r.status != 200:
            bad.append(r.status)
        c.close()
    threads = [threading.Thread(target=one) for _ in range(n)]
    for t in threads:
        t.start()
    gate.wait()
    start = time.monotonic()
    for t in threads:
        t.join()
    return time.monotonic() - start, bad


def watch(p: postgresql.PostgreSQL) -> Callable[[], int]:
    """Looks at the server's connections from now on -> a function that ends it and tells how many there were at most."""
    seen, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            seen[0] = max(seen[0], int(p.psql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'tenon'")))
    thread = threading.Thread(target=look)
    thread.start()

    def end() -> int:
        ended.set()
        thread.join()
        return seen[0]
    return end


def crowd() -> Dict[str, Any]:
    """200 calls of a second at once; 1,000 short ones in a row."""
    server = Server(args=('--workers_max', '220'))
    out: Dict[str, Any] = {}
    try:
        with postgresql.PostgreSQL() as p:
            server.start()
            api = server.client()
            api.post('/connectors/do/add', {'data': {'id': 'bench_crowd', 'type': 'postgresql', 'configJSON': p.config()}})
            script = api.script(CROWD)
            for name in ('sleep', 'count'):
                api.add_sync_api(script + '.' + name, {'cid': 'bench_crowd', 'seconds': 'INPUT_BY_CALLER'} if name == 'sleep' else
                                 {'cid': 'bench_crowd'}, id='bench-' + name)
            path = '/api/v1/sync/bench-sleep/simplified?seconds=1'
            for what in ('first', 'second', 'third', 'fourth'):
                seconds, bad = burst(server.port, path, 200)
                out['200 calls of one second, %s time' % what] = {'s': round(seconds, 2), 'not 200': len(bad)}
        with postgresql.PostgreSQL() as p:  # connections to the old one stay for a while
            api.post('/connectors/bench_crowd/do/modify', {'data': {'configJSON': p.config(pool={'max_total': 20, 'acquire': '60s'})}})
            most = watch(p)
            seconds, bad = burst(server.port, path, 200)
            out['200 calls of one second, max_total 20'] = {'s': round(seconds, 2), 'not 200': len(bad), 'connections': most()}
        with postgresql.PostgreSQL() as p:
            api.post('/connectors/bench_crowd/do/modify', {'data': {'configJSON': p.config()}})
            for _ in range(1000):
                n = int(api.request('GET', '/api/v1/sync/bench-count/simplified').text)
            status = api.get('/monitor/platform/do/get')
            out['1,000 calls in a row'] = {'connections': n, 'workers': len(status['broker']['workers'])}
    finally:
        server.close()
    return out


def main() -> None:
    """Parses the command line, measures, prints."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('kinds', nargs='*', default=['postgresql', 'redis', 'mysql', 'crowd'])
    p.add_argument('--rounds', type=int, default=7)
    p.add_argument('--json', action='store_true')
    args = p.parse_args()
    load = os.getloadavg()[0]
    figures: Dict[str, Any] = {'load before': round(load, 1)}
    server = Server()
    try:
        server.start()
        for kind in (k for k in args.kinds if k != 'crowd'):
            figures[kind] = measure(server, kind, args.rounds)
    finally:
        server.close()
    if 'crowd' in args.kinds:
        figures['crowd'] = crowd()
    if args.json:
        print(json.dumps(figures))
        return
    for kind, values in figures.items():
        print(kind, values if not isinstance(values, dict) else '')
        for name, v in values.items() if isinstance(values, dict) else ():
            print('    %s: %s' % (name, v))


if __name__ == '__main__':
    main()
