# SPDX-License-Identifier: Apache-2.0
"""connectors/http in scripts, against nginx and a server of odd answers; what was sent is looked at there."""

import contextlib
import hashlib
import hmac
import json
from urllib.parse import urlsplit

import pytest
import requests
from peers.nginx import PASSWORD, Nginx
from peers.odd_http import OddHttp
from peers.peer import free_port
from peers.proxy import Proxy
from support.cases import (BREAKS, GONE, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, CertificateWanted, Contract, FewConnections, HugeAnswers,
                           Panel, PasswordChanges, Readme, Refusals, TlsIsMissed, TlsNotOffered)
from support.connectors import add, not_addable, on, peer
from support.matrix import check_row, shows


@pytest.fixture(scope='module')
def odd():
    with OddHttp() as server_:
        yield server_


@pytest.fixture(scope='module')
def web():
    with peer(Nginx) as p:
        p.file('a.json', b'{"a": [1, 2.5, null, "\xc3\xbc"], "big": 123456789012345678901234567890}')
        p.file('a.html', b'<p>text</p>')
        p.file('a.bin', bytes(range(256)) * 1000)
        p.file('packed/a.json', b'{"many": "%s"}' % (b'x' * 50000))
        p.file('basic/index.html', b'secret')
        yield p


@pytest.fixture(scope='module')
def cid(server, odd):
    return add(server.client(), 'http', odd.config())


def last(odd):
    return odd.seen[-1]


# ---- requests and answers -------------------------------------------------------------------------------------


def test_methods_and_bodies(api, cid):
    """What a script says is what the server gets."""
    got = on(api, cid, r'''
import datetime, decimal
out = [c.get('/p', {'a': 1, 'b': ['x y', 'ü'], 'n': None, 't': True})['body'], c.get('p?x=1', 'y=2&z=%20')['body'], c.head('/h')['status']]
out += [c.post('/f', {'a': '1&2', 'b': [1, 2]})['body'], c.post('/t', 'text ü')['body'], c.post('/b', b'\x00\xff')['body'], c.post('/e')['body']]
out += [c.put('/j', json={'n': None, 'f': 0.1, 'i': 2**70, 'd': decimal.Decimal('1.50'), 't': datetime.datetime(2026, 1, 2, 3, 4, 5)})['body']]
out += [c.patch('/x', json=[1])['body'], c.delete('/x')['body'], c.options('/x')['status'], c.request('purge', '/x')['body']]
out += [c.post('/x', b'[1]', headers={'Content-Type': 'application/x-own', 'X-Int': 5, 'X-Empty': ''})['body']]
return out
''')
    assert got[0]['target'] == '/p?a=1&b=x%20y&b=%C3%BC&t=true' and got[1]['target'] == '/p?x=1&y=2&z=%20' and got[2] == 200
    assert got[0]['headers']['user-agent'].startswith('tenon (test_') and 'gzip' in got[0]['headers']['accept-encoding']
    assert got[3]['body'] == 'a=1%262&b=1&b=2' and got[3]['headers']['content-type'] == 'application/x-www-form-urlencoded'
    assert got[4]['body'].encode('latin-1').decode() == 'text \u00fc' and got[5]['body'] == '\x00\xff'
    assert got[6]['method'] == 'POST' and got[6]['headers']['content-length'] == '0' and 'expect' not in got[6]['headers']
    assert got[7]['body'] == '{"n":null,"f":0.1,"i":1180591620717411303424,"d":1.50,"t":"2026-01-02T03:04:05"}'
    assert got[7]['headers']['content-type'] == 'application/json'
    assert [g['method'] for g in (got[7], got[8], got[9], got[11])] == ['PUT', 'PATCH', 'DELETE', 'PURGE'] and got[10] == 200
    assert got[12]['headers']['content-type'] == 'application/x-own' and got[12]['headers']['x-int'] == '5' and got[12]['headers']['x-empty'] == ''


def test_answers(api, cid, web):
    """JSON, text and bytes by content type, or as asked; headers; the real server."""
    got = on(api, cid, r'''
own = DFF.CONN(own)
a = own.get('/a.json')
out = [a['status'], a['body'], a['headers']['content-type'], own.get('/a.html')['body'], hash(own.get('/a.bin')['body']) == hash(bytes(range(256)) * 1000)]
out += [own.get('/a.json', parse='text')['body'][:4], own.get('/a.json', parse='bytes')['body'][:4] == b'{"a"', own.get('/none')['status']]
p = own.get('/packed/a.json')
out += [len(p['body']['many']), p['headers']['content-encoding'], c.get('/latin')['body'], c.get('/bytes')['body'] == b'\x00\xff\xfe']
out += [tell(lambda: own.get('/a.html', parse='json')), c.get('/not-json')['body'], c.get('/cookies')['headers']['set-cookie'], c.get('/cookies')['headers']['x-two']]
out += [{k: v for k, v in c.get('/odd-headers')['headers'].items() if k.startswith('x-')}]
out += ['cookie' in c.get('/echo')['body']['headers'], own.query('GET', 'a.json')[0], own.query('GET /a.html'), isinstance(own.query('GET /a.html'), tuple)]
out += [tell(lambda: own.query('GET', '/none')), tell(lambda: own.get('/none', raise_for_status=True)), c.query('POST', '/q', {'a': 1}, {'b': 2})[1]['body']]
return out
''', own=add(api, 'http', web.config()))
    assert got[:3] == [200, {'a': [1, 2.5, None, '\u00fc'], 'big': 123456789012345678901234567890}, 'application/json']
    assert got[3:8] == ['<p>text</p>', True, '{"a"', True, 404]
    assert got[8:12] == [50000, 'gzip', 'caf\u00e9', True]
    assert got[12][0] == 'QueryError' and 'no JSON' in got[12][1] and got[13] == '{"a": 1,}'
    assert got[14:21] == [['a=1', 'b=2'], 'one, two', {'x-latin': 'caf\u00e9', 'x-utf8': 'caf\u00e9'}, False, 200, [200, '<p>text</p>'], True]
    assert got[21][0] == 'QueryError' and got[21][2] == 404 and got[22][0] == 'QueryError' and got[23] == '{"b":2}'


def test_as_another_client(api, web, odd, cid):
    """requests sends the same and is answered the same: status, body, headers of the real server; targets, forms and accounts that arrive."""
    own = add(api, 'http', web.config(user='tenon', password=PASSWORD))
    paths = ['/a.json', '/a.html', '/packed/a.json', '/basic/', '/none', '/where/', '/a.bin?x=1']
    mine = on(api, own, "return [[a['status'], a['headers'], len(a['body']) if isinstance(a['body'], (str, bytes)) else a['body']] for a in (c.get(p) for p in paths)]", paths=paths)
    for path, (status, headers, body) in zip(paths, mine):
        a = requests.get('http://127.0.0.1:%d%s' % (web.port, path), auth=('tenon', PASSWORD), timeout=5)
        same = a.json() if 'json' in a.headers['content-type'] else len(a.content)
        changing = ('date', 'connection')
        assert [status, {k: v for k, v in headers.items() if k not in changing}, body] == [a.status_code, {k.lower(): v for k, v in a.headers.items() if k.lower() not in changing}, same], path
    params, form = {'a': '1 2', 'b': ['x&y', '\u6570'], 'c': 5}, {'u': 'a b&c', 'v': ['1', '\u6570']}
    on(api, cid, "c.get('/p q/\u6570', params); c.post('/f', form); c.post('/j', json=form); c.put('/b', b'\\x00x')", params=params, form=form)
    base = 'http://127.0.0.1:%d' % odd.port
    requests.get(base + '/p q/\u6570', params=params, timeout=5), requests.post(base + '/f', form, timeout=5), requests.post(base + '/j', json=form, timeout=5), requests.put(base + '/b', b'\0x', timeout=5)
    told = [{'method': s['method'], 'target': s['target'].replace('%20', '+'), 'body': s['body'].replace('%20', '+') if s['path'] != '/j' else json.loads(s['body'].encode('latin-1')),
             'type': s['headers'].get('content-type') if s['path'] != '/b' else ''} for s in odd.seen[-8:]]
    assert told[:4] == told[4:], told


def test_arguments_that_are_refused(api, cid):
    got = on(api, cid, r'''
return [tell(lambda: c.get('/x', headers={'A b': '1'})), tell(lambda: c.get('/x', headers={'A': '1\r\nB: 2'})), tell(lambda: c.get('ftp://127.0.0.1/')),
        tell(lambda: c.post('/x', 'a', json=1)), tell(lambda: c.post('/x', json=float('nan'))), tell(lambda: c.post('/x', json={'b': b'\xff'})),
        tell(lambda: c.get('http://')), tell(lambda: c.get('/x', parse='xml')), tell(lambda: c.request('G T', '/x')), tell(lambda: c.get(5)),
        c.get('/x\r\nHost: evil')['body']['target']]
''')
    assert [g[0] for g in got[:10]] == ['InvalidArgument'] * 9 + ['TypeError']
    assert got[10] == '/x%0D%0AHost:%20evil'


def test_what_a_script_may_not_say(api, odd, cid):
    """Where a message ends is the connector's business: the rest would be somebody else's request on the kept connection."""
    got = on(api, cid, r'''
smuggled = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
return [tell(lambda: c.post('/x', smuggled, headers={'Content-Length': 0})), tell(lambda: c.post('/x', 'abc', headers={'content-length': '30'})),
        tell(lambda: c.post('/x', '0\r\n\r\n' + smuggled, headers={'Transfer-Encoding': 'chunked'})), c.post('/x', 'abc', headers={'Content-Length': '3'})['body']['body'],
        c.get('/p?a=1#x', {'b': 2})['body']['target'], c.get('#x')['body']['target']]
''')
    assert [g[0] for g in got[:3]] == ['InvalidArgument'] * 3 and 'Content-Length' in got[0][1] and got[3] == 'abc' and got[4:] == ['/p?a=1&b=2', '/']
    assert [s['path'] for s in odd.seen if s['path'] == '/smuggled'] == []
    own = add(api, 'http', odd.config(user='ann', password='s3cret'))
    got = on(api, own, '''
return [c.get('/x', headers={'Authorization-Extra': '1', 'User-Agent-Extra': '2'})['body']['headers'],
        tell(lambda: c.get('http://ann:s3cret@127.0.0.1:%d/status?code=404&token=s3cret' % port, raise_for_status=True)), tell(lambda: c.get('ftp://ann:s3cret@h/'))]
''', port=odd.port)
    assert got[0]['authorization'].startswith('Basic ') and got[0]['user-agent'].startswith('tenon')
    assert got[1][2] == 404 and '/status answers 404' in got[1][1] and 's3cret' not in str(got[1:])


@shows('streaming', 'in pieces, bounded memory')
def test_stream(api, cid, sanitized):
    n = 20 if sanitized else 200
    got = on(api, cid, '''
import hashlib, resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total, pieces = 0, 0
for piece in c.stream('/chunks?n=%d&size=1000000' % n):
    total += len(piece)
    pieces += 1
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
first = next(c.stream('/chunks?n=3&size=10&pause=0.2'))
out = [total, pieces >= n * 1000000 // 65536, grown, first[:3] == b'AAA', c.get('/echo')['status']]
out.append(tell(lambda: next(c.stream('/status?code=404'))))
return out
''', n=n)
    assert got[0] == n * 1000000 and got[1] and got[3] and got[4] == 200 and got[5][0] == 'QueryError' and got[5][2] == 404
    assert sanitized or got[2] < 32 * 1024, got[2]


def test_limits(api, odd, sanitized):
    """Nothing from outside grows without a bound: bodies, packed bodies, headers."""
    cid = add(api, 'http', odd.config(max_result='1M'))
    got = on(api, cid, '''
return [tell(lambda: c.get('/huge?n=3000000')), tell(lambda: c.get('/bomb')), tell(lambda: c.get('/headers?n=400&size=1000')),
        tell(lambda: c.get('/headers?n=1&size=90000')), len(c.get('/huge?n=1000000')['body']),
        tell(lambda: c.get('/headers?n=1&size=150000')), tell(lambda: c.get('/headers?n=4000&size=1'))]
''')
    assert [g[0] for g in got[:3]] == ['LimitExceeded'] * 3 and 'max_result' in got[0][1] and got[3] is None and got[4] == 1000000
    assert [g[0] for g in got[5:]] == ['LimitExceeded'] * 2 and 'headers' in got[5][1], got[5:]
    total, grown = on(api, cid, '''
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
return [sum(len(piece) for piece in c.stream('/bomb')), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]
''')
    assert total == 200000000 and (sanitized or grown < 32 * 1024), grown  # packed a thousand times, in pieces


def test_redirects(api, odd, cid):
    """Followed within bounds; methods change as browsers do it; credentials stay with their host."""
    port = odd.port
    own = add(api, 'http', odd.config(user='ann', password='s3cret'))
    got = on(api, own, '''
to = lambda path, status=302: '/redirect?status=%d&to=%s' % (status, path)
out = [c.get(to('/echo'))['body']['path'], c.get(to('/echo'))['url'].endswith('/echo'), c.post(to('/echo'), 'x')['body']['method']]
out += [c.post(to('/echo', 307), 'x')['body']['body'], c.put(to('/echo', 303), 'x')['body']['method'], c.get(to('/echo'), redirects=0)['status']]
out += [c.get(to('/echo'), redirects=False)['status'], c.get('/redirect?to=/loop', redirects=3)['status']]
out += [c.get(to('/echo'))['body']['headers'].get('authorization', '')[:6], c.get(to('http://localhost:%d/echo' % port), headers={'Cookie': 'a=1', 'X-Auth-Token': 't', 'X-Other': 'o'})['body']['headers']]
out += [c.get('http://localhost:%d/echo' % port)['body']['headers'].get('authorization'), c.get('http://127.0.0.1:%d/echo' % port)['body']['headers'].get('authorization', '')[:6]]
out.append(tell(lambda: c.get(to('file:///etc/passwd'))))
return out
''', port=port)
    assert got[:8] == ['/echo', True, 'GET', 'x', 'GET', 302, 302, 302]
    assert got[8] == 'Basic ' and 'authorization' not in got[9] and 'cookie' not in got[9] and 'x-auth-token' not in got[9] and got[9]['x-other'] == 'o'
    assert got[10] is None and got[11] == 'Basic ' and got[12] is not None


@shows('faults', 'private address blocked')
def test_private_addresses(api, odd):
    """block_private looks at addresses, whatever they are called, and after redirects."""
    cid = add(api, 'http', {'block_private': True}, skipTest=True)
    got = on(api, cid, '''
names = ['[64:ff9b:1::7f00:1]', '[::127.0.0.1]', '127.0.0.1', 'localhost', '[::1]', '127.1', '0x7f.1', '2130706433', '[::ffff:127.0.0.1]', '10.0.0.1', '169.254.169.254', '192.168.1.1', '0.0.0.0', '[fd00:ec2::254]', '100.64.0.1']
return [tell(lambda: c.get('http://%s:%d/echo' % (name, port), timeout=2)) for name in names]
''', port=odd.port)
    assert [g and g[0] for g in got] == ['Denied'] * len(got), got
    assert 'block_private' in got[0][1]


def test_retries(api, odd, cid):
    """Lost connections and busy servers are asked again, but only where it can do no harm."""
    got = on(api, cid, '''
key = lambda: str(time.monotonic())
out = [c.get('/failing?times=2&status=503&key=' + key())['status'], c.get('/failing?times=3&status=503&key=' + key())['status']]
out += [c.post('/failing?times=1&status=503&key=' + key())['status'], c.get('/failing?times=2&status=0&key=' + key())['status']]
out += [tell(lambda: c.post('/failing?times=1&status=0&key=' + key(), 'x'))[0], c.get('/failing?times=1&status=500&key=' + key())['status']]
t = time.monotonic()
out += [c.get('/failing?times=1&status=429&after=1&key=' + key())['status'], time.monotonic() - t >= 1]
out += [c.get('/failing?times=1&status=429&after=60&key=' + key(), timeout=1)['status']]
return out
''')
    assert got == [200, 503, 503, 200, 'ConnUnavailable', 500, 200, True, 429]


def test_a_kept_connection_that_died(api, odd, cid):
    """The server may have carried out what it did not answer: nothing but reading is sent a second time, with a body or without."""
    told = on(api, cid, '''
told = []
for n, ask in enumerate((c.get, c.post, lambda u: c.post(u, 'x'), lambda u: c.put(u, b''), c.patch, c.delete, lambda u: c.request('PURGE', u))):
    c.get('/echo')
    told.append(tell(lambda: ask('/failing?times=1&status=0&key=%s%d' % (mark, n))))
return told
''', mark=odd.port)
    assert told[0] is None and [t[0] for t in told[1:]] == ['ConnUnavailable'] * 6 and 'not sent twice' in told[1][1], told
    assert [odd.failed['%d%d' % (odd.port, n)] for n in range(7)] == [2] + [1] * 6


def test_bodies_where_there_are_none(api, cid):
    """Answers to HEAD, of 204 and 304 have no body, whatever the server sends; what came before an answer (1xx) is no answer."""
    got = on(api, cid, '''
asked = [(m, code) for m in ('HEAD', 'GET', 'PUT') for code in (200, 204, 304)]
got = []
for m, code in asked:
    a = c.request(m, '/wordy?code=%d' % code)
    got.append([a['status'] == code, a['body'], 'x-early' in a['headers'], 'x-late' in a['headers'], c.get('/echo')['status']])
return got
''')
    assert got == [[True, body, False, True, 200] for body in ('', '', '', 'HTTP/1.1', '', '', 'HTTP/1.1', '', '')]


def test_deadlines(api, odd, cid):
    """A request ends with its own timeout, the connector's, or the call's; to the millisecond, more or less."""
    short = add(api, 'http', odd.config(timeout='300ms'))
    got = on(api, cid, '''
def took(call):
    t = time.monotonic()
    return [tell(call)[0], time.monotonic() - t]
d = DFF.CONN(short)
return took(lambda: c.get('/slow?seconds=3', timeout=0.4)) + took(lambda: d.get('/slow?seconds=3')) + [d.get('/slow?seconds=0.5', timeout=2)['status']] + \\
    took(lambda: list(c.stream('/chunks?n=9&size=10&pause=1', timeout=0.5)))
''', short=short)
    assert got[0] == got[2] == got[5] == 'ConnTimeout' and 0.35 < got[1] < 2 and 0.25 < got[3] < 2 and got[4] == 200 and got[6] < 3


# ---- signing in, TLS --------------------------------------------------------------------------------------------


def test_sign_in(api, odd, web):
    """Basic, bearer, key, AWS: what arrives; a real server accepts or refuses."""
    body = "return c.get('/echo')['body']['headers'].get('authorization')"
    for config, want in (({'user': 'a', 'password': 'b'}, 'Basic YTpi'), ({'auth': 'bearer', 'password': 't0k'}, 'Bearer t0k'),
                         ({'auth': 'apikey', 'password': 'k3y'}, 'ApiKey k3y'), ({'auth': 'none', 'user': 'a'}, None), ({}, None)):
        assert on(api, add(api, 'http', odd.config(**config)), body) == want
    ok = add(api, 'http', web.config(user='tenon', password=PASSWORD, path='basic'))
    assert on(api, ok, "return c.get('')['body']") == 'secret' and PASSWORD not in str(api.get('/connectors/do/list', id=ok))
    e = not_addable(api, 'http', web.config(user='tenon', password='wrong', path='/basic/'))
    assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception']
    assert on(api, ok, "return c.get('', headers={'Authorization': 'Basic eA=='})['status']") == 401


def test_aws_signature(api, odd):
    """Signed as the standard says: computed a second time from what arrived."""
    cid = add(api, 'http', odd.config(auth='aws', user='AKIDEXAMPLE', password='wJalr/x', region='eu-west-1', service='es'))
    came = on(api, cid, "return c.post('/a b/c', {'k': 1}, params={'z': 'ü', 'a': '1 2'})['body']")
    h = came['headers']
    target = urlsplit(came['target'])
    digest = hashlib.sha256(came['body'].encode()).hexdigest()
    canonical = '\n'.join(['POST', target.path.replace('%', '%25'), '&'.join(sorted(target.query.split('&'))), 'host:' + h['host'],
                           'x-amz-content-sha256:' + digest, 'x-amz-date:' + h['x-amz-date'], '', 'host;x-amz-content-sha256;x-amz-date', digest])
    scope = '%s/eu-west-1/es/aws4_request' % h['x-amz-date'][:8]
    key = b'AWS4wJalr/x'
    for part in scope.split('/'):
        key = hmac.new(key, part.encode(), 'sha256').digest()
    text = '\n'.join(['AWS4-HMAC-SHA256', h['x-amz-date'], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    assert h['authorization'] == 'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/%s, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%s' % (
        scope, hmac.new(key, text.encode(), 'sha256').hexdigest())


def test_proxy(api, odd, monkeypatch):
    """A proxy only when it is configured."""
    with Proxy(odd.port) as proxy:
        config = {'host': 'far.away.invalid', 'proxy': 'http://127.0.0.1:%d' % proxy.port, 'proxy_user': 'ann', 'proxy_password': 's3cret'}
        cid = add(api, 'http', config, skipTest=True)
        came = on(api, cid, "return c.get('/x')['body']")
        assert came['headers']['proxy-authorization'] == 'Basic YW5uOnMzY3JldA==' and 's3cret' not in str(api.get('/connectors/do/list', id=cid))
        assert came['target'] == 'http://far.away.invalid/x' and came['headers']['host'] == 'far.away.invalid'
        monkeypatch.setenv('http_proxy', 'http://127.0.0.1:1')
        direct = add(api, 'http', odd.config())
        assert on(api, direct, "import os; os.environ['http_proxy'] = 'http://127.0.0.1:1'; return c.get('/x')['body']['path']") == '/x'


# ---- faults -----------------------------------------------------------------------------------------------------


@shows('faults', 'wrong answers')
def test_answers_that_are_wrong(api, cid):
    got = on(api, cid, "return [tell(lambda: c.get(p)) for p in ('/bad-gzip', '/short')] + [c.get('/echo')['status']]")
    assert [g[0] for g in got[:2]] == ['ConnUnavailable'] * 2 and got[2] == 200


def test_names_that_nobody_answers(api, odd):
    """No host configured: whole URLs only."""
    cid = add(api, 'http', {})
    got = on(api, cid, "return [tell(lambda: c.get('/x')), c.get(url)['status'], c.check(), tell(lambda: c.get('http://127.0.0.1:%d/' % closed))]",
             url='http://127.0.0.1:%d/' % odd.port, closed=free_port())
    assert got[0][0] == 'InvalidArgument' and got[1:3] == [200, None] and got[3][0] == 'ConnUnavailable'


class TestHTTP(Contract, Readme, Panel, FewConnections, PasswordChanges, Breaks, BadLines, HugeAnswers, Refusals, TlsIsMissed, TlsNotOffered, CertificateWanted):
    """What http shares with the other connectors."""

    type, fixture, make = 'http', 'odd', Nginx
    ask, gives = "c.get('/a.html', raise_for_status=True)['status']", 200
    tls_on: dict = {}
    tls_off = {'protocol': 'http'}
    tls_ask, tls_gives = "c.get('/a.html')['body']", 'safe'
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_FIELD, ({'protocol': 'https'}, 'ConnUnavailable', 'TLS: no handshake'),
                ({'host': 'http://ann:s3cret@127.0.0.1/x?k=v'}, 'ConfigError', 'a name or an address alone, not `http://127.0.0.1/x`'),
                ({'auth': 'bearer', 'password': 't0k\n'}, 'ConfigError', 'password has a line break'),
                ({'application': 'a\r\nX-Other: 1'}, 'ConfigError', 'application has a line break'),
                ({'proxy': 'http://ann:s3cret@127.0.0.1:1'}, 'ConfigError', 'proxy_password'),
                ({'auth': 'aws', 'user': 'A', 'password': 'b', 'region': 'x\r\nHost: y'}, 'ConfigError', 'region of auth aws'),
                ({'protocol': 'https', 'tls_cert': 'x', 'tls_key': 'MIIEvQIBADANB-not-a-path'}, 'ConfigError', 'tls_cert')]
    flood_small, flood_asks = b'{"a": 1}', ["c.get('/x')['body']", "c.query('GET', '/x')[1]", "c.post('/x', json=[])['body']"]
    fetch, small, large = "len(c.get('/huge?n=%d' % n)['body'])", 10, 500000
    breaks, broken = [*BREAKS, ('garbage', GONE)], {'pool': {'query': '900ms'}, 'retries': 1}
    panel = [('GET /panel?x=1', lambda got: got[1]['target'] == '/panel?x=1')]
    panel_refused = 'GET /status?code=404'
    contract = ['get=["/a"]', 'query=["GET /a"]']
    readme_id, readme_gives = 'shop', [200, 'POST', 'application/json', 200, True]

    def at(self, it, port, **changes):
        """A request ends with pool.query; pool.connect is for what opens a connection, which here is a request, too."""
        pool = changes.pop('pool', {})
        return super().at(it, port, pool={'query': '900ms', **pool}, **changes)

    @contextlib.contextmanager
    def with_tls(self, request, certs, **options):
        with peer(Nginx, certs=certs, **options) as own:
            own.file('a.html', b'safe')
            yield own

    def with_wanted(self, request, certs):
        return self.with_tls(request, certs, client=True)

    def with_wrong_name(self, request, certs):
        return self.with_tls(request, certs, cert='wrong')

    def to_restart(self, request):
        return self.with_tls(request, None, accounts=True)

    def tls_configs(self, own, ca):
        yield from super().tls_configs(own, ca)
        yield own.config(tls_ca=ca, protocol='http', tls='on')

    def test_names_and_certificates_of_tls(self, api, request, certs):
        """Another name than the host's when the configuration says so; a server that wants a certificate; an authority that is none."""
        ca, body = certs.text('ca.pem'), 'return ' + self.tls_ask
        with self.with_wrong_name(request, certs) as own:
            assert on(api, add(api, 'http', own.config(tls_ca=ca, tls_server_name='other.invalid')), body) == 'safe'
            e = not_addable(api, 'http', own.config(tls_ca='-----BEGIN nonsense'))
            assert e['exceptionType'] == 'ConfigError' and 'tls_ca' in e['exception']
            redirected = add(api, 'http', own.config(tls_ca=ca, tls_server_name='other.invalid'), skipTest=True)
            assert on(api, redirected, "return c.get('/where/')['status']") == 401  # at the same address
        pem, key = certs.pair('client')
        with self.with_wanted(request, certs) as own:  # the certificate is for the host of the configuration, as the password is
            shown = add(api, 'http', own.config(tls_ca=ca, tls_cert=pem, tls_key=key))
            assert on(api, shown, "return [c.get('https://%s:%d/a.html' % (name, port))['status'] for name in ('127.0.0.1', 'localhost')]", port=own.port) == [200, 400]
        with self.with_tls(request, certs) as own:
            noted = add(api, 'http', own.config(tls_ca=ca, tls_cert='Bag Attributes\n' + pem, tls_key='\n' + key))
            assert on(api, noted, body) == 'safe'  # words before a certificate are none of it
            e = not_addable(api, 'http', own.config(tls_ca=ca, tls_cert=pem, tls_key=key.replace('-----BEGIN', '')))
            assert e['exceptionType'] == 'ConfigError' and 'tls_key' in e['exception'] and key.split('\n')[1][:20] not in str(e), e


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'http', 'libcurl', 'nginx 1.22, http.server')
