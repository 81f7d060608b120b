# SPDX-License-Identifier: Apache-2.0
"""Access keys (spec 1.1, 1.2): the routes, and requests signed as the SDKs sign them."""

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import Client
from support.people import person, refused
from support.server import Server, wait_for
from support.signing import DIALECTS, Signer, python_text

ROW = {'seq', 'id', 'title', 'name', 'secret', 'webhookURL', 'webhookEvents', 'allowWebhookEcho', 'createTime', 'updateTime',
       'u_id', 'u_username', 'u_name', 'u_mobile'}
PROFILE = '/api/v1/auth/profile/do/get'
CALL = '/api/v1/sync/sync-demo-plus/s?x=1&y=2'
# What the dialects write differently: quotes, backslashes, control characters, floats, other scripts, <>&
NASTY = {'q': 'say "hi" \\ there', 'f': 1.0, 'g': [0.5, -2.0, True, None], '中文': '值 <a&b> \u2028', 'B': {'z': 1, 'a': '\n\t'}, 'e': ''}
PLAIN = {'z': 'text', 'a': 12.0, '中': '文'}


def add(client: Client, title: str = 'key', **fields: object) -> dict:
    key_id = client.post('/access-keys/do/add', {'data': dict(fields, title=title)})['id']
    return client.get('/access-keys/%s/do/get' % key_id)


def signer(server: Server, owner: Client) -> Signer:
    key = add(owner)
    return Signer(server.client(username=None), key['id'], key['secret'])


@pytest.fixture
def ak(server: Server, api: Client) -> Signer:
    return signer(server, api)


def said(response) -> tuple:
    envelope = response.json()
    return response.status_code, envelope['reason'], envelope['message']


# -- rows ------------------------------------------------------------------------------------------

def test_life_of_a_key(api: Client) -> None:
    key = add(api, 'first', webhookURL='http://127.0.0.1/x', webhookEvents='a,b', allowWebhookEcho=True)
    assert re.fullmatch(r'ak-[0-9A-Za-z]{16}', key['id']) and re.fullmatch(r'[0-9A-Za-z]{32}', key['secret'])
    assert set(key) == ROW | {'userId'}
    assert (key['title'], key['name'], key['u_id'], key['u_username']) == ('first', 'first', 'u-admin', 'admin')
    assert (key['webhookURL'], key['webhookEvents'], key['allowWebhookEcho']) == ('http://127.0.0.1/x', ['a', 'b'], True)
    rows = api.get('/access-keys/do/list', id=key['id'])
    assert len(rows) == 1 and set(rows[0]) == ROW and rows[0]['secret'] == key['secret']
    assert api.get('/access-keys/%s/do/test-webhook' % key['id']) is None
    path = '/access-keys/%s/do/' % key['id']
    assert api.post(path + 'modify', {'data': {'webhookURL': None, 'webhookEvents': None, 'allowWebhookEcho': False}}) == {'id': key['id']}
    changed = api.get(path + 'get')
    assert (changed['webhookURL'], changed['webhookEvents'], changed['allowWebhookEcho']) == (None, [], False)
    assert (changed['title'], changed['secret']) == ('first', key['secret'])
    api.post(path + 'modify', {'data': {'name': 'second'}})
    assert api.get(path + 'get', fields='title,name') == {'title': 'second', 'name': 'second'}
    assert api.get(path + 'delete') == {'id': key['id']}
    for method, end in (('GET', 'get'), ('GET', 'delete'), ('GET', 'test-webhook')):
        envelope = api.envelope(method, path + end)
        assert (envelope['error'], envelope['detail']) == (404.41, {'entity': 'access key', 'id': key['id']})
    refused(api.post, 404, 'EClientNotFound', path + 'modify', {'data': {'title': 'x'}})


def test_title_and_name_are_one(api: Client) -> None:
    key_id = api.post('/access-keys/do/add', {'data': {'name': 'old spelling'}})['id']
    row = api.get('/access-keys/%s/do/get' % key_id)
    assert row['title'] == row['name'] == 'old spelling'
    for query in ({'name': 'd spell'}, {'title': 'd spell'}, {'_fuzzySearch': 'OLD SPELL'}):
        assert [r['id'] for r in api.get('/access-keys/do/list', **query)] == [key_id]
    both = api.post('/access-keys/do/add', {'data': {'name': 'n', 'title': 't'}})['id']
    assert api.get('/access-keys/%s/do/get' % both)['name'] == 't'
    for data in ({}, {'title': ''}, {'name': ''}, {'title': None}, {'title': 5}, {'title': 'x' * 257}, {'secret': 'mine'}):
        refused(api.post, 400, 'EClientBadRequest', '/access-keys/do/add', {'data': data})


def test_id_secret_and_owner_are_never_the_callers_choice(api: Client) -> None:
    key = add(api, id='ak-mine', secret='mine', secretCipher='mine', userId='u-other')
    assert key['id'] != 'ak-mine' and key['secret'] != 'mine' and key['u_id'] == 'u-admin'
    api.post('/access-keys/%s/do/modify' % key['id'], {'data': {'secretCipher': 'mine', 'userId': 'u-other', 'title': 'x'}})
    assert api.get('/access-keys/%s/do/get' % key['id'])['secret'] == key['secret']


def test_lists_have_pages(api: Client) -> None:
    for n in range(3):
        add(api, 'page %d' % n)
    page = api.envelope('GET', '/access-keys/do/list', params={'title': 'page ', 'pageSize': 2})
    assert len(page['data']) == 2 and page['pageInfo']['totalCount'] == 3


def test_only_owner_and_administrator_read_a_secret(server: Server, api: Client) -> None:
    manager = person(server, api, 'admin')
    mine, own = add(api), add(manager)
    assert own['secret'] and own['u_id'] == manager.user_id
    assert manager.get('/access-keys/%s/do/get' % mine['id'])['secret'] is None
    rows = {r['id']: r['secret'] for r in manager.get('/access-keys/do/list', noPage='true')}
    assert rows[mine['id']] is None and rows[own['id']] == own['secret']
    assert api.get('/access-keys/%s/do/get' % own['id'])['secret'] == own['secret']


# -- signatures ------------------------------------------------------------------------------------

def test_a_signed_request_acts_as_the_owner(server: Server, api: Client) -> None:
    one = person(server, api, 'user', customPrivileges='accessKey_r,accessKey_w')
    key = signer(server, one)
    assert key.request('GET', PROFILE).json()['data']['id'] == one.user_id
    assert key.request('POST', '/api/v1/script-sets/do/add', {'data': {'id': 'made_by_key'}}).status_code == 200
    assert api.get('/script-sets/do/list', id='made_by_key')[0]['originId'] in (one.user_id, 'UNKNOWN')
    response = key.request('POST', '/api/v1/func-draft/demo__basic.plus', {'kwargs': {'x': 1, 'y': 2}})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize('dialect', sorted(DIALECTS))
def test_bodies_of_every_dialect(ak: Signer, dialect: str) -> None:
    for path in ('/api/v1/do/echo', '/api/v1/sync/sync-demo-plus'):
        for value in (NASTY, PLAIN, {}, {'x': ['\\u0041', '"', '\\']}):
            body = {'kwargs': {'x': 1, 'y': 2}, 'more': value}
            for sent in (None, python_text(body), json.dumps(body, indent=3)):
                response = ak.request('POST', path, body, dialect, sent=sent)
                assert response.status_code == 200, (path, value, sent, response.text)
    response = ak.request('POST', '/api/v1/do/echo', NASTY, dialect, secret='wrong')
    assert said(response) == (401, 'EUserAuth', 'Invalid Access Key sign')


def test_raw_bytes_forms_and_text(ak: Signer) -> None:
    def post(target: str, data: bytes, kind: str, signed: str):
        return ak.client.request('POST', target, data=data, headers=dict(
            ak.headers('POST', target, signed), **{'Content-Type': kind}))
    echo, form = '/api/v1/do/echo', 'application/x-www-form-urlencoded'
    big = '{ "x": 123456789012345678901234567890, "y" : 1.50 }'
    assert post('/api/v1/sync/sync-demo-plus/s', big.encode(), 'application/json', big).status_code == 200
    assert post(echo, b'any text', 'text/plain', 'any text').status_code == 200
    assert post(echo, b'a=1&b=%22x', form, 'a=1&b=%22x').status_code == 200
    assert post(echo, b'a=1&b=%22x', form, python_text({'a': '1', 'b': '"x'})).status_code == 200
    assert post(echo, b'a=1&b=%22x', form, python_text({'a': '1', 'b': 'x'})).status_code == 401
    assert post(echo, b'{"a":1}', 'application/json', '{}').status_code == 401


@pytest.mark.parametrize('dialect', sorted(DIALECTS))
def test_multipart_is_the_object_of_its_text_fields(ak: Signer, dialect: str) -> None:
    target = '/api/v1/sync/sync-demo-plus/simplified'
    fields = {'x': '1', 'y': 'a "b" \\ <c>', '中': '文'}
    for extra, want in (({}, 200), ({'z': '3'}, 401)):
        files = [('files', ('a.txt', b'content'))]
        response = ak.client.request('POST', target, data=fields, files=files, headers=ak.headers(
            'POST', target, DIALECTS[dialect](dict(fields, **extra))))
        assert response.status_code in (want, 599 if want == 200 else want), response.text
        assert (response.status_code == 401) == (want == 401)


def test_path_and_query_count_exactly_as_sent(server: Server, ak: Signer) -> None:
    def status(sent: str, signed: str) -> int:
        head = ''.join('%s: %s\r\n' % h for h in ak.headers('GET', signed).items())
        with server.raw() as raw:  # nothing on the way tidies the target up
            raw.send(('GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n' % (sent, head)).encode())
            return raw.answer().status
    for target in ('/api/v1/do/ping?a=1&b=%20%E4%B8%AD+&a=2', '/api/v1/do/ping?', '/api/v1/do/%70ing', CALL):
        assert status(target, target) == 200, target
        assert status(target, target + '&c') == 401
    assert status('/api/v1/do/ping', '/api/v1/do/ping?') == 401
    assert ak.client.request('POST', '/api/v1/do/echo', json={}, headers=ak.headers('GET', '/api/v1/do/echo')).status_code == 401


@pytest.mark.parametrize('target', ['/api/v1/do/ping', PROFILE, CALL])
def test_refusals_in_their_order(ak: Signer, target: str) -> None:
    now = int(time.time())
    auth = (401, 'EUserAuth')

    def get(**changes):
        return said(ak.request('GET', target, **changes))
    assert get(nonce=None) == auth + ('Access Key nonce is missing',)
    assert get(nonce=None, timestamp=None) == auth + ('Access Key nonce is missing',)
    assert get(timestamp=None) == auth + ('Access Key timestamp is missing',)
    assert get(timestamp='soon') == auth + ('Access Key timestamp is missing',)
    for off in (-1000, 1000, -10**9, 10**9):
        assert get(timestamp=str(now + off)) == auth + ('Invalid Access Key timestamp',)
    assert get(secret='x') == auth + ('Invalid Access Key sign',)
    assert get(nonce='n' * 300) == auth + ('Invalid Access Key nonce',)
    for header in ('sign', 'id'):
        assert get(**{header: None})[:2] == auth  # never anonymous
    response = Signer(ak.client, 'ak-none', ak.secret).request('GET', target)
    assert (response.status_code, response.json()['error'], response.json()['message']) == (404, 404.41, 'No such data')
    assert response.json()['detail'] == {'entity': 'access key'}
    for off in (-800, 800):
        assert ak.request('GET', target, timestamp=str(now + off)).status_code == 200
    bad = ak.headers('GET', target)
    for sign in ('', 'x', bad['X-Dff-Ak-Sign'].upper().replace('A', 'B') + '0', bad['X-Dff-Ak-Sign'][:-1], '0' * 40, 'é' * 20):
        bad['X-Dff-Ak-Sign'] = sign.encode() if sign else ''
        assert ak.client.request('GET', target, headers=bad).status_code == 401, sign


@pytest.mark.parametrize('target', ['/api/v1/do/ping', CALL])
def test_a_nonce_works_once(server: Server, api: Client, ak: Signer, target: str) -> None:
    headers = ak.headers('GET', target)
    assert ak.client.request('GET', target, headers=headers).status_code == 200
    for _ in range(2):
        assert said(ak.client.request('GET', target, headers=headers)) == (401, 'EUserAuth', 'Invalid Access Key nonce')
    nonce = headers['X-Dff-Ak-Nonce']
    other = signer(server, api)
    assert other.request('GET', target, nonce=nonce).status_code == 200  # per key
    late = ak.headers('GET', target, nonce='late-' + nonce, secret='wrong')
    assert ak.client.request('GET', target, headers=late).status_code == 401
    assert ak.request('GET', target, nonce='late-' + nonce).status_code == 200  # a bad signature uses nothing up
    headers = ak.headers('GET', target)
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: server.client(username=None).request('GET', target, headers=headers).status_code, range(16)))
    assert sorted(codes) == [200] + [401] * 15


def test_token_only_routes_refuse_keys(ak: Signer) -> None:
    for method, target in (('GET', '/api/v1/access-keys/do/list'), ('GET', '/api/v1/users/do/list'),
                           ('POST', '/api/v1/access-keys/do/add'), ('POST', '/api/v1/auth/profile/do/modify'),
                           ('POST', '/api/v1/auth/do/change-password')):
        response = ak.request(method, target, {} if method == 'POST' else None)
        assert said(response) == (401, 'EUserAuth', 'Auth type not supported')
        assert response.json()['detail'] == {'authType': 'builtin.byAccessKey', 'supportedAuthType': [
            'builtin.byXAuthToken', 'builtin.byLocalhostAuthToken']}


def test_a_session_token_goes_first(api: Client, ak: Signer) -> None:
    headers = dict(api.session.headers, **{'X-Dff-Ak-Id': 'ak-none', 'X-Dff-Ak-Sign': 'x'})
    assert ak.client.request('GET', PROFILE, headers=headers).status_code == 200


@pytest.mark.parametrize('target', [PROFILE, CALL])
def test_a_disabled_or_deleted_owner_takes_the_key_along(server: Server, api: Client, target: str) -> None:
    one = person(server, api, 'user', customPrivileges='accessKey_r,accessKey_w')
    key = signer(server, one)
    assert key.request('GET', target).status_code == 200
    api.post('/users/%s/do/modify' % one.user_id, {'data': {'isDisabled': True}})
    assert said(key.request('GET', target)) == (401, 'EUserDisabled', 'Current user has been disabled')
    api.post('/users/%s/do/modify' % one.user_id, {'data': {'isDisabled': False}})
    assert key.request('GET', target).status_code == 200
    api.get('/users/%s/do/delete' % one.user_id)
    assert api.get('/access-keys/do/list', id=key.key_id) == []
    assert key.request('GET', target).status_code == 404


def test_a_deleted_key_is_gone_at_once(api: Client, ak: Signer) -> None:
    api.get('/access-keys/%s/do/delete' % ak.key_id)
    assert ak.request('GET', CALL).json()['error'] == 404.41


def test_calls_with_keys_are_ordinary_calls(ak: Signer) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: ak.request(
            'POST', '/api/v1/sync/sync-demo-plus', {'kwargs': {'x': n, 'y': 1}}).json(), range(40)))
    assert results == [n + 1 for n in range(40)]


def test_clients_that_leave_during_the_check_harm_nobody(server: Server, ak: Signer) -> None:
    for _ in range(50):
        headers = ak.headers('GET', CALL)
        with server.raw() as raw:
            raw.send(('GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n' % (
                CALL, ''.join('%s: %s\r\n' % h for h in headers.items()))).encode())
            raw.reset()
    assert ak.request('GET', CALL).status_code == 200


# -- what stays ------------------------------------------------------------------------------------

def test_nonces_and_keys_survive_a_restart_and_secrets_are_sealed(new_server) -> None:
    server = new_server().start()
    api = server.client()
    key = signer(server, api)
    used = {target: key.headers('GET', target) for target in ('/api/v1/do/ping', CALL)}
    for target, headers in used.items():
        assert key.client.request('GET', target, headers=headers).status_code == 200
    server.kill()
    server.start()
    for target, headers in used.items():
        assert said(key.client.request('GET', target, headers=headers))[2] == 'Invalid Access Key nonce'
        assert key.request('GET', target).status_code == 200
    assert key.secret not in server.log()
    server.stop()
    secret, nonce = key.secret.encode(), used[CALL]['X-Dff-Ak-Nonce'].encode()
    seen = 0
    for folder, _, names in os.walk(server.data):
        for name in names:
            with open(os.path.join(folder, name), 'rb') as f:
                text = f.read()
            assert secret not in text and nonce not in text, name
            seen += key.key_id.encode() in text
    assert seen > 0


def test_the_key_of_an_unattended_setup_works(new_server) -> None:
    server = new_server(env={'DFF_AUTO_SETUP': 'true', 'DFF_AUTO_SETUP_AK_ID': 'ak-robot',
                             'DFF_AUTO_SETUP_AK_SECRET': 'robot-secret'}).start()
    key = Signer(server.client(username=None), 'ak-robot', 'robot-secret')
    assert key.request('GET', PROFILE).json()['data']['id'] == 'u-admin'
    assert hashlib.sha1(b'').hexdigest() not in server.log() and 'robot-secret' not in server.log()


def test_nonces_expire_and_their_rows_go(new_server) -> None:
    # A nonce is remembered for at least twice the window of the timestamps: two times two seconds here.
    server = new_server(env={'DFF__WEB_AK_TIMESTAMP_DIFF_LIMIT': '2', 'DFF__WEB_AK_NONCE_TTL': '1'}).start()
    key = signer(server, server.client())
    target = '/api/v1/do/ping'
    assert said(key.request('GET', target, timestamp=str(int(time.time()) - 30)))[2] == 'Invalid Access Key timestamp'
    start = time.monotonic()
    assert key.request('GET', target, nonce='again').status_code == 200
    assert key.request('GET', target, nonce='again').status_code == 401
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: key.request('GET', target).status_code, range(300))) == {200}
    assert wait_for(lambda: key.request('GET', target, nonce='again').status_code == 200, 20)
    assert time.monotonic() - start > 3
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: key.request('GET', target).status_code, range(300))) == {200}
    server.stop()
    counts = []
    for name in os.listdir(server.data):
        with open(os.path.join(server.data, name), 'rb') if os.path.isfile(os.path.join(server.data, name)) else open(os.devnull, 'rb') as f:
            if f.read(15) == b'SQLite format 3':
                with contextlib.closing(sqlite3.connect(os.path.join(server.data, name))) as db:
                    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'wat_main_access_key_nonce'").fetchone():
                        counts += db.execute('SELECT COUNT(*) FROM wat_main_access_key_nonce').fetchone()
    assert len(counts) == 1 and counts[0] < 500, counts
