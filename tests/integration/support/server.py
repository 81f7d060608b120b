# SPDX-License-Identifier: Apache-2.0
"""The platform under test: started in a folder of its own, watched, and stopped without leaving anything."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from typing import Callable, Dict, Iterator, List, Optional, Tuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'check'))
import sanitizers  # noqa: E402

from . import procs
from .client import Client
from .raw import Raw

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
VARIANT = os.environ.get('TENON_VARIANT', 'release')
BUILD = os.environ.get('TENON_BUILD') or os.path.join(ROOT, 'build', VARIANT)
SANITIZED = VARIANT in ('asan', 'tsan')
PATIENCE = 4 if SANITIZED else 1  # waiting takes longer under a sanitizer; never a reason to fail
ALERT = re.compile(r'^\S+Z ALERT ')
REPORT = re.compile(r'ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|: runtime error: ')
TOLERANCE = 8      # descriptors a process may hold more than at its start: caches, a log, a spare
PER_WORKER = 4     # descriptors that hub and supervisor may hold for a worker


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with contextlib.closing(socket.socket()) as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_for(what: Callable[[], object], seconds: float = 10, step: float = 0.05) -> object:
    """Calls `what` until it gives something true, at most `seconds` (times 4 under a sanitizer); returns
    the last value, true or not."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


class Server:
    """One `tenon serve`. With `keep` the data folder stays for a second start."""

    def __init__(self, data: Optional[str] = None, args: Tuple[str, ...] = (), env: Optional[Dict[str, str]] = None,
                 dev: bool = True, port: int = 0) -> None:
        self.scratch = tempfile.mkdtemp(prefix='tenon-it-')
        self.reports = os.path.join(self.scratch, 'reports')
        os.mkdir(self.reports, 0o777)
        self.data = data or os.path.join(self.scratch, 'data')
        self.port = port or free_port()
        self.address = ('127.0.0.1', self.port)
        self.base = 'http://127.0.0.1:%d' % self.port
        self.mark = 'TENON_TEST_MARK=' + uuid.uuid4().hex
        self.log_path = os.path.join(self.scratch, 'server.log')
        self.args = list(args) + (['--dev'] if dev else [])
        # TENON_… of the tests themselves are no settings of the platform, which refuses what it does not know
        self.env = {k: v for k, v in os.environ.items() if not k.startswith('TENON_') or k == 'TENON_FRONTEND_ENGINE'}
        self.env['TENON_WORKER_USER'] = ''  # a machine with a user tenon-worker is no other machine; the scratch folder is ours alone
        self.env.update(env or {})
        self.env.update([self.mark.split('=')])
        for name, value in sanitizers.options(ROOT).items():
            self.env[name] = self.env.get(name, value)
            if name != 'LSAN_OPTIONS':
                self.env[name] += ':log_path=' + os.path.join(self.reports, 'sanitizer')
        if SANITIZED:  # workers may write nearly nothing: a report must find its way all the same
            self.env.setdefault('TENON_WORKER_WRITE', self.reports)
        self.process: Optional[subprocess.Popen] = None
        self.clients: List[Client] = []
        self.allowed_alerts: List['re.Pattern[str]'] = []
        self.log_seen = 0
        self.baseline: Dict[str, int] = {}

    # -- life ---------------------------------------------------------------------------------------------

    def start(self, seconds: float = 20) -> 'Server':
        """Starts and waits for the READY line."""
        offset = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, 'bin', 'tenon'), 'serve', '--data', self.data,
                 '--listen', '127.0.0.1:%d' % self.port] + self.args,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self.env,
                cwd=self.scratch, start_new_session=True)

        def ready() -> object:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError('the server ended with code %d before READY:\n%s' % (
                    self.process.returncode, self.log(offset)[-4000:]))
            return re.search(r'^READY (http://\S+)', self.log(offset), re.M)
        if not wait_for(ready, seconds, 0.02):
            text = self.log(offset)
            self.kill()
            raise AssertionError('no READY line within %d s:\n%s' % (seconds * PATIENCE, text[-4000:]))
        self.baseline = {}
        return self

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM, as systemd does it → exit code. Afterwards nothing of the server is left."""
        for client in self.clients:
            client.close()
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            text = self.log()
            self.kill()
            raise AssertionError('not stopped %d s after SIGTERM:\n%s' % (seconds * PATIENCE, text[-4000:])) from None
        pid, self.process = self.process.pid, None
        left: List[procs.Proc] = []

        def gone() -> bool:
            left[:] = procs.family(pid, self.mark)
            return not left
        wait_for(gone, 3)
        for p in left:
            with contextlib.suppress(OSError):
                os.kill(p.pid, signal.SIGKILL)
        assert not left, 'processes left after stop: %s' % [(p.pid, p.cmdline[:200]) for p in left]
        return code

    def kill(self) -> None:
        """SIGKILL to everything, for the end of a test that failed."""
        if self.process is not None:
            # the supervisor dies first: its hub may have time to say so
            self.allowed_alerts.append(re.compile('the supervisor has gone'))
            for p in procs.family(self.process.pid, self.mark):
                with contextlib.suppress(OSError):
                    os.kill(p.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def close(self) -> None:
        """Kills what runs and removes the folder."""
        self.kill()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def restart(self) -> 'Server':
        """stop and start over the same data; the exit code must be 0."""
        code = self.stop()
        assert code == 0, 'exit code %d after SIGTERM' % code
        return self.start()

    # -- clients ------------------------------------------------------------------------------------------

    def client(self, username: Optional[str] = 'admin', password: str = 'admin') -> Client:
        """A client, signed in unless username is None."""
        client = Client(self.base)
        self.clients.append(client)
        if username is not None:
            client.sign_in(username, password)
        return client

    def raw(self, timeout: float = 10) -> Raw:
        """A new TCP connection."""
        return Raw(self.address, timeout)

    # -- processes ----------------------------------------------------------------------------------------

    def family(self) -> List[procs.Proc]:
        """All processes of the server."""
        return procs.family(self.process.pid, self.mark) if self.process is not None else []

    def pid_of(self, exe: str) -> int:
        """pid of the one process with this executable: tenond, tenon-hub; 0 when there is none."""
        return next((p.pid for p in self.family() if p.exe == exe), 0)

    def workers(self) -> List[procs.Proc]:
        """The workers, without the zygote."""
        family = self.family()
        zygotes = {p.pid for p in family if p.exe == 'tenon-worker'}
        return [p for p in family if p.exe == 'tenon-worker' and p.ppid in zygotes]

    # -- log ----------------------------------------------------------------------------------------------

    def log(self, offset: int = 0) -> str:
        """Everything the server printed since offset."""
        with open(self.log_path, 'rb') as f:
            f.seek(offset)
            return f.read().decode(errors='replace')

    @contextlib.contextmanager
    def alerts_allowed(self, pattern: str) -> Iterator[None]:
        """Alerts that match pattern are expected by this test."""
        self.allowed_alerts.append(re.compile(pattern))
        yield

    # -- what must hold after every test ------------------------------------------------------------------

    def descriptor_counts(self) -> Dict[str, int]:
        """How many descriptors supervisor and hub hold, less what their workers account for."""
        workers = len(self.workers())
        found = {}
        for exe in ('tenond', 'tenon-hub'):
            pid = self.pid_of(exe)
            if pid:
                found['%s %d' % (exe, pid)] = len(procs.descriptors(pid)) - PER_WORKER * workers
        return found

    def settle(self) -> None:
        """Remembers what is open now as the normal state."""
        if self.process is not None and not self.baseline:
            self.baseline = self.descriptor_counts()

    def problems(self) -> List[str]:
        """Leaks and complaints since the last call. Waits a little for what is on its way out."""
        for client in self.clients:
            client.close()
        found: List[str] = []
        if self.process is not None and self.process.poll() is not None:
            found.append('the server ended with code %d' % self.process.returncode)
            self.process = None
        elif self.process is not None:
            found += self._leaks()
        text = self.log(self.log_seen)
        self.log_seen += len(text.encode(errors='replace'))
        for line in text.splitlines():
            if REPORT.search(line) or (ALERT.match(line) and not any(a.search(line) for a in self.allowed_alerts)):
                found.append(line[:500])
        self.allowed_alerts.clear()
        for name in sorted(os.listdir(self.reports)):
            if name.startswith('sanitizer.'):
                path = os.path.join(self.reports, name)
                with open(path, encoding='utf-8', errors='replace') as f:
                    text = f.read()
                # LeakSanitizer's own tracer sometimes dies while threads end: it says nothing about us
                if 'LeakSanitizer has encountered a fatal error' not in text or REPORT.search(text):
                    found.append('sanitizer report:\n' + text[:6000])
                os.unlink(path)
        return found

    def _leaks(self) -> List[str]:
        leaks: List[str] = []

        def clean() -> bool:
            leaks[:] = ['process %d (%s) of %d: %s' % (p.pid, p.state, p.ppid, p.cmdline[:200])
                        for p in procs.strangers(self.family())]
            for name, count in self.descriptor_counts().items():
                # a process that was restarted in between has no baseline: its own count becomes one
                most = self.baseline.setdefault(name, count) + TOLERANCE
                if count > most:
                    held = sorted(procs.descriptors(int(name.split()[1])).values())
                    leaks.append('%s holds %d descriptors, %d at its start: %s' % (
                        name, count, self.baseline[name], ' '.join(held)[:3000]))
            return not leaks
        wait_for(clean, 5)
        return leaks
