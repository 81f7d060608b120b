# SPDX-License-Identifier: Apache-2.0
"""connectors/nsq in scripts, against real nsqd and nsqlookupd; what was published is read by a subscriber of our own."""

import json
import os
import subprocess

import pytest
from peers.nsq import Authority, Lookupd, Nsqd, Subscriber
from peers.proxy import Proxy
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row, shows
from support.readme import script_of
from support.server import BUILD, ROOT, wait_for


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


def test_deferred(api, cid, nsqd, topic):
    assert on(api, cid, "return c.publish(topic, 'later', defer=1200)", topic=topic) is True
    nsqd.ask('/channel/create?topic=%s&channel=test' % topic, b'')
    assert wait_for(lambda: nsqd.topics()[topic]['channels'][0]['deferred_count'] == 1)
    sub = Subscriber(nsqd.port, topic)
    assert sub.next() == b'later'
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


# ---- TLS and sign-in ------------------------------------------------------------------------------------------


@shows('TLS', 'verified', 'unknown authority refused', 'client certificate', 'wrong name refused', 'required but not offered refused')
def test_tls(api, certs, nsqd, topic):
    ca = certs.text('ca.pem')
    pem, key = certs.pair('client')
    big = "return c.publish(topic, 'x' * 150000)"
    with peer(Nsqd, certs=certs) as own:
        for config in (own.config('tcp', tls='on', tls_ca=ca), own.config('tcp', tls='unverified'), own.config('https', tls_ca=ca),
                       own.config('https', tls='unverified'), own.config('tcp', tls='on', tls_ca=ca, tls_cert=pem, tls_key=key)):
            assert on(api, add(api, 'nsq', config), big, topic=topic) is True
        for protocol in ('tcp', 'https'):
            e = not_addable(api, 'nsq', own.config(protocol, tls='on'))
            assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'] and 'certificate verify failed' in e['exception']
    with peer(Nsqd, certs=certs, cert='wrong') as other:
        e = not_addable(api, 'nsq', other.config('tcp', tls='on', tls_ca=ca))
        assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception']
    e = not_addable(api, 'nsq', nsqd.config('tcp', tls='on', tls_ca=ca))
    assert e['exceptionType'] == 'ConfigError' and 'does not offer it' in e['exception']


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


@shows('faults', 'refused')
@pytest.mark.parametrize('config, kind, says', [
    ({'port': 1}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'host': 'no.such.host.invalid'}, 'ConnUnavailable', 'DNS: the name `no.such.host.invalid` cannot be resolved'),
    ({'servers': '127.0.0.1:1'}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'servers': '127.0.0.1:1', 'protocol': 'tcp'}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'servers': 'a:b:c'}, 'ConfigError', '`a:b:c`'),
    ({'protocol': 'ftp'}, 'ConfigError', 'protocol'),
    ({'hots': 'x'}, 'ConfigError', 'did you mean `host`?'),
])
def test_refused_with_the_step_that_failed(api, lookupd, config, kind, says):
    e = not_addable(api, 'nsq', {**({} if 'servers' in config else lookupd.config()), **config})
    assert e['exceptionType'] == kind and says in e['exception'], e


# ---- faults ---------------------------------------------------------------------------------------------------


@shows('faults', param='mode')
@pytest.mark.parametrize('protocol', ['http', 'tcp'])
@pytest.mark.parametrize('mode', ['black_hole', 'half_open', 'garbage', 'slow', 'reset', 'cut'])
def test_a_bad_line(api, nsqd, mode, protocol, topic):
    """While connecting and in an answer: bounded, with a class, and well again afterwards."""
    with Proxy(nsqd.http if protocol == 'http' else nsqd.port) as proxy:
        cid = add(api, 'nsq', {'servers': '127.0.0.1:%d' % proxy.port, 'protocol': protocol, 'pool': {'connect': '400ms', 'query': '400ms'}}, skipTest=True)
        body = '''
t = time.monotonic()
told = tell(lambda: c.publish(topic, 'x'))
return [told, time.monotonic() - t]
'''
        assert on(api, cid, body, topic=topic)[0] is None
        proxy.mode, proxy.after = mode, 2
        for _ in range(2):  # on the kept connection, then on a new one
            told, seconds = on(api, cid, body, topic=topic)
            assert told is not None and told[0] in ('ConnTimeout', 'ConnUnavailable') and seconds < 6, told
            proxy.drop()
        proxy.mode = 'ok'
        proxy.drop()
        assert on(api, cid, body, topic=topic)[0] is None


@shows('faults', 'server restarted')
@pytest.mark.parametrize('protocol', ['http', 'tcp'])
def test_restarted_server_is_not_noticed(api, protocol, topic):
    with peer(Nsqd) as own:
        cid = add(api, 'nsq', own.config(protocol))
        body = "return tell(lambda: c.publish(topic, 'x'))"
        assert on(api, cid, body, topic=topic) is None
        own.stop()
        assert on(api, cid, body, topic=topic)[0] == 'ConnUnavailable'
        own.start()
        assert wait_for(lambda: on(api, cid, body, topic=topic) is None)


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


def test_readme(api, lookupd, nsqd):
    """The script of the README runs as it stands."""
    add(api, 'nsq', lookupd.config(), id='events')
    api.result(api.function(script_of(os.path.join(ROOT, 'connectors/nsq/README.md')), 'f'))


def test_contract(nsqd):
    """tenon-plugin-check against the live plugin and server."""
    done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_nsq.so')]
                          + ['--config', 'servers=127.0.0.1:%d' % nsqd.http, '--call', 'nodes', '--call', 'check'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, lookupd, nsqd):
    check_row(request, api, add(api, 'nsq', lookupd.config()), 'nsq', 'own (framed TCP), libcurl, OpenSSL', 'nsqd, nsqlookupd 1.3')
