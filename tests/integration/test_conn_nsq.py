# SPDX-License-Identifier: Apache-2.0
"""connectors/nsq in scripts, against real nsqd and nsqlookupd; what was published is read by a subscriber of our own."""

import json
import struct
from typing import ClassVar

import pytest
from peers.nsq import Authority, Lookupd, Nsqd, SecretNsqd, Subscriber
from peers.proxy import Proxy
from support.cases import (BREAKS, GONE, LATE, NO_FIELD, NO_NAME, NO_SERVER, BadLines, Breaks, ClientCertificate, Contract, FewConnections,
                           PasswordChanges, Readme, Refusals, Restarts, TlsNotOffered)
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row, shows
from support.server import wait_for


@pytest.fixture(scope='module')
def lookupd():
    with peer(Lookupd) as p:
        yield p


@pytest.fixture(scope='module')
def nsqd(lookupd):
    with peer(Nsqd, lookupd) as p:
        assert wait_for(lambda: len(lookupd.nodes()) == 1)
        yield p


@pytest.fixture(scope='module', params=['http', 'tcp'])
def cid(request, server, lookupd, nsqd):
    """A connector over each protocol, which finds the node itself."""
    return add(server.client(), 'nsq', lookupd.config(protocol=request.param))


@pytest.fixture
def topic():
    """A topic nobody has."""
    return fresh('t')


MESSAGES = '''
out = [c.publish(topic, m) for m in ('text', b'\\x00\\xff\\n', {'a': [1, 2.5, None, '\u6570']}, ['x'], 5, 'x' * 100000)]
out += [c.publish_many(topic, ['one', b'two', {'three': 3}]), c.check()]
return out
'''
BODIES = [b'text', b'\x00\xff\n', None, b'["x"]', b'5', b'x' * 100000, b'one', b'two', b'{"three":3}']


def test_publish(api, cid, nsqd, topic):
    assert on(api, cid, MESSAGES, topic=topic) == [True] * 7 + [None]
    sub = Subscriber(nsqd.port, topic)
    got = sorted(sub.next() for _ in BODIES)
    assert b'{"a":[1,2.5,null,"\xe6\x95\xb0"]}' in got or any(json.loads(g) == {'a': [1, 2.5, None, '\u6570']} for g in got if g[:4] == b'{"a"')
    assert sorted(b for b in BODIES if b) == [g for g in got if g[:4] != b'{"a"']
    sub.close()


def test_deferred(api, lookupd, nsqd, topic):
    """Over both protocols at once: nsqd looks at new channels every five seconds only."""
    for protocol in ('http', 'tcp'):
        assert on(api, add(api, 'nsq', lookupd.config(protocol=protocol)), 'return c.publish(topic, protocol, defer=1200)', topic=topic, protocol=protocol)
    nsqd.ask('/channel/create?topic=%s&channel=test' % topic, b'')
    assert wait_for(lambda: nsqd.topics()[topic]['channels'][0]['deferred_count'] == 2)
    sub = Subscriber(nsqd.port, topic)
    assert sorted([sub.next(), sub.next()]) == [b'http', b'tcp']
    sub.close()


def test_query_and_nodes(api, cid, lookupd, nsqd, topic):
    on(api, cid, "c.publish(topic, 'x')", topic=topic)
    got = on(api, cid, '''
status, nodes = c.query('GET', '/nodes')
out = [status, [p['tcp_port'] for p in nodes['producers']], c.query('get', 'ping'), c.query('GET /info')[0], c.query('GET', '/lookup', {'topic': 'no such'})]
status, found = c.query('GET', '/lookup', query={'topic': topic})
return out + [status, [p['tcp_port'] for p in found['producers']], c.query('POST', '/topic/create', {'topic': topic + '_new'})[0], c.nodes()]
''', topic=topic)
    assert got[0] == 200 and got[1] == [nsqd.port] and got[2] == [200, 'OK'] and got[3] == 200
    assert got[4][0] in (400, 404) and 'message' in got[4][1] and got[5:8] == [200, [nsqd.port], 200]
    assert got[8][0]['host'] == '127.0.0.1' and got[8][0]['port'] in (nsqd.http, nsqd.port)


def test_arguments_and_limits(api, cid, nsqd, topic):
    got = on(api, cid, '''
bad = ['', 'a b', 'x' * 65, '#ephemeral', 'a/b', 'a?topic=b', 'a\\nPUB b', '\u6570']
out = [[tell(lambda: c.publish(b, 'x'))[0] for b in bad]]
out += [tell(lambda: c.publish(topic, ''))[0], tell(lambda: c.publish_many(topic, []))[0], tell(lambda: c.publish(topic, 'x', -1))[0],
        tell(lambda: c.publish(topic, {'a': datetime.datetime.now()}))[0]]
out += [tell(lambda: c.publish(topic, 'x' * 300000)), tell(lambda: c.publish_many(topic, ['x' * 150000] * 5))]
return out + [c.publish(topic, 'ok'), c.publish('e_' + topic + '#ephemeral', 'ok')]
''', topic=topic)
    assert got[0] == ['InvalidArgument'] * 8 and got[1:5] == ['InvalidArgument'] * 4
    assert got[5][0] == 'LimitExceeded' and got[6][0] == 'LimitExceeded', got[5:7]
    assert got[7:] == [True, True]
    assert nsqd.topics()[topic]['depth'] == 1


@shows('faults', 'one of several nodes down')
@pytest.mark.parametrize('protocol', ['http', 'tcp'])
def test_nodes_come_and_go(api, protocol, topic):
    """One of two dies: messages go to the other one at once, and to a new one after the list was asked for again."""
    with peer(Lookupd) as lookupd, peer(Nsqd, lookupd) as a, peer(Nsqd, lookupd) as b:
        assert wait_for(lambda: len(lookupd.nodes()) == 2)
        cid = add(api, 'nsq', lookupd.config(protocol=protocol, refresh=1))
        body = 'return [tell(lambda: c.publish(topic, str(i))) for i in range(12)]'
        assert on(api, cid, body, topic=topic) == [None] * 12
        if protocol == 'http':
            assert topic in a.topics() and topic in b.topics()
        b.stop()
        told = [t for _ in range(3) for t in on(api, cid, body, topic=topic)]
        assert told.count(None) >= len(told) - 2, told  # a kept connection may have broken while it was used
        lookupd.stop()
        assert on(api, cid, body, topic=topic).count(None) >= 11


# ---- sign-in and TLS ------------------------------------------------------------------------------------------


def test_sign_in(api, nsqd):
    with Authority() as authority, peer(Nsqd, auth=authority.port) as own:
        cid = add(api, 'nsq', own.config('tcp', auth_secret='good'))
        told = on(api, cid, "return [c.publish('open_topic', 'x'), tell(lambda: c.publish('closed', 'x'))[0], c.publish('open_topic', 'y')]")
        assert told == [True, 'Denied', True]
        e = not_addable(api, 'nsq', own.config('tcp', auth_secret='bad-one'))
        assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception'] and 'bad-one' not in str(e)
        e = not_addable(api, 'nsq', own.config('tcp'))
        assert e['exceptionType'] == 'Denied' and 'none is configured' in e['exception']
    e = not_addable(api, 'nsq', nsqd.config('tcp', auth_secret='good'))
    assert e['exceptionType'] == 'ConfigError' and 'leave auth_secret empty' in e['exception']


def test_a_server_that_wants_tls(api, certs):
    """Without TLS nsqd lets nobody publish; it is told what to configure."""
    with peer(Nsqd, certs=certs, protocol='tcp', required=True) as own:
        told = on(api, add(api, 'nsq', own.config()), "return tell(lambda: c.publish('t', 'x'))")
        assert told[0] == 'ConfigError' and 'configure tls' in told[1], told
        cid = add(api, 'nsq', own.config(tls='on', tls_ca=certs.text('ca.pem')))
        assert on(api, cid, "return c.publish('t', 'x')") is True


def test_connections_of_many_calls(api, nsqd, topic):
    """The framed protocol keeps its connections, with the name of the application."""
    cid = add(api, 'nsq', nsqd.config('tcp', application='count_me'))
    api_id = api.function('''
@DFF.API('f')
def f(cid, topic):
    return DFF.CONN(cid).publish(topic, 'x')
''', 'f', {'cid': 'INPUT_BY_CALLER', 'topic': 'INPUT_BY_CALLER'})
    for _ in range(60):
        assert api.result(api_id, cid=cid, topic=topic) is True
    workers = len(api.get('/monitor/platform/do/get')['broker']['workers'])
    clients = [c for c in json.loads(nsqd.ask('/stats?format=json'))['producers'] if c['client_id'] == 'count_me']
    assert 0 < len(clients) <= 2 * workers and sum(p['count'] for c in clients for p in c['pub_counts']) == 60



class TestLookup(Readme, Refusals):
    """With nsqlookupd, which knows the nodes."""

    type, fixture = 'nsq', 'known'
    refusals = [NO_SERVER, NO_NAME, NO_FIELD, ({'protocol': 'ftp'}, 'ConfigError', 'protocol')]
    readme_id = 'events'

    @pytest.fixture
    def known(self, lookupd, nsqd):
        del nsqd  # somebody to publish to
        return lookupd


class Publishing(Contract, FewConnections, Breaks, BadLines, Refusals, ClientCertificate):
    """What nsq shares with the other connectors, whichever way messages go."""

    type, make = 'nsq', Nsqd
    protocol: ClassVar[str]
    ask, gives = "c.publish('open', 'x')", True
    tls_ask, tls_gives = "c.publish('t', 'x' * 150000)", True
    refusals = [NO_SERVER, ({'host': 'no.such.host.invalid'}, GONE, 'no.such.host.invalid cannot be resolved'), NO_FIELD,
                ({'servers': 'a:b:c'}, 'ConfigError', '`a:b:c`'), ({'servers': ' , '}, 'ConfigError', 'there is none')]
    fetch, small, large, break_after, cut_after = "[c.publish('t', 'x'), n][1]", 1, 1, 2, 2
    contract = ['publish=["t", "x"]', 'nodes']

    def through(self, it):
        return Proxy(it.port_of(self.protocol))

    def tls_configs(self, own, ca):
        yield own.config(tls='on', tls_ca=ca)
        yield own.config(tls='on', tls_ca=ca, host='localhost')
        yield own.config(tls='unverified')


class TestFramed(Publishing, PasswordChanges, TlsNotOffered):
    """Over the framed protocol."""

    protocol, fixture = 'tcp', 'framed'
    breaks = [*BREAKS, ('garbage', GONE), ('huge', 'LimitExceeded')]
    flood = struct.pack('>II', 0x7fffffff, 0)  # an answer of 2 GiB

    @pytest.fixture(scope='class')
    def framed(self):
        with peer(Nsqd, protocol='tcp') as p:
            yield p

    def to_restart(self, request):
        return peer(SecretNsqd)

    def with_tls(self, request, certs):
        return peer(Nsqd, certs=certs, protocol='tcp')

    def with_wrong_name(self, request, certs):
        return peer(Nsqd, certs=certs, cert='wrong', protocol='tcp')

    def without_tls(self, request):
        return peer(Nsqd, protocol='tcp')


class TestHTTP(Publishing, Restarts):
    """Over HTTP, and HTTPS."""

    protocol, fixture = 'http', 'nsqd'
    breaks = [*BREAKS, ('garbage', GONE), ('huge', ('LimitExceeded', LATE))]
    flood = b'HTTP/1.1 200 OK\r\n\r\n'
    ready_at_once = False

    def at(self, it, port, **changes):
        return it.config(port=port, timeout=2, **changes)  # with fixed nodes a request is the first to connect

    def with_tls(self, request, certs):
        return peer(Nsqd, certs=certs, protocol='https')

    def with_wrong_name(self, request, certs):
        return peer(Nsqd, certs=certs, cert='wrong', protocol='https')


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, lookupd, nsqd):
    check_row(request, api, add(api, 'nsq', lookupd.config()), 'nsq', 'own (framed TCP), libcurl, OpenSSL', 'nsqd, nsqlookupd 1.3')
