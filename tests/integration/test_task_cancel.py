# SPDX-License-Identifier: Apache-2.0
"""Cancelling tasks (issue 3 section 1): one that waits, one that waits to be tried again, one that runs and listens, one that
does not; the race between cancel and end; progress that scripts tell."""

import concurrent.futures
import json
import os
import time
from typing import Any, Dict

import pytest
from support.client import ApiError, Client
from support.connectors import add
from support.people import refused
from support.server import Server, wait_for

SCRIPT = '''
import os, subprocess, time

@DFF.API('Obeys')
def obeys():
    try:
        time.sleep(30)
    finally:
        print('tidied up')

@DFF.API('Deaf')
def deaf():
    DFF.TASK.set_progress(1)
    return sum(range(10 ** 11))  # one call of C: no exception gets in before its end

@DFF.API('Waits')
def waits(cid):
    c = DFF.CONN(cid)
    DFF.THREAD.submit(c.sleep, 60000)
    DFF.TASK.set_progress(1)
    try:
        c.sleep(60000)
    except Exception as e:
        print('swallowed', type(e).__name__)
    finally:
        c.sleep(1)
        for r in DFF.THREAD.get_all_results():
            print('thread', type(r.error).__name__)

@DFF.API('Waits for a turn')
def turn(cid):
    c = DFF.CONN(cid)
    DFF.THREAD.submit(c.sleep, 60000)
    time.sleep(0.2)
    try:
        DFF.TASK.set_progress(1)
        c.sleep(60000)
    except Exception as e:
        print('swallowed', type(e).__name__)
    finally:
        print('tidied up')

@DFF.API('Child')
def child():
    p = subprocess.Popen(['sleep', '60'])
    DFF.CACHE.set('child', str(p.pid))
    time.sleep(60)

@DFF.API('Fails', retry={'max_attempts': 3, 'backoff': 60})
def fails():
    raise ValueError('later')

@DFF.API('Quick')
def quick():
    return 1

@DFF.API('Child id')
def child_id():
    return int(DFF.CACHE.get('child') or 0)

@DFF.API('Progress')
def progress(steps, seconds=0.05):
    for i in range(steps):
        DFF.TASK.set_progress({'done': i + 1, 'of': steps, 'note': 'Schritt "%d" \u2713' % i})
        time.sleep(seconds)
    return steps

@DFF.API('Bad progress')
def bad_progress():
    try:
        DFF.TASK.set_progress('x' * 70000)
    except Exception as e:
        return type(e).__name__ + ': ' + str(e)
'''


@pytest.fixture(scope='module')
def script(server: Server) -> str:
    """Functions that obey or do not."""
    return server.client().script(SCRIPT)


@pytest.fixture
def start(api: Client, script: str):
    """start(func, kwargs, options) → task id"""
    return lambda func, kwargs=None, options=None: api.task_id(api.add_async_api('%s.%s' % (script, func)), kwargs, options)


def get(api: Client, task: str) -> Dict[str, Any]:
    """The row."""
    return api.get('/tasks/%s/do/get' % task)


def runs(api: Client, task: str) -> None:
    """Waits until it runs."""
    assert wait_for(lambda: get(api, task)['state'] == 'running', 20)


def cancel(api: Client, task: str, **body: Any) -> None:
    """Asks for its end."""
    api.post('/tasks/%s/do/cancel' % task, body)


def test_one_that_waits(api: Client, start) -> None:
    task = start('quick', None, {'delay': 600})
    cancel(api, task)
    row = get(api, task)
    assert (row['state'], row['exceptionType'], row['startTimeMs'], row['attempts']) == ('canceled', 'Cancelled', None, [])


def test_one_that_waits_for_its_next_attempt(api: Client, start) -> None:
    task = start('fails')
    assert wait_for(lambda: get(api, task)['state'] == 'retrying', 20)
    held = api.get('/tasks/%s/do/why' % task)
    assert held['rule'] == 'retry' and 50000 < held['inMs'] <= 60000
    cancel(api, task)
    row = get(api, task)
    assert row['state'] == 'canceled' and [a['state'] for a in row['attempts']][0] == 'failed'


def test_one_that_runs_tidies_up(api: Client, start) -> None:
    """Softly first: finally: and with: still run."""
    task = start('obeys')
    runs(api, task)
    cancel(api, task, graceSeconds=20)
    row = api.ended(task)
    assert row['state'] == 'canceled' and 'tidied up' in row['logs'] and row['exceptionType'] == 'Cancelled'


def test_one_that_waits_for_a_connector(api: Client, start) -> None:
    """The server's answer is not waited for, in no thread; what begins afterwards is not concerned."""
    task = start('waits', {'cid': add(api, 'mem', {})})
    assert wait_for(lambda: get(api, task)['progress'] == 1, 20)
    begin = time.monotonic()
    cancel(api, task, graceSeconds=20)
    row = api.ended(task)
    assert row['state'] == 'canceled' and time.monotonic() - begin < 15, row
    assert 'thread ConnCanceled' in row['logs'] and 'swallowed' not in row['logs'], row['logs']


@pytest.mark.parametrize('limit', ['max', 'max_total'])
def test_one_that_waits_for_its_turn(api: Client, start, limit: str) -> None:
    """The connection that all share is in use, by another call for as long as it likes: nobody waits for it any more. With `max`
    the one who has it ends at the same moment, and either may be first."""
    cid = add(api, 'mem', {'pool': {'max': 1, 'acquire': '50s', limit: 1}})
    holder = start('waits', {'cid': cid}) if limit == 'max_total' else None
    if holder:
        assert wait_for(lambda: get(api, holder)['progress'] == 1, 20)
    for _ in range(1 if holder else 6):
        task = start('turn', {'cid': cid})
        assert wait_for(lambda t=task: get(api, t)['progress'] == 1, 20)
        time.sleep(0.2)
        begin = time.monotonic()
        cancel(api, task, graceSeconds=20)
        row = api.ended(task)
        assert row['state'] == 'canceled' and time.monotonic() - begin < 8, row
        assert 'tidied up' in row['logs'] and 'swallowed' not in row['logs'], row
    if holder:
        cancel(api, holder, graceSeconds=20)
        assert api.ended(holder)['state'] == 'canceled', api.ended(holder)


def test_one_that_does_not_listen_is_killed(api: Client, start) -> None:
    task = start('deaf')
    assert wait_for(lambda: get(api, task)['progress'] == 1, 20)
    cancel(api, task, graceSeconds=1)
    row = api.ended(task)
    assert row['state'] == 'canceled' and row['result'] is None, row
    assert row['endTimeMs'] - row['startTimeMs'] < 20000


def test_what_it_started_goes_with_it(api: Client, script: str, start) -> None:
    task = start('child')
    runs(api, task)
    child = api.add_sync_api(script + '.child_id')
    assert wait_for(lambda: api.result(child) > 0, 20)
    pid = api.result(child)
    assert os.path.exists('/proc/%d' % pid)
    cancel(api, task, graceSeconds=0)
    assert api.ended(task)['state'] == 'canceled'
    assert wait_for(lambda: not os.path.exists('/proc/%d' % pid), 10)


def test_twice_is_once(api: Client, start) -> None:
    task = start('deaf')
    assert wait_for(lambda: get(api, task)['progress'] == 1, 20)
    cancel(api, task, graceSeconds=600)
    cancel(api, task, graceSeconds=0)  # impatient: the shorter grace counts
    assert api.ended(task)['state'] == 'canceled'
    refused(api.post, 403, 'EBizCondition.TaskEnded', '/tasks/%s/do/cancel' % task, {})


def test_cancel_and_end_have_one_winner(api: Client, script: str, server: Server) -> None:
    """Of a hundred that end while they are cancelled, each has one outcome, and it is the one that was answered."""
    aapi = api.add_async_api(script + '.quick')
    ids = api.request('POST', '/api/v1/async/%s/do/call-many' % aapi, json={'calls': [{}] * 100}).json()['data']['ids']
    client = server.client()

    def try_cancel(task: str) -> str:
        try:
            client.post('/tasks/%s/do/cancel' % task, {'graceSeconds': 0})
            return 'accepted'
        except ApiError as e:
            assert e.reason == 'EBizCondition.TaskEnded', e
            return 'ended'
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(try_cancel, reversed(ids)))
    for task, answer in zip(reversed(ids), answers):
        state = api.ended(task)['state']
        assert state in ('succeeded', 'canceled') and (answer == 'accepted' or state == 'succeeded')
    seen = [api.get('/tasks/%s/do/get' % i)['state'] for i in ids]
    time.sleep(0.5)
    assert [api.get('/tasks/%s/do/get' % i)['state'] for i in ids] == seen


@pytest.mark.parametrize('body', [{'graceSeconds': -1}, {'graceSeconds': 3601}, {'graceSeconds': '1'}])
def test_bad_requests(api: Client, start, body: Dict[str, Any]) -> None:
    refused(api.post, 400, 'EClientBadRequest', '/tasks/%s/do/cancel' % start('quick'), body)


# ---- progress ----------------------------------------------------------------------------------------------------

def test_progress_is_seen_while_it_runs_and_kept(api: Client, start) -> None:
    task = start('progress', {'steps': 40})
    assert wait_for(lambda: (get(api, task)['progress'] or {}).get('done', 0) >= 1, 20)
    row = api.ended(task)
    assert row['state'] == 'succeeded' and row['progress']['done'] == row['progress']['of'] == 40 and 'Schritt "' in row['progress']['note']


def test_progress_is_streamed(api: Client, start) -> None:
    task = start('progress', {'steps': 12, 'seconds': 0.1})
    answer = api.request('GET', '/api/v1/tasks/%s/events' % task, stream=True)
    done, kind = [], ''
    for line in answer.iter_lines(decode_unicode=True):
        name, _, value = (line or '').partition(': ')
        kind = value if name == 'event' else kind
        if name == 'data' and kind == 'progress':
            done.append(json.loads(value))
        if kind == 'end' and name == 'data':
            break
    assert done and done == sorted(done, key=lambda p: p['done']) and done[-1]['done'] == 12
    assert len(done) >= 6  # each that was told while we watched, not a sample


def test_progress_is_bounded_and_needs_no_watcher(api: Client, script: str, start) -> None:
    row = api.ended(start('bad_progress'))
    assert row['state'] == 'succeeded' and '65536' in row['result'], row['result']
    assert api.result(api.add_sync_api(script + '.progress'), steps=2, seconds=0) == 2  # nobody could watch: no error
