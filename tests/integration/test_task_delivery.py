# SPDX-License-Identifier: Apache-2.0
"""How often a task runs (issue 3 section 1): once by default, again as DFF.API(retry=…) says, at most once on request; dead
letters and their Idempotency-Key; tasks that take their worker with them."""

import concurrent.futures
import contextlib
import os
import signal
import sqlite3
import time
from typing import Any, Dict, List, Tuple

import pytest
import requests
from support.client import Client
from support.people import refused
from support.server import Server, wait_for

SCRIPT = '''
import os, signal, time

def count(key):
    return int(DFF.CACHE.incr('n-' + key))

class Upset(ConnectionError):
    pass

@DFF.API('As it comes')
def plain(key):
    count(key)
    raise ValueError('plain')

@DFF.API('Doubling', retry={'max_attempts': 4, 'backoff': 0.2, 'max_backoff': 0.5})
def doubling(key):
    raise ValueError('attempt %d' % count(key))

@DFF.API('Jitter', retry={'max_attempts': 2, 'backoff': 0.2, 'jitter': 1})
def jitter(key):
    raise ValueError('attempt %d' % count(key))

@DFF.API('Base class', retry={'max_attempts': 2, 'backoff': 0.05, 'on': [OSError]})
def derived(key):
    count(key)
    raise Upset('no line')

@DFF.API('Any exception', retry={'max_attempts': 2, 'backoff': 0.05, 'on': [Exception]})
def anything(key):
    count(key)
    raise KeyError('k')

@DFF.API('Not this one', retry={'max_attempts': 3, 'backoff': 0.05, 'on': [ArithmeticError, 'timeout']})
def unlisted(key):
    count(key)
    raise KeyError('k')

@DFF.API('Slow', timeout=1, retry={'max_attempts': 2, 'backoff': 0.05, 'on': ['timeout']})
def slow(key):
    count(key)
    time.sleep(30)

@DFF.API('Dies', retry={'max_attempts': 3, 'backoff': 0.05, 'on': ['crash']})
def dies(key):
    if count(key) < 2:
        os._exit(3)
    return 'alive'

@DFF.API('Poison', retry={'max_attempts': 10, 'backoff': 0.05})
def poison(key):
    count(key)
    os._exit(3)

@DFF.API('Warns', retry={'max_attempts': 3, 'backoff': 0.05})
def warns(key):
    count(key)
    raise UserWarning('enough')

@DFF.API('Once', delivery='at_most_once', retry={'max_attempts': 5, 'backoff': 0.05})
def once(key, how='raise'):
    count(key)
    print('ran')
    if how == 'die':
        os._exit(3)
    if how == 'wait':
        time.sleep(30)
    raise ValueError('once')

@DFF.API('Waits')
def waits(key):
    if count(key) == 1:
        time.sleep(30)
    return 'done'

@DFF.API('Letter', retry={'max_attempts': 1, 'dead_letter': True})
def letter(key):
    n = count(key)
    if DFF.CACHE.get('cured') != 'yes':
        raise ValueError('letter %d' % n)
    return n

@DFF.API('Count')
def counted(key):
    return int(DFF.CACHE.get('n-' + key) or 0)

@DFF.API('Cure')
def cure(on):
    DFF.CACHE.set('cured', 'yes' if on else 'no')
'''


@pytest.fixture(scope='module')
def script(server: Server) -> str:
    """Functions that fail in every way, and count(key)."""
    return server.client().script(SCRIPT)


@pytest.fixture
def run(api: Client, script: str, request: pytest.FixtureRequest):
    """run(func, **kwargs) → the ended task and how often its function was entered."""
    counted = api.add_sync_api(script + '.counted')

    def make(func: str, **kwargs: Any) -> Tuple[Dict[str, Any], int]:
        key = '%s-%s' % (request.node.name, func)
        task = api.ended(api.task_id(api.add_async_api('%s.%s' % (script, func)), dict(kwargs, key=key)))
        return task, api.result(counted, key=key)
    return make


def start(api: Client, script: str, func: str, key: str, **kwargs: Any) -> Tuple[str, str]:
    """→ (async API, task)"""
    aapi = api.add_async_api('%s.%s' % (script, func))
    return aapi, api.task_id(aapi, dict(kwargs, key=key))


def attempts(task: Dict[str, Any]) -> List[str]:
    """States of the attempts."""
    return [a['state'] for a in task['attempts']]


def pauses(task: Dict[str, Any]) -> List[float]:
    """Seconds between the attempts."""
    rows = task['attempts']
    return [(b['startTimeMs'] - a['endTimeMs']) / 1000 for a, b in zip(rows, rows[1:])]


# ---- retries -----------------------------------------------------------------------------------------------------

def test_nothing_is_tried_again_unasked(run) -> None:
    task, n = run('plain')
    assert (task['state'], task['attempt'], task['maxAttempts'], n) == ('failed', 1, 1, 1)


def test_backoff_doubles_up_to_its_maximum(run) -> None:
    task, n = run('doubling')
    assert (task['state'], task['attempt'], n) == ('failed', 4, 4)
    assert attempts(task) == ['failed'] * 4 and task['exception'] == 'attempt 4'
    assert [a['exception'] for a in task['attempts']] == ['attempt %d' % i for i in (1, 2, 3, 4)]
    assert all(p >= least for p, least in zip(pauses(task), (0.2, 0.4, 0.5)))


def test_jitter_spreads(api: Client, script: str) -> None:
    """Between once and twice the backoff, and not all the same."""
    aapi = api.add_async_api(script + '.jitter')
    ids = [api.task_id(aapi, {'key': 'jitter-%d' % i}) for i in range(12)]
    due = []
    for i in ids:
        task = api.ended(i)
        due.append(task['dueTimeMs'] - task['attempts'][0]['endTimeMs'])
    assert all(190 <= d <= 450 for d in due), due
    assert len(set(due)) > 3, due


@pytest.mark.parametrize('func,state,n', [
    ('derived', 'failed', 2), ('anything', 'failed', 2), ('unlisted', 'failed', 1), ('slow', 'timeout', 2),
    ('dies', 'succeeded', 2), ('warns', 'skipped', 1)])
def test_only_what_is_named_is_tried_again(run, func: str, state: str, n: int) -> None:
    task, entered = run(func)
    assert (task['state'], task['attempt'], entered) == (state, n, n), task


def test_a_task_that_kills_workers_is_put_aside(run) -> None:
    """Two of them are enough, whatever its retries say; others go on."""
    task, n = run('poison')
    assert (task['state'], n) == ('dead', 2)
    assert run('plain')[0]['state'] == 'failed'


@pytest.mark.parametrize('retry', [
    "{'max_attempts': 0}", "{'max_attempts': 1001}", "{'backoff': 1}", "{'max_attempts': 2, 'jitter': 2}",
    "{'max_attempts': 2, 'on': []}", "{'max_attempts': 2, 'unknown': 1}", "3", "{'max_attempts': 2, 'dead_letter': 'x'}"])
def test_a_policy_that_makes_no_sense_is_not_published(api: Client, retry: str) -> None:
    refused(api.script, 400, 'EScriptPublishFailed', "@DFF.API('x', retry=%s)\ndef x():\n    pass\n" % retry)


# ---- at most once ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('how', ['raise', 'die'])
def test_at_most_once(run, how: str) -> None:
    task, n = run('once', how=how)
    assert (task['state'], task['attempt'], n) == ('failed', 1, 1)


@pytest.mark.parametrize('func,state,n', [('once', 'failed', 1), ('waits', 'succeeded', 2)])
def test_a_worker_killed_from_outside(server: Server, api: Client, script: str, func: str, state: str, n: int) -> None:
    """One more start for what may run twice, and it costs no attempt; none for what may not."""
    key = 'outside-' + func
    _, task = start(api, script, func, key, **({'how': 'wait'} if func == 'once' else {}))
    counted = api.add_sync_api(script + '.counted')
    assert wait_for(lambda: api.result(counted, key=key) == 1, 20)
    for pid in sleepers(server):
        os.kill(pid, signal.SIGKILL)
    ended = api.ended(task)
    assert (ended['state'], api.result(counted, key=key)) == (state, n), ended
    assert ended['attempt'] == 1


def sleepers(server: Server) -> List[int]:
    """Workers whose script is in time.sleep(): the idle ones wait for their socket."""
    found = []
    for pid in [p.pid for p in server.workers()]:
        with contextlib.suppress(OSError), open('/proc/%d/wchan' % pid, encoding='utf-8') as f:
            found += [pid] if 'nanosleep' in f.read() else []
    return found


@pytest.mark.parametrize('how', ['stop', 'kill'])
def test_the_platform_goes_while_they_run(new_server, how: str) -> None:
    """At least once starts again and has used no attempt; at most once has failed and says why."""
    server = new_server(env={'TENON_DRAIN': '100ms'}).start()
    api = server.client()
    script = api.script(SCRIPT.replace('DFF.CACHE', 'DFF.STORE').replace("int(DFF.STORE.incr('n-' + key))", 'bump(key)').replace(
        'class Upset', '''def bump(key):
    n = (DFF.STORE.get('n-' + key) or 0) + 1
    DFF.STORE.set('n-' + key, n)
    return n

class Upset'''))
    _, again = start(api, script, 'waits', 'a')
    _, never = start(api, script, 'once', 'b', how='wait')
    counted = api.add_sync_api(script + '.counted')
    assert wait_for(lambda: [api.result(counted, key=k) for k in 'ab'] == [1, 1], 20)
    server.stop() if how == 'stop' else server.kill()
    server.start()
    api = server.client()
    task = api.ended(again)
    assert (task['state'], task['attempt'], task['result']) == ('succeeded', 1, 'done')
    task = api.ended(never)
    assert (task['state'], task['attempt']) == ('failed', 1) and task['exceptionType']
    assert [api.result(counted, key=k) for k in 'ab'] == [2, 1]


# ---- dead letters ------------------------------------------------------------------------------------------------

def letters(api: Client, script: str, name: str, n: int) -> Tuple[str, List[str]]:
    """n dead letters of a new API."""
    aapi = api.add_async_api(script + '.letter')
    ids = [api.task_id(aapi, {'key': '%s-%d' % (name, i)}) for i in range(n)]
    assert {api.ended(i)['state'] for i in ids} == {'dead'}
    return aapi, ids


def redrive(api: Client, aapi: str, key: str, **more: Any) -> requests.Response:
    """Redrives all letters of an API under a key."""
    return api.request('POST', '/api/v1/dead-letters/do/redrive', params={'originId': aapi}, headers={'Idempotency-Key': key}, **more)


def test_a_redrive_is_done_once_for_its_key(api: Client, script: str) -> None:
    aapi, ids = letters(api, script, 'redrive', 3)
    first = redrive(api, aapi, 'redrive-1')
    assert first.json()['data'] == {'count': 3} and 'Idempotency-Replayed' not in first.headers
    assert {api.ended(i)['state'] for i in ids} == {'dead'}  # nothing has changed: they die again
    again = redrive(api, aapi, 'redrive-1')
    assert again.json()['data'] == {'count': 3} and again.headers['Idempotency-Replayed'] == 'true'
    assert {api.get('/tasks/%s/do/get' % i)['state'] for i in ids} == {'dead'}
    counted = api.add_sync_api(script + '.counted')
    assert [api.result(counted, key='redrive-%d' % i) for i in range(3)] == [2, 2, 2]
    other = api.add_async_api(script + '.letter')
    reused = redrive(api, other, 'redrive-1')
    assert (reused.status_code, reused.json()['reason']) == (422, 'EClientUnprocessable.IdempotencyKeyReused')
    api.result(api.add_sync_api(script + '.cure'), on=True)
    try:
        assert redrive(api, aapi, 'redrive-2').json()['data'] == {'count': 3}
        assert [api.ended(i)['result'] for i in ids] == [3, 3, 3]
    finally:
        api.result(api.add_sync_api(script + '.cure'), on=False)
    assert redrive(api, aapi, 'bad key').status_code == 400
    nothing = api.request('POST', '/api/v1/dead-letters/do/redrive', headers={'Idempotency-Key': 'redrive-3'})
    assert nothing.json()['reason'] == 'EBizCondition.RedriveConditionNotSpecified'


def test_many_redrives_at_once_are_one(api: Client, server: Server, script: str) -> None:
    aapi, ids = letters(api, script, 'parallel', 5)
    token = api.session.headers['X-Dff-Auth-Token']

    def call(_: int) -> requests.Response:
        return requests.post('%s/api/v1/dead-letters/do/redrive?originId=%s' % (server.base, aapi), timeout=60,
                             headers={'Idempotency-Key': 'parallel', 'X-Dff-Auth-Token': token})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(24)))
    assert {a.status_code for a in answers} == {200}
    assert wait_for(lambda: {api.ended(i)['state'] for i in ids} == {'dead'}, 20)
    counted = api.add_sync_api(script + '.counted')
    assert [api.result(counted, key='parallel-%d' % i) for i in range(5)] == [2] * 5
    assert redrive(api, aapi, 'parallel').json()['data'] == {'count': 5}


def test_letters_are_kept_with_their_story(api: Client, script: str) -> None:
    aapi, (task,) = letters(api, script, 'story', 1)
    row, = api.get('/dead-letters/do/list', originId=aapi)
    assert row['id'] == task and row['exceptionType'] == 'ValueError'
    assert api.get('/tasks/%s/do/get' % task)['args'] == {'key': 'story-0'}
    api.post('/dead-letters/do/redrive?id=' + task)
    assert wait_for(lambda: api.ended(task)['exception'] == 'letter 2', 20)
    api.post('/dead-letters/do/purge?id=' + task)
    refused(api.get, 404, 'EClientNotFound', '/tasks/%s/do/get' % task)


def test_run_now_is_done_once_for_its_key(api: Client, script: str) -> None:
    job = api.post('/cron-jobs/do/add', {'data': {'funcId': script + '.counted', 'funcCallKwargsJSON': {'key': 'now'},
                                                  'cronExpr': '0 0 29 2 *'}})['id']

    def now(key: str) -> requests.Response:
        return api.request('POST', '/api/v1/cron/' + job, headers={'Idempotency-Key': key})
    first, again, other = now('now-1'), now('now-1'), now('now-2')
    assert [a.status_code for a in (first, again, other)] == [200] * 3
    assert [a.headers.get('Idempotency-Replayed') for a in (first, again, other)] == [None, 'true', None]
    assert wait_for(lambda: len(api.get('/tasks/do/list', originId=job)) == 2, 20)
    time.sleep(0.2)
    assert len(api.get('/tasks/do/list', originId=job)) == 2
    assert now('n w').status_code == 400


@pytest.mark.long
def test_the_lease_is_renewed_while_its_worker_lives(server: Server, api: Client) -> None:
    """Half a minute each time, again every ten seconds; a task that has ended has none."""
    script = api.script("import time\n@DFF.API('hold', timeout=60)\ndef hold():\n    while not DFF.CACHE.get('go'):\n        time.sleep(0.05)\n")
    task = api.task_id(api.add_async_api(script + '.hold'), {})

    def lease() -> int:
        with contextlib.closing(sqlite3.connect('file:%s?mode=ro' % os.path.join(server.data, 'jobs.db'), uri=True)) as db:
            return db.execute('SELECT coalesce(leaseUntilMs, 0) FROM tn_task WHERE id = ?', (task,)).fetchone()[0]
    assert wait_for(lease, 10)
    seen = {lease()}
    assert wait_for(lambda: len(seen.add(lease()) or seen) >= 3, 40, 0.2), seen
    now = time.time() * 1000
    assert now + 15000 < max(seen) <= now + 31000 and min(b - a for a, b in zip(sorted(seen)[1:], sorted(seen)[2:])) > 9000
    api.result(api.function("@DFF.API('go')\ndef go():\n    DFF.CACHE.set('go', 1, scope=%r)\n" % script, 'go'))
    assert api.ended(task)['state'] == 'succeeded' and lease() == 0
