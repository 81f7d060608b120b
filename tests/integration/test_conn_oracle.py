# SPDX-License-Identifier: Apache-2.0
"""connectors/oracle in scripts, over a stand-in for Oracle's client library; ORACLE_TEST_DSN (JSON of a connector's
configuration) runs the cases that need no faults against a real server instead."""

import os
import shutil
import subprocess
import threading
import time
from typing import Any

import pytest
from peers.oracle import PASSWORD, Oracle
from support.cases import Deadlines
from support.connectors import INJECTION, add, hands, not_addable, on, peer, refused, run
from support.matrix import check_row, shows
from support.readme import script_of
from support.real import ORACLE, real_server
from support.server import BUILD, ROOT, wait_for

REAL = os.environ.get(ORACLE.variable)
peer_only = pytest.mark.skipif(bool(REAL), reason='needs the stand-in')
LIBRARY = os.path.join(BUILD, 'tests/peers/oracle/libclntsh.so')

# No DROP … IF EXISTS before 23ai.
DROP = '''
def drop(*tables):
    for t in tables:
        told = tell(lambda: c.non_query('DROP TABLE ' + t))
        assert told is None or told[2] == 942, told
'''


@pytest.fixture(scope='module')
def library(server):
    """The stand-in where workers may read it."""
    if not os.path.exists(LIBRARY):
        pytest.skip('not built: packaging/fetch-odpi has not brought ODPI-C (log: build/deps/odpi.log)')
    folder = os.path.join(server.data, 'resources', 'oracle client')
    os.makedirs(folder, exist_ok=True)
    shutil.copy(LIBRARY, folder)
    return folder


@pytest.fixture(scope='module')
def ora(request):
    if REAL:
        with real_server(request.getfixturevalue('server'), ORACLE) as real:
            yield real
        return
    with peer(Oracle, request.getfixturevalue('library')) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, ora):
    return add(server.client(), 'oracle', ora.config())


@pytest.fixture
def changing(library):
    """A server to be stopped and changed."""
    with peer(Oracle, library) as p:
        yield p


# One column of every type: its declaration, a value in SQL, and what a script sees (repr).
VALUES = [
    ('NUMBER(10)', '2147483647', '2147483647'), ('NUMBER(18)', '-999999999999999999', '-999999999999999999'), ('NUMBER', '9223372036854775807', '9223372036854775807'),
    ('NUMBER(38)', "'99999999999999999999999999999999999999'", "Decimal('99999999999999999999999999999999999999')"), ('NUMBER', '0', '0'), ('NUMBER', '-1', '-1'),
    ('NUMBER', "'0.5'", "Decimal('0.5')"), ('NUMBER', "'-0.05'", "Decimal('-0.05')"), ('NUMBER', "'100'", '100'), ('NUMBER', "'-100.01'", "Decimal('-100.01')"),
    ('NUMBER(10,2)', "'1.50'", "Decimal('1.5')"), ('NUMBER(10,2)', "'7'", "Decimal('7')"), ('NUMBER(38,10)', "'-1234567890123456789012345678.0000000001'",
                                                                                             "Decimal('-1234567890123456789012345678.0000000001')"),
    ('NUMBER', "'1e125'", "Decimal('1" + '0' * 125 + "')"), ('NUMBER', "'1e-130'", "Decimal('1E-130')"), ('INTEGER', '5', '5'), ('FLOAT', '1.5', '1.5'), ('FLOAT', '2', '2.0'),
    ('BINARY_FLOAT', '1.5', '1.5'), ('BINARY_DOUBLE', '0.1', '0.1'), ('BINARY_DOUBLE', '1e300', '1e+300'),
    ('VARCHAR2(50)', "'a\u00e9'", "'a\u00e9'"), ('VARCHAR2(50 CHAR)', "'a\u6570\U0001f600'", "'a\u6570\U0001f600'"), ('NVARCHAR2(50)', "'\u6570'", "'\u6570'"), ('CHAR(4)', "'ab'", "'ab  '"),
    ('VARCHAR2(5)', "''", 'None'), ('RAW(10)', "HEXTORAW('00ff')", r"b'\x00\xff'"), ('DATE', "DATE '2026-02-28'", 'datetime.datetime(2026, 2, 28, 0, 0)'),
    ('DATE', "TIMESTAMP '2026-01-01 08:30:59'", 'datetime.datetime(2026, 1, 1, 8, 30, 59)'), ('DATE', "DATE '0001-01-01'", 'datetime.datetime(1, 1, 1, 0, 0)'),
    ('TIMESTAMP', "TIMESTAMP '2026-01-01 08:00:00.123456'", 'datetime.datetime(2026, 1, 1, 8, 0, 0, 123456)'),
    ('TIMESTAMP(9)', "TIMESTAMP '9999-12-31 23:59:59.999999999'", 'datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)'),
    ('TIMESTAMP WITH TIME ZONE', "TIMESTAMP '2026-01-01 08:00:00.5 +08:00'", 'datetime.datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=datetime.timezone.utc)'),
    ('TIMESTAMP(6) WITH TIME ZONE', "TIMESTAMP '2026-01-01 00:00:00 -03:30'", 'datetime.datetime(2026, 1, 1, 3, 30, tzinfo=datetime.timezone.utc)'),
    ('TIMESTAMP WITH LOCAL TIME ZONE', "TIMESTAMP '2026-01-01 08:00:00 +00:00'", 'datetime.datetime(2026, 1, 1, 8, 0, tzinfo=datetime.timezone.utc)'),
    ('INTERVAL DAY(2) TO SECOND(6)', "INTERVAL '1 02:03:04.5' DAY TO SECOND", 'datetime.timedelta(days=1, seconds=7384, microseconds=500000)'),
    ('INTERVAL DAY(2) TO SECOND(6)', "INTERVAL '-0 00:00:01' DAY TO SECOND", 'datetime.timedelta(days=-1, seconds=86399)'),
    ('INTERVAL YEAR TO MONTH', "INTERVAL '5-03' YEAR TO MONTH", "'+5-03'"), ('CLOB', "'\u6570'", "'\u6570'"), ('BLOB', "HEXTORAW('0102')", r"b'\x01\x02'"), ('NCLOB', "'x'", "'x'"),
    ('NUMBER', 'NULL', 'None'), ('CLOB', 'NULL', 'None'), ('TIMESTAMP WITH TIME ZONE', 'NULL', 'None'), ('RAW(5)', 'NULL', 'None'), ('INTERVAL YEAR TO MONTH', 'NULL', 'None'),
]


@pytest.fixture(scope='module')
def table(server, cid):
    """A table with a row of VALUES."""
    on(server.client(), cid, DROP + '''
drop('vals')
c.non_query(create)
return c.non_query(insert)
''', create='CREATE TABLE vals (%s)' % ', '.join('c%d %s' % (i, v[0]) for i, v in enumerate(VALUES)),
       insert='INSERT INTO vals VALUES (%s)' % ', '.join(v[1] for v in VALUES))
    return 'vals'


def test_values(api, cid, table):
    """Every type, read without parameters and with them."""
    got = on(api, cid, '''
rows = [c.query('SELECT * FROM vals')[0], c.query('SELECT * FROM vals WHERE 1 = ?', [1])[0], next(iter(c.stream('SELECT * FROM vals')))]
return [{k: repr(v) for k, v in r.items()} for r in rows]
''')
    for row in got:
        assert len(row) == len(VALUES)
        assert [(k, v, VALUES[int(k[1:])]) for k, v in row.items() if v != VALUES[int(k[1:])][2]] == []


def test_parameters(api, cid):
    """? and ??, lists, dicts, types; nothing becomes part of the statement (spec 4.1.2)."""
    got = on(api, cid, DROP + r'''
drop('t')
c.non_query('CREATE TABLE t (id NUMBER(10), name VARCHAR2(100), price NUMBER(10,2), at TIMESTAMP, b RAW(100), "Odd Name" NUMBER)')
n = c.non_query('INSERT INTO t (id, name, price) VALUES (?)', [[1, 'a', 1.5]]) + c.non_query('INSERT INTO t (id, name) VALUES (?, ?)', [2, "b'; DROP TABLE t --"])
n += c.non_query('INSERT INTO t (id, name, price) VALUES (?)', [[3, '\\', decimal.Decimal('3.10')]])
out = [n, c.non_query('UPDATE t SET ? WHERE id = ?', [{'name': '?', 'Odd Name': 9, 'b': b'\x00\x01'}, 1])]
out.append([[r['ID'], r['NAME'], r['Odd Name'], repr(r['B'])] for r in c.query('SELECT * FROM t WHERE id IN (?) ORDER BY ??', [[1, 3], 'id'])])
out.append(c.query('SELECT id FROM ?? WHERE name = ?', ['t', "b'; DROP TABLE t --"]))
out.append(c.query('SELECT id FROM t WHERE id IN (?)', [[]]))
out.append(c.query("SELECT '?' AS a, ? AS b, id AS \"?\" FROM t WHERE id = ? /* ? */ -- ?", [1, 2])[0])
out.append(c.query('SELECT ? AS v FROM dual', 5))
out.append(c.query_one('SELECT name FROM t WHERE id = ?', [2]))
out.append([c.query('SELECT CAST(? AS ' + t + ') AS v FROM dual', [v])[0]['V'] == v for v, t in ((2**40, 'NUMBER(20)'), (-1, 'NUMBER(5)'), (0.5, 'BINARY_DOUBLE'), ('text', 'VARCHAR2(10)'),
    (decimal.Decimal('1.10'), 'NUMBER(5,2)'), (datetime.datetime(2026, 1, 2), 'DATE'), (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), 'TIMESTAMP'), (None, 'RAW(5)'),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.timezone.utc), 'TIMESTAMP WITH TIME ZONE'), (datetime.timedelta(hours=-3), 'INTERVAL DAY TO SECOND'))])
out.append([c.query('SELECT ? AS v FROM dual', [v])[0]['V'] == v for v in ('x' * 4000, 'a\u6570\U0001f600', b'\x00\xff', 1.5, 1e300, -1e-200, 2**40, 2**63 - 1, -2**63, 2**70, True, datetime.datetime(1, 1, 1),
    datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.timezone.utc), decimal.Decimal('12.50'), decimal.Decimal('-1E+3'),
    decimal.Decimal('1e-9'), decimal.Decimal('0.00'), decimal.Decimal('-' + '9' * 38), datetime.timedelta(days=400, microseconds=1), datetime.timedelta(days=-99999999, microseconds=-1), None)])
out.append([c.query('SELECT ? AS v FROM dual', [v])[0]['V'] == w for v, w in (('', None), (0.1, decimal.Decimal('0.1')), (1 / 3, decimal.Decimal('0.3333333333333333')), (datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2)), (datetime.time(3, 4), datetime.timedelta(hours=3, minutes=4)))])
out.append([(tell(f) or [None])[0] for f in (lambda: c.query('SELECT ?, ? FROM dual', [1]), lambda: c.query('SELECT ? FROM dual', [decimal.Decimal('NaN')]),
    lambda: c.query('SELECT ? FROM dual', [decimal.Decimal('1' * 41)]), lambda: c.query('SELECT :1 FROM dual'), lambda: c.query('SELECT ? FROM dual', [{}]))])
return out
''')
    assert got[0] == 3 and got[1] == 1 and got[2] == [[1, '?', 9, "b'\\x00\\x01'"], [3, '\\', None, 'None']], got[:3]
    assert got[3] == [{'ID': 2}] and got[4] == [] and got[5] == {'A': '?', 'B': 1, '?': 2}, got[3:6]
    assert got[6] == [{'V': 5}] and got[7] == {'NAME': "b'; DROP TABLE t --"}
    assert all(got[8]) and all(got[9]) and all(got[10]), got[8:11]
    assert got[11][0] in ('QueryError', 'InvalidArgument') and got[11][1:] == ['InvalidArgument'] * 4, got[11]


def test_injection(api, cid):
    """Hostile texts come back as they went in: as values of every shape, as keys, as names (reliability X-01)."""
    got = on(api, cid, DROP + '''
drop('victim')
c.non_query('CREATE TABLE victim (n NUMBER(10), v VARCHAR2(400), b RAW(400))')
for i, t in enumerate(texts):
    c.non_query('INSERT INTO victim VALUES (?)', [[i, t, t.encode()]])
same = [(r['V'], r['B'].decode()) for r in c.query('SELECT v, b FROM victim ORDER BY n')] == [(t, t) for t in texts]
each = [c.query('SELECT ? AS v, count(*) AS n FROM victim WHERE v = ? AND v IN (?)', [t, t, [t, t]])[0] for t in texts]
for i, t in enumerate(texts):
    c.non_query('UPDATE victim SET ? WHERE n = ?', [{'v': t + t}, i])
twice = [r['V'] for r in c.query('SELECT v FROM victim ORDER BY n')] == [t + t for t in texts]
names = [tell(lambda: c.query('SELECT ?? FROM victim', [t])) for t in texts]
keys = [tell(lambda: c.non_query('UPDATE victim SET ?', [{t: 1}])) for t in texts]
left = c.query('SELECT count(*) AS n FROM victim')[0]['N']
return [same, [r['V'] for r in each] == texts and {r['N'] for r in each} == {1}, twice, names + keys, left]
''', texts=INJECTION)
    assert got[0] and got[1] and got[2] and got[4] == len(INJECTION), got[:3]
    for text, told in zip(INJECTION * 2, got[3]):
        assert told is not None and told[0] in ('QueryError', 'InvalidArgument'), (text, told)
        assert told[0] == 'InvalidArgument' or told[2] in (904, 972, 1741, 911, 933), (text, told)


def test_errors(api, cid):
    got = on(api, cid, DROP + r'''
drop('u')
c.non_query('CREATE TABLE u (id NUMBER(10) PRIMARY KEY)')
c.non_query('INSERT INTO u VALUES (1)')
return [tell(lambda: c.query('SELECT * FROM nowhere')), tell(lambda: c.query('SELEKT 1 FROM')), tell(lambda: c.non_query('INSERT INTO u VALUES (?)', [1])),
        tell(lambda: c.query('')), c.query('SELECT 1 AS still FROM dual')[0]['STILL'], c.non_query('SELECT 1 FROM dual'), c.query('UPDATE u SET id = 2'), c.non_query('UPDATE u SET id = 3 WHERE id = 9'),
        tell(lambda: c.query("SELECT CAST('x' AS NUMBER) AS v FROM dual")), tell(lambda: c.query('SELECT nope FROM u')), c.non_query('CREATE TABLE u2 (x NUMBER)'), drop('u2'),
        tell(lambda: c.query("SELECT CAST('999999999 00:00:00' AS INTERVAL DAY(9) TO SECOND) AS v FROM dual"))]
''')
    assert [(g[0], g[2]) for g in got[:3]] == [('QueryError', 942), ('QueryError', 900), ('ConflictError', 1)], got
    assert 'ORA-00942: ' in got[0][1] and got[0][1][-1] != '\n' and got[3][0] == 'InvalidArgument'
    assert got[4] == 1 and got[5] == 0 and got[6] == [] and got[7] == 0 and got[8][2] == 1722 and got[9][2] == 904 and got[10] == 0, got
    assert 'an interval of 999999999 days is too long' in got[12][1], got[12]


def test_transactions(api, cid):
    """commit, rollback, isolation from the plain helper, a forgotten one."""
    got = on(api, cid, DROP + '''
drop('tx')
c.non_query('CREATE TABLE tx (v VARCHAR2(20))')
t = c.start_trans()
out = [c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['a']), c.trans_query(t, 'SELECT v FROM tx'), c.query('SELECT v FROM tx')]
c.commit(t)
t = c.start_trans()
c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['b'])
out.append(tell(lambda: c.trans_query(t, 'SELECT nope FROM tx'))[2])
out.append(c.trans_query(t, 'SELECT count(*) AS n FROM tx'))
c.rollback(t)
keep = c.start_trans()
c.trans_non_query(keep, 'INSERT INTO tx VALUES (?)', ['forgotten'])
return out
''')
    assert got == [1, [{'V': 'a'}], [], 904, [{'N': 2}]]
    for _ in range(3):
        assert on(api, cid, "return c.query('SELECT v FROM tx')") == [{'V': 'a'}]
    on(api, cid, "t = c.start_trans()\nc.rollback(t)\nc.non_query(\"INSERT INTO tx VALUES ('c')\")")
    assert on(api, cid, "return c.query('SELECT v FROM tx ORDER BY v')") == [{'V': 'a'}, {'V': 'c'}]


def test_nothing_leaks_to_the_next_call(api, ora, cid):
    """What a session was told; connections whose calls only read and wrote rows are used again."""
    ask = "return c.query(\"SELECT value AS v FROM nls_session_parameters WHERE parameter = 'NLS_DATE_FORMAT'\")[0]['V']"
    before = on(api, cid, ask)
    for what in ("ALTER SESSION SET NLS_DATE_FORMAT = 'YYYY'", "BEGIN EXECUTE IMMEDIATE 'ALTER SESSION SET NLS_DATE_FORMAT = ''YYYY'''; END;"):
        assert on(api, cid, 'c.query(what)\n' + ask, what=what) != before
        assert on(api, cid, ask) == before
    sid = "return c.query(\"SELECT SYS_CONTEXT('USERENV', 'SID') AS s FROM dual\")[0]['S']"
    assert len({on(api, cid, sid) for _ in range(6)}) <= 4
    fresh = add(api, 'oracle', ora.config(fresh_session=True))
    assert on(api, fresh, sid) is not None and on(api, fresh, sid) is not None


def test_the_server_sees_who_asks(api, ora, cid):
    """MODULE, ACTION and CLIENT_IDENTIFIER of v$session; the statement itself stays as it is, so that it is parsed once for all."""
    named = add(api, 'oracle', ora.config(application='shop; x={y}'))
    got = on(api, named, '''
out = [c.query("SELECT SYS_CONTEXT('USERENV', ?) AS v FROM dual", [w])[0]['V'] for w in ('MODULE', 'ACTION', 'CLIENT_IDENTIFIER')]
return out
''')
    assert got[0] == 'shop; x={y}' and got[1] == got[2] and got[1].endswith('__main.f'), got


@shows('streaming', 'row by row, bounded memory')
def test_large_results(api, ora):
    """max_result stops a result, stream() reads any; memory does not grow."""
    cid = add(api, 'oracle', ora.config(max_result=65536, array_size=100))
    got = on(api, cid, '''
sql, p = series % ('5000', "'x'"), series % ('?', "'x'")
told = [tell(lambda: c.query(sql)), tell(lambda: c.query(p, [5000])), tell(lambda: c.query("SELECT TO_CLOB(RPAD('x', 4000, 'x')) || RPAD('x', 4000, 'x') AS v FROM dual CROSS JOIN (%s)" % (series % ('20', "'x'"))))]
sums = []
for args in ((sql,), (p, [5000])):
    n = s = 0
    for row in c.stream(*args, size=1000):
        n += 1
        s += row['I']
    sums.append([n, s])
first = next(iter(c.stream(sql)))['I']
bad = tell(lambda: list(c.stream('SELECT * FROM nowhere')))
return [told, sums, first, bad, list(c.stream('UPDATE dual SET dummy = 1 WHERE 1 = 0')) if not real else [], c.query('SELECT 1 AS v FROM dual')]
''', series=SERIES, real=bool(REAL))
    assert [t[0] for t in got[0]] == ['LimitExceeded'] * 3 and 'max_result' in got[0][0][1], got[0]
    assert got[1] == [[5000, 12502500]] * 2 and got[2] == 1 and got[3][2] == 942 and got[4:] == [[], [{'V': 1}]]


SERIES = 'WITH s(i) AS (SELECT 1 FROM dual UNION ALL SELECT i + 1 FROM s WHERE i < %s) SELECT i, RPAD(%s, 100, \'y\') AS t FROM s'


def test_large_values(api, cid):
    """Texts and bytes longer than a VARCHAR2 and a RAW can be, in and out, of characters of several bytes."""
    assert on(api, cid, DROP + '''
drop('big')
c.non_query('CREATE TABLE big (id NUMBER(10), t CLOB, b BLOB, n NCLOB)')
out = []
for i, text in enumerate(('\\u6570', '\\U0001f600', 'a\\u00e9\\u6570')):
    for k, n in enumerate((1000, 10923, 70001)):
        t = text * n
        c.non_query('INSERT INTO big VALUES (?)', [[i * 10 + k, t, t.encode(), t]])
        row = c.query('SELECT t, b, n FROM big WHERE id = ?', [i * 10 + k])[0]
        out.append(row == {'T': t, 'B': t.encode(), 'N': t})
c.non_query('INSERT INTO big VALUES (?)', [[99, '', b'', None]])
return out + [c.query('SELECT t, b, n FROM big WHERE id = 99') == [{'T': None, 'B': None, 'N': None}], sum(len(r['B']) for r in c.stream('SELECT b FROM big WHERE id < 99', size=2))]
''') == [True] * 10 + [(3 + 4 + 6) * (1000 + 10923 + 70001)]


class TestOracle(Deadlines):
    """What oracle shares with the other connectors, with any server."""

    type, fixture = 'oracle', 'ora'
    ask, gives = "c.query('SELECT 1 AS v FROM dual')", [{'V': 1}]
    endless = ['BEGIN DBMS_SESSION.SLEEP(20); END;']

    def still_running(self, api, it):
        if not REAL:
            return it.busy()
        return on(api, add(api, 'oracle', it.config()), "return c.query(\"SELECT count(*) AS n FROM v$session WHERE status = 'ACTIVE' AND username = USER"
                  " AND sid <> SYS_CONTEXT('USERENV', 'SID')\")[0]['N'] != 0")

    def test_a_deadline_among_many_rows(self, api, it):
        """The server answers all the time, and it never ends."""
        told, seconds, after = on(api, add(api, 'oracle', it.config(pool={'query': '400ms'})), '''
t = time.monotonic()
told = tell(lambda: c.query(series % ('100000000', "'x'")))
return [told, time.monotonic() - t, c.query('SELECT 1 AS v FROM dual')]
''', series=SERIES)
        assert told[0] == 'ConnTimeout' and 'did not end in time' in told[1] and seconds < 4 and after == self.gives, (told, seconds)


def test_rows_as_arrays(api, cid):
    """VALUES ? and execute_many: values of one type in a column, None anywhere, refused rows by their number."""
    got = on(api, cid, DROP + r'''
drop('many')
c.non_query('CREATE TABLE many (id NUMBER(10) PRIMARY KEY, name VARCHAR2(100), n NUMBER, at TIMESTAMP, t CLOB)')
now = datetime.datetime(2026, 1, 2, 3, 4, 5)
rows = [[i, None if i % 3 else "b'; DROP %d" % i, i + 0.5 if i % 2 else i, now if i % 5 else now.replace(microsecond=6), 'x' * (40000 if i == 7 else i)] for i in range(2000)]
out = [c.non_query('INSERT INTO many (id, name, n, at, t) VALUES ?', [rows]), c.query('SELECT count(*) AS n, count(name) AS k FROM many')[0]]
back = c.query('SELECT * FROM many WHERE id IN (?) ORDER BY id', [[3, 5, 7]])
out.append([list(r.values()) == [v or None if isinstance(v, str) else v for v in rows[i]] for i, r in zip((3, 5, 7), back)])
out.append(c.execute_many('UPDATE many SET name = ? WHERE id < ?', [['a', 10], [None, 5]]))
out.append(tell(lambda: c.non_query('INSERT INTO ?? (id) VALUES ?', ['many', [[5000], [5001], [17], [5002]]])))
out.append(c.query('SELECT count(*) AS n FROM many')[0]['N'])
e = c.execute_many('INSERT INTO many (id, name) VALUES (?, ?)', [[6000, 'a'], [17, 'b'], [6001, 'c'], [18, 'd']], True)
out.append([e['rows'], [(x['row'], x['code'], x['message'][:10]) for x in e['errors']], c.query('SELECT count(*) AS n FROM many')[0]['N']])
tx = c.start_trans()
out.append(c.trans_non_query(tx, 'INSERT INTO many (id) VALUES ?', [[[7000], [7001]]]))
c.rollback(tx)
out.append(c.query('SELECT count(*) AS n FROM many WHERE id >= 7000')[0]['N'])
out.append([tell(f)[0] for f in (lambda: c.non_query('INSERT INTO many (id) VALUES ?', [[[1], ['x'], [b'y']]]), lambda: c.execute_many('INSERT INTO many (id) VALUES (?)', []),
    lambda: c.execute_many('INSERT INTO many (id) VALUES (?)', [[1, 2]]), lambda: c.execute_many('INSERT INTO many (id) VALUES (?, ?)', [[1, [2]]]), lambda: c.execute_many('SELECT ? FROM dual', [[1]]))])
return out
''')
    assert got[:4] == [2000, {'N': 2000, 'K': 667}, [True] * 3, 15], got
    assert got[4][0] == 'ConflictError' and got[4][2] == 1 and 'row 2: ORA-00001' in got[4][1] and got[5] == 2000, got[4:6]
    assert got[6] == [2, [[1, 1, 'ORA-00001:'], [3, 1, 'ORA-00001:']], 2002] and got[7:9] == [2, 0], got[6:9]
    assert got[9][:4] == ['InvalidArgument'] * 4 and got[9][4] is not None, got[9]


def test_blocks(api, cid):
    """call(): values in, values of every type out, cursors, RETURNING, errors of a block."""
    got = on(api, cid, DROP + r'''
drop('blk')
c.non_query('CREATE TABLE blk (id NUMBER(10) PRIMARY KEY, name VARCHAR2(100))')
out = [c.call('BEGIN :n := :a + 1; :s := :t; END;', {'a': 41, 't': 'a\u6570'}, {'n': 'int', 's': 'str'})]
out.append({k: repr(v) for k, v in c.call("BEGIN :d := 12.5; :f := 0.5; :b := HEXTORAW('00ff'); :at := TIMESTAMP '2026-01-01 08:00:00.5'; :z := NULL; END;", None,
    {'d': 'decimal', 'f': 'float', 'b': 'bytes', 'at': 'datetime', 'z': 'str'}).items()})
out.append(c.call("BEGIN INSERT INTO blk VALUES (1, 'a'); INSERT INTO blk VALUES (2, :b); OPEN :rows FOR SELECT id, name FROM blk ORDER BY id; END;", {'b': 'b'}, {'rows': 'cursor'}))
out.append(c.call("INSERT INTO blk VALUES (3, 'c') RETURNING id, name INTO :i, :n", {}, {'i': 'int', 'n': 'str'}))
out.append(c.call('UPDATE blk SET name = name WHERE id = 99 RETURNING id INTO :i', None, {'i': 'int'}))
out.append([tell(lambda: c.call("BEGIN INSERT INTO blk VALUES (9, 'x'); RAISE_APPLICATION_ERROR(-20001, 'no tea'); END;"))[1:3], c.query('SELECT count(*) AS n FROM blk')[0]['N']])
out.append([tell(f)[0] for f in (lambda: c.call('BEGIN :x := 1; END;', None, {'x': 'thing'}), lambda: c.call('BEGIN :x := 1; END;', {'x': 1}, {'x': 'int'}), lambda: c.call('BEGIN NULL; END;', {'y': 1}),
    lambda: c.call('BEGIN :x := 1; END;', [1]), lambda: c.call('BEGIN :x := 1; END;'))])
return out
''')
    assert got[0] == {'n': 42, 's': 'a\u6570'}
    assert got[1] == {'d': "Decimal('12.5')", 'f': '0.5', 'b': "b'\\x00\\xff'", 'at': 'datetime.datetime(2026, 1, 1, 8, 0, 0, 500000)', 'z': 'None'}
    assert got[2] == {'rows': [{'ID': 1, 'NAME': 'a'}, {'ID': 2, 'NAME': 'b'}]} and got[3] == {'i': 3, 'n': 'c'} and got[4] == {'i': None}
    assert got[5][0][1] == 20001 and 'no tea' in got[5][0][0] and got[5][1] == 3 and got[6] == ['InvalidArgument'] * 5, got[5:]


def test_placeholders_of_oracle(api, cid):
    """:1 with a list, :name with a dict; surplus values are ignored, unknown names are not."""
    got = on(api, cid, '''
out = [c.query('SELECT :1 AS a, :2 AS b FROM dual', [1, 'x', 'more']), c.query('SELECT :x AS a, :y AS b, :x AS c FROM dual', {'x': 1, 'y': None}), c.query("SELECT ':1' AS a FROM dual", [1])]
return out + [tell(lambda: c.query('SELECT :x AS a FROM dual', {'x': 1, 'z': 2}))[0]]
''')
    assert got == [[{'A': 1, 'B': 'x'}], [{'A': 1, 'B': None, 'C': 1}], [{'A': ':1'}], 'InvalidArgument']


# ---- sign-in ----------------------------------------------------------------------------------------------


@peer_only
@shows('faults', 'refused')
@pytest.mark.parametrize('change, kind, says', [
    ({'password': 'wrong'}, 'Denied', 'sign-in: 127.0.0.1 port'),
    ({'password': ''}, 'Denied', 'ORA-01017'),
    ({'user': 'nobody'}, 'Denied', 'ORA-01017: invalid username/password; logon denied; check user and password'),
    ({'database': 'nowhere'}, 'ConfigError', 'service: 127.0.0.1 port'),
    ({'database': 'x)(SID=XE'}, 'ConfigError', 'database: a connect descriptor has no place for the character )'),
    ({'host': 'localhost', 'sid': 'nowhere'}, 'ConfigError', 'ORA-12505'),
    ({'database': ''}, 'ConfigError', 'database: the name of the service is missing'),
    ({'dsn': 'no_such_alias'}, 'ConfigError', 'name: ORA-12154: TNS:could not resolve the connect identifier specified; no such alias'),
    ({'dsn': '127.0.0.1:1/tenon'}, 'ConnUnavailable', 'TCP: ORA-12541: TNS:no listener; nobody listens there'),
    ({'port': 1}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'host': 'no.such.host.invalid'}, 'ConnUnavailable', 'DNS: the name `no.such.host.invalid` cannot be resolved'),
    ({'tls': 'yes'}, 'ConfigError', 'tls'),
    ({'tls': 'on'}, 'Denied', 'TLS: 127.0.0.1 port'),
    ({'wallet': '/opt/wallet'}, 'ConfigError', 'wallet: is for TLS, but tls is off'),
    ({'tls': 'on', 'wallet': '/opt/nowhere'}, 'ConfigError', 'wallet: /opt/nowhere has no cwallet.sso'),
    ({'tls': 'on', 'dsn': '127.0.0.1/tenon'}, 'ConfigError', 'tls: a dsn says itself how to connect'),
    ({'tls': 'on', 'wallet': 'x)(y=z', 'dsn': '127.0.0.1/tenon'}, 'ConfigError', 'wallet: a dsn says itself how to connect'),
    ({'hots': 'x'}, 'ConfigError', 'did you mean `host`?'),
])
def test_refused_with_the_step_that_failed(api, ora, change, kind, says):
    e = not_addable(api, 'oracle', ora.config(**change))
    assert e['exceptionType'] == kind and says in e['exception'], e
    assert PASSWORD not in str(e)


@peer_only
@shows('TLS', 'connect descriptor only: TCPS, wallet, name')
def test_tls_of_the_descriptor(api, changing, library):
    """What the client library is told: TCPS, whom to trust, and whether the name counts. The handshake is its own, and never seen here."""
    for name in ('ours', 'theirs'):
        folder = os.path.join(os.path.dirname(library), 'wallet of ' + name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, 'cwallet.sso'), 'w', encoding='ascii') as f:
            f.write('authority-of-' + name)
    ours, theirs = (os.path.join(os.path.dirname(library), 'wallet of ' + name) for name in ('ours', 'theirs'))
    changing.tls('localhost', 'authority-of-ours')
    ask = "return c.query('SELECT 1 AS v FROM dual')"
    assert on(api, add(api, 'oracle', changing.config(host='localhost', tls='on', wallet=ours)), ask) == [{'V': 1}]
    assert on(api, add(api, 'oracle', changing.config(tls='any-name', wallet=ours)), ask) == [{'V': 1}]
    for change, code in (({'tls': 'on', 'wallet': ours}, 'ORA-29003'), ({'tls': 'on', 'wallet': theirs, 'host': 'localhost'}, 'ORA-29024'), ({'tls': 'any-name'}, 'ORA-29024')):
        e = not_addable(api, 'oracle', changing.config(**change))
        assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'] and code in e['exception'], (change, e)
    e = not_addable(api, 'oracle', changing.config(pool={'connect': '2s'}))  # the server wants TLS, the connector does not
    assert e['exceptionType'] == 'ConnUnavailable' and 'TCP: ' in e['exception'], e


@peer_only
def test_other_ways_to_name_a_server(api, ora):
    descriptor = '(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT=%d))(CONNECT_DATA=(SERVICE_NAME=tenon)))' % ora.port
    for change in ({'sid': 'XE'}, {'dsn': '127.0.0.1:%d/tenon' % ora.port, 'database': 'x'}, {'dsn': descriptor, 'host': 'x.invalid'}, {'server': 'pooled'}, {'user': 'Tenon'},
                   {'host': 'localhost', 'stmt_cache': 0, 'prefetch_rows': 0, 'array_size': 1}):
        assert on(api, add(api, 'oracle', ora.config(**change)), "return c.query('SELECT 1 AS v FROM dual UNION ALL SELECT 2 FROM dual')") == [{'V': 1}, {'V': 2}], change


@peer_only
def test_without_the_client_library(api, library, tmp_path):
    """What to install and where it was looked for; the place cannot change once a process has loaded it."""
    config = {'host': 'localhost', 'port': 1521, 'user': 'u', 'password': PASSWORD, 'database': 'd', 'charset': 'utf8'}
    with Oracle(library) as ora:
        e = not_addable(api, 'oracle', {**config, 'port': ora.port, 'client': '/opt/nowhere'})
        assert e['exceptionType'] == 'ConfigError' and 'client: ' in e['exception'], e
        done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_oracle.so')]
                              + [a for k, v in {**config, 'port': ora.port, 'client': str(tmp_path)}.items() for a in ('--config', '%s=%s' % (k, v))],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert 'libclntsh.so cannot be loaded' in done.stdout and str(tmp_path) in done.stdout and 'Instant Client' in done.stdout, done.stdout
    assert PASSWORD not in done.stdout


# ---- faults -----------------------------------------------------------------------------------------------


FUNC = '''
@DFF.API('f', timeout=20)
def f(cid, sql):
    try:
        return DFF.CONN(cid).query(sql)
    except Exception as e:
        return [type(e).__name__, str(e), getattr(e, 'code', None)]
'''


def asker(api: Any, cid: str) -> Any:
    api_id = api.function(FUNC, 'f', {'cid': 'INPUT_BY_CALLER', 'sql': 'INPUT_BY_CALLER'})
    return lambda sql='SELECT 1 AS v FROM dual': api.result(api_id, cid=cid, sql=sql)


@peer_only
@shows('faults', 'server gone', 'server hangs', 'server restarted', 'password changed')
def test_a_server_that_goes_hangs_and_changes(api, cid, changing):
    """In the middle of a call and between calls; the pool recovers, the connectors of others are unaffected."""
    mine = add(api, 'oracle', changing.config(pool={'query': '700ms', 'connect': '700ms'}))
    ask = asker(api, mine)
    assert ask() == [{'V': 1}]
    timer = threading.Timer(0.3, changing.fault, ('down',))
    timer.start()
    told = ask('BEGIN DBMS_SESSION.SLEEP(10); END;')
    timer.join()
    assert told[0] == 'ConnUnavailable' and told[2] == 3113 and 'ORA-03113' in told[1], told
    assert wait_for(lambda: ask()[0] == 'ConnUnavailable') and 'ORA-12541' in ask()[1], ask()
    assert on(api, cid, "return c.query('SELECT 1 AS v FROM dual')") == [{'V': 1}]
    changing.fault('down', None)
    assert wait_for(lambda: ask() == [{'V': 1}])
    changing.fault('hang')
    started = time.monotonic()
    assert ask()[0] == 'ConnTimeout' and ask()[0] == 'ConnTimeout' and time.monotonic() - started < 8
    changing.fault('hang', None)
    assert wait_for(lambda: ask() == [{'V': 1}])
    changing.password('another')
    changing.fault('down')
    assert wait_for(lambda: ask()[0] == 'ConnUnavailable')
    changing.fault('down', None)
    assert wait_for(lambda: ask()[0] == 'Denied')
    api.post('/connectors/%s/do/modify' % mine, {'data': {'configJSON': changing.config(password='another')}})
    assert ask() == [{'V': 1}]


@peer_only
@pytest.mark.parametrize('code, kind', [(12170, 'ConnTimeout'), (12516, 'LimitExceeded'), (28000, 'Denied'), (1033, 'ConnUnavailable'), (28759, 'Denied'), (99999, 'ConnUnavailable')])
def test_what_a_listener_may_answer(api, changing, code, kind):
    changing.fault('refuse', code)
    e = not_addable(api, 'oracle', changing.config())
    assert e['exceptionType'] == kind and 'ORA-%05d' % code in e['exception'], e


@peer_only
def test_what_a_caller_left_behind_ends(api, server, changing):
    """The thread of a connection goes when the server comes back, and with a server that does not stop by the client's own limit."""
    ask = asker(api, add(api, 'oracle', changing.config(pool={'query': '400ms'}), skipTest=True))
    before = hands(server)
    ask()
    changing.fault('hang')
    assert ask()[0] == 'ConnTimeout'
    changing.fault('hang', None)
    assert wait_for(lambda: hands(server) <= before, 15)
    changing.fault('deaf')
    started = time.monotonic()
    assert ask('BEGIN DBMS_SESSION.SLEEP(30); END;')[0] == 'ConnTimeout' and time.monotonic() - started < 2
    assert changing.busy() and wait_for(lambda: not changing.busy() and hands(server) <= before, 15)


def test_connections_of_many_calls(api, cid):
    ask = asker(api, cid)
    sids = {ask("SELECT SYS_CONTEXT('USERENV', 'SID') AS s FROM dual")[0]['S'] for _ in range(60)}
    assert len(sids) <= 2 * len(api.get('/monitor/platform/do/get')['broker']['workers'])


def test_threads(api, ora):
    cid = add(api, 'oracle', ora.config(pool={'max': 4}))
    got = run(api, '''
@DFF.API('f')
def f(cid):
    c = DFF.CONN(cid)
    for _ in range(4):
        DFF.THREAD.submit(c.call, "BEGIN DBMS_SESSION.SLEEP(0.4); :s := SYS_CONTEXT('USERENV', 'SID'); END;", None, {'s': 'str'})
    return sorted({r.value['s'] if r.value else str(r.error) for r in DFF.THREAD.get_all_results()})
''', cid=cid)
    assert len(got) == 4, got


def test_debug_panel(api, cid, table):
    ask = lambda sql: api.post('/connectors/%s/do/query' % cid, {'queryStatement': sql})
    assert any(r['TABLE_NAME'] == 'VALS' for r in ask('SELECT owner, table_name FROM all_tables'))
    assert {'COLUMN_NAME': 'C0', 'DATA_TYPE': 'NUMBER'} in ask("SELECT column_name, data_type FROM user_tab_columns WHERE table_name = 'VALS'")
    assert refused(api, 'POST', '/connectors/%s/do/query' % cid, {'queryStatement': 'SELECT nope FROM dual'})['reason'] == 'EClientBadRequest.QueryFailed'


def test_readme(api, cid, ora):
    """The script of the README runs as it stands."""
    on(api, cid, DROP + """
for t in ('item', 'log'):
    drop(t)
    c.non_query('CREATE TABLE ' + t + ' (id NUMBER(10) PRIMARY KEY, name VARCHAR2(50))')
    c.non_query('INSERT INTO ' + t + ' (id) VALUES ?', [[[1], [2]]])
""")
    add(api, 'oracle', ora.config(), id='erp_oracle')
    api.result(api.function(script_of(os.path.join(ROOT, 'connectors/oracle/README.md')), 'f'))
    assert on(api, cid, "return c.query('SELECT id, name FROM item ORDER BY id')") == [{'ID': i, 'NAME': n} for i, n in ((1, 'tea'), (2, None), (3, 'a'), (4, 'b'), (5, 'c'))]


@peer_only
def test_contract(ora):
    """tenon-plugin-check against the live plugin and the stand-in."""
    done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_oracle.so')]
                          + [a for k, v in ora.config().items() for a in ('--config', '%s=%s' % (k, v))]
                          + ['--call', 'query=["SELECT 1 AS a, NULL AS b FROM dual"]', '--call', 'check',
                             '--call', 'call=["BEGIN NULL; END;"]', '--call', 'non_query=["SELECT 1 FROM dual"]'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@peer_only
@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'oracle', 'ODPI-C, Oracle Instant Client', 'stand-in for the client library (no Oracle server)')
