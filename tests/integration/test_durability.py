# SPDX-License-Identifier: Apache-2.0
"""Durable calls while the platform is killed: everything accepted ends, once (reliability A, P-01, P-02, P-09, R-01..R-05).

A load of async calls runs while hub, zygote, workers and supervisor are killed at random, and at every named kill point of a test
build. What was answered, seen and run goes into a history; tests/check/history.py judges it afterwards."""

import collections
import json
import os
import random
import re
import signal
import sqlite3
import sys
import threading
import time
from typing import Any, Dict, List, Optional

import pytest
import requests
from support.server import PATIENCE, SANITIZED, VARIANT, Server, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'check'))
from history import TERMINAL, check  # noqa: E402

LONG = os.environ.get('TENON_TEST_LONG') == '1'
KILLS = 1000 if LONG else 8 if SANITIZED else 30
TEST_BUILD = VARIANT in ('debug', 'asan', 'tsan', 'cov')
READY_S = 2

CODE = '''
import os, time, uuid

def ran(key):
    fd = os.open(os.environ['DURABLE_RUNS'], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, (key + chr(10)).encode())
    os.close(fd)

@DFF.API('works')
def works(key, ms=0):
    ran(key)
    time.sleep(ms / 1000)
    return uuid.uuid4().hex

@DFF.API('fails at first', retry={'max_attempts': 3, 'backoff': 0.1})
def flaky(key, ms=0):
    ran(key)
    time.sleep(ms / 1000)
    if hash(uuid.uuid4().hex) % 3:
        raise ValueError('not yet')
    return uuid.uuid4().hex

@DFF.API('at most once', delivery='at_most_once')
def once(key, ms=0):
    ran(key)
    time.sleep(ms / 1000)
    return uuid.uuid4().hex
'''
KINDS = {'works': (1, False), 'flaky': (3, False), 'once': (1, True)}


class History:
    """Events of one run, and the file that the functions write."""

    def __init__(self, folder: str) -> None:
        self.runs = os.path.join(folder, 'runs')
        open(self.runs, 'w', encoding='utf-8').close()
        self.events: List[Dict[str, Any]] = []
        self.lock = threading.Lock()

    def add(self, op: str, **event: Any) -> None:
        """One event."""
        with self.lock:
            self.events.append(dict(event, op=op))

    def judge(self, server: Server) -> Dict[str, int]:
        """Reads how everything ended and checks the whole."""
        for row in rows(server, 'SELECT id, state, attempt, result FROM tn_task'):
            self.add('final', id=row[0], state=row[1], attempt=row[2], result=row[3])
        with open(self.runs, encoding='utf-8') as f:
            for line in f:
                self.add('run', key=line.strip())
        path = os.environ.get('TENON_TEST_HISTORY')
        if path:
            with open(path, 'w', encoding='utf-8') as f:
                f.writelines(json.dumps(e) + '\n' for e in self.events)
        wrong, counts = check(self.events)
        assert not wrong, '%d violations:\n%s' % (len(wrong), '\n'.join(wrong[:20]))
        return counts


def rows(server: Server, sql: str) -> List[tuple]:
    """Reads jobs.db beside the platform."""
    db = sqlite3.connect('file:%s?mode=ro' % os.path.join(server.data, 'jobs.db'), uri=True, timeout=20)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def whole(server: Server) -> None:
    """Every database of the platform passes its own check."""
    for name in ('jobs.db', 'config.db'):
        db = sqlite3.connect(os.path.join(server.data, name), timeout=20)
        assert db.execute('PRAGMA integrity_check').fetchall() == [('ok',)], name
        db.close()


class Load:
    """Producers that submit all the time, and a reader that looks at what has ended."""

    def __init__(self, server: Server, history: History, apis: Dict[str, str], producers: int = 3) -> None:
        self.server, self.history, self.apis = server, history, apis
        self.stop = threading.Event()
        self.answered = 0  # requests that were answered: the platform is there
        self.ids: List[str] = []
        self.threads = [threading.Thread(target=self.produce, args=(i,)) for i in range(producers)]
        self.threads.append(threading.Thread(target=self.read))
        for t in self.threads:
            t.start()

    def produce(self, me: int) -> None:
        """Submits until told to stop; what has no answer is offered again under the same key."""
        rng = random.Random(me)
        session = requests.Session()
        session.trust_env = False
        n = 0
        while not self.stop.is_set():
            n += 1
            kind = rng.choice(list(KINDS))
            key = '%s-%d-%d' % (kind, me, n)
            body = {'kwargs': {'key': key, 'ms': rng.choice((0, 0, 0, 5, 50, 300))}}
            while not self.submit(session, kind, key, body) and not self.stop.wait(0.02):
                pass
            self.stop.wait(0.01)

    def submit(self, session: requests.Session, kind: str, key: str, body: dict) -> bool:
        """One request; False: no answer."""
        try:
            r = session.post('%s/api/v1/async/%s' % (self.server.base, self.apis[kind]), json=body,
                             headers={'Idempotency-Key': key}, timeout=10 * PATIENCE)
        except requests.RequestException:
            self.history.add('unknown', key=key)
            return False
        self.answered += 1
        if r.status_code == 200:
            task = r.json()['data']['id']
            most, once = KINDS[kind]
            self.history.add('accept', key=key, id=task, max=most, once=once)
            self.ids.append(task)
            return True
        assert r.status_code in (429, 503, 507), r.text
        self.history.add('refuse', key=key)
        return True

    def read(self) -> None:
        """Looks at random accepted tasks: what has ended stays as it is."""
        rng = random.Random(99)
        while not self.stop.wait(0.05):
            some = rng.sample(self.ids, min(20, len(self.ids)))
            if some:
                try:
                    found = rows(self.server, 'SELECT id, state, attempt, result FROM tn_task WHERE id IN (%s)' %
                                 ','.join("'%s'" % i for i in some))
                except sqlite3.Error:
                    continue
                for row in found:
                    self.history.add('seen', id=row[0], state=row[1], attempt=row[2], result=row[3])

    def end(self) -> None:
        """Stops the threads and waits until everything accepted has ended."""
        self.stop.set()
        for t in self.threads:
            t.join(30 * PATIENCE)

        def settled() -> bool:
            return not rows(self.server, 'SELECT id FROM tn_task WHERE state NOT IN (%s) LIMIT 1' %
                            ','.join("'%s'" % s for s in sorted(TERMINAL)))
        assert wait_for(settled, 60, 0.2), rows(self.server, 'SELECT id, state, wait, attempt FROM tn_task WHERE '
                                                             'endTimeMs IS NULL LIMIT 5')


def prepared(server: Server, history: History) -> Dict[str, str]:
    """Publishes the functions and makes an async API of each."""
    client = server.client()
    script = client.script(CODE)
    made = {}
    for kind in KINDS:
        data = {'funcId': '%s.%s' % (script, kind), 'funcCallKwargsJSON': {'key': 'INPUT_BY_CALLER', 'ms': 'INPUT_BY_CALLER'}}
        made[kind] = client.post('/async-apis/do/add', {'data': data})['id']
    client.close()
    return made


def kill(server: Server, what: str, rng: random.Random) -> bool:
    """SIGKILL to one process of the platform."""
    if what == 'tenon-worker':
        pids = [p.pid for p in server.workers()]
    elif what == 'zygote':
        pids = [server.pid_of('tenon-worker')]
    else:
        pids = [server.pid_of(what)]
    pids = [p for p in pids if p]
    if not pids:
        return False
    try:
        os.kill(rng.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def restart(server: Server) -> float:
    """After the supervisor was killed: what it left goes by itself, then a new start → seconds to READY."""
    assert server.process is not None
    pid = server.process.pid
    server.process.wait(10)
    server.process = None

    def gone() -> bool:
        from support import procs
        return not procs.family(pid, server.mark)
    assert wait_for(gone, 10, 0.02), 'processes are left after the supervisor was killed'
    begin = time.monotonic()
    server.start()
    return time.monotonic() - begin


def make(new_server, tmp_path, **env: str):
    """A server whose functions tell what they run → (server, history)."""
    history = History(str(tmp_path))
    server = new_server(env=dict(env, DURABLE_RUNS=history.runs))
    server.start()
    return server, history


# a whole run of 1,000 kills takes most of an hour
@pytest.mark.timeout(7200 if LONG else 170)
def test_random_kills(new_server, tmp_path) -> None:
    """P-01, R-01, R-02, R-05: nothing accepted is lost, nothing ends twice, ready again within two seconds."""
    seed = int(os.environ.get('TENON_TEST_SEED', random.randrange(1 << 30)))
    rng = random.Random(seed)
    print('seed', seed)
    server, history = make(new_server, tmp_path)
    load = Load(server, history, prepared(server, history))
    times: List[float] = []
    kills: Dict[str, int] = collections.Counter()
    last_hub = 0.0
    while sum(kills.values()) < KILLS:
        time.sleep(rng.uniform(0.01, 0.5))
        what = rng.choice(('tenon-worker', 'tenon-worker', 'zygote', 'tenon-hub', 'tenond'))
        if what == 'tenon-hub' and time.monotonic() - last_hub < 10:
            what = 'tenond' if rng.random() < 0.5 else 'tenon-worker'  # the supervisor restarts it slower then
        with server.alerts_allowed('.'):
            if not kill(server, what, rng):
                continue
        kills[what] += 1
        if what == 'tenond':
            times.append(restart(server))
            last_hub = 0.0
        elif what == 'tenon-hub':
            last_hub = begin = time.monotonic()
            before = load.answered
            assert wait_for(lambda: load.answered > before, 10, 0.01), 'no answer after the hub was killed'
            times.append(time.monotonic() - begin)
    load.end()
    server.allowed_alerts.append(re.compile('.'))
    counts = history.judge(server)
    assert counts['tasks'] > KILLS
    assert server.stop() == 0
    whole(server)
    slow = [t for t in times if t > READY_S * PATIENCE]
    print('kills %s, ready again: worst %.2f s, %s' % (dict(kills), max(times, default=0), counts))
    assert not slow, 'seed %d: ready only after %s s' % (seed, slow)


POINTS = ['accept', 'accept-written', 'accept-committed', 'claim', 'claim-committed', 'start', 'done', 'result', 'result-written',
          'result-committed', 'retry']


@pytest.mark.skipif(not TEST_BUILD, reason='kill points are compiled into test builds only')
@pytest.mark.parametrize('point', POINTS)
def test_kill_points(new_server, tmp_path, point: str) -> None:
    """P-02: the hub dies at this very place, early and late, and what holds elsewhere holds here."""
    armed = os.path.join(str(tmp_path), 'armed')
    server, history = make(new_server, tmp_path, TENON_TEST_KILLPOINT='%s:3:%s' % (point, armed))
    load = Load(server, history, prepared(server, history), producers=2)
    for _ in range(3 if LONG else 1):
        hub = server.pid_of('tenon-hub')
        open(armed, 'w', encoding='utf-8').close()
        assert wait_for(lambda: not os.path.exists(armed), 20, 0.01), 'the point %s was not passed' % point
        assert wait_for(lambda: server.pid_of('tenon-hub') not in (0, hub), 10, 0.02)
        before = load.answered
        assert wait_for(lambda: load.answered > before, 10, 0.02)
    load.end()
    server.allowed_alerts.append(re.compile('.'))
    counts = history.judge(server)
    assert counts['tasks'] > 3
    assert server.stop() == 0
    whole(server)


def test_sigterm_gives_back(new_server, tmp_path) -> None:
    """P-09: what runs at a stop is queued again without having used an attempt, and ends after the next start."""
    server, history = make(new_server, tmp_path, TENON_DRAIN='1s')
    apis = prepared(server, history)
    load = Load(server, history, apis, producers=0)
    load.stop.set()
    session = requests.Session()
    for i in range(3):
        load.submit(session, 'works', 'long-%d' % i, {'kwargs': {'key': 'long-%d' % i, 'ms': 4000}})
    assert wait_for(lambda: len(rows(server, "SELECT id FROM tn_task WHERE state = 'running'")) == 3, 10)
    assert server.stop() == 0
    found = rows(server, 'SELECT state, attempt FROM tn_task WHERE endTimeMs IS NULL')
    assert found == [('queued', 0)] * 3, found
    server.start()
    load.end()
    counts = history.judge(server)
    assert counts['succeeded'] == counts['tasks'] and counts['more than one run'] == 3
    assert [r[0] for r in rows(server, "SELECT attempt FROM tn_task WHERE id IN (SELECT id FROM tn_task ORDER BY seq DESC LIMIT 3)")] == [1] * 3


PLANTED = [
    ('is lost', [{'op': 'accept', 'key': 'a', 'id': '1', 'max': 1, 'once': False}]),
    ('never ended', [{'op': 'accept', 'key': 'a', 'id': '1', 'max': 1, 'once': False},
                     {'op': 'final', 'id': '1', 'state': 'queued', 'attempt': 0, 'result': None}]),
    ('had ended', [{'op': 'seen', 'id': '1', 'state': 'failed', 'attempt': 1, 'result': None},
                   {'op': 'final', 'id': '1', 'state': 'succeeded', 'attempt': 1, 'result': 'x'}]),
    ('had ended', [{'op': 'seen', 'id': '1', 'state': 'succeeded', 'attempt': 1, 'result': 'x'},
                   {'op': 'final', 'id': '1', 'state': 'succeeded', 'attempt': 1, 'result': 'y'}]),
    ('accepted twice', [{'op': 'accept', 'key': 'a', 'id': '1', 'max': 1, 'once': False},
                        {'op': 'accept', 'key': 'a', 'id': '2', 'max': 1, 'once': False}]),
    ('attempts of', [{'op': 'accept', 'key': 'a', 'id': '1', 'max': 1, 'once': False}, {'op': 'run', 'key': 'a'},
                     {'op': 'final', 'id': '1', 'state': 'succeeded', 'attempt': 2, 'result': 'x'}]),
    ('without having run', [{'op': 'accept', 'key': 'a', 'id': '1', 'max': 1, 'once': False},
                            {'op': 'final', 'id': '1', 'state': 'succeeded', 'attempt': 1, 'result': 'x'}]),
    ('at most once', [{'op': 'accept', 'key': 'a', 'id': '1', 'max': 1, 'once': True}, {'op': 'run', 'key': 'a'},
                      {'op': 'run', 'key': 'a'}, {'op': 'final', 'id': '1', 'state': 'failed', 'attempt': 1, 'result': None}]),
    ('refused and ran', [{'op': 'refuse', 'key': 'a'}, {'op': 'run', 'key': 'a'}]),
]


@pytest.mark.parametrize('says,events', PLANTED)
def test_the_checker_finds(says: str, events: List[dict]) -> None:
    """A checker is believed only when it finds what was planted."""
    wrong, _ = check(events)
    assert len(wrong) >= 1 and says in ' '.join(wrong)
