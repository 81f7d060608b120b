# SPDX-License-Identifier: Apache-2.0
"""Environment variables: casts seen by scripts, passwords sealed and never shown (spec 1.7)."""

import itertools
import os

import pytest

from support.client import Client
from support.people import refused
from support.server import Server

READ = '''
@DFF.API('read')
def read(name):
    value = DFF.ENV(name)
    return [type(value).__name__, value]

@DFF.API('keys')
def keys():
    return DFF.ENV.keys()
'''
ROW = {'seq', 'id', 'title', 'description', 'autoTypeCasting', 'valueTEXT', 'pinTime', 'isPinned', 'createTime', 'updateTime'}
serial = itertools.count(1)


def add(api: Client, kind: str, value: object = None, **fields: object) -> str:
    data = dict(fields, id='env_%d' % next(serial), autoTypeCasting=kind)
    if value is not None:
        data['valueTEXT'] = value
    return api.post('/env-variables/do/add', {'data': data})['id']


def one(api: Client, env_id: str) -> dict:
    return api.get('/env-variables/do/list', id=env_id)[0]


@pytest.fixture(scope='module')
def reader(server: Server) -> str:
    return server.client().function(READ, 'read')


def test_row_and_rules(api: Client) -> None:
    env_id = add(api, 'string', 'v', title='T', isPinned=True)
    row = one(api, env_id)
    assert set(row) == ROW and row['valueTEXT'] == 'v' and row['isPinned'] is True
    refused(api.post, 403, 'EBizCondition.DuplicatedEnvVariableID', '/env-variables/do/add',
            {'data': {'id': env_id, 'autoTypeCasting': 'string'}})
    for bad in ({'id': 'a-b', 'autoTypeCasting': 'string'}, {'id': 'ok'}, {'id': 'ok', 'autoTypeCasting': 'date'},
                {'id': 'a' * 65, 'autoTypeCasting': 'string'}, {'id': 'ok', 'autoTypeCasting': 'string', 'valueTEXT': 1}):
        refused(api.post, 400, 'EClientBadRequest', '/env-variables/do/add', {'data': bad})
    api.get('/env-variables/%s/do/delete' % env_id)
    refused(api.get, 404, 'EClientNotFound', '/env-variables/%s/do/delete' % env_id)
    refused(api.post, 404, 'EClientNotFound', '/env-variables/%s/do/modify' % env_id, {'data': {'title': 'x'}})


@pytest.mark.parametrize('kind,text,want', [
    ('string', '中', ['str', '中']), ('integer', '42', ['int', 42]), ('float', '1.5', ['float', 1.5]),
    ('boolean', 'yes', ['bool', True]), ('json', '{"a":[1]}', ['dict', {'a': [1]}]),
    ('commaArray', 'a, b', ['list', ['a', ' b']]), ('password', 'geheim 密码', ['str', 'geheim 密码'])])
def test_scripts_get_casted_values(api: Client, reader: str, kind: str, text: str, want: list) -> None:
    assert api.result(reader, name=add(api, kind, text)) == want


def test_changes_are_seen_by_the_next_call(api: Client, reader: str) -> None:
    env_id = add(api, 'integer', '0')
    for n in range(20):
        api.post('/env-variables/%s/do/modify' % env_id, {'data': {'valueTEXT': str(n)}})
        assert api.result(reader, name=env_id) == ['int', n]
    api.get('/env-variables/%s/do/delete' % env_id)
    assert api.result(reader, name=env_id) == ['NoneType', None]


def test_keys(api: Client) -> None:
    env_id = add(api, 'string', 'x')
    assert env_id in api.result(api.function(READ, 'keys'))


def test_passwords_stay_hidden_whatever_happens_to_their_type(api: Client, reader: str) -> None:
    env_id = add(api, 'password', 'canary-geheim')
    path = '/env-variables/%s/do/modify' % env_id
    assert 'valueTEXT' not in one(api, env_id)
    assert 'canary' not in api.request('GET', '/api/v1/env-variables/do/list?noPage=true').text
    api.post(path, {'data': {'title': 'only the title'}})
    assert api.result(reader, name=env_id)[1] == 'canary-geheim'
    api.post(path, {'data': {'valueTEXT': 'second-geheim'}})  # still a password: sealed without being told
    assert 'valueTEXT' not in one(api, env_id)
    assert api.result(reader, name=env_id)[1] == 'second-geheim'
    api.post(path, {'data': {'autoTypeCasting': 'string'}})  # opened
    assert one(api, env_id)['valueTEXT'] == 'second-geheim'
    assert api.result(reader, name=env_id)[1] == 'second-geheim'
    api.post(path, {'data': {'autoTypeCasting': 'password'}})  # sealed again
    assert 'valueTEXT' not in one(api, env_id)
    assert api.result(reader, name=env_id)[1] == 'second-geheim'


def test_passwords_are_not_in_the_files(new_server) -> None:
    server = new_server().start()
    client = server.client()
    add(client, 'password', 'canary-in-files')
    error = refused(client.post, 400, 'EClientBadRequest', '/env-variables/do/add',
                    {'data': {'id': 'a-b', 'autoTypeCasting': 'password', 'valueTEXT': 'canary-in-files'}})
    assert 'canary-in-files' not in error.response.text
    server.stop()
    for folder, _, names in os.walk(server.data):
        for name in names:
            with open(os.path.join(folder, name), 'rb') as f:
                assert b'canary-in-files' not in f.read(), name
    assert 'canary-in-files' not in server.log()
