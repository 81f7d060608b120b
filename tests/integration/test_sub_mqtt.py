# SPDX-License-Identifier: Apache-2.0
"""Topic handlers of an MQTT connector: acknowledged when committed, so a killed hub loses nothing (spec 4.17)."""

import os
import signal

import pytest
from peers.certs import Certs
from peers.mosquitto import Mosquitto
from support.connectors import add, fresh, peer
from support.server import wait_for
from support.subscriptions import in_test_builds, killed_at

CODE = '''
@DFF.API('Handler')
def handle(topic, message):
    DFF.STORE.set(topic + '|' + message, message)


@DFF.API('How many of these were stored')
def count(topic, n):
    return sum(DFF.STORE.get('%s|%d' % (topic, i)) is not None for i in range(n))
'''


@pytest.fixture(scope='module')
def mq():
    with peer(Mosquitto, persistent=True) as p:
        yield p


@pytest.fixture(scope='module')
def script(server):
    return server.client().script(CODE)


@pytest.fixture(scope='module')
def count(server, script):
    """count(topic, n) -> how many of the messages 0 to n - 1 were handled."""
    client = server.client()
    api_id = client.add_sync_api(script + '.count', {'topic': 'INPUT_BY_CALLER', 'n': 'INPUT_BY_CALLER'})
    return lambda topic, n: client.result(api_id, topic=topic, n=n)


@pytest.fixture(scope='module')
def publisher(mq):
    paho = pytest.importorskip('paho.mqtt.client')
    c = paho.Client(client_id=fresh('writer'), protocol=paho.MQTTv311)
    c.connect('127.0.0.1', mq.port)
    c.max_inflight_messages_set(1000)
    c.loop_start()

    def publish(topic, *messages, qos=1):
        for m in [c.publish(topic, str(m), qos=qos) for m in messages]:
            m.wait_for_publish()
    yield publish
    c.disconnect()
    c.loop_stop()


def info(api, cid):
    return api.get('/connectors/%s/sub-info/do/list' % cid)


def state(api, cid, wanted='consuming'):
    """The first row of sub-info, once it is in that state."""
    return wait_for(lambda: next((r for r in info(api, cid) if r['state'] == wanted), None), 20)


def config(mq, script, topic, **more):
    return mq.config(topicHandlers=[{'topic': topic, 'funcId': script + '.handle'}], **more)


@pytest.mark.parametrize('more', [{'sub_qos': 0}, {'sub_qos': 1}, {'sub_qos': 2}, {'protocol': '3.1.1'},
                                  {'transport': 'websockets'}])
def test_message_to_function(api, mq, script, count, publisher, more):
    t = fresh('t')
    settings = config(mq, script, t + '/+/x', **more)
    if 'transport' in more:
        settings['port'] = mq.ws_port
    cid = add(api, 'mqtt', settings)
    state(api, cid)
    publisher(t + '/1/x', *range(20), qos=2)
    publisher(t + '/1/y', 'not this one')
    assert wait_for(lambda: count(t + '/1/x', 20) == 20, 20)
    row = info(api, cid)[0]
    assert row['received'] == row['accepted'] == row['lastMinuteCount'] == 20 and row['dropped'] == 0
    api.get('/connectors/%s/do/delete' % cid)


@pytest.mark.parametrize('form', ['$share/group/%s', '$queue/%s'])
def test_shared(api, mq, script, count, publisher, form):
    """Two members of one group: each message reaches one of them."""
    t = fresh('t')
    cids = [add(api, 'mqtt', config(mq, script, form % t)) for _ in range(2)]
    for cid in cids:
        state(api, cid)
    publisher(t, *range(40))
    assert wait_for(lambda: count(t, 40) == 40, 20)
    received = [info(api, cid)[0]['received'] for cid in cids]
    assert sum(received) == 40 and min(received) > 0, received
    for cid in cids:
        api.get('/connectors/%s/do/delete' % cid)


def test_while_nobody_is_there(api, mq, script, count, publisher):
    """The session keeps what is published while the server restarts or the handler is changed."""
    t = fresh('t')
    cid = add(api, 'mqtt', config(mq, script, t))
    state(api, cid)
    off = config(mq, script, t)
    off['topicHandlers'][0]['isDisabled'] = True
    api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': off}})
    state(api, cid, 'disabled')
    publisher(t, 0, 1, 2)
    api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': config(mq, script, t)}})
    state(api, cid)
    publisher(t, 3)
    assert wait_for(lambda: count(t, 4) == 4, 20)
    api.get('/connectors/%s/do/delete' % cid)


def test_hub_killed(server, api, mq, script, count, publisher):
    """Killed in the middle of a stream, again and again: every message is handled."""
    t, n = fresh('t'), 300
    cid = add(api, 'mqtt', config(mq, script, t))
    state(api, cid)
    for part in range(2):
        publisher(t, *range(part * 150, part * 150 + 150))
        with server.alerts_allowed('tenon-hub was killed'):
            hub = server.pid_of('tenon-hub')
            os.kill(hub, signal.SIGKILL)
            wait_for(lambda: server.pid_of('tenon-hub') not in (0, hub), 30)
            wait_for(lambda: reached(server), 30)
    assert wait_for(lambda: count(t, n) == n, 40), count(t, n)
    api = server.client()
    state(api, cid)
    api.get('/connectors/%s/do/delete' % cid)


@in_test_builds
@pytest.mark.parametrize('point', ['sub-delivered', 'sub-stored'])
def test_killed_at(new_server, mq, publisher, tmp_path, point):
    killed_at(new_server, str(tmp_path), point, 'mqtt', mq.config, publisher)


def reached(server):
    try:
        return server.client()
    except Exception:  # it is starting
        return None


def test_states(api, mq, script):
    """What is wrong is told, with what to do."""
    t = fresh('t')
    with peer(Mosquitto, password=True) as p:
        cid = fresh('c')
        api.post('/connectors/do/add', {'skipTest': True, 'data': {
            'id': cid, 'type': 'mqtt', 'configJSON': config(p, script, t, password='wrong')}})
        row = state(api, cid, 'failed')
        assert 'sign-in' in row['error'] and 'check user and password' in row['error']
        api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': config(p, script, t)}})
        state(api, cid)
        api.get('/connectors/%s/do/delete' % cid)


def test_client_id_used_twice(api, mq, script):
    paho = pytest.importorskip('paho.mqtt.client')
    cid = add(api, 'mqtt', config(mq, script, fresh('t'), clientId=fresh('twin')))
    state(api, cid)
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
    api.get('/connectors/%s/do/delete' % cid)


def test_tls(api, script):
    certs = Certs()
    with peer(Mosquitto, certs=certs) as p:
        cid = add(api, 'mqtt', config(p, script, fresh('t'), tls='on', tls_ca=certs.text('ca.pem')))
        state(api, cid)
        api.get('/connectors/%s/do/delete' % cid)
    certs.close()
