# SPDX-License-Identifier: Apache-2.0
"""Durable calls as a test sees them: functions that tell when they run, a load of calls, and the history that
tests/check/history.py judges."""

import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
from typing import Any, Dict, List

import requests

from .sealed import Seals
from .server import PATIENCE, Server, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'check'))
from history import TERMINAL, check  # noqa: E402

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

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix='tenon-runs-')
        os.chmod(self.folder, 0o777)  # workers may run as another user
        self.runs = os.path.join(self.folder, 'runs')
        self.env = {'DURABLE_RUNS': self.runs, 'TENON_WORKER_WRITE': self.folder}
        self.events: List[Dict[str, Any]] = []
        self.lock = threading.Lock()

    def add(self, op: str, **event: Any) -> None:
        """One event."""
        with self.lock:
            self.events.append(dict(event, op=op))

    def started(self) -> List[str]:
        """Keys of the runs that have begun by now, one for each."""
        if not os.path.exists(self.runs):
            return []
        with open(self.runs, encoding='utf-8') as f:
            return f.read().split()

    def judge(self, server: Server) -> Dict[str, int]:
        """Reads how everything ended and checks the whole."""
        seals = Seals(server.data)
        for row in rows(server, 'SELECT id, state, attempt, result, args FROM tn_task'):
            self.add('final', id=row[0], state=row[1], attempt=row[2], result=row[3], key=seals.task('args', row[0], row[4])['key'])
        for key in self.started():
            self.add('run', key=key)
        shutil.rmtree(self.folder)
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
        self.threads = [threading.Thread(target=self.produce, args=(i,), daemon=True) for i in range(producers)]
        self.threads.append(threading.Thread(target=self.read, daemon=True))
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
        assert r.status_code in (429, 503, 507) and 'Retry-After' in r.headers, r.text
        if r.json()['reason'].endswith('.OutcomeUnknown'):
            self.history.add('unknown', key=key)
            return False
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
        assert wait_for(settled, 300, 0.2), rows(self.server, 'SELECT id, state, wait, attempt FROM tn_task WHERE '
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


def make(new_server, **env: str):
    """A server whose functions tell what they run → (server, history)."""
    history = History()
    server = new_server(env=dict(env, **history.env))
    server.start()
    return server, history
