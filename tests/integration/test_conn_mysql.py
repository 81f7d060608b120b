# SPDX-License-Identifier: Apache-2.0
"""connectors/mysql in scripts, against a real MariaDB, compared with mysqlclient where it matters."""

import datetime
import os
import re
import subprocess
import time

import pytest
from peers.mariadb import PASSWORD, MariaDB
from peers.proxy import Proxy
from support.connectors import INJECTION, add, not_addable, on, peer, refused, run
from support.matrix import check_row, shows
from support.server import BUILD, wait_for


@pytest.fixture(scope='module')
def my(certs):
    with peer(MariaDB, certs) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, my):
    return add(server.client(), 'mysql', my.config())


@pytest.fixture(scope='module')
def other(server, certs):
    """A server with a certificate for another name, to be stopped and changed."""
    with peer(MariaDB, certs, cert='wrong') as p:
        yield p


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


def test_values_as_mysqlclient(api, my, table):
    """The same row through mysqlclient: equal where both have a value of their own."""
    module = pytest.importorskip('MySQLdb')
    c = module.connect(host='127.0.0.1', port=my.port, user='tenon', passwd=PASSWORD, db='tenon', charset='utf8mb4')
    cur = c.cursor()
    cur.execute('SELECT * FROM vals')
    theirs = [repr(v) for v in cur.fetchone()]
    c.close()
    known = {'set', 'json'}  # mysqlclient leaves these to its own conversions
    assert [(t, v) for t, v in zip(theirs, VALUES) if t != v[2] and v[0].split('(')[0] not in known] == []


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


def test_injection(api, cid):
    """Hostile texts come back as they went in: as values of every shape, as keys, as names (reliability X-01)."""
    got = on(api, cid, '''
c.non_query('DROP TABLE IF EXISTS victim')
c.non_query('CREATE TABLE victim (n int, v text, b blob) CHARACTER SET utf8mb4')
c.non_query('INSERT INTO victim VALUES ?', [[[i, t, t.encode()] for i, t in enumerate(texts)]])
same = [(r['v'], r['b'].decode()) for r in c.query('SELECT v, b FROM victim ORDER BY n')] == [(t, t) for t in texts]
each = [c.query('SELECT ? AS v, count(*) AS n FROM victim WHERE BINARY v = ? AND BINARY v IN (?)', [t, t, [t, t]])[0] for t in texts]
for i, t in enumerate(texts):
    c.non_query('UPDATE victim SET ? WHERE n = ?', [{'v': t + t}, i])
twice = [r['v'] for r in c.query('SELECT v FROM victim ORDER BY n')] == [t + t for t in texts]
names = [tell(lambda: c.query('SELECT ?? FROM victim', [t])) for t in texts]
keys = [tell(lambda: c.non_query('UPDATE victim SET ?', [{t: 1}])) for t in texts]
left = c.query('SELECT count(*) AS n FROM victim')[0]['n']
return [same, [r['v'] for r in each] == texts and {r['n'] for r in each} == {1}, twice, names + keys, left]
''', texts=INJECTION)
    assert got[0] and got[1] and got[2] and got[4] == len(INJECTION), got[:3]
    for text, told in zip(INJECTION * 2, got[3]):
        assert told is not None and told[0] in ('QueryError', 'InvalidArgument'), (text, told)
        assert told[0] == 'InvalidArgument' or told[3] in ('42S22', '42000', '42S02', 'HY000'), (text, told)


def test_no_backslash_escapes(api, my):
    """The server's mode decides what a text is; parameters are not looked for in it."""
    cid = add(api, 'mysql', my.config())
    got = on(api, cid, r'''
c.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
return c.query("SELECT '\\' AS a, ? AS b, ' ? ' AS c", ['x'])[0]
''')
    assert got == {'a': '\\', 'b': 'x', 'c': ' ? '}


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
''') == [[{'v': 2}], [{'b': 2}], 'QueryError', [{'v': 3}]]


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
keep = c.start_trans()
c.trans_non_query(keep, 'INSERT INTO tx VALUES (?)', ['forgotten'])
return out + [c.query('SELECT v FROM tx')]
''')
    assert got == [1, [{'v': 'a'}], [], [{'v': 'a'}]]
    assert on(api, cid, "return c.query('SELECT v FROM tx')") == [{'v': 'a'}]
    assert my.sql('SELECT count(*) FROM information_schema.innodb_trx').strip() == '0'


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


@pytest.mark.parametrize('tls', ['off', 'unverified'])
def test_deadlines_stop_the_server_too(api, my, tls):
    """The operation ends in time and the statement does not go on at the server; the pool recovers."""
    cid = add(api, 'mysql', my.config(tls=tls, pool={'query': '400ms'}))
    got = on(api, cid, '''
t = time.monotonic()
told = [tell(lambda: c.query('SELECT sleep(20)'))[0], tell(lambda: c.query('SELECT sleep(?)', [20]))[0]]
return [told, time.monotonic() - t, c.query('SELECT 1 AS v')]
''')
    assert got[0] == ['ConnTimeout', 'ConnTimeout'] and got[1] < 8 and got[2] == [{'v': 1}]
    assert wait_for(lambda: my.sql("SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT sleep%'").strip() == '0')


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


# ---- TLS and sign-in --------------------------------------------------------------------------------------


@shows('TLS', 'verified', 'unknown authority refused', 'client certificate')
def test_tls(api, my, certs):
    ca = certs.text('ca.pem')
    used = "return c.query(\"SHOW STATUS LIKE 'Ssl_cipher'\")[0]['Value'] != ''"
    assert on(api, add(api, 'mysql', my.config(tls='on', tls_ca=ca, host='127.0.0.1')), used) is True
    assert on(api, add(api, 'mysql', my.config(tls='unverified')), used) is True
    assert on(api, add(api, 'mysql', my.config(tls='prefer')), used) is True
    assert on(api, add(api, 'mysql', my.config(tls='off')), used) is False
    e = not_addable(api, 'mysql', my.config(tls='on'))
    assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'] and 'certificate' in e['exception'].lower()
    pem, key = certs.pair('client')
    me = add(api, 'mysql', my.config(user='tls_user', password='', tls='on', tls_ca=ca, tls_cert=pem, tls_key=key))
    assert on(api, me, "return c.query('SELECT current_user() AS u')") == [{'u': 'tls_user@127.0.0.1'}]
    row = api.get('/connectors/do/list', id=me)[0]['configJSON']
    assert 'PRIVATE KEY' not in str(row) and 'tls_key' not in row and row['tls_cert'].startswith('-----BEGIN')


@shows('TLS', 'wrong name refused', 'required but not offered refused')
def test_tls_for_another_name(api, other, certs):
    e = not_addable(api, 'mysql', other.config(tls='on', tls_ca=certs.text('ca.pem')))
    assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception']
    assert on(api, add(api, 'mysql', other.config(tls='unverified')), "return c.check()") is None
    other.stop()
    other.certs = None
    other.start()
    assert on(api, add(api, 'mysql', other.config(tls='prefer')), "return c.check()") is None
    for mode in ('on', 'unverified'):
        e = not_addable(api, 'mysql', other.config(tls=mode, tls_ca=certs.text('ca.pem')))
        assert 'TLS: ' in e['exception'], e


@shows('faults', 'refused')
@pytest.mark.parametrize('change, kind, says', [
    ({'password': 'wrong'}, 'Denied', 'sign-in: Access denied'),
    ({'user': 'nobody'}, 'Denied', 'sign-in: Access denied'),
    ({'database': 'nowhere'}, ('ConfigError', 'Denied'), 'nowhere'),
    ({'port': 1}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'host': 'no.such.host.invalid'}, 'ConnUnavailable', 'DNS: the name `no.such.host.invalid` cannot be resolved'),
    ({'tls': 'yes'}, 'ConfigError', 'tls'),
    ({'tls': 'on', 'tls_ca': '/nonexistent/ca'}, 'ConfigError', '/nonexistent/ca'),
    ({'hots': 'x'}, 'ConfigError', 'did you mean `host`?'),
])
def test_refused_with_the_step_that_failed(api, my, change, kind, says):
    e = not_addable(api, 'mysql', my.config(**change))
    assert e['exceptionType'] in (kind if isinstance(kind, tuple) else (kind,)) and says in e['exception'], e
    assert PASSWORD not in str(e)


# ---- faults -----------------------------------------------------------------------------------------------


@shows('faults', param='mode')
@pytest.mark.parametrize('mode', ['black_hole', 'half_open', 'garbage', 'huge', 'slow', 'reset', 'cut'])
def test_connecting_through_a_bad_line(api, my, mode):
    with Proxy(my.port) as proxy:
        cid = add(api, 'mysql', my.config(port=proxy.port, pool={'connect': '700ms'}), skipTest=True)
        proxy.mode, proxy.after = mode, 20
        got = on(api, cid, '''
t = time.monotonic()
told = tell(lambda: c.query('SELECT 1'))
return [told, time.monotonic() - t]
''')
        assert got[0] is not None and got[0][0] in ('ConnTimeout', 'ConnUnavailable'), got
        assert got[1] < 6
        proxy.mode = 'ok'
        proxy.drop()
        assert on(api, cid, "return c.query('SELECT 1 AS v')") == [{'v': 1}]


@shows('faults', param='mode')
@pytest.mark.parametrize('mode, kinds', [('black_hole', ('ConnTimeout',)), ('half_open', ('ConnTimeout',)),
                                         ('reset', ('ConnUnavailable',)), ('cut', ('ConnUnavailable',)),
                                         ('slow', ('ConnTimeout',))])
@pytest.mark.parametrize('tls, sql', [('off', 'SELECT seq AS i, repeat(seq, 20) AS t FROM seq_1_to_5000 WHERE seq <= ?'),
                                      ('unverified', 'SELECT seq AS i, repeat(seq, 20) AS t FROM seq_1_to_5000 LIMIT %d')], ids=['prepared', 'text with TLS'])
def test_a_line_that_breaks_in_a_query(api, my, mode, kinds, tls, sql):
    with Proxy(my.port) as proxy:
        cid = add(api, 'mysql', my.config(port=proxy.port, tls=tls, pool={'query': '800ms'}))
        api_id = api.function('''
@DFF.API('f', timeout=20)
def f(cid, sql, n):
    try:
        return len(DFF.CONN(cid).query(sql, [n]) if '?' in sql else DFF.CONN(cid).query(sql % n))
    except Exception as e:
        return [type(e).__name__, str(e)]
''', 'f', {'cid': 'INPUT_BY_CALLER', 'sql': 'INPUT_BY_CALLER', 'n': 'INPUT_BY_CALLER'})
        assert api.result(api_id, cid=cid, sql=sql, n=10) == 10
        proxy.mode, proxy.after = mode, 4000
        told = api.result(api_id, cid=cid, sql=sql, n=3000)
        assert told[0] in kinds, told
        proxy.mode = 'ok'
        proxy.drop()
        assert api.result(api_id, cid=cid, sql=sql, n=10) == 10


@shows('faults', 'server restarted', 'password changed')
def test_restarted_server_is_not_noticed(api, other):
    cid = add(api, 'mysql', other.config())
    api_id = api.function('''
@DFF.API('f')
def f(cid):
    try:
        return DFF.CONN(cid).query('SELECT 1 AS v')
    except Exception as e:
        return [type(e).__name__, str(e)]
''', 'f', {'cid': 'INPUT_BY_CALLER'})
    assert api.result(api_id, cid=cid) == [{'v': 1}]
    other.stop()
    assert api.result(api_id, cid=cid)[0] == 'ConnUnavailable'
    other.start()
    for _ in range(4):
        assert wait_for(lambda: api.result(api_id, cid=cid) == [{'v': 1}])
    other.password('another')
    for line in other.sql("SELECT id FROM information_schema.processlist WHERE user = 'tenon'").split():
        other.sql('KILL ' + line)
    assert wait_for(lambda: api.result(api_id, cid=cid)[0] == 'Denied')
    api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': other.config(password='another')}})
    assert api.result(api_id, cid=cid) == [{'v': 1}]


def test_connections_of_many_calls(api, my):
    cid = add(api, 'mysql', my.config())
    api_id = api.function('''
@DFF.API('f')
def f(cid):
    return DFF.CONN(cid).query('SELECT connection_id() AS p')[0]['p']
''', 'f', {'cid': 'INPUT_BY_CALLER'})
    pids = {api.result(api_id, cid=cid) for _ in range(100)}
    assert len(pids) <= 2 * len(api.get('/monitor/platform/do/get')['broker']['workers'])


def test_threads(api, my):
    cid = add(api, 'mysql', my.config(pool={'max': 4}))
    got = run(api, '''
@DFF.API('f')
def f(cid):
    c = DFF.CONN(cid)
    for _ in range(4):
        DFF.THREAD.submit(c.query, 'SELECT sleep(0.5), connection_id() AS p')
    return sorted({r.value[0]['p'] if r.value else str(r.error) for r in DFF.THREAD.get_all_results()})
''', cid=cid)
    assert len(got) == 4, got


def test_the_server_sees_the_function(api, cid):
    seen = on(api, cid, "return c.query('SELECT info FROM information_schema.processlist WHERE id = connection_id()')")[0]
    assert re.match(r'/\* \w+__\w+\.f \*/ SELECT info', seen.get('info') or seen.get('INFO')), seen


def test_debug_panel(api, cid, table):
    ask = lambda sql: api.post('/connectors/%s/do/query' % cid, {'queryStatement': sql})
    assert {'Database': 'tenon'} in ask('SHOW DATABASES') and {'Tables_in_tenon': 'vals'} in ask('SHOW TABLES FROM tenon')
    assert ask('DESCRIBE vals')[0]['Field'] == 'c0'
    started = time.monotonic()
    assert refused(api, 'POST', '/connectors/%s/do/query' % cid, {'queryStatement': 'SELECT nope'})['reason'] == \
        'EClientBadRequest.QueryFailed'
    assert time.monotonic() - started < 10


def test_contract(my):
    """tenon-plugin-check against the live plugin and server."""
    config = my.config(tls='on', tls_ca=my.certs.dir + '/ca.pem')
    done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_mysql.so')]
                          + [a for k, v in config.items() for a in ('--config', '%s=%s' % (k, v))]
                          + ['--call', 'query=["SELECT 1 AS a, NULL AS b, x\'00\' AS c"]', '--call', 'check'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'mysql', 'libmariadb', 'MariaDB 10.11')
