# SPDX-License-Identifier: Apache-2.0
"""The ten queues (issue 3 section 1): order, priority and ageing, worker processes that come and go, start times,
expiry, why a task waits."""

import time
from typing import Any, Callable, Dict, List, Optional

import pytest
import requests
from support.client import Client
from support.people import refused
from support.server import Server, wait_for

SERVER = {'env': {'TENON_QUEUE_WORKERS': '16,7=1,8=3,9=2', 'TENON_WORKER_IDLE': '1s', 'TENON_WORKERS_MAX': '8'}}
SCRIPT = '''
import time

@DFF.API('Work')
def work(seconds=0.02, mark=None):
    time.sleep(seconds)
    return mark

@DFF.API('Urgent', priority=50)
def urgent():
    time.sleep(0.02)
'''


@pytest.fixture(scope='module')
def script(server: Server) -> str:
    """work(seconds, mark), urgent()."""
    return server.client().script(SCRIPT)


@pytest.fixture(scope='module')
def aapi(server: Server, script: str) -> str:
    """An async API of work()."""
    return server.client().add_async_api(script + '.work')


def queue(api: Client, n: int) -> Dict[str, Any]:
    """The row of a queue."""
    return api.get('/queues/do/list')[n]


def pause(api: Client, n: int, on: bool) -> None:
    """Stops or resumes a queue."""
    api.post('/queues/%d/do/modify' % n, {'data': {'isPaused': on}})


def many(api: Client, aapi: str, calls: List[Dict[str, Any]]) -> List[str]:
    """Submits in one transaction → ids."""
    answer = api.request('POST', '/api/v1/async/%s/do/call-many' % aapi, json={'calls': calls})
    assert answer.status_code == 200, answer.text
    return answer.json()['data']['ids']


def in_order_of_start(api: Client, ids: List[str]) -> List[str]:
    """The ids as their tasks were started; all of them have ended."""
    return sorted(ids, key=lambda i: api.ended(i)['startTimeMs'])


def why(api: Client, task: str) -> Dict[str, Any]:
    """What holds a task."""
    return api.get('/tasks/%s/do/why' % task)


@pytest.mark.parametrize('n', range(1, 10))
def test_every_queue_runs_what_it_is_given(api: Client, aapi: str, n: int) -> None:
    task = api.ended(api.task_id(aapi, {'mark': n}, {'queue': n}))
    assert (task['queue'], task['result']) == (n, n)


def test_first_come_first_served(api: Client, aapi: str) -> None:
    pause(api, 7, True)
    ids = many(api, aapi, [{'options': {'queue': 7}} for _ in range(20)])
    pause(api, 7, False)
    assert in_order_of_start(api, ids) == ids


def test_priority_comes_first(api: Client, aapi: str, script: str) -> None:
    urgent = api.add_async_api(script + '.urgent')
    pause(api, 7, True)
    low, normal, high = (api.task_id(aapi, {}, {'queue': 7, 'priority': p}) for p in (-3, 0, 3))
    own = api.task_id(urgent, {}, {'queue': 7})
    lowered = api.task_id(urgent, {}, {'queue': 7, 'priority': 0})
    assert api.get('/tasks/%s/do/get' % own)['priority'] == 50
    held = why(api, low)
    assert (held['rule'], held['ahead'], held['queue']) == ('paused', 4, 7)
    pause(api, 7, False)
    ids = [low, normal, high, own, lowered]
    assert in_order_of_start(api, ids) == [own, high, normal, lowered, low]


def test_waiting_counts_as_priority(api: Client, aapi: str) -> None:
    """A step of priority is worth ten seconds of waiting: nobody starves."""
    pause(api, 7, True)
    waited = api.task_id(aapi, {'mark': 'waited'}, {'queue': 7})
    time.sleep(10.1)  # what is tested is that time itself counts
    late = api.task_id(aapi, {'mark': 'late'}, {'queue': 7, 'priority': 1})
    later = api.task_id(aapi, {'mark': 'later'}, {'queue': 7, 'priority': 2})
    pause(api, 7, False)
    assert in_order_of_start(api, [waited, late, later]) == [later, waited, late]


@pytest.mark.parametrize('value', [-101, 101, 1.5, 'high', True])
def test_bad_priorities(api: Client, aapi: str, value: object) -> None:
    answer = api.call_async(aapi, {}, {'priority': value})
    assert answer.status_code == 400 and answer.json()['reason'] == 'EClientBadRequest'


def test_workers_come_and_go(api: Client, aapi: str) -> None:
    """None while there is nothing to do, as many as the setting says while there is, none again after worker_idle."""
    assert wait_for(lambda: queue(api, 8)['workers'] == 0, 30)
    ids = many(api, aapi, [{'kwargs': {'seconds': 1}, 'options': {'queue': 8}} for _ in range(9)])
    seen: List[Dict[str, Any]] = []

    def busy() -> Optional[bool]:
        seen.append(queue(api, 8))
        return seen[-1]['running'] == 3
    assert wait_for(busy, 10)
    held = [w for w in (why(api, i) for i in ids) if w['rule'] == 'workers']
    assert held and held[0]['running'] == held[0]['limit'] == 3
    for i in ids:
        api.ended(i)
    assert max(q['running'] for q in seen) == 3 and queue(api, 8)['running'] == 0
    assert wait_for(lambda: queue(api, 8)['workers'] == 0, 30)


def test_a_busy_queue_holds_up_no_other(api: Client, aapi: str) -> None:
    slow = many(api, aapi, [{'kwargs': {'seconds': 20}, 'options': {'queue': 9}} for _ in range(4)])
    quick = api.ended(api.task_id(aapi, {'mark': 'q'}, {'queue': 7}))
    assert quick['state'] == 'succeeded'
    assert [api.get('/tasks/%s/do/get' % i)['state'] for i in slow].count('queued') >= 2
    for i in slow:
        api.post('/tasks/%s/do/cancel' % i, {'graceSeconds': 0})
        api.ended(i)


def test_tasks_leave_room_for_those_who_wait(server: Server, api: Client, aapi: str, script: str) -> None:
    """Queue 1 is that of the sync APIs: tasks take three quarters of its processes at most."""
    sync = api.add_sync_api(script + '.work')
    slow = many(api, aapi, [{'kwargs': {'seconds': 20}, 'options': {'queue': 1}} for _ in range(10)])
    assert wait_for(lambda: queue(api, 1)['running'] == 6, 20)
    assert queue(api, 1)['limit'] == 6
    answer = requests.post('%s/api/v1/sync/%s' % (server.base, sync), json={'kwargs': {'mark': 'x'}}, timeout=15)
    assert answer.status_code == 200
    assert queue(api, 1)['running'] == 6  # the answer came while they were busy
    for i in slow:
        api.post('/tasks/%s/do/cancel' % i, {'graceSeconds': 0})
        api.ended(i)


# ---- start times and expiry --------------------------------------------------------------------------------------

def test_due_tasks_start_in_their_turn(api: Client, aapi: str) -> None:
    ids = many(api, aapi, [{'options': {'queue': 7, 'delay': d}} for d in (3, 1, 2)])
    held = why(api, ids[0])
    assert held['rule'] == 'due' and 0 < held['inMs'] <= 3000 and held['dueTimeMs'] > time.time() * 1000 - 1000
    assert in_order_of_start(api, ids) == [ids[1], ids[2], ids[0]]
    for i in ids:
        task = api.ended(i)
        assert task['startTimeMs'] >= task['dueTimeMs']


def test_what_waits_too_long_is_never_started(api: Client, aapi: str) -> None:
    pause(api, 7, True)
    try:
        expired, patient = api.task_id(aapi, {}, {'queue': 7, 'expires': 1}), api.task_id(aapi, {}, {'queue': 7, 'expires': 600})
        task = api.ended(expired)  # ends although its queue stands still
        assert (task['state'], task['exceptionType'], task['startTimeMs'], task['attempt']) == ('expired', 'TaskExpired', None, 0)
        answer = api.request('GET', '/api/v1/tasks/%s/result' % expired)
        assert (answer.status_code, answer.json()['reason']) == (599, 'EFuncTimeout.TaskExpired')
    finally:
        pause(api, 7, False)
    assert api.ended(patient)['state'] == 'succeeded'


def test_expiry_counts_from_the_start_time(api: Client, aapi: str) -> None:
    task = api.ended(api.task_id(aapi, {}, {'delay': 2, 'expires': 1}))
    assert task['state'] == 'succeeded'


def test_pausing_everything(api: Client, aapi: str) -> None:
    api.post('/queues/all/do/modify', {'data': {'isPaused': True}})
    try:
        task = api.task_id(aapi)
        assert why(api, task)['rule'] == 'paused' and all(q['paused'] for q in api.get('/queues/do/list'))
    finally:
        api.post('/queues/all/do/modify', {'data': {'isPaused': False}})
    assert api.ended(task)['state'] == 'succeeded'


def test_nobody_waits_for_a_task_that_is_not_there(api: Client) -> None:
    refused(api.get, 404, 'EClientNotFound', '/tasks/task-none/do/why')


def test_a_deep_queue_is_run_in_its_order(api: Client, aapi: str) -> None:
    """More than the window that is kept in memory: what is read on from the file follows in order."""
    pause(api, 9, True)
    first = many(api, aapi, [{'kwargs': {'seconds': 0}, 'options': {'queue': 9}}] * 2500)
    vip = api.task_id(aapi, {'seconds': 0}, {'queue': 9, 'priority': 10})
    last = api.task_id(aapi, {'seconds': 0}, {'queue': 9, 'priority': -10})
    assert queue(api, 9)['waiting'] == 2502
    assert (why(api, vip)['ahead'], why(api, last)['ahead']) == (0, 2501)
    pause(api, 9, False)
    end = api.ended(last)
    starts = [api.get('/tasks/%s/do/get' % i)['startTimeMs'] for i in [vip] + first[::100]]
    assert starts == sorted(starts) and starts[-1] <= end['startTimeMs']
    assert queue(api, 9)['waiting'] == 0


def test_a_pause_survives_a_restart(new_server: Callable[..., Server]) -> None:
    """A queue, and all of them: stopped, killed, resumed; what was accepted meanwhile runs then. The last outcomes of
    APIs are still shown."""
    s = new_server()
    s.start()
    one = s.client()
    script = one.script(SCRIPT)
    aapi, sapi = one.add_async_api(script + '.work'), one.add_sync_api(script + '.work')
    assert one.result(sapi) is None
    one.ended(one.task_id(aapi))

    def last(api: Client) -> List[Any]:
        return [api.get(path, id=id_)[0]['lastTaskStatus']
                for path, id_ in (('/async-apis/do/list', aapi), ('/sync-apis/do/list', sapi))]
    before = last(one)
    assert [b['status'] for b in before] == ['success', 'success']
    pause(one, 7, True)
    waits = one.task_id(aapi, {}, {'queue': 7})
    s.restart()
    two = s.client()
    assert [q['paused'] for q in two.get('/queues/do/list')] == [n == 7 for n in range(10)]
    assert why(two, waits)['rule'] == 'paused'
    assert last(two) == before
    pause(two, 7, False)
    assert two.ended(waits)['state'] == 'succeeded'
    two.post('/queues/all/do/modify', {'data': {'isPaused': True}})
    waits = two.task_id(aapi)
    s.kill()
    s.start()
    three = s.client()
    assert all(q['paused'] for q in three.get('/queues/do/list'))
    assert why(three, waits)['rule'] == 'paused'
    three.post('/queues/all/do/modify', {'data': {'isPaused': False}})
    assert three.ended(waits)['state'] == 'succeeded'
    s.restart()
    assert not any(q['paused'] for q in s.client().get('/queues/do/list'))
