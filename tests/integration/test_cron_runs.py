# SPDX-License-Identifier: Apache-2.0
"""Cron jobs that run: which expression counts, pauses, overlaps, delays, what scripts can do (spec 5.2, 3.5). With
`cron_seconds`, so that nobody has to wait for a minute; the code that fires is the same."""

import time
from typing import Any, Callable, Dict, Iterator, List

import pytest

from support.client import Client
from support.people import refused
from support.server import PATIENCE, Server, wait_for

CODE = '''
import time
@DFF.API('quick')
def quick(n=0):
    print(_DFF_CRON_EXPR, _DFF_CRON_JOB_DELAY, _DFF_CRON_JOB_EXEC_MODE, _DFF_CRONTAB_EXEC_MODE)
    return [n, _DFF_TRIGGER_TIME]
@DFF.API('slow', timeout=30)
def slow(seconds=3):
    time.sleep(seconds)
    return 'done'
@DFF.API('fixed', fixed_cron_expr='0 0 30 2 *')
def fixed():
    return 1
@DFF.API('delayed', delayed_cron_job=[2, 0, 1, 1])
def delayed():
    return _DFF_CRON_JOB_DELAY
@DFF.API('auto', integration='autoRun', integration_config={'cronExpr': '0 0 30 2 *'})
def auto():
    return _DFF_CRON_EXPR
@DFF.API('what scripts do')
def do(what, job=None, a=None, b=None):
    j = DFF.CRON_JOB
    if what == 'set':
        return j.set_cron_expr(a, expires=b, entity_id=job)
    if what == 'get':
        return [j.get_cron_expr(job), j.get_all_cron_expr().get(job)]
    if what == 'clear':
        return j.clear_cron_expr(job)
    if what == 'pause':
        return j.pause(a, entity_id=job)
    if what == 'call':
        return j.call(job, kwargs=a)
'''
NEVER = '0 0 30 2 *'
EVERY = '* * * * * *'


@pytest.fixture(scope='module')
def seconds_server(watch: Any) -> Iterator[Server]:
    s = Server(env={'TENON_CRON_SECONDS': 'true'})
    try:
        s.start().settle()
        watch.servers.append(s)
        yield s
        assert s.stop() == 0
        problems = s.problems()
        assert not problems, '\n'.join(problems)
    finally:
        if s in watch.servers:
            watch.servers.remove(s)
        s.close()


@pytest.fixture(scope='module')
def cron_script(seconds_server: Server) -> str:
    return seconds_server.client().script(CODE)


@pytest.fixture
def cron(seconds_server: Server) -> Client:
    return seconds_server.client()


@pytest.fixture
def job(cron: Client, cron_script: str) -> Iterator[Callable[..., str]]:
    """Adds cron jobs that are gone after the test."""
    made: List[str] = []

    def make(func: str = 'quick', kwargs: Any = None, expr: str = EVERY, **fields: Any) -> str:
        made.append(cron.post('/cron-jobs/do/add', {'data': dict(
            fields, funcId='%s.%s' % (cron_script, func), funcCallKwargsJSON=kwargs or {}, cronExpr=expr)})['id'])
        return made[-1]
    yield make
    for one in made:
        cron.get('/cron-jobs/%s/do/delete' % one)


def history(cron: Client, job_id: str) -> List[Dict[str, Any]]:
    """All occurrences, oldest first."""
    return cron.get('/cron-jobs/%s/history/do/list' % job_id, pageSize=1000)[::-1]


def ended(cron: Client, job_id: str, n: int, seconds: float = 15) -> List[Dict[str, Any]]:
    """Waits until n occurrences have ended."""
    def look() -> List[Dict[str, Any]]:
        return [h for h in history(cron, job_id) if h['taskState'] not in ('queued', 'running', 'waiting')]
    wait_for(lambda: len(look()) >= n, seconds, 0.1)
    rows = look()
    assert len(rows) >= n, rows
    return rows


def seconds_of(rows: List[Dict[str, Any]]) -> List[int]:
    assert all(r['occurrenceTimeMs'] % 1000 == 0 for r in rows)
    return [r['occurrenceTimeMs'] // 1000 for r in rows]


def result_of(cron: Client, row: Dict[str, Any]) -> Any:
    """What the function returned."""
    return cron.request('GET', '/api/v1/tasks/%s/result' % row['taskId']).json()


def run_script(cron: Client, script: str, **kwargs: Any) -> Any:
    """Calls the function `do`."""
    answer = cron.request('POST', '/api/v1/func/%s.do' % script, json={'kwargs': kwargs, 'options': {'unbox': False}}).json()
    assert answer['ok'], answer
    return answer['data']['result']


def test_every_occurrence_has_a_row_and_ran_once(cron: Client, job: Callable[..., str]) -> None:
    one = job(kwargs={'n': 7}, taskRecordLimit=100)
    rows = ended(cron, one, 3)
    times = seconds_of(rows)
    assert times == list(range(times[0], times[0] + len(times)))  # none is missing, none twice
    assert {r['outcome'] for r in rows} == {'ran'} and {r['taskState'] for r in rows} == {'succeeded'}
    assert len({r['taskId'] for r in rows}) == len(rows)
    task = cron.get('/tasks/%s/do/get' % rows[0]['taskId'])
    assert task['schedule'] == one and task['queue'] == 2 and task['triggerTimeMs'] == rows[0]['occurrenceTimeMs']
    assert (task['origin'], task['originId'], task['timeoutMs'], task['expiresMs']) == ('cronJob', one, 35000, 900000)
    assert result_of(cron, rows[0]) == [7, times[0]]
    records = wait_for(lambda: cron.get('/task-records/func/do/list', originId=one), 10)
    assert records and records[0]['printLogsTEXT'].endswith('* * * * * * 0 cronJob cronJob') and records[0]['cronExpr'] == EVERY
    assert {r['triggerTimeMs'] for r in records} <= {r['occurrenceTimeMs'] for r in history(cron, one)}  # the tick, not the start
    last = wait_for(lambda: cron.get('/cron-jobs/do/list', id=one)[0]['lastTaskStatus'], 5)
    assert last['status'] == 'success' and abs(last['timestamp'] - time.time()) < 60
    recent = cron.get('/cron-jobs/%s/recent-triggered/do/list' % one)
    assert recent[-1] == [times[0], 'cronJob'] and recent == sorted(recent, reverse=True)


def test_which_expression_counts(cron: Client, cron_script: str, job: Callable[..., str]) -> None:
    """Dynamic before fixed before own."""
    one = job('fixed', expr=EVERY)
    assert cron.get('/cron-jobs/%s/next-runs/do/list' % one)['cronExprSource'] == 'fixed'
    run_script(cron, cron_script, what='set', job=one, a='*/2 * * * * *')
    shown = cron.get('/cron-jobs/do/list', id=one)[0]
    assert shown['dynamicCronExpr'] == '*/2 * * * * *' and shown['dynamicCronExprExpireTime'] is None
    assert run_script(cron, cron_script, what='get', job=one) == ['*/2 * * * * *'] * 2
    assert cron.get('/cron-jobs/%s/next-runs/do/list' % one)['cronExprSource'] == 'dynamic'
    assert all(t % 2 == 0 for t in seconds_of(ended(cron, one, 2)))  # by its own it would have run each second
    run_script(cron, cron_script, what='clear', job=one)
    assert run_script(cron, cron_script, what='get', job=one) == [None, None]
    count = len(history(cron, one))
    time.sleep(2.1)
    assert len(history(cron, one)) == count


def test_a_dynamic_expression_runs_out(cron: Client, cron_script: str, job: Callable[..., str]) -> None:
    one = job(expr=NEVER)
    run_script(cron, cron_script, what='set', job=one, a=EVERY, b=3)
    shown = cron.get('/cron-jobs/do/list', id=one)[0]
    assert shown['dynamicCronExpr'] == EVERY and shown['dynamicCronExprExpireTime']
    ended(cron, one, 1)
    assert wait_for(lambda: cron.get('/cron-jobs/do/list', id=one)[0]['dynamicCronExpr'] is None, 8)
    time.sleep(1.5)
    count = len(history(cron, one))
    assert 1 <= count <= 5
    time.sleep(1.5)
    assert len(history(cron, one)) == count
    answer = cron.request('POST', '/api/v1/func/%s.do' % cron_script, json={'kwargs': {'what': 'set', 'job': one, 'a': '61 * * * *'}}).json()
    assert not answer['ok'] and '61' in str(answer)


def test_pause_with_an_end(cron: Client, cron_script: str, job: Callable[..., str]) -> None:
    """Occurrences of the pause are rows too."""
    one = job(expr=NEVER)
    run_script(cron, cron_script, what='pause', job=one, a=3)
    shown = cron.get('/cron-jobs/do/list', id=one)[0]
    assert shown['isPaused'] is True and shown['pauseExpireTime']
    cron.post('/cron-jobs/%s/do/modify' % one, {'data': {'cronExpr': EVERY}})
    assert wait_for(lambda: any(r['outcome'] == 'ran' for r in history(cron, one)), 10)
    rows = history(cron, one)
    skipped = [r for r in rows if r['outcome'] == 'skipped']
    assert 1 <= len(skipped) <= 4 and {r['reason'] for r in skipped} == {'the schedule is paused'} and skipped[0]['taskId'] is None
    assert seconds_of(rows) == list(range(seconds_of(rows)[0], seconds_of(rows)[0] + len(rows)))
    assert cron.get('/cron-jobs/do/list', id=one)[0]['isPaused'] is False


def test_pause_of_all(cron: Client, job: Callable[..., str]) -> None:
    one = job()
    ended(cron, one, 1)
    cron.post('/temporary-flags/pauseCronJobs/do/set', {'expires': 60})
    try:
        assert wait_for(lambda: history(cron, one)[-1]['reason'] == 'all schedules are paused', 5)
        assert cron.request('POST', '/api/v1/cron/' + one).json()['ok']  # by hand it runs
        assert wait_for(lambda: [x for x in cron.get('/cron-jobs/%s/recent-triggered/do/list' % one) if x[1] == 'manual'], 5)
    finally:
        cron.get('/temporary-flags/pauseCronJobs/do/clear')
    assert wait_for(lambda: history(cron, one)[-1]['outcome'] == 'ran', 5)


def test_run_now(cron: Client, cron_script: str, job: Callable[..., str]) -> None:
    """Disabled, expired, delayed: a run by hand takes no notice."""
    one = job('quick', {'n': 5}, NEVER, isDisabled=True, expireTime='2020-01-01T00:00:00Z', taskRecordLimit=10)
    assert cron.post('/cron/' + one) is None
    record = wait_for(lambda: cron.get('/task-records/func/do/list', originId=one), 10)[0]
    assert record['printLogsTEXT'].endswith(NEVER + ' 0 manual manual') and record['returnValueJSON'][0] == 5
    assert history(cron, one) == []
    assert cron.get('/cron-jobs/%s/recent-triggered/do/list' % one)[0][1] == 'manual'
    assert refused(cron.post, 404, 'EClientNotFound', '/cron/none').envelope['message'] == 'No such Cron Job'
    run_script(cron, cron_script, what='call', job=one, a={'n': 6})
    assert wait_for(lambda: any(r['returnValueJSON'][0] == 6 for r in cron.get('/task-records/func/do/list', originId=one)), 10)


def test_delayed_multiples(cron: Client, job: Callable[..., str]) -> None:
    """One task for each delay of an occurrence; they share the overlap key."""
    one = job('delayed', expr='*/5 * * * * *')
    rows = ended(cron, one, 3)[:3]
    assert len(set(seconds_of(rows))) == 1 and [r['delay'] for r in rows] == [0, 1, 2]
    for row in rows:
        task = cron.get('/tasks/%s/do/get' % row['taskId'])
        assert task['dueTimeMs'] - task['triggerTimeMs'] == row['delay'] * 1000 and task['expiresMs'] == 900000  # from when it is due
        assert task['triggerTimeMs'] == row['occurrenceTimeMs']
        assert result_of(cron, row) == row['delay']


def test_functions_that_run_by_themselves(cron: Client, cron_script: str) -> None:
    """integration='autoRun' with a cronExpr: a job without a row, known by its id."""
    run_script(cron, cron_script, what='set', job='autoRun.cronJob-%s.auto' % cron_script, a='*/2 * * * * *', b=5)

    def tasks() -> List[Dict[str, Any]]:
        return [t for t in cron.get('/tasks/do/list', pageSize=100) if t['originId'] == 'autoRun.cronJob-%s.auto' % cron_script]
    found = wait_for(tasks, 10)
    assert found[0]['origin'] == 'integration' and found[0]['schedule'] == 'autoRun.cronJob-%s.auto' % cron_script
    assert found[0]['triggerTimeMs'] % 2000 == 0
    assert wait_for(lambda: any(t['state'] == 'succeeded' for t in tasks()), 10)


def test_deleted_disabled_changed(cron: Client, cron_script: str) -> None:
    """What is no more does not run; nothing else is disturbed."""
    ids = [cron.post('/cron-jobs/do/add', {'data': {'funcId': cron_script + '.quick', 'funcCallKwargsJSON': {}, 'cronExpr': EVERY}})['id']
           for _ in range(3)]
    for one in ids:
        ended(cron, one, 1)
    cron.get('/cron-jobs/%s/do/delete' % ids[0])
    cron.post('/cron-jobs/%s/do/modify' % ids[1], {'data': {'isDisabled': True}})
    count = len(history(cron, ids[1]))
    was = len(history(cron, ids[2]))
    ended(cron, ids[2], was + 2)
    refused(cron.get, 404, 'EClientNotFound', '/cron-jobs/%s/history/do/list' % ids[0])
    assert len(history(cron, ids[1])) <= count + 1
    cron.get('/cron-jobs/do/delete-many', id=','.join(ids))


def test_function_gone(cron: Client) -> None:
    """The occurrence is a row, the reason says why."""
    own = cron.script("@DFF.API('f')\ndef f():\n    return 1\n")
    one = cron.post('/cron-jobs/do/add', {'data': {'funcId': own + '.f', 'funcCallKwargsJSON': {}, 'cronExpr': EVERY}})['id']
    ended(cron, one, 1)
    cron.edit(own, "@DFF.API('g')\ndef g():\n    return 1\n")
    cron.publish(own)
    row = wait_for(lambda: [r for r in history(cron, one) if r['outcome'] == 'skipped'], 8)[0]
    assert row['reason'] == 'its function does not exist'
    cron.get('/cron-jobs/%s/do/delete' % one)


def test_status(cron: Client, job: Callable[..., str]) -> None:
    one = job()
    ended(cron, one, 1)
    status = cron.get('/cron-status/do/get')
    assert status['schedules'] == status['trigger']['schedules'] >= 1 and status['written'] >= 1
    assert status['trigger']['ran'] >= 1 and status['oldestWaitsMs'] < 5000 * PATIENCE


# ---- overlaps: a run of 3.5 s, an occurrence each second ---------------------------------------------------------------


def states(cron: Client, job_id: str) -> List[Any]:
    """(outcome, state of the task) of the first five occurrences, when the first has ended."""
    wait_for(lambda: len(history(cron, job_id)) >= 5 and history(cron, job_id)[0]['taskState'] not in ('queued', 'running'), 15, 0.1)
    return [(r['outcome'], r['taskState']) for r in history(cron, job_id)[:5]]


def stop(cron: Client, job_id: str) -> None:
    cron.post('/cron-jobs/%s/do/modify' % job_id, {'data': {'isDisabled': True}})


def test_overlap_skip(cron: Client, job: Callable[..., str]) -> None:
    """The default, as the original: while one runs, others end as skipped, with the reason. By hand is another matter."""
    one = job('slow', {'seconds': 3.5}, taskRecordLimit=100)
    assert wait_for(lambda: history(cron, one), 10)
    cron.post('/cron/' + one)
    found = states(cron, one)
    stop(cron, one)
    assert found[0] == ('ran', 'succeeded') and found[1:4] == [('skipped', 'skipped')] * 3
    assert history(cron, one)[1]['reason'] == 'Previous task not finished, skip current task'
    records = wait_for(lambda: [r for r in cron.get('/task-records/func/do/list', originId=one) if r['status'] == 'skip'], 10)
    assert records[0]['exceptionType'] == 'PreviousTaskNotFinished'
    manual = [t for t in cron.get('/tasks/do/list', pageSize=100) if t['originId'] == one and t['schedule'] is None]
    assert [t['state'] for t in manual] in (['running'], ['succeeded'])


def test_overlap_policies(cron: Client, job: Callable[..., str]) -> None:
    """All others, side by side."""
    ids = {policy: job('slow', {'seconds': 3.5}, overlapPolicy=policy, taskRecordLimit=10)
           for policy in ('bufferOne', 'bufferAll', 'cancelOther', 'allowAll')}
    found = {policy: states(cron, one) for policy, one in ids.items()}
    for one in ids.values():
        stop(cron, one)
    assert found['bufferOne'][0] == ('ran', 'succeeded') and found['bufferOne'][2:4] == [('skipped', 'skipped')] * 2
    assert found['bufferOne'][1] in (('ran', 'running'), ('ran', 'queued'), ('ran', 'succeeded'))
    assert found['bufferAll'][0] == ('ran', 'succeeded') and {s for s, _ in found['bufferAll']} == {'ran'}
    assert found['bufferAll'][3][1] == 'queued'
    assert found['cancelOther'][:3] == [('ran', 'canceled')] * 3
    assert {s for s, _ in found['allowAll']} == {'ran'} and {t for _, t in found['allowAll'][1:3]} <= {'running', 'succeeded'}
    # what was buffered runs one after the other
    one = ids['bufferAll']
    assert wait_for(lambda: sum(r['taskState'] == 'succeeded' for r in history(cron, one)) >= 2, 15)
    tasks = [cron.get('/tasks/%s/do/get' % r['taskId']) for r in history(cron, one)[:2]]
    assert tasks[1]['startTimeMs'] >= tasks[0]['endTimeMs']


def test_retry_of_a_cron_task_is_no_new_occurrence(cron: Client) -> None:
    own = cron.script("@DFF.API('f', retry={'max_attempts': 2, 'backoff': 0.1})\ndef f():\n    raise ValueError('no')\n")
    one = cron.post('/cron-jobs/do/add', {'data': {'funcId': own + '.f', 'funcCallKwargsJSON': {}, 'cronExpr': EVERY}})['id']
    rows = ended(cron, one, 2)
    assert {r['outcome'] for r in rows} == {'ran'} and len(set(seconds_of(rows))) == len(rows)
    assert cron.get('/tasks/%s/do/get' % rows[0]['taskId'])['attempt'] == 2
    cron.get('/cron-jobs/%s/do/delete' % one)
