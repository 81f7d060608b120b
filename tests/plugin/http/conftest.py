# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of a frontend alone: each engine in a stub host, and raw connections."""

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

BUILD = pathlib.Path(os.environ.get('TENON_BUILD', 'build/release')).resolve()
ENGINES = [e for e in os.environ.get('TENON_FRONTEND_ENGINE', 'h1,http').split(',')
           if (BUILD / ('plugins/frontend_%s.so' % e)).exists()]
PORTS = iter(range(int(os.environ.get('TENON_HTTP_PORT', '8360')), 65000))


class Raw:
    """One connection that sends what it is told and reads answers as they come."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self.sock = socket.create_connection(('127.0.0.1', port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b''

    def send(self, data: bytes) -> bool:
        """False: the peer has closed."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def more(self, timeout: float) -> bool:
        """Reads once; False at the end of the stream, TimeoutError when nothing comes."""
        if not select.select([self.sock], [], [], timeout)[0]:
            raise TimeoutError
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            return False
        self.buf += data
        return data != b''

    def answer(self, head: bool = False, timeout: float = 5.0) -> Optional[Tuple[int, Dict[str, str], bytes]]:
        """The next answer as (status, headers, body), None at the end of the stream."""
        while b'\r\n\r\n' not in self.buf:
            if not self.more(timeout):
                assert self.buf == b'', 'half an answer: %r' % self.buf[:200]
                return None
        top, self.buf = self.buf.split(b'\r\n\r\n', 1)
        lines = top.decode('latin-1').split('\r\n')
        status = int(lines[0].split(' ')[1])
        fields = {k.lower(): v.strip() for k, v in (line.split(':', 1) for line in lines[1:])}
        if head or status in (100, 204, 304):
            return status, fields, b''
        want = int(fields['content-length'])
        while len(self.buf) < want:
            assert self.more(timeout), 'the body ends after %d of %d bytes' % (len(self.buf), want)
        body, self.buf = self.buf[:want], self.buf[want:]
        return status, fields, body

    def closed(self, timeout: float = 2.0) -> bool:
        """Does the peer close within the time?"""
        try:
            return not self.more(timeout)
        except TimeoutError:
            return False

    def close(self, reset: bool = False) -> None:
        """Politely, or with RST."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.sock.close()


class Stub:
    """A frontend plugin in its stub host."""

    def __init__(self, engine: str, folder: pathlib.Path, *settings: str) -> None:
        self.dir = folder
        self.log = open(folder / 'log', 'w+')
        while True:
            self.port = next(PORTS)
            self.proc = subprocess.Popen(
                [str(BUILD / 'tests/plugin/http/stub_host'), str(BUILD / ('plugins/frontend_%s.so' % engine)),
                 str(self.port), str(folder), *settings],
                stdout=subprocess.PIPE, stderr=self.log, text=True)
            if self.proc.stdout.readline() == 'READY\n':
                return
            self.proc.wait()
            assert 'in use' in self.text(), self.text()

    def text(self) -> str:
        """What it has logged."""
        self.log.seek(0)
        return self.log.read()

    def raw(self, timeout: float = 5.0) -> Raw:
        """A connection to it."""
        return Raw(self.port, timeout)

    def get(self, path: str, headers: str = '', method: str = 'GET', body: bytes = b'') -> Tuple[int, Dict[str, str], bytes]:
        """One request on a connection of its own."""
        r = self.raw()
        length = 'Content-Length: %d\r\n' % len(body) if body else ''
        r.send(('%s %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n' % (method, path, length, headers)).encode('latin-1') + body)
        a = r.answer(head=method == 'HEAD')
        r.close()
        assert a is not None
        return a

    def stats(self) -> Dict[str, Any]:
        """Counters of the stub host."""
        return json.loads(self.get('/stats')[2])

    def settled(self, timeout: float = 5.0) -> Dict[str, Any]:
        """Counters as soon as only the asking request is open; the last ones when that never happens."""
        end = time.monotonic() + timeout
        while True:
            s = self.stats()
            if (s['open'] == 1 and s['active'] == 1) or time.monotonic() > end:
                return s
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM; everything must have been released. A second time does nothing."""
        if self.log.closed:
            return
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(20)
        text = self.text()
        assert code == 0, 'exit code %d\n%s' % (code, text[-3000:])
        self.log.close()


@pytest.fixture(scope='module', params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Every test runs with each engine that was built."""
    return request.param


@pytest.fixture
def stubs(engine: str, tmp_path: pathlib.Path) -> Iterator[Callable[..., Stub]]:
    """Factory: stubs('idle_timeout=1s') → a running Stub, checked and stopped afterwards."""
    made: List[Stub] = []

    def make(*settings: str) -> Stub:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Stub(engine, folder, *settings))
        return made[-1]
    yield make
    try:
        for s in made:
            s.stop()
    finally:
        for s in made:
            if s.proc.poll() is None:
                s.proc.kill()
                s.proc.wait()


@pytest.fixture
def stub(stubs: Callable[..., Stub]) -> Stub:
    """A running Stub with the default settings."""
    return stubs()


@pytest.fixture(scope='module')
def shared(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    """A Stub that all tests of a module use."""
    s = Stub(engine, tmp_path_factory.mktemp('shared'))
    try:
        yield s
        s.stop()
    finally:
        if s.proc.poll() is None:
            s.proc.kill()
            s.proc.wait()
