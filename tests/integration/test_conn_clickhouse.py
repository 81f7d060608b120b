# SPDX-License-Identifier: Apache-2.0
"""connectors/clickhouse in scripts, against Debian's ClickHouse, compared with clickhouse-driver where it matters."""

import contextlib

import pytest
from peers.clickhouse import ClickHouse
from support.cases import (BREAKS, GONE, NO_CA, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, ClientCertificate, Contract, Deadlines, FewConnections,
                           FunctionIsSeen, Panel, PasswordAtStart, Readme, Refusals, TlsIsMissed, TlsNotOffered)
from support.connectors import INJECTION, add, not_addable, on, peer, run
from support.matrix import check_row, shows


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
        tell(lambda: c.query('SELECT 1; SELECT 2')), tell(lambda: c.query('')), tell(lambda: c.query("SELECT sumState(1) AS s")), c.query('SELECT finalizeAggregation(sumState(1)) AS still')[0]['still'],
        tell(lambda: c.query('SELECT 1', None, {'no_such_setting': 1})), tell(lambda: c.query('SELECT 1', settings=5))[0], c.query('DROP TABLE IF EXISTS nowhere'), c.non_query('SELECT 1')]
''')
    assert [(g[0], g[2]) for g in got[:4]] == [('QueryError', 60), ('QueryError', 62), ('QueryError', 395), ('QueryError', 62)], got
    assert '`: Code: 60. DB::Exception: Table tenon.nowhere' in got[0][1] and all('Stack' not in g[1] and '0x' not in g[1] for g in got[:4]), got
    assert got[4][0] == 'InvalidArgument' and got[5][0] == 'NotSupported' and 'AggregateFunction' in got[5][1] and 'finalizeAggregation(' in got[5][1]
    assert got[6] == 1 and got[7][0] == 'QueryError' and got[8] == 'InvalidArgument' and got[9:] == [[], 0]


def test_what_does_not_fit(api, cid):
    """Rows that a column does not take, settings that an old server would wait for: said by name, at once, and the connection goes on."""
    got = on(api, cid, '''
c.non_query('DROP TABLE IF EXISTS fit')
c.non_query('CREATE TABLE fit (id Int32, tags Array(Nullable(String))) ENGINE = Memory')
def of(*rows):
    return tell(lambda: c.insert('fit', list(rows), columns=['id', 'tags']))[:2]
out = [of([1, []], ['x', []]), of([1, ['a', None, 5]]), of(*[[i, []] for i in range(70000)], [2**31, []]), of([1, []], [None, []]), of([1])]
out.append(tell(lambda: c.non_query("INSERT INTO fit VALUES ?", [[[1, ['a']], ['q', []]]])))
out += [tell(lambda: c.non_query(sql))[:2] for sql in ('INSERT INTO fit (id) FORMAT CSV 1', 'INSERT INTO fit (id) FORMAT Native')]
out += [tell(lambda: c.query('SELECT 1', settings=s))[:2] for s in ({'max_threads': 'abc'}, {'max_threads': -1}, {'max_block_size': 1.5}, {'max_threads': None}, {'': 1})]
out.append([c.query('SELECT 1 AS v', settings=s)[0]['v'] for s in ({'max_threads': '2'}, {'load_balancing': 'random'}, {'distributed_product_mode': 'allow'}, {'max_streams_to_max_threads_ratio': 2},
            {'totals_auto_threshold': 0.5}, {'extremes': True}, {'group_by_overflow_mode': 'any'}, {'format_csv_delimiter': ';'})])
return out + [c.query('SELECT count() AS n FROM fit')]
''')
    rest, last = got[:-2], got[-2:]
    assert {g[0] for g in rest} == {'InvalidArgument'} and last == [[1] * 8, [{'n': 0}]], got
    said = ['row 2: column `id` of type Int32 does not take this str', 'row 1: column `tags` of type String does not take this int', 'row 70001: column `id`', 'row 2: column `id` of type Int32 does not take this None',
            'row 1 has 1 values for 2 columns', 'row 2: column `id`', 'waits for rows and has got none', 'waits for rows and has got none', 'takes a whole number for `max_threads`, not `abc`', 'for `max_threads`, not `-1`',
            'for `max_block_size`, not `1.5`', 'the value of `max_threads` is neither', 'a name that is empty']
    assert [(w, g[1]) for w, g in zip(said, rest) if w not in g[1]] == [] and len(said) == len(rest), got


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
    for change in ('SET max_block_size = 77', 'CREATE TEMPORARY TABLE mine (x Int8)', 'CREATE\n  /* not for ever */ TEMPORARY TABLE mine (x Int8)',
                   '-- of mine\n USE system'):
        on(api, cid, '''
c.query(change)
c.query('SELECT 1', settings={'max_block_size': 78})
next(iter(c.stream('SELECT number FROM numbers(100000)')))
''', change=change)
        got = on(api, cid, "return [c.query(state), tell(lambda: c.query('SELECT * FROM mine'))[2]]", state=state)
        assert got == [before, 60]
    assert before[0]['db'] == 'tenon'


# ---- TLS and sign-in --------------------------------------------------------------------------------------


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


# ---- calls ------------------------------------------------------------------------------------------------


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


# ---- what all connectors must do ------------------------------------------------------------------------------


class TestClickHouse(Readme, Panel, FunctionIsSeen, FewConnections, PasswordAtStart, Breaks, BadLines, Refusals, TlsIsMissed, TlsNotOffered, ClientCertificate, Deadlines):
    """What clickhouse shares with the other connectors."""

    type, fixture, make = 'clickhouse', 'ch', ClickHouse
    ask, gives = "c.query('SELECT 1 AS v')", [{'v': 1}]
    endless = ['SELECT count() FROM system.numbers', 'SELECT number FROM system.numbers WHERE number < 0']
    tls_ask, tls_gives = "len(c.query('SELECT number, toString(number) AS t FROM numbers(30000)'))", 30000
    not_offered = {'pool': {'connect': '1s'}}
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_CA, NO_FIELD, ({'password': 'wrong'}, 'Denied', 'sign-in: Code: 193'), ({'user': 'nobody'}, 'Denied', 'sign-in: Code: 192'),
                ({'database': 'nowhere'}, 'ConfigError', 'nowhere'), ({'host': 'a:99999'}, 'ConfigError', 'a:99999'), ({'host': 'a:90o0'}, 'ConfigError', 'a:90o0'),
                ({'compression': 'gzip'}, 'ConfigError', 'compression')]
    connect = '500ms'
    fetch = "len(c.query('SELECT number AS i, toString(rand64()) AS t FROM numbers(?)', [n]))"
    breaks, broken = [*BREAKS, ('garbage', GONE), ('huge', GONE)], {'pool': {'query': '400ms'}}
    restarted = {'tls': 'unverified'}
    own_statement = "[r['query'] for r in c.query('SELECT query, client_name FROM system.processes') if r['client_name'].endswith('tenon')][-1]"
    panel = [('SHOW DATABASES', lambda rows: {'name': 'tenon'} in rows), ('SHOW TABLES FROM tenon', lambda rows: {'name': 'panel'} in rows),
             ('DESCRIBE TABLE panel', lambda rows: rows[0]['name'] == 'a')]
    panel_refused, before_panel = 'SELECT nope', "c.non_query('CREATE TABLE panel (a Int8) ENGINE = Memory')"
    readme_id, readme_gives = 'events', ['2026-01-02', 2, ['new']]

    def still_running(self, api, it):
        return it.sql("SELECT count() FROM system.processes WHERE query LIKE '%system.numbers%' AND query NOT LIKE '%processes%'") != [(0,)]

    def with_tls(self, request, certs):
        return contextlib.nullcontext(request.getfixturevalue('tls'))

    def with_wrong_name(self, request, certs):
        return contextlib.nullcontext(request.getfixturevalue('other'))

    def without_tls(self, request):
        return contextlib.nullcontext(request.getfixturevalue('ch'))


class TestInTls(Contract, Breaks, Deadlines):
    """The same with compressed blocks inside TLS."""

    type, fixture, ask, gives = 'clickhouse', 'tls', TestClickHouse.ask, TestClickHouse.gives
    endless, deadline_configs = TestClickHouse.endless[:1], [{'tls': 'unverified'}]
    breaks, fetch = TestClickHouse.breaks, TestClickHouse.fetch
    broken = {'compression': 'lz4', 'tls': 'unverified', 'pool': {'query': '400ms'}}
    contract = ['query=["SELECT 1 AS a, NULL AS b, unhex(\'00\') AS c, [1] AS d"]', 'execute=["SELECT 1"]']
    still_running = TestClickHouse.still_running

    def contract_config(self, it):
        return it.config(tls='on', tls_ca=it.certs.dir + '/ca.pem', compression='lz4')

    def test_a_server_that_wants_a_certificate(self, api, certs):
        """The certificate is really shown."""
        pem, key = certs.pair('client')
        with peer(ClickHouse, certs, strict=True) as strict:
            config = strict.config(database='default', tls='on', tls_ca=certs.text('ca.pem'))
            assert on(api, add(api, 'clickhouse', {**config, 'tls_cert': pem, 'tls_key': key}), 'return ' + self.ask) == self.gives
            e = not_addable(api, 'clickhouse', config)
            assert e['exceptionType'] in ('Denied', 'ConnUnavailable'), e


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'clickhouse', 'own (native protocol), lz4, zstd, OpenSSL', 'ClickHouse 18.16, 26.9 (its engine behind a server of ours)')
