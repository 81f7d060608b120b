# SPDX-License-Identifier: Apache-2.0
"""Where two things happen at once to a durable task: its worker dies and somebody cancels, it is cancelled and fails, the clock is set
while the disk is full, a retry is due while a thousand others wait (issue 3 section 1, reliability A)."""

import contextlib
import os
import re
import signal
import threading
import time
import uuid
from typing import Any, Dict, Iterator, List

import pytest
from support.client import Client
from support.clock import Clock
from support.durable import rows
from support.faults import SYNC, Faults
from support.server import Server, wait_for

SERVER = {'env': {'TENON_CRON_SECONDS': 'true'}}
SCRIPT = '''
import os, time

def began(path):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, b'.')
    os.close(fd)

@DFF.API('Fails once', retry={'max_attempts': 2, 'backoff': 0.004})
def fails_once(key):
    if int(DFF.CACHE.incr('edge-' + key)) == 1:
        raise ValueError('not yet')

@DFF.API('Own failure', retry={'max_attempts': 5, 'backoff': 0.05})
def own_failure():
    print('runs')
    try:
        time.sleep(30)
    except:
        raise ValueError('I say how it ends')

@DFF.API('Once', delivery='at_most_once')
def once(path):
    began(path)
    time.sleep(30)

@DFF.API('Deaf')
def deaf(path):
    began(path)
    sum(range(10 ** 11))

@DFF.API('Waits')
def waits(path):
    began(path)
    time.sleep(30 if os.path.getsize(path) == 1 else 0)

@DFF.API('Sleeps')
def sleeps(seconds=0):
    time.sleep(seconds)
    return 'done'
'''


@pytest.fixture(scope='module')
def script(server: Server) -> str:
    """The functions."""
    return server.client().script(SCRIPT)


@pytest.fixture
def ran(tmp_path: Any) -> Iterator[str]:
    """A file that gets a byte for each start."""
    os.chmod(str(tmp_path), 0o777)
    yield os.path.join(str(tmp_path), 'ran')


def starts(path: str) -> int:
    """How often a function was entered."""
    return os.path.getsize(path) if os.path.exists(path) else 0


def own(new_server: Any, folder: str, **env: str) -> Server:
    """A platform whose functions may write into the folder."""
    return new_server(env=dict(env, TENON_WORKER_WRITE=folder)).start()


def get(api: Client, task: str) -> Dict[str, Any]:
    """The row."""
    return api.get('/tasks/%s/do/get' % task)


def cancel(api: Client, task: str, grace: int = 5) -> None:
    """Asks for its end."""
    api.post('/tasks/%s/do/cancel' % task, {'graceSeconds': grace})


# ---- behind others -----------------------------------------------------------------------------------------------

def test_a_retry_behind_a_long_queue_is_not_forgotten(new_server: Any, tmp_path: Any) -> None:
    """Its pause is over while its row is synced: the row says that it waits for a time, memory must not take it for one of those that are
    ready, of which it reads the next thousand from the file."""
    faults = Faults(str(tmp_path))
    server = new_server(env=dict(faults.env(), TENON_QUEUE_WORKERS='16,8=4')).start()
    api = server.client()
    aapi = api.add_async_api(api.script(SCRIPT) + '.fails_once')
    api.post('/queues/8/do/modify', {'data': {'isPaused': True}})
    for _ in range(3):
        calls = [{'kwargs': {'key': str(uuid.uuid4())}, 'options': {'queue': 8}} for _ in range(500)]
        answer = api.request('POST', '/api/v1/async/%s/do/call-many' % aapi, json={'calls': calls})
        assert answer.status_code == 200, answer.text
    assert server.stop() == 0
    server.start()  # from now on the queue is read from the file
    faults.slow('jobs.db', 5)
    api = server.client()
    api.post('/queues/8/do/modify', {'data': {'isPaused': False}})

    def left() -> List[tuple]:
        return rows(server, "SELECT state, wait, attempt, count(*) FROM tn_task WHERE endTimeMs IS NULL GROUP BY 1, 2, 3")
    assert wait_for(lambda: rows(server, "SELECT count(*) FROM tn_task WHERE attempt > 0") >= [(400,)], 30, 0.2)
    faults.slow('jobs.db', 0)
    assert wait_for(lambda: not left(), 30, 0.2), left()
    assert rows(server, "SELECT DISTINCT state, attempt FROM tn_task") == [('succeeded', 2)]


def test_what_a_full_group_gives_back_still_expires(new_server: Any) -> None:
    """Claimed, found no worker, waits again: its time to start is over all the same."""
    server = new_server(args=('--workers-max=2',), env={'TENON_QUEUE_WAIT': '300ms'}).start()
    api = server.client()
    script = api.script(SCRIPT)
    sapi = api.add_sync_api(script + '.sleeps')
    callers = [threading.Thread(target=server.client().sync, args=(sapi, {'seconds': 4})) for _ in range(2)]
    for t in callers:
        t.start()
    assert wait_for(lambda: [g for g in api.get('/monitor/platform/do/get')['broker']['groups'] if g['busy'] >= 2], 10)
    task = api.ended(api.task_id(api.add_async_api(script + '.sleeps'), {}, {'queue': 1, 'expires': 1}))
    for t in callers:
        t.join()
    assert (task['state'], task['attempt']) == ('expired', 0), task


def test_what_began_does_not_expire(new_server: Any, ran: str) -> None:
    """The platform was killed while it ran: its limit was one for the wait before its start."""
    server = own(new_server, os.path.dirname(ran))
    api = server.client()
    task = api.task_id(api.add_async_api(api.script(SCRIPT) + '.waits'), {'path': ran}, {'expires': 2})
    assert wait_for(lambda: starts(ran) == 1, 10)
    time.sleep(2.1)
    server.kill()
    server.start()
    assert server.client().ended(task)['state'] == 'succeeded' and starts(ran) == 2


# ---- cancelled, and something else ---------------------------------------------------------------------------------

def test_what_was_cancelled_is_not_tried_again(api: Client, script: str) -> None:
    """It may say itself how it ends, but that was its last attempt."""
    task = api.task_id(api.add_async_api(script + '.own_failure'), {})
    assert wait_for(lambda: get(api, task)['state'] == 'running', 10)
    time.sleep(0.3)
    cancel(api, task)
    ended = api.ended(task)
    assert (ended['state'], ended['attempt']) == ('failed', 1) and ended['exception'] == 'I say how it ends', ended


def test_cancelled_and_stopped(new_server: Any, ran: str) -> None:
    """Whoever was told that it ends does not meet it after the restart."""
    server = own(new_server, os.path.dirname(ran), TENON_DRAIN='100ms')
    api = server.client()
    task = api.task_id(api.add_async_api(api.script(SCRIPT) + '.deaf'), {'path': ran})
    assert wait_for(lambda: starts(ran) == 1, 10)
    cancel(api, task, 60)
    assert server.stop() == 0
    server.start()
    assert get(server.client(), task)['state'] == 'canceled' and starts(ran) == 1


@contextlib.contextmanager
def dead_and_not_reported(server: Server, ran: str) -> Iterator[None]:
    """The worker has died, and the zygote, which is stopped, does not say how: for three seconds its call has no outcome."""
    zygote = server.pid_of('tenon-worker')
    os.kill(zygote, signal.SIGSTOP)
    try:
        for p in server.workers():
            with contextlib.suppress(OSError), open('/proc/%d/wchan' % p.pid, encoding='utf-8') as f:
                if 'nanosleep' in f.read():
                    os.kill(p.pid, signal.SIGKILL)
        time.sleep(0.3)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.kill(zygote, signal.SIGCONT)


def test_cancelled_between_the_death_and_its_report(new_server: Any, ran: str) -> None:
    """There is nothing left to interrupt, and it is cancelled."""
    server = own(new_server, os.path.dirname(ran))
    api = server.client()
    hub = server.pid_of('tenon-hub')
    task = api.task_id(api.add_async_api(api.script(SCRIPT) + '.waits'), {'path': ran})
    assert wait_for(lambda: starts(ran) == 1, 10)
    with dead_and_not_reported(server, ran):
        cancel(api, task)
    assert api.ended(task)['state'] == 'canceled' and starts(ran) == 1
    assert server.pid_of('tenon-hub') == hub


def test_stopped_between_the_death_and_its_report(new_server: Any, ran: str) -> None:
    """At most once is once, although the platform that stops calls back what it has given out."""
    server = own(new_server, os.path.dirname(ran), TENON_DRAIN='100ms')
    api = server.client()
    task = api.task_id(api.add_async_api(api.script(SCRIPT) + '.once'), {'path': ran})
    assert wait_for(lambda: starts(ran) == 1, 10)
    code: List[int] = []
    stopper = threading.Thread(target=lambda: code.append(server.stop()))
    with dead_and_not_reported(server, ran):
        stopper.start()
        time.sleep(1)
    stopper.join()
    assert code == [0] and 'SIGSEGV' not in server.log()
    server.start()
    ended = server.client().ended(task)
    assert (ended['state'], starts(ran)) == ('failed', 1), ended


def test_a_later_task_ends_one_that_waits_to_be_tried_again(api: Client) -> None:
    """cancelOther: what waits for its retry would block the key until it has run; its next start is its end."""
    own_script = api.script("@DFF.API('f', retry={'max_attempts': 3, 'backoff': 2.5})\ndef f():\n"
                            "    if int(DFF.CACHE.incr('cancel-other')) == 1:\n        raise ValueError('first')\n")
    job = api.post('/cron-jobs/do/add', {'data': {'funcId': own_script + '.f', 'funcCallKwargsJSON': {}, 'cronExpr': '* * * * * *',
                                                  'overlapPolicy': 'cancelOther'}})['id']

    def told() -> List[Dict[str, Any]]:
        return api.get('/cron-jobs/%s/history/do/list' % job, pageSize=1000)[::-1]
    assert wait_for(lambda: [r for r in told() if r['taskState'] == 'succeeded'], 15)
    task = get(api, told()[0]['taskId'])
    api.get('/cron-jobs/%s/do/delete' % job)
    assert (task['state'], task['attempt']) == ('canceled', 1), task


# ---- the clock ------------------------------------------------------------------------------------------------------

def test_the_clock_is_set_back_while_nothing_can_be_written(new_server: Any, tmp_path: Any) -> None:
    """Pauses of the platform's own are none of the wall clock's: when the disk is well again, work goes on at once."""
    clock, faults = Clock(str(tmp_path)), Faults(str(tmp_path))
    env = dict(faults.env(), **clock.env())
    env['LD_PRELOAD'] = '%s:%s' % (faults.library, clock.library)
    server = new_server(env=env)
    server.start()
    api = server.client()
    aapi = api.add_async_api(api.script(SCRIPT) + '.sleeps')
    server.allowed_alerts.append(re.compile('.'))
    ids = [api.task_id(aapi, {'seconds': 2}) for _ in range(2)]
    assert wait_for(lambda: {get(api, i)['state'] for i in ids} == {'running'}, 10)
    faults.arm(SYNC, 'jobs.db', forever=True)
    assert wait_for(lambda: faults.control.failed, 20)
    time.sleep(2.5)  # both have ended, and wait to be written
    clock.set(-3600)
    time.sleep(0.3)
    faults.clear()
    assert [api.ended(i)['state'] for i in ids] == ['succeeded'] * 2
    assert api.ended(api.task_id(aapi, {}))['state'] == 'succeeded'


