# SPDX-License-Identifier: Apache-2.0
"""Users (spec 1.2)."""

import os
import subprocess

from support.client import Client
from support.people import PASSWORD, person, refused
from support.server import BUILD, Server

ROW = {'seq', 'id', 'username', 'name', 'email', 'mobile', 'markers', 'roles', 'customPrivileges', 'isDisabled',
       'createTime', 'updateTime'}


def sign_in(username: str, password: str) -> dict:
    return {'captchaToken': 'any-0000', 'captcha': '0000', 'signIn': {'username': username, 'password': password}}


def add(api: Client, username: str, **fields: object) -> str:
    data = dict({'username': username, 'password': PASSWORD, 'name': username, 'roles': ['user']}, **fields)
    return api.post('/users/do/add', {'data': data})['id']


def test_rows_have_the_known_shape_and_no_hash(api: Client) -> None:
    user_id = add(api, 'shape', email='a@b.c', customPrivileges='general_r,user_r')
    assert user_id.startswith('u-') and len(user_id) == 14
    row = api.get('/users/%s/do/get' % user_id)
    assert set(row) == ROW
    assert row['roles'] == ['user'] and row['customPrivileges'] == ['general_r', 'user_r'] and row['markers'] == []
    listed = next(u for u in api.get('/users/do/list') if u['id'] == user_id)
    assert set(listed) == ROW | {'sessions'} and listed['sessions'] == []


def test_users_with_sessions_come_first(server: Server, api: Client) -> None:
    add(api, 'asleep')
    one = person(server, api, 'user')
    one.get('/auth/profile/do/get')
    rows = api.get('/users/do/list')
    live = [bool(u['sessions']) for u in rows]
    assert live == sorted(live, reverse=True)
    mine = next(u for u in rows if u['id'] == one.user_id)
    assert set(mine['sessions'][0]) == {'idle', 'ttl', 'lastAccessTime'}
    assert 0 < mine['sessions'][0]['ttl'] <= 86400


def test_names_are_unique(api: Client) -> None:
    first = add(api, 'taken')
    data = {'username': 'taken', 'password': PASSWORD, 'name': 'x', 'roles': None}
    refused(api.post, 409, 'EClientDuplicated.username', '/users/do/add', {'data': data})
    other = add(api, 'free')
    refused(api.post, 409, 'EClientDuplicated.username', '/users/%s/do/modify' % other, {'data': {'username': 'taken'}})
    api.post('/users/%s/do/modify' % first, {'data': {'username': 'taken'}})  # its own name


def test_a_new_password_works_and_ends_sessions(server: Server, api: Client) -> None:
    one = person(server, api, 'user')
    api.post('/users/%s/do/modify' % one.user_id, {'data': {'password': 'another-password'}})
    refused(one.get, 401, 'EUserAuth', '/auth/profile/do/get')
    server.client(one.username, 'another-password')


def test_the_administrator_is_out_of_reach(api: Client) -> None:
    refused(api.post, 403, 'EBizCondition.adminUserCannotBeModified', '/users/u-admin/do/modify', {'data': {'name': 'x'}})
    refused(api.get, 403, 'EBizCondition.adminUserCannotBeModified', '/users/u-admin/do/delete')


def test_nobody_gives_more_than_he_has(server: Server, api: Client) -> None:
    admin = person(server, api, 'admin')
    data = {'username': 'puppet', 'password': PASSWORD, 'name': 'x', 'roles': ['admin'], 'customPrivileges': '*'}
    refused(admin.post, 401, 'EUserPrivilege', '/users/do/add', {'data': data})
    refused(admin.post, 401, 'EUserPrivilege', '/users/%s/do/modify' % admin.user_id,
            {'data': {'customPrivileges': 'systemSetting_w'}})
    refused(admin.post, 400, 'EClientBadRequest', '/users/do/add', {'data': dict(data, customPrivileges='root')})
    refused(admin.post, 400, 'EClientBadRequest', '/users/do/add', {'data': dict(data, roles=['sa'])})
    data['customPrivileges'] = 'general_w'
    admin.post('/users/do/add', {'data': data})


def test_custom_privileges_count(server: Server, api: Client) -> None:
    one = person(server, api, 'customUser', customPrivileges='general_r')
    assert one.get('/script-sets/do/list') is not None
    refused(one.post, 401, 'EUserPrivilege', '/script-sets/do/add', {'data': {'id': 'nope'}})


def test_unknown_ids(api: Client) -> None:
    for method, path in ((api.get, '/users/u-none/do/get'), (api.get, '/users/u-none/do/delete')):
        error = refused(method, 404, 'EClientNotFound', path)
        assert error.envelope['message'] == 'No such data'
        assert error.envelope['detail'] == {'entity': 'user', 'id': 'u-none'}
    refused(api.post, 404, 'EClientNotFound', '/users/u-none/do/modify', {'data': {'name': 'x'}})


def test_filters(api: Client) -> None:
    user_id = add(api, 'filter_me', mobile='13800138000', isDisabled=True)
    for query in ({'username': 'ilter'}, {'mobile': '138001'}, {'id': user_id}, {'_fuzzySearch': 'FILTER'},
                  {'isDisabled': 'true', 'username': 'filter'}):
        assert [u['id'] for u in api.get('/users/do/list', **query)] == [user_id], query
    assert api.get('/users/do/list', username='no_such_user') == []
    names = [u['username'] for u in api.get('/users/do/list', sort='-username')]
    assert names == sorted(names, reverse=True)


def passwd(server: Server, *args: str, typed: str = '') -> 'subprocess.CompletedProcess[str]':
    return subprocess.run([os.path.join(BUILD, 'bin', 'tenon'), 'passwd', *args, '--data', server.data, '--listen',
                           '127.0.0.1:%d' % server.port], input=typed, capture_output=True, text=True, timeout=60, check=False)


def test_a_forgotten_password_is_given_anew(new_server) -> None:
    """By who reads the data folder: a lock is lifted, sessions end, the old password is nobody's."""
    server = new_server().start()
    before = server.client()
    guesser = server.client(username=None)
    for _ in range(10):
        refused(guesser.post, 400, 'EUserPassword', '/auth/do/sign-in', sign_in('admin', 'a guess'))
    refused(guesser.post, 401, 'EUserLocked', '/auth/do/sign-in', sign_in('admin', 'admin'))
    done = passwd(server, typed='grüner Tee "7"\n')
    assert (done.returncode, done.stdout) == (0, '') and 'password of admin is changed' in done.stderr, done
    refused(before.get, 401, 'EUserAuth', '/auth/profile/do/get')
    admin = server.client('admin', 'grüner Tee "7"')
    refused(guesser.post, 400, 'EUserPassword', '/auth/do/sign-in', sign_in('admin', 'admin'))
    assert 'grüner Tee' not in server.log() and 'grüner Tee' not in str(admin.get('/operation-records/do/list', noPage='true'))
    add(admin, 'ann')
    made = passwd(server, 'ann', '--generate')
    assert made.returncode == 0 and len(made.stdout.strip()) == 20
    server.client('ann', made.stdout.strip())


def test_a_new_password_takes_more_than_a_session(server: Server, api: Client) -> None:
    """The administrator's row stays out of reach of everybody's tokens, and of all but the password for the operator."""
    refused(api.post, 403, 'EBizCondition.adminUserCannotBeModified', '/users/u-admin/do/modify', {'data': {'password': 'x'}})
    with open(os.path.join(server.data, 'localhost-auth-token'), encoding='ascii') as f:
        header = {'X-Localhost-Auth-Token': f.read().strip()}
    for data in ({'name': 'x'}, {'password': 'x', 'isDisabled': True}, {'password': 'x', 'roles': ['user']}):
        answer = server.client(username=None).request('POST', '/api/v1/users/u-admin/do/modify', json={'data': data}, headers=header)
        assert answer.status_code == 403, data
    for args, typed, code, what in (((), '\n', 1, 'no password was given'), (('nobody',), 'x\n', 1, 'no user "nobody"'),
                                    (('--frob',), 'x\n', 2, '--frob'), ((), 'x' * 300 + '\n', 1, 'password')):
        done = passwd(server, *args, typed=typed)
        assert done.returncode == code and what in done.stderr, done
    server.client()  # still the same
