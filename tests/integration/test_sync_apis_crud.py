# SPDX-License-Identifier: Apache-2.0
"""Management of sync APIs and of their legacy twin, auth links (spec 1.9)."""

import pytest

from support.client import Client
from support.people import refused

CODE = "@DFF.API('f', tags=['t1', 't2'])\ndef f(a=1, b=2):\n    return [a, b]\n@DFF.API()\ndef g():\n    return 'g'\n"
ROW = {'seq', 'id', 'funcId', 'funcCallKwargsJSON', 'tagsJSON', 'apiAuthId', 'expireTime', 'throttlingJSON', 'origin', 'originId',
       'showInDoc', 'taskRecordLimit', 'isDisabled', 'note', 'createTime', 'updateTime', 'func_id', 'func_name', 'func_title',
       'func_description', 'func_definition', 'func_argsJSON', 'func_kwargsJSON', 'func_extraConfigJSON', 'func_category',
       'func_integration', 'func_tagsJSON', 'scpt_id', 'scpt_title', 'scpt_description', 'scpt_publishVersion', 'sset_id',
       'sset_title', 'sset_description', 'apia_id', 'apia_title', 'apia_type', 'lastTaskStatus'}


@pytest.fixture(params=['sync-apis', 'auth-links'])
def base(request: pytest.FixtureRequest) -> str:
    return '/' + request.param


@pytest.fixture
def script(api: Client) -> str:
    return api.script(CODE)


def add(api: Client, base: str, script: str, **fields: object) -> str:
    data = dict({'funcId': script + '.f', 'funcCallKwargsJSON': {}}, **fields)
    return api.post(base + '/do/add', {'data': data})['id']


def rows(api: Client, base: str, **query: object) -> list:
    return api.get(base + '/do/list', **query)


def test_row_url_and_call(api: Client, base: str, script: str) -> None:
    data = {'funcId': script + '.f', 'funcCallKwargsJSON': {'a': 'INPUT_BY_CALLER'}, 'tagsJSON': ['z', 'a', 'z'],
            'expireTime': '2099-01-01T00:00:00Z', 'throttlingJSON': {'byMinute': 100, 'byDay': None}, 'taskRecordLimit': 5,
            'note': 'n'}
    answer = api.post(base + '/do/add', {'data': data})
    assert answer['id'].startswith('sapi-') and len(answer['id']) == 17
    assert answer['url'] == '/api/v1/sync/' + answer['id']
    row = rows(api, base, id=answer['id'])[0]
    assert set(row) == ROW
    assert row['tagsJSON'] == ['a', 'z'] and row['origin'] == 'user' and row['originId'] == 'u-admin'
    assert row['expireTime'] == '2099-01-01T00:00:00.000Z' and row['throttlingJSON'] == {'byMinute': 100, 'byDay': None}
    assert row['isDisabled'] is False and row['showInDoc'] is False and row['lastTaskStatus'] is None
    assert row['func_name'] == 'f' and row['scpt_id'] == script and row['func_tagsJSON'] == ['t1', 't2']
    assert api.result(answer['id'], a=7) == [7, 2]


def test_both_names_are_the_same_rows(api: Client, script: str) -> None:
    new, old = add(api, '/sync-apis', script), add(api, '/auth-links', script)
    for base in ('/sync-apis', '/auth-links'):
        assert [r['id'] for r in rows(api, base, func_scriptId=script)] == [old, new]
    assert api.request('GET', '/api/v1/al/' + new).status_code == 200


def test_own_ids(api: Client, base: str, script: str) -> None:
    own = 'own-' + script.replace('__', '.')[:40] + base.replace('/', '')
    assert add(api, base, script, id=own) == own
    refused(api.post, 409, 'EClientDuplicated.id', base + '/do/add',
            {'data': {'id': own, 'funcId': script + '.f', 'funcCallKwargsJSON': {}}})
    assert add(api, base, script, id=None).startswith('sapi-')
    for bad in ('', 'a/b', 'a b', 'ä', 'x' * 65, '?'):
        refused(api.post, 400, 'EClientBadRequest', base + '/do/add',
                {'data': {'id': bad, 'funcId': script + '.f', 'funcCallKwargsJSON': {}}})


@pytest.mark.parametrize('patch,field', [
    ({'funcId': None}, 'data.funcId'), ({'funcCallKwargsJSON': [1, 2]}, 'data.funcCallKwargsJSON'),
    ({'funcCallKwargsJSON': 'x'}, 'data.funcCallKwargsJSON'), ({'expireTime': 'tomorrow'}, 'data.expireTime'),
    ({'throttlingJSON': {'bySecond': 0}}, 'data.throttlingJSON.bySecond'), ({'throttlingJSON': []}, 'data.throttlingJSON'),
    ({'taskRecordLimit': 10001}, 'data.taskRecordLimit'), ({'taskRecordLimit': -1}, 'data.taskRecordLimit'),
    ({'isDisabled': 'true'}, 'data.isDisabled'), ({'isDisabled': 1}, 'data.isDisabled'), ({'tagsJSON': [1]}, 'data.tagsJSON[0]')])
def test_bad_fields(api: Client, script: str, patch: dict, field: str) -> None:
    data = dict({'funcId': script + '.f', 'funcCallKwargsJSON': {}}, **patch)
    error = refused(api.post, 400, 'EClientBadRequest', '/sync-apis/do/add', {'data': data})
    assert error.envelope['detail']['message'].startswith('Field `%s` ' % field)


def test_the_function_must_exist(api: Client, base: str, script: str) -> None:
    data = {'funcId': script + '.none', 'funcCallKwargsJSON': {}}
    assert refused(api.post, 404, 'EClientNotFound', base + '/do/add', {'data': data}).envelope['message'] == 'No such Func'
    api_id = add(api, base, script)
    refused(api.post, 404, 'EClientNotFound', '%s/%s/do/modify' % (base, api_id), {'data': {'funcId': script + '.none'}})


def test_modify_replaces_and_counts_at_once(api: Client, base: str, script: str) -> None:
    api_id = add(api, base, script, funcCallKwargsJSON={'a': 5, 'b': 6})
    assert api.result(api_id) == [5, 6]
    answer = api.post('%s/%s/do/modify' % (base, api_id), {'data': {'funcCallKwargsJSON': {'b': 9}}})
    assert answer == {'id': api_id, 'url': '/api/v1/sync/' + api_id}
    assert api.result(api_id) == [1, 9]
    api.post('%s/%s/do/modify' % (base, api_id), {'data': {'funcId': script + '.g'}})
    api.post('%s/%s/do/modify' % (base, api_id), {'data': {'funcCallKwargsJSON': {}}})
    assert api.result(api_id) == 'g'
    api.post('%s/%s/do/modify' % (base, api_id), {'data': {'isDisabled': True}})
    assert api.sync(api_id).json()['reason'] == 'EBizCondition.SyncAPIDisabled'
    api.post('%s/%s/do/modify' % (base, api_id), {'data': {'isDisabled': False, 'expireTime': '2001-01-01T00:00:00Z'}})
    assert api.sync(api_id).json()['reason'] == 'EBizCondition.SyncAPIExpired'
    api.post('%s/%s/do/modify' % (base, api_id), {'data': {'expireTime': None}})
    assert api.result(api_id) == 'g'


def test_delete_counts_at_once(api: Client, base: str, script: str) -> None:
    api_id = add(api, base, script)
    assert api.get('%s/%s/do/delete' % (base, api_id)) == {'id': api_id}
    assert api.sync(api_id).status_code == 404
    refused(api.get, 404, 'EClientNotFound', '%s/%s/do/delete' % (base, api_id))
    refused(api.post, 404, 'EClientNotFound', '%s/%s/do/modify' % (base, api_id), {'data': {'note': 'x'}})


def test_many(api: Client, base: str, script: str) -> None:
    items = [{'funcId': script + '.f', 'funcCallKwargsJSON': {'a': n}, 'tagsJSON': ['many', 'n%d' % n]} for n in range(4)]
    ids = api.post(base + '/do/add-many', {'data': items})['ids']
    assert len(ids) == 4 and [api.result(i)[0] for i in ids] == [0, 1, 2, 3]
    query = '?func_scriptId=%s&tags=many,n2' % script
    answer = api.post(base + '/do/modify-many' + query, {'data': {'funcCallKwargsJSON': {'b': 8}, 'note': 'changed'}})
    assert answer == {'ids': [ids[2]]}
    assert api.result(ids[2]) == [2, 8] and api.result(ids[1]) == [1, 2]  # merged, and only there
    assert rows(api, base, id=ids[2])[0]['note'] == 'changed'
    answer = api.get(base + '/do/delete-many', id=','.join(ids[:2]))
    assert sorted(answer['id']) == sorted(ids[:2])
    assert [r['id'] for r in rows(api, base, func_scriptId=script)] == [ids[3], ids[2]]
    assert api.sync(ids[0]).status_code == 404


def test_many_is_all_or_nothing(api: Client, base: str, script: str) -> None:
    good = {'funcId': script + '.f', 'funcCallKwargsJSON': {}}
    refused(api.post, 404, 'EClientNotFound', base + '/do/add-many', {'data': [good, dict(good, funcId='no__such.f')]})
    assert rows(api, base, func_scriptId=script) == []
    refused(api.post, 400, 'EClientBadRequest', base + '/do/add-many', {'data': []})


def test_many_wants_a_condition(api: Client, base: str) -> None:
    for path in ('/do/modify-many', '/do/modify-many?id=', '/do/modify-many?nonsense=1', '/do/modify-many?id=_ALL'):
        refused(api.post, 403, 'EBizCondition.ModifyConditionNotSpecified', base + path, {'data': {'note': 'x'}})
    for path in ('/do/delete-many', '/do/delete-many?id=', '/do/delete-many?x=1'):
        refused(api.get, 403, 'EBizCondition.DeleteConditionNotSpecified', base + path)
    assert api.get(base + '/do/delete-many', id='none') == {'id': []}


def test_filters(api: Client, base: str, script: str) -> None:
    one = add(api, base, script, tagsJSON=['red', 'big'], note='needle 50%')
    two = add(api, base, script, tagsJSON=['red'])

    def ids(**query: object) -> list:
        return [r['id'] for r in rows(api, base, func_scriptId=script, **query)]
    assert ids() == [two, one] and ids(sort='seq') == [one, two]
    assert ids(tags='red') == [two, one] and ids(tags='red,big') == [one] and ids(tags='re') == []
    assert ids(funcId=script + '.f') == [two, one] and ids(funcId=script + '.g') == []
    assert ids(origin='user') == [two, one] and ids(originId='nobody') == []
    assert ids(func_tags='t1,t2') == [two, one] and ids(func_tags='t3') == []
    assert ids(_fuzzySearch='needle 50%') == [one] and ids(_fuzzySearch='needle_50') == []
    assert ids(func_scriptSetId=script.split('__')[0]) == [two, one]
