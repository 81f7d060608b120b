# SPDX-License-Identifier: Apache-2.0
"""Topic handlers of a Kafka connector: a position is committed when all before it is a durable task, so nothing is lost (spec 4.17)."""

import pytest
from peers.kafka import PASSWORD, Kafka
from support.connectors import fresh, peer
from support.server import wait_for
from support.subscriptions import (CODE, Handled, handler, in_test_builds, info, killed_at, modify, remove, state,
                                   subscribed)

LARGEST = 8 << 20
BROKER = 'kafka', 'kafka'


@pytest.fixture(scope='module')
def kafka(certs):
    with peer(Kafka, certs=certs, largest=LARGEST + 100000) as p:
        yield p


def test_message_function_counters(api, sub, kafka, script, handled):
    """The topic is made after its subscription: it is read from its beginning. Each function gets every message."""
    t = fresh('t')
    cid = sub(handler(script, t), handler(script, t, 'other'))
    kafka.send(t, 'h\u00e4h?', 'fail', 'last')  # an error does not stop consumption
    assert wait_for(lambda: handled.get(t, 'last'), 20) == [t, 'last', 'connector', cid, 6]
    assert handled.get(t, 'h\u00e4h?')[1] == 'h\u00e4h?'
    assert wait_for(lambda: handled.get('other|' + t, 'last'), 20) == t
    kafka.send_file(t, b'\xff\x00z')
    assert wait_for(lambda: handled.get(t, '\ufffd\0z'), 20)

    def all_told():
        rows = info(api, cid)
        return rows if all(r['accepted'] == 4 and 'success' in r.get('lastConsumed', {}) for r in rows) else None
    assert wait_for(all_told, 5), str(info(api, cid))
    first, second = info(api, cid)
    for row in first, second:
        assert row['received'] == row['lastMinuteCount'] == 4 and row['replaced'] == 1 and row['dropped'] == row['waiting'] == 0
        assert row['state'] == 'consuming' and row['error'] is None and row['topic'] == t
    assert first['lastConsumed']['failure']['message'] == 'fail' and 'not this one' in first['lastConsumed']['failure']['error']
    assert wait_for(lambda: [r['lag'] for r in info(api, cid)] == [0, 0], 15), info(api, cid)
    assert first['lastConsumed']['success']['funcId'] == script + '.handle' and 'failure' not in second['lastConsumed']


@pytest.mark.parametrize('offset', ['smallest', 'end'])
def test_where_a_group_begins(sub, kafka, script, handled, offset):
    t = fresh('t')
    kafka.send(t, 'before')
    sub(handler(script, t), kafkaSubOffset=offset)
    kafka.send(t, 'after')
    assert wait_for(lambda: handled.get(t, 'after'), 20)
    assert offset == 'end' or wait_for(lambda: handled.get(t, 'before'), 20)
    assert bool(handled.get(t, 'before')) == (offset == 'smallest')


def test_no_position_is_an_error_when_asked_for(api, kafka, script):
    t = fresh('t')
    kafka.send(t, 'there')
    config = kafka.config(kafkaSubOffset='error', topicHandlers=[handler(script, t)])
    with subscribed(api, 'kafka', config, 'failed') as cid:
        assert 'the topic cannot be read' in info(api, cid)[0]['error']


def test_handlers_change(api, sub, kafka, script, handled):
    """What stays goes on undisturbed; what comes back goes on where it was, also with what came meanwhile."""
    t, u = fresh('t'), fresh('u')
    stays, changes = handler(script, t), handler(script, u)
    cid = sub(stays, changes)
    since = info(api, cid)[0]['sinceMs']
    kafka.send(u, 0)
    assert wait_for(lambda: handled.count(u, 1) == 1, 20)
    modify(api, cid, kafka.config(topicHandlers=[stays, {**changes, 'isDisabled': True}]))
    state(api, cid, 'disabled')
    kafka.send(u, 1, 2)
    modify(api, cid, kafka.config(topicHandlers=[stays, changes]))
    assert state(api, cid, n=2)[0]['sinceMs'] == since
    kafka.send(u, 3)
    assert wait_for(lambda: handled.count(u, 4) == 4, 20), handled.count(u, 4)
    assert info(api, cid)[1]['received'] == 3  # each once: the position was committed at the end
    modify(api, cid, kafka.config(topicHandlers=[stays, {**changes, 'delivery': 'memory'}]))
    state(api, cid, n=2)
    kafka.send(u, 'in memory')
    assert wait_for(lambda: handled.get(u, 'in memory'), 20)


def test_function_published_later(api, sub, kafka, script):
    t, later = fresh('t'), '%s__%s' % (script.split('__')[0], fresh('later'))
    cid = sub(handler(later, t))
    kafka.send(t, 'early')
    assert wait_for(lambda: 'failure' in info(api, cid)[0].get('lastConsumed', {}), 20)
    api.post('/scripts/do/add', {'data': {'id': later, 'codeDraft': CODE}})
    api.publish(later)
    kafka.send(t, 'late')
    assert wait_for(lambda: 'success' in info(api, cid)[0]['lastConsumed'], 20)


def test_group_and_pattern(api, sub, kafka, script, handled):
    """Two members of one group share what comes, whoever they are; the topics are those that a pattern names, also later ones."""
    t, group = fresh('t'), fresh('group')
    kafka.send(t + '.a', 'made')
    members = [sub(handler(script, '^%s\\..*' % t, **more), groupId=group, multiSubClient=True) for more in ({}, {'delivery': 'memory'})]

    def shared():
        kafka.send(t + '.a', *range(30))
        return all(info(api, cid)[0]['received'] > 0 for cid in members)
    assert wait_for(shared, 20, 0.5), [info(api, cid) for cid in members]
    assert wait_for(lambda: handled.count(t + '.a', 30) == 30, 20)
    kafka.send(t + '.b', *range(5))
    assert wait_for(lambda: handled.count(t + '.b', 5) == 5, 20)
    assert kafka.log().count('Created a new member id tenon-%s.handle-' % script) >= 2  # the client id says whose it is


@pytest.mark.long
def test_no_room(new_server, kafka):
    """A queue that takes no more: partitions are paused, the broker keeps what finds no room, and all of it is handled in the end."""
    server = new_server(env={'DFF__WORKER_QUEUE_LIMIT_MIN': '1'})
    server.start()
    api = server.client()
    script = api.script(CODE)
    handled, t, n = Handled(api, script), fresh('t'), 12
    api.post('/queues/6/do/modify', {'data': {'isPaused': True}})
    with subscribed(api, 'kafka', kafka.config(topicHandlers=[handler(script, t, 'length')])) as cid:
        for i in range(n):
            kafka.send_file(t, b'%03d' % i + b'x' * (7 << 20))
        assert wait_for(lambda: info(api, cid)[0]['waiting'] >= 8, 20), info(api, cid)
        row = info(api, cid)[0]
        assert row['dropped'] == 0 and row['received'] < n and 'queue 6 holds' in row['held'], row
        assert wait_for(lambda: [r['lag'] + r['accepted'] for r in info(api, cid)] == [n], 20), info(api, cid)
        api.post('/queues/6/do/modify', {'data': {'isPaused': False}})

        def all_there():
            return all(handled.client.result(handled.stored_id, key='%s|%03d|length' % (t, i)) for i in range(n))
        assert wait_for(all_there, 40), info(api, cid)
        assert info(api, cid)[0]['received'] == n


def test_too_large(api, sub, kafka, script, handled):
    """What is too large is counted and passed over; the largest that goes goes."""
    t = fresh('t')
    cid = sub(handler(script, t, 'length'))
    kafka.send_file(t, b'x' * (LARGEST + 1))
    assert wait_for(lambda: info(api, cid)[0]['dropped'] == 1, 20), info(api, cid)
    kafka.send_file(t, b'big' + b'x' * (LARGEST - 3))
    assert wait_for(lambda: handled.client.result(handled.stored_id, key=t + '|big|length') == LARGEST, 30), info(api, cid)


@in_test_builds
@pytest.mark.parametrize('point', ['sub-delivered', 'sub-stored'])
def test_killed_at(new_server, kafka, tmp_path, point):
    killed_at(new_server, str(tmp_path), point, 'kafka', lambda **more: kafka.config(session_timeout='2s', **more), kafka.send)


def test_refused_and_healed(api, certs, kafka, script, handled):
    """Why a subscription does not come about is in its status; the right setting heals it."""
    t = fresh('t')
    secure = {'servers': '127.0.0.1:%d' % kafka.sasl_tls, 'securityProtocol': 'SASL_SSL', 'user': 'app', 'password': PASSWORD,
              'tls_ca': certs.text('ca.pem'), 'topicHandlers': [handler(script, t)]}
    for wrong, says in (({'servers': '127.0.0.1:1'}, 'TCP: cannot connect'), ({'password': 'no-such-word'}, 'sign-in: '), ({'tls_ca': ''}, 'TLS: ')):
        with subscribed(api, 'kafka', {**secure, **wrong}, 'failed') as cid:
            row = info(api, cid)[0]
            assert says in row['error'] and 'no-such-word' not in row['error'], row
            modify(api, cid, secure)
            state(api, cid)
    with subscribed(api, 'kafka', secure):
        kafka.send(t, 'over TLS')
        assert wait_for(lambda: handled.get(t, 'over TLS'), 20)
