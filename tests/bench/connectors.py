#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What connectors cost in a script, beside other clients in the same worker and beside the bare client library.

    tests/bench/connectors.py [postgresql] [redis] [mysql] [--rounds 7] [--json]

Each figure is a ratio within one call of one function: ours and the other take turns, `rounds` times; the median counts.
Rows are compared by processor time of the worker, which other programs on the machine hardly disturb; single queries by
wall time, with the best of the rounds. pgbench and redis-benchmark with one client stand for the bare library."""

import argparse
import json
import os
import re
import subprocess
import sys
from typing import Any, Dict

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'integration'), os.path.join(HERE, '..')]

from peers import mariadb, postgresql, redis  # noqa: E402
from support.connectors import run  # noqa: E402
from support.server import Server  # noqa: E402

HEAD = '''
import statistics, time
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


def bare_postgresql(p: postgresql.PostgreSQL) -> float:
    """SELECT 1 a second of pgbench with one client."""
    script = p.write('one.sql', 'SELECT 1;\n')
    done = subprocess.run([os.path.join(p.bin, 'pgbench'), '-n', '-f', script, '-c', '1', '-T', '3', '-h', '127.0.0.1', '-p', str(p.port),
                           '-U', 'postgres', 'postgres'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return float(re.search(r'tps = ([\d.]+)', done.stdout).group(1))  # type: ignore[union-attr]


def bare_redis(p: redis.Redis) -> float:
    """GET a second of redis-benchmark with one client."""
    done = subprocess.run(['redis-benchmark', '-p', str(p.port), '-c', '1', '-n', '30000', '-t', 'get', '--csv'],
                          stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1].split('","')[1].strip('"'))


def measure(server: Server, kind: str, rounds: int) -> Dict[str, Any]:
    """All figures of one type."""
    peer, code, bare = {'postgresql': (postgresql.PostgreSQL, POSTGRESQL, bare_postgresql), 'mysql': (mariadb.MariaDB, MYSQL, None),
                        'redis': (redis.Redis, REDIS, bare_redis)}[kind]
    with peer() as p:
        config = p.config()
        api = server.client()
        cid = 'bench_' + kind
        api.post('/connectors/do/add', {'data': {'id': cid, 'type': kind, 'configJSON': config}})
        dsn = {k: v for k, v in config.items() if k not in ('charset', 'database')}
        if kind != 'redis':
            dsn['database'] = config['database']
        figures: Dict[str, Any] = run(api, code, cid=cid, dsn=dsn, rounds=rounds)
        if bare is not None:
            rates = next(v for k, v in figures.items() if k.endswith('a second'))
            rates['bare library'] = round(bare(p))
            figures['of the bare library'] = round(rates['tenon'] / rates['bare library'], 2)
        return figures


def main() -> None:
    """Parses the command line, measures, prints."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('kinds', nargs='*', default=['postgresql', 'redis', 'mysql'])
    p.add_argument('--rounds', type=int, default=7)
    p.add_argument('--json', action='store_true')
    args = p.parse_args()
    load = os.getloadavg()[0]
    figures: Dict[str, Any] = {'load before': round(load, 1)}
    server = Server()
    try:
        server.start()
        for kind in args.kinds:
            figures[kind] = measure(server, kind, args.rounds)
    finally:
        server.close()
    if args.json:
        print(json.dumps(figures))
        return
    for kind, values in figures.items():
        print(kind, values if not isinstance(values, dict) else '')
        for name, v in values.items() if isinstance(values, dict) else ():
            print('    %s: %s' % (name, v))


if __name__ == '__main__':
    main()
