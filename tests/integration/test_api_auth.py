# SPDX-License-Identifier: Apache-2.0
"""API authentication (spec 1.8, 2.3; reliability F): the four methods in front of a sync API, with curl, requests and
by hand."""

import base64
import glob
import hashlib
import os
import re
import subprocess
import time

import pytest
import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from support.people import person
from support.server import wait_for

SCRIPT = '''
import time

@DFF.API('Echo')
def echo(**kwargs):
    return {'kwargs': kwargs, 'query': _DFF_HTTP_REQUEST['query'], 'body': _DFF_HTTP_REQUEST['body']}

@DFF.API('Decide')
def decide(req):
    how = req['headers'].get('x-how')
    if how == 'raise':
        raise Exception('no')
    if how == 'exit':
        import os
        os._exit(3)
    if how == 'see':
        return (req['method'], req['query'].get('q'), _DFF_ORIGIN, req['ip'] == '127.0.0.1') == ('GET', '7', 'apiAuth', True)
    if how == 'body':
        return req['body'].get('pin') == 12
    return {'true': True, 'one': 1, 'text': 'yes', 'list': [0], 'zero': 0, 'real0': 0.0, 'empty': '', 'none': None,
            'nolist': [], 'nodict': {}, 'false': False}.get(how)

@DFF.API('Slow', timeout=1)
def slow(req):
    time.sleep(20)
    return True

@DFF.API('Nap')
def nap(req):
    time.sleep(0.4)
    return True
'''
OPAQUE = 'DataFlux Func Love You!'


@pytest.fixture(scope='module')
def script(server):
    """The script above, published."""
    return server.client().script(SCRIPT)


@pytest.fixture
def protect(api, script):
    """protect(type, config) → (API id, auth id)"""
    def make(kind, config, **fields):
        auth = api.post('/api-auth/do/add', {'data': dict(fields, type=kind, configJSON=config)})['id']
        return api.add_sync_api(script + '.echo', apiAuthId=auth), auth
    return make


def url(server, sapi, form='', query=''):
    """Address of a call."""
    return '%s/api/v1/sync/%s%s%s' % (server.base, sapi, form, query)


def users(*pairs):
    """configJSON of user names and passwords."""
    return {'users': [{'username': u, 'password': p} for u, p in pairs]}


# ---- rows -----------------------------------------------------------------------------------------------------

def test_rows(server, api, script):
    """title and name, users without passwords, fields with values for those who may change them, the type is fixed, filters."""
    one = api.post('/api-auth/do/add', {'data': {'name': 'By name', 'type': 'httpBasic', 'note': 'n',
                                                 'configJSON': users(('u1', 'pw-1'), ('u2', 'pw-2'))}})['id']
    two = api.post('/api-auth/do/add', {'data': {'title': 'Fix', 'type': 'fixedField', 'configJSON': {
        'fields': [{'location': 'header', 'name': 'X-K', 'value': 'v'}], 'users': []}}})['id']
    fun = api.post('/api-auth/do/add', {'data': {'type': 'func', 'configJSON': {'funcId': script + '.decide'}}})['id']
    rows = {r['id']: r for r in api.get('/api-auth/do/list', pageSize=100)}
    assert re.fullmatch('apia-[0-9A-Za-z]{12}', one)
    assert rows[one]['title'] == rows[one]['name'] == 'By name'
    assert rows[one]['configJSON'] == {'users': [{'username': 'u1'}, {'username': 'u2'}]}
    assert rows[two]['configJSON'] == {'fields': [{'location': 'header', 'name': 'X-K', 'value': 'v'}]}
    reads = {r['id']: r for r in person(server, api, 'readonlyUser').get('/api-auth/do/list', pageSize=100)}
    assert reads[two]['configJSON'] == {'fields': [{'location': 'header', 'name': 'X-K', 'value': '*****'}]}
    assert rows[fun]['func_id'] == script + '.decide' and rows[fun]['func_title'] == 'Decide'
    assert isinstance(rows[fun]['func_kwargsJSON'], (str, type(None))) and 'scpt_id' in rows[fun]
    assert [r['id'] for r in api.get('/api-auth/do/list', type='fixedField,func')
            if r['id'] in (one, two, fun)] == [two, fun]
    assert [r['id'] for r in api.get('/api-auth/do/list', title='By na')] == [one]
    api.post('/api-auth/%s/do/modify' % one, {'data': {'title': 'T', 'configJSON': {'users': [{'username': 'u2'}]}}})
    rows = {r['id']: r for r in api.get('/api-auth/do/list', pageSize=100)}
    assert rows[one]['name'] == 'T' and rows[one]['configJSON'] == {'users': [{'username': 'u2'}]}
    sapi = api.add_sync_api(script + '.echo', apiAuthId=one)
    row = api.get('/sync-apis/do/list', id=sapi)[0]
    assert (row['apia_id'], row['apia_title'], row['apia_type']) == (one, 'T', 'httpBasic')
    assert api.get('/api-auth/%s/do/delete' % two) == {'id': two}


@pytest.mark.parametrize('data', [
    {'type': 'magic', 'configJSON': {}},
    {'type': 'httpBasic'},
    {'type': 'httpBasic', 'configJSON': {'users': [{'username': 'a'}]}},
    {'type': 'httpBasic', 'configJSON': {'users': [{'username': 'a:b', 'password': 'c'}]}},
    {'type': 'httpBasic', 'configJSON': {'users': [{'username': '', 'password': 'c'}]}},
    {'type': 'httpDigest', 'configJSON': users(('a', 'b'), ('a', 'c'))},
    {'type': 'fixedField', 'configJSON': {'fields': [{'location': 'cookie', 'name': 'a', 'value': 'b'}]}},
    {'type': 'func', 'configJSON': {}},
])
def test_bad_rows(api, data):
    """What could never let anybody in, or not the right ones, is refused when it is written."""
    assert api.envelope('POST', '/api-auth/do/add', json={'data': data})['error'] == 400.43


def test_func_must_exist(api):
    """A function that is not there cannot decide."""
    assert api.envelope('POST', '/api-auth/do/add', json={'data': {
        'type': 'func', 'configJSON': {'funcId': 'no__where.f'}}})['error'] == 404.41


def test_modify_keeps_passwords(server, api, protect):
    """A user without password keeps the old one; a new user needs one; a removed user is out at once."""
    sapi, auth = protect('httpBasic', users(('a', 'pa'), ('b', 'pb')))
    change = {'data': {'configJSON': {'users': [{'username': 'a'}, {'username': 'c', 'password': 'pc'}]}}}
    assert requests.get(url(server, sapi), auth=('b', 'pb')).status_code == 200
    api.post('/api-auth/%s/do/modify' % auth, change)
    got = [requests.get(url(server, sapi), auth=p).status_code for p in (('a', 'pa'), ('b', 'pb'), ('c', 'pc'))]
    assert got == [200, 401, 200]
    assert api.envelope('POST', '/api-auth/%s/do/modify' % auth, json={'data': {'configJSON': {'users': [
        {'username': 'new'}]}}})['error'] == 400.43
    api.post('/api-auth/%s/do/modify' % auth, {'data': {'note': 'only this'}})
    assert requests.get(url(server, sapi), auth=('a', 'pa')).status_code == 200


def test_sealed_at_rest(server, protect):
    """No secret stands in any file of the data folder."""
    protect('httpBasic', users(('plainuser', 'S3cret-basic-7712')))
    protect('httpDigest', users(('plainuser', 'S3cret-digest-7713')))
    protect('fixedField', {'fields': [{'location': 'query', 'name': 'k', 'value': 'S3cret-field-7714'}]})
    seen = b''
    for path in glob.glob(os.path.join(server.data, '**'), recursive=True):
        if os.path.isfile(path):
            with open(path, 'rb') as f:
                seen += f.read()
    assert b'plainuser' in seen and b'S3cret-' not in seen


def test_restart_keeps_credentials(new_server):
    """What was sealed opens after a restart."""
    server = new_server().start()
    api = server.client()
    auth = api.post('/api-auth/do/add', {'data': {'type': 'httpBasic', 'configJSON': users(('a', 'b'))}})['id']
    sapi = api.add_sync_api(api.script(SCRIPT) + '.echo', apiAuthId=auth)
    server.restart()
    assert requests.get(url(server, sapi), auth=('a', 'b')).status_code == 200
    assert requests.get(url(server, sapi), auth=('a', 'x')).status_code == 401


def test_delete_and_change_count_at_once(server, api, protect, script):
    """Deleting an auth closes its APIs with the next call; taking it off an API opens that."""
    sapi, auth = protect('httpBasic', users(('a', 'b')))
    assert requests.get(url(server, sapi), auth=('a', 'b')).status_code == 200
    api.get('/api-auth/%s/do/delete' % auth)
    answer = requests.get(url(server, sapi), auth=('a', 'b'))
    assert (answer.status_code, answer.json()['reason']) == (401, 'EAPIAuth')
    api.post('/sync-apis/%s/do/modify' % sapi, {'data': {
        'funcId': script + '.echo', 'funcCallKwargsJSON': {}, 'apiAuthId': None, 'showInDoc': False, 'isDisabled': False}})
    assert requests.get(url(server, sapi)).status_code == 200


# ---- fixed field ------------------------------------------------------------------------------------------------

FIELDS = {'fields': [{'location': 'header', 'name': 'X-Key', 'value': 'hv'},
                     {'location': 'query', 'name': 'token', 'value': 'qv'},
                     {'location': 'body', 'name': 'cred.pin', 'value': '12'},
                     {'location': 'query', 'name': 'a.b', 'value': 'ab'}]}


@pytest.mark.parametrize('method,form,query,kwargs,status,seen', [
    ('GET', '', '', {}, 401, None),
    ('GET', '', '', {'headers': {'x-key': 'hv'}}, 200, {}),
    ('GET', '', '', {'headers': {'X-KEY': 'hV'}}, 401, None),
    ('GET', '', '', {'headers': {'X-Key': 'hv '}}, 200, {}),  # blanks around a header value are no part of it
    ('GET', '', '', {'headers': {'X-Key': 'h'}}, 401, None),
    ('GET', '/simplified', '?token=qv&x=1', {}, 200, {'x': '1'}),
    ('GET', '/simplified', '?x=1&token=qv', {}, 200, {'x': '1'}),
    ('GET', '/simplified', '?token=qv', {}, 200, {}),
    ('GET', '/simplified', '?token=no&x=1', {}, 401, None),
    ('GET', '/simplified', '?token=no&token=qv', {}, 401, None),
    ('GET', '/simplified', '?a[b]=ab&a[c]=1', {}, 200, {'a': {'c': '1'}}),
    ('GET', '/simplified', '?a.b=ab&x=1', {}, 200, {'x': '1'}),
    ('GET', '/simplified', '?Token=qv', {}, 401, None),
    ('POST', '/simplified', '', {'json': {'cred': {'pin': '12'}, 'x': 1}}, 200, {'cred': {}, 'x': 1}),
    ('POST', '/simplified', '', {'json': {'x': 12345678901234567890, 'cred': {'u': 2, 'pin': 12}}}, 200,
     {'x': 12345678901234567890, 'cred': {'u': 2}}),
    ('POST', '/simplified', '', {'json': {'cred.pin': '12', 'x': 1}}, 200, {'x': 1}),
    ('POST', '/simplified', '', {'json': {'cred': {'pin': ['12']}}}, 401, None),
    ('POST', '/simplified', '', {'json': {'cred': {'pin': None}}}, 401, None),
    ('POST', '/simplified', '', {'data': {'cred[pin]': '12', 'y': 'z'}}, 200, {'cred': {}, 'y': 'z'}),
    ('POST', '/simplified', '', {'files': {'cred[pin]': (None, '12'), 'y': (None, 'z')}}, 200, {'cred': {}, 'y': 'z'}),
    ('POST', '', '?token=qv', {'json': {'kwargs': {'x': 1}}}, 200, {'x': 1}),
    ('POST', '', '', {'json': {'kwargs': {'x': 1}, 'cred': {'pin': '12'}}}, 200, {'x': 1}),
    ('POST', '', '', {'data': '{"kwargs": {"x": 1}, "cr\\u0065d": {"p\\u0069n": "1\\u0032"}}',
                      'headers': {'Content-Type': 'application/json'}}, 200, {'x': 1}),
    ('POST', '', '', {'data': '{"cred.pin": "no", "cred.pin" : "12", "kwargs": {"x": 1}}',
                      'headers': {'Content-Type': 'application/json'}}, 200, {'x': 1}),
    ('POST', '', '', {'data': 'x' * 100, 'headers': {'Content-Type': 'application/json'}}, 401, None),
])
def test_fixed_field(server, protect, method, form, query, kwargs, status, seen):
    """Any one field that matches passes; what was a credential reaches neither kwargs nor the request object."""
    sapi, _ = protect('fixedField', FIELDS)
    answer = requests.request(method, url(server, sapi, form, query), **kwargs)
    assert answer.status_code == status, answer.text
    if status == 200:
        got = answer.json()
        assert got['kwargs'] == seen
        assert 'qv' not in str(got) and 'pin' not in str(got)
    else:
        envelope = answer.json()
        assert (envelope['error'], envelope['message']) == (401.99, 'Fixed Field Auth failed')
        assert 'WWW-Authenticate' not in answer.headers


# ---- basic ------------------------------------------------------------------------------------------------------

def b64(text):
    """Basic credentials."""
    return 'Basic ' + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize('header,status', [
    (None, 401), (b64('u:pä:ss'), 200), ('bAsIc ' + b64('u:pä:ss')[6:], 200), (b64('u:no'), 401), (b64('v:pä:ss'), 401),
    (b64('u:'), 401), (b64(':'), 401), (b64('u'), 400), ('Basic', 401), ('Basic !!!', 400), ('Basic ' + 'A' * 5000, 400),
    ('Bearer abc', 401), (b64('v:two'), 200), (b64('U:pä:ss'), 401), (b64('u:pä:ss\0'), 401)])
def test_basic(server, protect, header, status):
    """Any listed user with the right password, nobody else, however the header looks."""
    sapi, _ = protect('httpBasic', users(('u', 'pä:ss'), ('v', 'two')))
    answer = requests.get(url(server, sapi), headers={'Authorization': header} if header else {})
    assert answer.status_code == status, answer.text
    if status == 401:
        assert answer.headers['WWW-Authenticate'] == 'Basic realm="SyncAPI:%s"' % sapi
        assert answer.json()['message'] == 'HTTP Basic Auth failed'


def curl(*args):
    """Status and body as curl sees them."""
    out = subprocess.run(('curl', '-sS', '-g', '-w', '\n%{http_code}') + args, check=True, capture_output=True, text=True)
    body, status = out.stdout.rsplit('\n', 1)
    return int(status), body


def test_basic_clients(server, protect):
    """curl and requests."""
    sapi, _ = protect('httpBasic', users(('u', 'p')))
    assert requests.get(url(server, sapi), auth=HTTPBasicAuth('u', 'p')).status_code == 200
    assert curl('-u', 'u:p', url(server, sapi))[0] == 200
    assert curl('-u', 'u:x', url(server, sapi))[0] == 401


# ---- digest -----------------------------------------------------------------------------------------------------

def test_digest_clients(server, protect):
    """curl (SHA-256), requests (MD5), GET and POST, right and wrong."""
    sapi, _ = protect('httpDigest', users(('u', 'p:w'), ('üser', 'x')))
    for _ in range(3):
        assert curl('--digest', '-u', 'u:p:w', url(server, sapi, '/simplified', '?a=1&b=[2]'))[0] == 200
    assert curl('--digest', '-u', 'u:p:w', '-d', '{"kwargs":{}}', '-H', 'Content-Type: application/json',
                url(server, sapi))[0] == 200
    assert curl('--digest', '-u', 'u:no', url(server, sapi))[0] == 401
    with requests.Session() as session:
        session.auth = HTTPDigestAuth('u', 'p:w')
        for _ in range(5):
            assert session.get(url(server, sapi), params={'x': 'ä'}).status_code == 200
        assert session.post(url(server, sapi), json={'kwargs': {'x': 1}}).json()['kwargs'] == {'x': 1}
    assert requests.get(url(server, sapi), auth=HTTPDigestAuth('u', 'no')).status_code == 401
    assert curl('--digest', '-u', 'üser:x', url(server, sapi))[0] == 200


class Digest:
    """A client that can do every step wrong."""

    def __init__(self, server, sapi, user='u', password='p'):
        self.server, self.sapi, self.user, self.password = server, sapi, user, password
        self.target = '/api/v1/sync/' + sapi
        self.realm = 'SyncAPI:' + sapi
        self.nonce = self.challenge()[0]

    def challenge(self, answer=None):
        """Nonces of the challenges, SHA-256 first."""
        answer = answer or requests.get(self.server.base + self.target)
        assert answer.status_code == 401
        return re.findall(r' nonce="([0-9a-f]+)"', answer.headers['WWW-Authenticate'])

    def header(self, nc=1, method='GET', algorithm='SHA-256', **change):
        """The Authorization header; change replaces directives (None: leaves it out)."""
        h = {'SHA-256': hashlib.sha256, 'MD5': hashlib.md5}.get(algorithm, hashlib.md5)
        d = {'username': self.user, 'realm': self.realm, 'nonce': self.nonce, 'uri': self.target, 'qop': 'auth',
             'nc': '%08x' % nc, 'cnonce': 'c0ffee', 'opaque': OPAQUE, 'algorithm': algorithm}
        d.update({k: v for k, v in change.items() if k not in ('response', 'extra', 'secret')})
        value = {k: v or '' for k, v in d.items()}

        def digest(*parts):
            return h(':'.join(parts).encode()).hexdigest()
        ha1 = digest(change.get('secret', self.user), self.realm, self.password)
        d['response'] = digest(ha1, value['nonce'], value['nc'], value['cnonce'], value['qop'], digest(method, value['uri']))
        d['response'] = change.get('response', d['response'])
        bare = ('qop', 'nc', 'algorithm', 'userhash', 'username*')
        return 'Digest ' + ', '.join(('%s=%s' if k in bare else '%s="%s"') % (k, v) for k, v in d.items()
                                     if v is not None) + change.get('extra', '')

    def get(self, header, method='GET', target=None):
        """The answer to one request with that header."""
        session = requests.Session()
        request = requests.Request(method, self.server.base + self.target, headers={'Authorization': header}).prepare()
        if target:
            request.url = self.server.base + target
        return session.send(request)


@pytest.fixture
def digest(server, protect):
    """A protected API and its client by hand."""
    sapi, _ = protect('httpDigest', users(('u', 'p'), ('Jäsøn', 'p')))
    return Digest(server, sapi)


def test_digest_challenge(server, digest):
    """SHA-256 first, then MD5, each in a header of its own, same realm and opaque."""
    raw = server.raw()
    with raw:
        raw.send(('GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' % digest.target).encode())
        text = b''
        while True:
            piece = raw.sock.recv(65536)
            if not piece:
                break
            text += piece
    found = re.findall(r'(?im)^www-authenticate: (Digest .*?)\r?$', text.decode())
    assert len(found) == 2 and 'algorithm=SHA-256' in found[0] and 'algorithm=MD5' in found[1]
    for line in found:
        assert 'realm="%s"' % digest.realm in line and 'qop="auth"' in line and 'opaque="%s"' % OPAQUE in line
        assert 'stale' not in line


GOOD = [
    {}, {'algorithm': 'MD5'}, {'algorithm': 'MD5', 'drop': 'algorithm'}, {'nc': 7}, {'uri': 'absolute'},
    {'extra': ', unknown="x, y"'}, {'extra': ' ,, '}, {'cnonce': 'x' * 200},
    {'username': None, 'username*': "UTF-8''J%c3%a4s%C3%B8n", 'secret': 'Jäsøn'},
    {'username': 'hash', 'userhash': 'true'},
]


@pytest.mark.parametrize('change', GOOD, ids=str)
def test_digest_good(digest, change):
    """What RFC 7616 allows."""
    change = dict(change)
    if change.get('uri') == 'absolute':
        change['uri'] = digest.server.base + digest.target
    if change.pop('drop', None):
        header = digest.header(**change).replace(', algorithm=MD5', '')
    else:
        if change.get('username') == 'hash':
            change['username'] = hashlib.sha256(('u:' + digest.realm).encode()).hexdigest()
        header = digest.header(**change)
    answer = digest.get(header)
    assert answer.status_code == 200, answer.text


BAD = [
    ({'response': '0' * 64}, 401), ({'response': ''}, 401), ({'response': None}, 401), ({'response': '0' * 32}, 401),
    ({'username': 'nobody'}, 401), ({'username': None}, 401), ({'realm': 'other'}, 401), ({'realm': None}, 401),
    ({'opaque': 'other'}, 401), ({'opaque': None}, 401), ({'qop': None}, 401), ({'qop': 'auth-int'}, 401),
    ({'nc': 0}, 401), ({'uri': '/api/v1/sync/other'}, 401), ({'uri': None}, 401), ({'uri': ''}, 401),
    ({'method': 'POST'}, 401), ({'algorithm': 'SHA-1'}, 401), ({'algorithm': 'SHA-256-sess'}, 401),
    ({'cnonce': None}, 401), ({'cnonce': ''}, 401), ({'nonce': None}, 401), ({'nonce': '0' * 48}, 401),
    ({'nonce': 'short'}, 401), ({'username*': "UTF-8''u"}, 401), ({'username': None, 'username*': "latin1''u"}, 401),
    ({'username': None, 'username*': "UTF-8''%zz"}, 401),
    ({'extra': ', nc=00000002'}, 400), ({'extra': ', uri="/x"'}, 400), ({'extra': ', USERNAME="u"'}, 400),
    ({'extra': ', nonce="a"'}, 400), ({'extra': ', response="a"'}, 400), ({'extra': ', realm="a'}, 400),
    ({'extra': ' x'}, 400), ({'extra': ', =1'}, 400), ({'extra': ', a=;'}, 400),
]


@pytest.mark.parametrize('change,status', BAD, ids=str)
def test_digest_bad(digest, change, status):
    """What is missing, changed or given twice; then the right one still passes."""
    answer = digest.get(digest.header(**change))
    assert answer.status_code == status, answer.text
    assert digest.get(digest.header()).status_code == 200


def test_digest_downgrade(digest):
    """A response computed for one algorithm is not accepted under the name of the other."""
    sha = re.search('response="([0-9a-f]+)"', digest.header()).group(1)
    assert digest.get(digest.header(algorithm='MD5', response=sha)).status_code == 401
    md5 = re.search('response="([0-9a-f]+)"', digest.header(algorithm='MD5')).group(1)
    assert digest.get(digest.header(response=md5)).status_code == 401


def test_digest_replay(digest):
    """A count is good once; late ones are good within 64 of the highest; a jump is allowed."""
    def status(nc):
        return digest.get(digest.header(nc)).status_code
    assert [status(n) for n in (1, 1, 3, 2, 2, 3)] == [200, 401, 200, 200, 401, 401]
    assert [status(n) for n in (100, 37, 36, 2, 37)] == [200, 200, 401, 401, 401]
    assert [status(n) for n in (0xffffffff, 0xffffffff, 0xfffffffe)] == [200, 401, 200]
    other = digest.challenge()[1]
    assert digest.get(digest.header(1, nonce=other)).status_code == 200


def test_digest_request_is_bound(digest):
    """The header of one request opens no other."""
    header = digest.header(1)
    assert digest.get(header, target=digest.target + '?x=1').status_code == 401
    assert digest.get(header, target=digest.target + '/simplified').status_code == 401
    assert digest.get(header, method='POST').status_code == 401
    assert digest.get(header).status_code == 200


def test_digest_other_api(server, digest, api, script):
    """Nonces and responses of one API are worth nothing at another with the same auth."""
    row = api.get('/sync-apis/do/list', id=digest.sapi)[0]
    twin = Digest(server, api.add_sync_api(script + '.echo', apiAuthId=row['apiAuthId']))
    nonce, twin.nonce = twin.nonce, digest.nonce
    answer = twin.get(twin.header())
    assert answer.status_code == 401 and 'stale=true' in answer.headers['WWW-Authenticate']
    twin.nonce = nonce
    assert twin.get(twin.header()).status_code == 200


def test_digest_survives_other_changes(digest, api, script):
    """Something else is published: the nonce lives on and so does what was used of it."""
    assert digest.get(digest.header(1)).status_code == 200
    api.add_sync_api(script + '.echo')
    assert digest.get(digest.header(1)).status_code == 401
    assert digest.get(digest.header(2)).status_code == 200


def test_digest_change_makes_stale(digest, api):
    """After a change of the row old nonces are stale, not a wrong password."""
    auth = api.get('/sync-apis/do/list', id=digest.sapi)[0]['apiAuthId']
    assert digest.get(digest.header(1)).status_code == 200
    api.post('/api-auth/%s/do/modify' % auth, {'data': {'configJSON': {'users': [{'username': 'u', 'password': 'p'}]}}})
    answer = digest.get(digest.header(1))
    assert answer.status_code == 401 and answer.headers['WWW-Authenticate'].count('stale=true') == 2
    digest.nonce = digest.challenge(answer)[0]
    assert digest.get(digest.header(1)).status_code == 200


# ---- func -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('how,status', [
    ('true', 200), ('one', 200), ('text', 200), ('list', 200), ('zero', 401), ('real0', 401), ('empty', 401),
    ('none', 401), ('nolist', 401), ('nodict', 401), ('false', 401), ('raise', 401), ('exit', 401), ('', 401)])
def test_func(server, protect, script, how, status):
    """Truthy passes; falsy, an exception and a crash refuse."""
    sapi, _ = protect('func', {'funcId': script + '.decide'})
    answer = requests.get(url(server, sapi, '/simplified', '?x=1'), headers={'X-How': how})
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json()['kwargs'] == {'x': '1'}
    else:
        assert (answer.json()['error'], answer.json()['message']) == (401.99, 'Func Auth failed')


def test_func_sees_the_request(server, protect, script):
    """req is the HTTP request object; the original call keeps its arguments."""
    sapi, _ = protect('func', {'funcId': script + '.decide'})
    answer = requests.get(url(server, sapi, '/simplified', '?q=7'), headers={'X-How': 'see'})
    assert answer.status_code == 200 and answer.json()['kwargs'] == {'q': '7'}
    answer = requests.post(url(server, sapi), json={'kwargs': {'y': 2}, 'pin': 12}, headers={'X-How': 'body'})
    assert answer.status_code == 200 and answer.json()['kwargs'] == {'y': 2}


def test_func_timeout(server, protect, script):
    """A function that does not answer in time refuses."""
    sapi, _ = protect('func', {'funcId': script + '.slow'})
    start = time.monotonic()
    assert requests.get(url(server, sapi)).status_code == 401
    assert time.monotonic() - start < 15


def test_func_client_leaves(server, protect, script):
    """Clients that go while the function is asked leave nothing behind."""
    sapi, _ = protect('func', {'funcId': script + '.nap'})
    for _ in range(10):
        with server.raw() as raw:
            raw.send(('GET /api/v1/sync/%s HTTP/1.1\r\nHost: x\r\n\r\n' % sapi).encode())
    assert requests.get(url(server, sapi)).status_code == 200


def test_func_that_is_gone(server, api, protect):
    """The function was removed: closed, not open."""
    other = api.script('@DFF.API("A")\ndef a(req):\n    return True\n')
    sapi, _ = protect('func', {'funcId': other + '.a'})
    assert requests.get(url(server, sapi)).status_code == 200
    api.edit(other, 'x = 1\n')
    api.publish(other)
    assert requests.get(url(server, sapi)).json()['reason'] == 'EAPIAuth'


# ---- failed attempts ----------------------------------------------------------------------------------------------

def test_failed_attempts_are_slowed(server, api, protect, script):
    """After ten wrong ones the address waits, shortly; requests without a credential do not count; other APIs are
    not concerned."""
    sapi, auth = protect('httpBasic', users(('u', 'p')))
    other = api.add_sync_api(script + '.echo', apiAuthId=auth)
    assert {requests.get(url(server, sapi)).status_code for _ in range(20)} == {401}
    got = [requests.get(url(server, sapi), auth=('u', 'x')) for _ in range(11)]
    assert [a.status_code for a in got] == [401] * 10 + [429]
    assert got[-1].json()['error'] == 429.46 and 1 <= int(got[-1].headers['Retry-After']) <= 2
    assert requests.get(url(server, other), auth=('u', 'p')).status_code == 200
    assert requests.get(url(server, sapi), auth=('u', 'p')).status_code == 429
    time.sleep(int(got[-1].headers['Retry-After']) + 0.1)
    assert requests.get(url(server, sapi), auth=('u', 'p')).status_code == 200
    assert requests.get(url(server, sapi), auth=('u', 'x')).status_code == 401  # forgiven


def test_a_network_is_one_address(new_server):
    """Somebody with an IPv6 network of 64 bits has no 2^64 times ten tries; his neighbours keep theirs, IPv4 is counted by address."""
    server = new_server(env={'TENON_TRUSTED_PROXIES': '127.0.0.0/8'}).start()
    client = server.client()
    auth = client.post('/api-auth/do/add', {'data': {'type': 'httpBasic', 'configJSON': users(('u', 'p'))}})['id']
    sapi = client.add_sync_api(client.script('@DFF.API("f")\ndef f():\n    return 1\n') + '.f', apiAuthId=auth)

    def status(address):
        return requests.get(url(server, sapi), auth=('u', 'x'), headers={'X-Forwarded-For': address}).status_code
    assert [status('2001:db8:7:7::%x' % i) for i in range(11)] == [401] * 10 + [429]
    assert status('2001:db8:7:7:ffff::1') == 429
    assert [status('2001:db8:7:%x::1' % (8 + i)) for i in range(12)] == [401] * 12
    assert [status('192.0.2.%d' % i) for i in range(12)] == [401] * 12


@pytest.mark.parametrize('how', ['stop', 'kill'])
def test_failed_attempts_survive_a_restart(new_server, how):
    """A restart gives nobody ten new tries; who was right meanwhile starts at nothing."""
    s = new_server()
    s.start()
    client = s.client()
    script = client.script('@DFF.API("f")\ndef f():\n    return 1\n@DFF.API("kept")\ndef kept():\n'
                           '    return DFF.SYS_DB.query("SELECT failures FROM wat_main_sign_in_guard WHERE id LIKE \'gate-%\' ORDER BY 1")\n')
    auth = client.post('/api-auth/do/add', {'data': {'type': 'httpBasic', 'configJSON': users(('u', 'p'))}})['id']
    bad, good = (client.add_sync_api(script + '.f', apiAuthId=auth) for _ in range(2))
    kept = client.add_sync_api(script + '.kept')

    def status(api_id, password):
        return requests.get(url(s, api_id), auth=('u', password)).status_code
    assert [status(bad, 'x') for _ in range(9)] == [401] * 9
    assert [status(good, 'x') for _ in range(9)] + [status(good, 'p')] == [401] * 9 + [200]
    if how == 'kill':
        assert wait_for(lambda: s.client().result(kept) == [{'failures': 9}], 20, 0.2)
        s.kill()
    else:
        assert s.stop() == 0
    s.start()
    assert s.client().result(kept) == [{'failures': 9}]
    assert [status(bad, 'x') for _ in range(2)] == [401, 429]
    assert [status(good, 'x') for _ in range(4)] + [status(good, 'p')] == [401] * 4 + [200]
    time.sleep(1.1)
    assert status(bad, 'p') == 200
    assert wait_for(lambda: s.client().result(kept) == [], 20, 0.2)


def test_order_of_checks(server, api, protect):
    """A disabled API tells so only to who may call it (spec 2.3)."""
    sapi, _ = protect('httpBasic', users(('u', 'p')))
    api.post('/sync-apis/do/modify-many?id=' + sapi, {'data': {'isDisabled': True}})
    assert requests.get(url(server, sapi)).status_code == 401
    assert requests.get(url(server, sapi), auth=('u', 'p')).json()['reason'] == 'EBizCondition.SyncAPIDisabled'


# ---- asynchronous calls ----------------------------------------------------------------------------------------------------

ASYNC = [
    ('fixedField', {'fields': [{'location': 'header', 'name': 'X-Key', 'value': 'open-sesame'}]},
     {'headers': {'X-Key': 'open-sesame'}}, {'headers': {'X-Key': 'shut'}}),
    ('httpBasic', users(('ann', 'green-tea')), {'auth': HTTPBasicAuth('ann', 'green-tea')}, {'auth': HTTPBasicAuth('ann', 'black')}),
    ('httpDigest', users(('ann', 'green-tea')), {'auth': HTTPDigestAuth('ann', 'green-tea')}, {'auth': HTTPDigestAuth('ann', 'black')}),
    ('func', None, {'headers': {'X-How': 'true'}}, {'headers': {'X-How': 'false'}}),
]


@pytest.mark.parametrize('kind,config,right,wrong', ASYNC, ids=[a[0] for a in ASYNC])
def test_asynchronous_calls(api, server, script, kind, config, right, wrong) -> None:
    """Each method in front of an async API: submitting, its state and its result need the credential, every time; what was refused
    left no task; a changed auth counts for the next call, a deleted one refuses."""
    auth = api.post('/api-auth/do/add', {'data': {'type': kind, 'configJSON': config or {'funcId': script + '.decide'}}})['id']
    aapi = api.add_async_api(script + '.echo', {'x': 'INPUT_BY_CALLER'}, apiAuthId=auth)
    base = '%s/api/v1/async/%s' % (server.base, aapi)

    def tasks():
        return api.envelope('GET', '/tasks/do/list', params={'originId': aapi})['pageInfo']['totalCount']
    for refused in ({}, wrong):
        assert requests.post(base, json={'kwargs': {'x': 1}}, **refused).status_code in (401, 403)
    assert tasks() == 0
    answer = requests.post(base, json={'kwargs': {'x': 1}}, **right)
    assert answer.status_code == 200, answer.text
    task = answer.json()['data']['id']
    assert tasks() == 1 and api.ended(task)['state'] == 'succeeded'
    for path in ('', '/result?wait=5'):
        for refused in ({}, wrong):
            assert requests.get('%s/tasks/%s%s' % (base, task, path), **refused).status_code in (401, 403)
        assert requests.get('%s/tasks/%s%s' % (base, task, path), **right).status_code == 200
    assert requests.get('%s/tasks/%s/result?wait=5' % (base, task), **right).json()['kwargs'] == {'x': 1}
    many = requests.post(base + '/do/call-many', json={'calls': [{'kwargs': {'x': 1}}] * 2})
    assert many.status_code in (401, 403) and tasks() == 1
    api.post('/async-apis/%s/do/modify' % aapi, {'data': {'apiAuthId': None}})
    assert requests.post(base, json={'kwargs': {'x': 1}}).status_code == 200
    api.post('/async-apis/%s/do/modify' % aapi, {'data': {'apiAuthId': auth}})
    assert requests.post(base, json={'kwargs': {'x': 1}}).status_code in (401, 403)
    api.get('/api-auth/%s/do/delete' % auth)
    assert requests.post(base, json={'kwargs': {'x': 1}}, **right).status_code in (401, 403)
    assert tasks() == 2
