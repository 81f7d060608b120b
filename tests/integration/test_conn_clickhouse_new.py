# SPDX-License-Identifier: Apache-2.0
"""connectors/clickhouse above revision 54412: blocks that ClickHouse 26.9 wrote and reads, packets of tests/peers/clickhouse_new.

Is the peer right? Two clients that are not ours say the same: ClickHouse's own (the engine in another process) and Debian's."""

import datetime
import json
import re
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import pytest
from peers.clickhouse_new import ClickHouseNew
from support.cases import BREAKS, GONE, NO_SERVER, BadLines, Breaks, Contract, FewConnections, Panel, PasswordAtStart, Refusals
from support.connectors import INJECTION, add, not_addable, on, peer


@pytest.fixture(scope='module')
def ch():
    with peer(ClickHouseNew) as p:
        yield p
        assert 'broke the protocol' not in p.log() and 'Traceback' not in p.log(), p.log()


@pytest.fixture(scope='module')
def cid(server, ch):
    return add(server.client(), 'clickhouse', ch.config())


@pytest.fixture(scope='module')
def other(certs):
    """A server with TLS, to be stopped and changed."""
    with peer(ClickHouseNew, certs) as p:
        yield p


# A type, three values of it as the server's text, and what a script sees (repr of each).
UTC = 'tzinfo=datetime.timezone.utc'
TYPES = [
    ('Bool', 'true, false, true', 'True, False, True'),
    ('Int128', "0, '-170141183460469231731687303715884105728', 7", '0, -170141183460469231731687303715884105728, 7'),
    ('UInt128', "0, '340282366920938463463374607431768211455', 7", '0, 340282366920938463463374607431768211455, 7'),
    ('Int256', "0, '-57896044618658097711785492504343953926634992332820282019728792003956564819968', 7", '0, -57896044618658097711785492504343953926634992332820282019728792003956564819968, 7'),
    ('UInt256', "0, '115792089237316195423570985008687907853269984665640564039457584007913129639935', 7", '0, 115792089237316195423570985008687907853269984665640564039457584007913129639935, 7'),
    ('Decimal256(20)', "'0', '-12345678901234567890123456789012345678901234567890.12345678901234567890', '1.5'",
     "Decimal('0E-20'), Decimal('-12345678901234567890123456789012345678901234567890.12345678901234567890'), Decimal('1.50000000000000000000')"),
    ('Decimal(18, 4)', "'0', '-99999999999999.9999', '1.5'", "Decimal('0.0000'), Decimal('-99999999999999.9999'), Decimal('1.5000')"),
    ('BFloat16', '0, -1.5, 256', '0.0, -1.5, 256.0'),
    ('Date32', "'1900-01-01', '2299-12-31', '2026-02-28'", 'datetime.date(1900, 1, 1), datetime.date(2299, 12, 31), datetime.date(2026, 2, 28)'),
    ('DateTime64(3)', "'2026-01-02 03:04:05.678', '1925-01-01 00:00:00.001', '2026-07-01 00:00:00'", 'datetime.datetime(2026, 1, 2, 3, 4, 5, 678000), datetime.datetime(1925, 1, 1, 0, 0, 0, 1000), datetime.datetime(2026, 7, 1, 0, 0)'),
    ("DateTime64(6, 'Europe/Berlin')", "'2026-01-02 03:04:05.678901', '2026-07-02 03:04:05', '1970-01-01 01:00:00'",
     f'datetime.datetime(2026, 1, 2, 2, 4, 5, 678901, {UTC}), datetime.datetime(2026, 7, 2, 1, 4, 5, {UTC}), datetime.datetime(1970, 1, 1, 0, 0, {UTC})'),
    ("DateTime('America/New_York')", "'2026-01-02 03:04:05', '2026-07-02 03:04:05', '1970-01-01 00:00:00'",
     f'datetime.datetime(2026, 1, 2, 8, 4, 5, {UTC}), datetime.datetime(2026, 7, 2, 7, 4, 5, {UTC}), datetime.datetime(1970, 1, 1, 5, 0, {UTC})'),
    ('Time', "'01:02:03', '-100:00:00', '999:59:59'", 'datetime.timedelta(seconds=3723), datetime.timedelta(days=-5, seconds=72000), datetime.timedelta(days=41, seconds=57599)'),
    ('Time64(3)', "'01:02:03.5', '-00:00:00.001', '00:00:00'", 'datetime.timedelta(seconds=3723, microseconds=500000), datetime.timedelta(days=-1, seconds=86399, microseconds=999000), datetime.timedelta(0)'),
    ('UUID', "'61f0c404-5cb3-11e7-907b-a6006ad3dba0', '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-fffffffffffe'",
     "UUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), UUID('00000000-0000-0000-0000-000000000000'), UUID('ffffffff-ffff-ffff-ffff-fffffffffffe')"),
    ('IPv4', "'127.0.0.1', '255.255.255.255', '0.0.0.0'", "IPv4Address('127.0.0.1'), IPv4Address('255.255.255.255'), IPv4Address('0.0.0.0')"),
    ('IPv6', "'::1', '2001:db8::ff00:42:8329', '::ffff:1.2.3.4'", "IPv6Address('::1'), IPv6Address('2001:db8::ff00:42:8329'), IPv6Address('::ffff:102:304')"),
    ("Enum8('a' = -128, 'it\\'s' = 0, '\u6570' = 127)", "'a', 'it\\'s', '\u6570'", "'a', \"it's\", '\u6570'"),
    ("Enum16('x' = -32768, 'y' = 32767)", "'x', 'y', 'x'", "'x', 'y', 'x'"),
    ('FixedString(4)', "'ab', 'abcd', '\u6570'", "'ab', 'abcd', '\u6570'"),
    ('Nullable(Int32)', 'NULL, 5, NULL', 'None, 5, None'),
    ('Nullable(UUID)', "NULL, '61f0c404-5cb3-11e7-907b-a6006ad3dba0', NULL", "None, UUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), None"),
    ("Nullable(DateTime64(3, 'UTC'))", "NULL, '2026-01-02 03:04:05.678', NULL", f'None, datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, {UTC}), None'),
    ('LowCardinality(String)', "'a', '', 'a'", "'a', '', 'a'"),
    ('LowCardinality(Nullable(String))', "NULL, '', 'b'", "None, '', 'b'"),
    ('Array(LowCardinality(Nullable(String)))', "['a', NULL], [], ['a', 'b', '']", "['a', None], [], ['a', 'b', '']"),
    ('Array(Nullable(Int64))', '[1, NULL], [], [NULL]', '[1, None], [], [None]'),
    ('Array(Array(Nullable(String)))', "[['a', NULL], []], [], [[NULL]]", "[['a', None], []], [], [[None]]"),
    ('Map(String, UInt64)', "map('a', 1, 'b', 2), map(), map('', 18446744073709551615)", "{'a': 1, 'b': 2}, {}, {'': 18446744073709551615}"),
    ('Map(LowCardinality(String), Array(Nullable(Int8)))', "map('a', [1, NULL]), map(), map('b', [], 'a', [2])", "{'a': [1, None]}, {}, {'b': [], 'a': [2]}"),
    ('Map(String, Map(UInt8, Tuple(Int8, String)))', "map('a', map(1, (2, 'x'))), map(), map('b', map())", "{'a': {1: (2, 'x')}}, {}, {'b': {}}"),
    ('Map(UInt8, LowCardinality(Nullable(String)))', "map(1, 'a', 2, NULL), map(), map(3, 'a')", "{1: 'a', 2: None}, {}, {3: 'a'}"),
    ('Tuple(a Int8, `b c` Nullable(String), d Tuple(Date, Array(UInt8)))', "(1, 'x', ('2026-01-02', [1])), (2, NULL, ('1970-01-01', [])), (0, '', ('2026-01-02', [1, 2]))",
     "(1, 'x', (datetime.date(2026, 1, 2), [1])), (2, None, (datetime.date(1970, 1, 1), [])), (0, '', (datetime.date(2026, 1, 2), [1, 2]))"),
    ('Array(Tuple(Int8, LowCardinality(String)))', "[(1, 'a'), (2, 'b')], [], [(3, 'a')]", "[(1, 'a'), (2, 'b')], [], [(3, 'a')]"),
    ('Tuple()', '(), (), ()', '(), (), ()'),
    ('Nested(x UInt8, y Array(String))', "[(1, ['a'])], [], [(2, []), (3, ['b'])]", "[(1, ['a'])], [], [(2, []), (3, ['b'])]"),
    ('SimpleAggregateFunction(max, UInt64)', '1, 2, 3', '1, 2, 3'),
    ('SimpleAggregateFunction(groupArrayArray, Array(String))', "['a'], [], ['b']", "['a'], [], ['b']"),
    ('Point', '(1.5, -2), (0, 0), (3, 4)', '(1.5, -2.0), (0.0, 0.0), (3.0, 4.0)'),
    ('Polygon', '[[(0, 0), (1, 1)]], [], [[(2, 2)]]', '[[(0.0, 0.0), (1.0, 1.0)]], [], [[(2.0, 2.0)]]'),
    ('IntervalDay', '1, -2, 3', '1, -2, 3'),
    ('Nullable(Nothing)', 'NULL, NULL, NULL', 'None, None, None'),
]
SETTINGS = {'enable_time_time64_type': 1, 'flatten_nested': 0, 'allow_suspicious_low_cardinality_types': 1}
STORED = [t for t in TYPES if 'Noth' not in t[0]]  # a table cannot have the others


def rows_of(type_, values):
    """A statement that gives the three of them, in a block."""
    return "SELECT arrayJoin(CAST([%s], 'Array(%s)')) AS v" % (values, type_.replace('\\', '\\\\').replace("'", "\\'"))


@pytest.fixture(scope='module')
def stored(server, ch, cid):
    """A table of all types with three rows: `n` and a column for each."""
    api = server.client()
    values = ["SELECT %d, %s" % (n, ', '.join('%s[%d]' % (rows_of(t, v)[17:-6], n) for t, v, _ in STORED)) for n in (1, 2, 3)]
    on(api, cid, """
c.non_query('CREATE TABLE types (n UInt8, %s) ENGINE = Memory' % ', '.join('c%d %s' % (i, t) for i, t in enumerate(types)), settings=settings)
c.non_query('CREATE TABLE copy AS types')
for v in values:
    c.non_query('INSERT INTO types ' + v, settings=settings)
""", types=[t for t, _, _ in STORED], values=values, settings=SETTINGS)
    return 'types'


def differences(got, types):
    """Types whose values are not what they should be."""
    return [(t[0], g, t[2]) for t, g in zip(types, got) if g != t[2]]


READ = """
out = []
for sql in texts:
    try:
        out.append(', '.join(repr(x['v']) for x in c.query(sql, settings=settings)))
    except Exception as e:
        out.append(str(e))
return out
"""


def test_types(api, cid):
    """Blocks of 26.9's own encoder, one for each type."""
    got = on(api, cid, READ, texts=[rows_of(t, v) for t, v, _ in TYPES], settings=SETTINGS)
    assert differences(got, TYPES) == []


@pytest.mark.parametrize('how', ['lz4', 'zstd'])
def test_types_in_frames(api, ch, stored, how):
    """All types in one block, in frames of 26.9's own compression."""
    got = on(api, add(api, 'clickhouse', ch.config(compression=how)), """
rows = c.query('SELECT * FROM types ORDER BY n')
return [', '.join(repr(r['c%d' % i]) for r in rows) for i in range(len(rows[0]) - 1)]
""")
    assert differences(got, STORED) == []


# What Debian's clickhouse-driver 0.2.5 cannot read, or reads as something else.
NOT_IN_THE_DRIVER = {'Date32', 'BFloat16', 'Time', 'Time64(3)', 'Map(String, Map(UInt8, Tuple(Int8, String)))', 'Array(Tuple(Int8, LowCardinality(String)))', 'Tuple()'}


def test_types_through_clickhouse_driver(ch):
    """The peer is right, says Debian's client at revision 54453."""
    client, names = ch.client(send_receive_timeout=3), {'datetime': datetime, 'Decimal': Decimal, 'UUID': UUID, 'IPv4Address': IPv4Address, 'IPv6Address': IPv6Address}
    wrong = []
    for type_, values, sees in TYPES:
        if type_ in NOT_IN_THE_DRIVER:
            continue
        theirs = [r[0] for r in client.execute(rows_of(type_, values), settings=SETTINGS)]
        wrong += [(type_, theirs, sees)] if theirs != list(eval('[%s]' % sees, names)) else []  # pylint: disable=eval-used
    client.disconnect()
    assert wrong == []


def test_types_through_clickhouse(api, ch, cid, stored):
    """The peer is right, says ClickHouse's own client at revision 54459: it reads the rows as the texts that the server makes of them."""
    columns = ', '.join('c%d' % i for i in range(len(STORED)))
    theirs = [json.loads(line) for line in ch.vendor("SELECT n, %s FROM it(%s) ORDER BY n SETTINGS session_timezone = 'Asia/Shanghai'" % (columns, stored), 'JSONCompactStringsEachRow').splitlines()]
    ours = on(api, cid, "return [[NULL if v is None else v for v in r.values()] for r in c.query('SELECT toString(n), %s FROM types ORDER BY n' % texts)]", texts=', '.join('toString(c%d)' % i for i in range(len(STORED))), NULL='\u1d3a\u1d41\u1d38\u1d38')
    assert len(theirs) == len(ours) == 3
    assert [(t, o) for theirs_, ours_ in zip(theirs, ours) for t, o in zip(theirs_, ours_) if t.rstrip('\0') != o] == []
    assert all(q['revision'] == 54459 for q in ch.queries() if q['interface'] == 6)


# ---- inserts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('how', [{}, {'compression': 'lz4'}, {'compression': 'zstd'}, {'revision': 54453}], ids=['plain', 'lz4', 'zstd', 'older'])
def test_insert_of_all_types(api, ch, stored, how):
    """What was read is written back as blocks of ours, and ClickHouse reads the same rows out of them."""
    got = on(api, add(api, 'clickhouse', ch.config(**how)), """
c.non_query('TRUNCATE TABLE copy')
rows = c.query('SELECT * FROM types ORDER BY n')
done = [c.insert('copy', [list(r.values()) for r in rows[:2]]), c.insert('copy', rows[2:])]
return [done, c.query('SELECT count() AS n FROM copy')[0]['n'], [c.query('SELECT count() AS n FROM (SELECT * FROM %s EXCEPT SELECT * FROM %s)' % t)[0]['n'] for t in (('types', 'copy'), ('copy', 'types'))]]
""")
    assert got == [[2, 1], 3, [0, 0]], got


def test_clickhouse_inserts_through_the_peer(api, ch, cid, stored):
    """The peer's side of an INSERT is right, says ClickHouse's own client."""
    on(api, cid, "c.non_query('TRUNCATE TABLE copy')")
    ch.vendor('INSERT INTO FUNCTION it(copy) SELECT * FROM it(%s)' % stored, 'Null')
    assert on(api, cid, "return c.query('SELECT count() AS n FROM (SELECT * FROM copy INTERSECT SELECT * FROM types)')") == [{'n': 3}]


def test_many_blocks(api, ch):
    """Blocks and frames without number, in both directions."""
    got = on(api, add(api, 'clickhouse', ch.config(compression='lz4')), """
c.non_query('CREATE TABLE many (n UInt64, t LowCardinality(String), m Map(String, Array(Nullable(UInt32)))) ENGINE = Memory')
done = c.insert('many', [[i, 't%d' % (i % 7), {'k': [i, None]}] for i in range(150000)])
rows = c.query('SELECT n, t, m FROM many')
s = 0
for row in c.stream('SELECT n, t, m FROM many WHERE n < ?', [100000]):
    s += row['n'] if row['t'] == 't%d' % (row['n'] % 7) and row['m'] == {'k': [row['n'], None]} else 10**12
return [done, len(rows), all(r['t'] == 't%d' % (r['n'] % 7) and r['m'] == {'k': [r['n'], None]} for r in rows), s]
""")
    assert got == [150000, 150000, True, sum(range(100000))], got


def test_sparse_columns(api, cid):
    """Columns of which most values are the default one, as MergeTree keeps them."""
    got = on(api, cid, """
c.non_query('CREATE TABLE sparse (n UInt32, s String, t Tuple(a UInt8, b String), u Nullable(UInt8)) ENGINE = MergeTree ORDER BY n '
            'SETTINGS ratio_of_defaults_for_sparse_serialization = 0.5, min_rows_for_wide_part = 0, min_bytes_for_wide_part = 0')
c.non_query("INSERT INTO sparse SELECT number, if(number % 100 = 3, toString(number), ''), (number % 50 = 7, if(number % 100 = 99, 'x', '')), if(number % 100 = 5, 5, NULL) FROM numbers(1000)")
kinds = c.query("SELECT column, serialization_kind FROM system.parts_columns WHERE table = 'sparse'")
return [kinds, [list(r.values()) for r in c.query('SELECT * FROM sparse ORDER BY n')]]
""")
    assert {'column': 's', 'serialization_kind': 'Sparse'} in got[0], got[0]
    assert got[1] == [[n, str(n) if n % 100 == 3 else '', [int(n % 50 == 7), 'x' if n % 100 == 99 else ''], 5 if n % 100 == 5 else None] for n in range(1000)]


# ---- packets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('revision', [54429, 54441, 54442, 54448, 54449, 54451, 54453, 54454, 54458, 54459])
def test_every_revision(api, ch, revision):
    """Each brought a field or a packet; both sides count them alike, with logs, progress, counters and an error in between."""
    got = on(api, add(api, 'clickhouse', ch.config(revision=revision)), """
t = 'r%d' % revision
c.non_query("CREATE TABLE %s (n Int64, m Map(String, Tuple(a Int8, b LowCardinality(String)))) ENGINE = Memory" % t)
talk = {'send_logs_level': 'trace', 'max_block_size': 2}
out = [c.insert(t, [{'n': i, 'm': {'k': (i, 'x')}} for i in range(3)], settings=talk), c.non_query("INSERT INTO %s VALUES (3, {'z': (7, ?)})" % t, ["it's"], settings=talk)]
out.append([list(r.values()) for r in c.query("SELECT n, m FROM %s WHERE n IN (?) ORDER BY n" % t, [[1, 3, 10**18]], settings=talk)])
out.append(tell(lambda: c.query('SELEKT'))[2])
r = c.execute('SELECT number FROM numbers(5)', settings=talk)
out.append([r['statistics']['read_rows'], len(r['rows']), tell(lambda: c.insert(t, [[1]]))[0], c.query('SELECT ? AS v', ['still'])])
return out
""", revision=revision)
    assert got == [3, 1, [[1, {'k': [1, 'x']}], [3, {'z': [7, "it's"]}]], 47, [5, 5, 'InvalidArgument', [{'v': 'still'}]]], got
    said = [q for q in ch.queries() if 'r%d ' % revision in q['sql']]
    assert said and {q['revision'] for q in said} == {revision} and {q['client'] for q in said} == {'tenon'}
    asked = [q for q in said if 'SELECT n, m' in q['sql']][0]
    assert re.match(r'/\* \w+__\w+\.f \*/ SELECT n', asked['sql']) and asked['settings']['max_block_size'] == [0, '2']
    assert ('{_p1:Int64}' in asked['sql'], [v[1] for v in asked['parameters'].values()]) == ((True, ["'1'", "'3'", "'%d'" % 10**18]) if revision == 54459 else (False, []))


def test_parameters_are_the_servers_own(api, ch, cid):
    """Values of every kind reach the server beside the statement, and come back as they are; texts that would be SQL do no harm."""
    got = on(api, cid, r"""
values = [2**40, -1, 0.5, 1e300, 'text', b'\xff\x00', decimal.Decimal('1.10'), decimal.Decimal('-12345678901234567890.5'), 10**30, -10**70, True, False, datetime.date(1900, 1, 2), datetime.date(2026, 1, 2),
          datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.datetime(2026, 1, 2, 3, 4, 5, 678901), datetime.datetime(1950, 1, 2), '\x00\r\n\t\b\f\\\'"`', 'x' * 100000, '{a:String}', '\\N', 'NULL', '']
bad = [repr(v)[:50] for v in values if c.query('SELECT ? AS v', [v])[0]['v'] != v]
moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone(datetime.timedelta(hours=5)))
back = c.query('SELECT ? AS v', [moment])[0]['v'] == moment
parts = [texts[i:i + 40] for i in range(0, len(texts), 40)]
hostile = [p for p in parts if c.query('SELECT [?] AS a, ? IN (?) AS b', [p, p[0], ['x'] + p]) != [{'a': p, 'b': 1}]]
return [bad, back, hostile, c.query('SELECT ? AS n, [?] AS l, ? AS s', [None, [1, 2], datetime.timedelta(seconds=5)])[0]]
""", texts=INJECTION)
    assert got == [[], True, [], {'n': None, 'l': [1, 2], 's': 5}], got
    assert not [q['sql'] for q in ch.queries() if 'DROP TABLE victim' in q['sql']]  # no value became part of a statement


def test_errors(api, cid):
    """In the middle of a result, with another inside, before anything; the connection goes on."""
    got = on(api, cid, """
return [tell(lambda: c.query('SELECT throwIf(number = 200000) FROM numbers(400000)')), tell(lambda: c.query('SELECT * FROM nowhere', query_id='nested-%d' % time.time_ns())),
        tell(lambda: c.insert('nowhere', [[1]])),
        tell(lambda: c.query('SELECT ?', [decimal.Decimal('1E-90')]))[0], tell(lambda: c.query('SELECT 1', settings={'no_such': 1}))[2], c.query('SELECT 1 AS v')]
""")
    assert [g[0] for g in got[:3]] == ['QueryError'] * 3 and [g[2] for g in got[:3]] == [395, 60, 60], got
    assert all('Stack' not in g[1] and '0x1' not in g[1] and 'inner' not in g[1] for g in got[:3]), got
    assert got[3:] == ['InvalidArgument', 115, [{'v': 1}]], got


def test_what_is_refused_says_what_to_do(api, cid):
    """Types that no Python value is for: what the error says works."""
    as_text, finished = 'CAST(\u2026 AS String)', 'finalizeAggregation(\u2026)'
    refused = [("CAST(1, 'Dynamic')", as_text, '1'), ("CAST('x', 'Variant(UInt8, String)')", as_text, 'x'), ("CAST('{\"a\": 1}', 'JSON')", as_text, '{"a":1}'),
               ("[CAST(2, 'Dynamic')]", as_text, '[2]'), ('sumState(3)', finished, 3)]
    got = on(api, cid, """
out = []
for what, instead, _ in refused:
    told = tell(lambda: c.query('SELECT %s AS v' % what))
    out.append([told[0], instead in told[1], c.query('SELECT %s AS v' % instead.replace('\u2026', what))[0]['v']])
return out
""", refused=refused)
    assert [g[:2] for g in got] == [['NotSupported', True]] * len(refused) and [g[2] for g in got] == [v for _, _, v in refused], got


def test_an_account_without_password(api, ch):
    assert on(api, add(api, 'clickhouse', ch.config(user='default', password='')), "return c.query('SELECT currentDatabase() AS d')") == [{'d': 'tenon'}]


def test_in_tls(api, other, certs):
    """The same inside TLS."""
    cid = add(api, 'clickhouse', other.config(tls='on', tls_ca=certs.text('ca.pem'), compression='zstd', host='localhost'))
    assert on(api, cid, "return c.query('SELECT ? AS v', ['x'])") == [{'v': 'x'}]
    assert 'TLS: ' in not_addable(api, 'clickhouse', other.config(tls='on'))['exception']


class TestClickHouseNew(Contract, Panel, FewConnections, PasswordAtStart, Breaks, BadLines, Refusals):
    """What all connectors must do, at the newest revision."""

    type, fixture = 'clickhouse', 'ch'
    ask, gives = "c.query('SELECT ? AS v', ['x'])", [{'v': 'x'}]
    refusals = [NO_SERVER, ({'password': 'wrong'}, 'Denied', 'sign-in: Code: 516'), ({'user': 'nobody'}, 'Denied', 'sign-in: Code: 516'),
                ({'database': 'nowhere'}, 'ConfigError', 'nowhere')]
    connect = '500ms'
    fetch = "len(c.query('SELECT number AS i, toString(rand64()) AS t FROM numbers(?)', [n]))"
    breaks, broken = [*BREAKS, ('garbage', GONE), ('huge', GONE)], {'compression': 'zstd', 'pool': {'query': '400ms'}}
    restarted = {'tls': 'unverified'}
    panel = [('SHOW DATABASES', lambda rows: {'name': 'tenon'} in rows), ('DESCRIBE TABLE panel', lambda rows: rows[0]['name'] == 'a')]
    panel_refused, before_panel = 'SELECT nope', "c.non_query('CREATE TABLE panel (a Int8) ENGINE = Memory')"
    contract = ['query=["SELECT 1 AS a, NULL AS b, [1] AS d"]', 'execute=["SELECT 1"]']
