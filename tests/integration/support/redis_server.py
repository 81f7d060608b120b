# SPDX-License-Identifier: Apache-2.0
"""A real redis-server on a free port of the loopback, and the least client of it."""

import os
import shutil
import socket
import subprocess
import tempfile
from typing import Any, List, Optional

from .server import free_port, wait_for


class RedisError(Exception):
    """An error reply."""


class RedisServer:
    """redis-server without persistence; `command(*words)` → reply."""

    def __init__(self, *options: str) -> None:
        self.folder = tempfile.mkdtemp(prefix='tenon-redis-')
        self.port = free_port()
        self.process: Optional[subprocess.Popen] = None
        self.options = options
        self.socket: Optional[socket.socket] = None
        self.file: Any = None

    def start(self) -> 'RedisServer':
        """Runs when it returns."""
        self.process = subprocess.Popen(
            ['redis-server', '--port', str(self.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no',
             '--dir', self.folder, '--logfile', os.path.join(self.folder, 'log'), *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def up() -> bool:
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
            except OSError:
                return False
            return True
        assert wait_for(up, 10), 'redis-server does not start'
        return self

    def command(self, *words: Any) -> Any:
        """One command of the test's own connection."""
        if self.socket is None:
            self.socket = socket.create_connection(('127.0.0.1', self.port), 10)
            self.file = self.socket.makefile('rb')
        parts = [b'*%d\r\n' % len(words)]
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b'$%d\r\n%s\r\n' % (len(data), data))
        self.socket.sendall(b''.join(parts))
        return self._reply()

    def _reply(self) -> Any:
        line = self.file.readline()
        mark, head = line[:1], line[1:-2]
        if mark == b'$':
            return None if head == b'-1' else self.file.read(int(head) + 2)[:-2].decode('utf-8', 'replace')
        if mark == b'*':
            items: List[Any] = []
            error = None
            for _ in range(int(head)):
                try:
                    items.append(self._reply())
                except RedisError as e:
                    error = e
            if error is not None:
                raise error
            return None if head == b'-1' else items
        if mark == b'-':
            raise RedisError(head.decode())
        return int(head) if mark == b':' else head.decode()

    def stop(self) -> None:
        """Ends it and removes its folder."""
        if self.socket is not None:
            self.file.close()
            self.socket.close()
            self.socket = None
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)
