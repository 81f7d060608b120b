# SPDX-License-Identifier: Apache-2.0
"""connectors/clickhouse in scripts, against Debian's ClickHouse, compared with clickhouse-driver where it matters."""

import os
import re
import subprocess
import time

import pytest
from peers.clickhouse import PASSWORD, ClickHouse
from peers.proxy import Proxy
from support.connectors import INJECTION, add, not_addable, on, peer, refused, run
from support.matrix import check_row, shows
from support.readme import script_of
from support.server import BUILD, ROOT, wait_for


@pytest.fixture(scope='module')
def ch():
    with peer(ClickHouse) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, ch):
    return add(server.client(), 'clickhouse', ch.config())


@pytest.fixture(scope='module')
def tls(certs):
    with peer(ClickHouse, certs) as p:
        yield p


@pytest.fixture(scope='module')
def other(server, certs):
    """A server with a certificate for another name, to be stopped and changed."""
    with peer(ClickHouse, certs, cert='wrong') as p:
        yield p


# One column of every type that the server has: an expression, and what a script sees (repr).
VALUES = [
    ('toUInt8(255)', '255'), ('toUInt16(65535)', '65535'), ('toUInt32(4294967295)', '4294967295'), ('toUInt64(18446744073709551615)', '18446744073709551615'),
    ('toInt8(-128)', '-128'), ('toInt16(-32768)', '-32768'), ('toInt32(-2147483648)', '-2147483648'), ('toInt64(-9223372036854775807)', '-9223372036854775807'),
    ('toFloat32(1.5)', '1.5'), ('toFloat64(0.1)', '0.1'), ('inf', 'inf'), ("'a\u6570\U0001f600'", "'a\u6570\U0001f600'"), ("''", "''"), ("unhex('00ff')", r"b'\x00\xff'"),
    ("toFixedString('ab', 4)", "'ab'"), ("toDate('2026-02-28')", 'datetime.date(2026, 2, 28)'),
    ("toDateTime('2026-01-01 08:00:00', 'UTC')", 'datetime.datetime(2026, 1, 1, 8, 0, tzinfo=datetime.timezone.utc)'),
    ("toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", "UUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')"),
    ("CAST('y', 'Enum8(\\'x\\' = -1, \\'y\\' = 7)')", "'y'"), ("CAST('it\\'s', 'Enum16(\\'it\\\\\\'s\\' = 1000, \\'b\\' = 2)')", '"it\'s"'),
    ("toDecimal32('1.50', 2)", "Decimal('1.50')"), ("toDecimal64('-0.001', 4)", "Decimal('-0.0010')"), ("toDecimal128('12345678901234567890.123456', 6)", "Decimal('12345678901234567890.123456')"),
    ('NULL', 'None'), ('CAST(NULL, \'Nullable(Int8)\')', 'None'), ("toNullable('x')", "'x'"), ('[1, 2]', '[1, 2]'), ('emptyArrayString()', '[]'), ("[['a'], []]", "[['a'], []]"),
    ("[NULL, 5]", '[None, 5]'), ("tuple(1, 'x', [2])", "(1, 'x', [2])"), ("[tuple(1, 'x')]", "[(1, 'x')]"), ('INTERVAL 5 DAY', '5'),
]


def test_values(api, cid):
    """Every type, for one row and for several."""
    names = ['c%d' % i for i in range(len(VALUES))]
    sql = 'SELECT %s FROM numbers(3)' % ', '.join('%s AS %s' % (v[0], n) for v, n in zip(VALUES, names))
    got = on(api, cid, 'return [[repr(v) for v in row.values()] for row in c.query(sql)]', sql=sql)
    assert len(got) == 3
    for row in got:
        assert [(g, v) for g, v in zip(row, VALUES) if g != v[1]] == []


def test_clocks(api, cid, ch):
    """DateTime without a zone is told on the server's clocks, as clickhouse-driver does; with one it is a moment in UTC."""
    got = on(api, cid, """
row = c.query("SELECT toDateTime('2026-01-01 08:00:00') AS a, toDateTime('2026-07-01 08:00:00', 'Europe/Berlin') AS b")[0]
n = c.query("SELECT toUnixTimestamp(?) AS n, ? = toDateTime('2026-01-01 08:00:00') AS same, ? = toDateTime(1767225600) AS aware",
            [row['a'], row['a'], datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)])[0]
return [repr(row['a']), repr(row['b']), n]
""")
    assert got[0] == 'datetime.datetime(2026, 1, 1, 8, 0)' and got[2] == {'n': 1767225600, 'same': 1, 'aware': 1}, got
    assert got[1] == 'datetime.datetime(2026, 7, 1, 6, 0, tzinfo=datetime.timezone.utc)'
    assert ch.sql("SELECT toDateTime('2026-01-01 08:00:00')")[0][0].isoformat() == '2026-01-01T08:00:00'


def test_as_clickhouse_driver(api, cid, ch):
    """The same rows through clickhouse-driver."""
    plain = [v for v in VALUES if not any(odd in v[0] for odd in ('unhex', 'UTC', 'toDecimal'))]  # it drops zeros behind the point
    theirs = [repr(v) for v in ch.sql('SELECT %s' % ', '.join(v[0] for v in plain))[0]]
    assert [(t, v) for t, v in zip(theirs, plain) if t != v[1]] == []


def test_parameters(api, cid):
    """? and ??, lists, dicts, types (spec 4.1.2)."""
    got = on(api, cid, r'''
c.non_query('DROP TABLE IF EXISTS t')
c.non_query('CREATE TABLE t (id Int32, name Nullable(String), price Decimal(10, 2), at DateTime, day Date, tags Array(String), `Odd Name` Float64) ENGINE = Memory')
n = c.non_query('INSERT INTO t VALUES ?', [[[1, 'a', decimal.Decimal('1.50'), datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2), ['x', "y'"], 1.5],
                                           [2, "b'; DROP TABLE t --", decimal.Decimal('3.10'), datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), datetime.date(2026, 1, 2), ['z'], -1],
                                           [3, None, 2, datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2), ['\\'], float('inf')]]])
out = [n, c.non_query("INSERT INTO t (id, name, tags) VALUES (4, 'it\\'s', []), (-5 , NULL, ['q']) ; ")]
out.append([repr(list(r.values())) for r in c.query('SELECT * FROM t WHERE id IN (?) ORDER BY ??', [[1, 3], 'id'])])
out.append(c.query('SELECT id FROM ?? WHERE name = ?', ['tenon.t', "b'; DROP TABLE t --"]))
out.append(c.query('SELECT id FROM t WHERE id IN (?) ORDER BY ??', [[4, -5], 't.id']))
out.append(c.query("SELECT '?' AS a, ? AS b, `id` AS `?` FROM t WHERE id = ? -- ?\n /* ? */", [1, 2])[0])
out.append(c.query('SELECT ? AS v', 5))
out.append(c.query('SELECT 7-? AS v, ? AS w', [-1, 10**19]))
out.append([c.query('SELECT ? AS v', [v])[0]['v'] == v for v in (2**40, -1, 0.5, 1e300, 'text', b'\xff\x00', decimal.Decimal('1.10'), decimal.Decimal('-12345678901234567890.5'),
    datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5), '\x00\r\n\t\b\f\\\'"`', 'x' * 100000)])
out.append([tell(lambda: c.query('SELECT ?', [decimal.Decimal('1E-50')])), tell(lambda: c.query('SELECT ?', [decimal.Decimal('NaN')])), c.query('SELECT ? IS NULL AS v', [None])[0]['v']])
out.append(tell(lambda: c.non_query('INSERT INTO t (id) VALUES (now())')))
out.append([c.query('SELECT count() AS n FROM t'), c.query('SELECT ? AS v', [True])])
return out
''')
    assert got[0] == 3 and got[1] == 2
    assert got[2] == ["[1, 'a', Decimal('1.50'), datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2), ['x', \"y'\"], 1.5]",
                      "[3, None, Decimal('2.00'), datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2), ['\\\\'], inf]"]
    assert got[3] == [{'id': 2}] and got[4] == [{'id': -5}, {'id': 4}] and got[5] == {'a': '?', 'b': 1, '?': 2}
    assert got[6] == [{'v': 5}] and got[7] == [{'v': 8, 'w': 10**19}] and all(got[8]), got[8]
    assert got[9][0][0] == got[9][1][0] == 'InvalidArgument' and got[9][2] == 1
    assert got[10][0] == 'InvalidArgument' and 'insert()' in got[10][1] and got[11][0] == [{'n': 5}]


def test_injection(api, cid):
    """Hostile texts come back as they went in: as values of every shape, as keys, as names (reliability X-01)."""
    got = on(api, cid, '''
c.non_query('DROP TABLE IF EXISTS victim')
c.non_query('CREATE TABLE victim (n Int32, v String) ENGINE = Memory')
c.non_query('INSERT INTO victim VALUES ?', [[[i, t] for i, t in enumerate(texts)]])
c.insert('victim', [[i + 1000, t.encode()] for i, t in enumerate(texts)])
rows = [r['v'] for r in c.query('SELECT v FROM victim ORDER BY n')]
each = [c.query('SELECT ? AS t, count() AS n FROM victim WHERE v = ? AND v IN (?)', [t, t, [t, t]])[0] for t in texts]
names = [tell(lambda: c.query('SELECT ?? FROM victim', [t])) for t in texts]
alias = [list(c.query('SELECT 1 AS ??', [t])[0]) for t in texts if '.' not in t]
left = c.query('SELECT count() AS n FROM victim')[0]['n']
return [rows == texts + texts, [r['t'] for r in each] == texts and {r['n'] for r in each} == {2}, names, left, alias == [[t] for t in texts if '.' not in t]]
''', texts=INJECTION)
    assert got[0] and got[1] and got[3] == 2 * len(INJECTION) and got[4], got
    for text, told in zip(INJECTION, got[2]):
        assert told is not None and (told[0] == 'InvalidArgument' or told[2] == 47), (text, told)


def test_errors(api, cid):
    got = on(api, cid, r'''
return [tell(lambda: c.query('SELECT * FROM nowhere')), tell(lambda: c.query('SELEKT')), tell(lambda: c.query("SELECT throwIf(number = 70000) FROM numbers(100000)")),
        tell(lambda: c.query('SELECT 1; SELECT 2')), tell(lambda: c.query('')), tell(lambda: c.query("SELECT sumState(1) AS s")), c.query('SELECT 1 AS still')[0]['still'],
        tell(lambda: c.query('SELECT 1', None, {'no_such_setting': 1})), tell(lambda: c.query('SELECT 1', settings=5))[0], c.query('DROP TABLE IF EXISTS nowhere'), c.non_query('SELECT 1')]
''')
    assert [(g[0], g[2]) for g in got[:4]] == [('QueryError', 60), ('QueryError', 62), ('QueryError', 395), ('QueryError', 62)], got
    assert '`: Code: 60. DB::Exception: Table tenon.nowhere' in got[0][1] and all('Stack' not in g[1] and '0x' not in g[1] for g in got[:4]), got
    assert got[4][0] == 'InvalidArgument' and got[5][0] == 'NotSupported' and 'AggregateFunction' in got[5][1] and 'toString()' in got[5][1]
    assert got[6] == 1 and got[7][0] == 'QueryError' and got[8] == 'InvalidArgument' and got[9:] == [[], 0]


@pytest.mark.parametrize('secure', [False, True])
def test_deadlines_stop_the_server_too(api, ch, tls, secure):
    """The operation ends in time and the statement does not go on at the server; the connection stays."""
    it = tls if secure else ch
    cid = add(api, 'clickhouse', it.config(tls='unverified' if secure else 'off', pool={'query': '400ms'}))
    got = on(api, cid, '''
t = time.monotonic()
told = [tell(lambda: c.query('SELECT count() FROM system.numbers'))[0], tell(lambda: c.query('SELECT number FROM system.numbers WHERE number < 0'))[0]]
return [told, time.monotonic() - t, c.query('SELECT 1 AS v')]
''')
    assert got[0] == ['ConnTimeout', 'ConnTimeout'] and got[1] < 8 and got[2] == [{'v': 1}]
    assert wait_for(lambda: it.sql("SELECT count() FROM system.processes WHERE query LIKE '%system.numbers%' AND query NOT LIKE '%processes%'") == [(0,)])


@pytest.mark.parametrize('how', ['lz4', 'zstd'])
def test_compression(api, ch, how):
    """Blocks in frames, in both directions: the server checks our sums, we check its."""
    cid = add(api, 'clickhouse', ch.config(compression=how))
    assert on(api, cid, '''
c.non_query('CREATE TABLE IF NOT EXISTS packed (n UInt64, t String) ENGINE = Memory')
done = c.insert('packed', [{'n': i, 't': 'x' * (i % 50)} for i in range(3000)])
rows = c.query('SELECT n, t FROM packed ORDER BY n LIMIT 3000')
c.non_query('DROP TABLE packed')
return [done, all(r['t'] == 'x' * (r['n'] % 50) for r in rows), len(rows), c.query('SELECT 1 AS v')]
''') == [3000, True, 3000, [{'v': 1}]]


def test_stream(api, ch):
    """A large result: refused in one piece beyond max_result, read row by row otherwise."""
    cid = add(api, 'clickhouse', ch.config(max_result='1M'))
    got = on(api, cid, '''
sql = "SELECT number AS i, toString(number) AS t FROM numbers(300000) WHERE number >= ?"
told = tell(lambda: c.query(sql, [0]))
n = s = 0
for row in c.stream(sql, [1], size=5000):
    n += 1
    s += row['i']
first = next(iter(c.stream(sql, [7])))['i']
return [told, n, s, first, c.query('SELECT 1 AS v')]
''')
    assert got[0][0] == 'LimitExceeded' and 'max_result' in got[0][1]
    assert got[1:] == [299999, 44999850000, 7, [{'v': 1}]]


@shows('streaming', 'row by row, bounded memory')
@pytest.mark.heavy  # a sanitizer keeps freed memory for a while
def test_a_million_rows_in_bounded_memory(api, cid):
    got = on(api, cid, '''
def rss():
    with open('/proc/self/statm') as f:
        return int(f.read().split()[1]) * 4096
idle = peak = rss()
n = 0
for row in c.stream("SELECT number AS i, toString(number) AS t, [number, number] AS l FROM numbers(1000000)"):
    n += 1
    if n % 5000 == 0:
        peak = max(peak, rss())
return [n, row, peak - idle]
''')
    assert got[:2] == [1000000, {'i': 999999, 't': '999999', 'l': [999999, 999999]}] and got[2] < 64 << 20, got
    print('the worker grew by %d KiB' % (got[2] >> 10))


def test_nothing_leaks_to_the_next_call(api, cid):
    """Settings, database, temporary tables, a stream that was not read to its end."""
    state = "SELECT (SELECT value FROM system.settings WHERE name = 'max_block_size') AS size, currentDatabase() AS db"
    before = on(api, cid, 'return c.query(state)', state=state)
    for _ in range(3):
        on(api, cid, '''
c.query('SET max_block_size = 77')
c.query('CREATE TEMPORARY TABLE mine (x Int8)')
c.query('USE system')
c.query('SELECT 1', settings={'max_block_size': 78})
next(iter(c.stream('SELECT number FROM numbers(100000)')))
''')
        got = on(api, cid, "return [c.query(state), tell(lambda: c.query('SELECT * FROM mine'))[2]]", state=state)
        assert got == [before, 60]
    assert before[0]['db'] == 'tenon'


# ---- TLS and sign-in --------------------------------------------------------------------------------------


@shows('TLS', 'verified', 'unknown authority refused')
def test_tls(api, tls, certs):
    ca = certs.text('ca.pem')
    works = "return c.query('SELECT 1 AS v')"
    assert on(api, add(api, 'clickhouse', tls.config(tls='on', tls_ca=ca)), works) == [{'v': 1}]
    assert on(api, add(api, 'clickhouse', tls.config(tls='unverified')), works) == [{'v': 1}]
    e = not_addable(api, 'clickhouse', tls.config(tls='on'))
    assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'] and 'certificate' in e['exception'].lower(), e
    assert not_addable(api, 'clickhouse', tls.config(pool={'connect': '2s'}))['exceptionType'] in ('ConnUnavailable', 'ConnTimeout')


@shows('TLS', 'wrong name refused')
def test_tls_for_another_name(api, other, certs):
    e = not_addable(api, 'clickhouse', other.config(tls='on', tls_ca=certs.text('ca.pem')))
    assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'], e
    assert on(api, add(api, 'clickhouse', other.config(tls='unverified')), 'return c.check()') is None


@shows('TLS', 'client certificate', 'required but not offered refused')
def test_client_certificate(api, ch, certs):
    """A server that wants one; a server that has no TLS."""
    ca = certs.text('ca.pem')
    pem, key = certs.pair('client')
    with peer(ClickHouse, certs, strict=True) as strict:
        config = strict.config(database='default', tls='on', tls_ca=ca)
        me = add(api, 'clickhouse', {**config, 'tls_cert': pem, 'tls_key': key})
        assert on(api, me, "return c.query('SELECT 1 AS v')") == [{'v': 1}]
        e = not_addable(api, 'clickhouse', config)
        assert e['exceptionType'] in ('Denied', 'ConnUnavailable'), e
    row = api.get('/connectors/do/list', id=me)[0]['configJSON']
    assert 'PRIVATE KEY' not in str(row) and 'tls_key' not in row and row['tls_cert'].startswith('-----BEGIN')
    for mode in ('on', 'unverified'):
        assert 'TLS: ' in not_addable(api, 'clickhouse', ch.config(tls=mode, tls_ca=ca, pool={'connect': '2s'}))['exception']


@shows('faults', 'refused')
@pytest.mark.parametrize('change, kind, says', [
    ({'password': 'wrong'}, 'Denied', 'sign-in: Code: 193'),
    ({'user': 'nobody'}, 'Denied', 'sign-in: Code: 192'),
    ({'database': 'nowhere'}, 'ConfigError', 'nowhere'),
    ({'port': 1}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'host': 'no.such.host.invalid'}, 'ConnUnavailable', 'DNS: the name `no.such.host.invalid` cannot be resolved'),
    ({'host': 'a:99999'}, 'ConfigError', 'a:99999'),
    ({'tls': 'yes'}, 'ConfigError', 'tls'),
    ({'compression': 'gzip'}, 'ConfigError', 'compression'),
    ({'tls': 'on', 'tls_ca': '/nonexistent/ca'}, 'ConfigError', '/nonexistent/ca'),
    ({'hots': 'x'}, 'ConfigError', 'did you mean `host`?'),
])
def test_refused_with_the_step_that_failed(api, ch, change, kind, says):
    e = not_addable(api, 'clickhouse', ch.config(**change))
    assert e['exceptionType'] == kind and says in e['exception'], e
    assert PASSWORD not in str(e)


def test_roles_and_hosts(api, ch):
    """A port in the host; a user who may only read; a first host that does not answer."""
    assert on(api, add(api, 'clickhouse', ch.config(host='127.0.0.1:%d' % ch.port, port=1)), "return c.query('SELECT 1 AS v')") == [{'v': 1}]
    cid = add(api, 'clickhouse', ch.config(user='reader', password='', host='127.0.0.1:1,127.0.0.1'))
    got = on(api, cid, "return [c.query('SELECT 1 AS v'), tell(lambda: c.non_query('CREATE TABLE x (a Int8) ENGINE = Memory'))]")
    assert got[0] == [{'v': 1}] and got[1][0] == 'Denied' and got[1][2] == 164, got


@pytest.mark.parametrize('revision', [54060, 54372, 54406])
def test_an_older_protocol(api, ch, revision):
    """What servers before ours speak; ours goes along."""
    assert on(api, add(api, 'clickhouse', ch.config(revision=revision)), '''
c.non_query('CREATE TABLE IF NOT EXISTS older (n Int32, t String) ENGINE = Memory')
out = [c.insert('older', [{'n': 1, 't': 'x'}]), c.non_query('INSERT INTO older VALUES (2, ?)', ["y'"]), c.query('SELECT n, t FROM older ORDER BY n'), tell(lambda: c.query('SELEKT'))[2]]
c.non_query('DROP TABLE older')
return out
''') == [1, 1, [{'n': 1, 't': 'x'}, {'n': 2, 't': "y'"}], 62]


# ---- faults -----------------------------------------------------------------------------------------------


@shows('faults', param='mode')
@pytest.mark.parametrize('mode', ['black_hole', 'half_open', 'garbage', 'huge', 'slow', 'reset', 'cut'])
def test_connecting_through_a_bad_line(api, ch, mode):
    with Proxy(ch.port) as proxy:
        cid = add(api, 'clickhouse', ch.config(port=proxy.port, pool={'connect': '500ms'}), skipTest=True)
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


_GONE, _LATE = ('ConnUnavailable',), ('ConnTimeout',)


@shows('faults', param='mode')
@pytest.mark.parametrize('mode, kinds', [('black_hole', _LATE), ('half_open', _LATE), ('slow', _LATE), ('reset', _GONE), ('cut', _GONE), ('garbage', _GONE), ('huge', _GONE)])
@pytest.mark.parametrize('more', [{'compression': 'off'}, {'compression': 'lz4', 'tls': 'unverified'}], ids=['plain', 'lz4 in TLS'])
def test_a_line_that_breaks_in_a_query(api, ch, tls, mode, kinds, more):
    it = tls if 'tls' in more else ch
    with Proxy(it.port) as proxy:
        cid = add(api, 'clickhouse', it.config(port=proxy.port, pool={'query': '400ms'}, **more))
        api_id = api.function('''
@DFF.API('f', timeout=20)
def f(cid, n):
    try:
        return len(DFF.CONN(cid).query('SELECT number AS i, toString(rand64()) AS t FROM numbers(?)', [n]))
    except Exception as e:
        return [type(e).__name__, str(e)]
''', 'f', {'cid': 'INPUT_BY_CALLER', 'n': 'INPUT_BY_CALLER'})
        assert api.result(api_id, cid=cid, n=10) == 10
        proxy.mode, proxy.after = mode, 4000
        told = api.result(api_id, cid=cid, n=3000)
        assert isinstance(told, list) and told[0] in kinds, told
        proxy.mode = 'ok'
        proxy.drop()
        assert api.result(api_id, cid=cid, n=10) == 10


@shows('faults', 'server restarted', 'password changed')
def test_restarted_server_is_not_noticed(api, other):
    cid = add(api, 'clickhouse', other.config(tls='unverified'))
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
    other.secret = 'another'
    other.start()
    assert wait_for(lambda: api.result(api_id, cid=cid)[0] == 'Denied')
    other.stop()
    other.secret = PASSWORD
    other.start()
    for _ in range(3):
        assert wait_for(lambda: api.result(api_id, cid=cid) == [{'v': 1}])


# ---- calls ------------------------------------------------------------------------------------------------


def test_connections_of_many_calls(api, ch):
    cid = add(api, 'clickhouse', ch.config())
    api_id = api.function('''
@DFF.API('f')
def f(cid):
    return DFF.CONN(cid).query("SELECT value FROM system.metrics WHERE metric = 'TCPConnection'")[0]['value']
''', 'f', {'cid': 'INPUT_BY_CALLER'})
    before = api.result(api_id, cid=cid)
    after = max(api.result(api_id, cid=cid) for _ in range(60))
    assert after - before <= 2 * len(api.get('/monitor/platform/do/get')['broker']['workers'])


def test_threads(api, ch):
    cid = add(api, 'clickhouse', ch.config(pool={'max': 4}))
    got = run(api, '''
import time
@DFF.API('f')
def f(cid):
    c, t = DFF.CONN(cid), time.monotonic()
    for i in range(4):
        DFF.THREAD.submit(c.query, 'SELECT sleep(0.5), ? AS p', [i])
    seen = sorted(r.value[0]['p'] if r.value else str(r.error) for r in DFF.THREAD.get_all_results())
    return [seen, time.monotonic() - t]
''', cid=cid)
    assert got[0] == [0, 1, 2, 3] and got[1] < 1.9, got


def test_the_server_sees_the_function(api, cid):
    seen = on(api, cid, "return c.query('SELECT query, client_name FROM system.processes')", )
    assert [r for r in seen if re.match(r'/\* \w+__\w+\.f \*/ SELECT query', r['query']) and r['client_name'].endswith('tenon')], seen


def test_debug_panel(api, cid):
    on(api, cid, "return c.non_query('CREATE TABLE IF NOT EXISTS panel (a Int8) ENGINE = Memory')")
    ask = lambda sql: api.post('/connectors/%s/do/query' % cid, {'queryStatement': sql})
    assert {'name': 'tenon'} in ask('SHOW DATABASES') and {'name': 'panel'} in ask('SHOW TABLES FROM tenon')
    assert ask('DESCRIBE TABLE panel')[0]['name'] == 'a'
    started = time.monotonic()
    assert refused(api, 'POST', '/connectors/%s/do/query' % cid, {'queryStatement': 'SELECT nope'})['reason'] == 'EClientBadRequest.QueryFailed'
    assert time.monotonic() - started < 10


def test_readme(api, ch):
    """The script of the README, unchanged."""
    add(api, 'clickhouse', ch.config(), id='events')
    assert api.result(api.function(script_of(os.path.join(ROOT, 'connectors/clickhouse/README.md')), 'f', {})) == ['2026-01-02', 2, ['new']]


def test_contract(tls):
    """tenon-plugin-check against the live plugin and server."""
    config = tls.config(tls='on', tls_ca=tls.certs.dir + '/ca.pem', compression='lz4')
    done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_clickhouse.so')]
                          + [a for k, v in config.items() for a in ('--config', '%s=%s' % (k, v))]
                          + ['--call', 'query=["SELECT 1 AS a, NULL AS b, unhex(\'00\') AS c, [1] AS d"]', '--call', 'execute=["SELECT 1"]', '--call', 'check'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'clickhouse', 'own (native protocol), lz4, zstd, OpenSSL', 'ClickHouse 18.16, 26.9 (its engine behind a server of ours)')
