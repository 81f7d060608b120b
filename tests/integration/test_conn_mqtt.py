# SPDX-License-Identifier: Apache-2.0
"""connectors/mqtt in scripts, against mosquitto; what arrives is read by an independent client (paho-mqtt)."""

import os
import queue
import re
import subprocess

import pytest
from peers.certs import Certs
from peers.mosquitto import PASSWORD, Mosquitto
from peers.proxy import Proxy
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row, shows
from support.server import BUILD, ROOT, wait_for


@pytest.fixture(scope='module')
def mq():
    with peer(Mosquitto) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, mq):
    return add(server.client(), 'mqtt', mq.config())


@pytest.fixture(scope='module')
def reader(mq):
    """reader(filter) -> a queue of (topic, payload, qos, retain, properties) from now on."""
    paho = pytest.importorskip('paho.mqtt.client')
    clients = []

    def make(topic):
        got, ready = queue.Queue(), queue.Queue()
        c = paho.Client(client_id=fresh('reader'), protocol=paho.MQTTv5)
        c.on_message = lambda _c, _u, m: got.put((m.topic, m.payload, m.qos, bool(m.retain), m.properties))
        c.on_subscribe = lambda *a: ready.put(1)
        c.connect('127.0.0.1', mq.port)
        c.subscribe(topic, qos=2)
        c.loop_start()
        ready.get(timeout=10)
        clients.append(c)
        return got
    yield make
    for c in clients:
        c.disconnect()
        c.loop_stop()


def test_publish(api, cid, reader):
    t = fresh('t')
    got = reader(t + '/#')
    assert on(api, cid, '''
for qos in (0, 1, 2):
    c.publish(t + '/a', 'h\\u00e4h %d' % qos, qos=qos)
c.pub(t + '/b', b'\\xff\\x00', 1)
c.publish(t + '/c', 12); c.publish(t + '/c', 1.5); c.publish(t + '/c', None, qos=1)
c.publish(t + '/d', 'x' * 300000, qos=2)
return [c.check(), c.publish(t + '/e', 'kept', qos=1, retain=True)]
''', t=t) == [None, None]
    seen = [got.get(timeout=10)[:4] for _ in range(9)]
    assert sorted(seen) == sorted([
        (t + '/a', 'häh 0'.encode(), 0, False), (t + '/a', 'häh 1'.encode(), 1, False),
        (t + '/a', 'häh 2'.encode(), 2, False), (t + '/b', b'\xff\0', 1, False), (t + '/c', b'12', 0, False),
        (t + '/c', b'1.5', 0, False), (t + '/c', b'', 1, False), (t + '/d', b'x' * 300000, 2, False),
        (t + '/e', b'kept', 1, False)])
    late = reader(t + '/#').get(timeout=10)
    assert late[:4] == (t + '/e', b'kept', 1, True)


def test_properties(api, cid, reader):
    t = fresh('t')
    got = reader(t)
    on(api, cid, '''
c.publish(t, 'x', qos=1, user_properties={'a': 'b', 'n': 1}, content_type='text/plain', response_topic='re', correlation_data=b'id',
          message_expiry=60)
''', t=t)
    p = got.get(timeout=10)[4]
    assert sorted(p.UserProperty) == [('a', 'b'), ('n', '1')] and p.ContentType == 'text/plain'
    assert p.ResponseTopic == 're' and p.CorrelationData == b'id' and 0 < p.MessageExpiryInterval <= 60


def test_refused_arguments(api, cid):
    got = on(api, cid, '''
return [tell(lambda: c.publish('a/+', 'x')), tell(lambda: c.publish('', 'x')), tell(lambda: c.publish('a', 'x', qos=3)),
        tell(lambda: c.publish('a', {'no': 1})), tell(lambda: c.publish('a', 'x', user_properties=[1])),
        tell(lambda: c.publish('a' * 70000, 'x')), tell(lambda: c.publish('a', 'x', content_type='y' * 70000))]
''')
    assert all(e is not None for e in got), got
    assert 'wildcard' in got[0][1] and 'qos must be' in got[2][1] and 'json.dumps' in got[3][1]


@pytest.mark.parametrize('more', [{'protocol': '3.1.1'}, {'transport': 'websockets'},
                                  {'transport': 'websockets', 'protocol': '3.1.1'}])
def test_other_ways(api, mq, reader, more):
    t = fresh('t')
    got = reader(t)
    config = mq.config(**more)
    if 'transport' in more:
        config['port'] = mq.ws_port
    cid = add(api, 'mqtt', config)
    on(api, cid, '''
for qos in (0, 1, 2):
    c.publish(t, 'x' * 70000, qos=qos)
''', t=t)
    assert [len(got.get(timeout=10)[1]) for _ in range(3)] == [70000] * 3
    if 'protocol' in more:
        assert 'MQTT 5' in on(api, cid, "return tell(lambda: c.publish('a', 'x', content_type='y'))")[1]


@shows('TLS', 'verified', 'unknown authority refused', 'client certificate', 'wrong name refused')
def test_tls(api, mq):
    certs = Certs()
    ca = certs.text('ca.pem')
    with peer(Mosquitto, certs=certs) as p, peer(Mosquitto, certs=certs, cert='wrong') as wrong, \
            peer(Mosquitto, certs=certs, client_cert=True) as strict:
        pem, key = certs.pair('client')
        for config in (p.config(tls='on', tls_ca=ca), {**p.config(tls='on', tls_ca=ca, transport='websockets'),
                                                       'port': p.ws_port},
                       wrong.config(tls='unverified'), strict.config(tls='on', tls_ca=ca, tls_cert=pem, tls_key=key)):
            assert on(api, add(api, 'mqtt', config), "return c.publish('t', 'x', qos=2)") is None
        assert 'certificate' in not_addable(api, 'mqtt', p.config(tls='on'))['exception']
        assert 'certificate' in not_addable(api, 'mqtt', wrong.config(tls='on', tls_ca=ca))['exception']
        assert 'TLS' in not_addable(api, 'mqtt', mq.config(tls='on', tls_ca=ca))['exception']
        not_addable(api, 'mqtt', strict.config(tls='on', tls_ca=ca))
    certs.close()


def test_sign_in(api):
    with peer(Mosquitto, password=True) as p:
        cid = add(api, 'mqtt', p.config())
        assert on(api, cid, "return c.publish('t', 'x', qos=1)") is None
        denied = on(api, cid, "return tell(lambda: c.publish('secret/t', 'x', qos=1))")
        assert denied[0] == 'Denied' and 'not authorized' in denied[1]
        for version in ('5', '3.1.1'):
            e = not_addable(api, 'mqtt', p.config(password='wrong', protocol=version))
            assert 'sign-in' in e['exception'] and 'check user and password' in e['exception']
            assert PASSWORD not in str(e)


def test_will(api, mq, reader):
    """What the server says when a connection is lost without a goodbye."""
    t = fresh('t')
    got = reader(t)
    with Proxy(mq.port) as proxy:
        cid = add(api, 'mqtt', mq.config(port=proxy.port, will_topic=t, will_message='gone', will_qos=1), skipTest=True)
        on(api, cid, "c.publish('x', 'y', qos=1)")
        proxy.drop()
        assert got.get(timeout=10)[:3] == (t, b'gone', 1)


@shows('faults', 'server restarted')
def test_restart(api):
    """A server that was restarted is no error of the next call."""
    with peer(Mosquitto) as p:
        cid = add(api, 'mqtt', p.config())
        api_id = api.function('''
@DFF.API('f')
def f(cid):
    try:
        return DFF.CONN(cid).publish('t', 'x', qos=1) is None
    except Exception as e:
        return type(e).__name__
''', 'f', {'cid': 'INPUT_BY_CALLER'})
        assert api.result(api_id, cid=cid) is True
        p.stop()
        assert api.result(api_id, cid=cid) == 'ConnUnavailable'
        p.start()
        assert wait_for(lambda: api.result(api_id, cid=cid) is True, 15)


@shows('faults', 'refused')
@pytest.mark.parametrize('change, kind, says', [
    ({'port': 1}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'keepalive': 1}, 'ConfigError', 'keepalive'),
    ({'transport': 'websockets'}, 'ConnUnavailable', 'WebSocket'),
    ({'hots': 'x'}, 'ConfigError', 'did you mean `host`?'),
])
def test_refused_with_the_step_that_failed(api, mq, change, kind, says):
    e = not_addable(api, 'mqtt', mq.config(**change))
    assert e['exceptionType'] == kind and says in e['exception'], e


@shows('faults', param='mode')
@pytest.mark.parametrize('mode', ['black_hole', 'half_open', 'garbage', 'huge', 'slow', 'reset', 'cut'])
def test_connecting_through_a_bad_line(api, mq, mode):
    with Proxy(mq.port) as proxy:
        cid = add(api, 'mqtt', mq.config(port=proxy.port, pool={'connect': '700ms'}), skipTest=True)
        proxy.mode, proxy.after = mode, 1
        got = on(api, cid, "return tell(lambda: c.publish('t', 'x', qos=1))")
        assert got is not None and got[0] in ('ConnTimeout', 'ConnUnavailable', 'LimitReached'), got
        proxy.mode = 'ok'
        proxy.drop()
        assert on(api, cid, "return c.publish('t', 'x', qos=2)") is None


@pytest.mark.parametrize('mode', ['half_open', 'reset', 'cut'])
def test_a_confirmation_that_does_not_come(api, mq, mode):
    with Proxy(mq.port) as proxy:
        cid = add(api, 'mqtt', mq.config(port=proxy.port, pool={'query': '800ms'}))
        api_id = api.function('''
@DFF.API('f', timeout=20)
def f(cid):
    try:
        return DFF.CONN(cid).publish('t', 'x', qos=1)
    except Exception as e:
        return [type(e).__name__, str(e)]
''', 'f', {'cid': 'INPUT_BY_CALLER'})
        assert api.result(api_id, cid=cid) is None
        proxy.mode, proxy.after = mode, 1
        assert api.result(api_id, cid=cid)[0] in ('ConnTimeout', 'ConnUnavailable')
        proxy.mode = 'ok'
        proxy.drop()
        assert wait_for(lambda: api.result(api_id, cid=cid) is None, 15)


def test_contract(mq):
    """tenon-plugin-check against the live plugin and server."""
    done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_mqtt.so'),
                           '--config', 'port=%d' % mq.port, '--call', 'publish=["k", "v", 1]', '--call', 'check'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_readme(api, mq):
    """The script of the README runs as it stands there."""
    with open(os.path.join(ROOT, 'connectors/mqtt/README.md'), encoding='utf-8') as f:
        script = re.search(r'```py\n(.*?)```', f.read(), re.S).group(1)
    cid = add(api, 'mqtt', mq.config(), id='broker')
    on(api, cid, script + '\nreturn 1')


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'mqtt', 'own, OpenSSL', 'mosquitto 2.0')
