# SPDX-License-Identifier: Apache-2.0
"""The clock is set while cron jobs run (reliability S-05; the rule: plugins/trigger_cron/README.md, "When the clock is set")."""

import os
import sqlite3
from typing import Any, Dict, List, Tuple

import pytest

from support.clock import Clock
from support.server import PATIENCE, Server, wait_for

CODE = "@DFF.API('f')\ndef f():\n    return 1\n"
OUTCOMES = ['ran', 'skipped', 'late', 'missed']
HOUR = 3600


def sql(server: Server, text: str, *values: Any) -> List[tuple]:
    """Asks jobs.db."""
    db = sqlite3.connect(os.path.join(server.data, 'jobs.db'), timeout=30)
    try:
        return db.execute(text, values).fetchall()
    finally:
        db.close()


def rows_of(server: Server, job: str) -> List[Tuple[int, str, str]]:
    """(second, outcome, reason) in order."""
    return [(at // 1000000, OUTCOMES[o], why or '') for at, o, why in sql(
        server, 'SELECT occurrenceUs, outcome, reason FROM tn_occurrence WHERE schedule = ? ORDER BY occurrenceUs', job)]


@pytest.fixture
def running(new_server: Any, tmp_path: Any) -> Tuple[Server, Clock, Dict[str, str]]:
    """A platform whose clock can be set, and jobs of every second by catch-up policy; two seconds late is late."""
    clock = Clock(str(tmp_path))
    server = new_server(env=dict(clock.env(), TENON_CRON_SECONDS='true', TENON_TRIGGER__CRON__LATE_AFTER='2s'))
    server.start()
    client = server.client()
    script = client.script(CODE)
    jobs = {name: client.post('/cron-jobs/do/add', {'data': dict(
        fields, funcId=script + '.f', funcCallKwargsJSON={}, cronExpr='* * * * * *', timezone='UTC')})['id']
        for name, fields in {'none': {}, 'last': {'catchUpPolicy': 'last', 'overlapPolicy': 'allowAll'},
                             'all': {'catchUpPolicy': 'all', 'catchUpWindow': 30, 'overlapPolicy': 'bufferAll'}}.items()}
    assert wait_for(lambda: all(ran(server, j, 0) >= 2 for j in jobs.values()), 20)
    return server, clock, jobs


def ran(server: Server, job: str, since: float) -> int:
    """Occurrences that ran at their time, of those from a moment on."""
    return sum(o == 'ran' for at, o, _ in rows_of(server, job) if at >= since)


def proved(server: Server, jobs: Dict[str, str]) -> None:
    """No occurrence has two tasks, whatever ran has one, and each ended."""
    assert wait_for(lambda: not sql(server, 'SELECT 1 FROM tn_task WHERE endTimeMs IS NULL AND dueTimeMs < triggerTimeMs'), 20)
    assert sql(server, 'SELECT 1 FROM tn_task GROUP BY schedule, occurrenceUs HAVING count(*) > 1') == []
    for job in jobs.values():
        assert sql(server, 'SELECT 1 FROM tn_occurrence o LEFT JOIN tn_task t ON t.id = o.taskId WHERE o.schedule = ? AND '
                           'o.outcome IN (0, 2) AND t.id IS NULL', job) == []


def test_set_forward(running: Tuple[Server, Clock, Dict[str, str]]) -> None:
    """By an hour: what lies between is missed or caught up by policy, as rows, and no burst beyond it; then all go on."""
    server, clock, jobs = running
    before = clock.now()
    with server.alerts_allowed('the clock was set forward by 3[56]'):
        clock.set(HOUR)
        assert wait_for(lambda: all(ran(server, j, before + HOUR + 4 * PATIENCE) >= 2 for j in jobs.values()), 40)
    assert 'the clock was set forward by' in server.log()
    for name, job in jobs.items():
        rows = [r for r in rows_of(server, job) if before - 1 <= r[0] <= before + HOUR + 4 * PATIENCE]
        kinds = {o: sum(r[1] == o for r in rows) for o in OUTCOMES}
        missed = [r for r in rows if r[1] == 'missed']
        assert all(w.startswith('the clock was set forward') for _, _, w in missed), missed[:3]
        most = {'none': (0, 0), 'last': (1, 1 + PATIENCE), 'all': (20, 33)}[name]
        assert most[0] <= kinds['late'] <= most[1], (name, kinds)
        assert kinds['ran'] <= 10 * PATIENCE and 90 <= kinds['missed'] <= 202, (name, kinds)
        times = [r[0] for r in rows_of(server, job)]
        assert len(times) == len(set(times))
    proved(server, jobs)


def test_set_back(running: Tuple[Server, Clock, Dict[str, str]]) -> None:
    """By ten seconds: nothing of them happens again, and schedules go on when the clock has passed where they were."""
    server, clock, jobs = running
    was = {name: rows_of(server, job) for name, job in jobs.items()}
    clock.set(-10)
    assert wait_for(lambda: 'the clock was set back by' in server.log(), 10)
    at = {name: rows_of(server, job)[-1][0] for name, job in jobs.items()}  # what was written before it was noticed
    assert wait_for(lambda: all(ran(server, job, at[name] + 1) >= 2 for name, job in jobs.items()), 40)
    for name, job in jobs.items():
        rows = rows_of(server, job)
        assert rows[:len(was[name])] == was[name]
        times = [r[0] for r in rows]
        assert times == list(range(times[0], times[0] + len(times))), (name, times)  # none twice, none left out
        assert rows[-1][0] <= clock.now() + 1
        assert {o for _, o, _ in rows} <= {'ran', 'late', 'missed'} and sum(o != 'ran' for _, o, _ in rows) <= 2 * PATIENCE, rows
    proved(server, jobs)


def test_set_back_for_long(running: Tuple[Server, Clock, Dict[str, str]]) -> None:
    """By an hour: an alert, and silence; when the mistake is mended everything is as before, with what was due meanwhile as rows."""
    server, clock, jobs = running
    with server.alerts_allowed('the clock was set (back|forward) by'):
        clock.set(-HOUR)
        assert wait_for(lambda: 'the clock was set back by' in server.log(), 10)
        was = {name: rows_of(server, job) for name, job in jobs.items()}
        assert not wait_for(lambda: any(rows_of(server, job) != was[name] for name, job in jobs.items()), 3 / PATIENCE)
        clock.set(0)
        assert wait_for(lambda: all(ran(server, j, clock.now() - 2) >= 1 for j in jobs.values()), 40)
    for job in jobs.values():
        times = [r[0] for r in rows_of(server, job)]
        assert times == list(range(times[0], times[0] + len(times))), times
    proved(server, jobs)
