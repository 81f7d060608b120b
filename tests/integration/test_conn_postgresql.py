# SPDX-License-Identifier: Apache-2.0
"""connectors/postgresql in scripts, against a real server, compared with psycopg2 where it matters."""

import concurrent.futures
import datetime
import urllib.error
import urllib.request

import pytest
from peers.postgresql import PASSWORD, PostgreSQL
from support.cases import (NO_CA, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, ClientCertificate, Contract, Deadlines, FewConnections,
                           FunctionIsSeen, Injection, Panel, Refusals, Threads, TwoServers)
from support.connectors import add, not_addable, on, peer
from support.matrix import check_row, shows


@pytest.fixture(scope='module')
def pg(certs):
    with peer(PostgreSQL, certs) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, pg):
    return add(server.client(), 'postgresql', pg.config())


CHINA = 'tzinfo=datetime.timezone(datetime.timedelta(seconds=28800))'  # the server's time zone

# One expression of every type: SQL, and what a script sees (repr).
VALUES = {
    "1::int2": '1', "-2147483648": '-2147483648', "9223372036854775807": '9223372036854775807', "7::oid": '7',
    "true": 'True', "'f'::bool": 'False', "NULL": 'None', "1.50::numeric": "Decimal('1.50')",
    "'NaN'::numeric": "Decimal('NaN')", "0.1::float8": '0.1', "'-Infinity'::float8": '-inf', "1.5::float4": '1.5',
    "'a\u6570'::text": "'a\u6570'", "'ab'::char(4)": "'ab  '", "'x'::varchar": "'x'", "'n'::name": "'n'",
    r"'\x00ff'::bytea": r"b'\x00\xff'", "'{\"a\": [1, null]}'::json": "{'a': [1, None]}", "'[1.5]'::jsonb": '[1.5]',
    "date '2026-02-28'": 'datetime.date(2026, 2, 28)', "time '08:30:00.25'": 'datetime.time(8, 30, 0, 250000)',
    "timestamp '2026-01-01 00:00:00.000001'": 'datetime.datetime(2026, 1, 1, 0, 0, 0, 1)',
    "timestamptz '2026-01-01 08:00:00+08'": 'datetime.datetime(2026, 1, 1, 8, 0, %s)' % CHINA,
    "timestamptz '1900-01-01 00:00:00+00'": 'datetime.datetime(1900, 1, 1, 8, 5, 43, tzinfo=datetime.timezone(datetime.timedelta(seconds=29143)))',
    "timestamptz '2026-07-01 12:00:00.5+05:30'": 'datetime.datetime(2026, 7, 1, 14, 30, 0, 500000, %s)' % CHINA,
    "interval '1 year 2 mons -3 days 04:05:06.7'": repr(datetime.timedelta(422, 14706, 700000)),
    "interval '-1 day -00:00:01'": repr(-datetime.timedelta(1, 1)), "interval '100000000 hours'": repr(datetime.timedelta(hours=100000000)),
    "'infinity'::timestamp": repr(datetime.datetime.max), "'-infinity'::timestamptz": 'datetime.datetime(1, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)',
    "'infinity'::date": repr(datetime.date.max), "timetz '08:30:00.5-03:30'": 'datetime.time(8, 30, 0, 500000, tzinfo=datetime.timezone(%r))' % -datetime.timedelta(hours=3.5),
    "'{08:30:00+08}'::timetz[]": '[datetime.time(8, 30, %s)]' % CHINA, "'Infinity'::numeric": "Decimal('Infinity')", "'-Infinity'::numeric": "Decimal('-Infinity')",
    "1e-20::numeric": "Decimal('1E-20')",
    "'{1,NULL,3}'::int[]": '[1, None, 3]', "ARRAY['a b','c\"d','e\\f','NULL','',NULL]": "['a b', 'c\"d', 'e\\\\f', 'NULL', '', None]",
    "ARRAY['a\\', '\\\\\"', '{', ',']": r"""['a\\', '\\\\"', '{', ',']""",
    "'{{1,2},{3,4}}'::int8[]": '[[1, 2], [3, 4]]', "'{}'::text[]": '[]', "ARRAY[1.5,2]::numeric[]": "[Decimal('1.5'), Decimal('2')]",
    "'{{{{{{1}}}}}}'::int[]": '[[[[[[1]]]]]]', r"ARRAY['\x01'::bytea]": r"[b'\x01']", "'[0:1]={1,2}'::int[]": '[1, 2]', "'{a,b}'::name[]": "['a', 'b']", "'{a}'::\"char\"[]": "['a']",
    "'{10.0.0.1,::1}'::inet[]": "['10.0.0.1', '::1']", "'{08:00:2b:01:02:03}'::macaddr[]": "['08:00:2b:01:02:03']", "'{7,8}'::oid[]": '[7, 8]', "'{\"1 day\"}'::interval[]": "[datetime.timedelta(days=1)]",
    "ARRAY['{\"a\": 1}'::jsonb, '[1, 2]']": "[{'a': 1}, [1, 2]]", "'{t,f,NULL}'::bool[]": '[True, False, None]', "'{1.5,NaN,-Infinity}'::float8[]": '[1.5, nan, -inf]',
    "'00000000-0000-0000-0000-00000000000a'::uuid": "'00000000-0000-0000-0000-00000000000a'", "'{00000000-0000-0000-0000-00000000000a}'::uuid[]": "'{00000000-0000-0000-0000-00000000000a}'",
    "inet '10.0.0.1/8'": "'10.0.0.1/8'", "'a=>1'::text": "'a=>1'", "1234.5::money": "'$1,234.50'", "B'101'": "'101'", "'1 2'::int2vector": "'1 2'", "point '(1,2)'": "'(1,2)'",
    "'<a/>'::xml": "'<a/>'", "tsvector 'a:1 b'": "\"'a':1 'b'\"", "'$.a'::jsonpath": "'$.\"a\"'", "pg_sleep(0)": "''", "ROW(1, 'a', NULL)": "'(1,a,)'", "'pg_class'::regclass": "'pg_class'",
    "'123456789012345678901234567890'::json": '123456789012345678901234567890', "'1.10'::jsonb": '1.1', "'null'::jsonb": 'None', "'{\"a\": 1, \"a\": 2}'::json": "{'a': 2}",
    "'\x01\x7f'::text": "'\\x01\\x7f'", "3.4e38::float4": '3.4e+38', "1e16::float8": '1e+16', "'-0'::float8": '-0.0', "mood 'happy'": "'happy'", "'{happy,sad}'::mood[]": "'{happy,sad}'", "'x'::dom": "'x'",
    "ROW(1, 'x')::pair": "'(1,x)'",
}
# What psycopg2 makes of nothing (an error), wraps, or has no type for: ranges and 24:00 stay text.
OUR_OWN = {
    "date '0044-03-15 BC'": "'0044-03-15 BC'", "date '10000-01-01'": "'10000-01-01'", "timestamptz '9999-12-31 23:59:59-05'": "'10000-01-01 12:59:59+08'",
    "time '24:00:00'": "'24:00:00'", "int4range(1,3)": "'[1,3)'", "interval '178000000 years'": "'178000000 years'", "interval '999999999 days'": "'999999999 days'",
    "'{2026-01-01,infinity}'::date[]": '[datetime.date(2026, 1, 1), datetime.date(9999, 12, 31)]',
}


@pytest.fixture(scope='module')
def types(pg):
    """Types of the user's own that VALUES speak of."""
    pg.psql("CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN dom AS text; CREATE TYPE pair AS (a int, b text)", 'tenon')


def test_values(api, cid, types):
    """Every type as the Python object that psycopg2's users know; read in one piece and as a stream."""
    sqls = [*VALUES, *OUR_OWN]
    got, streamed, early = on(api, cid, """
early = c.start_trans()
early.query("SET TIME ZONE 'America/New_York'")
return [[repr(c.query('SELECT ' + s + ' AS v')[0]['v']) for s in sqls], [repr(next(c.stream('SELECT ' + s + ' AS v WHERE 1 = ?', [1]))['v']) for s in sqls[::3]],
        str(early.query("SELECT timestamptz '9999-12-31 23:59:59' AS v")[0]['v'])]
""", sqls=sqls)
    assert dict(zip(sqls, got)) == {**VALUES, **OUR_OWN} and streamed == got[::3] and early == '9999-12-31 23:59:59-05:00'


def test_values_as_psycopg2(types, pg):
    """The same statements through psycopg2."""
    psycopg2 = pytest.importorskip('psycopg2')
    c = psycopg2.connect(host='127.0.0.1', port=pg.port, user='tenon', password=PASSWORD, dbname='tenon')
    differs = []
    with c, c.cursor() as cur:
        for sql, mine in VALUES.items():
            cur.execute('SELECT ' + sql)
            theirs = cur.fetchone()[0]
            theirs = bytes(theirs) if isinstance(theirs, memoryview) else theirs
            if repr(theirs) != mine and sql != r"ARRAY['\x01'::bytea]":  # a list of memoryviews
                differs.append((sql, repr(theirs), mine))
    c.close()
    assert differs == []


def test_parameters(api, cid):
    """? and ??, lists, dicts, types; nothing becomes part of the statement (spec 4.1.2)."""
    got = on(api, cid, r'''
c.non_query('DROP TABLE IF EXISTS t; CREATE TABLE t (id int, name text, price numeric, at timestamptz, b bytea, "Odd Name" int)')
n = c.non_query('INSERT INTO t (id, name, price) VALUES ?', [[[1, 'a', 1.5], [2, "b'; DROP TABLE t --", None], [3, '\\', decimal.Decimal('3.10')]]])
out = [n, c.non_query('UPDATE t SET ? WHERE id = ?', [{'name': '?', 'Odd Name': 9, 'b': b'\x00\x01'}, 1])]
out.append(c.query('SELECT * FROM t WHERE id IN (?) ORDER BY ??', [[1, 3], 'ID']))
out.append(c.query('SELECT id FROM ?? WHERE name = ?', ['public.t', "b'; DROP TABLE t --"]))
out.append(c.query('SELECT id FROM t WHERE id IN (?)', [[]]))
out.append(c.query("SELECT '?' AS a, ? AS b, $$ ? $$ AS c, '??' || ? AS d -- ?\n, 1 AS e /* ? */", [1, 'z'])[0])
out.append(c.query('SELECT $1::int + $2::int AS s', [1, 2]))
out.append(c.query('SELECT ?', 5))
out.append(c.query_one('SELECT name FROM t WHERE id = ?', 2))
out.append(c.query('SELECT round(?, 1) AS r, repeat(?, ?) AS s', [2.345, 'x', 3])[0])
out.append([c.query('SELECT ? AS v', [v])[0]['v'] == v for v in (True, 2**40, -1, 0.5, 'text', b'\xff\x00', decimal.Decimal('1.10'),
    datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.timedelta(1, 2, 3), datetime.time(1, 2, 3),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), datetime.time(8, tzinfo=datetime.timezone(datetime.timedelta(hours=-3.5))),
    datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=8, minutes=5, seconds=43))), datetime.datetime.max, datetime.datetime.min,
    decimal.Decimal('-Infinity'), float('inf'), -2**63, decimal.Decimal(2**200))])
return out
''')
    assert got[0] == 3 and got[1] == 1
    assert [r['id'] for r in got[2]] == [1, 3] and got[2][0]['name'] == '?' and got[2][0]['Odd Name'] == 9
    assert got[2][1]['name'] == '\\'
    assert got[3] == [{'id': 2}] and got[4] == []
    assert got[5] == {'a': '?', 'b': 1, 'c': ' ? ', 'd': '??z', 'e': 1}
    assert got[6] == [{'s': 3}] and got[7] == [{'?column?': 5}]
    assert got[8] == {'name': "b'; DROP TABLE t --"} and got[9] == {'r': 2.3, 's': 'xxx'} and all(got[10]), got[9:]


def test_operators_and_texts_of_the_server(api, cid):
    """? as an operator of jsonb, texts with backslashes, an encoding that the script asked for, a set, what is no value."""
    got = on(api, cid, r'''
c.non_query('DROP TABLE IF EXISTS j')
c.non_query("CREATE TABLE j AS SELECT 1 AS id, jsonb_build_object('a', 1) AS j")
out = [c.query("SELECT j ? 'a' AS v, j ?| array['b'] AS w FROM j"), c.query("SELECT j ? $1 AS v, j ?& array['a', 'b'] AS w, '?' AS x FROM j WHERE id = $2", ['a', 1])]
out.append(c.query("SELECT jsonb_exists(j, ?) AS v FROM j WHERE id IN (?)", ['a', {1, 2}]))
c.query('SET standard_conforming_strings = off; SET escape_string_warning = off')
out.append(c.query("SELECT 'a\\'?' AS v, ? AS w, id AS \"\\\" FROM j", [2]))
c.query("SET client_encoding = 'LATIN1'")
out.append([repr(v) for v in c.query("SELECT chr(233) AS v, json_build_object('a', chr(233)) AS w, 'x' AS x")[0].values()])
class Odd: pass
out.append([tell(lambda: c.query('SELECT ?', [v])) for v in (Odd(), (x for x in [1]), time.time, datetime.timedelta.max, '\ud800')])
class Scalar:  # as NumPy's
    shape, item, __array__ = (), lambda self: 7, None
class Array:
    shape, tolist, __array__ = (2,), lambda self: [1, 2], None
out.append(c.query('SELECT ? AS v WHERE 1 IN (?) AND 2 IN (?) AND 2 IN (?)', [Scalar(), range(2), {2: 1}.keys(), Array()]))
return out
''')
    assert got[:3] == [[{'v': True, 'w': False}], [{'v': True, 'w': False, 'x': '?'}], [{'v': True}]]
    assert got[3] == [{'v': "a'?", 'w': 2, '\\': 1}] and got[4] == [r"b'\xe9'", 'b\'{"a" : "\\xe9"}\'', "'x'"]
    assert [e[0] for e in got[5]] == ['TypeError', 'TypeError', 'TypeError', 'OverflowError', 'UnicodeEncodeError']
    assert 'Odd' in got[5][0][1] and 'make a list of it' in got[5][1][1] and 'not called' in got[5][2][1] and got[6] == [{'v': 7}]


def test_errors(api, cid):
    """Classes, SQLSTATE and the server's words."""
    got = on(api, cid, r'''
c.non_query('DROP TABLE IF EXISTS u')
c.non_query('CREATE TABLE u (id int PRIMARY KEY)')
c.non_query('INSERT INTO u VALUES (1)')
return [tell(lambda: c.query('SELECT * FROM nowhere')), tell(lambda: c.query('SELEKT')), tell(lambda: c.non_query('INSERT INTO u VALUES (1)')),
        tell(lambda: c.query('SELECT 1/0')), tell(lambda: c.query('SELECT ?::int', ['x'])), tell(lambda: c.query('CREATE ROLE x')),
        tell(lambda: c.query('')), tell(lambda: c.query('COPY u TO STDOUT')), tell(lambda: c.query('SELECT ?', ['\0'])),
        c.query('SELECT 1 AS still')[0]['still']]
''')
    assert [(g[0], g[3]) for g in got[:6]] == [
        ('QueryError', '42P01'), ('QueryError', '42601'), ('ConflictError', '23505'), ('QueryError', '22012'),
        ('QueryError', '22P02'), ('Denied', '42501')]
    assert 'nowhere' in got[0][1] and 'at character 15' in got[0][1] and 'Key (id)=(1)' in got[2][1]
    assert got[6][0] == 'InvalidArgument' and got[7][0] == 'NotSupported' and got[8][0] == 'InvalidArgument' and got[9] == 1


def test_transactions(api, cid, pg):
    """commit, rollback, isolation from the plain helper, a failed one, a forgotten one with its line."""
    got = on(api, cid, '''
c.non_query('DROP TABLE IF EXISTS tx')
c.non_query('CREATE TABLE tx (v text)')
t = c.start_trans()
out = [c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['a']), c.trans_query(t, 'SELECT v FROM tx'), c.query('SELECT v FROM tx')]
c.commit(t)
t = c.start_trans()
c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['b'])
c.rollback(t)
t = c.start_trans()
c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['c'])
out.append(tell(lambda: c.trans_query(t, 'SELECT 1/0'))[3])
out.append(tell(lambda: c.commit(t))[3])
keep = c.start_trans()
c.trans_non_query(keep, 'INSERT INTO tx VALUES (?)', ['forgotten'])
return out + [c.query('SELECT v FROM tx')]
''')
    assert got == [1, [{'v': 'a'}], [], '22012', '25P02', [{'v': 'a'}]]
    assert on(api, cid, "return c.query('SELECT v FROM tx')") == [{'v': 'a'}]
    assert on(api, cid, '''
a, b = c.start_trans(), c.start_trans()
for t in (a, b):
    t.query('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')
    t.query('SELECT count(*) FROM tx')
    t.non_query("INSERT INTO tx VALUES ('s')")
c.commit(a)
failed = tell(lambda: c.commit(b))
c.rollback(b)  # as scripts do after any error: the first one counts
told = [failed[0], failed[3], tell(lambda: c.rollback(a))[0]]
t = c.start_trans()
t.non_query("INSERT INTO tx VALUES ('lost')")
c.query('SELECT pg_terminate_backend(?)', [t.query('SELECT pg_backend_pid() AS p')[0]['p']])
time.sleep(0.1)
told += [tell(lambda: t.query('SELECT 1'))[0], tell(lambda: t.query('SELECT 1'))[0]]
c.rollback(t)
t = c.start_trans()
c.query('SELECT pg_terminate_backend(?)', [t.query('SELECT pg_backend_pid() AS p')[0]['p']])
time.sleep(0.1)
return told + [tell(lambda: c.commit(t))[0], c.query('SELECT v FROM tx')]
''') == ['ConflictError', '40001', 'RuntimeError', 'ConnUnavailable', 'ConnUnavailable', 'ConnUnavailable', [{'v': 'a'}, {'v': 's'}]]
    assert pg.psql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'").strip() == '0'


def test_nothing_leaks_to_the_next_call(api, cid, pg):
    """Settings, role, temporary tables, prepared statements, locks, LISTEN, an open transaction."""
    pg.psql('CREATE ROLE other; GRANT other TO tenon')
    leave = '''
c.query("SET search_path = pg_catalog")
c.query("SET my.secret = 'x'")
c.query('CREATE TEMP TABLE mine (x int)')
c.query('SET ROLE other')
c.query("PREPARE mine AS SELECT 1")
c.query('LISTEN mine')
c.query("NOTIFY mine, 'x'")
c.query("SET client_encoding = 'LATIN1'; SET standard_conforming_strings = off; SET TIME ZONE 'UTC'; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
c.query('SELECT pg_advisory_lock(42)')
c.query('BEGIN')
return [c.query("SHOW search_path")[0]['search_path'], c.query('SELECT pg_backend_pid() AS p')[0]['p']]
'''
    look = '''
return [c.query("SHOW search_path")[0]['search_path'], c.query("SELECT current_setting('my.secret', true) AS v")[0]['v'],
        c.query("SELECT to_regclass('mine') AS v")[0]['v'], c.query('SELECT count(*) AS n FROM pg_prepared_statements')[0]['n'],
        c.query('SELECT count(*) AS n FROM pg_listening_channels()')[0]['n'],
        c.query("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'")[0]['n'],
        c.query("SELECT now() = statement_timestamp() AND concat_ws(' ', current_user, current_setting('client_encoding'), current_setting('TimeZone'), "
                "current_setting('standard_conforming_strings'), current_setting('transaction_read_only')) = 'tenon UTF8 Asia/Shanghai on off' AS v")[0]['v'],
        c.query('SELECT pg_backend_pid() AS p')[0]['p']]
'''
    seen = set()
    for _ in range(6):
        path, pid = on(api, cid, leave)
        assert path == 'pg_catalog'
        seen.add(pid)
        assert on(api, cid, look)[:7] == ['"$user", public', None, None, 0, 0, 0, True] or \
            on(api, cid, look)[:7] == ['"$user", public', '', None, 0, 0, 0, True]
        seen.add(on(api, cid, look)[7])
    assert len(seen) <= 4, 'connections are reused: %s' % seen


@shows('streaming', 'row by row, bounded memory')
def test_stream_and_limits(api, pg):
    """A large result: refused in one piece beyond max_result, read row by row otherwise."""
    cid = add(api, 'postgresql', pg.config(max_result='1M'))
    got = on(api, cid, '''
sql = "SELECT i, repeat('x', 100) AS t FROM generate_series(1, ?) i"
told = tell(lambda: c.query(sql, [100000]))
n = s = 0
for row in c.stream(sql, [100000], size=5000):
    n += 1
    s += row['i']
first = next(iter(c.stream(sql, [100000])))['i']
bad = tell(lambda: list(c.stream('SELECT 1/(3-i) AS v FROM generate_series(1, 5) i')))
return [told, n, s, first, bad, c.query('SELECT 1 AS v')]
''')
    assert got[0][0] == 'LimitExceeded' and 'max_result' in got[0][1]
    assert got[1:4] == [100000, 5000050000, 1] and got[4][3] == '22012' and got[5] == [{'v': 1}]


def test_all_workers_together(server, api, pg):
    """pool.max_total: many workers, few connections, everybody gets his turn; a worker that is killed gives back what it had."""
    path = '/api/v1/sync/%s/simplified' % api.function("""
import os, signal
@DFF.API('f', timeout=30)
def f(end=''):
    c = DFF.CONN('%s')
    # a session that was closed is there for a moment longer, but idle
    n = c.query("SELECT count(*) AS n, pg_sleep(0.1) FROM pg_stat_activity WHERE application_name = 'together' AND state = 'active'")[0]['n']
    if end:
        os.kill(os.getpid(), signal.SIGKILL)
    return n
""" % add(api, 'postgresql', pg.config(application='together', pool={'max_total': 2, 'acquire': '20s'})), 'f', {'end': 'INPUT_BY_CALLER'})

    def call(end):
        with urllib.request.urlopen(server.base + path + end, timeout=60) as answer:
            return int(answer.read())

    def broken():
        with pytest.raises(urllib.error.HTTPError):
            call('?end=now')
    with concurrent.futures.ThreadPoolExecutor(12) as many:
        seen = [many.submit(call, '') for _ in range(16)]
        killed = [many.submit(broken) for _ in range(3)]
        assert [k.result() for k in killed] == [None] * 3
        assert {s.result() for s in seen} <= {1, 2}
    assert call('') <= 2
    refused = not_addable(api, 'postgresql', pg.config(pool={'min': 3, 'max': 4, 'max_total': 2}))
    assert 'pool.min = 3 is more than pool.max_total = 2' in refused['exception']


class TestPostgreSQL(Contract, Panel, Threads, FunctionIsSeen, FewConnections, TwoServers, Breaks, BadLines, Refusals, ClientCertificate, Deadlines, Injection):
    """What postgresql shares with the other connectors."""

    type, fixture, make = 'postgresql', 'pg', PostgreSQL
    ask, gives = "c.query('SELECT 1 AS v')", [{'v': 1}]
    victim, no_name = 'v text, b bytea', ('42703', '42601')
    endless = ['SELECT pg_sleep(20)']
    tls_ask, tls_gives = "c.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')", [{'ssl': True}]
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_CA, NO_FIELD,
                ({'password': 'wrong'}, 'Denied', 'sign-in: password authentication failed'), ({'password': None}, 'Denied', 'password'),
                ({'user': 'nobody'}, 'Denied', 'sign-in: password authentication failed'), ({'database': 'nowhere'}, 'ConfigError', 'database "nowhere" does not exist')]
    bad_line_kinds = ('ConnTimeout', 'ConnUnavailable', 'Denied')
    fetch = "len(c.query('SELECT i, repeat(i::text, 20) AS t FROM generate_series(1, ?) i', [n]))"
    restarted = {'tls': 'prefer'}
    own_statement = "c.query('SELECT query, ?::int AS n FROM pg_stat_activity WHERE pid = pg_backend_pid()', [1])[0]['query']"
    in_thread = 'SELECT pg_sleep(0.3), pg_backend_pid() AS p'
    panel = [("SELECT datname FROM pg_database WHERE datname = 'tenon'", lambda rows: rows == [{'datname': 'tenon'}]),
             ("SELECT 1.50::numeric AS n, now() IS NULL AS b, '\\x00'::bytea AS x", lambda rows: rows[0]['b'] is False)]
    panel_refused = 'SELECT nope'
    contract = ['query=["SELECT 1 AS a, NULL AS b, \'x\'::bytea AS c"]']

    def still_running(self, api, it):
        return it.psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%SELECT pg_sleep(20)%' AND state = 'active' AND pid <> pg_backend_pid()").strip() != '0'

    def tls_configs(self, own, ca):
        yield from super().tls_configs(own, ca)
        yield own.config(tls='prefer')

    def change_password(self, own):
        own.password('another')
        own.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tenon'")

    def contract_config(self, it):
        return it.config(tls='on', tls_ca=it.certs.dir + '/ca.pem')

    def test_tls_off_and_an_account_of_certificates(self, api, pg, certs):
        """Off is off; a certificate instead of a password."""
        off = add(api, 'postgresql', pg.config(tls='off'))
        assert on(api, off, 'return ' + self.tls_ask) == [{'ssl': False}]
        pem, key = certs.pair('client')
        me = add(api, 'postgresql', pg.config(user='tls_user', password='', tls='on', tls_ca=certs.text('ca.pem'), tls_cert=pem, tls_key=key, database='postgres'))
        assert on(api, me, "return c.query('SELECT current_user AS u')") == [{'u': 'tls_user'}]


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'postgresql', 'libpq', 'PostgreSQL 15')
