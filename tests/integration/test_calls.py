# SPDX-License-Identifier: Apache-2.0
"""Calling forms over HTTP: what the function gets is what the caller sent (spec 2.2, 2.4)."""

import json
import threading

import pytest

ECHO = '''
@DFF.API('Echo')
def echo(**kwargs):
    return {'kwargs': kwargs, 'types': {k: type(v).__name__ for k, v in kwargs.items()}}

@DFF.API('Add')
def add(x, y=10):
    return x + y

@DFF.API('Request')
def request():
    r = dict(_DFF_HTTP_REQUEST)
    r['headers'] = dict(r['headers'])
    return r
'''


@pytest.fixture(scope='module')
def apis(server):
    """Sync APIs on the functions above."""
    client = server.client()
    script = client.script(ECHO)
    return {
        'echo': client.add_sync_api(script + '.echo'),
        'place': client.add_sync_api(script + '.add', {'x': 'INPUT_BY_CALLER', 'y': 'FROM_PARAMETER'}),
        'fixed': client.add_sync_api(script + '.add', {'x': 'INPUT_BY_CALLER', 'y': 5}),
        'request': client.add_sync_api(script + '.request'),
    }


def call(client, method, path, **kwargs):
    """The unboxed answer as JSON."""
    response = client.request(method, path, **kwargs)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize('base', ['/api/v1/sync/', '/api/v1/al/'])
def test_get_forms(anonymous, apis, base):
    """GET: JSON in `kwargs`, or every field as text."""
    url = base + apis['echo']
    kwargs = {'i': 1, 'f': 1.5, 's': 'text', 'n': None, 'b': True, 'l': [1], 'd': {'k': 'v'}, 'u': '数'}
    got = call(anonymous, 'GET', url, params={'kwargs': json.dumps(kwargs)})
    assert got['kwargs'] == kwargs
    assert got['types'] == {'i': 'int', 'f': 'float', 's': 'str', 'n': 'NoneType', 'b': 'bool', 'l': 'list',
                            'd': 'dict', 'u': 'str'}
    for tail in ('/simplified', '/s', '/s/report.csv', '/simplified/a/b'):
        assert call(anonymous, 'GET', url + tail, params={'x': '1', 'y': 'a b&c', '数': '+'})['kwargs'] == {
            'x': '1', 'y': 'a b&c', '数': '+'}
    assert call(anonymous, 'GET', url, params={'x': '1'})['kwargs'] == {}
    assert call(anonymous, 'GET', url + '/other', params={'x': '1'})['kwargs'] == {}
    assert call(anonymous, 'GET', url + '/s?a[b]=1&a[c][]=2&a[c][]=3')['kwargs'] == {'a': {'b': '1', 'c': ['2', '3']}}


def test_post_forms(anonymous, apis):
    """POST: JSON, JSON text, forms, text, bytes."""
    url = '/api/v1/sync/' + apis['echo']
    big = {'n': 123456789012345678901234567890, 'f': 1.0, 'deep': {'a': [{'b': None}]}}
    for body in ({'kwargs': big}, {'kwargs': json.dumps(big)}):
        got = call(anonymous, 'POST', url, json=body)
        assert got['kwargs'] == big
        assert got['types']['n'] == 'int'
    assert call(anonymous, 'POST', url + '/normal', json={'kwargs': big})['kwargs'] == big
    assert call(anonymous, 'POST', url + '/s', json=big)['kwargs'] == big
    assert call(anonymous, 'POST', url + '/s', json=['a', {'b': 1}])['kwargs'] == {'0': 'a', '1': {'b': 1}}
    assert call(anonymous, 'POST', url, data={'kwargs': '{"x": 1}'})['kwargs'] == {'x': 1}
    assert call(anonymous, 'POST', url + '/s', data={'x': '1', 'y': 'a b'})['kwargs'] == {'x': '1', 'y': 'a b'}
    assert call(anonymous, 'POST', url + '/s', data='grüß "dich"'.encode(),
                headers={'Content-Type': 'text/plain'})['kwargs'] == {'text': 'grüß "dich"'}
    assert call(anonymous, 'POST', url + '/s', data=b'\x00\xff',
                headers={'Content-Type': 'application/octet-stream'})['kwargs'] == {'base64': 'AP8='}
    assert call(anonymous, 'POST', url, data='text', headers={'Content-Type': 'text/plain'})['kwargs'] == {}
    assert call(anonymous, 'POST', url)['kwargs'] == {}


@pytest.mark.parametrize('method, tail, how, message', [
    ('GET', '?kwargs={', {}, 'Invalid kwargs, bad JSON format'),
    ('GET', '?kwargs=[1]', {}, 'Invalid kwargs, bad JSON format'),
    ('GET', '?options={', {}, 'Invalid options, bad JSON format'),
    ('POST', '', {'json': {'kwargs': '{'}}, 'Invalid kwargs, bad JSON format'),
    ('POST', '', {'json': {'kwargs': [1, 2]}}, 'Invalid request body'),
    ('POST', '', {'data': '{"kwargs":', 'headers': {'Content-Type': 'application/json'}}, 'Invalid request body'),
    ('POST', '', {'data': '"text"', 'headers': {'Content-Type': 'application/json'}}, 'Invalid request body'),
    ('POST', '', {'data': '{"a": "\ud800"}'.encode('utf-8', 'surrogatepass'),
                  'headers': {'Content-Type': 'application/json'}}, 'Invalid request body'),
    ('POST', '', {'data': '[' * 100 + ']' * 100, 'headers': {'Content-Type': 'application/json'}},
     'Invalid request body'),
    ('POST', '/s', {'json': {'kwargs': 'no JSON'}}, 'Invalid kwargs, bad JSON format'),
])
def test_bad_input(anonymous, apis, method, tail, how, message):
    """What cannot be read is refused with its name and starts nothing."""
    envelope = anonymous.envelope(method, '/sync/' + apis['echo'] + tail, **how)
    assert (envelope['ok'], envelope['error'], envelope['reason']) == (False, 400.43, 'EClientBadRequest')
    assert envelope['message'] == message


def test_array_kwargs_are_named(anonymous, apis):
    """The validator's text for kwargs of the wrong type."""
    envelope = anonymous.envelope('POST', '/sync/' + apis['echo'], json={'kwargs': [1, 2]})
    assert envelope['detail']['message'] == 'Field `kwargs` value `[1,2]` is not valid. (type = "json")'


def test_placeholders(anonymous, apis):
    """Placeholders take the caller's value or drop out; fixed values cannot be given."""
    assert anonymous.sync(apis['place'], {'x': 1, 'y': 2}).text == '3'
    assert anonymous.sync(apis['place'], {'x': 1}).text == '11'
    assert anonymous.sync(apis['fixed'], {'x': 1}).text == '6'
    envelope = anonymous.envelope('POST', '/sync/' + apis['fixed'], json={'kwargs': {'x': 1, 'y': 6}})
    assert envelope['message'] == 'Cannot specify a fixed kwargs field'
    assert (envelope['detail']['kwargsField'], envelope['detail']['kwargsValue']) == ('y', 6)
    assert envelope['detail']['funcId'].endswith('.add')


def test_wrong_arguments(anonymous, apis):
    """Missing and unknown arguments are the function's failure."""
    for kwargs, text in (({}, "'x'"), ({'x': 1, 'z': 2}, "'z'")):
        envelope = anonymous.envelope('POST', '/sync/' + apis['place'], json={'kwargs': kwargs})
        assert (envelope['error'], envelope['reason']) == (599.1, 'EFuncFailed')
        assert envelope['detail']['exceptionType'] == 'TypeError' and text in envelope['detail']['exception']


def test_http_request_object(anonymous, apis, server):
    """_DFF_HTTP_REQUEST has what spec 2.5 names."""
    url = '/api/v1/sync/%s?a=1&a=2&b%%5Bc%%5D=d' % apis['request']
    got = call(anonymous, 'POST', url, json={'kwargs': {}, 'more': [1]},
               headers={'X-Own': 'Value', 'X-Requested-With': 'XMLHttpRequest'})
    assert got['method'] == 'POST' and got['protocol'] == 'http' and got['xhr'] is True
    assert got['originalUrl'] == url and got['url'] == url.partition('?')[0]
    assert got['host'] == '127.0.0.1:%d' % server.port and got['hostname'] == '127.0.0.1'
    assert got['headers']['x-own'] == 'Value'
    assert got['query'] == {'a': ['1', '2'], 'b': {'c': 'd'}}
    assert got['body'] == {'kwargs': {}, 'more': [1]}
    assert got['ip'] == '127.0.0.1' and isinstance(got['ips'], list)


def test_large_bodies(anonymous, apis):
    """Arguments and results beyond what fits a ring travel unharmed."""
    for size in (60_000, 70_000, 3_000_000):
        text = 'äx"' * (size // 4)
        assert call(anonymous, 'POST', '/api/v1/sync/' + apis['echo'], json={'kwargs': {'t': text}})['kwargs'] == {
            't': text}


def test_many_at_once(server, apis):
    """Every one of many concurrent callers gets its own answer."""
    wrong = []

    def run(number):
        client = server.client(username=None)
        for i in range(30):
            mine = '%d-%d' % (number, i)
            got = client.request('GET', '/api/v1/sync/%s/s' % apis['echo'], params={'mine': mine})
            if got.status_code != 200 or got.json()['kwargs'] != {'mine': mine}:
                wrong.append((mine, got.status_code, got.text[:200]))
    threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
