# SPDX-License-Identifier: Apache-2.0
"""Direct calls by function id (spec 2.1, 2.12)."""

import pytest

SCRIPT = '''
@DFF.API('Add')
def add(x, y=1):
    return x + y

@DFF.API('Who')
def who():
    return [_DFF_ORIGIN, _DFF_ORIGIN_ID, _DFF_QUEUE]

def hidden():
    return 1
'''


@pytest.fixture(scope='module')
def script(server):
    """The script above, published."""
    return server.client().script(SCRIPT)


def call(client, func, body, **more):
    """POST /func/<id>."""
    return client.request('POST', '/api/v1/func/' + func, json=body, **more)


def test_result_is_boxed(api, script):
    """unbox is false by default; both spellings turn it on."""
    response = call(api, script + '.add', {'kwargs': {'x': 1, 'y': 2}})
    assert response.status_code == 200 and response.json()['data'] == {'result': 3}
    assert call(api, script + '.add', {'kwargs': {'x': 1}, 'options': {'unbox': True}}).text == '2'
    assert call(api, script + '.add', {'kwargs': {'x': 1}, 'options': {'unfold': True}}).text == '2'
    assert call(api, script + '.who', {}).json()['data']['result'] == ['direct', 'direct', 1]
    assert call(api, script + '.who', {'options': {'queue': 3}}).json()['data']['result'][2] == 3


def test_return_types(api, script):
    """The return types of today and of 1.x."""
    big = {'kwargs': {'x': [1, None], 'y': ['a']}}
    assert call(api, script + '.add', dict(big, options={'returnType': 'raw'})).json()['data']['result'] == [1, None, 'a']
    assert call(api, script + '.add', dict(big, options={'returnType': 'jsonDumps'})).json()['data'][
        'result'] == '[1,null,"a"]'
    assert call(api, script + '.add', dict(big, options={'returnType': 'repr'})).json()['data'][
        'result'] == "[1, None, 'a']"
    assert call(api, script + '.add', dict(big, options={'returnType': 'ALL'})).json()['data']['result'] == {
        'raw': [1, None, 'a'], 'repr': "[1, None, 'a']", 'jsonDumps': '[1,null,"a"]'}


def test_needs_sign_in(anonymous, script):
    """Nobody calls a function by its id without signing in."""
    response = call(anonymous, script + '.add', {'kwargs': {'x': 1}})
    assert response.status_code == 401 and response.json()['ok'] is False


def test_unknown_and_undecorated(api, script):
    """Only published functions have an id."""
    for func in ('none__none.f', script + '.hidden', script):
        envelope = call(api, func, {}).json()
        assert (envelope['error'], envelope['message'], envelope['detail']) == (
            404.41, 'No such Func', {'funcId': func})


def test_failure(api, script):
    """The exception reaches the caller."""
    envelope = call(api, script + '.add', {'kwargs': {'x': 1, 'y': 'a'}}).json()
    assert envelope['reason'] == 'EFuncFailed' and envelope['detail']['exceptionType'] == 'TypeError'
