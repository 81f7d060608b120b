# SPDX-License-Identifier: Apache-2.0
"""A listening server on the loopback with a thread for each connection: what scripted peers have in common."""

import contextlib
import socket
import threading
from typing import TypeVar

S = TypeVar('S', bound='Scripted')


class Scripted:
    """Use it as a context; `port` is there before. `serve(sock)` has the connection to itself until it returns."""

    def __init__(self) -> None:
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self: S) -> S:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept()
        self.listener.close()

    def serve(self, sock: socket.socket) -> None:
        """A connection; it may break at any moment."""
        raise NotImplementedError

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            self.serve(sock)
