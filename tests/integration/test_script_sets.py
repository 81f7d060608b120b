# SPDX-License-Identifier: Apache-2.0
"""Script sets (spec 1.3)."""

import hashlib
import json

import pytest

from support.client import Client
from support.people import person, refused
from support.server import Server

PLUS = "@DFF.API('plus', category='math', tags=['b', 'a'])\ndef plus(x, y):\n    return x + y\n"
ROW = {'seq', 'id', 'title', 'description', 'requirements', 'origin', 'originId', 'originMD5', 'lockedByUserId', 'pinTime',
       'createTime', 'updateTime', 'isPinned', 'isLocked', 'lockedByUserUsername', 'lockedByUserName', 'smkt_id',
       'smkt_title', 'smkt_type', 'smkt_configJSON'}


def one(api: Client, set_id: str, **query: object) -> dict:
    rows = api.get('/script-sets/do/list', id=set_id, **query)
    assert len(rows) == 1
    return rows[0]


def test_row(api: Client) -> None:
    set_id = api.add_script_set(title='标题', requirements='requests==2.0')
    row = one(api, set_id)
    assert set(row) == ROW
    assert (row['title'], row['requirements'], row['origin'], row['originId']) == ('标题', 'requests==2.0', 'user', 'u-admin')
    assert (row['isPinned'], row['isLocked'], row['pinTime']) == (False, False, None)


@pytest.mark.parametrize('bad', ['', '1a', 'a-b', 'a__b', 'a b', 'ä', 'a' * 61, 'a/b', None, 7])
def test_bad_ids(api: Client, bad: object) -> None:
    error = refused(api.post, 400, 'EClientBadRequest', '/script-sets/do/add', {'data': {'id': bad}})
    assert error.envelope['message'] == 'Invalid request body'
    assert error.envelope['detail']['message'].startswith('Field `data.id`')


def test_duplicates(api: Client) -> None:
    set_id = api.add_script_set()
    refused(api.post, 403, 'EBizCondition.DuplicatedScriptSetID', '/script-sets/do/add', {'data': {'id': set_id}})


def test_pin_and_modify(api: Client) -> None:
    set_id = api.add_script_set()
    assert api.post('/script-sets/%s/do/modify' % set_id, {'data': {'title': 'T', 'isPinned': True}}) == {'id': set_id}
    row = one(api, set_id)
    assert row['isPinned'] is True and row['pinTime'].endswith('Z') and row['title'] == 'T'
    assert api.get('/script-sets/do/list', noPage='true')[0]['isPinned'] is True
    api.post('/script-sets/%s/do/modify' % set_id, {'data': {'isPinned': False, 'title': None}})
    row = one(api, set_id)
    assert row['isPinned'] is False and row['title'] is None


def test_locks(server: Server, api: Client) -> None:
    owner, other = person(server, api, 'user'), person(server, api, 'user')
    set_id = owner.add_script_set()
    script = owner.add_script(set_id + '__main', PLUS)
    owner.post('/script-sets/%s/do/modify' % set_id, {'data': {'isLocked': True}})
    row = one(other, set_id)
    assert row['isLocked'] is True and row['lockedByUserUsername'] == owner.username
    assert row['lockedByUserId'] == owner.user_id and row['lockedByUserName'] == owner.username
    for call, path, body, sub in (
            (other.post, '/script-sets/%s/do/modify' % set_id, {'data': {'title': 'x'}}, 'ModifyingScriptSetNotAllowed'),
            (other.get, '/script-sets/%s/do/delete' % set_id, None, 'DeletingScriptSetNotAllowed'),
            (other.post, '/scripts/do/add', {'data': {'id': set_id + '__other'}}, 'AddingScriptNotAllowed'),
            (other.post, '/scripts/%s/do/modify' % script, {'data': {'title': 'x'}}, 'ModifyingScriptNotAllowed'),
            (other.get, '/scripts/%s/do/delete' % script, None, 'DeletingScriptNotAllowed'),
            (other.post, '/scripts/%s/do/publish' % script, {}, 'PublishingScriptNotAllowed')):
        refused(call, 403, 'EBizCondition.' + sub, path, *([body] if body is not None else []))
    row = other.get('/scripts/do/list', id=script)[0]
    assert row['sset_lockedByUserId'] == owner.user_id and row['sset_lockedByUserUsername'] == owner.username
    owner.post('/scripts/%s/do/modify' % script, {'data': {'title': 'mine'}})
    api.post('/script-sets/%s/do/modify' % set_id, {'data': {'title': 'sa may'}})
    owner.post('/script-sets/%s/do/modify' % set_id, {'data': {'isLocked': False}})
    other.post('/script-sets/%s/do/modify' % set_id, {'data': {'title': 'x'}})


def test_delete_takes_scripts_functions_and_code_but_not_apis(api: Client) -> None:
    api_id = api.function(PLUS, 'plus')
    func_id = api.get('/sync-apis/do/list', id=api_id)[0]['funcId']
    script = func_id.split('.')[0]
    set_id = script.split('__')[0]
    assert api.get('/script-sets/%s/do/delete' % set_id) == {'id': set_id}
    assert api.get('/script-sets/do/list', id=set_id) == []
    assert api.get('/scripts/do/list', id=script) == []
    assert api.get('/funcs/do/list', id=func_id) == []
    row = api.get('/sync-apis/do/list', id=api_id)[0]
    assert row['funcId'] == func_id and row['func_id'] is None
    error = api.sync(api_id, {'x': 1, 'y': 2})
    assert error.status_code == 404 and error.json()['message'] == 'No such Func'
    refused(api.get, 404, 'EClientNotFound', '/script-sets/%s/do/delete' % set_id)


def test_unknown_ids(api: Client) -> None:
    for call, args in ((api.post, ('/script-sets/none/do/modify', {'data': {'title': 'x'}})),
                       (api.get, ('/script-sets/none/do/delete',)),
                       (api.post, ('/script-sets/none/do/clone', {'newId': 'fresh'}))):
        error = refused(call, 404, 'EClientNotFound', *args)
        assert error.envelope['detail'] == {'entity': 'script set', 'id': 'none'}


def test_with_scripts_and_md5(api: Client) -> None:
    set_id = api.add_script_set(title='T', description='D')
    api.script(PLUS, set_id, 'b')
    api.add_script(set_id + '__a', 'x = 1')
    row = one(api, set_id, _withScripts='true', _withScriptCode='true')
    assert [s['id'] for s in row['scripts']] == [set_id + '__a', set_id + '__b']
    assert row['scripts'][1]['code'] == PLUS and 'codeDraft' not in row['scripts'][1]
    plain = {'scriptSet': {}, 'id': set_id, 'title': 'T', 'description': 'D', 'requirements': None, 'scripts': [
        {k: s[k] for k in ('id', 'title', 'description', 'type', 'codeMD5')} for s in row['scripts']]}
    text = json.dumps(plain, sort_keys=True, separators=(',', ':'), ensure_ascii=False)
    assert row['md5'] == hashlib.md5(text.encode()).hexdigest()
    row = one(api, set_id, _withScripts='true')
    assert 'code' not in row['scripts'][0]
    assert 'scripts' not in one(api, set_id)


def test_clone_runs_on_its_own(api: Client) -> None:
    script = api.script(PLUS)
    set_id = script.split('__')[0]
    api.edit(script, PLUS + '# draft\n')
    assert api.post('/script-sets/%s/do/clone' % set_id, {'newId': set_id + '_copy'}) == {'id': set_id + '_copy'}
    copy = set_id + '_copy__main'
    row = api.get('/scripts/%s/do/get' % copy)
    assert (row['code'], row['codeDraft'], row['publishVersion']) == (PLUS, PLUS + '# draft\n', 1)
    assert [f['id'] for f in api.get('/funcs/do/list', scriptId=copy)] == [copy + '.plus']
    api_id = api.add_sync_api(copy + '.plus')
    assert api.result(api_id, x=1, y=2) == 3
    api.get('/script-sets/%s/do/delete' % set_id)
    assert api.result(api_id, x=1, y=2) == 3


def test_clone_refuses_bad_ids(api: Client) -> None:
    script = api.script(PLUS, name='m' * 30)
    set_id = script.split('__')[0]
    for bad in ('a__b', '1', '', 'a b'):
        refused(api.post, 400, 'EClientBadRequest', '/script-sets/%s/do/clone' % set_id, {'newId': bad})
    refused(api.post, 403, 'EBizCondition.ClonedScriptIDTooLong', '/script-sets/%s/do/clone' % set_id, {'newId': 'n' * 50})
    assert api.get('/script-sets/do/list', id='n' * 50) == []  # nothing is left of it
    refused(api.post, 403, 'EBizCondition.DuplicatedScriptSetID', '/script-sets/%s/do/clone' % set_id, {'newId': set_id})


def test_the_demo_is_there_and_published(anonymous: Client, api: Client) -> None:
    row = one(api, 'demo', _withScripts='true')
    assert row['title'] == '示例'
    assert [s['id'] for s in row['scripts']] == ['demo__basic'] and row['scripts'][0]['publishVersion'] == 1
    func = api.get('/func/demo__basic.plus')
    assert (func['title'], func['category'], func['tagsJSON']) == ('两数相加', 'math', ['math', 'simple'])
    assert func['extraConfigJSON'] == {'cacheResult': 300, 'timeout': 10}
    assert anonymous.result('sync-demo-plus', x=1, y=2) == 3
    published = api.publish('demo__basic')
    assert published['publishVersion'] == 2
    known = {k: func[v] for k, v in (('name', 'name'), ('title', 'title'), ('definition', 'definition'),
                                     ('category', 'category'), ('tags', 'tagsJSON'), ('args', 'argsJSON'),
                                     ('kwargs', 'kwargsJSON'), ('extraConfig', 'extraConfigJSON'))}
    assert {k: published['apiFuncs'][0][k] for k in known} == known  # what we shipped is what publishing finds
