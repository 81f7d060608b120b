# SPDX-License-Identifier: Apache-2.0
"""Calls that are accepted, not waited for (spec 2.1 to 2.4, 2.9): forms, options, refusals in their order, API auth,
several at once, Idempotency-Key."""

import concurrent.futures
import re
import time

import pytest
import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from support.client import Client
from support.server import Server

SCRIPT = '''
import time

@DFF.API('Echo')
def echo(**kwargs):
    return {'kwargs': kwargs, 'query': _DFF_HTTP_REQUEST['query'], 'body': _DFF_HTTP_REQUEST['body'],
            'headers': dict(_DFF_HTTP_REQUEST['headers']), 'url': _DFF_HTTP_REQUEST['originalUrl'],
            'origin': [_DFF_ORIGIN, _DFF_ORIGIN_ID], 'queue': _DFF_QUEUE, 'delay': _DFF_DELAY, 'eta': _DFF_ETA}

@DFF.API('Own', queue=7, timeout=99, expires=55)
def own():
    return _DFF_QUEUE

@DFF.API('Decide')
def decide(req):
    return req['headers'].get('x-how') == 'yes'
'''
TASK_ID = re.compile('task-[0-9A-Za-z]{24}')


@pytest.fixture(scope='module')
def script(server: Server) -> str:
    return server.client().script(SCRIPT)


@pytest.fixture(scope='module')
def aapi(server: Server, script: str) -> str:
    """An async API of echo that takes everything from the caller."""
    return server.client().add_async_api(script + '.echo')


def outcome(api: Client, response: requests.Response) -> dict:
    """What the function of an accepted call returned."""
    assert response.status_code == 200, response.text
    task = api.ended(response.json()['data']['id'])
    assert task['state'] == 'succeeded', task
    return task['result']


def test_the_answer_is_an_id(api: Client, aapi: str) -> None:
    answer = api.call_async(aapi, {'x': 1})
    assert answer.status_code == 200 and set(answer.json()['data']) == {'id'}
    assert TASK_ID.fullmatch(answer.json()['data']['id'])
    assert 'Idempotency-Replayed' not in answer.headers and 'taskId' not in answer.json()
    task = api.ended(answer.json()['data']['id'])
    assert (task['state'], task['origin'], task['originId'], task['queue']) == ('succeeded', 'asyncAPI', aapi, 3)
    assert task['args'] == {'x': 1} and task['result']['kwargs'] == {'x': 1}
    assert task['result']['origin'] == ['asyncAPI', aapi] and task['attempt'] == 1


@pytest.mark.parametrize('base', ['async', 'bat'])
def test_forms(api: Client, aapi: str, base: str) -> None:
    url = '/api/v1/%s/%s' % (base, aapi)
    forms = [
        ('GET', url, {'params': {'kwargs': '{"x":1}'}}, {'x': 1}),
        ('GET', url + '/normal/a/b.txt', {'params': {'kwargs': '{"x":1}'}}, {'x': 1}),
        ('GET', url + '/simplified', {'params': {'x': '1'}}, {'x': '1'}),
        ('GET', url + '/s/name.json', {'params': {'x': '1'}}, {'x': '1'}),
        ('GET', url + '/other', {'params': {'x': '1', 'kwargs': '{}'}}, {}),
        ('POST', url, {'json': {'kwargs': {'x': 2 ** 70}}}, {'x': 2 ** 70}),
        ('POST', url + '/normal', {'json': {'kwargs': '{"x":1}'}}, {'x': 1}),
        ('POST', url + '/simplified', {'json': {'x': 1}}, {'x': 1}),
        ('POST', url + '/s', {'data': {'x': '1', 'y[a]': '2'}}, {'x': '1', 'y': {'a': '2'}}),
        ('POST', url + '/s', {'data': 'hello', 'headers': {'Content-Type': 'text/plain'}}, {'text': 'hello'}),
        ('POST', url + '/s', {'data': b'\x00\x01', 'headers': {'Content-Type': 'image/png'}}, {'base64': 'AAE='}),
    ]
    for method, path, how, want in forms:
        assert outcome(api, api.request(method, path, **how))['kwargs'] == want, (method, path)


def test_files(api: Client, aapi: str) -> None:
    result = outcome(api, api.request('POST', '/api/v1/async/%s/simplified' % aapi, data={'a': 'b'},
                                      files={'f': ('n.txt', b'content')}))
    assert result['kwargs']['a'] == 'b' and result['kwargs']['files'][0]['originalname'] == 'n.txt'
    with open(result['kwargs']['files'][0]['filePath'], 'rb') as f:
        assert f.read() == b'content'


def test_options(api: Client, aapi: str, script: str) -> None:
    task = api.ended(api.task_id(aapi, {}, {'queue': 7, 'timeout': 12, 'expires': 34}))
    assert task['queue'] == 7 and task['result']['queue'] == 7
    assert api.ended(api.task_id(api.add_async_api(script + '.own')))['queue'] == 7  # what DFF.API says
    assert api.ended(api.task_id(api.add_async_api(script + '.own'), {}, {'queue': 8}))['queue'] == 8  # the caller wins
    start = time.time()
    task = api.ended(api.task_id(aapi, {}, {'delay': 1}))
    assert task['startTimeMs'] - task['triggerTimeMs'] >= 1000 and task['result']['delay'] == 1
    eta = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(start + 3)) + '.000Z'
    task = api.ended(api.task_id(aapi, {}, {'eta': eta}))
    assert task['startTimeMs'] >= (int(start) + 3) * 1000 and task['result']['eta'].startswith(eta[:19])
    past = api.ended(api.task_id(aapi, {}, {'eta': '2001-01-01T00:00:00Z'}))
    assert past['state'] == 'succeeded'


@pytest.mark.parametrize('options,message', [
    ({'queue': 0}, 'Invalid options, queue should be an integer between 1 and 9'), ({'queue': 10}, 'Invalid options, queue'),
    ({'timeout': 0}, 'Invalid options, timeout is too small'), ({'timeout': 3601}, 'Invalid options, timeout is too large'),
    ({'expires': 0}, 'Invalid options, expires is too small'), ({'expires': 86401}, 'Invalid options, expires is too large'),
    ({'delay': 0}, 'Invalid options, delay is too small'), ({'eta': 'soon'}, 'Invalid request body'),
    ({'returnType': 'x'}, 'Invalid options, invalid returnType')])
def test_bad_options(api: Client, aapi: str, options: dict, message: str) -> None:
    answer = api.call_async(aapi, {}, options)
    assert answer.status_code == 400 and answer.json()['message'].startswith(message)


def test_unknown_options_are_ignored(api: Client, aapi: str) -> None:
    task = api.ended(api.task_id(aapi, {}, {'funcId': 'no__such.f', 'origin': 'me', 'originId': 'me', 'apiTimeout': 5}))
    assert task['state'] == 'succeeded' and task['originId'] == aapi


def test_save_result_names_the_way_to_it(api: Client, aapi: str) -> None:
    answer = api.call_async(aapi, {'x': 1}, {'saveResult': True}).json()
    assert answer['taskId'] == answer['data']['id']
    assert answer['resultURL'] == '/api/v1/func-result?taskId=' + answer['taskId']
    api.ended(answer['taskId'])
    assert api.request('GET', answer['resultURL'] + '&unfold=true').json()['kwargs'] == {'x': 1}


def test_refusals_come_in_order(api: Client, script: str) -> None:
    """Row, auth, disabled, kwargs, function (spec 2.3); nothing that is refused leaves a task."""
    auth = api.post('/api-auth/do/add', {'data': {'type': 'httpBasic', 'configJSON': {
        'users': [{'username': 'u', 'password': 'p'}]}}})['id']
    aapi = api.add_async_api(script + '.echo', {'fixed': 1}, apiAuthId=auth, isDisabled=True)

    def call(kwargs: object, **more: object) -> dict:
        return api.request('POST', '/api/v1/async/' + aapi, json={'kwargs': kwargs}, **more).json()
    good = {'auth': HTTPBasicAuth('u', 'p')}
    missing = api.request('POST', '/api/v1/async/no-such', json={}).json()
    assert (missing['reason'], missing['message'], missing['detail']) == (
        'EClientNotFound', 'No such Async API', {'id': 'no-such'})
    assert call({'fixed': 2})['reason'] == 'EAPIAuth'
    assert call({'fixed': 2}, **good)['reason'] == 'EBizCondition.AsyncAPIDisabled'
    api.post('/async-apis/%s/do/modify' % aapi, {'data': {'isDisabled': False}})
    assert call('{', **good)['message'] == 'Invalid kwargs, bad JSON format'
    refused = call({'fixed': 2}, **good)
    assert refused['message'] == 'Cannot specify a fixed kwargs field'
    assert refused['detail'] == {'kwargsField': 'fixed', 'kwargsValue': 2, 'funcId': script + '.echo'}
    assert call({}, **good)['ok'] is True
    assert len(api.get('/tasks/do/list', originId=aapi)) == 1
    api.edit(script, SCRIPT.replace('def echo', 'def echo2'))
    api.publish(script)
    gone = call({}, **good)
    assert (gone['reason'], gone['message'], gone['detail']) == ('EClientNotFound', 'No such Func', {'funcId': script + '.echo'})
    api.edit(script, SCRIPT)
    api.publish(script)


def test_sync_and_async_ids_are_apart(api: Client, aapi: str) -> None:
    assert api.sync(aapi).json()['message'] == 'No such Sync API'


# ---- API auth ---------------------------------------------------------------------------------------------------

def protected(api: Client, script: str, kind: str, config: dict) -> str:
    auth = api.post('/api-auth/do/add', {'data': {'type': kind, 'configJSON': config}})['id']
    return api.add_async_api(script + '.echo', apiAuthId=auth)


USERS = {'users': [{'username': 'u', 'password': 'p-12345'}]}
FIELD = {'fields': [{'location': 'query', 'name': 'pin', 'value': 's3cret'}, {'location': 'header', 'name': 'X-Pin', 'value': 's3cret'}]}


@pytest.mark.parametrize('kind,config,good,bad', [
    ('fixedField', FIELD, {'params': {'pin': 's3cret'}}, {'params': {'pin': 'x'}}),
    ('fixedField', FIELD, {'headers': {'X-Pin': 's3cret'}}, {'headers': {'X-Pin': 'x'}}),
    ('httpBasic', USERS, {'auth': HTTPBasicAuth('u', 'p-12345')}, {'auth': HTTPBasicAuth('u', 'x')}),
    ('httpDigest', USERS, {'auth': HTTPDigestAuth('u', 'p-12345')}, {'auth': HTTPDigestAuth('u', 'x')}),
    ('func', None, {'headers': {'X-How': 'yes'}}, {'headers': {'X-How': 'no'}})])
def test_api_auth(server: Server, api: Client, script: str, kind: str, config: dict, good: dict, bad: dict) -> None:
    """The four kinds guard the call, several calls at once, and the results; what opened them is not stored."""
    aapi = protected(api, script, kind, config or {'funcId': script + '.decide'})
    url = '%s/api/v1/async/%s' % (server.base, aapi)
    plain = requests.Session()
    plain.trust_env = False
    assert plain.post(url, json={}, **bad).json()['reason'] == 'EAPIAuth'
    answer = plain.post(url, json={'kwargs': {'x': 1}}, **good)
    assert answer.status_code == 200, answer.text
    task = url + '/tasks/' + answer.json()['data']['id']
    assert plain.get(task, **bad).json()['reason'] == 'EAPIAuth'
    assert plain.get(task + '/result', **bad).json()['reason'] == 'EAPIAuth'
    assert plain.post(url + '/do/call-many', json={'calls': [{}]}, **bad).json()['reason'] == 'EAPIAuth'
    assert len(plain.post(url + '/do/call-many', json={'calls': [{}, {}]}, **good).json()['data']['ids']) == 2
    params = dict(good.get('params', {}), wait='30')
    seen = plain.get(task, **dict(good, params=params)).json()['data']
    assert seen['state'] == 'succeeded' and seen['result']['kwargs'] == {'x': 1}
    stored = str(api.get('/tasks/%s/do/get' % seen['id']))
    assert 's3cret' not in stored and 'p-12345' not in stored and 'dTpwLTEyMzQ1' not in stored
    if kind != 'func':
        challenge = plain.post(url, json={}).headers.get('WWW-Authenticate', '')
        assert kind == 'fixedField' or 'realm="AsyncAPI:%s"' % aapi in challenge


def test_credentials_do_not_reach_what_is_stored(server: Server, api: Client, aapi: str) -> None:
    token = api.session.headers['X-Dff-Auth-Token']
    response = requests.post('%s/api/v1/async/%s?xDFFAuthToken=%s&q=1' % (server.base, aapi, token), json={'kwargs': {}}, headers={
        'Authorization': 'Bearer abcdef', 'Cookie': 'xDFFAuthToken=%s' % token, 'X-Api-Key': 'kkk', 'X-Plain': 'seen'})
    result = outcome(api, response)
    assert result['query'] == {'q': '1'} and result['headers']['x-plain'] == 'seen'
    assert [result['headers'][h] for h in ('authorization', 'cookie', 'x-api-key')] == ['*****'] * 3
    assert token not in str(result)


def test_bad_credentials_are_refused_here_too(anonymous: Client, aapi: str) -> None:
    answer = anonymous.call_async(aapi, headers={'X-Dff-Auth-Token': 'nonsense'})
    assert answer.status_code == 401


# ---- direct calls and several at once ----------------------------------------------------------------------------

@pytest.mark.parametrize('options', [{'async': True}, {'execMode': 'async'}])
def test_direct(api: Client, script: str, options: dict) -> None:
    answer = api.request('POST', '/api/v1/func/%s.echo' % script, json={'kwargs': {'x': 1}, 'options': options})
    assert answer.status_code == 200, answer.text
    task = api.ended(answer.json()['data']['id'])
    assert (task['origin'], task['originId'], task['queue'], task['result']['kwargs']) == ('direct', 'direct', 1, {'x': 1})


def test_func_many(api: Client, script: str) -> None:
    ids = api.post('/func-many', {'calls': [{'funcId': script + '.echo', 'kwargs': {'x': i}} for i in range(20)] + [
        {'funcId': script + '.own', 'options': {'delay': 1}}]})['ids']
    assert len(ids) == len(set(ids)) == 21
    tasks = [api.ended(i) for i in ids]
    assert [t['result']['kwargs']['x'] for t in tasks[:20]] == list(range(20))
    assert tasks[20]['result'] == 7 and tasks[20]['startTimeMs'] - tasks[20]['triggerTimeMs'] >= 1000


@pytest.mark.parametrize('body,status,message', [
    ({}, 400, 'Field `calls` is missing.'), ({'calls': []}, 400, 'Field `calls` value `[]` is not valid. (minLength = 1)'),
    ({'calls': {}}, 400, 'Field `calls` value `{}` is not valid. (type = "array")'),
    ({'calls': [1]}, 400, 'Field `calls[0]` value `1` is not valid. (type = "object")'),
    ({'calls': ['OK', {'kwargs': [1]}]}, 400, 'Field `calls[1].kwargs` value `[1]` is not valid. (type = "json")')])
def test_bad_many(api: Client, script: str, aapi: str, body: dict, status: int, message: str) -> None:
    good = {'funcId': script + '.echo', 'kwargs': {'mark': message}}
    body = {k: [good if x == 'OK' else x for x in v] if isinstance(v, list) else v for k, v in body.items()}
    for path in ('/api/v1/func-many', '/api/v1/async/%s/do/call-many' % aapi):
        answer = api.request('POST', path, json=body)
        assert (answer.status_code, answer.json()['detail']['message']) == (status, message)


def test_many_is_all_or_nothing(api: Client, script: str) -> None:
    aapi = api.add_async_api(script + '.echo', {'fixed': 1})
    calls = [{'kwargs': {'a': 1}}, {'kwargs': '{"b":2}'}, {'kwargs': {'fixed': 3}}]
    answer = api.request('POST', '/api/v1/async/%s/do/call-many' % aapi, json={'calls': calls}).json()
    assert answer['message'] == 'Cannot specify a fixed kwargs field'
    assert api.get('/tasks/do/list', originId=aapi) == []
    ids = api.request('POST', '/api/v1/bat/%s/do/call-many' % aapi, json={'calls': calls[:2]}).json()['data']['ids']
    assert [api.ended(i)['args'] for i in ids] == [{'a': 1, 'fixed': 1}, {'b': 2, 'fixed': 1}]
    answer = api.request('POST', '/api/v1/func-many', json={'calls': [{'funcId': 'no__such.f'}]}).json()
    assert (answer['message'], answer['detail']) == ('No such Func', {'funcId': 'no__such.f'})


def test_many_is_bounded(api: Client, aapi: str) -> None:
    answer = api.request('POST', '/api/v1/async/%s/do/call-many' % aapi, json={'calls': [{}] * 10001})
    assert answer.status_code == 400 and answer.json()['message'] == 'More than 10000 calls in one request'


# ---- Idempotency-Key ----------------------------------------------------------------------------------------------

def test_the_same_again(api: Client, aapi: str) -> None:
    def call(kwargs: dict, key: str) -> requests.Response:
        return api.call_async(aapi, kwargs, headers={'Idempotency-Key': key})
    first, again, other = call({'a': 1}, 'k-1'), call({'a': 1}, 'k-1'), call({'a': 1}, 'k-2')
    assert first.json()['data'] == again.json()['data'] != other.json()['data']
    assert 'Idempotency-Replayed' not in first.headers and again.headers['Idempotency-Replayed'] == 'true'
    refused = call({'a': 2}, 'k-1')
    assert (refused.status_code, refused.json()['reason']) == (422, 'EClientUnprocessable.IdempotencyKeyReused')
    for bad in ('', 'x' * 256, 'a b'):
        assert call({}, bad).status_code == 400


@pytest.mark.parametrize('base', ['async', 'bat'])
@pytest.mark.parametrize('method, form', [('POST', ''), ('POST', '/simplified'), ('GET', '/simplified'), ('GET', '')])
def test_every_form_takes_a_key(api: Client, aapi: str, base: str, method: str, form: str) -> None:
    """Whichever way the call comes, the same again is the same task."""
    def call(value: str) -> requests.Response:
        simple = {'a': value} if form else {'kwargs': '{"a": "%s"}' % value}
        body = {'params': simple} if method == 'GET' else {'json': {'a': value} if form else {'kwargs': {'a': value}}}
        return api.request(method, '/api/v1/%s/%s%s' % (base, aapi, form), headers={'Idempotency-Key': 'form-%s-%s%s' % (base, method, form)}, **body)
    first, again = call('1'), call('1')
    assert first.status_code == 200 and first.json()['data'] == again.json()['data'] and again.headers['Idempotency-Replayed'] == 'true'
    assert 'Idempotency-Replayed' not in first.headers and call('2').status_code == 422


def test_a_hundred_at_once_make_one(api: Client, server: Server, aapi: str) -> None:
    def call(n: int) -> requests.Response:
        return requests.post('%s/api/v1/async/%s' % (server.base, aapi), json={'kwargs': {'once': 1}},
                             headers={'Idempotency-Key': 'hundred'})
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(call, range(100)))
    assert len({a.json()['data']['id'] for a in answers}) == 1
    assert sum('Idempotency-Replayed' not in a.headers for a in answers) == 1


def test_many_with_a_key(api: Client, aapi: str, script: str) -> None:
    def call(path: str, calls: list) -> requests.Response:
        return api.request('POST', path, json={'calls': calls}, headers={'Idempotency-Key': 'many-1'})
    path = '/api/v1/async/%s/do/call-many' % aapi
    first, again = call(path, [{}, {}, {}]), call(path, [{}, {}, {}])
    assert first.json()['data'] == again.json()['data'] and again.headers['Idempotency-Replayed'] == 'true'
    assert call(path, [{}, {}]).status_code == call(path, [{}] * 4).status_code == 422
    calls = [{'funcId': script + '.echo'}] * 2
    first, again = call('/api/v1/func-many', calls), call('/api/v1/func-many', calls)
    assert first.json()['data'] == again.json()['data'] and again.headers['Idempotency-Replayed'] == 'true'


def test_keys_belong_to_the_api_or_the_user(server: Server, api: Client, aapi: str, script: str) -> None:
    from support.people import person
    mine = {'Idempotency-Key': 'shared'}
    other = api.add_async_api(script + '.echo')
    assert api.call_async(aapi, headers=mine).json()['data'] != api.call_async(other, headers=mine).json()['data']
    friend = person(server, api, 'user')
    body = {'kwargs': {}, 'options': {'async': True}}
    ids = {c.request('POST', '/api/v1/func/%s.echo' % script, json=body, headers=mine).json()['data']['id'] for c in (api, friend)}
    assert len(ids) == 2


def test_a_dry_run_stores_nothing(api: Client, script: str) -> None:
    aapi = api.add_async_api(script + '.echo')
    answer = api.call_async(aapi, headers={'X-Dff-Dry-Run': 'true'})
    assert TASK_ID.fullmatch(answer.json()['data']['id'])
    assert api.get('/tasks/do/list', originId=aapi) == []
