# SPDX-License-Identifier: Apache-2.0
"""Cron jobs over stops, crashes and absences: what is owed is neither lost nor done twice (reliability S-02 to S-04,
P-02). An absence is made by setting the cursors back while the platform is down."""

import os
import re
import sqlite3
import time
from typing import Any, Dict, List, Tuple

import pytest

from support.client import Client
from support.server import PATIENCE, VARIANT, Server, wait_for

LONG = os.environ.get('TENON_TEST_LONG') == '1'
TEST_BUILD = VARIANT in ('debug', 'asan', 'tsan', 'cov')
CODE = "@DFF.API('f')\ndef f():\n    return 1\n@DFF.API('g', delayed_cron_job=[0, 1])\ndef g():\n    return 2\n"
EVERY = '* * * * * *'
SKIPPED_BY = re.compile(r'^(?:.*; this row stands for (\d+) occurrences since (\S+)|.*)$')


def make(new_server: Any, **env: str) -> Tuple[Server, Client, str]:
    server = new_server(env=dict(env, TENON_CRON_SECONDS='true'))
    server.start()
    client = server.client()
    return server, client, client.script(CODE)


def add(client: Client, script: str, expr: str, func: str = 'f', **fields: Any) -> str:
    return client.post('/cron-jobs/do/add', {'data': dict(fields, funcId='%s.%s' % (script, func), funcCallKwargsJSON={}, cronExpr=expr)})['id']


def sql(server: Server, text: str, *values: Any) -> List[tuple]:
    """Asks or changes jobs.db."""
    db = sqlite3.connect(os.path.join(server.data, 'jobs.db'), timeout=30)
    try:
        with db:
            return db.execute(text, values).fetchall()
    finally:
        db.close()


def occurrences(server: Server, job: str) -> List[Tuple[int, str, str]]:
    """(second, outcome, reason) in order."""
    names = ['ran', 'skipped', 'late', 'missed']
    rows = sql(server, 'SELECT occurrenceUs, outcome, reason FROM tn_occurrence WHERE schedule = ? ORDER BY occurrenceUs, delayS', job)
    return [(at // 1000000, names[outcome], reason) for at, outcome, reason in rows]


def cursor(server: Server, job: str) -> int:
    return sql(server, 'SELECT cursorUs FROM tn_cursor WHERE schedule = ?', job)[0][0] // 1000000


def counted(rows: List[Tuple[int, str, str]]) -> int:
    """Occurrences that the rows stand for."""
    return sum(int(SKIPPED_BY.match(reason or '').group(1) or 1) for _, _, reason in rows)


def nothing_is_left(server: Server) -> bool:
    return not sql(server, "SELECT 1 FROM tn_task WHERE endTimeMs IS NULL LIMIT 1")


def proved(server: Server, jobs: List[str], step: int = 1) -> Dict[str, int]:
    """Every expected occurrence has one row, each that ran has one task and that one ended → how many of each outcome."""
    found: Dict[str, int] = {}
    for job in jobs:
        rows = occurrences(server, job)
        times = [r[0] for r in rows]
        assert times == list(range(times[0], times[-1] + step, step)), (job, times)
        for _, outcome, reason in rows:
            found[outcome] = found.get(outcome, 0) + 1
            assert outcome in ('ran', 'late') or reason, (job, outcome)
    assert sql(server, 'SELECT schedule, occurrenceUs, delayS FROM tn_task WHERE schedule IS NOT NULL GROUP BY 1, 2, 3 HAVING count(*) > 1') == []
    assert sql(server, 'SELECT o.schedule, o.occurrenceUs FROM tn_occurrence o LEFT JOIN tn_task t ON t.id = o.taskId '
                       'WHERE o.outcome IN (0, 2) AND t.id IS NULL') == []
    states = dict(sql(server, 'SELECT state, count(*) FROM tn_task WHERE schedule IS NOT NULL GROUP BY state'))
    assert set(states) <= {'succeeded', 'skipped'}, states
    return found


def test_catching_up(new_server) -> None:
    """After an absence of two hours: none, last, all, all within a window, paused, expired; after 400 days too."""
    server, client, script = make(new_server)
    minute = {'expr': '* * * * *', 'timezone': 'UTC'}
    jobs = {
        'none': add(client, script, **minute),
        'last': add(client, script, catchUpPolicy='last', overlapPolicy='allowAll', **minute),
        'all': add(client, script, catchUpPolicy='all', overlapPolicy='bufferAll', **minute),
        'window': add(client, script, catchUpPolicy='all', catchUpWindow=600, overlapPolicy='allowAll', **minute),
        'cancel': add(client, script, catchUpPolicy='all', catchUpWindow=600, overlapPolicy='cancelOther', **minute),
        'expired': add(client, script, expireTime=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - 3600)), **minute),
        'year': add(client, script, catchUpPolicy='last', catchUpWindow=600, overlapPolicy='allowAll', **minute),
        'rare': add(client, script, '30 12 * * *', timezone='UTC', catchUpPolicy='last', catchUpWindow=172800),
    }
    assert server.stop() == 0
    for name, back in dict.fromkeys(jobs, 7200).items():
        back = {'year': 400 * 86400, 'rare': 3 * 86400}.get(name, back)
        sql(server, 'UPDATE tn_cursor SET cursorUs = cursorUs - ? WHERE schedule = ?', back * 1000000, jobs[name])
    begin = {name: cursor(server, job) for name, job in jobs.items()}
    server.start()
    started = time.time()

    def settled() -> bool:
        """The cursors are here, and what was owed has run."""
        return nothing_is_left(server) and all(started - cursor(server, job) < (86400 if name == 'rare' else 3700 if name == 'expired' else 60)
                                               for name, job in jobs.items())
    assert wait_for(settled, 30, 0.2)
    found = {name: occurrences(server, job) for name, job in jobs.items()}
    for name, rows in found.items():  # as many occurrences as there are in the time, no two rows alike
        step = 86400 if name == 'rare' else 60
        end = rows[-1][0]
        assert counted(rows) == end // step - begin[name] // step if step == 60 else len(rows) in (2, 3), (name, len(rows), counted(rows))
        if name != 'expired':
            assert started - end < step + 60 * PATIENCE
        assert [r[0] for r in rows] == list(range(rows[0][0], end + step, step)), name  # rows are neighbours

    def split(name: str) -> Dict[str, int]:
        kinds: Dict[str, int] = {}
        for _, outcome, reason in found[name]:
            kinds[outcome] = kinds.get(outcome, 0) + 1
            assert outcome in ('ran', 'late', 'skipped') or reason.startswith('the platform was not running'), reason
        return kinds
    none = split('none')
    assert none.get('late', 0) == 0 and 1 <= none.get('ran', 0) <= 2 and none['missed'] >= 100
    last = split('last')
    assert last['late'] == 1 and [r for r in found['last'] if r[1] == 'late'][0][0] == [r for r in found['last'] if r[1] != 'ran'][-1][0]
    every = split('all')
    assert every.get('missed', 0) == 0 and every['late'] >= 117
    assert 8 <= split('window')['late'] <= 10
    cancel = split('cancel')  # the newest takes the place of all others
    assert cancel.get('skipped', 0) >= 6 and found['cancel'][-1][1] == 'ran'
    assert {r[1] for r in found['expired']} == {'missed'} and started - found['expired'][-1][0] >= 3599
    year = [r for r in found['year'] if r[1] == 'missed']
    assert len(year) <= 202 and 'this row stands for' in year[0][2] and split('year')['late'] == 1
    assert [r[1] for r in found['rare']][:-1] == ['missed'] * (len(found['rare']) - 1) and found['rare'][-1][1] in ('late', 'ran')
    states = dict(sql(server, 'SELECT state, count(*) FROM tn_task WHERE schedule = ? GROUP BY 1', jobs['all']))
    starts = sql(server, 'SELECT startTimeMs, occurrenceUs FROM tn_task WHERE schedule = ? ORDER BY startTimeMs, seq', jobs['all'])
    assert [at for _, at in starts] == sorted(at for _, at in starts)  # in order
    assert set(states) == {'succeeded'} and states['succeeded'] == every['late'] + every.get('ran', 0)


def test_restart_keeps_what_scripts_and_people_set(new_server) -> None:
    """Dynamic expressions, pauses, the pause of all, disabled jobs, functions that run by themselves."""
    server, client, script = make(new_server)
    auto = client.script("@DFF.API('a', integration='autoRun', integration_config={'cronExpr': '0 0 30 2 *'})\ndef a():\n    return 1\n"
                         "@DFF.API('s')\ndef s(job, expr=None, pause=None):\n"
                         "    if pause: DFF.CRON_JOB.pause(pause, entity_id=job)\n"  # first: a second may pass between the two
                         "    if expr: DFF.CRON_JOB.set_cron_expr(expr, entity_id=job)\n", name='auto')
    one, two, three = (add(client, script, '0 0 30 2 *') for _ in range(3))
    own = 'autoRun.cronJob-%s.a' % auto
    for kwargs in ({'job': one, 'expr': EVERY}, {'job': two, 'expr': EVERY, 'pause': 3600}, {'job': own, 'expr': EVERY}):
        assert client.request('POST', '/api/v1/func/%s.s' % auto, json={'kwargs': kwargs}).json()['ok']
    client.post('/cron-jobs/%s/do/modify' % three, {'data': {'cronExpr': EVERY, 'isDisabled': True}})
    assert wait_for(lambda: occurrences(server, one) and occurrences(server, own), 10)
    server.restart()
    client = server.client()
    was = {job: len(occurrences(server, job)) for job in (one, own)}
    assert wait_for(lambda: all(len(occurrences(server, job)) >= was[job] + 2 for job in was), 10)
    rows = {r['id']: r for r in client.get('/cron-jobs/do/list', func_scriptId=script)}
    assert rows[one]['dynamicCronExpr'] == EVERY and rows[two]['isPaused'] and not rows[one]['isPaused']
    assert {r[1] for r in occurrences(server, two)} == {'skipped'} and occurrences(server, three) == []
    client.post('/temporary-flags/pauseCronJobs/do/set', {'expires': 3600})
    server.restart()
    at = len(occurrences(server, one))
    assert wait_for(lambda: len(occurrences(server, one)) >= at + 2, 10)
    assert occurrences(server, one)[-1][1:] == ('skipped', 'all schedules are paused')
    assert wait_for(lambda: nothing_is_left(server), 10)
    proved(server, [one, own])


@pytest.mark.timeout(1800 if LONG else 180)
@pytest.mark.parametrize('kills', [60 if LONG else 4])
def test_sigkill(new_server, kills: int) -> None:
    """The hub is killed again and again while forty jobs have an occurrence each second."""
    server, client, script = make(new_server)
    server.allowed_alerts.append(re.compile('.'))
    jobs = [add(client, script, EVERY) for _ in range(40)]
    assert wait_for(lambda: occurrences(server, jobs[-1]), 10)
    for n in range(kills):
        hub = server.pid_of('tenon-hub')
        time.sleep((n * 0.37) % 1.1)
        os.kill(hub, 9)
        assert wait_for(lambda: server.pid_of('tenon-hub') not in (0, hub), 10, 0.02)
        was = sql(server, 'SELECT count(*) FROM tn_occurrence')[0][0]
        assert wait_for(lambda: sql(server, 'SELECT count(*) FROM tn_occurrence')[0][0] > was + 40, 20)
    client = server.client()
    for job in jobs:
        client.post('/cron-jobs/%s/do/modify' % job, {'data': {'isDisabled': True}})
    assert wait_for(lambda: nothing_is_left(server), 20)
    found = proved(server, jobs)
    assert set(found) <= {'ran', 'skipped', 'late'} and found['ran'] >= 40 * kills
    server.allowed_alerts.append(re.compile('.'))


POINTS = ['cron-tick', 'accept', 'accept-written', 'accept-committed', 'cron-written']


@pytest.mark.skipif(not TEST_BUILD, reason='kill points are compiled into test builds only')
@pytest.mark.parametrize('point', POINTS)
def test_kill_points_of_a_tick(new_server, tmp_path, point: str) -> None:
    """The hub dies between due and durable, at each place; with several tasks an occurrence."""
    armed = os.path.join(str(tmp_path), 'armed')
    server, client, script = make(new_server, TENON_TEST_KILLPOINT='%s:1:%s' % (point, armed))
    server.allowed_alerts.append(re.compile('.'))
    jobs = [add(client, script, EVERY) for _ in range(5)]
    pair = add(client, script, EVERY, 'g', overlapPolicy='allowAll')
    for _ in range(3 if LONG else 1):
        assert wait_for(lambda: occurrences(server, jobs[0]), 10)
        hub = server.pid_of('tenon-hub')
        open(armed, 'w', encoding='utf-8').close()
        assert wait_for(lambda: not os.path.exists(armed), 20, 0.01), 'the point %s was not passed' % point
        assert wait_for(lambda: server.pid_of('tenon-hub') not in (0, hub), 10, 0.02)
        was = len(occurrences(server, jobs[0]))
        assert wait_for(lambda: len(occurrences(server, jobs[0])) >= was + 2, 10)
    client = server.client()
    for job in jobs + [pair]:
        client.post('/cron-jobs/%s/do/modify' % job, {'data': {'isDisabled': True}})
    assert wait_for(lambda: nothing_is_left(server), 20)
    assert set(proved(server, jobs)) <= {'ran', 'skipped'}
    both = sql(server, 'SELECT occurrenceUs, count(*) FROM tn_occurrence WHERE schedule = ? GROUP BY 1', pair)
    assert {n for _, n in both} == {2}
    server.allowed_alerts.append(re.compile('.'))


def test_deleted_while_due(new_server) -> None:
    """S-07: jobs are deleted, disabled, renamed while they are due; nothing breaks, nothing of them stays."""
    server, client, script = make(new_server)
    kept = add(client, script, EVERY)
    end = time.monotonic() + (20 if LONG else 3)
    while time.monotonic() < end:
        jobs = [add(client, script, EVERY) for _ in range(5)]
        client.post('/cron-jobs/%s/do/modify' % jobs[0], {'data': {'isDisabled': True}})
        client.post('/cron-jobs/%s/do/modify' % jobs[1], {'data': {'cronExpr': '*/2 * * * * *'}})
        time.sleep(0.3)
        client.get('/cron-jobs/do/delete-many', id=','.join(jobs))
        gone = jobs[0]
    assert wait_for(lambda: nothing_is_left(server) or len(occurrences(server, kept)) > 3, 10)
    assert client.get('/cron-status/do/get')['schedules'] == 1
    client.post('/cron-jobs/%s/do/modify' % kept, {'data': {'isDisabled': True}})
    assert wait_for(lambda: nothing_is_left(server), 10)
    assert sql(server, 'SELECT schedule FROM tn_cursor') == [(kept,)] and occurrences(server, gone) == []
    proved(server, [kept])


def test_spreading(new_server) -> None:
    """_FUNC_TASK_DISTRIBUTION_RANGE: each job has a phase of its own, always the same; the occurrence stays what it is."""
    server, client, script = make(new_server, DFF__FUNC_TASK_DISTRIBUTION_RANGE='2')
    jobs = [add(client, script, '*/3 * * * * *', overlapPolicy='allowAll') for _ in range(12)]
    assert wait_for(lambda: all(len(occurrences(server, job)) >= 2 for job in jobs), 15)
    phases = {}
    for job in jobs:
        rows = sql(server, 'SELECT dueTimeMs, triggerTimeMs, occurrenceUs, createTime FROM tn_task WHERE schedule = ? ORDER BY seq LIMIT 2', job)
        assert len(rows) == 2 and {due - trigger for due, trigger, _, _ in rows} == {rows[0][0] - rows[0][1]}
        assert all(trigger * 1000 == at and at % 3000000 == 0 and created >= due * 1000 for due, trigger, at, created in rows)
        phases[job] = rows[0][0] - rows[0][1]
    assert 0 <= min(phases.values()) and max(phases.values()) < 2000 and len(set(phases.values())) > 6, phases


def test_back_pressure(new_server) -> None:
    """Spec 5.3: a queue over its limit takes no more of schedules; what it does not take is a row that says so."""
    server, client, script = make(new_server, DFF__WORKER_QUEUE_LIMIT_MIN='3', DFF__WORKER_QUEUE_LIMIT_SCALE_CRON_JOB='1')
    client.post('/queues/2/do/modify', {'data': {'isPaused': True}})
    job = add(client, script, EVERY, overlapPolicy='allowAll')
    assert wait_for(lambda: any(o == 'skipped' for _, o, _ in occurrences(server, job)), 15)
    rows = occurrences(server, job)
    assert [o for _, o, _ in rows[:3]] == ['ran'] * 3 and rows[3][1:] == (
        'skipped', 'queue 2 is over its limit: 3 tasks wait in it (at most 3 for schedules)')
    assert client.get('/cron-status/do/get')['overLimit'] >= 1
    client.post('/queues/2/do/modify', {'data': {'isPaused': False}})
    assert wait_for(lambda: occurrences(server, job)[-1][1] == 'ran', 10)
    client.post('/cron-jobs/%s/do/modify' % job, {'data': {'isDisabled': True}})
    assert wait_for(lambda: nothing_is_left(server), 10)
    proved(server, [job])


def test_the_cleaner_takes_what_scripts_set(new_server) -> None:
    """Spec 5.7: expired expressions and pauses go, and those of deleted jobs; others stay."""
    server, client, script = make(new_server, TENON_CLEAN_EVERY='500ms')
    own = client.script("@DFF.API('s')\ndef s(job, expr=None, expires=None, pause=None):\n"
                        "    if expr: DFF.CRON_JOB.set_cron_expr(expr, expires=expires, entity_id=job)\n"
                        "    if pause: DFF.CRON_JOB.pause(pause, entity_id=job)\n", name='own')
    over, kept, paused = (add(client, script, '0 0 30 2 *') for _ in range(3))
    for kwargs in ({'job': over, 'expr': EVERY, 'expires': 1}, {'job': kept, 'expr': '0 0 29 2 *', 'expires': 3600}, {'job': paused, 'pause': 3600}):
        assert client.request('POST', '/api/v1/func/%s.s' % own, json={'kwargs': kwargs}).json()['ok']

    def left() -> set:
        db = sqlite3.connect(os.path.join(server.data, 'config.db'), timeout=30)
        try:
            return {row[0] for row in db.execute('SELECT id FROM biz_main_cron_job_state')}
        finally:
            db.close()
    assert left() == {over, kept, paused}
    assert wait_for(lambda: left() == {kept, paused}, 30)
    rows = {r['id']: r for r in client.get('/cron-jobs/do/list', func_scriptId=script)}
    assert rows[kept]['dynamicCronExpr'] == '0 0 29 2 *' and rows[paused]['isPaused'] and rows[over]['dynamicCronExpr'] is None
