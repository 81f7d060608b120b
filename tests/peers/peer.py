# SPDX-License-Identifier: Apache-2.0
"""What all peers share: a folder, a port, a process that is gone at the end whatever happens."""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Callable, List, Optional


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """The server is not installed; the text names the Debian package."""


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with contextlib.closing(socket.socket()) as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Peer:
    """A server process of its own user where there is one; use it as a context manager."""

    user: Optional[str] = None

    def __init__(self) -> None:
        self.dir = tempfile.mkdtemp(prefix='tenon-peer-')
        self.port = free_port()
        self.process: Optional[subprocess.Popen] = None
        self.account = None
        if self.user is not None and os.geteuid() == 0:
            for user in (self.user, 'nobody'):  # a package with the program alone makes no user
                with contextlib.suppress(KeyError):
                    self.account = self.account or pwd.getpwnam(user)
        self.own(self.dir)

    def own(self, path: str) -> str:
        """Gives a file or folder to the server's user."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)
        return path

    def _become(self) -> None:
        os.setsid()
        if self.account is not None:
            os.setgid(self.account.pw_gid)
            os.setgroups([])
            os.setuid(self.account.pw_uid)
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # also when the tests are killed

    def path(self, *parts: str) -> str:
        return os.path.join(self.dir, *parts)

    def write(self, name: str, text: str, mode: int = 0o600) -> str:
        """A file of the server."""
        path = self.path(name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(path, mode)
        return self.own(path)

    def run(self, args: List[str], **kwargs: object) -> str:
        """A command as the server's user -> its output."""
        done = subprocess.run(args, preexec_fn=self._become, cwd=self.dir, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=120, **kwargs)
        assert done.returncode == 0, '%s: %s' % (args, done.stdout[-2000:])
        return done.stdout

    def spawn(self, args: List[str]) -> None:
        with open(self.path('log'), 'ab') as log:
            self.process = subprocess.Popen(args, preexec_fn=self._become, cwd=self.dir, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def wait_port(self, seconds: float = 30) -> None:
        """Until somebody listens."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port), 1):
                return
            assert self.process is not None and self.process.poll() is None, self.log()[-2000:]
            time.sleep(0.03)
        raise AssertionError('%s does not listen: %s' % (type(self).__name__, self.log()[-2000:]))

    def wait_answer(self, ask: Callable[[], object], seconds: float = 30) -> None:
        """Until `ask` raises no AssertionError: a server listens before it has recovered from a hard stop."""
        end = time.monotonic() + seconds
        while True:
            try:
                ask()
                return
            except AssertionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def log(self) -> str:
        with contextlib.suppress(OSError), open(self.path('log'), encoding='utf-8', errors='replace') as f:
            return f.read()
        return ''

    def start(self) -> 'Peer':
        raise NotImplementedError

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """Ends the process and everything it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(sig)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def signal_all(self, sig: int) -> None:
        """To the whole group: SIGSTOP makes it a server that hangs."""
        assert self.process is not None
        os.killpg(self.process.pid, sig)

    def close(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal_all(signal.SIGCONT)
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self) -> 'Peer':
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


def program(*paths: str, package: str) -> str:
    """The first of these programs that exists."""
    import glob
    for pattern in paths:
        found = sorted(glob.glob(pattern)) or [p for p in [shutil.which(pattern)] if p]
        if found:
            return found[-1]
    raise Missing('%s is not installed (Debian: %s)' % (os.path.basename(paths[0]), package))
