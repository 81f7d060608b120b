# SPDX-License-Identifier: Apache-2.0
"""connectors/sqlserver in scripts, against our TDS peer; SQLSERVER_TEST_DSN (JSON of a connector's configuration) runs the
cases that need no faults against a real server instead."""

import os
import subprocess

import pytest
from peers.proxy import Proxy
from peers.tds import PASSWORD, TDS
from support.cases import (BAD_LINES, GONE, LATE, NO_CA, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, Contract, Deadlines, FewConnections,
                           FunctionIsSeen, Injection, Panel, Readme, Refusals, Threads, TwoServers)
from support.connectors import add, hands, not_addable, on, peer
from support.matrix import check_row, shows
from support.real import SQLSERVER, real_server
from support.server import BUILD, wait_for

REAL = os.environ.get(SQLSERVER.variable)
peer_only = pytest.mark.skipif(bool(REAL), reason='needs the TDS peer')


@pytest.fixture(scope='module')
def ms(request, certs):
    if REAL:
        with real_server(request.getfixturevalue('server'), SQLSERVER) as real:
            yield real
        return
    with peer(TDS, certs) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, ms):
    return add(server.client(), 'sqlserver', ms.config())


# One column of every type: its declaration, a value in SQL, and what a script sees (repr).
VALUES = [
    ('tinyint', '255', '255'), ('smallint', '-32768', '-32768'), ('int', '-2147483648', '-2147483648'), ('bigint', '-9223372036854775808', '-9223372036854775808'),
    ('bit', '1', 'True'), ('decimal(20,2)', "'1.50'", "Decimal('1.50')"), ('decimal(38,10)', "'-1234567890123456789012345678.0000000001'",
                                                                          "Decimal('-1234567890123456789012345678.0000000001')"),
    ('decimal(5,5)', "'-0.00001'", "Decimal('-0.00001')"), ('money', "'-922337203685477.5808'", "Decimal('-922337203685477.5808')"),
    ('smallmoney', "'0.1'", "Decimal('0.1000')"), ('float', '0.1', '0.1'), ('float', '1e300', '1e+300'), ('real', '1.5', '1.5'),
    ('varchar(50)', "'a\u00e9'", "'a\u00e9'"), ('nvarchar(50)', "N'a\u6570\U0001f600'", "'a\u6570\U0001f600'"), ('nchar(4)', "N'ab'", "'ab  '"), ('nvarchar(10)', "N''", "''"),
    ('nvarchar(max)', "N'\u6570'", "'\u6570'"), ('varbinary(10)', '0x00ff', r"b'\x00\xff'"), ('binary(3)', '0x01', r"b'\x01\x00\x00'"), ('varbinary(max)', '0x', "b''"),
    ('date', "'2026-02-28'", 'datetime.date(2026, 2, 28)'), ('date', "'0001-01-01'", 'datetime.date(1, 1, 1)'),
    ('datetime', "'2026-01-01T08:00:00.997'", 'datetime.datetime(2026, 1, 1, 8, 0, 0, 997000)'),
    ('smalldatetime', "'2026-01-01T08:05:00'", 'datetime.datetime(2026, 1, 1, 8, 5)'),
    ('datetime2', "'2026-01-01T00:00:00.0000019'", 'datetime.datetime(2026, 1, 1, 0, 0, 0, 1)'), ('datetime2(0)', "'9999-12-31T23:59:59'", 'datetime.datetime(9999, 12, 31, 23, 59, 59)'),
    ('datetimeoffset', "'2026-01-01T08:00:00.5 +08:00'", 'datetime.datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=datetime.timezone.utc)'),
    ('time', "'08:30:00.25'", 'datetime.time(8, 30, 0, 250000)'), ('uniqueidentifier', "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'"),
    ('text', "'x'", "'x'"), ('ntext', "N'\u6570'", "'\u6570'"), ('image', '0x0102', r"b'\x01\x02'"), ('xml', "'<a>1</a>'", "'<a>1</a>'"), ('int', 'NULL', 'None'),
    ('nvarchar(max)', 'NULL', 'None'), ('datetimeoffset', 'NULL', 'None'),
]


@pytest.fixture(scope='module')
def table(server, cid):
    """A table with a row of VALUES."""
    on(server.client(), cid, '''
c.non_query('DROP TABLE IF EXISTS vals')
c.non_query(create)
return c.non_query(insert)
''', create='CREATE TABLE vals (%s)' % ', '.join('c%d %s null' % (i, v[0]) for i, v in enumerate(VALUES)),
       insert='INSERT INTO vals VALUES (%s)' % ', '.join(v[1] for v in VALUES))
    return 'vals'


def test_values(api, cid, table):
    """Every type, read without parameters and with them, in arrays and one by one."""
    short = ', '.join('c%d' % i for i, v in enumerate(VALUES) if 'max' not in v[0] and v[0] not in ('text', 'ntext', 'image', 'xml'))
    got = on(api, cid, '''
rows = [c.query('SELECT * FROM vals')[0], c.query('SELECT * FROM vals WHERE 1 = ?', [1])[0], c.query('SELECT %s FROM vals' % short)[0]]
return [{k: repr(v) for k, v in r.items()} for r in rows]
''', short=short)
    assert [len(r) for r in got] == [len(VALUES)] * 2 + [short.count('c')]
    for row in got:
        assert [(k, v, VALUES[int(k[1:])]) for k, v in row.items() if v != VALUES[int(k[1:])][2]] == []


@peer_only
def test_values_as_pytds(api, ms, table):
    """The same row through an independent client: equal where both have a value of their own."""
    pytds = pytest.importorskip('pytds')
    with pytds.connect('127.0.0.1', 'tenon', 'tenon', PASSWORD, port=ms.port) as c, c.cursor() as cur:
        cur.execute('SELECT * FROM vals')
        theirs = [repr(v) for v in cur.fetchone()]
    # pytds: its own zones and UUIDs; zeros behind the point of decimals are cut
    known = {'datetimeoffset', 'uniqueidentifier', 'decimal(20,2)', 'money', 'smallmoney', 'xml', 'decimal(5,5)', 'time'}
    assert [(t, v) for t, v in zip(theirs, VALUES) if t != v[2] and v[0].split('(')[0] not in known and v[0] not in known] == []


def test_parameters(api, cid):
    """? and ??, lists, dicts, types; nothing becomes part of the statement (spec 4.1.2)."""
    got = on(api, cid, r'''
c.non_query('DROP TABLE IF EXISTS t')
c.non_query('CREATE TABLE t (id int, name nvarchar(100), price decimal(10,2), at datetime2, b varbinary(100), [Odd ]] Name] int)')
n = c.non_query('INSERT INTO t (id, name, price) VALUES ?', [[[1, 'a', 1.5], [2, "b'; DROP TABLE t --", None], [3, '\\', decimal.Decimal('3.10')]]])
out = [n, c.non_query('UPDATE t SET ? WHERE id = ?', [{'name': '?', 'Odd ] Name': 9, 'b': b'\x00\x01'}, 1])]
out.append([[r['id'], r['name'], r['Odd ] Name'], r['b']] for r in c.query('SELECT * FROM t WHERE id IN (?) ORDER BY ??', [[1, 3], 'ID'])])
out.append(c.query('SELECT id FROM ?? WHERE name = ?', ['dbo.t', "b'; DROP TABLE t --"]))
out.append(c.query('SELECT id FROM t WHERE id IN (?)', [[]]))
out.append(c.query("SELECT '?' AS a, ? AS b, id AS [?] FROM t WHERE id = ? /* ? */ -- ?", [1, 2])[0])
out.append(c.query('SELECT ? AS v', 5))
out.append(c.query_one('SELECT TOP (?) name FROM t WHERE id = ?', [1, 2]))
out.append([c.query('SELECT CAST(? AS ' + t + ') AS v', [v])[0]['v'] == v for v, t in ((2**40, 'bigint'), (-1, 'int'), (0.5, 'float'), ('text', 'nvarchar(10)'),
    (b'\xff\x00', 'varbinary(5)'), (decimal.Decimal('1.10'), 'decimal(5,2)'), (decimal.Decimal('-1E+3'), 'decimal(8,1)'), (decimal.Decimal('1e-9'), 'decimal(12,10)'),
    (decimal.Decimal('0.00'), 'decimal(5,2)'), (decimal.Decimal('-' + '9' * 38), 'decimal(38,0)'), (datetime.date(2026, 1, 2), 'date'), (True, 'bit'), (False, 'bit'),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), 'datetime2'), (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.timezone.utc), 'datetimeoffset'),
    (datetime.time(3, 4, 5, 6), 'time'), (datetime.datetime(1, 1, 1), 'datetime2'), (None, 'varbinary(5)'))])
out.append([c.query('SELECT ? AS v', [v])[0]['v'] == v for v in ('x' * 100000, '\u6570' * 5000, '\U0001f600' * 2100, '', b'\x00' * 100000, b'', 'a\u6570\U0001f600', 1.5, 2**40, True,
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.date(2026, 1, 2), decimal.Decimal('12.50'))])
out.append([(tell(f) or [None])[0] for f in (lambda: c.query('SELECT ?, ?', [1]), lambda: c.query('SELECT ? AS v'), lambda: c.non_query('INSERT INTO t (id, name) VALUES (?, ?)', [9]), lambda: c.query('SELECT ?', [decimal.Decimal('NaN')]), lambda: c.query('SELECT ?', [float('inf')]),
    lambda: c.query('SELECT ?', [decimal.Decimal('1' * 39)]), lambda: c.query('SELECT ?', [datetime.timedelta(days=2)]),
    lambda: c.query('SELECT 1 WHERE 1 IN (?)', [[1] * 2101]))])
out.append(c.query('SELECT count(*) AS n FROM t WHERE id IN (?)', [[1] * 2100])[0]['n'])
out.append(int(c.query('SELECT ? AS v', [2**70])[0]['v']))
out.append(c.query('SELECT 4, 5 AS a, 6')[0])
return out
''')
    assert got[0] == 3 and got[1] == 1 and got[2] == [[1, '?', 9, "b'\\x00\\x01'"], [3, '\\', None, None]] or got[2][0][:3] == [1, '?', 9], got[2]
    assert got[3] == [{'id': 2}] and got[4] == [] and got[5] == {'a': '?', 'b': 1, '?': 2}
    assert got[6] == [{'v': 5}] and got[7] == {'name': "b'; DROP TABLE t --"} and all(got[8]), got[8]
    assert all(got[9]), got[9]
    assert got[10] == ['InvalidArgument'] * 7 + ['LimitExceeded'] and got[11] == 1, got[10]
    assert got[12] == 2**70 and got[13] == {'column1': 4, 'a': 5, 'column3': 6}


def test_errors(api, cid):
    got = on(api, cid, r'''
c.non_query('DROP TABLE IF EXISTS u')
c.non_query('CREATE TABLE u (id int PRIMARY KEY)')
c.non_query('INSERT INTO u VALUES (1)')
return [tell(lambda: c.query('SELECT * FROM nowhere')), tell(lambda: c.query('SELEKT 1 FROM')), tell(lambda: c.non_query('INSERT INTO u VALUES (?)', [1])),
        tell(lambda: c.query('SELECT 1 \0 AS a')), c.query('SELECT 1 AS still')[0]['still'], c.non_query('SELECT 1'), c.query('UPDATE u SET id = 2'), c.non_query('UPDATE u SET id = 3 WHERE id = 9'),
        tell(lambda: c.query("SELECT CAST('x' AS int)")), tell(lambda: c.query('SELECT CAST(300 AS tinyint)'))]
''')
    assert [(g[0], g[2]) for g in got[:3]] == [('QueryError', 208), ('QueryError', got[1][2]), ('ConflictError', 2627)] and got[1][2] in (102, 156, 2812)
    assert 'nowhere' in got[0][1] and '[' not in got[0][1] and got[0][3] == '42S02' and got[3][0] == 'InvalidArgument'
    assert got[4] == 1 and got[5] == 0 and got[6] == [] and got[7] == 0 and got[8][2] == 245 and got[9][0] == 'QueryError', got


@peer_only
def test_denied(api, cid):
    on(api, cid, "c.non_query('CREATE TABLE hidden (x int)')\nc.non_query('DENY SELECT ON hidden TO tenon')")
    told = on(api, cid, "return tell(lambda: c.query('SELECT * FROM hidden'))")
    assert told[0] == 'Denied' and told[2] == 229


@peer_only
def test_numbers_of_the_server(api, cid):
    """The class that each has; messages which are no errors, before, between and behind results."""
    kinds = {1205: 'ConflictError', 1222: 'ConflictError', 3960: 'ConflictError', 2601: 'ConflictError', 229: 'Denied', 262: 'Denied', 916: 'Denied', 10928: 'LimitExceeded', 40501: 'LimitExceeded',
             547: 'QueryError', 515: 'QueryError', 8134: 'QueryError', 4060: 'ConfigError', 596: 'ConnUnavailable'}
    got = on(api, cid, '''
told = [tell(lambda: c.query('EXEC tds_error %d, 14' % n)) for n in numbers]
notes = "PRINT 'one'; SELECT 1 AS a; RAISERROR('two', 10, 1); SELECT 2 AS b; PRINT 'three'"
return [told, c.query_all(notes), c.query(notes), c.non_query("PRINT N'x'"), list(c.stream(notes)), tell(lambda: c.query("PRINT 'x'; RAISERROR('no tea', 16, 1)")),
        tell(lambda: c.query("SELECT 1 AS v; RAISERROR('late', 16, 1)"))]
''', numbers=list(kinds))
    assert [(n, t[0], t[2]) for n, t in zip(kinds, got[0])] == [(n, k, n) for n, k in kinds.items()], got[0]
    assert got[1:5] == [[[{'a': 1}], [{'b': 2}]], [{'a': 1}], 0, [{'a': 1}]], got[1:5]
    assert [(g[0], g[2]) for g in got[5:]] == [('QueryError', 50000)] * 2 and 'no tea' in got[5][1] and 'late' in got[6][1], got[5:]


@peer_only
def test_a_transaction_that_the_server_ended(api, cid):
    """A deadlock, an error under XACT_ABORT: nothing is kept of what comes behind, until rollback(); another error leaves the transaction."""
    for before, error, kind in ((None, 'EXEC tds_error 1205, 13', 'ConflictError'), ('SET XACT_ABORT ON', "RAISERROR('x', 16, 1)", 'QueryError')):
        got = on(api, cid, '''
c.non_query('DROP TABLE IF EXISTS tx')
c.non_query('CREATE TABLE tx (v int)')
t = c.start_trans()
if before:
    c.trans_non_query(t, before)
c.trans_non_query(t, 'INSERT INTO tx VALUES (1)')
out = [tell(lambda: c.trans_non_query(t, error)), tell(lambda: c.trans_non_query(t, 'INSERT INTO tx VALUES (2)')), tell(lambda: c.trans_query(t, 'SELECT 1 AS v')), tell(lambda: c.commit(t))]
t = c.start_trans()
c.trans_non_query(t, 'INSERT INTO tx VALUES (3)')
tell(lambda: c.trans_non_query(t, error))
c.rollback(t)
t = c.start_trans()
c.trans_non_query(t, 'INSERT INTO tx VALUES (4)')
out.append(tell(lambda: c.trans_query(t, 'SELECT * FROM nowhere'))[2])
c.trans_non_query(t, 'INSERT INTO tx VALUES (5)')
c.commit(t)
return out + [c.query('SELECT v FROM tx ORDER BY v')]
''', before=before, error=error)
        assert got[0][0] == kind and [g[0] for g in got[1:4]] == ['ConflictError'] * 3 and all('rolled this transaction back' in g[1] for g in got[1:4]), got
        assert got[4:] == [208, [{'v': 4}, {'v': 5}]], got


@peer_only
def test_the_environment_does_not_count(ms, tmp_path):
    """FreeTDS would go elsewhere, speak another version, and write what it sends into a file."""
    command = [os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_sqlserver.so'), '--call', 'query=["SELECT 1 AS a"]']
    for field, value in ms.config().items():
        command += ['--config', '%s=%s' % (field, value)]
    foreign = {'TDSHOST': '192.0.2.1', 'TDSPORT': '1', 'TDSVER': '5.0', 'TDSDUMP': str(tmp_path / 'dump'), 'TDSDUMPCONFIG': str(tmp_path / 'config')}
    done = subprocess.run(command, env={**os.environ, **foreign}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0 and os.listdir(tmp_path) == [], done.stdout


def test_several_results(api, cid):
    assert on(api, cid, '''
many = 'SELECT 1 AS a; UPDATE one SET x = x + 1; SELECT 2 AS b, 3 AS c WHERE 1 = 0; SELECT 4 AS d'
c.non_query('DROP TABLE IF EXISTS one')
c.non_query('CREATE TABLE one (x int)')
out = [c.non_query('INSERT INTO one VALUES (1); INSERT INTO one VALUES (2), (3)'), c.query_all(many), c.query(many), c.non_query(many)]
out.append(tell(lambda: c.query_all('SELECT 1 AS a; SELECT * FROM nowhere'))[2])
return out + [c.query('SELECT sum(x) AS s FROM one'), c.query_all('UPDATE one SET x = ?', [1])]
''') == [3, [[{'a': 1}], [], [{'d': 4}]], [{'a': 1}], 3, 208, [{'s': 15}], []]


def test_transactions(api, cid):
    """commit, rollback, isolation from the plain helper, a forgotten one, one that the script began in SQL."""
    got = on(api, cid, '''
c.non_query('DROP TABLE IF EXISTS tx')
c.non_query('CREATE TABLE tx (v nvarchar(20))')
t = c.start_trans()
out = [c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['a']), c.trans_query(t, 'SELECT v, @@TRANCOUNT AS n FROM tx')]
c.commit(t)
t = c.start_trans()
c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['b'])
c.rollback(t)
keep = c.start_trans()
c.trans_non_query(keep, 'INSERT INTO tx VALUES (?)', ['forgotten'])
return out
''')
    assert got == [1, [{'v': 'a', 'n': 1}]]
    assert on(api, cid, "return c.query('SELECT v, @@TRANCOUNT AS n FROM tx')") == [{'v': 'a', 'n': 0}]
    assert on(api, cid, "c.query('BEGIN TRANSACTION')\nreturn c.non_query(\"INSERT INTO tx VALUES ('c')\")") == 1
    assert on(api, cid, "return c.query('SELECT v, @@TRANCOUNT AS n FROM tx')") == [{'v': 'a', 'n': 0}]


def test_nothing_leaks_to_the_next_call(api, cid):
    """Settings, database, temporary tables; connections whose calls only read and wrote rows are used again."""
    seen = set()
    for what in ('SET LOCK_TIMEOUT 1234', 'USE master', 'CREATE TABLE #mine (x int)'):
        on(api, cid, 'c.query(what)', what=what)
        got = on(api, cid, '''
return [c.query('SELECT @@LOCK_TIMEOUT AS t, DB_NAME() AS d')[0], tell(lambda: c.query('SELECT * FROM #mine'))[2]]
''')
        assert got == [{'t': -1, 'd': got[0]['d']}, 208] and got[0]['d'] != 'master', (what, got)
    for _ in range(6):
        seen.add(on(api, cid, "return c.query('SELECT @@SPID AS p')[0]['p']"))
    assert len(seen) <= 4, seen


def test_name_at_the_server(api, ms):
    cid = add(api, 'sqlserver', ms.config(application='shop; x={y}'))
    assert on(api, cid, "return c.query('SELECT program_name AS p FROM sys.dm_exec_sessions WHERE session_id = @@SPID')") == [{'p': 'shop; x={y}'}]


SERIES = 'WITH s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %s) SELECT i, REPLICATE(%s, 100) AS t FROM s OPTION (MAXRECURSION 0)'


@shows('streaming', 'row by row, bounded memory')
def test_stream_and_limits(api, ms):
    """A large result: refused in one piece beyond max_result, read row by row otherwise."""
    cid = add(api, 'sqlserver', ms.config(max_result='256K'))
    got = on(api, cid, '''
sql, p = series % ('5000', "'x'"), series % ('?', "'x'")
told = [tell(lambda: c.query(sql)), tell(lambda: c.query(p, [5000])), tell(lambda: c.query("SELECT REPLICATE(CAST('x' AS varchar(max)), 3000000) AS v"))]
sums = []
for args in ((sql,), (p, [5000])):
    n = s = 0
    for row in c.stream(*args, size=1000):
        n += 1
        s += row['i']
    sums.append([n, s])
wide = [len(r['v']) for r in c.stream("WITH s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 20) SELECT REPLICATE(CAST('x' AS varchar(max)), 100000) AS v FROM s", size=1000)]
first = next(iter(c.stream(sql)))['i']
bad = tell(lambda: list(c.stream('SELECT 1 AS a; SELECT * FROM nowhere')))
return [told, sums, first, bad, list(c.stream('UPDATE vals SET c0 = 1 WHERE 1 = 0')), c.query('SELECT 1 AS v'), wide == [100000] * 20]
''', series=SERIES)
    assert [t[0] for t in got[0]] == ['LimitExceeded'] * 3 and 'max_result' in got[0][0][1]
    assert got.pop()
    assert got[1] == [[5000, 12502500]] * 2 and got[2] == 1 and got[3][2] == 208 and got[4:] == [[], [{'v': 1}]]


def test_large_values(api, cid):
    """Texts and bytes longer than the pieces they are read in, characters across their edges."""
    assert on(api, cid, '''
out = []
for text in ('\\u6570', '\\U0001f600', 'a\\u00e9\\u6570'):
    for n in (21845, 21846, 70001):
        t = text * n
        out.append(c.query('SELECT CAST(? AS nvarchar(max)) AS v, 1 AS i', [t])[0] == {'v': t, 'i': 1})
for t in ('a\\0b' * 30000, '\\0' * 70000, '\\0\u6570' * 40000 + '\\0'):
    out.append(c.query('SELECT CAST(? AS nvarchar(max)) AS v, 1 AS i', [t])[0] == {'v': t, 'i': 1})
b = bytes(range(256)) * 1000
return out + [c.query('SELECT CAST(? AS varbinary(max)) AS v', [b])[0]['v'] == b]
''') == [True] * 13


# ---- TLS and sign-in --------------------------------------------------------------------------------------


# ---- faults -----------------------------------------------------------------------------------------------


@peer_only
def test_what_a_caller_left_behind_ends(api, server, ms):
    """The thread that hangs in the driver goes by the driver's own limit, soon after."""
    with Proxy(ms.port) as proxy:
        cid = add(api, 'sqlserver', ms.config(port=proxy.port, pool={'query': '400ms'}), skipTest=True)
        before = hands(server)
        on(api, cid, "return c.query('SELECT 1')")
        proxy.mode = 'black_hole'
        assert on(api, cid, "return tell(lambda: c.query(\"WAITFOR DELAY '00:00:01'\"))")[0] == 'ConnTimeout'
        assert wait_for(lambda: hands(server) <= before, 15)


class SQLServer:
    """What all cases need."""

    type, fixture, make = 'sqlserver', 'ms', TDS
    ask, gives = "c.query('SELECT 1 AS v')", [{'v': 1}]


class TestSQLServer(SQLServer, Readme, Panel, Threads, FunctionIsSeen, Deadlines, Injection):
    """What sqlserver shares with the other connectors, with any server."""

    victim, no_name = 'v nvarchar(200), b varbinary(200)', (207, 102, 4104)
    endless = ["WAITFOR DELAY '00:00:20'", ["WAITFOR DELAY '00:00:20'; SELECT ?", [20]]]
    own_statement = "c.query('SELECT event_info AS t FROM sys.dm_exec_input_buffer(@@SPID, 0)')[0]['t']"
    in_thread = "WAITFOR DELAY '00:00:00.5'; SELECT @@SPID AS p"
    panel = [('SELECT name FROM sys.databases', lambda rows: 'tempdb' in [r['name'] for r in rows]),
             ("SELECT TABLE_SCHEMA, TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = 'BASE TABLE'", lambda rows: 'panel' in [r['TABLE_NAME'] for r in rows]),
             ("SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'panel'",
              lambda rows: {'COLUMN_NAME': 'c0', 'DATA_TYPE': 'tinyint'} in rows)]
    panel_refused, before_panel = 'SELECT nope', "c.non_query('DROP TABLE IF EXISTS panel')\nc.non_query('CREATE TABLE panel (c0 tinyint)')"
    readme_id = 'erp_db'

    def still_running(self, api, it):
        busy = "return c.query(\"SELECT count(*) AS n FROM sys.dm_exec_requests WHERE command LIKE 'WAIT%'\")"
        return on(api, add(api, 'sqlserver', it.config()), busy) != [{'n': 0}]

    def before_readme(self, api, it):
        on(api, add(api, 'sqlserver', it.config()), """
for t in ('item', 'log'):
    c.non_query('DROP TABLE IF EXISTS ' + t)
    c.non_query('CREATE TABLE ' + t + ' (id int, name nvarchar(50))')
c.non_query('INSERT INTO item VALUES (1, NULL), (2, NULL)')
c.non_query('INSERT INTO log SELECT * FROM item')
""")

    def test_readme(self, api, it):
        super().test_readme(api, it)
        rows = on(api, 'erp_db', "return c.query('SELECT id, name FROM item ORDER BY id')")
        assert rows == [{'id': i, 'name': n} for i, n in ((1, 'tea'), (2, None), (3, 'a'), (4, 'b'))]


@peer_only
class TestTDS(SQLServer, Contract, FewConnections, TwoServers, Breaks, BadLines, Refusals):
    """What needs the peer: faults, its certificates and its account."""

    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_CA, NO_FIELD, ({'password': 'wrong'}, 'Denied', "sign-in: Login failed for user 'tenon'"),
                ({'password': 'x};UID={sa};PWD={y'}, 'ConfigError', 'password: FreeTDS takes no text with'), ({'user': 'x};SERVER={y'}, 'ConfigError', 'user: FreeTDS'),
                ({'user': 'nobody'}, 'Denied', 'sign-in: Login failed'), ({'database': 'nowhere'}, 'ConfigError', 'nowhere'),
                ({'tls_cert': 'x'}, 'ConfigError', 'tls_cert: SQL Server asks no client for a certificate'), ({'tls_key': 'x'}, 'ConfigError', 'tls_key: SQL Server asks'),
                ({'driver': 'No Such Driver'}, 'ConfigError', 'driver: '), ({'driver': '{x'}, 'ConfigError', 'driver: ')]
    fetch = 'len(c.query(%r, [n]))' % (SERIES % ('?', "'x'"))
    large = 2000
    tls_ask, tls_gives, says_why = "c.query(\"SELECT N'\u6570' AS v\")", [{'v': '\u6570'}], 'certificate'
    gone_at_once = ready_at_once = False
    contract = ['query=["SELECT 1 AS a, NULL AS b, 0x00 AS c"]']

    def tls_configs(self, own, ca):
        yield from super().tls_configs(own, ca)
        yield own.config(tls='prefer')
        yield own.config(tls='off')

    def change_password(self, own):
        own.password('another')
        own.stop()
        own.start()

    def contract_config(self, it):
        return it.config(tls='on', tls_ca=it.certs.dir + '/ca.pem')

    @pytest.mark.parametrize('mode', BAD_LINES)
    def test_connecting_with_tls_through_a_bad_line(self, api, it, mode):
        """A line that breaks is no certificate that is not good: another attempt may help."""
        with Proxy(it.port) as proxy:
            cid = add(api, self.type, self.at(it, proxy.port, tls='unverified', pool={'connect': '700ms'}), skipTest=True)
            proxy.mode, proxy.after = mode, 20
            told, seconds = on(api, cid, 't = time.monotonic()\nreturn [tell(lambda: c.check()), time.monotonic() - t]')
            assert told is not None and told[0] in (GONE, LATE) and seconds < 6, (told, seconds)

    @pytest.mark.parametrize('mode, kinds', [('half_open', LATE), ('cut', GONE)])
    def test_a_line_that_breaks_in_tls(self, api, ms, mode, kinds):
        """The same with records of TLS."""
        self.breaks_in_an_answer(api, ms, mode, kinds, self.fetch, tls='unverified')

    def test_tls_is_the_default_and_may_be_required(self, api, ms, other, certs):
        """Verifying is the default; a server may insist; what is preferred may be missing."""
        e = not_addable(api, 'sqlserver', {k: v for k, v in ms.config().items() if k != 'tls'})
        assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'] and 'certificate' in e['exception'], e
        assert on(api, add(api, 'sqlserver', other.config(tls='prefer')), 'return c.check()') is None  # it has none by now
        other.stop()
        other.certs, other.force = certs, True
        other.start()
        e = not_addable(api, 'sqlserver', other.config(tls='off'))
        assert 'TLS' in e['exception'], e


@peer_only
@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'sqlserver', 'unixODBC, FreeTDS', 'TDS 7.4 peer of ours (no Microsoft server)')
