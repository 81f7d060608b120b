# SPDX-License-Identifier: Apache-2.0
"""DFF.STORE (spec 3.5): durable values with scopes and life times; routes func-stores; DFF.ENV, DFF.CONFIG."""

import hashlib
import json
import time

import pytest

from support.server import wait_for

SCRIPT = '''
@DFF.API('methods')
def methods(calls):
    out = []
    for name, args, kwargs in calls:
        try:
            out.append(getattr(DFF.STORE, name)(*args, **kwargs))
        except Exception as e:
            out.append('%s: %s' % (type(e).__name__, e))
    return out

@DFF.API('short')
def short(key):
    return [DFF.STORE(key), DFF.store.get(key)]

@DFF.API('value')
def value(key, big=False):
    import datetime
    v = {'n': 2 ** 70, 'f': 1.5, 't': 'ä\\0"', 'l': [None, True, {'x': []}], 'd': datetime.date(2024, 1, 2)}
    if big:
        v = {str(i): i for i in range(20000)}
    DFF.STORE.set(key, v)
    got = DFF.STORE.get(key)
    return got if not big else len(got)
'''


@pytest.fixture(scope='module')
def store(server):
    """run(name, **kwargs) of the script, and its id."""
    client = server.client()
    script = client.script(SCRIPT)
    apis = {n: client.add_sync_api(script + '.' + n) for n in ('methods', 'short', 'value')}

    def run(name, **kwargs):
        return client.result(apis[name], **kwargs)
    run.client, run.script = client, script
    return run


def test_methods(store):
    """Every method; a scope sees only its own."""
    calls = [
        (['set', ['k', {'a': [1, None]}], {}], None),
        (['get', ['k'], {}], {'a': [1, None]}),
        (['get', ['none'], {}], None),
        (['get', ['k'], {'scope': 'other'}], None),
        (['set', ['k', 'x'], {'not_exists': True}], None),
        (['get', ['k'], {}], {'a': [1, None]}),
        (['set', ['k', 'x'], {}], None),
        (['set', ['fresh', 0], {'not_exists': True}], None),
        (['mget', [['k', 'fresh', 'none']], {}], {'k': 'x', 'fresh': 0, 'none': None}),
        (['mset', [{'user:1': 'a', 'user:2': 'b', 'ä': False}], {}], None),
        (['set', ['user:1', 'elsewhere'], {'scope': 'other'}], None),
        (['keys', [], {}], ['k', 'fresh', 'user:1', 'user:2', 'ä']),
        (['keys', ['user:*'], {}], ['user:1', 'user:2']),
        (['keys', ['?'], {}], ['k', 'ä']),
        (['keys', ['*'], {'scope': 'other'}], ['user:1']),
        (['getall', [], {}], {'k': 'x', 'fresh': 0, 'user:1': 'a', 'user:2': 'b', 'ä': False}),
        (['get_pattern', ['*:2'], {}], {'user:2': 'b'}),
        (['delete', ['k'], {}], None),
        (['delete', [['fresh', 'none']], {}], None),
        (['keys', [], {}], ['user:1', 'user:2', 'ä']),
        (['get', ['user:1'], {'scope': 'other'}], 'elsewhere'),
        (['set', [5, 'x'], {}], 'TypeError: a key of DFF.STORE must be a str, not int'),
        (['set', ['x' * 257, 'x'], {}], 'Exception: a key of DFF.STORE must have 1 to 256 characters, not 257'),
        (['set', ['k', 'x'], {'expires': -1}], 'ValueError: expires must be a number of seconds from now, not -1'),
    ]
    got = store('methods', calls=[c for c, _ in calls])
    for (call, want), value in zip(calls, got):
        assert value == want, call


def test_values_are_json(store):
    """Numbers stay exact, other objects become what a return value would be."""
    assert store('value', key='v') == {'n': 2 ** 70, 'f': 1.5, 't': 'ä\0"', 'l': [None, True, {'x': []}],
                                       'd': 'datetime.date(2024, 1, 2)'}
    assert store('short', key='v')[0]['n'] == 2 ** 70
    assert store('value', key='big', big=True) == 20000


def test_expiry(store):
    """Gone after its time, never before; free for not_exists then."""
    start = time.time()
    store('methods', calls=[['set', ['e', 1], {'expires': 1}]])
    first = store('methods', calls=[['get', ['e'], {}]])[0]
    assert first == 1 or time.time() - start > 1
    assert wait_for(lambda: store('methods', calls=[['get', ['e'], {}]]) == [None], 5)
    assert time.time() - start >= 1
    assert store('methods', calls=[['keys', ['e'], {}], ['set', ['e', 2], {'not_exists': True, 'expire': 100}],
                                   ['get', ['e'], {}]]) == [[], None, 2]


def test_routes(store):
    """func-stores: rows with their ids, filters, delete."""
    scope = 'routes'
    store('methods', calls=[['mset', [{'a': {'x': 1}, 'b': 2}], {'scope': scope}]])
    rows = store.client.get('/func-stores/do/list', scope=scope)
    assert [(r['key'], r['valueJSON'], r['scope'], r['expireAt']) for r in rows] == [
        ('b', 2, scope, None), ('a', {'x': 1}, scope, None)]
    row = rows[1]
    assert row['id'] == 'fnst-' + hashlib.md5(b'a-routes').hexdigest()
    assert store.client.get('/func-stores/%s/do/get' % row['id'])['valueJSON'] == {'x': 1}
    assert [r['key'] for r in store.client.get('/func-stores/do/list', key='b', scope=scope)] == ['b']
    store.client.get('/func-stores/%s/do/delete' % row['id'])
    assert store('methods', calls=[['keys', [], {'scope': scope}]]) == [['b']]


def test_durable_and_cleaned(new_server):
    """Survives kill -9; expired rows leave the table."""
    s = new_server()
    s.start()
    client = s.client()
    api_id = client.add_sync_api(client.script(SCRIPT) + '.methods')
    client.result(api_id, calls=[['set', ['stays', 1], {'scope': 's'}], ['set', ['goes', 1], {'scope': 's', 'expires': 1}]])
    s.kill()
    s.start()
    client = s.client()
    assert client.result(api_id, calls=[['get', ['stays'], {'scope': 's'}]]) == [1]
    assert wait_for(lambda: [r['key'] for r in client.get('/func-stores/do/list', scope='s')] == ['stays'], 30, 0.5)


def test_env_is_visible_to_the_next_call(store):
    """Changes by route and by script count at once."""
    client = store.client
    client.post('/env-variables/do/add', {'data': {'id': 'dff_env', 'autoTypeCasting': 'integer', 'valueTEXT': '1'}})
    script = client.script('''
@DFF.API('read')
def read():
    return DFF.ENV('dff_env')

@DFF.API('write')
def write(value, type=None, id='dff_env'):
    DFF.ENV.save(id, value, type=type)
    return [DFF.ENV(id), id in DFF.ENV.list()]

@DFF.API('drop')
def drop():
    DFF.ENV.delete('dff_env')
    return DFF.ENV('dff_env')
''')
    read, write, drop = (client.add_sync_api(script + '.' + n) for n in ('read', 'write', 'drop'))
    for i in range(20):
        client.post('/env-variables/dff_env/do/modify', {'data': {'valueTEXT': str(i)}})
        assert client.result(read) == i
    for value, type in ((5, None), (1.5, None), (True, None), ('text', None), ({'a': 1}, None),
                        ('secret text', 'password'), (['a', 'b'], 'commaArray')):
        assert client.result(write, value=value, type=type) == [value, True]
        assert client.result(read) == value
    assert client.result(drop) is None
    assert client.result(read) is None
    bad = client.sync(write, {'value': 1, 'id': 'not good'})
    assert bad.status_code == 599 and 'letters, digits and underscores' in bad.text
    client.result(write, value='hidden', type='password', id='dff_pw')
    row = client.get('/env-variables/do/list', id='dff_pw')[0]
    assert row['autoTypeCasting'] == 'password' and 'valueTEXT' not in row


def test_config(new_server):
    """Settings with their types; secrets as asterisks, CUSTOM_ ones on request."""
    s = new_server(env={'DFF_CUSTOM_COLOUR': 'green', 'DFF_CUSTOM_PASSWORD': 'open', 'DFF_SECRET': 'unspoken'})
    s.start()
    client = s.client()
    api_id = client.function('''
@DFF.API('config')
def config():
    return [DFF.CONFIG('_WORKER_CONCURRENCY'), DFF.CONFIG('APP_NAME'), DFF.CONFIG('NONE'), DFF.CONFIG('NONE', 5),
            DFF.CONFIG('SECRET'), DFF.CONFIG.get('SECRET', unmask=True), DFF.CONFIG('CUSTOM_COLOUR'),
            DFF.CONFIG('CUSTOM_PASSWORD'), DFF.CONFIG('CUSTOM_PASSWORD', unmask=True), DFF.CONFIG('AUTO_SETUP'),
            DFF.CONFIG('_FUNC_ARGUMENT_PLACEHOLDER_LIST'), DFF.CONFIG.query(), DFF.CONFIG.query(list_output=True),
            DFF.CONFIG.query(all_configs=True)]
''', 'config')
    got = client.result(api_id)
    everything = got.pop()
    custom = {'CUSTOM_COLOUR': 'green', 'CUSTOM_PASSWORD': '*****'}
    pairs = sorted(got.pop(), key=lambda p: p['key'])
    assert pairs == [{'key': k, 'value': v} for k, v in sorted(custom.items())]
    assert got == [5, 'DataFluxFunc', None, 5, '*****', '*****', 'green', '*****', 'open', False,
                   ['INPUT_BY_CALLER', 'FROM_PARAMETER'], custom]
    assert len(everything) > 50 and 'unspoken' not in json.dumps(everything)
