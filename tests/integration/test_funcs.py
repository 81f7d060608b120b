# SPDX-License-Identifier: Apache-2.0
"""Functions and documentation lists (spec 1.5)."""

import pytest

from support.client import Client
from support.people import refused

CODE = '''
@DFF.API('Alpha', category='one', tags=['x', 'shared'])
def alpha(a, b=2):
    """First."""
    return a

@DFF.API('Beta', category='two', tags=['y', 'shared'], is_hidden=True)
def beta():
    return 1
'''
DOC = {'url', 'id', 'name', 'title', 'description', 'definition', 'argsJSON', 'kwargsJSON', 'extraConfigJSON', 'category',
       'integration', 'tagsJSON', 'scriptId', 'scriptTitle', 'scriptDescription', 'scriptSetId', 'scriptSetTitle',
       'scriptSetDescription'}
API = {'url', 'apiType', 'id', 'funcCallKwargsJSON', 'expireTime', 'throttlingJSON', 'isDisabled', 'configFuncId', 'funcId',
       'funcName', 'funcTitle', 'funcDescription', 'funcDefinition', 'funcArgsJSON', 'funcKwargsJSON', 'funcCategory',
       'funcIntegration', 'funcTagsJSON', 'apiAuthId', 'apiAuthTitle', 'apiAuthType'}


@pytest.fixture
def script(api: Client) -> str:
    return api.script(CODE)


def test_one_function(api: Client, script: str) -> None:
    row = api.get('/func/%s.alpha' % script)
    assert (row['id'], row['name'], row['title'], row['category']) == (script + '.alpha', 'alpha', 'Alpha', 'one')
    assert row['argsJSON'] == ['a', 'b'] and row['kwargsJSON'] == {'a': {}, 'b': {'default': 2}}
    assert row['tagsJSON'] == ['shared', 'x'] and row['definition'] == 'alpha(a, b=2)'
    refused(api.get, 404, 'EClientNotFound', '/func/%s.gamma' % script)


def test_list_and_its_doc_form(api: Client, script: str) -> None:
    rows = api.get('/funcs/do/list', scriptId=script, sort='defOrder')
    assert [r['name'] for r in rows] == ['alpha', 'beta']
    assert {'scpt_id', 'scpt_title', 'scpt_codeMD5', 'scpt_publishVersion', 'sset_id', 'sset_title'} <= set(rows[0])
    docs = api.get('/funcs/do/list', scriptId=script, _asFuncDoc='true')
    assert [d['name'] for d in docs] == ['alpha'] and set(docs[0]) == DOC


def test_func_list(api: Client, script: str) -> None:
    docs = api.get('/func-list', scriptId=script)
    assert [d['name'] for d in docs] == ['alpha']  # hidden ones are not documented
    assert set(docs[0]) == DOC and docs[0]['url'] == '/api/v1/func/%s.alpha' % script
    assert docs[0]['scriptId'] == script and docs[0]['scriptSetId'] == script.split('__')[0]
    for query in ({'name': 'lph'}, {'title': 'Alp'}, {'category': 'one,three'}, {'tags': 'x,shared'},
                  {'scriptSetId': script.split('__')[0]}, {'_fuzzySearch': 'First'}, {'id': script + '.alpha'}):
        assert [d['id'] for d in api.get('/func-list', **dict({'scriptId': script}, **query))] == [script + '.alpha'], query
    for query in ({'tags': 'x,y'}, {'category': 'three'}, {'integration': 'signIn'}, {'name': 'zz'}):
        assert api.get('/func-list', **dict({'scriptId': script}, **query)) == [], query


def test_tags(api: Client, script: str) -> None:
    assert api.get('/func-tag-list', scriptId=script) == ['shared', 'x', 'y']
    assert api.get('/func-tag-list', scriptId=script, name='har') == ['shared']
    assert api.get('/func-tag-list', scriptId=script, tagPattern='s*d') == ['shared']
    assert api.get('/func-tag-list', scriptId=script, tagPattern='*') == ['shared', 'x', 'y']
    assert api.get('/func-tag-list', scriptId=script, tagPattern='x*x') == []
    assert api.get('/func-tag-list', scriptSetId='no_such') == []


def test_documented_apis_are_public(api: Client, anonymous: Client, script: str) -> None:
    shown = api.add_sync_api(script + '.alpha', {'a': 'INPUT_BY_CALLER'}, showInDoc=True, throttlingJSON={'bySecond': 5},
                             expireTime='2099-01-01T00:00:00+08:00')
    api.add_sync_api(script + '.alpha')
    for path, url in (('/func-api-list', '/api/v1/sync/'), ('/auth-link-func-list', '/api/v1/al/')):
        docs = anonymous.get(path, scriptId=script)
        assert [d['id'] for d in docs] == [shown]
        assert set(docs[0]) == API
        assert docs[0]['url'] == url + shown and docs[0]['apiType'] == 'syncAPI'
        assert docs[0]['funcId'] == docs[0]['configFuncId'] == script + '.alpha'
        assert docs[0]['throttlingJSON'] == {'bySecond': 5} and docs[0]['expireTime'] == '2098-12-31T16:00:00.000Z'
    assert anonymous.get('/func-api-list', scriptId=script, apiType='asyncAPI') == []
    assert [d['id'] for d in anonymous.get('/func-api-list', funcTags='x', funcName='alpha', scriptId=script)] == [shown]
    assert anonymous.get('/func-api-list', funcTags='y', scriptId=script) == []
    refused(anonymous.get, 400, 'EClientBadRequest', '/func-api-list', apiType='other')
    api.get('/scripts/%s/do/delete' % script)
    gone = [d for d in anonymous.get('/func-api-list') if d['id'] == shown][0]
    assert gone['funcId'] is None and gone['configFuncId'] == script + '.alpha'
