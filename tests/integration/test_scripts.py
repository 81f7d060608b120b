# SPDX-License-Identifier: Apache-2.0
"""Scripts: drafts, guard, locks, lists (spec 1.4)."""

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import Client
from support.people import person, refused
from support.server import Server

ROW = {'seq', 'id', 'scriptSetId', 'title', 'description', 'publishVersion', 'type', 'codeMD5', 'codeDraftMD5',
       'lockedByUserId', 'createTime', 'updateTime', 'lockedByUserUsername', 'lockedByUserName', 'sset_id', 'sset_title',
       'sset_description', 'sset_origin', 'sset_originId', 'sset_lockedByUserId', 'sset_lockedByUserUsername',
       'sset_lockedByUserName'}
CODE = "@DFF.API('f')\ndef f():\n    return '中文'\n"


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def draft(api: Client, code: str = CODE) -> str:
    return api.add_script(api.add_script_set() + '__main', code)


def test_rows(api: Client) -> None:
    script = draft(api)
    row = api.get('/scripts/do/list', id=script)[0]
    assert set(row) == ROW
    assert (row['publishVersion'], row['type'], row['codeDraftMD5']) == (0, 'python', md5(CODE))
    row = api.get('/scripts/do/list', id=script, _withCode='true', _withCodeDraft='1')[0]
    assert set(row) == ROW | {'code', 'codeDraft'} and row['code'] == '' and row['codeDraft'] == CODE
    one = api.get('/scripts/%s/do/get' % script)
    assert one['codeDraft'] == CODE and one['code'] == ''


@pytest.mark.parametrize('bad', ['', 'a', '__a', 'a__', 'a__1', '1__a', 'a-b__c', 'a__' + 'b' * 62, None])
def test_bad_ids(api: Client, bad: object) -> None:
    refused(api.post, 400, 'EClientBadRequest', '/scripts/do/add', {'data': {'id': bad}})


def test_the_set_must_exist_and_ids_are_unique(api: Client) -> None:
    error = refused(api.post, 404, 'EClientNotFound', '/scripts/do/add', {'data': {'id': 'no_set__a'}})
    assert error.envelope['detail'] == {'entity': 'script set', 'id': 'no_set'}
    script = draft(api)
    refused(api.post, 403, 'EBizCondition.DuplicatedScriptID', '/scripts/do/add', {'data': {'id': script}})


def test_the_set_is_what_stands_before_the_first_double_underscore(api: Client) -> None:
    set_id = api.add_script_set()
    script = api.add_script(set_id + '__a__b', CODE)
    assert api.get('/scripts/%s/do/get' % script)['scriptSetId'] == set_id


def test_drafts_in_base64_and_none_at_all(api: Client) -> None:
    set_id = api.add_script_set()
    api.post('/scripts/do/add', {'data': {'id': set_id + '__a', 'codeDraftBase64': base64.b64encode(CODE.encode()).decode()}})
    assert api.get('/scripts/%s__a/do/get' % set_id)['codeDraft'] == CODE
    api.post('/scripts/do/add', {'data': {'id': set_id + '__b'}})
    example = api.get('/scripts/%s__b/do/get' % set_id)
    assert "def hello_world(name=''):" in example['codeDraft'] and example['codeDraftMD5'] == md5(example['codeDraft'])
    assert api.publish(set_id + '__b')['apiFuncs'][0]['title'] == 'Hello, world'
    for bad in ('!!', base64.b64encode(b'\xff\xfe').decode(), base64.b64encode(b'a\0b').decode(), 'YQ'):
        refused(api.post, 400, 'EClientBadRequest', '/scripts/do/add', {'data': {'id': set_id + '__c', 'codeDraftBase64': bad}})


def test_modify_says_the_new_md5_and_guards_the_old_one(api: Client) -> None:
    script = draft(api)
    path = '/scripts/%s/do/modify' % script
    assert api.post(path, {'data': {'title': 't'}}) == {'id': script, 'codeDraftMD5': None}
    answer = api.post(path, {'data': {'codeDraft': 'x = 1'}, 'prevCodeDraftMD5': md5(CODE)})
    assert answer == {'id': script, 'codeDraftMD5': md5('x = 1')}
    error = refused(api.post, 409, 'EBizRequestConflict.scriptDraftAlreadyChanged', path,
                    {'data': {'codeDraft': 'x = 2'}, 'prevCodeDraftMD5': md5(CODE)})
    assert error.envelope['error'] == 409.25
    assert api.get('/scripts/%s/do/get' % script)['codeDraft'] == 'x = 1'
    refused(api.post, 404, 'EClientNotFound', '/scripts/a__b/do/modify', {'data': {'title': 't'}})


def test_of_parallel_editors_exactly_one_wins(server: Server, api: Client) -> None:
    script = draft(api)

    def save(n: int) -> int:
        client = server.client()
        return client.request('POST', '/api/v1/scripts/%s/do/modify' % script, json={
            'prevCodeDraftMD5': md5(CODE), 'data': {'codeDraft': 'x = %d' % n}}).status_code
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(save, range(8))) == [200] + [409] * 7


def test_a_draft_changes_nothing_that_is_published(api: Client) -> None:
    api_id = api.function(CODE, 'f')
    script = api.get('/sync-apis/do/list', id=api_id)[0]['func_id'].split('.')[0]
    api.edit(script, CODE.replace('中文', 'draft'))
    assert api.result(api_id) == '中文'


def test_locks(server: Server, api: Client) -> None:
    owner, other = person(server, api, 'user'), person(server, api, 'user')
    script = draft(owner)
    owner.post('/scripts/%s/do/modify' % script, {'data': {'isLocked': True}})
    row = other.get('/scripts/do/list', id=script)[0]
    assert (row['lockedByUserId'], row['lockedByUserUsername']) == (owner.user_id, owner.username)
    refused(other.post, 403, 'EBizCondition.ModifyingScriptNotAllowed', '/scripts/%s/do/modify' % script,
            {'data': {'codeDraft': ''}})
    refused(other.get, 403, 'EBizCondition.DeletingScriptNotAllowed', '/scripts/%s/do/delete' % script)
    refused(other.post, 403, 'EBizCondition.PublishingScriptNotAllowed', '/scripts/%s/do/publish' % script, {})
    owner.publish(script)
    owner.post('/scripts/%s/do/modify' % script, {'data': {'isLocked': False}})
    other.get('/scripts/%s/do/delete' % script)


def test_delete_stops_calls_at_once(api: Client) -> None:
    api_id = api.function(CODE, 'f')
    script = api.get('/sync-apis/do/list', id=api_id)[0]['func_id'].split('.')[0]
    assert api.result(api_id) == '中文'
    assert api.get('/scripts/%s/do/delete' % script) == {'id': script}
    assert api.sync(api_id).status_code == 404
    assert api.get('/funcs/do/list', scriptId=script) == []
    refused(api.get, 404, 'EClientNotFound', '/scripts/%s/do/get' % script)
    refused(api.get, 404, 'EClientNotFound', '/scripts/%s/do/delete' % script)


def test_lists_can_be_searched(api: Client) -> None:
    set_id = api.add_script_set(title='needle-set')
    api.add_script(set_id + '__alpha', 'needle_in_code = 1')
    api.add_script(set_id + '__beta', 'pass', title='100%_sure')
    api.add_script(set_id + '__beta__x', 'pass')

    def ids(**query: object) -> list:
        return [s['id'][len(set_id):] for s in api.get('/scripts/do/list', scriptSetId=set_id, **query)]
    assert ids() == ['__alpha', '__beta', '__beta__x']  # by set, then by id
    assert ids(sort='-id') == ['__beta__x', '__beta', '__alpha']
    assert ids(_fulltextSearchField='FULL_TEXT', _fulltextSearchWord='needle_in_code') == ['__alpha']
    assert ids(_fuzzySearch='100%_') == ['__beta']
    assert ids(_fuzzySearch='needle-set') == ['__alpha', '__beta', '__beta__x']
    assert ids(scriptName='beta') == ['__beta', '__beta__x']
    assert ids(scriptName='eta') == [] and ids(scriptName='x') == [] and ids(scriptName='bet_') == []


def test_markdown_is_published_as_it_is(api: Client) -> None:
    set_id = api.add_script_set()
    api.add_script(set_id + '__doc', '# Title: not Python (', type='markdown')
    assert api.publish(set_id + '__doc') == {'id': set_id + '__doc', 'publishVersion': 1, 'apiFuncs': []}
