# SPDX-License-Identifier: Apache-2.0
"""Topic handlers of an MQTT connector: acknowledged when committed, so a killed hub loses nothing (spec 4.17)."""

import pytest
from peers.mosquitto import Mosquitto
from support.connectors import fresh, peer
from support.server import wait_for
from support.subscriptions import handler, hub_killed, in_test_builds, info, killed_at, modify, state, subscribed

BROKER = 'mqtt', 'mq'


@pytest.fixture(scope='module')
def mq():
    with peer(Mosquitto, persistent=True) as p:
        yield p


@pytest.fixture(scope='module')
def publisher(mq):
    paho = pytest.importorskip('paho.mqtt.client')
    c = paho.Client(client_id=fresh('writer'), protocol=paho.MQTTv311)
    c.connect('127.0.0.1', mq.port)
    c.max_inflight_messages_set(1000)
    c.loop_start()

    def publish(topic, *messages, qos=1, retain=False):
        for m in [c.publish(topic, str(m), qos=qos, retain=retain) for m in messages]:
            m.wait_for_publish()
    yield publish
    c.disconnect()
    c.loop_stop()


@pytest.mark.parametrize('more', [{'sub_qos': 0}, {'sub_qos': 1}, {'sub_qos': 2}, {'protocol': '3.1.1'},
                                  {'transport': 'websockets'}])
def test_message_to_function(api, mq, sub, script, handled, publisher, more):
    t = fresh('t')
    cid = sub(handler(script, t + '/+/x'), **more, port=mq.ws_port if 'transport' in more else mq.port)
    publisher(t + '/1/x', *range(20), qos=2)
    publisher(t + '/1/y', 'not this one')
    assert wait_for(lambda: handled.count(t + '/1/x', 20) == 20, 20)
    row = info(api, cid)[0]
    assert row['received'] == row['accepted'] == row['lastMinuteCount'] == 20 and row['dropped'] == 0


@pytest.mark.parametrize('form', ['$share/group/%s', '$queue/%s'])
def test_shared(api, sub, script, handled, publisher, form):
    """Two members of one group: each message reaches one of them."""
    t = fresh('t')
    cids = [sub(handler(script, form % t)) for _ in range(2)]
    publisher(t, *range(40))
    assert wait_for(lambda: handled.count(t, 40) == 40, 20)
    received = [info(api, cid)[0]['received'] for cid in cids]
    assert sum(received) == 40 and min(received) > 0, received


def test_filters_that_cannot_be(api, mq, script):
    """Said by ourselves: a server ends the connection, or takes them for the name of a topic."""
    wrong = ['a/#/b', 'a+/b', 'a/b#', '$share/g', '$share//x', '$share/g+/x', '$queue/', 'x' * 70000, '$share/g/a/#/b']
    with subscribed(api, 'mqtt', mq.config(topicHandlers=[handler(script, t) for t in wrong]), 'failed', n=len(wrong)) as cid:
        for row in info(api, cid):
            assert 'the topic filter is not valid' in row['error'], row
        right = ['#', '+', 'a//b/+/#', '/', '$share/g/#', '$SYS/#', '+/+']
        modify(api, cid, mq.config(topicHandlers=[handler(script, t) for t in right]))
        state(api, cid, n=len(right))


@pytest.mark.parametrize('protocol, again', [('5', 0), ('3.1.1', 1)])
def test_retained(api, mq, sub, script, handled, publisher, protocol, again):
    """Handed on once, not with every new connection; 3.1.1 knows no other way."""
    t = fresh('t')
    publisher(t, 'kept', retain=True)
    cid = sub(handler(script, t), protocol=protocol)
    assert wait_for(lambda: handled.get(t, 'kept'), 20)
    modify(api, cid, mq.config(topicHandlers=[handler(script, t)], protocol=protocol, keepalive=30))
    publisher(t, 'next')
    assert wait_for(lambda: handled.get(t, 'next'), 20)
    assert info(api, cid)[0]['received'] == 1 + again, info(api, cid)


def test_while_nobody_is_there(api, mq, sub, script, handled, publisher):
    """The session keeps what is published while the handler is changed."""
    t = fresh('t')
    cid = sub(handler(script, t))
    modify(api, cid, mq.config(topicHandlers=[handler(script, t, isDisabled=True)]))
    state(api, cid, 'disabled')
    publisher(t, 0, 1, 2)
    modify(api, cid, mq.config(topicHandlers=[handler(script, t)]))
    state(api, cid)
    publisher(t, 3)
    assert wait_for(lambda: handled.count(t, 4) == 4, 20)


@pytest.mark.parametrize('protocol, dropped', [('3.1.1', 1), ('5', 0)])
def test_too_large(api, sub, script, handled, publisher, protocol, dropped):
    """With MQTT 5 the server is told what is; before, it sends it: nobody behind it waits."""
    t = fresh('t')
    cid = sub(handler(script, t), protocol=protocol, max_packet=65536)
    publisher(t, 'x' * 100000, *range(5))
    assert wait_for(lambda: handled.count(t, 5) == 5, 20), info(api, cid)
    row = info(api, cid)[0]
    assert (row['dropped'], row['received']) == (dropped, 5 + dropped) and row['state'] == 'consuming' and row['error'] is None


def test_hub_killed(server, api, mq, script, handled, publisher):
    """Killed in the middle of a stream, again and again: every message is handled."""
    t, n = fresh('t'), 300
    with subscribed(api, 'mqtt', mq.config(topicHandlers=[handler(script, t)])) as cid:
        for part in range(2):
            publisher(t, *range(part * 150, part * 150 + 150))
            hub_killed(server)
        assert wait_for(lambda: handled.count(t, n) == n, 40), handled.count(t, n)
        state(server.client(), cid)


@in_test_builds
@pytest.mark.parametrize('point', ['sub-delivered', 'sub-stored'])
def test_killed_at(new_server, mq, publisher, tmp_path, point):
    killed_at(new_server, str(tmp_path), point, 'mqtt', mq.config, publisher)


def test_password(api, script):
    """What is wrong is told, with what to do."""
    with peer(Mosquitto, password=True) as p:
        right = p.config(topicHandlers=[handler(script, fresh('t'))])
        with subscribed(api, 'mqtt', {**right, 'password': 'wrong'}, 'failed') as cid:
            row = info(api, cid)[0]
            assert 'sign-in' in row['error'] and 'check user and password' in row['error'], row
            modify(api, cid, right)
            state(api, cid)


def test_client_id_used_twice(api, mq, sub, script):
    paho = pytest.importorskip('paho.mqtt.client')
    cid = sub(handler(script, fresh('t')), clientId=fresh('twin'))
    with open(mq.path('log'), encoding='utf-8', errors='replace') as f:
        ours = [line.split(' as ')[1].split(' ')[0] for line in f if ' as twin' in line][-1]
    twin = paho.Client(client_id=ours, protocol=paho.MQTTv5)
    twin.connect('127.0.0.1', mq.port)
    twin.loop_start()
    try:
        said = wait_for(lambda: next((e for e in [info(api, cid)[0]['error'] or ''] if 'client id' in e), None), 25)
        assert 'another client' in said and (ours in said or 'same client id' in said)
    finally:
        twin.disconnect()
        twin.loop_stop()
    state(api, cid)


def test_tls(api, certs, script):
    with peer(Mosquitto, certs=certs) as p, \
            subscribed(api, 'mqtt', p.config(tls='on', tls_ca=certs.text('ca.pem'), topicHandlers=[handler(script, fresh('t'))])):
        pass
