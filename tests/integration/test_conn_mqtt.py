# SPDX-License-Identifier: Apache-2.0
"""connectors/mqtt in scripts, against mosquitto; what arrives is read by an independent client (paho-mqtt)."""

import queue
import struct

import pytest
from peers.mosquitto import PASSWORD, Mosquitto
from peers.proxy import Proxy
from peers.scripted import Scripted
from support.cases import (BREAKS, GONE, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, ClientCertificate, Contract, FewConnections,
                           PasswordChanges, Readme, Refusals, TlsIsMissed, TlsNotOffered)
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row


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
c.publish(t + '/c', 12); c.publish(t + '/c', 1.5); c.publish(t + '/c', None, qos=1); c.publish(t + '/f', {'a': [1, None, 'häh']}, qos=1)
c.publish(t + '/d', 'x' * 300000, qos=2)
return [c.check(), c.publish(t + '/e', 'kept', qos=1, retain=True)]
''', t=t) == [None, None]
    seen = [got.get(timeout=10)[:4] for _ in range(10)]
    assert sorted(seen) == sorted([
        (t + '/a', 'häh 0'.encode(), 0, False), (t + '/a', 'häh 1'.encode(), 1, False),
        (t + '/a', 'häh 2'.encode(), 2, False), (t + '/b', b'\xff\0', 1, False), (t + '/c', b'12', 0, False),
        (t + '/c', b'1.5', 0, False), (t + '/c', b'', 1, False), (t + '/d', b'x' * 300000, 2, False),
        (t + '/e', b'kept', 1, False), (t + '/f', '{"a":[1,null,"häh"]}'.encode(), 1, False)])
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
        tell(lambda: c.publish('a', [datetime.datetime.now()])), tell(lambda: c.publish('a', 'x', user_properties=[1])),
        tell(lambda: c.publish('a' * 70000, 'x')), tell(lambda: c.publish('a', 'x', content_type='y' * 70000))]
''')
    assert all(e is not None for e in got), got
    assert 'wildcard' in got[0][1] and 'qos must be' in got[2][1] and 'JSON does not know' in got[3][1]


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


class Refusing(Scripted):
    """A server of MQTT 5 that takes a message or not, as `says` has it: {type of packet: its reason}."""

    def __init__(self):
        super().__init__()
        self.says = {}

    def serve(self, sock):
        f = sock.makefile('rb')

        def answer(kind, body):
            sock.sendall(bytes([kind << 4, len(body)]) + body)
        for first in iter(lambda: f.read(1), b''):
            head, size, shift, more = first[0], 0, 0, 0x80
            while more & 0x80:
                more = f.read(1)[0]
                size, shift = size | (more & 0x7f) << shift, shift + 7
            body, kind, qos = f.read(size), head >> 4, head >> 1 & 3
            if kind == 1:
                answer(2, b'\0\0\0')
            elif kind == 3 and qos:
                at = 2 + struct.unpack('>H', body[:2])[0]
                kind = 4 if qos == 1 else 5
                answer(kind, body[at:at + 2] + bytes([self.says.get(kind, 0)]))
            elif kind == 6:
                answer(7, body[:2] + bytes([self.says.get(7, 0)]))
            elif kind == 12:
                answer(13, b'')


@pytest.mark.parametrize('says, qos, kind, text', [
    ({4: 0x97}, 1, 'LimitExceeded', 'quota exceeded'), ({4: 0x10}, 1, None, ''), ({5: 0x87}, 2, 'Denied', 'not authorized'),
    ({5: 0x10}, 2, None, ''), ({7: 0x92}, 2, 'QueryError', 'the packet id is not known')])
def test_what_the_server_says_about_a_message(api, says, qos, kind, text):
    """Every confirmation may say no; afterwards the connection goes on."""
    with Refusing() as server:
        cid = add(api, 'mqtt', {'host': '127.0.0.1', 'port': server.port})
        server.says = says
        told, more = on(api, cid, "return [tell(lambda: c.publish('t', 'x', qos=qos)), tell(lambda: c.publish('t', 'x'))]", qos=qos)
        assert more is None and (told is None if kind is None else told[0] == kind and text in told[1] and told[2] == max(says.values())), told


def test_will(api, mq, reader):
    """What the server says when a connection is lost without a goodbye."""
    t = fresh('t')
    got = reader(t)
    with Proxy(mq.port) as proxy:
        cid = add(api, 'mqtt', mq.config(port=proxy.port, will_topic=t, will_message='gone', will_qos=1), skipTest=True)
        on(api, cid, "c.publish('x', 'y', qos=1)")
        proxy.drop()
        assert got.get(timeout=10)[:3] == (t, b'gone', 1)


class TestMQTT(Contract, Readme, FewConnections, PasswordChanges, Breaks, BadLines, Refusals, TlsNotOffered, TlsIsMissed, ClientCertificate):
    """What mqtt shares with the other connectors."""

    type, fixture, make = 'mqtt', 'mq', Mosquitto
    ask, gives = "c.publish('t', 'x', qos=1)", None
    tls_ask, tls_gives, says_why = "c.publish('t', 'x' * 100000, qos=2)", None, 'certificate'
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_FIELD, ({'keepalive': 1}, 'ConfigError', 'keepalive'),
                ({'transport': 'websockets'}, 'ConnUnavailable', 'WebSocket')]
    cut_after = break_after = 1
    fetch, small, large = "[c.publish('t', 'x', qos=1), n][1]", 1, 1
    breaks = [*BREAKS, ('garbage', GONE), ('huge', 'LimitExceeded')]
    flood = b'\x40\xff\xff\xff\x7f'  # a confirmation of 256 MiB
    contract = ['publish=["k", "v", 1]']
    readme_id = 'broker'

    def to_restart(self, request):
        return peer(Mosquitto, password=True)

    def tls_configs(self, own, ca):
        yield from super().tls_configs(own, ca)
        yield {**own.config(tls='on', tls_ca=ca, transport='websockets'), 'port': own.ws_port}

    def test_a_server_that_wants_a_certificate(self, api, certs):
        """The certificate is really shown."""
        pem, key = certs.pair('client')
        with peer(Mosquitto, certs=certs, client_cert=True) as strict:
            on(api, add(api, 'mqtt', strict.config(tls='on', tls_ca=certs.text('ca.pem'), tls_cert=pem, tls_key=key)), self.tls_ask)
            not_addable(api, 'mqtt', strict.config(tls='on', tls_ca=certs.text('ca.pem')))


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'mqtt', 'own, OpenSSL', 'mosquitto 2.0')
