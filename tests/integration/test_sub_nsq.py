# SPDX-License-Identifier: Apache-2.0
"""Topic handlers of an NSQ connector: finished when it is a durable task, so a killed hub loses nothing (spec 4.17)."""

import signal

import pytest
from peers.nsq import Authority, Lookupd, Nsqd
from support.connectors import add, fresh, peer
from support.server import wait_for
from support.subscriptions import (CODE, Handled, handler, hub_killed, in_test_builds, info, killed_at, modify, remove, state,
                                   subscribed)

LARGEST = 8 << 20
BROKER = 'nsq', 'nsqd'


@pytest.fixture(scope='module')
def lookupd():
    with peer(Lookupd) as p:
        yield p


@pytest.fixture(scope='module')
def nsqd(lookupd):
    with peer(Nsqd, lookupd, largest=LARGEST + 100000, protocol='tcp') as p:
        assert wait_for(lambda: len(lookupd.nodes()) == 1, 15)
        yield p


def finished(nsqd, topic, n):
    """Each channel of the topic has had n messages, and none is left."""
    channels = nsqd.channels(topic)
    return channels and all(c['message_count'] == n and c['depth'] == c['in_flight_count'] == c['deferred_count'] == 0
                            for c in channels)


def test_message_function_counters(api, sub, nsqd, script, handled):
    """Each function gets every message; nsqd's own counts say that all were finished, and its list of clients whose they are."""
    t = fresh('t')
    cid = sub(handler(script, t), handler(script, t, 'other'))
    nsqd.send(t, 'h\u00e4h?', 'fail', 'last')  # an error does not stop consumption
    assert wait_for(lambda: handled.get(t, 'last'), 15) == [t, 'last', 'connector', cid, 6]
    assert handled.get(t, 'h\u00e4h?')[1] == 'h\u00e4h?'
    assert wait_for(lambda: handled.get('other|' + t, 'last'), 15) == t
    nsqd.ask('/pub?topic=' + t, b'\xff\x00z')
    assert wait_for(lambda: handled.get(t, '\ufffd\0z'), 15)

    def all_told():
        return all(r['accepted'] == 4 and 'success' in r.get('lastConsumed', {}) for r in info(api, cid))
    assert wait_for(all_told, 15), str(info(api, cid))
    first, second = info(api, cid)
    for row in first, second:
        assert row['received'] == row['lastMinuteCount'] == 4 and row['replaced'] == 1 and row['dropped'] == row['waiting'] == 0
        assert row['state'] == 'consuming' and row['error'] is None and row['topic'] == t
    def expires():
        return [r['expires'] for r in api.get('/task-records/func/do/list', originId=cid)]
    assert wait_for(lambda: expires() == [0] * 8, 15), expires()  # what nsqd has kept until now runs, however long it waits
    assert first['lastConsumed']['failure']['message'] == 'fail' and 'not this one' in first['lastConsumed']['failure']['error']
    assert wait_for(lambda: finished(nsqd, t, 4), 15), nsqd.channels(t)
    channels = nsqd.channels(t)
    clients = [c for channel in channels for c in channel['clients']]
    assert sorted(c['user_agent'] for c in clients) == ['tenon/1 %s.%s' % (script, f) for f in ('handle', 'other')]
    assert all(c['client_id'] == 'tenon' and c['ready_count'] == 500 for c in clients) and len(channels) == 2


@pytest.mark.parametrize('protocol', ['http', 'tcp'])
def test_topic_made_later_and_more_nodes(api, lookupd, nsqd, script, handled, protocol):
    """nsqlookupd is asked who has the topic: nobody yet, one node, another one; one of them goes and comes."""
    t = fresh('t')
    with peer(Nsqd, lookupd) as other:
        assert wait_for(lambda: len(lookupd.nodes()) == 2, 15)
        with subscribed(api, 'nsq', lookupd.config(protocol=protocol, refresh=1, topicHandlers=[handler(script, t)])) as cid:
            nsqd.send(t, *range(10))
            assert wait_for(lambda: handled.count(t, 10) == 10, 20), info(api, cid)
            other.send(t, *range(10, 20))
            assert wait_for(lambda: handled.count(t, 20) == 20, 20), info(api, cid)
            if protocol == 'tcp':
                other.stop(signal.SIGKILL)
                nsqd.send(t, 20)
                assert wait_for(lambda: handled.count(t, 21) == 21, 20)
                other.start()
                other.send(t, 21)
                assert wait_for(lambda: handled.count(t, 22) == 22, 30), info(api, cid)
            assert info(api, cid)[0]['state'] == 'consuming'
    assert wait_for(lambda: len(lookupd.nodes()) == 1, 15)


def test_fixed_node_over_http(api, nsqd, script, handled):
    """Its HTTP port is configured; it tells the one for messages."""
    t = fresh('t')
    with subscribed(api, 'nsq', nsqd.config('http', topicHandlers=[handler(script, t)])):
        nsqd.send(t, 'one')
        assert wait_for(lambda: handled.get(t, 'one'), 15)


def test_channel(api, sub, nsqd, script, handled):
    """Handlers with one channel share its messages, also as calls in memory; a removed handler leaves its channel unless it is ephemeral."""
    t = fresh('t')
    members = [sub(handler(script, t, **more), channel='both', max_in_flight=1, multiSubClient=True) for more in ({}, {'delivery': 'memory'})]

    def ready():
        return [c for channel in nsqd.channels(t) for c in channel['clients'] or () if c['ready_count'] > 0]
    assert wait_for(lambda: len(ready()) == 2, 15), nsqd.channels(t)
    nsqd.send(t, *range(60))
    assert wait_for(lambda: handled.count(t, 60) == 60, 20)
    assert wait_for(lambda: finished(nsqd, t, 60), 15), nsqd.channels(t)
    received = [info(api, cid)[0]['received'] for cid in members]
    assert sum(received) == 60 and min(received) > 0, received
    u = fresh('u') + '#ephemeral'
    cid = sub(handler(script, u), channel='mine#ephemeral')
    nsqd.send(u.replace('#', '%23'), 'there')
    assert wait_for(lambda: handled.get(u, 'there'), 15)
    modify(api, cid, nsqd.config('tcp'))
    assert wait_for(lambda: u not in nsqd.topics(), 15) and [c['channel_name'] for c in nsqd.channels(t)] == ['both']


def test_handlers_change(api, sub, nsqd, script, handled):
    """What stays goes on undisturbed; what comes back gets what came meanwhile, each once."""
    t, u = fresh('t'), fresh('u')
    stays, changes = handler(script, t), handler(script, u)
    cid = sub(stays, changes)
    since = info(api, cid)[0]['sinceMs']
    nsqd.send(u, *range(100))
    modify(api, cid, nsqd.config(topicHandlers=[stays, {**changes, 'isDisabled': True}]))
    state(api, cid, 'disabled')
    assert wait_for(lambda: [c['clients'] for c in nsqd.channels(u)] in ([[]], [None]), 15), nsqd.channels(u)
    nsqd.send(u, *range(100, 110))
    modify(api, cid, nsqd.config(topicHandlers=[stays, changes]))
    assert state(api, cid, n=2)[0]['sinceMs'] == since
    assert wait_for(lambda: handled.count(u, 110) == 110, 20), handled.count(u, 110)
    assert wait_for(lambda: finished(nsqd, u, 110), 15), nsqd.channels(u)


def test_function_published_later(api, sub, nsqd, script):
    t, later = fresh('t'), '%s__%s' % (script.split('__')[0], fresh('later'))
    cid = sub(handler(later, t))
    nsqd.send(t, 'early')
    assert wait_for(lambda: 'failure' in info(api, cid)[0].get('lastConsumed', {}), 15)
    api.post('/scripts/do/add', {'data': {'id': later, 'codeDraft': CODE}})
    api.publish(later)
    nsqd.send(t, 'late')
    assert wait_for(lambda: 'success' in info(api, cid)[0]['lastConsumed'], 15)


def test_too_large(api, sub, nsqd, script, handled):
    """Counted, finished, and nobody else waits for it; the largest that goes goes."""
    t = fresh('t')
    cid = sub(handler(script, t, 'length'))
    nsqd.ask('/pub?topic=' + t, b'x' * (LARGEST + 1))
    nsqd.ask('/pub?topic=' + t, bytes(3 << 20))  # six times as much as JSON, which no task has room for
    nsqd.ask('/pub?topic=' + t, b'big' + b'x' * (LARGEST - 3))
    assert wait_for(lambda: handled.client.result(handled.stored_id, key=t + '|big|length') == LARGEST, 30), info(api, cid)
    row = info(api, cid)[0]
    assert row['dropped'] == 2 and row['received'] == 3
    assert wait_for(lambda: finished(nsqd, t, 3), 15), nsqd.channels(t)


@pytest.mark.long
def test_no_room(new_server, nsqd):
    """A queue that takes no more: nsqd keeps what finds no room, and all of it is handled in the end."""
    server = new_server(env={'DFF__WORKER_QUEUE_LIMIT_MIN': '1'})
    server.start()
    api = server.client()
    script = api.script(CODE)
    handled, t, n = Handled(api, script), fresh('t'), 12
    api.post('/queues/6/do/modify', {'data': {'isPaused': True}})
    cid = add(api, 'nsq', nsqd.config(topicHandlers=[handler(script, t, 'length')]))
    state(api, cid)
    for i in range(n):
        nsqd.ask('/pub?topic=' + t, b'%03d' % i + b'x' * (7 << 20))
    assert wait_for(lambda: sum(c['requeue_count'] for c in nsqd.channels(t)) > 0, 20), nsqd.channels(t)
    row = info(api, cid)[0]
    assert row['dropped'] == 0 and 0 < row['waiting'] < n and 'queue 6 holds' in row['held'], row
    api.post('/queues/6/do/modify', {'data': {'isPaused': False}})

    def all_there():
        return all(handled.client.result(handled.stored_id, key='%s|%03d|length' % (t, i)) for i in range(n))
    assert wait_for(all_there, 40), info(api, cid)
    assert wait_for(lambda: finished(nsqd, t, n), 20), nsqd.channels(t)
    remove(api, cid)


def test_hub_killed(server, api, nsqd, script, handled):
    t = fresh('t')
    with subscribed(api, 'nsq', nsqd.config(topicHandlers=[handler(script, t)])):
        nsqd.send(t, *range(200))
        hub_killed(server)
        nsqd.send(t, *range(200, 300))
        assert wait_for(lambda: handled.count(t, 300) == 300, 30), handled.count(t, 300)


@in_test_builds
@pytest.mark.parametrize('point', ['sub-delivered', 'sub-stored'])
def test_killed_at(new_server, nsqd, tmp_path, point):
    killed_at(new_server, str(tmp_path), point, 'nsq', lambda **more: nsqd.config(msg_timeout='2s', **more), nsqd.send)


def test_refused_and_healed(api, certs, script, handled):
    """Why a subscription does not come about is in its status; the right setting heals it: TLS, and the secret of AUTH."""
    t = fresh('open')
    with Authority() as authority, peer(Nsqd, certs=certs, auth=authority.port) as p:
        right = p.config('tcp', tls='on', tls_ca=certs.text('ca.pem'), auth_secret='good', topicHandlers=[handler(script, t)])
        for wrong, says in (({'tls_ca': ''}, 'TLS: '), ({'auth_secret': 'no-such-word'}, 'sign-in: '), ({'auth_secret': ''}, 'sign-in: '),
                            ({'topicHandlers': [handler(script, 'closed')]}, 'E_UNAUTHORIZED'),
                            ({'topicHandlers': [handler(script, 'a b')]}, 'the topic must be'), ({'channel': 'a b'}, 'the channel must be')):
            with subscribed(api, 'nsq', {**right, **wrong}, 'failed') as cid:
                row = info(api, cid)[0]
                assert says in row['error'] and 'no-such-word' not in row['error'], row
                modify(api, cid, right)
                state(api, cid)
        with subscribed(api, 'nsq', right):
            p.send(t, 'over TLS')
            assert wait_for(lambda: handled.get(t, 'over TLS'), 15)
