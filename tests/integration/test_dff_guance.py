# SPDX-License-Identifier: Apache-2.0
"""DFF.DATAKIT, DATAWAY and GUANCE_OPENAPI (spec 4.15, 4.16) against a server that writes down what it was sent."""

import base64
import gzip
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from support.connectors import run

SCRIPT = '''
def tell(call):
    try:
        call()
    except Exception as e:
        return [type(e).__name__, str(e)]
@DFF.API('f', timeout=30)
def f(%s):
%s
'''
WORKSPACE = {'uuid': 'wksp_1', 'token': 'tkn_1', 'language': 'en', 'name': 'w'}


class Sink(BaseHTTPRequestHandler):
    """Remembers requests; answers as the services do."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        url = urlsplit(self.path)
        seen = {'method': self.command, 'path': url.path, 'query': {k: v[0] for k, v in parse_qs(url.query).items()},
                'headers': dict(self.headers), 'raw': body,
                'body': (gzip.decompress(body) if self.headers.get('Content-Encoding') == 'gzip' else body).decode()}
        self.server.seen.append(seen)
        status, answer = 200, {}
        if url.path.endswith('/v1/query/raw'):
            offset = json.loads(seen['body'])['queries'][0].get('soffset', 0)
            series = [{'columns': ['time', 'v', 'tags'], 'values': [[1, offset + i, 'x']], 'tags': {'n': str(offset + i)}}
                      for i in range(3 if offset < 6 else 1)]
            answer = {'content': [{'series': series}]}
        elif url.path == '/api/v1/workspace/get':
            ok = self.headers.get('DF-API-KEY') == 'right'
            status, answer = (200, {'success': True, 'content': WORKSPACE}) if ok else (403, {'success': False})
        elif url.path == '/api/v1/things':
            page = int(seen['query']['pageIndex'])
            answer = {'success': True, 'content': {'data': [{'n': 100 * (page - 1) + i, 'odd': i % 2} for i in range(100 if page < 3 else 10)]},
                      'pageInfo': {'totalCount': 210}}
        elif url.path == '/broken':
            status, answer = 500, {'message': 'no'}
        elif url.path == '/text':
            answer = 'plain'
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'text/plain' if isinstance(answer, str) else 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


class Peer:
    """The server and what a script sent to it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Sink)
        self.server.seen = []
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def on(self, body: str, **kwargs: Any) -> Any:
        """What these lines return; `seen` has their requests."""
        self.server.seen.clear()
        lines = '\n'.join('    ' + line for line in body.strip('\n').split('\n'))
        return run(self.client, SCRIPT % (', '.join(['port'] + list(kwargs)), lines), port=self.port, **kwargs)

    @property
    def seen(self) -> list:
        return self.server.seen

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope='module')
def peer(server: Any) -> Iterator[Peer]:
    p = Peer(server.client())
    yield p
    p.close()


def test_points(peer: Peer) -> None:
    """Line protocol: order, escapes, types, times of every unit."""
    assert peer.on('''
d = DFF.DATAKIT(host='127.0.0.1', port=port, source='mine')
tags = {'b': 'x y', 'a,=': 'k=v', 'none': None, 'slash': 'c:\\\\\\\\'}
fields = {'text': 'say "hi" \\\\', 'n': 3, 'f': 1.5, 'ok': True, 'gone': None, 'nan': float('nan'), 'list': [1]}
out = [d.write_metric('m 1,2=3', tags, fields, 1700000000)]
for t in (1700000000, 1700000000.5, 1700000000123, 1700000000123456, 1700000000123456789):
    d.write_logging('l', None, {'v': 1}, t)
d.write_by_category('object', 'o', {'t': 'x'}, {'v': 1}, 1700000000, headers={'X-Mine': 'y'})
return out
''') == [[200, {}]]
    first = peer.seen[0]
    assert (first['method'], first['path'], first['query']) == ('POST', '/v1/write/metric', {'input': 'mine'})
    assert first['body'] == (r'm\ 1\,2=3,a\,\==k\=v,b=x\ y,slash=c: f=1.5,list="[1]",n=3i,ok=true,text="say \"hi\" \\" 1700000000000000000')
    assert [int(s['body'].split()[-1]) for s in peer.seen[1:6]] == [
        1700000000000000000, 1700000000500000000, 1700000000123000000, 1700000000123456000, 1700000000123456789]
    assert {s['path'] for s in peer.seen[1:6]} == {'/v1/write/logging'}
    assert peer.seen[6]['path'] == '/v1/write/object' and peer.seen[6]['headers']['X-Mine'] == 'y'


def test_many_points(peer: Peer) -> None:
    """A hundred in a request, large bodies gzipped; one wrong point and nothing is sent."""
    peer.on('''
d = DFF.DATAKIT(url='http://127.0.0.1:%d/base?x=1' % port)
d.write_points([{'measurement': 'm', 'fields': {'v': i, 'text': 'x' * 300}} for i in range(250)])
''')
    assert [s['body'].count('\n') + 1 for s in peer.seen] == [100, 100, 50]
    assert {s['path'] for s in peer.seen} == {'/base/v1/write/metric'} and peer.seen[0]['query'] == {'x': '1', 'input': 'datakit-python-sdk'}
    assert all(s['headers']['Content-Encoding'] == 'gzip' for s in peer.seen[:2]) and 'Content-Encoding' not in peer.seen[2]['headers']
    got = peer.on('''
d = DFF.DATAKIT(host='127.0.0.1', port=port)
good = {'measurement': 'm', 'fields': {'v': 1}}
wrong = [{'fields': {'v': 1}}, {'measurement': 'm'}, {'measurement': 'm', 'fields': {'v': None}}, 'm v=1', dict(good, timestamp='now'), dict(good, tags=[1])]
return [tell(lambda: d.write_metric_many([good, w])) for w in wrong]
''')
    assert [g[0] for g in got] == ['ValueError'] * 6 and peer.seen == []


def test_gateway(peer: Peer) -> None:
    """The token in each query, the signature over what is sent."""
    peer.on('''
d = DFF.DATAWAY(host='127.0.0.1', port=port, token='tkn', access_key='ak', secret_key='sk')
d.write_metric('m', fields={'v': 1})
d.post_json('/any', {'a': [1, 'ä']}, query={'q': 'x&y'})
d.get('any', headers={'X-Mine': 'y'})
''')
    assert [s['query'] for s in peer.seen] == [{'token': 'tkn'}, {'q': 'x&y', 'token': 'tkn'}, {'token': 'tkn'}]
    assert json.loads(peer.seen[1]['body']) == {'a': [1, 'ä']}
    for s in peer.seen:
        text = '\n'.join((s['method'], base64.b64encode(hashlib.md5(s['raw']).digest()).decode(), s['headers'].get('Content-Type', ''),
                          s['headers']['Date']))
        sign = base64.b64encode(hmac.new(b'sk', text.encode(), hashlib.sha1).digest()).decode()
        assert s['headers']['Authorization'] == 'DWAY ak:' + sign and s['headers']['Date'].endswith(' GMT')


def test_queries(peer: Peer) -> None:
    """One page, all pages, rows as dicts, raw; a gateway needs a token."""
    got = peer.on('''
d = DFF.DATAKIT(host='127.0.0.1', port=port)
out = [d.query('L::x', limit=5), d.query('M::x', all_series=True, slimit=3), d.query('L::x', dict_output=True), d.query('L::x', raw=True)]
w = DFF.DATAWAY(host='127.0.0.1', port=port)
return out + [tell(lambda: w.query('M::x')), w.query('M::x', token='other')[0]]
''')
    assert got[0][0] == 200 and len(got[0][1]['series']) == 3
    assert [s['tags']['n'] for s in got[1][1]['series']] == ['0', '1', '2', '3', '4', '5', '6']
    assert got[2][1]['series'][1] == [{'time': 1, 'v': 1, 'tags': 'x', '_tags': {'n': '1'}}]
    assert list(got[3][1]) == ['content'] and got[4] == ['Exception', 'No Workspace Token specified.'] and got[5] == 200
    bodies = [json.loads(s['body']) for s in peer.seen]
    assert bodies[0] == {'queries': [{'query': 'L::x', 'limit': 5}], 'mask_visible': True}
    assert [b['queries'][0].get('soffset') for b in bodies[1:4]] == [None, 3, 6] and bodies[-1]['token'] == 'other'


def test_failures(peer: Peer) -> None:
    """Errors name what was asked for; what cannot be reached is a ConnectionError."""
    got = peer.on('''
d = DFF.DATAKIT(host='127.0.0.1', port=port, timeout=2)
n = DFF.DATAKIT(host='127.0.0.1', port=1, timeout=2)
return [tell(lambda: d.get('/broken')), d.get('/broken', raise_for_status=False), d.get('/text'), tell(lambda: n.get('/'))[0],
        tell(lambda: DFF.DATAKIT())[0], tell(lambda: DFF.DATAWAY(url='ftp://x'))[0], tell(lambda: DFF.datakit(host='h', protocol='gopher'))[0],
        tell(lambda: DFF.GUANCE_OPENAPI())[0]]
''')
    assert got[0][0] == 'Exception' and 'GET /broken answered 500' in got[0][1] and "'no'" in got[0][1]
    assert got[1:4] == [[500, {'message': 'no'}], [200, 'plain'], 'ConnectionError'] and got[4:] == ['ValueError'] * 4


def test_openapi(peer: Peer) -> None:
    """The key in its header, the workspace once, lists by page and filter, functions, the workspace's gateway."""
    got = peer.on('''
g = DFF.GUANCE_OPENAPI('http://127.0.0.1:%d' % port, 'id', 'right', 'http://127.0.0.1:%d' % port)
bad = DFF.GUANCE_OPENAPI(guanceOpenAPIURL='http://127.0.0.1:%d' % port, guanceAPIKey='wrong')
out = [g.is_api_key_valid, bad.is_api_key_valid, g.workspace_uuid, g.workspace_token, g.workspace_language]
rows = g.do_list_get('/api/v1/things', {'search': 'x'}, odd=1)
g.do_func('f', a=1)
g.dataway.write_metric('m', fields={'v': 1})
return out + [len(rows), rows[-1], tell(lambda: bad.do_get('/api/v1/workspace/get'))[1][:40], tell(lambda: bad.dataway)[0]]
''')
    assert got == [True, False, 'wksp_1', 'tkn_1', 'en', 105, {'n': 209, 'odd': 1}, 'GET /api/v1/workspace/get answered 403: ', 'ValueError']
    paths = [s['path'] for s in peer.seen]
    assert paths[:5] == ['/api/v1/workspace/get'] * 2 + ['/api/v1/things'] * 3 and peer.seen[2]['query']['search'] == 'x'
    func, point = peer.seen[5:7]
    assert func['path'] == '/api/v1/outer_function/execute' and json.loads(func['body']) == {'name': 'f', 'kwargs': {'a': 1}}
    assert point['query'] == {'token': 'tkn_1'} and all(s['headers']['DF-API-KEY'] for s in peer.seen[:6])
