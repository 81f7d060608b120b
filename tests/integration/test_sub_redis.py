# SPDX-License-Identifier: Apache-2.0
"""Topic handlers of a Redis connector: messages of channels call functions (spec 4.17)."""

import json
import os
import re

import pytest
from peers.redis import PASSWORD, Redis
from support.connectors import add, fresh, peer
from support.server import wait_for
from support.subscriptions import CODE, Handled, handler, hub_is_back, hub_killed, in_test_builds, info, modify, remove, state, subscribed

BROKER = 'redis', 'rs'


@pytest.fixture(scope='module')
def rs():
    with peer(Redis) as p:
        yield p


@pytest.fixture(scope='module')
def publisher(rs):
    redis = pytest.importorskip('redis')
    c = redis.Redis(port=rs.port)
    yield c
    c.close()


def test_message_function_record(api, sub, publisher, script, handled):
    t = fresh('t')
    cid = sub(handler(script, t + '.*'))
    assert publisher.publish(t + '.a', 'häh?') == 1
    publisher.publish(t + '.b', b'\xff\x00z')
    publisher.publish(t + '.a', 'fail')
    publisher.publish(t + '.a', 'last')  # an error does not stop consumption
    assert wait_for(lambda: handled.get(t + '.a', 'last'), 15) == [t + '.a', 'last', 'connector', cid, 6]
    assert handled.get(t + '.a', 'häh?')[1] == 'häh?'
    assert handled.get(t + '.b', '\ufffd\0z')[0] == t + '.b'
    row = wait_for(lambda: next((r for r in info(api, cid) if len(r.get('lastConsumed', {})) == 2), None), 15)
    assert row['connectorId'] == cid and row['topic'] == t + '.*' and row['state'] == 'consuming'
    assert row['lastMinuteCount'] == row['received'] == row['accepted'] == 4
    assert row['replaced'] == 1 and row['dropped'] == 0 and row['waiting'] == 0 and row['error'] is None
    last = row['lastConsumed']
    assert last['failure']['message'] == 'fail' and 'not this one' in last['failure']['error']
    assert last['success']['taskResp']['result'] == last['success']['message'].upper()
    assert last['success']['funcId'] == script + '.handle' and last['success']['timestampMs'] > 1.7e12

    def records():
        rows = api.get('/task-records/func/do/list', originId=cid)
        return rows if len(rows) == 4 else None
    rows = wait_for(records, 15)
    assert sorted(r['status'] for r in rows) == ['failure', 'success', 'success', 'success']
    assert {(r['queue'], r['expires']) for r in rows} == {(6, 900)} and {r['funcId'] for r in rows} == {script + '.handle'}


def test_handlers_change(api, rs, sub, publisher, script, handled):
    """Each change counts at once; what stays the same goes on undisturbed."""
    t = fresh('t')
    first, second = handler(script, t), handler(script, t + 'x', 'other')
    cid = sub(first)
    since = info(api, cid)[0]['sinceMs']
    modify(api, cid, rs.config(topicHandlers=[first, second]))
    rows = state(api, cid, n=2)
    assert rows[0]['sinceMs'] == since
    publisher.publish(t + 'x', 'one')
    assert wait_for(lambda: handled.get('other|%sx' % t, 'one'), 15) == t + 'x'
    modify(api, cid, rs.config(topicHandlers=[{**first, 'isDisabled': True}, {'topic': t, 'funcId': 'nodot'}]))
    wait_for(lambda: publisher.pubsub_numpat() == others(api, cid), 15)
    assert [(r['state'], r['error']) for r in info(api, cid)] == [
        ('disabled', None), ('failed', 'its funcId is no id of a function')]
    modify(api, cid, rs.config(topicHandlers=[handler(script, t, delivery='memory')]))
    state(api, cid)
    publisher.publish(t, 'in memory')
    assert wait_for(lambda: handled.get(t, 'in memory'), 15)[4] == 6
    wait_for(lambda: info(api, cid)[0].get('lastConsumed', {}).get('success'), 15)
    assert info(api, cid)[0]['accepted'] == 1
    modify(api, cid, rs.config(topicHandlers=[]))
    wait_for(lambda: publisher.pubsub_numpat() == others(api, cid), 15)


def others(api, cid):
    """Subscriptions of all connectors but this one."""
    ids = [r['id'] for r in api.get('/connectors/do/list') if r['id'] != cid and r['type'] == 'redis']
    return sum(r['state'] == 'consuming' for i in ids for r in info(api, i))


def test_function_published_later(api, sub, publisher, script):
    """A handler of a function that does not exist fails visibly; with the next publication it works."""
    t = fresh('t')
    set_id = script.split('__')[0]
    later = '%s__%s' % (set_id, fresh('later'))
    cid = sub(handler(later, t))
    publisher.publish(t, 'early')
    wait_for(lambda: 'failure' in info(api, cid)[0].get('lastConsumed', {}), 15)
    api.post('/scripts/do/add', {'data': {'id': later, 'codeDraft': CODE}})
    api.publish(later)
    publisher.publish(t, 'late')
    assert wait_for(lambda: 'success' in info(api, cid)[0]['lastConsumed'], 15)


def test_hub_killed(server, api, rs, publisher, script, handled):
    """Its successor subscribes by itself."""
    t = fresh('t')
    with subscribed(api, 'redis', rs.config(topicHandlers=[handler(script, t)])):
        hub_killed(server)
        assert wait_for(lambda: publisher.publish(t, 'afterwards') == 1, 15)
        assert wait_for(lambda: handled.get(t, 'afterwards'), 15)


@in_test_builds
@pytest.mark.parametrize('point', ['sub-delivered', 'sub-stored'])
def test_killed_at(new_server, rs, publisher, tmp_path, point):
    """Redis keeps nothing: what was read and not stored is lost with the hub, what was committed runs, what comes afterwards, too."""
    armed, t = os.path.join(str(tmp_path), 'armed'), fresh('t')
    server = new_server(env={'TENON_TEST_KILLPOINT': '%s:1:%s' % (point, armed)})
    server.start()
    api = server.client()
    script = api.script(CODE)
    handled = Handled(api, script)
    cid = add(api, 'redis', rs.config(topicHandlers=[handler(script, t)]))
    state(api, cid)
    publisher.publish(t, 'before')
    assert wait_for(lambda: handled.get(t, 'before'), 15)
    hub = server.pid_of('tenon-hub')
    server.allowed_alerts.append(re.compile('tenon-hub was killed'))
    open(armed, 'w', encoding='utf-8').close()
    publisher.publish(t, 'killed')
    assert wait_for(lambda: not os.path.exists(armed), 20), 'the point %s was not passed' % point
    handled.client = api = hub_is_back(server, hub)
    state(api, cid)
    publisher.publish(t, 'after')
    assert wait_for(lambda: handled.get(t, 'after'), 15)
    if point == 'sub-stored':
        assert wait_for(lambda: handled.get(t, 'killed'), 15)
    else:
        assert handled.get(t, 'killed') is None
    remove(api, cid)


def test_password(api, script):
    """A wrong password is a state that says so; the right one heals it."""
    with peer(Redis, password=True) as mine:
        right = mine.config(topicHandlers=[handler(script, fresh('t'))])
        with subscribed(api, 'redis', {**right, 'password': 'wrong'}, 'failed') as cid:
            row = info(api, cid)[0]
            assert 'sign-in' in row['error'] and 'check user and password' in row['error'] and PASSWORD not in json.dumps(row)
            modify(api, cid, right)
            state(api, cid)


def test_no_trigger_for_the_type(api, script):
    with subscribed(api, 'mem', {'topicHandlers': [handler(script, 't%d' % i) for i in range(201)]}, 'failed', n=201) as cid:
        rows = info(api, cid)
        assert all('no trigger plugin' in r['error'] for r in rows[:200]) and '200 enabled topic handlers at most' in rows[200]['error']
