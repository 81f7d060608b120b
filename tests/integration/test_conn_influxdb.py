# SPDX-License-Identifier: Apache-2.0
"""connectors/influxdb in scripts, against InfluxDB 1.6, compared with its Python client; version 2 against a stub."""

import datetime
import importlib
import json
import re
import sys

import pytest
from peers.fetched import folder
from peers.flood import Flood
from peers.influx2 import TOKEN, Influx2
from peers.influxdb import PASSWORD, InfluxDB
from peers.nginx import Nginx
from peers.odd_http import OddHttp
from peers.peer import Missing
from support.cases import (BREAKS, GONE, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, CertificateWanted, Contract, Deadlines, FewConnections, HugeAnswers, Panel,
                           PasswordChanges, Readme, Refusals, TlsIsMissed, TlsNotOffered)
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row, shows


@pytest.fixture(scope='module')
def ix():
    with peer(InfluxDB) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, ix):
    return add(server.client(), 'influxdb', ix.config())


@pytest.fixture
def m():
    """A measurement nobody has."""
    return fresh('m')


@pytest.fixture(scope='module')
def theirs(ix):
    influxdb = pytest.importorskip('influxdb')
    client = influxdb.InfluxDBClient('127.0.0.1', ix.port, database='tenon')
    yield client
    client.close()


# Texts that the line protocol must escape, and those that look as if.
TEXTS = ['plain', 'a b', 'a,b', 'a=b', 'a"b', "a'b", 'a\\b', 'a\\,b', 'a\\ b', '\\a', 'a\\\\b', '\u6570\u636e \U0001f600', '#a', 'a#', '{}', ' a', 'a ', ',', '=', '1i', 'true',
         '/*', '--', '\t', 'x' * 3000]


def test_writing_and_reading(api, cid, m):
    """Types of fields, tags, times in all forms and units."""
    got = on(api, cid, '''
utc = datetime.timezone.utc
out = [c.write_point(m, {'i': 5, 'f': 0.1, 'b': True, 's': 'x', 'none': None}, {'t': 'a', 'empty': '', 'none': None, 'n': 1, 'yes': True}, 1000)]
out.append(c.write_points([{'measurement': m, 'fields': {'i': -2**63}, 'tags': {'t': 'b'}, 'time': datetime.datetime(2026, 1, 2, 3, 4, 5, 600000)},
    {'measurement': m, 'fields': {'i': 2**63 - 1, 'f': 1e300}, 'time': datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))},
    {'measurement': m, 'fields': {'f': decimal.Decimal('2.50')}, 'time': '2026-01-03T00:00:00.123456789+02:00'}, {'measurement': m, 'fields': {'f': 3.0}, 'timestamp': datetime.date(2026, 1, 4)}]))
out.append(c.write_points({'measurement': m, 'fields': {'f': 7.0}, 'time': 1767571200}, precision='s'))
out += [c.query('SELECT * FROM ' + m), c.query('SELECT f FROM ' + m + ' WHERE f = 7', epoch='s')['series'][0]['values'], c.query('SHOW TAG KEYS FROM ' + m)['series'][0]['values']]
return out
''', m=m)
    assert got[:3] == [True] * 3
    series = got[3]['series'][0]
    assert got[3]['statement_id'] == 0 and series['columns'] == ['time', 'b', 'f', 'i', 'n', 's', 't', 'yes']
    assert series['values'] == [
        ['1970-01-01T00:00:00.000001Z', True, 0.1, 5, '1', 'x', 'a', 'True'],
        ['2026-01-02T02:00:00Z', None, 1e300, 2**63 - 1, None, None, None, None],
        ['2026-01-02T03:04:05.6Z', None, None, -2**63, None, None, 'b', None],
        ['2026-01-02T22:00:00.123456789Z', None, 2.5, None, None, None, None, None],
        ['2026-01-05T00:00:00Z', None, 7, None, None, None, None, None]] or series['values'][-2][0] == '2026-01-04T00:00:00Z'
    assert got[4] == [[1767571200, 7]] and got[5] == [['n'], ['t'], ['yes']]


def test_texts_come_back(api, cid, m, theirs):
    """Every text as measurement, tag, name of a tag, name of a field and field; read by the Python client, too."""
    got = on(api, cid, '''
key = lambda t: t if '\\\\' + t[t.find('\\\\') + 1:][:1] not in ('\\\\,', '\\\\ ') else 'x'
c.write_points([{'measurement': m, 'tags': {'n': str(i), 'v': t, 'k' + t: 'x'}, 'fields': {'s': t, 'f' + key(t): i}, 'time': i} for i, t in enumerate(texts)])
c.write_points([{'measurement': m + key(t), 'fields': {'v': i}, 'time': i} for i, t in enumerate(texts)])
rows = c.query('SELECT * FROM ' + m, dict_output=True, epoch='n')['series'][0]
out = [[i for i, t in enumerate(texts) if rows[i]['v'] != t or rows[i]['s'] != t or rows[i]['f' + key(t)] != i or rows[i]['k' + t] != 'x']]
names = {v[0] for v in c.query('SHOW MEASUREMENTS')['series'][0]['values']}
out.append([t for t in texts if m + key(t) not in names])
out.append([tell(lambda: c.write_point(m, {'s': 'x'}, {'t': bad})) for bad in ('a\\\\', 'nul\\0')] + [tell(lambda: c.write_point('#x', {'s': 1})), tell(lambda: c.write_point(m, {'a\\\\,b': 1}))])
c.write_point(m, {'line': 'two\\nlines'}, {'t': 'two\\nlines'}, 10**6)
out.append(c.query('SELECT line, t FROM ' + m + ' WHERE time = 1000000', epoch='n')['series'][0]['values'])
return out
''', m=m, texts=TEXTS)
    assert got[0] == [] and got[1] == [], got
    assert [g[0] for g in got[2]] == ['InvalidArgument'] * 4 and got[3] == [[10**6, 'two\nlines', 'two\\nlines']]
    points = list(theirs.query('SELECT * FROM ' + m, epoch='n').get_points())
    assert [p['s'] for p in points][:len(TEXTS)] == TEXTS
    theirs.write_points([{'measurement': m + 'p', 'tags': {'v': t}, 'fields': {'s': t}, 'time': i} for i, t in enumerate(TEXTS) if '\\' not in t])
    assert on(api, cid, "return [[r['v'], r['s']] for r in c.query('SELECT * FROM ' + m, dict_output=True)['series'][0]]", m=m + 'p') == \
        [[t, t] for t in TEXTS if '\\' not in t]


def test_results_as_the_python_client(api, cid, m, theirs):
    theirs.write_points([{'measurement': m, 'tags': {'t': str(i % 3)}, 'fields': {'v': i / 7, 'n': i}, 'time': i} for i in range(100)])
    for q in ('SELECT * FROM "%s"', 'SELECT mean(v), count(n) FROM "%s" GROUP BY t', 'SELECT * FROM "%s" WHERE n > 500', 'SHOW FIELD KEYS FROM "%s"', 'SELECT * FROM "%s" GROUP BY *'):
        assert on(api, cid, "return c.query(q, epoch='n')", q=q % m) == {k: v for k, v in theirs.query(q % m, epoch='n').raw.items() if v != []}, q
    got = on(api, cid, "return [c.query('SELECT n FROM %s LIMIT 1; SELECT v FROM %s LIMIT 1' % (m, m)), c.query('SELECT * FROM ' + m + ' GROUP BY t LIMIT 2', dict_output=True)]", m=m)
    assert [r['statement_id'] for r in got[0]] == [0, 1]
    assert got[1]['series'] == [[{'time': '1970-01-01T00:00:00.0000000%02dZ' % i if i else '1970-01-01T00:00:00Z', 'n': i, 'v': i / 7, 'tags': {'t': str(t)}}
                                 for i in (t, t + 3)] for t in range(3)] or got[1]['series'][0][0]['tags'] == {'t': '0'}


def test_results_that_were_cut_off(api):
    """A server with max-row-limit says so in the series: dicts say it beside them."""
    series = b'{"name": "m", "columns": ["time"], "values": [[1]]%s}'
    for partial in (True, False):
        with Flood(b'{"results": [{"statement_id": 0, "series": [%s, %s]}]}' % (series % b'', series % (b', "partial": true' if partial else b''))) as cut:
            raw, dicts = on(api, add(api, 'influxdb', {'host': '127.0.0.1', 'port': cut.port}), "return [c.query('SELECT v FROM m'), c.query('SELECT v FROM m', dict_output=True)]")
            assert raw['series'][1].get('partial') == (partial or None) and dicts == {'statement_id': 0, 'series': [[{'time': 1, 'tags': {}}]] * 2, **({'partial': True} if partial else {})}


def test_units_of_time(api, cid, m):
    """Nanoseconds are exact; what the server would take for nanoseconds is not sent to it."""
    got = on(api, cid, '''
c.write_point(m, {'v': 1}, None, 1234567890123456789)
out = [c.query('SELECT v FROM ' + m, epoch=e)['series'][0]['values'][0][0] for e in (None, 'n', 'ns', 'u', 'us', 'ms', 's', 'm', 'h')]
for e in ('n', 'ns', 'u', 'us', 'ms', 's', 'm', 'h'):
    c.write_point(m + 'p', {e: 1}, {'e': e}, 300000, precision=e)
return out + [sorted(r[0] for r in c.query('SELECT * FROM ' + m + 'p', epoch='n')['series'][0]['values'])]
''', m=m)
    ns = 1234567890123456789
    assert got[0] == '2009-02-13T23:31:30.123456789Z' and got[1:9] == [ns, ns, ns // 10**3, ns // 10**3, ns // 10**6, ns // 10**9, ns // (60 * 10**9), ns // (3600 * 10**9)]
    assert got[9] == [300000 * unit for unit in (1, 1, 10**3, 10**3, 10**6, 10**9, 60 * 10**9, 3600 * 10**9)]


def test_tags_of_rows(api, cid, m):
    got = on(api, cid, '''
c.write_point(m, {'tags': 1, '_tags': 2}, {'t': 'x'}, 5)
row = c.query('SELECT * FROM ' + m + ' GROUP BY t', dict_output=True)['series'][0][0]
return [row['tags'], row['_tags'], row['__tags'], c.get_ts_tags(row), c.get_ts_tags({'tags': {'a': 'b'}}), c.get_ts_tags({'x': 1})]
''', m=m)
    assert got == [1, 2, {'t': 'x'}, {'t': 'x'}, {'a': 'b'}, None]


def test_parameters_are_bound(api, cid, m):
    """Neither $name nor ? can become a part of the statement."""
    got = on(api, cid, r'''
c.write_points([{'measurement': m, 'tags': {'t': t}, 'fields': {'v': i, 's': t}, 'time': i} for i, t in enumerate(texts)])
out = [[c.query('SELECT v FROM ' + m + ' WHERE t = $t', {'t': t})['series'][0]['values'][0][1] for t in texts] == list(range(len(texts)))]
out += [[c.query2('SELECT v FROM ?? WHERE s = ? AND v >= ?', [m, t, i])['series'][0]['values'][0][1] for i, t in enumerate(texts)] == list(range(len(texts)))]
out += [c.query('SELECT v FROM ' + m + ' WHERE v = $i AND time >= $t', {'i': 1, 't': '1970-01-01T00:00:00Z'})['series'][0]['values'][0][1]]
out += [c.query2("SELECT v FROM ?? WHERE time < ? LIMIT 1", [m, datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)])['series'][0]['values'][0][1]]
out += [c.query("SELECT v FROM " + m + " WHERE t = $t", {'t': "' OR 1 = 1"}), c.query2("SHOW TAG VALUES WITH KEY = ??", ['t'])['series'][0]['name'] != '']
return out
''', m=m, texts=[t for t in TEXTS if t[0] != '#' and len(t) < 100])
    assert got[:3] == [True, True, 1] and got[3] == 0 and got[4] == {'statement_id': 0} and got[5]


def test_databases(api, cid, ix, m):
    """Named in the call, by switch_database(), by an option; the next call has its own again."""
    other = fresh('db')
    ix.ask('CREATE DATABASE ' + other)
    got = on(api, cid, '''
c.write_point(m, {'v': 1}, database=other)
out = [c.query('SELECT v FROM ' + m), c.query('SELECT v FROM ' + m, database=other)['series'][0]['name'] == m, DFF.CONN(cid, database=other).query('SELECT v FROM ' + m) != {'statement_id': 0}]
c.switch_database(other)
return out + ['series' in c.query('SELECT v FROM ' + m)]
''', m=m, other=other)
    assert got == [{'statement_id': 0}, True, True, True]
    assert on(api, cid, "return c.query('SELECT v FROM ' + m)", m=m) == {'statement_id': 0}
    nameless = add(api, 'influxdb', {k: v for k, v in ix.config().items() if k != 'database'})
    got = on(api, nameless, "return [tell(lambda: c.write_point(m, {'v': 1})), tell(lambda: c.query('SELECT v FROM ' + m))]", m=m)
    assert got[0][0] == 'InvalidArgument' and got[1][0] == 'QueryError' and 'database name required' in got[1][1]


def test_batches_and_partial_writes(api, cid, ix, m):
    """Points beyond a batch; what the server drops is an error that says so."""
    small = add(api, 'influxdb', ix.config(batch='1k', gzip=False))
    got = on(api, cid, '''
n = c.write_points([{'measurement': m, 'tags': {'t': 'x' * 50}, 'fields': {'v': i}, 'time': i} for i in range(20000)])
out = [c.query('SELECT count(v) FROM ' + m)['series'][0]['values'][0][1]]
d = DFF.CONN(small)
points = [{'measurement': m + 'b', 'fields': {'v': i if i != 150 else 'text'}, 'time': i} for i in range(200)]
out += [tell(lambda: d.write_points(points)), tell(lambda: c.write_points(points[150:])), tell(lambda: d.write_points([points[0]] * 100 + [{'measurement': m}]))]
out += [c.query('SELECT count(v) FROM ' + m + 'b')['series'][0]['values'][0][1], d.write_lines([m + 'l v=1i 1', m + 'l v=2i 2\\n'])]
out += [c.query('SELECT count(v) FROM ' + m + 'l')['series'][0]['values'][0][1], tell(lambda: c.write_lines('no line')), tell(lambda: c.write_points(['x'])), c.write_points([])]
return out
''', m=m, small=small)
    assert got[0] == 20000
    assert got[1][0] == got[2][0] == 'QueryError' and got[1][2] == 400 and 'partial write' in got[1][1] and 'dropped=1' in got[1][1]
    assert 'were written' in got[1][1] and got[3][0] == 'InvalidArgument' and 'point 100' in got[3][1]
    assert got[4] >= 150 and got[5] is True and got[6] == 2 and got[7][0] == 'QueryError' and got[8][0] == 'InvalidArgument' and got[9] is True


def test_points_that_are_refused(api, cid, m):
    got = on(api, cid, '''
bad = [dict(fields={}), dict(fields={'v': None}), dict(fields={'v': float('nan')}), dict(fields={'v': [1]}), dict(fields=5), dict(fields={'v': 1}, tags=5),
       dict(fields={'v': 1}, timestamp='yesterday'), dict(fields={'v': 1}, precision='d'), dict(fields={'v': b'\\xff'}), dict(fields={'v': 1}, tags={'t': {}}), dict(fields={'v': 2**63}), dict(fields={'v': -2**63 - 1}), dict(fields={'v': decimal.Decimal('Infinity')})]
return [tell(lambda: c.write_point(m, **b))[0] for b in bad] + [c.query('SHOW MEASUREMENTS WITH MEASUREMENT = ' + m)]
''', m=m)
    assert got[:-1] == ['InvalidArgument'] * 13 and got[-1] == {'statement_id': 0}


def test_errors(api, cid):
    got = on(api, cid, '''
return [tell(lambda: c.query('SELEKT')), tell(lambda: c.query('SELECT * FROM x', database='no_such')), tell(lambda: c.query('DROP DATABASE')), tell(lambda: c.query('SELECT v FROM m WHERE t = $x', 5)),
        tell(lambda: c.query('SELECT v FROM m; SELECT v FROM m', database='no_such')), tell(lambda: c.flux('buckets()')),
        tell(lambda: c.query('SELECT v FROM m; SHOW DATABASES; SELECT nofunc(v) FROM m; SHOW DATABASES')), tell(lambda: c.query(' ')), [tell(lambda: c.query('SHOW DATABASES', epoch=e))[0] for e in ('sec', 5)],
        tell(lambda: c.switch_database('tenon\\0x')), c.query('SHOW DATABASES; SHOW USERS')[1]['statement_id']]
''')
    assert got[6][0] == 'QueryError' and 'statement 2: not executed; asked alone it says why' in got[6][1], got[6]
    assert got[7][0] == 'QueryError' and 'missing required parameter "q"' in got[7][1] and got[8] == ['InvalidArgument'] * 2 and got[9][0] == 'InvalidArgument' and got[10] == 1
    assert [g[0] for g in got[:5]] == ['QueryError', 'QueryError', 'QueryError', 'InvalidArgument', 'QueryError']
    assert got[0][2] == 400 and 'parsing query' in got[0][1] and 'no_such' in got[1][1] and got[5] is not None


@shows('streaming', 'in chunks, bounded memory')
def test_stream(api, cid, m, sanitized):
    n = 20000 if sanitized else 200000
    got = on(api, cid, '''
import resource
for k in range(0, n, 20000):
    c.write_lines('\\n'.join('%s,t=%d v=%di %d' % (m, i % 2, i, i) for i in range(k, k + 20000)))
rows, total = 0, 0
stream = c.stream('SELECT v FROM ' + m, epoch='n', chunk_size=1000)
next(stream)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for row in stream:
    rows += 1
    total += row['v']
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
first = next(c.stream('SELECT v FROM ' + m + ' GROUP BY t'))
return [rows, total, grown, first['tags'], tell(lambda: list(c.stream('SELECT'))), list(c.stream('SELECT v FROM nothing')), c.check()]
''', m=m, n=n)
    assert got[0] == n - 1 and got[1] == n * (n - 1) // 2 and got[3] == {'t': '0'} and got[4][0] == 'QueryError' and got[5:] == [[], None]
    assert sanitized or got[2] < 16 * 1024, got[2]


def test_limits_and_deadlines(api, ix, m):
    cid = add(api, 'influxdb', ix.config(max_result='64k'))
    got = on(api, cid, '''
c.write_points([{'measurement': m, 'fields': {'s': 'x' * 100}, 'time': i} for i in range(2000)])
return [tell(lambda: c.query('SELECT * FROM ' + m)), c.query('SELECT count(s) FROM ' + m)['series'][0]['values'][0][1], len(list(c.stream('SELECT * FROM ' + m, chunk_size=100)))]
''', m=m)
    assert got[0][0] == 'LimitExceeded' and 'max_result' in got[0][1] and got[1:] == [2000, 2000]


# ---- version 2, a stub -------------------------------------------------------------------------------------------

CSV = ('#datatype,string,long,dateTime:RFC3339,double,string,boolean,unsignedLong\r\n#group,false,false,false,false,true,false,false\r\n#default,_result,,,,,,\r\n'
       ',result,table,_time,_value,host,up,n\r\n,,0,2026-01-01T00:00:00.5Z,1.5,"a ""b"", c",true,18446744073709551615\r\n,,0,2026-01-01T00:00:01Z,,,false,3\r\n\r\n'
       '#datatype,string,long,duration\r\n#group,false,false,false\r\n#default,_result,,\r\n,result,table,d\r\n,,1,5m\r\n')


def test_version_2(api):
    with Influx2() as stub:
        cid = add(api, 'influxdb', stub.config())
        stub.answer = CSV
        got = on(api, cid, '''
rows = c.flux('from(bucket: "b")', {'x': 1})
return [rows, rows[0]['_time'].tzinfo is not None, c.write_point('m', {'v': 1}, {'t': 'a b'}, 5, precision='ms'), c.write_points([{'measurement': 'm', 'fields': {'s': 'y' * 2000}}]), tell(lambda: c.write_point('m', {'v': 1}, database='none'))]
''')
        assert got[0] == [{'result': '_result', 'table': 0, '_time': '2026-01-01T00:00:00.500000Z', '_value': 1.5, 'host': 'a "b", c', 'up': True, 'n': 18446744073709551615},
                          {'result': '_result', 'table': 0, '_time': '2026-01-01T00:00:01Z', '_value': None, 'host': None, 'up': False, 'n': 3},
                          {'result': '_result', 'table': 1, 'd': '5m'}] or got[0][0]['host'] == 'a "b", c', got[0]
        assert got[1:4] == [True] * 3 and got[4][0] == 'QueryError' and 'bucket' in got[4][1]
        assert stub.lines == ['m,t=a\\ b v=1i 5', 'm s="%s"' % ('y' * 2000)] and stub.writes[0]['precision'] == 'ms' and stub.writes[1]['precision'] == 'ns'
        assert stub.asked[0]['query'] == 'from(bucket: "b")'
        assert on(api, cid, "return [tell(lambda: c.flux('x', p))[0] for p in ([1], {'a b': 1}, {'a': None}, {'a': float('nan')})]") == ['InvalidArgument'] * 4
        stub.answer = '#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,"failed, really",897\r\n'
        assert on(api, cid, "return tell(lambda: c.flux('x'))")[0] == 'QueryError'
        e = not_addable(api, 'influxdb', stub.config(password='wrong'))
        assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception'] and TOKEN not in str(api.get('/connectors/do/list', id=cid))


def theirs_2():
    """InfluxData's own client for version 2, in this process."""
    try:
        path = folder('influxclient')
    except Missing as e:
        pytest.skip(str(e))
    if path not in sys.path:
        sys.path.append(path)  # what Debian has goes first
    return importlib.import_module('influxdb_client')


def timed(option):
    """A variable of extern whose time has as many digits as any other."""
    return json.loads(re.sub(r'(T\d\d:\d\d:\d\d\.\d{6})0*(Z|\+00:00)"', r'\1"', json.dumps(option)))


def test_version_2_as_its_own_client(api):
    """The stub is only as good as its judge: InfluxData's client speaks with it, too, sends the same lines to the same place, is refused
    for the same reasons, and reads the same rows out of the same answer."""
    lib = theirs_2()
    point = lib.Point('m,1').tag('t', 'a b').tag('u', 'x=y').field('i', 5).field('f', 0.1).field('s', 'q"\\').field('b', True).time(1700000000123, lib.WritePrecision.MS)
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.timezone.utc)
    params = {'x': 1, 's': 'a" or true\n', 'f': 0.5, 'b': True, 't': when, 'l': [2**62, 'y', [False]], 'd': datetime.timedelta(hours=1, microseconds=5)}
    with Influx2() as stub:
        stub.answer = CSV.split('\r\n\r\n', maxsplit=1)[0] + '\r\n\r\n'  # it takes a duration for a number
        with lib.InfluxDBClient('http://127.0.0.1:%d' % stub.port, TOKEN, org='shop', enable_gzip=True) as client:
            client.write_api(write_options=importlib.import_module('influxdb_client.client.write_api').SYNCHRONOUS).write('b', record=point, write_precision=lib.WritePrecision.MS)
            rows = [[r.values for r in table.records] for table in client.query_api().query('from(bucket: "b")', params=params)]
            with pytest.raises(lib.rest.ApiException, match='bucket'):
                client.write_api(write_options=importlib.import_module('influxdb_client.client.write_api').SYNCHRONOUS).write('none', record=point)
        with lib.InfluxDBClient('http://127.0.0.1:%d' % stub.port, 'wrong', org='shop') as client, pytest.raises(lib.rest.ApiException, match='unauthorized'):
            client.query_api().query('buckets()')
        their_lines, their_writes, their_asked = list(stub.lines), list(stub.writes), list(stub.asked)
        stub.lines.clear(), stub.writes.clear(), stub.asked.clear()
        got = on(api, add(api, 'influxdb', stub.config()), r'''
c.write_point('m,1', {'i': 5, 'f': 0.1, 's': 'q"\\', 'b': True}, {'t': 'a b', 'u': 'x=y'}, 1700000000123, precision='ms')
return [{k: str(v) for k, v in row.items()} for row in c.flux('from(bucket: "b")', {**params, 't': datetime.datetime.fromisoformat(params['t']), 'd': datetime.timedelta(hours=1, microseconds=5)})]
''', params={**params, 't': when.isoformat(), 'd': 0})
        split = lambda line: (line.rsplit(' ', 2)[0], sorted(line.rsplit(' ', 2)[1].split(',')), line.rsplit(' ', 2)[2])  # the order of fields means nothing
        assert [split(line) for line in stub.lines] == [split(line) for line in their_lines]
        assert stub.writes[0] == {k: v for k, v in their_writes[0].items() if k in stub.writes[0]} and stub.writes[0]['precision'] == 'ms'
        mine, their = stub.asked[0], their_asked[0]
        record, *variables = mine['extern']['body']  # ours has all of them as a record, too
        assert mine['query'] == their['query'] and record['assignment']['id']['name'] == 'params' and len(record['assignment']['init']['properties']) == len(params)
        assert [timed(v) for v in variables] == [timed(v) for v in their['extern']['body']]
        assert sorted(stub.asked[0]['dialect']['annotations']) == sorted(their_asked[0]['dialect']['annotations'])
        assert got == [{k: str(v) for k, v in row.items()} for table in rows for row in table]


class Guard(Nginx):
    """nginx in front of InfluxDB."""

    def config(self, **more):
        return super().config(database='tenon', **more)


class TestInfluxDB(Contract, Readme, Deadlines, Panel, FewConnections, PasswordChanges, Breaks, BadLines, HugeAnswers, Refusals, TlsIsMissed, TlsNotOffered, CertificateWanted):
    """What influxdb shares with the other connectors."""

    type, fixture, make = 'influxdb', 'ix', InfluxDB
    ask, gives = "c.write_point('m', {'v': 1}, timestamp=1)", True
    tls_on: dict = {}
    tls_off = {'protocol': 'http'}
    tls_ask, tls_gives = ask, True
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, ({'protocol': 'https'}, 'ConnUnavailable', 'TLS: no handshake'), ({'version': '3'}, 'ConfigError', 'version'),
                ({'databse': 'x'}, 'ConfigError', 'did you mean `database`?'), ({'host': 'http://127.0.0.1:8086'}, 'ConfigError', 'a name or an address alone')]
    flood_small, flood_config = b'{"results": [{"statement_id": 0}]}\n', {'database': 'd'}
    flood_asks = ["c.query('SELECT v FROM m')", "list(c.stream('SELECT v FROM m'))", "c.write_point('m', {'v': 1})"]
    fetch, small, large, break_after = "n if c.query('SHOW DIAGNOSTICS') else 0", 1, 1, 100
    breaks = [*BREAKS, ('garbage', GONE)]
    panel = [('SHOW DATABASES', lambda got: ['tenon'] in got['series'][0]['values']),
             ('SHOW MEASUREMENTS', lambda got: ['panel'] in got['series'][0]['values'], {'database': 'tenon'}),
             ('SHOW FIELD KEYS FROM panel', lambda got: got['series'][0]['values'] == [['v', 'integer']], {'database': 'tenon'})]
    panel_refused, before_panel = 'NOSUCH', "c.write_point('panel', {'v': 1})"
    contract = ['query=["SHOW DATABASES"]', 'write_lines=["m v=1"]']
    endless = ['SELECT count(a) FROM (SELECT mean(v) AS a FROM m WHERE time >= 0 AND time < 3000s GROUP BY time(1u) fill(0))']
    readme_id, readme_gives = 'metrics', [[0.5, 0.25], 'north', 2]

    def at(self, it, port, **changes):
        """What opens a connection asks for the databases."""
        pool = changes.pop('pool', {})
        return super().at(it, port, pool={'query': '900ms', **pool}, **changes)

    def with_tls(self, request, certs):
        return peer(InfluxDB, certs=certs, users=True)

    def with_wanted(self, request, certs):
        """InfluxDB 1 asks nobody for a certificate: nginx in front does."""
        return peer(Guard, certs=certs, client=True, to_port=request.getfixturevalue('ix').port)

    def to_restart(self, request):
        return peer(InfluxDB, users=True)

    def still_running(self, api, it):
        return any('count(a)' in row[1] for row in it.ask('SHOW QUERIES')[0]['series'][0]['values'])

    @shows('faults', 'wrong protocol')
    def test_some_other_server_of_http(self, api):
        """Answers that are no results, in JSON or not."""
        with OddHttp() as odd, peer(Nginx) as pages:
            for config in (odd.config(), pages.config(), odd.config(version='2', bucket='b', password='t')):
                e = not_addable(api, 'influxdb', config)
                assert e['exceptionType'] in ('ConnUnavailable', 'QueryError') and ('is this an InfluxDB?' in e['exception'] or 'status 40' in e['exception']), e

    def test_accounts(self, api, secure, certs):
        """Signing in, and what a user who only reads may do."""
        ca = certs.text('ca.pem')
        on(api, add(api, 'influxdb', secure.config(tls_ca=ca)), self.ask)
        e = not_addable(api, 'influxdb', secure.config(tls_ca=ca, password='wrong'))
        assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception'] and PASSWORD not in str(e)
        reader = add(api, 'influxdb', secure.config(tls_ca=ca, user='reader'))
        got = on(api, reader, "return ['series' in c.query('SELECT * FROM m'), tell(lambda: c.write_point('m', {'v': 1})), tell(lambda: c.query('DROP DATABASE tenon'))]")
        assert got[0] and got[1][0] == 'Denied' and got[2][0] == 'Denied', got


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'influxdb', 'libcurl, own line protocol', 'InfluxDB 1.6; version 2: a stub that its own client judges')
