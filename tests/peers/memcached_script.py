# SPDX-License-Identifier: Apache-2.0
"""A server of memcached's text protocol that says what a test wants, for what no real one does."""

import socket
from typing import Callable, Dict, Iterable, List, Union

from .scripted import Scripted


class MemcachedScript(Scripted):
    """`answers[word]` is said to a request that begins with this word: bytes, or a function that gives pieces, of which there may be no end. All other
    lines get a version; `asked` has the words."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Dict[str, Union[bytes, Callable[[], Iterable[bytes]]]] = {}
        self.asked: List[str] = []

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'servers': '127.0.0.1:%d' % self.port, **more}

    def serve(self, sock: socket.socket) -> None:
        with sock.makefile('rb') as lines:
            for line in lines:
                word = line.split(b' ')[0].strip().decode('latin-1')
                self.asked.append(word)
                answer = self.answers.get(word, b'VERSION 1.6.18\r\n')
                for piece in [answer] if isinstance(answer, bytes) else answer():
                    sock.sendall(piece)
