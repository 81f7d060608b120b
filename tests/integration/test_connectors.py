# SPDX-License-Identifier: Apache-2.0
"""DFF.CONN on the connectors that need no server, and the management of connectors (spec 1.6, 3.5, 4)."""

import concurrent.futures
import datetime
import json
import os
import re
import socket
import subprocess
import time

import pytest
from support.connectors import add, fresh, refused, run
from support.server import BUILD, ROOT


@pytest.fixture(scope='module')
def mem(server):
    return add(server.client(), 'mem', {})


@pytest.fixture(scope='module')
def lite(server):
    # workers open it themselves, and the resource folder is where they may write
    return add(server.client(), 'sqlite', {'path': os.path.join(server.data, 'resources', 'x.db')})


def test_values_have_python_types(api, mem):
    """Every value type of the contract, by name and class."""
    got = run(api, '''
import datetime, decimal
@DFF.API('f')
def f(id):
    v = DFF.CONN(id).values()
    return [[k, type(x).__name__, repr(x)] for k, x in v.items()]
''', id=mem)
    got = {k: (t, r) for k, t, r in got}
    assert got['null'] == ('NoneType', 'None') and got['bool'] == ('bool', 'True')
    assert got['int'] == ('int', str(-2 ** 63)) and got['float'] == ('float', '0.5')
    assert got['str'] == ('str', "'\u69ab'") and got['json'] == ('dict', "{'a': [1]}")
    assert got['bytes'] == ('bytes', r"b'\x00\x01\xfe\xff'") and got['decimal'] == ('Decimal', "Decimal('12.50')")
    assert got['time'][1] == 'datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)'
    assert got['naive'][1] == 'datetime.datetime(2026, 1, 1, 0, 0)'
    assert got['date'][1] == 'datetime.date(2026, 1, 1)'
    assert got['clock'][1] == 'datetime.time(8, 30, 0, 1)'
    assert got['span'][1] == repr(datetime.timedelta(seconds=-90))
    assert got['list'][1] == '[1, None]' and got['map'][1] == "{'a': 1}"


def test_arguments(api, mem):
    """By position, by keyword, defaults; what is wrong is a TypeError that names it."""
    code = '''
@DFF.API('f')
def f(id):
    c, out = DFF.CONN(id), []
    c.put('k', value='v1')
    out.append(c.get('k'))
    out.append(c.get(key='k'))
    for bad in (lambda: c.get(), lambda: c.get(1), lambda: c.get('a', 'b'), lambda: c.get(kee='k'),
                lambda: c.put('a', 'b', key='c')):
        try:
            bad()
        except TypeError as e:
            out.append(str(e))
    out.append(c.get.__doc__)
    return out
'''
    got = run(api, code, id=mem)
    assert got[:2] == ['v1', 'v1']
    assert got[2] == "get() misses its argument 'key'" and got[3] == 'get(): key must be str, not int'
    assert 'at most 1 arguments (2 given)' in got[4] and "unexpected keyword argument 'kee'" in got[5]
    assert "multiple values for argument 'key'" in got[6] and got[7].startswith('get(key:str)')


def test_errors_have_classes(api, mem):
    """Each code of the contract is an exception of its own, with the server's number."""
    got = run(api, '''
@DFF.API('f')
def f(id):
    c, out = DFF.CONN(id), {}
    for rc in (-2, -3, -5, -6, -7, -8, -9, -10, -11, -12, -13):
        try:
            c.fail(rc)
        except Exception as e:
            out[str(rc)] = [type(e).__name__, e.code, e.retry, id in str(e)]
    return out
''', id=mem)
    assert {k: v[0] for k, v in got.items()} == {
        '-2': 'InvalidArgument', '-3': 'ConfigError', '-5': 'Denied', '-6': 'ConnTimeout', '-7': 'ConnCanceled',
        '-8': 'ConnUnavailable', '-9': 'QueryError', '-10': 'LimitExceeded', '-11': 'NotSupported',
        '-12': 'ConnError', '-13': 'ConflictError'}
    assert all(v[1] == 42 and v[3] for v in got.values()) and got['-8'][2] and not got['-9'][2]


def test_unknown_connector_and_type(api, mem):
    got = run(api, '''
@DFF.API('f')
def f(id):
    out = []
    for bad in (lambda: DFF.CONN('nobody'), lambda: DFF.SRC(id, nosuch=1)):
        try:
            bad()
        except Exception as e:
            out.append([type(e).__name__, str(e)])
    return out
''', id=mem)
    assert got[0] == ['EntityNotFound', 'Connector not found: `nobody`']
    assert got[1][0] == 'ConfigError' and 'have no option `nosuch`' in got[1][1]


def test_a_session_lives_as_long_as_the_call(api, mem):
    """Two helpers of one call see the same session; the next call sees nothing of it."""
    code = '''
@DFF.API('f')
def f(id, write):
    a, b = DFF.CONN(id), DFF.CONN(id)
    if write:
        a.put('mine', 'x')
    return b.get('mine')
'''
    api_id = api.function(code, 'f', {'id': 'INPUT_BY_CALLER', 'write': 'INPUT_BY_CALLER'})
    for _ in range(4):
        assert api.result(api_id, id=mem, write=True) == 'x'
        assert api.result(api_id, id=mem, write=False) is None


def test_the_deadline_of_the_call_ends_the_operation(api, mem):
    """A sleeping connector does not hold the call beyond its time."""
    api_id = api.function('''
@DFF.API('f', timeout=1)
def f(id):
    DFF.CONN(id).sleep(30000)
''', 'f', {'id': 'INPUT_BY_CALLER'})
    envelope = api.envelope('POST', '/sync/' + api_id, json={'kwargs': {'id': mem}})
    assert envelope['reason'].startswith('EFuncTimeout'), envelope


def test_threads_share_the_pool_and_learn_who_holds_it(api):
    """More threads than connections: they wait; who gets none is told who has them."""
    cid = add(api, 'mem', {'pool': {'max': 2, 'acquire': '200ms'}})
    got = run(api, '''
import time
@DFF.API('f')
def f(id):
    c = DFF.CONN(id)
    DFF.THREAD.set_pool_size(4)
    for i in range(4):
        if i == 2:
            time.sleep(0.3)  # the first two have theirs by now
        DFF.THREAD.submit(c.sleep, 1200 if i < 2 else 10)
    errors = [r.error for r in DFF.THREAD.get_all_results() if r.error]
    return [[type(e).__name__, str(e)] for e in errors]
''', id=cid)
    assert len(got) == 2 and got[0][0] == 'LimitExceeded'
    assert 'all 2 connections of this worker are in use' in got[0][1] and 'pool.max' in got[0][1]


def test_scripts_keep_connectors(api):
    """save, query, delete by scripts; a change counts for the next call of every worker."""
    cid = fresh('s')
    code = '''
@DFF.API('f')
def f(id, what):
    if what == 'save':
        DFF.CONN.save(id, 'mem', {'rows_max': 3, 'password': 'sesame'}, title='T')
    elif what == 'shrink':
        DFF.CONN.save(id, 'mem', {'rows_max': 1})
    elif what == 'delete':
        DFF.CONN.delete(id)
    elif what == 'list':
        return [r for r in DFF.CONN.query('mem') if r['id'] == id]
    else:
        try:
            return len(DFF.CONN(id).table(3))
        except Exception as e:
            return type(e).__name__
'''
    api_id = api.function(code, 'f', {'id': 'INPUT_BY_CALLER', 'what': 'INPUT_BY_CALLER'})
    call = lambda what: api.result(api_id, **{'id': cid, 'what': what})
    assert call('save') is None and call('use') == 3
    assert call('list') == [{'id': cid, 'title': 'T', 'type': 'mem'}]
    assert call('shrink') is None and call('use') == 'LimitExceeded'
    assert call('delete') is None and call('use') == 'EntityNotFound' and call('list') == []


# ---- management -------------------------------------------------------------------------------------------


def test_rows_never_show_secrets(api, server):
    """Not in lists, not in answers, not in the store's file."""
    secret = 'sesame'
    cid = add(api, 'mem', {'password': secret, 'rows_max': 5}, title='With secret')
    row = api.get('/connectors/do/list', id=cid)[0]
    assert row['configJSON'] == {'rows_max': 5} and row['isPinned'] is False and row['title'] == 'With secret'
    assert api.get('/connectors/%s/do/test' % cid) == {'checkResult': 'OK'}
    # absent: kept; wrong: refused by the test and not stored; "": cleared
    api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': {'rows_max': 6}}})
    assert api.get('/connectors/%s/do/test' % cid) == {'checkResult': 'OK'}
    e = refused(api, 'POST', '/connectors/%s/do/modify' % cid, {'data': {'configJSON': {'password': 'wrong'}}})
    assert e['reason'] == 'EClientBadRequest.ConnectingToConnectorFailed'
    assert 'wrong password' in e['detail']['exception'] and e['detail']['exceptionType'] == 'Denied'
    assert api.get('/connectors/do/list', id=cid)[0]['configJSON'] == {'rows_max': 6}
    api.post('/connectors/%s/do/modify' % cid, {'skipTest': True, 'data': {'configJSON': {'password': 'wrong'}}})
    assert refused(api, 'GET', '/connectors/%s/do/test' % cid)['message'] == 'Connecting to Connector failed'
    api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': {'password': ''}}})
    api.get('/connectors/%s/do/delete' % cid)
    assert refused(api, 'GET', '/connectors/%s/do/test' % cid)['reason'] == 'EClientNotFound'


def types():
    """type → its JSON schema, of all connectors that were built."""
    told = subprocess.run([os.path.join(BUILD, 'bin/tenon'), 'plugins', '--schema', '--plugins', os.path.join(BUILD, 'plugins')],
                          stdout=subprocess.PIPE, check=True).stdout
    return {p['name']: p['config'] for p in json.loads(told) if p.get('kind') == 'connector'}


def secrets_of(type_):
    """What the plugin calls a secret, and what its C code does: the two lists are one."""
    schema = types()[type_]['properties']
    named = {name for name, field in schema.items() if field.get('writeOnly')}
    parts = [os.path.join(ROOT, 'connectors', type_)] + [os.path.join(ROOT, 'connectors/common')] * (type_ in ('http', 'influxdb', 'elasticsearch'))
    text = ''
    for folder in parts:
        for name in os.listdir(folder):
            if name.endswith('.h'):
                with open(os.path.join(folder, name), encoding='utf-8') as f:
                    text += f.read()
    in_code = {name.strip() for line in re.findall(r'^ +tn_secret ([a-z_, ]+);', text, re.M) for name in line.split(',')}
    assert named == in_code, (named, in_code)
    return named


# A server that refuses at once, in the way in which each type is told about it.
NOWHERE = {'memcached': {'servers': '127.0.0.1:1'}, 'kafka': {'servers': '127.0.0.1:1'}, 'nsq': {'servers': '127.0.0.1:1'}, 'mem': {}, 'sqlite': {'path': '/nonexistent/x.db'},
           'oracle': {'host': '127.0.0.1', 'port': 1, 'database': 'd'}}
SQL = {'user': 'u', 'password': '', 'database': 'd', 'charset': 'utf8'}


def test_a_secret_is_nowhere(new_server):
    """A mark of its own in every secret of every type, under both spellings: in no answer, record, figure, log line or file of the platform,
    whether the connector works or not."""
    server = new_server().start()
    api = server.client()
    seen = []
    say = lambda *args, **kwargs: seen.append(json.dumps(api.envelope(*args, **kwargs)))
    call = api.function('''
@DFF.API('f')
def f(id):
    c = DFF.CONN(id)
    print(c, repr(c), [str(x) for x in vars(type(c)) if x == 'config'])
    c._probe()
''', 'f', {'id': 'INPUT_BY_CALLER'})
    marked = 0
    for type_ in sorted(types()):
        config = {'host': '127.0.0.1', 'port': 1} if type_ not in NOWHERE else dict(NOWHERE[type_])
        config.update(SQL if type_ in ('mysql', 'postgresql', 'sqlserver', 'oracle') else {}, pool={'connect': '300ms'})
        for name in sorted(secrets_of(type_)):
            camel = re.sub(r'_(.)', lambda m: m.group(1).upper(), name)
            for written in sorted({name, camel}):
                marked += 1
                mark = 'MARK%03dsecret' % marked
                row = {'id': '%s_%d' % (type_, marked), 'type': type_, 'configJSON': {**config, written: mark}}
                say('POST', '/connectors/do/add', json={'data': row})                             # does not connect, or has no such certificate
                say('POST', '/connectors/do/add', json={'data': {**row, 'title': 7}})             # no such row
                say('POST', '/connectors/do/add', json={'data': {**row, 'type': 'nothing'}})
                say('POST', '/connectors/do/add', json={'data': {**row, 'configJSON': {**row['configJSON'], written: [mark]}}, 'skipTest': True})
                say('POST', '/connectors/do/add', json={'data': row, 'skipTest': True})
                say('POST', '/connectors/%s/do/modify' % row['id'], json={'data': {'configJSON': {**config, 'nonsense': 1, written: mark}}})
                if written == name:
                    say('GET', '/connectors/%s/do/test' % row['id'])
                    say('POST', '/connectors/%s/do/query' % row['id'], json={'queryStatement': 'SELECT 1'})
                    say('POST', '/sync/' + call, json={'kwargs': {'id': row['id']}})
    assert marked > 40
    rows = api.get('/connectors/do/list', noPage='true')
    assert len(rows) == marked and all('Cipher' not in str(r) for r in rows)
    for path in ('connectors/do/list?noPage=true', 'connectors/do/list?noPage=true&export=csv', 'operation-records/do/list?pageSize=100&pageNumber=1',
                 'operation-records/do/list?pageSize=100&pageNumber=2', 'task-records/func/do/list?noPage=true', 'task-records/do/list?noPage=true', 'tasks/do/list',
                 'func-caches/do/list', 'monitor/abnormal-requests/error/do/list', 'monitor/abnormal-requests/slowResponse/do/list', 'monitor/platform/do/get',
                 'monitor/system-metrics/do/get'):
        answer = api.request('GET', '/api/v1/' + path)
        assert answer.status_code == 200, (path, answer.text[:300])
        seen.append(answer.text)
    seen.append(api.request('GET', '/metrics').text)
    assert not [text for text in seen if 'MARK' in text], [text for text in seen if 'MARK' in text][0][:2000]
    assert server.stop() == 0
    left = subprocess.run(['grep', '-rlaE', 'MARK[0-9]{3}secret', server.data, server.log_path], stdout=subprocess.PIPE, text=True, check=False)
    assert left.stdout == '', left.stdout


def test_from_the_command_line(api, server, mem):
    def conn(*args):
        p = subprocess.run([os.path.join(BUILD, 'bin/tenon'), 'conn', *args, '--data', server.data, '--listen', '127.0.0.1:%d' % server.port],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return p.returncode, p.stdout, p.stderr
    code, out, err = conn('list')
    assert code == 0 and any(line.split()[:2] == [mem, 'mem'] for line in out.splitlines()), (out, err)
    code, out, err = conn('test', mem)
    assert code == 0 and re.fullmatch(mem + r': OK \(\d+ ms\)\n', out), (out, err)
    bad = add(api, 'mem', {'password': 'sesame'})
    api.post('/connectors/%s/do/modify' % bad, {'skipTest': True, 'data': {'configJSON': {'password': 'wrong'}}})
    code, out, err = conn('test', mem, bad, 'nobody')
    assert code == 1 and out.splitlines()[1].startswith(bad + ': Denied: ') and out.splitlines()[2].startswith('nobody: '), (out, err)
    assert conn('test')[0] == 2 and conn('list', 'x')[0] == 2
    lost = subprocess.run([os.path.join(BUILD, 'bin/tenon'), 'conn', 'list', '--data', '/nonexistent'], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    assert lost.returncode == 1 and '/nonexistent/localhost-auth-token' in lost.stderr


def test_add_is_refused(api, mem):
    """Reserved prefix, taken id, missing field, unknown setting with a hint, unknown type."""
    def tell(**data):
        return refused(api, 'POST', '/connectors/do/add', {'data': {'id': fresh(), 'type': 'mem', 'configJSON': {}, **data}})
    assert tell(id='dataflux_x')['reason'] == 'EBizCondition.ReservedConnectorIDPrefix'
    assert tell(id=mem)['reason'] == 'EBizCondition.DuplicatedConnectorID'
    e = tell(type='postgresql', configJSON={'host': 'h', 'user': 'u', 'password': None})
    assert e['reason'] == 'EClientBadRequest.InvalidConnectorConfigJSON'
    assert e['detail']['missingField'] == 'database' and 'port' in e['detail']['optionalFields']
    e = tell(configJSON={'row_max': 1})
    assert 'have no setting `row_max`; did you mean `rows_max`?' in e['detail']['exception']
    e = tell(configJSON={'rows_max': 0})
    assert 'rows_max' in e['detail']['exception'] and e['detail']['exceptionType'] == 'ConfigError'
    assert tell(type='none')['reason'] == 'EClientBadRequest'


def test_an_unreachable_host_says_which_step_failed(api):
    e = refused(api, 'POST', '/connectors/do/add', {'data': {'id': fresh(), 'type': 'sqlite', 'configJSON': {
        'path': '/nonexistent/folder/x.db'}}})
    assert e['reason'] == 'EClientBadRequest.ConnectingToConnectorFailed' and '/nonexistent' in e['detail']['exception']


def test_the_debug_panel(api, lite, mem):
    """Rows as JSON and as Python text; errors with the server's words."""
    ask = lambda cid, statement, **more: api.post('/connectors/%s/do/query' % cid, {'queryStatement': statement, **more})
    assert ask(lite, 'SELECT 1 AS a, x\'00ff\' AS b, NULL AS c') == [{'a': 1, 'b': '\x00\\xff', 'c': None}]
    assert ask(lite, 'SELECT 1 AS a', returnType='repr') == "[{'a': 1}]"
    assert ask(mem, 'anything') is None
    e = refused(api, 'POST', '/connectors/%s/do/query' % lite, {'queryStatement': 'SELEKT'})
    assert e['reason'] == 'EClientBadRequest.QueryFailed' and 'syntax error' in e['detail']['exception']
    assert api.get('/connectors/%s/sub-info/do/list' % mem) == []


def test_what_the_panel_shows_is_bounded(api, lite):
    """Some megabytes are shown, more is refused with its size; empty is empty; what takes too long is told in time (long: and stopped)."""
    ask = lambda statement, **more: api.envelope('POST', '/connectors/%s/do/query' % lite, json={'queryStatement': statement, **more})
    numbers = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT %d) SELECT x, \'row\' AS y FROM n'
    assert [ask(numbers % 50000)['data'][i] for i in (0, -1)] == [{'x': 1, 'y': 'row'}, {'x': 50000, 'y': 'row'}]
    assert ask(numbers % 20000, returnType='repr')['data'].endswith(" {'x': 20000, 'y': 'row'}]")
    for as_ in ('json', 'repr'):
        e = ask("SELECT hex(zeroblob(5000000)) AS x", returnType=as_)
        assert e['reason'] == 'ESysLimitReached' and 'more than the 8 MiB' in e['message'], str(e)[:500]
    assert ask("SELECT 1 WHERE 0", returnType='repr')['data'] == '[]' and ask("SELECT '' AS x")['data'] == [{'x': ''}]
    if os.environ.get('TENON_TEST_LONG') == '1':
        started = time.monotonic()
        e = ask('WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n')
        assert e['reason'] == 'EClientBadRequest.QueryTimeout' and 'longer than 15 s' in e['detail']['exception'] and time.monotonic() - started < 15.5, e


# A port that takes connections and says nothing: every type at TENON_TEST_LONG=1.
SILENT = ('influxdb', 'mongodb', 'mysql', 'clickhouse', 'redis', 'postgresql', 'sqlserver', 'elasticsearch', 'nsq', 'mqtt', 'http', 'memcached', 'kafka')


def test_a_test_ends_in_time_whatever_the_configuration_says(server):
    """pool.connect of a minute: the test of a connector still ends with its own words, well before 15 s."""
    with socket.create_server(('127.0.0.1', 0), backlog=200) as silent:
        address = {'host': '127.0.0.1', 'port': silent.getsockname()[1]}

        def tell(type_):
            where = {'servers': '%(host)s:%(port)d' % address} if type_ in ('memcached', 'kafka') else address
            more = {'user': 'u', 'password': 'p', 'database': 'd', 'charset': 'utf8'} if type_ in ('mysql', 'postgresql', 'sqlserver') else {}
            started = time.monotonic()
            e = refused(server.client(), 'POST', '/connectors/do/add', {'data': {'id': fresh(), 'type': type_, 'configJSON': {
                **where, **more, 'pool': {'connect': '60s', 'query': '60s'}}}})
            return e['message'], e['detail']['exceptionType'], e['detail']['exception'], time.monotonic() - started
        every = SILENT if os.environ.get('TENON_TEST_LONG') == '1' else SILENT[:4]
        with concurrent.futures.ThreadPoolExecutor(len(every)) as several:
            for type_, (message, kind, text, seconds) in zip(every, several.map(tell, every)):
                assert message == 'Connecting to Connector failed' and kind in ('ConnTimeout', 'ConnUnavailable') and 5 < seconds < 15, (type_, kind, text, seconds)


def test_the_platforms_half_is_no_function_of_users(api):
    """The script that runs tests is not callable from outside."""
    assert refused(api, 'POST', '/func/_tenon__connector.query', {'kwargs': {'id': 'x', 'statement': 'y'}})['reason'] \
        .startswith('EClientNotFound')
