# SPDX-License-Identifier: Apache-2.0
"""A server of memcached's text protocol that says what a test wants, for what no real one does."""

import contextlib
import socket
import threading
from typing import Callable, Dict, Iterable, List, Union


class MemcachedScript:
    """`answers[word]` is said to a request that begins with this word: bytes, or a function that gives pieces, of which there may be no end. All other
    lines get a version; `asked` has the words."""

    def __init__(self) -> None:
        self.answers: Dict[str, Union[bytes, Callable[[], Iterable[bytes]]]] = {}
        self.asked: List[str] = []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'servers': '127.0.0.1:%d' % self.port, **more}

    def __enter__(self) -> 'MemcachedScript':
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept()
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock, sock.makefile('rb') as lines:
            for line in lines:
                word = line.split(b' ')[0].strip().decode('latin-1')
                self.asked.append(word)
                answer = self.answers.get(word, b'VERSION 1.6.18\r\n')
                for piece in [answer] if isinstance(answer, bytes) else answer():
                    sock.sendall(piece)
