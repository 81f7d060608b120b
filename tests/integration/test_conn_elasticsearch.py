# SPDX-License-Identifier: Apache-2.0
"""connectors/elasticsearch in scripts, against OpenSearch and Elasticsearch, and against a server that plays nodes that are busy, dead or wrong."""

import contextlib
import http.server
import importlib
import json
import sys
import threading
import time
from typing import Any, Callable, List, Tuple

import pytest
from peers.elasticsearch import Elasticsearch
from peers.fetched import folder
from peers.nginx import Nginx
from peers.odd_http import OddHttp
from peers.opensearch import OpenSearch
from peers.peer import Missing, free_port
from support.cases import (BREAKS, GONE, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, CertificateWanted, Contract, FewConnections, HugeAnswers, Panel,
                           PasswordChanges, Readme, Refusals, TlsIsMissed, TlsNotOffered)
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row, shows
from support.server import wait_for

HELLO = {'tagline': 'You Know, for Search'}


@pytest.fixture(scope='module')
def begun():
    """Both servers; they start side by side, each is waited for where it is used."""
    with contextlib.ExitStack() as stack:
        nodes = {}
        for kind in (OpenSearch, Elasticsearch):
            try:
                nodes[kind] = kind()
                stack.callback(nodes[kind].close)
                nodes[kind].begin()
            except Missing as e:
                nodes[kind] = e
        yield nodes


def up(node):
    """That server, once it answers."""
    if isinstance(node, Missing):
        pytest.skip(str(node))
    return node.start()


@pytest.fixture(scope='module')
def opensearch(begun):
    return up(begun[OpenSearch])


@pytest.fixture(scope='module')
def elasticsearch(begun):
    return up(begun[Elasticsearch])


@pytest.fixture(scope='module', params=['opensearch', 'elasticsearch'])
def es(request):
    """Each of them."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope='module')
def cid(server, es):
    return add(server.client(), 'elasticsearch', es.config())


@pytest.fixture
def idx():
    """An index nobody has."""
    return fresh('i')


class Node:
    """Answers with what `play(method, path, body)` returns: (status, JSON)."""

    def __init__(self, play: Callable[[str, str, str], Tuple[int, Any]]) -> None:
        self.seen: List[Tuple[str, str, str]] = []
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0)).decode()
                if self.path != '/':
                    node.seen.append((self.command, self.path, body))
                status, value = (200, HELLO) if self.path == '/' else play(self.command, self.path, body)
                out = json.dumps(value).encode()
                self.send_response(status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_: object) -> None:  # pylint: disable=arguments-differ
                """Silence."""

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> 'Node':
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


# ---- requests -------------------------------------------------------------------------------------------------------


def test_query(api, cid, es, idx):
    """Forms of a request; what comes back is what the server says to another client."""
    got = on(api, cid, '''
out = [c.query('PUT', '/' + idx, body={'settings': {'number_of_replicas': 0}})[0], c.query('put', idx + '/_doc/1', {'refresh': True}, {'a': 'ü', 'n': 2**53 + 1, 'f': 0.1, 't': datetime.date(2026, 1, 2)})[0]]
status, doc = c.query('GET', '/%s/_doc/1' % idx)
out += [status, doc['_source'], c.query('GET /_cat/indices/' + idx)[1][0]['docs.count'], c.query('HEAD', '/' + idx), isinstance(c.query('GET /_nodes'), tuple)]
out += [c.query('POST', '/%s/_search' % idx, body='{"query": {"term": {"n": 9007199254740993}}}')[1]['hits']['total']['value']]
out += [c.query('POST', '/_bulk', {'refresh': 'true'}, [{'index': {'_index': idx, '_id': '2'}}, {'a': 1.5}])[1]['errors'], c.query('GET', idx + '/_count')[1]['count']]
out += [c.query('GET', '/_cat/indices/' + idx, {'h': 'index', 'format': 'json'})[1], c.query('DELETE', '/%s/_doc/2' % idx, {'refresh': True})[1]['result'], c.check(), c.query('GET', '/_cat/health?format=text')[1][-1:] == b'\\n']
return out
''', idx=idx)
    assert got[:2] == [200, 201] and got[2] == 200 and got[3] == {'a': '\u00fc', 'n': 2**53 + 1, 'f': 0.1, 't': '2026-01-02'}
    assert got[4:8] == ['1', [200, None], True, 1] and got[8] is False and got[9] == 2
    assert got[10] == [{'index': idx}] and got[11] == 'deleted' and got[12] is None and got[13]
    search = {'query': {'match_all': {}}, 'aggs': {'x': {'stats': {'field': 'n'}}}}
    mine, theirs = on(api, cid, "return c.query('POST', '/%s/_search' % idx, body=s)[1]", idx=idx, s=search), es.ask('POST', '/%s/_search' % idx, search)
    assert {k: mine[k] for k in ('hits', 'aggregations', '_shards')} == {k: theirs[k] for k in ('hits', 'aggregations', '_shards')}


def theirs(es):
    """The client that the maker of this server publishes, and its helpers."""
    try:
        path = folder('searchclients')
    except Missing as e:
        pytest.skip(str(e))
    if path not in sys.path:
        sys.path.insert(0, path)  # Debian has an old one
    name, kind = ('elasticsearch', 'Elasticsearch') if isinstance(es, Elasticsearch) else ('opensearchpy', 'OpenSearch')
    return getattr(importlib.import_module(name), kind)('http://127.0.0.1:%d' % es.port), importlib.import_module(name + '.helpers')


def test_as_the_makers_own_client(api, es, cid, idx):
    """Both clients are told the same by the server: documents, searches, errors of a bulk, all hits in order."""
    client, helpers = theirs(es)
    ask = getattr(client, 'perform_request', None) or client.transport.perform_request
    say = {'headers': {'content-type': 'application/json', 'accept': 'application/json'}} if isinstance(es, Elasticsearch) else {}


    def said(*args, **more):
        answer = ask(*args, **say, **more)
        return getattr(answer, 'body', answer)
    docs = [{'_index': idx, '_id': str(i), 'n': i, 'f': i / 3, 't': 'word%d \u6570\n"\\' % (i % 7), 'l': [i, None], 'o': {'x': 2**62 + i}} for i in range(250)]
    wrong = [{'_op_type': 'create', '_index': idx, '_id': '3', 'n': 3}, {'_op_type': 'update', '_index': idx, '_id': 'none', 'doc': {'n': 1}}, {'_index': idx, '_id': '4', 'n': {'a': 1}},
             {'_op_type': 'delete', '_index': idx, '_id': '0'}, {'_index': idx.upper(), '_id': '5'}]
    searches = [{'query': {'match': {'t': 'word3'}}, 'size': 3, 'sort': ['n'], 'track_total_hits': True}, {'size': 0, 'aggs': {'by': {'terms': {'field': 't.keyword'}, 'aggs': {'s': {'stats': {'field': 'f'}}}}}},
                {'query': {'range': {'n': {'gte': 240}}}, 'fields': ['f'], '_source': ['l', 'o'], 'highlight': {'fields': {'t': {}}}}, {'query': {'nonsense': {}}}]
    got = on(api, cid, '''
out = [c.bulk(docs, refresh=True)['done'], c.bulk(wrong, refresh=True, raise_errors=False)['errors']]
out.append([c.query('POST', idx + '/_search', body=s)[1] for s in searches[:-1]] + [tell(lambda: c.query('POST', idx + '/_search', body=searches[-1]))[2]])
out.append([c.query('GET', p)[1] for p in (idx + '/_mapping', idx + '/_doc/17', idx + '/_count', '_cat/indices/%s?h=index,docs.count' % idx)])
out.append([h for h in c.scan(idx, {'query': {'range': {'n': {'lt': 60}}}, 'sort': ['n']}, size=25)])
return out
''', idx=idx, docs=docs, wrong=wrong, searches=searches)
    assert got[0] == 250
    their = idx + 'b'
    rename = lambda value: json.loads(json.dumps(value).replace(idx.upper() + 'b', idx.upper()).replace(their, idx))
    done, errors = helpers.bulk(client, [dict(d, _index=their) for d in docs], refresh=True, raise_on_error=False)
    assert done == 250 and not errors
    done, errors = helpers.bulk(client, [dict(d, _index=d['_index'] + 'b') for d in wrong], raise_on_error=False)
    assert done == 1 and rename([{op: (e[op]['_id'], e[op]['status'], e[op]['error']['type']) for op in e} for e in errors]) == [{e['op']: [e['id'], e['status'], e['error']['type']]} for e in got[1]]
    said('POST', '/%s/_refresh' % their)
    bare = lambda answer: {k: v for k, v in answer.items() if k != 'took'}
    assert [bare(a) for a in got[2][:-1]] == [bare(rename(said('POST', '/%s/_search' % their, body=s))) for s in searches[:-1]] and got[2][-1] == 400
    paths = ['/%s/_mapping', '/%s/_doc/17', '/%s/_count', '/_cat/indices/%s?h=index,docs.count&format=json']
    assert [{**a, '_seq_no': 0} if '_seq_no' in a else a for a in got[3]] == [{**a, '_seq_no': 0} if '_seq_no' in a else a for a in [rename(said('GET', p % their)) for p in paths]]
    hits = list(helpers.scan(client, {'query': {'range': {'n': {'lt': 60}}}, 'sort': ['n']}, index=their, size=25, preserve_order=True))
    assert got[4] == rename(hits) and len(hits) == 59


def test_errors(api, cid, idx):
    got = on(api, cid, '''
return [tell(lambda: c.query('GET', '/' + idx)), tell(lambda: c.query('POST', '/_search', body={'query': {'nonsense': {}}})), tell(lambda: c.query('GETX Y', '/')), tell(lambda: c.query('POST', '/x', body=float('nan'))),
        c.query('PUT', '/%s/_create/1' % idx, body={})[0], tell(lambda: c.query('PUT', '/%s/_create/1' % idx, body={})), tell(lambda: c.query('GET', '/', query=5))]
''', idx=idx)
    assert got[0][0] == 'QueryError' and got[0][2] == 404 and 'index_not_found_exception: no such index' in got[0][1]
    assert got[1][0] == 'QueryError' and got[1][2] == 400 and 'nonsense' in got[1][1] and got[2] is not None
    assert got[3][0] == 'InvalidArgument' and got[4] == 201 and got[5][0] == 'ConflictError' and got[5][2] == 409 and got[6][0] == 'InvalidArgument'


def test_bulk(api, es, cid, idx):
    """Batches, all operations, errors by position."""
    small = add(api, 'elasticsearch', es.config(batch='2k'))
    got = on(api, cid, '''
d = DFF.CONN(small)
out = [d.bulk([{'_index': idx, '_id': str(i), 'n': i, 't': 'x' * 50} for i in range(500)], refresh=True)]
out.append(c.query('GET', idx + '/_count')[1]['count'])
mixed = [{'_op_type': 'create', '_id': '1', 'n': 1}, {'_op_type': 'update', '_id': '2', 'doc': {'n': 22}}, {'_op_type': 'delete', '_id': '3'}, {'_op_type': 'delete', '_id': 'none'},
         {'_id': 'new', '_source': {'n': -1}}, {'_id': 'bad', 'n': {'not': 'a number'}}, {'_id': 'text', '_source': '{"n": 5}', 'routing': 'r'}]
out += [c.bulk(mixed, index=idx, refresh=True, raise_errors=False), tell(lambda: c.bulk(mixed[:1], index=idx)), c.bulk([])]
out += [c.query('GET', idx + '/_doc/2')[1]['_source']['n'], tell(lambda: c.query('GET', idx + '/_doc/3'))[2], c.query('GET', idx + '/_doc/text?routing=r')[1]['_source']]
out += [tell(lambda: c.bulk([5])), tell(lambda: c.bulk([{'_op_type': 'drop'}])), tell(lambda: c.bulk([{'_source': '{}\\n{}'}])), tell(lambda: c.bulk('x'))]
return out
''', idx=idx, small=small)
    assert got[0]['done'] == 500 and got[0]['failed'] == 0 and got[0]['errors'] == [] and got[1] == 500
    assert got[2]['done'] == 4 and got[2]['failed'] == 3
    assert [(e['position'], e['op'], e['id'], e['status']) for e in got[2]['errors']] == [(0, 'create', '1', 409), (3, 'delete', 'none', 404), (5, 'index', 'bad', 400)]
    assert got[2]['errors'][2]['error']['type'].endswith('_parsing_exception') and got[3][0] == 'QueryError' and got[3][2] == 409
    assert got[4]['done'] == 0 and got[5] == 22 and got[6] == 404 and got[7] == {'n': 5} and [g[0] for g in got[8:]] == ['InvalidArgument'] * 4


@shows('streaming', 'scroll, point in time')
def test_scan(api, es, cid, idx):
    """Every hit once, in pages; what the server keeps is freed, also when a script leaves."""
    got = on(api, cid, '''
c.bulk([{'_index': idx, '_id': str(i), 'n': i} for i in range(2345)], refresh=True)
out = []
for by in ('scroll', 'pit'):
    hits = [h['_source']['n'] for h in c.scan(idx, size=500, by=by)]
    out += [len(hits), sorted(hits) == list(range(2345)), [h['_source']['n'] for h in c.scan(idx, {'query': {'range': {'n': {'gte': 2340}}}, 'sort': [{'n': 'desc'}]}, by=by)]]
    for _ in c.scan(idx, size=10, by=by):
        break
out += [list(c.scan(idx, {'query': {'term': {'n': -1}}})), tell(lambda: list(c.scan('no_such_index'))), tell(lambda: list(c.scan(idx, by='magic')))]
return out
''', idx=idx)
    assert got[:6] == [2345, True, [2344, 2343, 2342, 2341, 2340]] * 2 and got[6] == []
    assert got[7][0] == 'QueryError' and got[7][2] == 404 and got[8][0] == 'InvalidArgument'
    stats = es.ask('GET', '/_nodes/stats/indices/search')['nodes']
    assert [n['indices']['search']['scroll_current'] for n in stats.values()] == [0]
    assert [n['indices']['search'].get('point_in_time_current', 0) for n in stats.values()] == [0]


def test_limits_and_deadlines(api, es, idx):
    cid = add(api, 'elasticsearch', es.config(max_result='64k', pool={'query': '5s'}))
    got = on(api, cid, '''
c.bulk([{'_index': idx, '_id': str(i), 't': 'x' * 500} for i in range(300)], refresh=True)
return [tell(lambda: c.query('GET', idx + '/_search?size=1000')), c.query('GET', idx + '/_count')[1]['count'], len(list(c.scan(idx, size=50)))]
''', idx=idx)
    assert got[0][0] == 'LimitExceeded' and 'max_result' in got[0][1] and got[1:] == [300, 300]


# ---- nodes that are busy or gone ----------------------------------------------------------------------------------------


def test_other_attempts(api):
    """429 and 503 are asked again where it does no harm; a bulk sends only what was refused."""
    busy = {'left': 2, 'status': 429}

    def play(method: str, path: str, body: str) -> Tuple[int, Any]:
        del method
        if path.startswith('/_bulk'):
            lines = [json.loads(line) for line in body.splitlines()][::2]
            items = [{'index': {'_index': 'i', '_id': a['index']['_id'], 'status': 429 if a['index']['_id'] == '1' and len(lines) > 1 else 201}} for a in lines]
            return 200, {'took': 1, 'errors': True, 'items': items}
        if busy['left'] > 0:
            busy['left'] -= 1
            return busy['status'], {'error': {'type': 'busy', 'reason': 'later', 'root_cause': []}, 'status': busy['status']}
        return 200, {'ok': 1}

    with Node(play) as node:
        cid = add(api, 'elasticsearch', {'host': '127.0.0.1', 'port': node.port})
        assert on(api, cid, "return c.query('POST', '/x/_doc', body={})[0]") == 200 and len(node.seen) == 3
        busy.update(left=2, status=503)
        assert on(api, cid, "return c.query('GET', '/x')[0]") == 200
        busy.update(left=1)
        assert on(api, cid, "return tell(lambda: c.query('POST', '/x/_doc', body={}))[:1]") == ['ConnUnavailable']
        busy.update(left=9, status=429)
        assert on(api, cid, "return tell(lambda: c.query('GET', '/x'))[:3:2]") == ['ConnUnavailable', 429]
        node.seen.clear()
        assert on(api, cid, "return c.bulk([{'_index': 'i', '_id': str(i)} for i in range(3)])")['done'] == 3
        assert len(node.seen) == 2 and '"_id":"1"' in node.seen[1][2] and '"_id":"0"' not in node.seen[1][2]


@shows('faults', 'node lost')
def test_nodes_take_turns(api):
    """Several nodes: each gets its share; one that is gone is left alone."""
    with Node(lambda *_: (200, {'n': 1})) as one, Node(lambda *_: (200, {'n': 2})) as two:
        cid = add(api, 'elasticsearch', {'host': '127.0.0.1:%d, localhost:%d' % (one.port, two.port)}, skipTest=True)
        body = "return sorted(c.query('GET', '/x')[1]['n'] for _ in range(10))"
        assert on(api, cid, body) == [1] * 5 + [2] * 5
        lost = add(api, 'elasticsearch', {'host': '127.0.0.1:%d,127.0.0.1:%d' % (free_port(), two.port), 'dead': '60s'}, skipTest=True)
        two.seen.clear()
        assert on(api, lost, body) == [2] * 10 and len(two.seen) == 10
        assert on(api, lost, "return c.query('POST', '/x', body={})[1]") == {'n': 2}
    e = not_addable(api, 'elasticsearch', {'host': 'a:b'})
    assert e['exceptionType'] in ('ConfigError', 'ConnUnavailable')


@shows('faults', 'task canceled')
def test_scan_that_is_canceled(api):
    """A task that waits for a page hears of it at once, and what the server keeps for it is freed, also after a deadline."""
    def play(method: str, path: str, body: str) -> Tuple[int, Any]:
        if method == 'POST' and (path.startswith('/_search/scroll') or 'search_after' in body):
            time.sleep(3)
        return 200, {'id': 'P', '_scroll_id': 'S', 'pit_id': 'P', 'hits': {'hits': [{'_id': '1', 'sort': [1]}]}, '_shards': {'failed': 0}}

    script = api.script('''
@DFF.API('f', timeout=60)
def f(cid, by):
    try:
        list(DFF.CONN(cid).scan('i', size=1, by=by))
    except Exception as e:
        print('told', type(e).__name__)
''')
    func = api.add_async_api(script + '.f')
    for by, asked, freed in (('scroll', 2, '/_search/scroll'), ('pit', 3, '/_pit')):
        for canceled in (True, False):
            with Node(play) as node:
                cid = add(api, 'elasticsearch', {'host': '127.0.0.1', 'port': node.port, **({} if canceled else {'pool': {'query': '300ms'}})})
                task = api.task_id(func, {'cid': cid, 'by': by})
                assert wait_for(lambda: len(node.seen) >= asked)
                if canceled:
                    api.post('/tasks/%s/do/cancel' % task, {'graceSeconds': 15})
                started = time.monotonic()
                row = api.ended(task)
                assert time.monotonic() - started < 2.5 and (row['state'] == 'canceled' if canceled else 'told ConnTimeout' in row['logs']), row
                assert wait_for(lambda: ('DELETE', freed) in [s[:2] for s in node.seen]), node.seen


def test_scans_that_are_refused(api, cid):
    got = on(api, cid, "return [tell(lambda: list(c.scan('i', **bad)))[0] for bad in (dict(size=0), dict(size=10001), dict(size='9'), dict(keep=5), dict(keep=''), dict(by=5), dict(body=[1]))]")
    assert got == ['InvalidArgument'] * 7


@shows('TLS', 'verified')
def test_the_name_of_several_nodes(api, certs):
    """tls_server_name is for each of them; without it the certificate is for somebody else."""
    with Node(lambda *_: (200, {'n': 1})) as node, peer(Nginx, certs=certs, cert='wrong', to_port=node.port) as own:
        config = own.config(host='127.0.0.1:%d, localhost:%d' % (own.port, own.port), tls_ca=certs.text('ca.pem'))
        body = "return [c.query('GET', '/x')[1]['n'] for _ in range(4)]"
        assert on(api, add(api, 'elasticsearch', {**config, 'tls_server_name': 'other.invalid'}), body) == [1] * 4
        assert not_addable(api, 'elasticsearch', config)['exceptionType'] == 'Denied'


# ---- signing in, TLS, faults -----------------------------------------------------------------------------------------


def test_sign_in(api):
    with OddHttp() as odd:
        body = "return c.query('GET', '/echo')[1]['headers']"
        for config, want in (({'user': 'a', 'password': 'b'}, 'Basic YTpi'), ({'auth': 'apikey', 'password': 'a2V5'}, 'ApiKey a2V5'), ({'auth': 'bearer', 'password': 't'}, 'Bearer t'),
                             ({'auth': 'aws', 'user': 'AKID', 'password': 's', 'region': 'eu-west-1'}, 'AWS4-HMAC-SHA256 Credential=AKID/')):
            headers = on(api, add(api, 'elasticsearch', odd.config(**config)), body)
            assert headers['authorization'].startswith(want) and headers['x-opaque-id'].startswith('test_'), headers
        assert '/eu-west-1/es/aws4_request' in headers['authorization']


class Cases(Contract, Readme, Panel, FewConnections, PasswordChanges, Breaks, BadLines, Refusals, TlsIsMissed, TlsNotOffered, CertificateWanted):
    """What elasticsearch shares with the other connectors. TLS ends at nginx in front of the server, which keeps the accounts, too."""

    type = 'elasticsearch'
    ask, gives = "c.query('GET', '/_cluster/health')[0]", 200
    tls_on: dict = {}
    tls_off = {'protocol': 'http'}
    tls_ask = "[n['version'] for n in c.query('GET', '/_nodes')[1]['nodes'].values()]"
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, ({'protocol': 'https'}, 'ConnUnavailable', 'TLS: no handshake'),
                ({'protcol': 'http'}, 'ConfigError', 'did you mean `protocol`?'), ({'host': 'https://es.example:9200'}, 'ConfigError', 'not `https://es.example:9200`'),
                ({'host': '127.0.0.1:9200x'}, 'ConfigError', 'is no node'),
                ({'user': 'tenon', 'password': 'wrong', 'port': 1}, 'ConnUnavailable', 'TCP: ')]
    fetch, small, large, break_after = "n if c.query('GET', '/_nodes/stats') else 0", 1, 1, 100
    breaks, broken = [*BREAKS, ('garbage', GONE)], {'retries': 0, 'pool': {'query': '1500ms', 'connect': '1500ms'}}
    panel = [('GET /_cat/indices', lambda got: 'panel' in [row['index'] for row in got[1]])]
    panel_refused, before_panel = 'GET /none', "c.query('PUT', '/panel')"
    contract = ['query=["GET /_cat/indices"]']
    readme_id, readme_gives = 'search', [2, 'books', ['Book 1', 'Book 2', 'Book 3']]

    def at(self, it, port, **changes):
        """What opens a connection asks for /."""
        pool = changes.pop('pool', {})
        return super().at(it, port, pool={'query': '1500ms', **pool}, **{'retries': 0, **changes})

    def with_tls(self, request, certs, **options):
        return peer(Nginx, certs=certs, to_port=request.getfixturevalue(self.fixture).port, **options)

    def with_wrong_name(self, request, certs):
        return self.with_tls(request, certs, cert='wrong')

    def with_wanted(self, request, certs):
        return self.with_tls(request, certs, client=True)

    def without_tls(self, request):
        return contextlib.nullcontext(request.getfixturevalue(self.fixture))

    def to_restart(self, request):
        return contextlib.nullcontext(request.getfixturevalue(self.fixture))

    def before_readme(self, api, it):
        """The connector of the same script may be there already, for the other server."""
        if api.get('/connectors/do/list', id=self.readme_id):
            api.get('/connectors/%s/do/delete' % self.readme_id)

    @pytest.fixture(scope='class')
    def guarded(self, request):
        with self.with_tls(request, None, accounts=True) as own:
            yield own


class TestOpenSearch(Cases):
    """All cases on OpenSearch."""

    fixture, tls_gives = 'opensearch', ['2.19.1']


class TestElasticsearch(Cases):
    """All cases on Elasticsearch."""

    fixture, tls_gives = 'elasticsearch', ['8.15.3']


class TestHugeAnswers(HugeAnswers):
    """A server that answers without an end."""

    type = 'elasticsearch'
    flood_small, flood_config = b'{"tagline": "", "hits": {"hits": []}, "items": [{"index": {"status": 201}}]}', {'retries': 0}
    flood_asks = ["c.query('GET', '/x')[0]", "c.bulk([{'_index': 'i', 'v': 1}])['done']", "list(c.scan('i'))"]


@shows('faults', 'wrong protocol')
def test_some_other_server_of_http(api):
    """Answers that are no JSON, or JSON of something else."""
    with peer(Nginx) as pages:
        for page in (b'<h1>Welcome</h1>', b'{"ok": true, "version": "1.0"}', b'[1, 2]', b''):
            pages.file('index.html', page)
            e = not_addable(api, 'elasticsearch', pages.config())
            assert e['exceptionType'] == 'ConnUnavailable' and 'is this an Elasticsearch?' in e['exception'], e


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, opensearch):
    """It stands for both servers: every case has passed on each."""
    check_row(request, api, add(api, 'elasticsearch', opensearch.config()), 'elasticsearch', 'libcurl', 'OpenSearch 2.19, Elasticsearch 8.15')
