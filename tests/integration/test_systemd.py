# SPDX-License-Identifier: Apache-2.0
"""What systemd hears (sd_notify(3)), the watchdog, and log files that are moved away (SIGHUP)."""

import os
import re
import signal
import socket
import threading
import time
from typing import Any, Callable, Dict, Iterator, List

import pytest
from support.client import Client
from support.server import Server, wait_for


class Notified:
    """$NOTIFY_SOCKET, and every message that came, in order."""

    def __init__(self, path: str) -> None:
        self.path, self.messages, self.lock = path, [], threading.Lock()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind('\0' + path[1:] if path.startswith('@') else path)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        while True:
            text = self.sock.recv(65536).decode()
            if not text:
                return
            with self.lock:
                self.messages.append(dict(line.split('=', 1) for line in text.splitlines()))

    def count(self, key: str) -> int:
        with self.lock:
            return sum(key in m for m in self.messages)

    def last(self, key: str) -> Dict[str, str]:
        with self.lock:
            return next(m for m in reversed(self.messages) if key in m)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b'', self.sock.getsockname())
        self.thread.join(5)
        self.sock.close()


@pytest.fixture
def notified(tmp_path: Any) -> Iterator[Callable[[str], Notified]]:
    made: List[Notified] = []

    def make(path: str = '') -> Notified:
        made.append(Notified(path or str(tmp_path / 'notify')))
        return made[-1]
    yield make
    for n in made:
        n.close()


@pytest.mark.parametrize('abstract', [False, True])
def test_ready_and_stopping(new_server: Any, notified: Any, abstract: bool) -> None:
    """READY once calls are accepted, with the process to watch; STOPPING before the end. Scripts do not see the socket."""
    n = notified('@tenon-test-%d' % os.getpid() if abstract else '')
    s = new_server(env={'NOTIFY_SOCKET': n.path}).start()
    assert wait_for(lambda: n.count('READY'))
    assert n.last('READY') == {'READY': '1', 'STATUS': 'serving http://127.0.0.1:%d' % s.port,
                               'MAINPID': str(s.pid_of('tenond'))}
    api = s.client()
    code = "import os\n@DFF.API('e')\ndef e():\n    return [k for k in os.environ if 'NOTIFY' in k or 'WATCHDOG' in k]\n"
    assert api.result(api.function(code, 'e')) == []
    assert n.count('STOPPING') == 0 and n.count('WATCHDOG') == 0, 'no watchdog was asked for'
    assert s.stop() == 0
    assert wait_for(lambda: n.count('STOPPING') == 1)


def test_watchdog_follows_the_hub(new_server: Any, notified: Any) -> None:
    """It is heard while the hub's loop turns and while a dead hub is replaced, not while a hub hangs."""
    n = notified()
    s = new_server(env={'NOTIFY_SOCKET': n.path, 'WATCHDOG_USEC': '400000'}).start()
    assert wait_for(lambda: n.count('WATCHDOG') >= 3)
    hub = s.pid_of('tenon-hub')
    os.kill(hub, signal.SIGSTOP)
    try:
        time.sleep(0.3)  # what was on its way
        before = n.count('WATCHDOG')
        time.sleep(1.2)
        assert n.count('WATCHDOG') == before, 'three periods without a word: systemd would act'
    finally:
        os.kill(hub, signal.SIGCONT)
    assert wait_for(lambda: n.count('WATCHDOG') >= before + 2)
    ready = n.count('READY')
    with s.alerts_allowed('.*'):
        os.kill(hub, signal.SIGKILL)
        assert wait_for(lambda: n.count('READY') > ready), 'the new hub is announced'
        before = n.count('WATCHDOG')
        assert wait_for(lambda: n.count('WATCHDOG') >= before + 2)


def test_watchdog_of_somebody_else(new_server: Any, notified: Any) -> None:
    n = notified()
    new_server(env={'NOTIFY_SOCKET': n.path, 'WATCHDOG_USEC': '100000', 'WATCHDOG_PID': '1'}).start()
    assert wait_for(lambda: n.count('READY'))
    time.sleep(0.5)
    assert n.count('WATCHDOG') == 0


def platform(client: Client) -> Dict[str, Any]:
    """The status page."""
    return client.get('/monitor/platform/do/get')


def targets(server: Server) -> Dict[str, str]:
    """{process: file that its log goes to}; workers keep it as descriptor 4."""
    zygotes = {p.ppid for p in server.workers()}
    found = {}
    for p in server.family():
        fd = 4 if p.exe == 'tenon-worker' and p.pid not in zygotes else 2
        try:
            found['%s %d' % (p.exe, p.pid)] = os.readlink('/proc/%d/fd/%d' % (p.pid, fd))
        except OSError:
            pass  # it has just ended
    return found


def test_log_is_reopened(new_server: Any, notified: Any, tmp_path: Any) -> None:
    """logrotate moves the file, SIGHUP: every process writes to the new one, running calls go on, systemd is told."""
    n = notified()
    log, old = tmp_path / 'tenon.log', tmp_path / 'tenon.log.1'
    s = new_server(args=('--log-file', str(log), '--log-level', 'info'), env={'NOTIFY_SOCKET': n.path}).start()
    api = s.client()
    nap = api.function("import time\n@DFF.API('n')\ndef n(s=0):\n    time.sleep(s)\n    return s\n", 'n')
    assert set(targets(s).values()) == {str(log)}
    answers: List[Any] = []
    running = threading.Thread(target=lambda: answers.append(s.client().result(nap, s=2)))
    running.start()
    assert wait_for(lambda: any(w['state'] == 'busy' for w in platform(api)['broker']['workers']))
    ready = n.count('READY')
    os.rename(log, old)
    os.kill(s.pid_of('tenond'), signal.SIGHUP)
    assert wait_for(lambda: n.count('READY') > ready)
    reloading = n.last('RELOADING')
    assert reloading['RELOADING'] == '1' and 0 < int(reloading['MONOTONIC_USEC']) <= time.monotonic_ns() // 1000
    running.join(20)
    assert answers == [2], 'a call that ran goes on'
    assert wait_for(lambda: set(targets(s).values()) == {str(log)}), targets(s)
    size = old.stat().st_size
    assert api.result(nap, s=0) == 0
    with s.alerts_allowed('.*'):
        victim = next(p for p in s.workers())
        os.kill(victim.pid, signal.SIGKILL)  # the hub has something to say
        assert wait_for(lambda: re.search(r'worker %d was killed by signal 9' % victim.pid, log.read_text()), 10)
    assert old.stat().st_size == size, old.read_text()[size:]
    assert log.stat().st_mode & 0o777 == 0o640


def test_log_that_cannot_be_reopened(new_server: Any, tmp_path: Any) -> None:
    """The old file goes on, and says why."""
    folder = tmp_path / 'logs'
    folder.mkdir()
    log = folder / 'tenon.log'
    s = new_server(args=('--log-file', str(log))).start()
    os.rename(log, folder / 'moved')
    log.mkdir()
    os.kill(s.pid_of('tenond'), signal.SIGHUP)
    assert wait_for(lambda: 'log file %s: ' % log in (folder / 'moved').read_text())
    api = s.client()
    assert platform(api)['broker']['workers']
