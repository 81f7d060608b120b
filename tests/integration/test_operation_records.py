# SPDX-License-Identifier: Apache-2.0
"""Operation records: every change and sign-in, masked, complete, immutable."""

import time
from typing import Any, Dict, List

import requests

from support.client import ApiError, Client
from support.people import person
from support.server import Server


def newest(api: Client, **query: Any) -> List[Dict[str, Any]]:
    return api.get('/operation-records/do/list', **dict({'pageSize': 100}, **query))


def test_a_change_is_recorded(api: Client) -> None:
    set_id = api.add_script_set(title='Numbers')
    row = newest(api, reqRoute='/script-sets/do/add')[0]
    assert (row['reqMethod'], row['reqRoute'], row['respStatusCode']) == ('POST', '/api/v1/script-sets/do/add', 200)
    assert row['reqBodyJSON']['data'] == {'id': set_id, 'title': 'Numbers'}
    assert row['respBodyJSON']['ok'] is True and row['respBodyJSON']['data'] == {'id': set_id}
    assert (row['userId'], row['username'], row['u_id'], row['u_username']) == ('u-admin', 'admin', 'u-admin', 'admin')
    assert row['_operationEntityId'] == set_id and row['clientIPsJSON'] == ['127.0.0.1']
    assert row['clientIPRegionsJSON'] == ['local network'] and row['clientId'].startswith('c_bot_python-requests@127.0.0.1')
    assert set(row['reqRouteNames']) == {'en', 'zh-CN', 'default'} and row['reqRouteNames']['en']
    assert row['reqCost'] >= 0 and row['id'].startswith('oprd-') and 'recordGroup' not in row
    api.get('/script-sets/%s/do/delete' % set_id)
    row = newest(api, reqMethod='GET', reqRoute='delete')[0]
    assert row['reqParamsJSON'] == {'id': set_id} == {'id': row['_operationEntityId']}


def test_reading_is_not_recorded_and_refusals_are(api: Client, server: Server) -> None:
    before = newest(api)[0]['seq'] if newest(api) else 0
    api.get('/script-sets/do/list')
    reader = person(server, api, 'readonlyUser')
    mine = newest(api)[0]['seq']
    assert mine > before  # the person was added
    reader.request('POST', '/api/v1/script-sets/do/add', json={'data': {'id': 'never'}})
    row = newest(api, respStatusCode=401)[0]
    assert row['seq'] > mine and row['reqRoute'] == '/api/v1/script-sets/do/add'
    assert row['respBodyJSON']['ok'] is False


def test_sign_ins_are_recorded_without_the_password(api: Client, server: Server) -> None:
    wrong = server.client(username=None)
    try:
        wrong.sign_in('admin', 'not-the-secret-word')
    except ApiError:
        pass
    server.client()
    rows = newest(api, reqRoute='sign-in')
    assert {r['respStatusCode'] for r in rows} == {200, 400}
    assert all(r['reqBodyJSON']['signIn']['password'] == '*****' for r in rows if r['reqBodyJSON'])
    assert all(r['username'] for r in rows) and 'admin' in {r['username'] for r in rows if r['respStatusCode'] == 400}
    assert 'not-the-secret-word' not in str(rows)
    ok = next(r for r in rows if r['respStatusCode'] == 200)
    assert ok['respBodyJSON']['data']['xAuthToken'] == '*****'


def test_saving_by_the_editor_is_not_recorded(api: Client) -> None:
    script = api.script('x = 1\n')
    row = api.get('/scripts/%s/do/get' % script)
    before = newest(api)[0]['seq']
    api.post('/scripts/%s/do/modify' % script, {'data': {'codeDraft': 'x = 2\n'}, 'prevCodeDraftMD5': row['codeDraftMD5']})
    assert newest(api)[0]['seq'] == before
    api.post('/scripts/%s/do/modify' % script, {'data': {'title': 'T'}})
    assert newest(api)[0]['seq'] > before


def test_long_bodies_are_cut(api: Client) -> None:
    api.add_script(api.add_script_set() + '__long', '#' + 'x' * 100000)
    row = newest(api, reqRoute='/scripts/do/add')[0]
    assert 'a text of 100001 bytes' in row['reqBodyJSON']['data']['codeDraft']


def test_filters_paging_export_and_no_way_to_change(api: Client) -> None:
    api.add_script_set()
    page = api.envelope('GET', '/operation-records/do/list', params={'pageSize': 1, 'username': 'admin'})
    assert page['pageInfo']['pagingStyle'] == 'normal' and page['pageInfo']['count'] == 1
    assert page['pageInfo']['totalCount'] >= 1
    trace = page['data'][0]['traceId']
    assert [r['traceId'] for r in newest(api, traceId=trace)] == [trace]
    assert newest(api, _fuzzySearch='no such thing anywhere') == []
    sheet = api.request('GET', '/api/v1/operation-records/do/list', params={'export': 'csv'})
    assert 'attachment' in sheet.headers['Content-Disposition'] and trace in sheet.text
    for method, path in (('POST', 'modify'), ('GET', 'delete')):
        answer = api.request(method, '/api/v1/operation-records/%s/do/%s' % (page['data'][0]['id'], path), json={})
        assert answer.status_code == 404


def test_abnormal_requests(api: Client, server: Server) -> None:
    api.request('GET', '/api/v1/nowhere?xDFFAuthToken=canary-token-value')
    rows = api.get('/monitor/abnormal-requests/statusCode4xx/do/list')
    assert rows[0]['respStatusCode'] == 404 and rows[0]['reqURL'].startswith('/api/v1/nowhere')
    assert 'canary-token-value' not in str(rows)
    start = time.monotonic()
    requests.get(server.base + '/api/v1/debug/api-behavior/do/test', params={'scenario': 'slowResponse'}, timeout=20)
    assert time.monotonic() - start > 1
    rows = api.get('/monitor/abnormal-requests/reqCost1000/do/list')
    assert rows[0]['reqCost'] >= 1000 and rows[0]['respStatusCode'] == 200
    page = api.envelope('GET', '/monitor/abnormal-requests/statusCode4xx/do/list', params={'pageSize': 1})
    assert page['pageInfo']['pagingStyle'] == 'normal' and len(page['data']) == 1
    assert api.get('/monitor/abnormal-requests/other/do/list') == []
