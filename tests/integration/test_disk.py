# SPDX-License-Identifier: Apache-2.0
"""Durable calls on a disk that fails, fills up or is locked (reliability P-04, P-06): errors name the thing, nothing acknowledged is
lost, nothing refused runs, and it goes on by itself when the cause has gone."""

import contextlib
import errno
import os
import re
import sqlite3
import subprocess
import threading
import time
from typing import Iterator, List, Tuple

import pytest
import requests
from support.durable import History, Load, make, prepared, whole
from support.faults import SYNC, WRITE, Faults
from support.server import SANITIZED, Server, wait_for

LONG = os.environ.get('TENON_TEST_LONG') == '1'


class Client:
    """Offers calls one after the other and remembers the answers."""

    def __init__(self, server: Server, history: History, prefix: str) -> None:
        self.load = Load(server, history, prepared(server, history), producers=0)
        self.server, self.history, self.prefix = server, history, prefix
        self.session = requests.Session()
        self.session.trust_env = False
        self.n = 0

    def offer(self, body: int = 0) -> requests.Response:
        """One call, noted in the history."""
        self.n += 1
        key = '%s-%d' % (self.prefix, self.n)
        r = self.session.post('%s/api/v1/async/%s' % (self.server.base, self.load.apis['works']),
                              json={'kwargs': {'key': key + 'x' * body, 'ms': 0}}, timeout=90)
        if r.status_code == 200:
            self.history.add('accept', key=key + 'x' * body, id=r.json()['data']['id'], max=1, once=False)
        else:
            assert r.status_code in (503, 507) and int(r.headers['Retry-After']) >= 1, r.text
            assert 'jobs.db' in r.json()['message'] and '/jobs.db' not in r.text, r.text
            doubt = r.json()['reason'] == 'ESysLimitReached.OutcomeUnknown'
            self.history.add('unknown' if doubt else 'refuse', key=key + 'x' * body)
        return r

    def recovers(self, seconds: float = 5) -> float:
        """Waits until calls are accepted again → seconds."""
        begin = time.monotonic()
        assert wait_for(lambda: self.offer().status_code == 200, seconds, 0.05), self.server.log()[-3000:]
        return time.monotonic() - begin

    def finish(self) -> None:
        """Everything ends, the history is judged, the files are whole."""
        self.load.end()
        self.server.allowed_alerts.append(re.compile('.'))
        counts = self.history.judge(self.server)
        print(counts)
        assert counts['succeeded'] == counts['final']
        self.session.close()
        assert self.server.stop() == 0
        whole(self.server)


FAULTS: List[Tuple[str, int, bool, int]] = [
    ('write', WRITE, False, errno.EIO),
    ('writes', WRITE, True, errno.EIO),
    ('full', WRITE, True, errno.ENOSPC),
    ('sync', SYNC, False, errno.EIO),
    ('syncs', SYNC, True, errno.EIO),
]


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.parametrize('name,kind,forever,error', FAULTS, ids=[f[0] for f in FAULTS])
def test_nth_call_fails(new_server, tmp_path, name: str, kind: int, forever: bool, error: int) -> None:
    """P-04: the n-th write or sync of jobs.db fails, once or from then on, while calls come and end."""
    faults = Faults(str(tmp_path))
    server, history = make(new_server, **faults.env())
    sync_api = server.client().function("@DFF.API('plus')\ndef plus(x, y):\n    return x + y\n", 'plus')
    c = Client(server, history, name)
    failed, refused, slowest = 0, 0, 0.0
    quick = 4 if kind == SYNC else 8
    for at in range(1, 1 + (quick * 15 if LONG else quick if not SANITIZED else 3)):
        c.recovers()
        faults.arm(kind, '/jobs.db', at, forever, error)
        some = [threading.Thread(target=Client.offer, args=(other,)) for other in others(c, 3)]
        for t in some:
            t.start()
        refused += c.offer().status_code != 200
        for t in some:
            t.join()
        # what needs no write goes on
        r = requests.post('%s/api/v1/sync/%s' % (server.base, sync_api), json={'kwargs': {'x': at, 'y': 1}}, timeout=10)
        assert r.status_code == 200 and r.json() == at + 1, r.text
        failed += faults.clear()
        slowest = max(slowest, c.recovers())
    print('%d calls failed, %d refused, back after at most %.2f s' % (failed, refused, slowest))
    assert failed
    c.finish()


def others(c: Client, n: int) -> List[Client]:
    """Clients that share everything but the connection, for calls at the same time."""
    made = []
    for i in range(n):
        other = object.__new__(Client)
        other.__dict__.update(c.__dict__)
        other.session = requests.Session()
        other.session.trust_env = False
        other.prefix = '%s-%d-%d' % (c.prefix, c.n, i)
        made.append(other)
    return made


def test_failed_sync_of_the_main_store(new_server, tmp_path) -> None:
    """P-04: scripts cannot be saved while config.db takes no sync, can be read, and can be saved afterwards without a restart."""
    faults = Faults(str(tmp_path))
    server, _ = make(new_server, **faults.env())
    client = server.client()
    script = client.script("@DFF.API('one')\ndef one():\n    return 1\n")
    for error, status in ((errno.EIO, 503), (errno.ENOSPC, 507)):
        faults.arm(WRITE if status == 507 else SYNC, '/config.db', 1, True, error)
        answers = [client.envelope('POST', '/script-sets/do/add', json={'data': {'id': 'set%d%d' % (status, i)}}) for i in range(3)]
        assert answers[-1]['ok'] is False and answers[-1]['status'] == status, answers
        assert 'config.db' in answers[-1]['message'], answers
        assert any(s['id'] == script for s in client.get('/scripts/do/list'))
        faults.clear()
        assert wait_for(lambda i=status: client.envelope(
            'POST', '/script-sets/do/add', json={'data': {'id': 'late%d' % i}})['ok'], 5, 0.1)
    with server.alerts_allowed('writing stops'):
        assert server.stop() == 0
    whole(server)


@contextlib.contextmanager
def small_disk(path: str, size: str) -> Iterator[str]:
    """A tmpfs of that size."""
    os.mkdir(path)
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=' + size, 'tenon', path], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip('mounting needs root: ' + mounted.stderr.decode())
    try:
        yield path
    finally:
        subprocess.run(['umount', '-l', path], check=True)


def test_full_disk(new_server, tmp_path) -> None:
    """P-06: 64 MB that fill up. 507 then; sync calls and reading go on; everything accepted ends when there is space."""
    with small_disk(str(tmp_path / 'disk'), '64m') as disk:
        history = History()
        server = new_server(data=os.path.join(disk, 'data'), env=history.env)
        server.start()
        client = server.client()
        sync_api = client.function("@DFF.API('plus')\ndef plus(x, y):\n    return x + y\n", 'plus')
        c = Client(server, history, 'full')
        for _ in range(20):
            assert c.offer().status_code == 200
        with open(os.path.join(disk, 'ballast'), 'wb') as f:
            free = os.statvfs(disk)
            os.posix_fallocate(f.fileno(), 0, free.f_bavail * free.f_frsize - 3000000)
        refusals = 0
        for _ in range(400):
            r = c.offer(body=30000)
            if r.status_code != 200:
                assert r.status_code == 507 and r.json()['reason'] == 'ESysStorageFull', r.text
                assert 'disk of jobs.db is full' in r.json()['message']
                refusals += 1
                if refusals == 20:
                    break
        assert refusals == 20, 'the disk was never full'
        r = requests.post('%s/api/v1/sync/%s' % (server.base, sync_api), json={'kwargs': {'x': 2, 'y': 3}}, timeout=10)
        assert r.status_code == 200 and r.json() == 5, r.text
        assert client.get('/scripts/do/list')
        os.unlink(os.path.join(disk, 'ballast'))
        c.recovers()
        c.finish()
        server.close()


def test_locked_database(new_server) -> None:
    """Somebody else holds jobs.db: calls wait, then are refused and say why, and are taken again when the lock has gone."""
    server, history = make(new_server)
    c = Client(server, history, 'locked')
    assert c.offer().status_code == 200
    db = sqlite3.connect(os.path.join(server.data, 'jobs.db'), isolation_level=None, timeout=20)
    db.execute('BEGIN IMMEDIATE')
    waiting = threading.Thread(target=Client.offer, args=(others(c, 1)[0],), daemon=True)
    waiting.start()
    time.sleep(1)
    db.execute('COMMIT')
    waiting.join(10)
    assert not waiting.is_alive()
    c.recovers()
    db.execute('BEGIN IMMEDIATE')
    r = c.offer()
    assert r.status_code == 503 and 'locked' in r.json()['message'], r.text
    db.execute('COMMIT')
    db.close()
    c.recovers(10)
    c.finish()
