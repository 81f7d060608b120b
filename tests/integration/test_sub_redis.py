# SPDX-License-Identifier: Apache-2.0
"""Topic handlers of a Redis connector: messages of channels call functions (spec 4.17)."""

import json
import os
import re
import signal

import pytest
from peers.redis import PASSWORD, Redis
from support.connectors import add, fresh, peer
from support.server import wait_for
from support.subscriptions import hub_is_back, in_test_builds

CODE = '''
@DFF.API('Handler')
def handle(topic, message):
    if message == 'fail':
        raise ValueError('not this one')
    DFF.STORE.set(topic + '|' + message, [topic, message, DFF.TASK.origin, DFF.TASK.origin_id, DFF.TASK.queue])
    return message.upper()


@DFF.API('Another one')
def other(topic, message):
    DFF.STORE.set('other|' + message, topic)


@DFF.API('What was stored')
def stored(key):
    return DFF.STORE.get(key)
'''


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


@pytest.fixture(scope='module')
def script(server):
    return server.client().script(CODE)


@pytest.fixture(scope='module')
def stored(server, script):
    """stored(key) -> what a handler left under that key."""
    client = server.client()
    api_id = client.add_sync_api(script + '.stored', {'key': 'INPUT_BY_CALLER'})
    return lambda key: client.result(api_id, key=key)


def info(api, cid):
    return api.get('/connectors/%s/sub-info/do/list' % cid)


def consuming(api, cid, n=1):
    """The rows of sub-info once n of them are consuming."""
    def look():
        rows = info(api, cid)
        return rows if sum(r['state'] == 'consuming' for r in rows) == n else None
    return wait_for(look, 15)


def handler(script, topic, func='handle', **more):
    return {'topic': topic, 'funcId': '%s.%s' % (script, func), **more}


def modify(api, cid, config):
    api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': config}})


def test_message_function_record(api, rs, publisher, script, stored):
    t = fresh('t')
    cid = add(api, 'redis', rs.config(topicHandlers=[handler(script, t + '.*')]))
    consuming(api, cid)
    assert publisher.publish(t + '.a', 'häh?') == 1
    publisher.publish(t + '.b', b'\xff\x00z')
    publisher.publish(t + '.a', 'fail')
    publisher.publish(t + '.a', 'last')  # an error does not stop consumption
    assert wait_for(lambda: stored(t + '.a|last'), 15) == [t + '.a', 'last', 'connector', cid, 6]
    assert stored(t + '.a|häh?')[1] == 'häh?'
    assert stored(t + '.b|\ufffd\0z')[0] == t + '.b'
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
    assert {r['queue'] for r in rows} == {6} and {r['funcId'] for r in rows} == {script + '.handle'}


def test_handlers_change(api, rs, publisher, script, stored):
    """Each change counts at once; what stays the same goes on undisturbed."""
    t = fresh('t')
    first, second = handler(script, t), handler(script, t + 'x', 'other')
    cid = add(api, 'redis', rs.config(topicHandlers=[first]))
    since = consuming(api, cid)[0]['sinceMs']
    modify(api, cid, rs.config(topicHandlers=[first, second]))
    rows = consuming(api, cid, 2)
    assert rows[0]['sinceMs'] == since
    publisher.publish(t + 'x', 'one')
    assert wait_for(lambda: stored('other|one'), 15) == t + 'x'
    modify(api, cid, rs.config(topicHandlers=[{**first, 'isDisabled': True}, {'topic': t, 'funcId': 'nodot'}]))
    wait_for(lambda: publisher.pubsub_numpat() == others(api, cid), 15)
    assert [(r['state'], r['error']) for r in info(api, cid)] == [
        ('disabled', None), ('failed', 'its funcId is no id of a function')]
    modify(api, cid, rs.config(topicHandlers=[handler(script, t, delivery='memory')]))
    consuming(api, cid)
    publisher.publish(t, 'in memory')
    assert wait_for(lambda: stored(t + '|in memory'), 15)[4] == 6
    wait_for(lambda: info(api, cid)[0].get('lastConsumed', {}).get('success'), 15)
    assert info(api, cid)[0]['accepted'] == 1
    api.get('/connectors/%s/do/delete' % cid)
    wait_for(lambda: publisher.pubsub_numpat() == others(api, cid), 15)


def others(api, cid):
    """Subscriptions of all connectors but this one."""
    ids = [r['id'] for r in api.get('/connectors/do/list') if r['id'] != cid and r['type'] == 'redis']
    return sum(r['state'] == 'consuming' for i in ids for r in info(api, i))


def test_function_published_later(api, rs, publisher, script):
    """A handler of a function that does not exist fails visibly; with the next publication it works."""
    t = fresh('t')
    set_id = script.split('__')[0]
    later = '%s__%s' % (set_id, fresh('later'))
    cid = add(api, 'redis', rs.config(topicHandlers=[handler(later, t)]))
    consuming(api, cid)
    publisher.publish(t, 'early')
    wait_for(lambda: 'failure' in info(api, cid)[0].get('lastConsumed', {}), 15)
    api.post('/scripts/do/add', {'data': {'id': later, 'codeDraft': CODE}})
    api.publish(later)
    publisher.publish(t, 'late')
    wait_for(lambda: 'success' in info(api, cid)[0]['lastConsumed'], 15)
    api.get('/connectors/%s/do/delete' % cid)


def test_server_restarted_and_hub_killed(server, api, script, stored):
    t = fresh('t')
    redis = pytest.importorskip('redis')
    with peer(Redis) as mine:
        cid = add(api, 'redis', mine.config(topicHandlers=[handler(script, t)]))
        consuming(api, cid)
        mine.stop()
        row = wait_for(lambda: next((r for r in info(api, cid) if r['state'] == 'failed'), None), 15)
        assert 'closed the connection' in row['error'] or 'TCP' in row['error']
        mine.start()
        consuming(api, cid)
        with redis.Redis(port=mine.port) as c:
            c.publish(t, 'after its restart')
        assert wait_for(lambda: stored(t + '|after its restart'), 15)
        hub = server.pid_of('tenon-hub')
        with server.alerts_allowed('tenon-hub was killed'):
            os.kill(hub, signal.SIGKILL)
            wait_for(lambda: server.pid_of('tenon-hub') not in (0, hub), 30)
            api = wait_for(lambda: signed_in(server), 30)
        consuming(api, cid)
        with redis.Redis(port=mine.port) as c:
            assert wait_for(lambda: c.publish(t, 'after ours') == 1, 15)
        assert wait_for(lambda: stored(t + '|after ours'), 15)
        api.get('/connectors/%s/do/delete' % cid)


@in_test_builds
@pytest.mark.parametrize('point', ['sub-delivered', 'sub-stored'])
def test_killed_at(new_server, rs, publisher, tmp_path, point):
    """Redis keeps nothing: what was read and not stored is lost with the hub, what was committed runs, what comes afterwards, too."""
    armed, t = os.path.join(str(tmp_path), 'armed'), fresh('t')
    server = new_server(env={'TENON_TEST_KILLPOINT': '%s:1:%s' % (point, armed)})
    server.start()
    api = server.client()
    script = api.script(CODE)
    stored_id = api.add_sync_api(script + '.stored', {'key': 'INPUT_BY_CALLER'})
    cid = add(api, 'redis', rs.config(topicHandlers=[handler(script, t)]))
    consuming(api, cid)
    publisher.publish(t, 'before')
    assert wait_for(lambda: api.result(stored_id, key=t + '|before'), 15)
    hub = server.pid_of('tenon-hub')
    server.allowed_alerts.append(re.compile('tenon-hub was killed'))
    open(armed, 'w', encoding='utf-8').close()
    publisher.publish(t, 'killed')
    assert wait_for(lambda: not os.path.exists(armed), 20), 'the point %s was not passed' % point
    api = hub_is_back(server, hub)
    consuming(api, cid)
    publisher.publish(t, 'after')
    assert wait_for(lambda: api.result(stored_id, key=t + '|after'), 15)
    if point == 'sub-stored':
        assert wait_for(lambda: api.result(stored_id, key=t + '|killed'), 15)
    else:
        assert api.result(stored_id, key=t + '|killed') is None
    api.get('/connectors/%s/do/delete' % cid)


def signed_in(server):
    try:
        return server.client()
    except Exception:  # it is starting
        return None


def test_password(api, script):
    """A wrong password is a state that says so; the right one heals it."""
    t = fresh('t')
    with peer(Redis, password=True) as mine:
        bad = mine.config(topicHandlers=[handler(script, t)], password='wrong')
        cid = fresh('c')
        api.post('/connectors/do/add', {'skipTest': True, 'data': {'id': cid, 'type': 'redis', 'configJSON': bad}})
        row = wait_for(lambda: next((r for r in info(api, cid) if r['state'] == 'failed'), None), 15)
        assert 'sign-in' in row['error'] and 'check user and password' in row['error']
        assert PASSWORD not in json.dumps(row)
        modify(api, cid, mine.config(topicHandlers=[handler(script, t)]))
        consuming(api, cid)
        api.get('/connectors/%s/do/delete' % cid)


def test_no_trigger_for_the_type(api, script):
    cid = fresh('c')
    api.post('/connectors/do/add', {'skipTest': True, 'data': {
        'id': cid, 'type': 'mem', 'configJSON': {'topicHandlers': [handler(script, 't')]}}})
    row = info(api, cid)[0]
    assert row['state'] == 'failed' and 'no trigger plugin' in row['error']
    api.get('/connectors/%s/do/delete' % cid)
