# SPDX-License-Identifier: Apache-2.0
"""connectors/oracle in scripts: values, parameters, arrays, blocks, transactions. With ORACLE_TEST_DSN against a real server."""

import pytest
from support.connectors import INJECTION, add, on
from support.oracle import DROP, cid, library, ora

__all__ = ['cid', 'library', 'ora']  # fixtures


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
