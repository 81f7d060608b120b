# SPDX-License-Identifier: Apache-2.0
"""Bodies of every management route against wrong types: always 4xx with the known envelope, never 500."""

import json

import pytest

from support.client import Client

WRONG = [None, True, 0, -1, 1.5, 10 ** 18, '', 'x' * 100000, 'a\\u0000b', '中' * 300, [], [1], [[]], {}, {'a': {'b': []}}, {'': ''}]
BODIES = {
    '/script-sets/do/add': {'data': {'id': 'v', 'title': 't', 'description': 'd', 'requirements': 'r', 'isPinned': True}},
    '/script-sets/demo/do/modify': {'data': {'title': '示例', 'description': 'd', 'isLocked': False, 'isPinned': False}},
    '/script-sets/demo/do/clone': {'newId': 'demo'},
    '/scripts/do/add': {'data': {'id': 'demo__basic', 'title': 't', 'type': 'python', 'codeDraft': 'x', 'codeDraftBase64': 'eA=='}},
    '/scripts/demo__none/do/modify': {'prevCodeDraftMD5': 'x', 'data': {'title': 't', 'codeDraft': 'x', 'isLocked': False}},
    '/scripts/demo__none/do/publish': {'data': {'note': 'n'}},
    '/users/do/add': {'data': {'username': 'admin', 'password': 'p', 'name': 'n', 'email': 'e', 'mobile': 'm', 'roles': ['user'],
                               'customPrivileges': 'general_r', 'isDisabled': False}},
    '/users/u-none/do/modify': {'data': {'username': 'v', 'password': 'p', 'name': 'n', 'roles': ['user'], 'isDisabled': False}},
    '/env-variables/do/add': {'data': {'id': 'v', 'title': 't', 'autoTypeCasting': 'string', 'valueTEXT': 'x', 'isPinned': True}},
    '/env-variables/none/do/modify': {'data': {'title': 't', 'autoTypeCasting': 'string', 'valueTEXT': 'x', 'isPinned': True}},
    '/sync-apis/do/add': {'data': {'id': 'sync-demo-plus', 'funcId': 'demo__basic.plus', 'funcCallKwargsJSON': {}, 'tagsJSON': ['a'],
                                   'apiAuthId': None, 'expireTime': '2030-01-01T00:00:00Z', 'throttlingJSON': {'bySecond': 1},
                                   'showInDoc': True, 'taskRecordLimit': 1, 'isDisabled': False, 'note': 'n'}},
    '/sync-apis/none/do/modify': {'data': {'funcId': 'demo__basic.plus', 'tagsJSON': ['a'], 'expireTime': None, 'note': 'n'}},
    '/auth-links/do/add-many': {'data': [{'id': 'sync-demo-plus', 'funcId': 'demo__basic.plus', 'funcCallKwargsJSON': {}}]},
    '/auth-links/do/modify-many?id=none': {'data': {'note': 'n', 'tagsJSON': ['a'], 'taskRecordLimit': 1}},
    '/auth/profile/do/modify': {'data': {'name': 'Administrator', 'email': 'e', 'mobile': None}},
    '/auth/do/change-password': {'captchaToken': 't', 'captcha': '0000', 'changePassword': {'oldPassword': 'x', 'newPassword': 'y'}},
}


def places(value: object, path: tuple = ()) -> list:
    """Paths of all members and items."""
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        found.append(path + (key,))
        found += places(member, path + (key,))
    return found


def changed(body: object, path: tuple, value: object) -> object:
    copy = json.loads(json.dumps(body))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy


@pytest.mark.parametrize('path', sorted(BODIES))
def test_wrong_types_are_refused_politely(api: Client, path: str) -> None:
    if 'change-password' in path:
        wrong = [w for w in WRONG if not isinstance(w, str)]  # strings are guesses and get slowed down
    else:
        wrong = WRONG
    body = BODIES[path]
    for where in places(body):
        for value in wrong:
            response = api.request('POST', '/api/v1' + path, json=changed(body, where, value))
            assert response.status_code < 500, (where, str(value)[:50], response.text[:500])
            envelope = response.json()
            assert envelope['ok'] is (response.status_code == 200)
            if not envelope['ok']:
                assert envelope['reason'] and envelope['message'] and int(envelope['error']) == response.status_code
    for rest in ([], 'text', 5, None, {'data': None}, {'data': []}, {'data': 'x'}, {}):
        response = api.request('POST', '/api/v1' + path, json=rest) if rest != {} else api.request('POST', '/api/v1' + path)
        assert response.status_code < 500, (rest, response.text[:500])


def test_required_fields_are_named(api: Client) -> None:
    for path, body in BODIES.items():
        data = body.get('data')
        first = data[0] if isinstance(data, list) else data
        if not path.endswith('/add') or first is None:
            continue
        for field in {'/script-sets/do/add': ['id'], '/scripts/do/add': ['id'], '/users/do/add': ['username', 'password', 'name', 'roles'],
                      '/env-variables/do/add': ['id', 'autoTypeCasting'],
                      '/sync-apis/do/add': ['funcId', 'funcCallKwargsJSON']}[path]:
            less = {k: v for k, v in first.items() if k != field}
            envelope = api.envelope('POST', path, json={'data': less})
            assert envelope['detail'] == {'message': 'Field `data.%s` is missing.' % field}


def test_ids_in_paths_are_data(api: Client) -> None:
    for odd in ('%00', "'%20OR%201=1", '..%2f..', '%e4%b8%ad', 'x' * 3000, '%22', '%5c', '%ff'):
        for path in ('/scripts/%s/do/get', '/users/%s/do/get', '/func/%s', '/sync-apis/%s/do/delete', '/script-sets/%s/do/delete'):
            response = api.request('GET', '/api/v1' + path % odd)
            assert response.status_code in (400, 404, 414, 431), (path % odd, response.status_code, response.text[:300])
