# SPDX-License-Identifier: Apache-2.0
"""List conventions (spec 0.6) on the lists of this vocabulary."""

import csv
import io
import json

import pytest

from support.client import Client
from support.people import refused

PREFIX = 'lst'


@pytest.fixture(scope='module')
def sets(server) -> list:
    client = server.client()
    return [client.add_script_set('%s_%02d' % (PREFIX, n), title='标题,"%d"' % n) for n in range(25)]


def page(api: Client, **query: object) -> dict:
    return api.envelope('GET', '/script-sets/do/list', params=dict({'_fuzzySearch': PREFIX + '_'}, **query))


def ids(envelope: dict) -> list:
    return [r['id'] for r in envelope['data']]


def test_normal_paging(api: Client, sets: list) -> None:
    e = page(api)
    assert e['pageInfo'] == {'pagingStyle': 'normal', 'pageSize': 10, 'count': 10, 'totalCount': 25, 'pageNumber': 1,
                             'pageCount': 3, 'isFirstPage': True}
    e = page(api, pageNumber=3)
    assert (e['pageInfo']['count'], e['pageInfo']['isFirstPage'], len(e['data'])) == (5, False, 5)
    e = page(api, pageNumber=4)
    assert e['data'] == [] and e['pageInfo']['count'] == 0
    seen = [i for n in (1, 2, 3) for i in ids(page(api, pageNumber=n))]
    assert seen == sets  # by id; nothing twice, nothing lost
    e = page(api, pageSize=100)
    assert len(e['data']) == 25 and e['pageInfo']['pageCount'] == 1


def test_no_page(api: Client, sets: list) -> None:
    e = page(api, noPage='true')
    assert ids(e) == sets and e.get('pageInfo') is None


def test_page_size_cookie(api: Client, sets: list) -> None:
    e = api.envelope('GET', '/script-sets/do/list', params={'_fuzzySearch': PREFIX + '_'}, headers={'Cookie': 'a=b; xDFFPageSize=7'})
    assert e['pageInfo']['pageSize'] == 7


@pytest.mark.parametrize('query', [{'pageSize': '0'}, {'pageSize': '101'}, {'pageSize': 'x'}, {'pageNumber': '0'},
                                   {'pageNumber': '100000'}, {'pageNumber': '-1'}, {'pageSize': '1.5'}])
def test_bad_paging(api: Client, query: dict) -> None:
    error = refused(api.get, 400, 'EClientBadRequest', '/script-sets/do/list', **query)
    assert error.envelope['message'] == 'Invalid request query'
    assert error.envelope['detail']['message'].startswith('Field `%s` value ' % next(iter(query)))


def test_sort(api: Client, sets: list) -> None:
    assert ids(page(api, sort='-id', pageSize=3)) == sets[:-4:-1]
    assert ids(page(api, sort='seq', pageSize=3)) == sets[:3]
    assert ids(page(api, sort='-seq,id', pageSize=3)) == sets[:-4:-1]
    refused(api.get, 400, 'EClientBadRequest', '/script-sets/do/list', sort='title')
    refused(api.get, 400, 'EClientBadRequest', '/script-sets/do/list', sort='id; DROP TABLE x')


def test_fields(api: Client, sets: list) -> None:
    assert set(page(api, fields='id,title')['data'][0]) == {'id', 'title'}
    without = set(page(api, fields='-id,title')['data'][0])
    assert without == set(page(api)['data'][0]) - {'id', 'title'}
    assert without == set(page(api, fields='-,id,title')['data'][0])
    assert set(api.get('/users/u-admin/do/get', fields='username')) == {'username'}


def test_filters_with_all_and_null(api: Client, sets: list) -> None:
    assert ids(page(api, id=','.join(sets[3:5]))) == sets[3:5]
    assert len(page(api, id='_ALL', pageSize=100)['data']) == 25
    assert page(api, id='none')['data'] == []
    assert page(api, origin='_NULL')['data'] == []
    assert len(page(api, origin='', pageSize=100)['data']) == 25


def test_fuzzy_search_takes_its_text_literally(api: Client, sets: list) -> None:
    assert api.get('/script-sets/do/list', _fuzzySearch='lst%0') == []
    assert api.get('/script-sets/do/list', _fuzzySearch="'; --") == []
    assert [r['id'] for r in api.get('/script-sets/do/list', _fuzzySearch='LST_07')] == [sets[7]]
    assert len(api.get('/script-sets/do/list', _fuzzySearch='标题', pageSize=100)) == 25


def test_export(api: Client, sets: list) -> None:
    query = {'_fuzzySearch': PREFIX + '_', 'noPage': 'true', 'fields': 'id,title,isPinned,description'}
    response = api.request('GET', '/api/v1/script-sets/do/list', params=dict(query, export='json'))
    assert response.headers['Content-Disposition'] == 'attachment; filename="list.json"'
    assert [r['id'] for r in json.loads(response.content)] == sets
    response = api.request('GET', '/api/v1/script-sets/do/list', params=dict(query, export='csv'))
    assert response.headers['Content-Type'] == 'text/csv; charset=utf-8'
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert [r['id'] for r in rows] == sets
    assert rows[3] == {'id': sets[3], 'title': '标题,"3"', 'isPinned': 'false', 'description': ''}
    response = api.request('GET', '/api/v1/script-sets/do/list', params=dict(query, export='csv', charset='gbk'))
    assert '标题' in response.content.decode('gbk')
    refused(api.get, 400, 'EClientBadRequest', '/script-sets/do/list', export='xml')


def test_csv_cells_do_not_become_formulas(api: Client) -> None:
    set_id = api.add_script_set(title='=1+1')
    response = api.request('GET', '/api/v1/script-sets/do/list', params={'id': set_id, 'export': 'csv', 'fields': 'title'})
    assert response.content.decode().splitlines()[1] == '"\'=1+1"'


@pytest.mark.parametrize('path', ['/users/do/list', '/script-sets/do/list', '/scripts/do/list', '/funcs/do/list',
                                  '/script-publish-history/do/list', '/env-variables/do/list', '/sync-apis/do/list',
                                  '/auth-links/do/list', '/func-list', '/func-tag-list', '/func-api-list', '/auth-link-func-list'])
def test_every_list_answers_an_array_and_survives_odd_queries(api: Client, path: str) -> None:
    assert isinstance(api.get(path), list)
    for query in ({'id': '_NULL'}, {'id': ',,,'}, {'id': "a','b"}, {'_fuzzySearch': '"%_\\'}, {'noPage': 'maybe'},
                  {'fields': ','}, {'fields': '-'}, {'sort': ''}, {'id': 'x' * 5000}, {'tags': '"'}, {'tags': 'a,"]'}):
        response = api.request('GET', '/api/v1' + path, params=query)
        assert response.status_code == 200, (query, response.text)
        assert isinstance(response.json()['data'], list)
