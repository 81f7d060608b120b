# SPDX-License-Identifier: Apache-2.0
"""Management of async APIs and of their legacy twin, batches (spec 1.9). What they share with sync APIs is one
engine, tested by test_sync_apis_crud.py; here is what differs and that each name reaches it."""

import pytest

from support.client import Client
from support.people import refused

CODE = "@DFF.API('f', tags=['t1', 't2'])\ndef f(a=1, b=2):\n    return [a, b]\n@DFF.API()\ndef g():\n    return 'g'\n"
ROW = {'seq', 'id', 'funcId', 'funcCallKwargsJSON', 'tagsJSON', 'apiAuthId', 'origin', 'originId', 'showInDoc',
       'taskRecordLimit', 'isDisabled', 'note', 'createTime', 'updateTime', 'func_id', 'func_name', 'func_title',
       'func_description', 'func_definition', 'func_argsJSON', 'func_kwargsJSON', 'func_extraConfigJSON', 'func_category',
       'func_integration', 'func_tagsJSON', 'scpt_id', 'scpt_title', 'scpt_description', 'scpt_publishVersion', 'sset_id',
       'sset_title', 'sset_description', 'apia_id', 'apia_title', 'apia_type', 'lastTaskStatus'}


@pytest.fixture(params=['async-apis', 'batches'])
def base(request: pytest.FixtureRequest) -> str:
    return '/' + request.param


@pytest.fixture
def script(api: Client) -> str:
    return api.script(CODE)


def add(api: Client, base: str, script: str, **fields: object) -> str:
    data = dict({'funcId': script + '.f', 'funcCallKwargsJSON': {}}, **fields)
    return api.post(base + '/do/add', {'data': data})['id']


def test_row_and_url(api: Client, base: str, script: str) -> None:
    data = {'funcId': script + '.f', 'funcCallKwargsJSON': {'a': 'INPUT_BY_CALLER'}, 'tagsJSON': ['z', 'a', 'z'],
            'taskRecordLimit': 5, 'note': 'n', 'showInDoc': True}
    answer = api.post(base + '/do/add', {'data': data})
    assert answer['id'].startswith('aapi-') and len(answer['id']) == 17
    assert answer['url'] == '/api/v1/async/' + answer['id']
    row = api.get(base + '/do/list', id=answer['id'])[0]
    assert set(row) == ROW
    assert row['tagsJSON'] == ['a', 'z'] and row['origin'] == 'user' and row['originId'] == 'u-admin'
    assert row['isDisabled'] is False and row['showInDoc'] is True and row['lastTaskStatus'] is None
    assert row['func_name'] == 'f' and row['scpt_id'] == script and row['func_tagsJSON'] == ['t1', 't2']
    doc = [d for d in api.get('/func-api-list', apiType='asyncAPI') if d['id'] == answer['id']][0]
    assert doc['url'] == answer['url'] and doc['apiType'] == 'asyncAPI'


def test_both_names_are_the_same_rows(api: Client, script: str) -> None:
    new, old = add(api, '/async-apis', script), add(api, '/batches', script)
    for base in ('/async-apis', '/batches'):
        assert [r['id'] for r in api.get(base + '/do/list', func_scriptId=script)] == [old, new]
    assert api.get('/sync-apis/do/list', func_scriptId=script) == []


def test_own_ids_are_apart_from_those_of_sync_apis(api: Client, base: str, script: str) -> None:
    own = 'own-' + script.replace('__', '.')[:40] + base.replace('/', '')
    assert add(api, '/sync-apis', script, id=own) == add(api, base, script, id=own) == own
    refused(api.post, 409, 'EClientDuplicated.id', base + '/do/add',
            {'data': {'id': own, 'funcId': script + '.f', 'funcCallKwargsJSON': {}}})


@pytest.mark.parametrize('patch,field', [
    ({'funcId': None}, 'data.funcId'), ({'funcCallKwargsJSON': [1]}, 'data.funcCallKwargsJSON'),
    ({'taskRecordLimit': 10001}, 'data.taskRecordLimit'), ({'isDisabled': 1}, 'data.isDisabled'),
    ({'tagsJSON': [1]}, 'data.tagsJSON[0]')])
def test_bad_fields(api: Client, base: str, script: str, patch: dict, field: str) -> None:
    data = dict({'funcId': script + '.f', 'funcCallKwargsJSON': {}}, **patch)
    error = refused(api.post, 400, 'EClientBadRequest', base + '/do/add', {'data': data})
    assert error.envelope['detail']['message'].startswith('Field `%s` ' % field)


def test_fields_of_sync_apis_are_ignored(api: Client, base: str, script: str) -> None:
    api_id = add(api, base, script, expireTime='2001-01-01T00:00:00Z', throttlingJSON={'byDay': 1})
    assert set(api.get(base + '/do/list', id=api_id)[0]) == ROW


def test_modify_delete_and_many(api: Client, base: str, script: str) -> None:
    refused(api.post, 404, 'EClientNotFound', base + '/do/add', {'data': {'funcId': 'no__such.f', 'funcCallKwargsJSON': {}}})
    items = [{'funcId': script + '.f', 'funcCallKwargsJSON': {'a': n}, 'tagsJSON': ['n%d' % n]} for n in range(3)]
    ids = api.post(base + '/do/add-many', {'data': items})['ids']
    assert api.post('%s/%s/do/modify' % (base, ids[0]), {'data': {'funcCallKwargsJSON': {'b': 1}}}) == {
        'id': ids[0], 'url': '/api/v1/async/' + ids[0]}
    query = '?func_scriptId=%s&tags=n2' % script
    assert api.post(base + '/do/modify-many' + query, {'data': {'funcCallKwargsJSON': {'b': 8}}}) == {'ids': [ids[2]]}
    rows = {r['id']: r['funcCallKwargsJSON'] for r in api.get(base + '/do/list', func_scriptId=script)}
    assert rows == {ids[0]: {'b': 1}, ids[1]: {'a': 1}, ids[2]: {'a': 2, 'b': 8}}  # replaced, kept, merged
    assert api.get('%s/%s/do/delete' % (base, ids[0])) == {'id': ids[0]}
    refused(api.get, 404, 'EClientNotFound', '%s/%s/do/delete' % (base, ids[0]))
    assert sorted(api.get(base + '/do/delete-many', func_scriptId=script)['id']) == sorted(ids[1:])
    refused(api.get, 403, 'EBizCondition.DeleteConditionNotSpecified', base + '/do/delete-many')
