# SPDX-License-Identifier: Apache-2.0
"""connectors/mysql in scripts, against a real MariaDB, compared with mysqlclient where it matters."""

import datetime

import pytest
from peers.mariadb import PASSWORD, MariaDB
from support.cases import (BREAKS, NO_CA, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, ClientCertificate, Contract, Deadlines,
                           FewConnections, FunctionIsSeen, Injection, Panel, Refusals, Threads, TwoServers)
from support.connectors import add, on, peer
from support.matrix import check_row, shows


@pytest.fixture(scope='module')
def my(certs):
    with peer(MariaDB, certs) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, my):
    return add(server.client(), 'mysql', my.config())


# One column of every type: its declaration, a value in SQL, and what a script sees (repr).
VALUES = [
    ('tinyint', '-128', '-128'), ('tinyint(1)', 'true', '1'), ('smallint unsigned', '65535', '65535'),
    ('int', '-2147483648', '-2147483648'), ('bigint', '-9223372036854775808', '-9223372036854775808'),
    ('bigint unsigned', '18446744073709551615', '18446744073709551615'), ('bigint unsigned', '7', '7'),
    ('year', '2026', '2026'), ('decimal(20,2)', '1.50', "Decimal('1.50')"), ('double', '0.1', '0.1'),
    ('double', '1e300', '1e+300'), ('float', '1.5', '1.5'), ('varchar(50)', "'a\u6570\U0001f600'", "'a\u6570\U0001f600'"),
    ('char(4)', "'ab'", "'ab'"), ('text', "''", "''"), ('varchar(50) character set latin1', "'\u00e9'", "'\u00e9'"),
    ('varbinary(10)', "x'00ff'", r"b'\x00\xff'"), ('blob', "'x'", "b'x'"), ('bit(9)', "b'100000001'", r"b'\x01\x01'"),
    ('date', "'2026-02-28'", 'datetime.date(2026, 2, 28)'), ('datetime', "'2026-01-01 08:00:00'", 'datetime.datetime(2026, 1, 1, 8, 0)'),
    ('datetime(6)', "'2026-01-01 00:00:00.000001'", 'datetime.datetime(2026, 1, 1, 0, 0, 0, 1)'),
    ('timestamp', "'2026-01-01 08:00:00'", 'datetime.datetime(2026, 1, 1, 8, 0)'),
    ('time', "'-838:59:59'", repr(-datetime.timedelta(hours=838, minutes=59, seconds=59))),
    ('time(3)', "'08:30:00.25'", 'datetime.timedelta(seconds=30600, microseconds=250000)'),
    ('bigint(20) unsigned zerofill', '7', '7'), ('bigint unsigned', '1000000000000000000', '1000000000000000000'), ('int(8) zerofill', '42', '42'),
    ('float', '16777217', '16777200.0'), ('float', '0.1', '0.1'), ('float(7,2)', '1.5', '1.5'), ('double', '123456789.123456789', '123456789.12345679'),
    ('decimal(65,30)', '9' * 35 + '.' + '1' * 30, "Decimal('%s.%s')" % ('9' * 35, '1' * 30)), ('decimal(5,2) zerofill', '1.5', "Decimal('1.50')"),
    ('bit(1)', "b'1'", r"b'\x01'"), ('bit(64)', "b'" + '1' * 64 + "'", repr(b'\xff' * 8)), ('year', '0', '0'), ('mediumint', '-8388608', '-8388608'),
    ('datetime(6)', "'9999-12-31 23:59:59.999999'", repr(datetime.datetime.max)), ('date', "'0001-01-01'", repr(datetime.date.min)),
    ('time(6)', "'-00:00:00.5'", repr(-datetime.timedelta(milliseconds=500))), ('time(2)', "'25:00:00.25'", repr(datetime.timedelta(hours=25, milliseconds=250))),
    ('char(5) character set utf8mb4 collate utf8mb4_bin', "'ab'", "'ab'"), ('char(4) character set binary', "'ab'", r"b'ab\x00\x00'"), ('varchar(9) character set gbk', "'\u6570'", "'\u6570'"),
    ('varchar(9) character set utf32', "'\U0001f600'", "'\U0001f600'"), ('longtext', "'x'", "'x'"), ('longblob', "x'ff'", r"b'\xff'"), ("set('p','q')", "''", "''"),
    ('point', "ST_GeomFromText('POINT(1 2)')", repr(bytes(4) + b'\x01\x01' + bytes(9) + b'\xf0?' + bytes(7) + b'@')), ('inet6', "'::1'", "'::1'"), ('uuid', "'00000000-0000-0000-0000-00000000000a'", "'00000000-0000-0000-0000-00000000000a'"),
    ('json', "'{\"a\": 1}'", "'{\"a\": 1}'"), ("enum('x','y')", "'y'", "'y'"), ("set('p','q')", "'p,q'", "'p,q'"), ('int', 'NULL', 'None'),
]


@pytest.fixture(scope='module')
def table(my):
    """A table with a row of VALUES."""
    my.sql('CREATE TABLE tenon.vals (%s)' % ', '.join('c%d %s null' % (i, v[0]) for i, v in enumerate(VALUES)))
    my.sql('SET NAMES utf8mb4; INSERT INTO tenon.vals VALUES (%s)' % ', '.join(v[1] for v in VALUES))
    return 'vals'


def test_values(api, cid, table):
    """Every type, read as text and through a prepared statement."""
    got = on(api, cid, '''
return [[repr(v) for v in c.query(sql, p)[0].values()] for sql, p in (('SELECT * FROM vals', None), ('SELECT * FROM vals WHERE 1 = ?', [1]))]
''')
    for row in got:
        assert [g for g, v in zip(row, VALUES) if g != v[2]] == [] and len(row) == len(VALUES), list(zip(row, VALUES))


def test_values_as_others(my, table):
    """The same row through PyMySQL, which is the original's client, and through mysqlclient."""
    config = {'host': '127.0.0.1', 'port': my.port, 'user': 'tenon', 'charset': 'utf8mb4'}
    for name, secret, base, known in (('pymysql', 'password', 'database', set()), ('MySQLdb', 'passwd', 'db', {'set', 'json'})):  # known: left to its own conversions
        c = pytest.importorskip(name).connect(**config, **{secret: PASSWORD, base: 'tenon'})
        cur = c.cursor()
        cur.execute('SELECT * FROM vals')
        theirs = [repr(v) for v in cur.fetchone()]
        c.close()
        assert [(t, v) for t, v in zip(theirs, VALUES) if t != v[2] and v[0].split('(')[0] not in known] == [], name


def test_dates_that_python_does_not_have(api, cid, my):
    """They stay text, as with PyMySQL; columns of one name are told apart as it does."""
    my.sql("SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE tenon.odd (a date, b date, c datetime, d timestamp NULL); "
           "INSERT INTO tenon.odd VALUES ('0000-00-00', '2026-02-31', '2026-02-00 01:02:03', '0000-00-00 00:00:00')")
    module = pytest.importorskip('pymysql')
    sql = 'SELECT x.*, y.a, y.b FROM odd x, odd y'
    c = module.connect(host='127.0.0.1', port=my.port, user='tenon', password=PASSWORD, database='tenon', cursorclass=module.cursors.DictCursor)
    with c, c.cursor() as cur:
        cur.execute(sql)
        theirs = cur.fetchall()
    assert theirs[0]['y.b'] == '2026-02-31'
    assert on(api, cid, 'return [[c.query(sql), c.query(sql + " WHERE 1 = ?", [1]), list(c.stream(sql))]]', sql=sql) == [[theirs] * 3]


def test_parameters(api, cid):
    """? and ??, lists, dicts, types; nothing becomes part of the statement (spec 4.1.2)."""
    got = on(api, cid, r'''
c.non_query('DROP TABLE IF EXISTS t')
c.non_query('CREATE TABLE t (id int, name text, price decimal(10,2), at datetime(6), b blob, `Odd Name` int)')
n = c.non_query('INSERT INTO t (id, name, price) VALUES ?', [[[1, 'a', 1.5], [2, "b'; DROP TABLE t --", None], [3, '\\', decimal.Decimal('3.10')]]])
out = [n, c.non_query('UPDATE t SET ? WHERE id = ?', [{'name': '?', 'Odd Name': 9, 'b': b'\x00\x01'}, 1])]
out.append([[r['id'], r['name'], r['Odd Name']] for r in c.query('SELECT * FROM t WHERE id IN (?) ORDER BY ??', [[1, 3], 'ID'])])
out.append(c.query('SELECT id FROM ?? WHERE name = ?', ['tenon.t', "b'; DROP TABLE t --"]))
out.append(c.query('SELECT id FROM t WHERE id IN (?)', [[]]))
out.append(c.query("SELECT '?' AS a, ? AS b, \"??\" AS c, `id` AS `?` FROM t WHERE id = ? # ?\n /* ? */ -- ?", [1, 2])[0])
out.append(c.query('SELECT ? AS v', 5))
out.append(c.query_one('SELECT name FROM t WHERE id = ? LIMIT ?', [2, 1]))
out.append([c.query('SELECT CAST(? AS ' + t + ') AS v', [v])[0]['v'] == v for v, t in ((2**40, 'SIGNED'), (-1, 'SIGNED'), (0.5, 'DOUBLE'), ('text', 'CHAR'),
    (b'\xff\x00', 'BINARY'), (decimal.Decimal('1.10'), 'DECIMAL(5,2)'), (datetime.date(2026, 1, 2), 'DATE'), (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), 'DATETIME(6)'),
    (datetime.timedelta(1, 2, 3), 'TIME(6)'), (-datetime.timedelta(hours=30), 'TIME'))])
out.append([tell(lambda: c.query('SELECT ?, ?', [1]))[0], c.query('SELECT ? AS v', ['x' * 100000])[0]['v'] == 'x' * 100000, c.query('SELECT ? IS NULL AS v', [None])[0]['v']])
return out
''')
    assert got[0] == 3 and got[1] == 1 and got[2] == [[1, '?', 9], [3, '\\', None]]
    assert got[3] == [{'id': 2}] and got[4] == [] and got[5] == {'a': '?', 'b': 1, 'c': '??', '?': 2}
    assert got[6] == [{'v': 5}] and got[7] == {'name': "b'; DROP TABLE t --"} and all(got[8]), got[8]
    assert got[9][0] in ('InvalidArgument', 'QueryError') and got[9][1] is True and got[9][2] == 1


def test_what_the_server_would_change(api, cid):
    """Values that MySQL does not have are refused, for it would store another one without a word; longer numbers are exact."""
    got = on(api, cid, '''
zone = datetime.timezone(datetime.timedelta(hours=8))
bad = [float('nan'), float('-inf'), decimal.Decimal('NaN'), decimal.Decimal('-Infinity'), datetime.timedelta(hours=839), datetime.datetime(1, 1, 1, tzinfo=zone)]
out = [tell(lambda: c.query('SELECT ?', [v]))[:2] for v in bad]
return out + [repr(c.query('SELECT ? AS v, ? AS w, ? AS x', [10**100, decimal.Decimal('1E+3'), -2**64])[0]), c.query("SELECT 1 /*!50000 + ? */ /* ? */ AS v, 5--1 AS w, ? AS x", [2, 3])]
''')
    assert [e[0] for e in got[:6]] == ['InvalidArgument'] * 6 and all('parameter 1 is ' in e[1] for e in got[:6]), got
    assert got[6:] == ["{'v': '%d', 'w': Decimal('1000'), 'x': Decimal('%d')}" % (10**100, -2**64), [{'v': 3, 'w': 6, 'x': 3}]]


def test_procedures_and_counts(api, cid, my):
    """The first result of a procedure counts, as with PyMySQL, and an error in a later one is told; rows that RETURNING gives are counted."""
    for name, body in (('two', 'SELECT x AS a; SELECT x + 1 AS b; UPDATE counted SET v = 7'), ('bad', 'SELECT x AS a; SELECT * FROM nowhere'), ('lazy', 'SELECT x AS a; SELECT sleep(x)')):
        my.sql('DELIMITER //\nCREATE PROCEDURE tenon.%s(x int) BEGIN %s; END//' % (name, body))
    limited = add(api, 'mysql', my.config(pool={'query': '500ms'}))
    text, prepared, late = on(api, cid, '''
c.non_query('CREATE TABLE counted (id int PRIMARY KEY, v int)')
counts = [c.non_query(*q) for q in (['INSERT INTO counted VALUES (1, 1), (2, 2) RETURNING id'], ['/* x */ INSERT INTO counted VALUES (?, 1) ON DUPLICATE KEY UPDATE v = 5', [1]],
          ['REPLACE INTO counted VALUES (2, 6)'], ['DELETE FROM counted WHERE id > ? RETURNING *', [1]], ['CALL two(1)'], ['CALL two(?)', [1]], ['SELECT 1'], ['SET @x = 1'])]
forms = ['1', None], ['?', [1]]
out = [[c.query('CALL two(%s)' % x, p), list(c.stream('CALL two(%s)' % x, p)), tell(lambda: c.query('CALL bad(%s)' % x, p))[2], c.query('SELECT 1 AS v')] for x, p in forms]
t, slow = time.monotonic(), DFF.CONN(limited)
late = [tell(lambda: slow.query('CALL lazy(%s)' % x.replace('1', '20'), p and [20]))[0] for x, p in forms]
return out + [late + [time.monotonic() - t < 8, counts]]
''', limited=limited)
    assert text == prepared == [[{'a': 1}], [{'a': 1}], 1146, [{'v': 1}]]
    assert late == ['ConnTimeout', 'ConnTimeout', True, [2, 2, 2, 1, 1, 0, 0, 0]]


def test_no_backslash_escapes(api, my):
    """The server's mode decides what a text is; parameters are not looked for in it."""
    cid = add(api, 'mysql', my.config())
    got = on(api, cid, r'''
c.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
a = c.query("SELECT '\\' AS a, ? AS b, ' ? ' AS c", ['x'])[0]
c.query("SET sql_mode = 'ANSI_QUOTES'")
return [a, c.query("SELECT c AS \"\\\", ? AS b, '\\' ?' AS c FROM (SELECT 1 AS c) t", ['x'])[0]]
''')
    assert got == [{'a': '\\', 'b': 'x', 'c': ' ? '}, {'\\': 1, 'b': 'x', 'c': "' ?"}]


def test_errors(api, cid):
    got = on(api, cid, r'''
c.non_query('DROP TABLE IF EXISTS u')
c.non_query('CREATE TABLE u (id int PRIMARY KEY)')
c.non_query('INSERT INTO u VALUES (1)')
return [tell(lambda: c.query('SELECT * FROM nowhere')), tell(lambda: c.query('SELEKT')), tell(lambda: c.non_query('INSERT INTO u VALUES (?)', [1])),
        tell(lambda: c.query('SELECT * FROM mysql.user')), tell(lambda: c.query('SELECT 1; SELECT 2')), tell(lambda: c.query('')),
        tell(lambda: c.query("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE u")), c.query('SELECT 1 AS still')[0]['still'],
        c.clear_table('u'), c.query('SELECT count(*) AS n FROM u')[0]['n'], tell(lambda: c.clear_table('u; DROP TABLE u'))[0], c.non_query('SELECT 1'), c.query('SET @x = 1')]
''')
    assert [(g[0], g[3]) for g in got[:5]] == [('QueryError', '42S02'), ('QueryError', '42000'), ('ConflictError', '23000'),
                                               ('Denied', '42000'), ('QueryError', '42000')]
    assert 'nowhere' in got[0][1] and got[0][2] == 1146 and got[5][0] == 'InvalidArgument'
    assert got[6] is not None and got[7] == 1 and got[8] is None and got[9] == 0 and got[10] == 'QueryError' and got[11:] == [0, []]


def test_several_statements_when_wanted(api, my):
    cid = add(api, 'mysql', my.config(multi_statements=True))
    assert on(api, cid, '''
out = [c.query('SET @a = 1; SELECT @a + 1 AS v'), c.query('SELECT 1 AS a; SELECT 2 AS b'), tell(lambda: c.query('SELECT 1; SELEKT'))[0]]
return out + [c.query('SELECT 3 AS v')]
''') == [[{'v': 2}], [{'a': 1}], 'QueryError', [{'v': 3}]]


def test_a_transaction_that_the_server_ended(api, cid):
    """A deadlock: nothing is kept of what comes behind, until rollback(); another error leaves the transaction."""
    told, after, other, left = on(api, cid, '''
c.non_query('DROP TABLE IF EXISTS dead')
c.non_query('CREATE TABLE dead (v int PRIMARY KEY, n int)')
c.non_query('INSERT INTO dead VALUES (1, 0), (2, 0)')
a, b = c.start_trans(), c.start_trans()
c.trans_non_query(a, 'UPDATE dead SET n = n + 1 WHERE v = 1')
c.trans_non_query(b, 'UPDATE dead SET n = n + 1 WHERE v = 2')
DFF.THREAD.submit(tell, lambda: c.trans_non_query(b, 'UPDATE dead SET n = n + 1 WHERE v = 1'))
time.sleep(0.3)
told = [tell(lambda: c.trans_non_query(a, 'UPDATE dead SET n = n + 1 WHERE v = 2')), DFF.THREAD.get_all_results()[0].value]
lost, kept = (a, b) if told[0] else (b, a)
after = [tell(lambda: c.trans_non_query(lost, 'INSERT INTO dead VALUES (6, 0)')), tell(lambda: c.trans_query(lost, 'SELECT 1 AS v')), tell(lambda: c.commit(lost))]
c.rollback(lost)
c.commit(kept)
a = c.start_trans()
c.trans_non_query(a, 'INSERT INTO dead VALUES (7, 0)')
other = tell(lambda: c.trans_query(a, 'SELECT * FROM nowhere'))[2]
c.trans_non_query(a, 'INSERT INTO dead VALUES (8, 0)')
c.commit(a)
return [told, after, other, [list(r.values()) for r in c.query('SELECT v, n FROM dead ORDER BY v')]]
''')
    victim = told[0] or told[1]
    assert told.count(None) == 1 and victim[0] == 'ConflictError' and victim[2] == 1213, told
    assert [t[0] for t in after] == ['ConflictError'] * 3 and all('rollback()' in t[1] for t in after), after
    assert other == 1146 and left == [[1, 1], [2, 1], [7, 0], [8, 0]], left


def test_transactions(api, cid, my):
    """commit, rollback, isolation from the plain helper, a forgotten one."""
    got = on(api, cid, '''
c.non_query('DROP TABLE IF EXISTS tx')
c.non_query('CREATE TABLE tx (v varchar(20)) ENGINE=InnoDB')
t = c.start_trans()
out = [c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['a']), c.trans_query(t, 'SELECT v FROM tx'), c.query('SELECT v FROM tx')]
c.commit(t)
t = c.start_trans()
c.trans_non_query(t, 'INSERT INTO tx VALUES (?)', ['b'])
c.rollback(t)
t = c.start_trans()
t.non_query("INSERT INTO tx VALUES ('lost')")
c.query('KILL %d' % t.query('SELECT connection_id() AS p')[0]['p'])
time.sleep(0.1)
out += [tell(lambda: t.query('SELECT 1'))[::2], tell(lambda: t.query('SELECT 1'))[0], tell(lambda: c.commit(t))[0], c.rollback(t)]
keep = c.start_trans()
c.trans_non_query(keep, 'INSERT INTO tx VALUES (?)', ['forgotten'])
return out + [c.query('SELECT v FROM tx')]
''')
    assert got == [1, [{'v': 'a'}], [], ['ConnUnavailable', 2006], 'ConnUnavailable', 'ConnUnavailable', None, [{'v': 'a'}]]
    assert on(api, cid, "return c.query('SELECT v FROM tx')") == [{'v': 'a'}]
    assert my.sql('SELECT count(*) FROM information_schema.innodb_trx').strip() == '0'


def test_roles_do_not_leak(api, my):
    """The server's reset keeps the role, so such a connection ends; one that only might have changed it goes on."""
    my.sql("CREATE ROLE reader; GRANT reader TO tenon@'127.0.0.1'; GRANT SELECT ON mysql.* TO reader; CREATE PROCEDURE tenon.nothing() BEGIN END")
    cid = add(api, 'mysql', my.config(pool={'max': 1}))
    for statement, stays in (('SET ROLE reader', False), ("EXECUTE IMMEDIATE 'SET ROLE reader'", False), ('CALL nothing()', True), ('SELECT 1', True)):
        before = on(api, cid, "c.query(sql)\nreturn c.query('SELECT connection_id() AS p')[0]['p']", sql=statement)
        role, pid = on(api, cid, "return list(c.query('SELECT current_role() AS r, connection_id() AS p')[0].values())")
        assert role is None and (pid == before) == stays, statement


def test_nothing_leaks_to_the_next_call(api, cid):
    """Variables, database, temporary tables, locks, an open transaction; connections are reused."""
    seen = set()
    for _ in range(6):
        seen.add(on(api, cid, '''
c.query("SET @secret = 1")
c.query("SET SESSION sql_mode = ''")
c.query("SET NAMES latin1")
c.query('CREATE TEMPORARY TABLE mine (x int)')
c.query("SELECT GET_LOCK('mine', 0)")
c.query('USE information_schema')
c.query('BEGIN')
return c.query('SELECT connection_id() AS p')[0]['p']
'''))
        got = on(api, cid, '''
return [c.query('SELECT @secret AS v')[0]['v'], c.query('SELECT database() AS v')[0]['v'], c.query("SELECT IS_FREE_LOCK('mine') AS v")[0]['v'],
        c.query('SELECT @@sql_mode AS v')[0]['v'] != '', c.query('SELECT @@character_set_client AS v')[0]['v'], tell(lambda: c.query('SELECT * FROM mine'))[2],
        c.query('SELECT @@in_transaction AS v')[0]['v'], c.query('SELECT connection_id() AS p')[0]['p']]
''')
        assert got[:7] == [None, 'tenon', 1, True, 'utf8mb4', 1146, 0]
        seen.add(got[7])
    assert len(seen) <= 4, 'connections are reused: %s' % seen


def test_timezone(api, my):
    assert on(api, add(api, 'mysql', my.config()), "return c.query('SELECT @@time_zone AS z')") == [{'z': '+08:00'}]
    assert on(api, add(api, 'mysql', my.config(timezone='+00:00')), "return c.query('SELECT @@time_zone AS z')") == [{'z': '+00:00'}]


@shows('streaming', 'row by row, bounded memory')
def test_stream_and_limits(api, my):
    """A large result: refused in one piece beyond max_result, read row by row otherwise."""
    cid = add(api, 'mysql', my.config(max_result='1M'))
    got = on(api, cid, '''
sql = "SELECT seq AS i, repeat('x', 100) AS t FROM seq_1_to_100000 WHERE seq > ?"
told = [tell(lambda: c.query(sql, [0])), tell(lambda: c.query(sql.replace('?', '0'))), tell(lambda: c.query("SELECT repeat('x', 3000000)"))]
sums = []
for params in ([0], None):
    n = s = 0
    for row in c.stream(sql if params else sql.replace('?', '0'), params, size=5000):
        n += 1
        s += row['i']
    sums.append([n, s])
first = next(iter(c.stream(sql, [0])))['i']
bad = tell(lambda: list(c.stream("SELECT seq, (SELECT seq UNION SELECT 1) FROM seq_1_to_5")))
return [told, sums, first, bad, c.query('SELECT 1 AS v')]
''')
    assert [t[0] for t in got[0]] == ['LimitExceeded'] * 3 and 'max_result' in got[0][0][1]
    assert got[1] == [[100000, 5000050000]] * 2 and got[2] == 1 and got[3][2] == 1242 and got[4] == [{'v': 1}]


class TestMySQL(Contract, Panel, FunctionIsSeen, Threads, FewConnections, TwoServers, Breaks, BadLines, Refusals, ClientCertificate, Deadlines, Injection):
    """What mysql shares with the other connectors."""

    type, fixture, make = 'mysql', 'my', MariaDB
    ask, gives = "c.query('SELECT 1 AS v')", [{'v': 1}]
    victim, victim_is, no_name = 'v text CHARACTER SET utf8mb4, b blob', 'BINARY v = ?', ('42S22', '42000', '42S02', 'HY000')
    endless, deadline_configs = ['SELECT sleep(20)', ['SELECT sleep(?)', [20]]], [{'tls': 'off'}, {'tls': 'unverified'}]
    tls_ask, tls_gives = "c.query(\"SHOW STATUS LIKE 'Ssl_cipher'\")[0]['Value'] != ''", True
    says_why = 'certificate'
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_CA, NO_FIELD, ({'password': 'wrong'}, 'Denied', 'sign-in: Access denied'),
                ({'user': 'nobody'}, 'Denied', 'sign-in: Access denied'), ({'database': 'nowhere'}, ('ConfigError', 'Denied'), 'nowhere')]
    fetch = "len(c.query('SELECT seq AS i, repeat(seq, 20) AS t FROM seq_1_to_5000 WHERE seq <= ?', [n]))"
    broken = {'tls': 'off', 'pool': {'query': '800ms'}}
    own_statement = "list(c.query('SELECT info FROM information_schema.processlist WHERE id = connection_id()')[0].values())[0]"
    in_thread = 'SELECT sleep(0.5), connection_id() AS p'
    panel = [('SHOW DATABASES', lambda rows: {'Database': 'tenon'} in rows), ('SHOW TABLES FROM tenon', lambda rows: {'Tables_in_tenon': 'panel'} in rows),
             ('DESCRIBE panel', lambda rows: rows[0]['Field'] == 'c0')]
    panel_refused, before_panel = 'SELECT nope', "c.non_query('CREATE TABLE panel (c0 int)')"
    contract = ['query=["SELECT 1 AS a, NULL AS b, x\'00\' AS c"]']

    def still_running(self, api, it):
        return it.sql("SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%SELECT sleep%' AND id <> connection_id()").strip() != '0'

    def tls_configs(self, own, ca):
        """Not `localhost`, which is a socket to libmariadb."""
        yield own.config(tls='on', tls_ca=ca)
        yield own.config(tls='unverified')
        yield own.config(tls='prefer')

    def change_password(self, own):
        own.password('another')
        for line in own.sql("SELECT id FROM information_schema.processlist WHERE user = 'tenon'").split():
            own.sql('KILL ' + line)

    def contract_config(self, it):
        return it.config(tls='on', tls_ca=it.certs.dir + '/ca.pem')

    @pytest.mark.parametrize('mode, kinds', BREAKS)
    def test_a_line_that_breaks_in_a_text_answer(self, api, my, mode, kinds):
        """The other half of the protocol, in TLS."""
        self.breaks_in_an_answer(api, my, mode, kinds, "len(c.query('SELECT seq AS i, repeat(seq, 20) AS t FROM seq_1_to_5000 LIMIT %d' % n))", tls='unverified')

    def test_tls_off_and_an_account_of_certificates(self, api, my, other, certs):
        """Off is off; what is preferred may be missing; a certificate instead of a password."""
        assert on(api, add(api, 'mysql', my.config(tls='off')), 'return ' + self.tls_ask) is False
        assert on(api, add(api, 'mysql', other.config(tls='prefer')), 'return c.check()') is None
        pem, key = certs.pair('client')
        me = add(api, 'mysql', my.config(user='tls_user', password='', tls='on', tls_ca=certs.text('ca.pem'), tls_cert=pem, tls_key=key))
        assert on(api, me, "return c.query('SELECT current_user() AS u')") == [{'u': 'tls_user@127.0.0.1'}]


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'mysql', 'libmariadb', 'MariaDB 10.11')
