# SPDX-License-Identifier: Apache-2.0
"""Sign-in, tokens, sessions, passwords, captchas, first start (spec 1.1, 6.2, 8.3)."""

import base64
import hashlib
import hmac
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import Client
from support.people import PASSWORD, person, refused
from support.server import Server

SIGN_IN = {'captchaToken': 'test-0000', 'captcha': '0000'}


def attempt(client: Client, username: str, password: str):
    return client.request('POST', '/api/v1/auth/do/sign-in', json=dict(
        SIGN_IN, signIn={'username': username, 'password': password}))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip('=')


def test_sign_in_gives_a_token_and_a_signed_cookie(anonymous: Client) -> None:
    response = attempt(anonymous, 'admin', 'admin')
    data = response.json()['data']
    assert response.status_code == 200
    assert data['userId'] == 'u-admin'
    head, claims, _ = data['xAuthToken'].split('.')
    claims = json.loads(base64.urlsafe_b64decode(claims + '==='))
    assert json.loads(base64.urlsafe_b64decode(head + '===')) == {'alg': 'HS256', 'typ': 'JWT'}
    assert (claims['v'], claims['uid'], claims['un'], claims['nm']) == (3, 'u-admin', 'admin', 'Administrator')
    assert re.fullmatch(r'xat-[0-9A-Za-z]{12}', claims['xatid'])
    cookie = response.headers['Set-Cookie']
    assert cookie.startswith('xDFFAuthToken=s%3A' + data['xAuthToken'] + '.')
    assert 'HttpOnly' in cookie and 'SameSite=Lax' in cookie and 'Max-Age=86400' in cookie


@pytest.mark.parametrize('username,password', [('admin', 'wrong'), ('nobody', 'admin'), ('', ''), ('ADMIN', 'admin')])
def test_wrong_name_and_wrong_password_look_the_same(anonymous: Client, username: str, password: str) -> None:
    envelope = attempt(anonymous, username, password).json()
    assert (envelope['error'], envelope['reason']) == (400.12, 'EUserPassword')
    assert envelope['message'] == 'Invalid username or password'
    assert envelope['detail'] == {'signInWaitTimeout': 0}
    assert password == '' or password not in envelope['reqDump']['bodyDump'].replace('"username": "admin"', '')


def test_the_token_works_in_header_and_query_but_not_as_cookie_under_api(api: Client, anonymous: Client) -> None:
    token = api.session.headers['X-Dff-Auth-Token']
    assert anonymous.get('/auth/profile/do/get', xDFFAuthToken=token)['id'] == 'u-admin'
    cookie = {'xDFFAuthToken': 's%3A' + token}
    response = anonymous.request('GET', '/api/v1/auth/profile/do/get', cookies=cookie)
    assert response.status_code == 401


def forged(token: str) -> list:
    head, claims, sign = token.split('.')
    none = b64(b'{"alg":"none","typ":"JWT"}')
    other = json.loads(base64.urlsafe_b64decode(claims + '==='))
    other['uid'] = 'u-other'
    changed = b64(json.dumps(other).encode())
    wrong_key = b64(hmac.new(b'your_secret', ('%s.%s' % (head, claims)).encode(), hashlib.sha256).digest())
    return ['x', 'a.b', 'a.b.c', '...', head + '.' + claims, '%s.%s.' % (none, claims), '%s.%s.%s' % (none, claims, sign),
            '%s.%s.%s' % (head, changed, sign), '%s.%s.%s' % (head, claims, wrong_key),
            '%s.%s.%s' % (head, claims, sign[:-2]), token + 'A', 'A' * 5000]


def test_forged_tokens_are_refused_even_on_public_routes(api: Client, anonymous: Client) -> None:
    good = api.session.headers['X-Dff-Auth-Token']
    for token in forged(good):
        for path in ('/api/v1/do/ping', '/api/v1/auth/profile/do/get', '/api/v1/sync/sync-demo-plus/s?x=1&y=2'):
            response = anonymous.request('GET', path, headers={'X-Dff-Auth-Token': token})
            assert response.status_code == 401, (token, path, response.text)
            assert response.json()['reason'] == 'EUserAuth'
            assert response.json()['message'] == 'Invalid x-auth-token'


def test_sign_out_ends_this_session_only(server: Server) -> None:
    first, second = server.client(), server.client()
    assert first.get('/auth/do/sign-out') is None
    error = refused(first.get, 401, 'EUserAuth', '/auth/profile/do/get')
    assert error.envelope['message'] == 'x-auth-token is expired'
    assert second.get('/auth/profile/do/get')['isSignedIn'] is True
    assert server.client(username=None).get('/auth/do/sign-out') is None


def test_a_changed_password_ends_the_other_sessions(server: Server, api: Client) -> None:
    one = person(server, api, 'user')
    two = server.client(one.username, PASSWORD)
    body = dict(SIGN_IN, changePassword={'oldPassword': 'wrong', 'newPassword': 'new-password'})
    error = refused(one.post, 400, 'EUserPassword', '/auth/do/change-password', body)
    assert error.envelope['message'] == 'Invalid old password'
    body['changePassword']['oldPassword'] = PASSWORD
    one.post('/auth/do/change-password', body)
    assert one.get('/auth/profile/do/get')['username'] == one.username
    refused(two.get, 401, 'EUserAuth', '/auth/profile/do/get')
    assert attempt(two, one.username, PASSWORD).status_code == 401  # its token is bad now
    two.session.headers.clear()
    assert attempt(two, one.username, PASSWORD).status_code == 400
    assert attempt(two, one.username, 'new-password').status_code == 200


def test_profile(server: Server, api: Client) -> None:
    one = person(server, api, 'user')
    assert one.post('/auth/profile/do/modify', {'data': {'name': '张三', 'email': 'a@b.c', 'mobile': None}}) == one.user_id
    profile = one.get('/auth/profile/do/get')
    assert (profile['name'], profile['email'], profile['mobile']) == ('张三', 'a@b.c', None)
    assert profile['isSignedIn'] is True and profile['roles'] == ['user'] and profile['isDisabled'] is False
    assert 'passwordHash' not in profile
    one.post('/auth/profile/do/modify', {'data': {'roles': ['sa'], 'isDisabled': True}})  # not its business
    assert one.get('/auth/profile/do/get')['roles'] == ['user']


def test_a_disabled_user_loses_everything_at_once(server: Server, api: Client) -> None:
    one = person(server, api, 'user')
    api.post('/users/%s/do/modify' % one.user_id, {'data': {'isDisabled': True}})
    refused(one.get, 401, 'EUserAuth', '/auth/profile/do/get')
    envelope = attempt(server.client(username=None), one.username, PASSWORD).json()
    assert (envelope['error'], envelope['reason']) == (401.16, 'EUserDisabled')


def test_a_deleted_user_loses_everything_at_once(server: Server, api: Client) -> None:
    one = person(server, api, 'user')
    api.get('/users/%s/do/delete' % one.user_id)
    refused(one.get, 401, 'EUserAuth', '/auth/profile/do/get')


def test_guessing_is_slowed_down_and_a_restart_forgives_nothing(new_server) -> None:
    server = new_server().start()
    admin = server.client()
    one = person(server, admin, 'user')
    stranger = server.client(username=None)
    with ThreadPoolExecutor(16) as pool:  # in parallel: the brake must count before it looks
        answers = list(pool.map(lambda n: attempt(server.client(username=None), one.username, 'guess%d' % n).json(),
                                range(30)))
    tried = [a for a in answers if a['reason'] == 'EUserPassword']
    locked = [a for a in answers if a['reason'] == 'EUserLocked']
    assert len(tried) == 10 and len(locked) == 20
    assert all(0 < a['detail']['signInWaitTimeout'] <= 60 for a in locked)
    assert any(a['detail']['signInWaitTimeout'] > 0 for a in tried)
    assert attempt(stranger, one.username, PASSWORD).json()['reason'] == 'EUserLocked'
    assert attempt(stranger, 'admin', 'admin').status_code == 200  # others are not punished
    server.restart()
    assert attempt(server.client(username=None), one.username, PASSWORD).json()['reason'] == 'EUserLocked'


def test_one_address_cannot_try_many_names(new_server) -> None:
    server = new_server().start()
    client = server.client(username=None)
    with ThreadPoolExecutor(4) as pool:
        reasons = list(pool.map(lambda n: attempt(server.client(username=None), 'name%d' % n, 'x').json()['reason'], range(60)))
    assert reasons.count('EUserPassword') == 50 and reasons.count('EUserLocked') == 10
    detail = attempt(client, 'admin', 'admin').json()['detail']
    assert 0 < detail['signInWaitTimeout'] <= 60


def test_a_right_password_clears_the_count(server: Server, api: Client) -> None:
    one = person(server, api, 'user')
    client = server.client(username=None)
    for _ in range(3):
        for _ in range(8):
            assert attempt(client, one.username, 'wrong').json()['reason'] == 'EUserPassword'
        assert attempt(client, one.username, PASSWORD).status_code == 200


def test_sessions_survive_a_restart(new_server) -> None:
    server = new_server().start()
    client = server.client()
    server.restart()
    assert client.get('/auth/profile/do/get')['id'] == 'u-admin'


def test_localhost_token(new_server) -> None:
    server = new_server().start()
    client = server.client(username=None)
    file = os.path.join(server.data, 'localhost-auth-token')
    assert os.stat(file).st_mode & 0o777 == 0o600
    with open(file, encoding='ascii') as f:
        first = f.read()
    assert re.fullmatch(r'[0-9A-Za-z]{32}\n', first)
    path, header = '/api/v1/auth/profile/do/get', {'X-Localhost-Auth-Token': 'operator-token-0123456789'}
    assert client.request('GET', path, headers=header).status_code == 401
    made = {'X-Localhost-Auth-Token': first.strip()}
    assert client.request('GET', path, headers=made).json()['data']['id'] == 'u-admin'
    with open(file, 'w', encoding='ascii') as f:
        f.write('operator-token-0123456789\n')
    assert client.request('GET', path, headers=header).json()['data']['id'] == 'u-admin'
    assert client.request('GET', '/api/v1/users/do/list', headers=header).status_code == 200
    assert client.request('GET', path, headers={'X-Localhost-Auth-Token': 'x'}).status_code == 401
    assert client.request('GET', '/api/v1/do/ping', headers={'X-Localhost-Auth-Token': ''}).status_code == 401
    assert client.request('GET', path, headers=made).status_code == 401  # the new one alone counts
    call = '/api/v1/sync/sync-demo-plus/s?x=1&y=2'
    assert client.request('GET', call, headers=header).status_code == 200
    assert client.request('GET', call, headers=made).status_code == 401
    server.restart()
    with open(file, encoding='ascii') as f:
        assert f.read() == 'operator-token-0123456789\n'  # a start keeps what is there
    os.unlink(file)
    assert client.request('GET', path, headers=header).status_code == 401
    server.restart()
    with open(file, encoding='ascii') as f:
        assert re.fullmatch(r'[0-9A-Za-z]{32}\n', f.read())


def test_the_localhost_token_counts_only_from_this_machine(new_server) -> None:
    server = new_server().start()
    with open(os.path.join(server.data, 'localhost-auth-token'), encoding='ascii') as f:
        header = {'X-Localhost-Auth-Token': f.read().strip()}
    client = server.client(username=None)
    path = '/api/v1/users/do/list'
    assert client.request('GET', path, headers=header).status_code == 200
    for address in ('192.0.2.1', '127.0.0.1', '::1'):
        response = client.request('GET', path, headers=dict(header, **{'X-Forwarded-For': address}))
        assert (response.status_code, response.json()['message']) == (401, 'Invalid localhost auth token'), address


# -- outside dev mode -----------------------------------------------------------------------------------

def captcha(client: Client, token: str, category: str = 'signIn'):
    return client.request('GET', '/api/v1/captcha/do/get', params={'captchaToken': token, 'captchaCategory': category})


def printed_password(server: Server) -> str:
    found = re.findall(r'admin password: (\S+)', server.log())
    assert len(found) == 1, server.log()
    return found[0]


def test_first_start_prints_a_password_once_and_wants_captchas(new_server) -> None:
    server = new_server(dev=False).start()
    password = printed_password(server)
    assert len(password) >= 16
    client = server.client(username=None)
    svg = captcha(client, 'tok')
    assert svg.headers['Content-Type'].startswith('image/svg+xml') and svg.text.startswith('<svg')
    sign_in = {'username': 'admin', 'password': password}

    def answer(token: str, text: str):
        return client.request('POST', '/api/v1/auth/do/sign-in', json={
            'captchaToken': token, 'captcha': text, 'signIn': sign_in}).json()
    assert answer('unknown', '0000')['message'] == 'Can not found captcha token'
    assert answer('tok', 'abcd')['message'] == 'Invalid captcha'
    again = answer('tok', 'abcd')
    assert (again['reason'], again['message']) == ('EUserCaptcha', 'This captcha token is already used')
    info = client.get('/system-info')
    assert info['MODE'] == 'prod' and 'DEV_MODE' not in info
    server.restart()
    assert printed_password(server) == password  # the log of both starts has it once


STROKES = ['0,1 1,0 3,0 4,1 4,5 3,6 1,6 0,5 0,1', '1,1 2,0 2,6 1,6 3,6', '0,1 1,0 3,0 4,1 4,2 0,6 4,6',
           '0,0 4,0 2,2 4,3 4,5 3,6 1,6 0,5', '3,6 3,0 0,4 4,4', '4,0 0,0 0,3 3,3 4,4 4,5 3,6 0,6',
           '4,0 2,0 0,2 0,5 1,6 3,6 4,5 4,4 3,3 0,3', '0,0 4,0 1,6',
           '1,3 0,2 0,1 1,0 3,0 4,1 4,2 3,3 1,3 0,4 0,5 1,6 3,6 4,5 4,4 3,3', '4,3 1,3 0,2 0,1 1,0 3,0 4,1 4,3 3,6 1,6']


def read_captcha(svg: str) -> str:
    """What a person reads: the strokes, back on their grid."""
    digits = ''
    for x, y, points in re.findall(r'rotate\(-?\d+ (\d+) (\d+)\)" points="([^"]*)"', svg):
        grid = [p.split(',') for p in points.split()]
        text = ' '.join('%d,%d' % (round((int(a) - int(x) + 8) / 4), round((int(b) - int(y) + 12) / 4)) for a, b in grid)
        digits += str(STROKES.index(text))
    return digits


def test_signing_in_the_way_people_do(new_server) -> None:
    server = new_server(dev=False).start()
    password = printed_password(server)
    client = server.client(username=None)
    for n in range(20):
        digits = read_captcha(captcha(client, 'tok%d' % n).text)
        assert re.fullmatch(r'\d{4}', digits)

    def sign_in(token: str, text: str):
        return client.request('POST', '/api/v1/auth/do/sign-in', json={
            'captchaToken': token, 'captcha': text, 'signIn': {'username': 'admin', 'password': password}}).json()
    other_category = read_captcha(captcha(client, 'other', 'changePassword').text)
    assert sign_in('other', other_category)['message'] == 'Can not found captcha token'
    assert sign_in('tok19', digits)['ok'] is True
    assert sign_in('tok19', digits)['message'] == 'This captcha token is already used'
    renewed = read_captcha(captcha(client, 'tok19').text)
    assert sign_in('tok19', renewed)['ok'] is True


def test_leaving_dev_mode_takes_the_known_password_away(new_server) -> None:
    server = new_server().start()
    client = server.client()
    server.args.remove('--dev')
    server.restart()
    refused(client.get, 401, 'EUserAuth', '/auth/profile/do/get')
    assert len(printed_password(server)) >= 16


def test_auto_setup(new_server) -> None:
    server = new_server(dev=True, env={
        'DFF_AUTO_SETUP': 'true', 'DFF_AUTO_SETUP_ADMIN_USERNAME': 'boss', 'DFF_AUTO_SETUP_ADMIN_PASSWORD': 'boss-secret-1',
        'DFF_AUTO_SETUP_AK_SECRET': 'ak-secret-canary'}).start()
    assert server.client('boss', 'boss-secret-1').get('/auth/profile/do/get')['id'] == 'u-admin'
    assert attempt(server.client(username=None), 'admin', 'admin').status_code == 400
    assert 'admin password' not in server.log()
    assert 'boss-secret-1' not in server.log() and 'ak-secret-canary' not in server.log()
    server.stop()
    for folder, _, names in os.walk(server.data):
        for name in names:
            with open(os.path.join(folder, name), 'rb') as f:
                text = f.read()
            assert b'ak-secret-canary' not in text and b'boss-secret-1' not in text, name
