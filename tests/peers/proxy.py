# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that misbehaves on request, between a connector and its server."""

import contextlib
import select
import socket
import struct
import threading
import time
from typing import List, Optional

_RESET = struct.pack('ii', 1, 0)  # SO_LINGER: close sends RST


class Proxy:
    """Listens on `port` of the loopback. `mode` counts for what happens from now on:

    ok            passes everything on
    black_hole    accepts, and swallows all that comes
    half_open     passes requests on, holds answers back
    reset         resets both sides after `after` bytes of the next answer
    cut           closes both sides after `after` bytes of the next answer
    slow          passes answers on a byte a second
    garbage       answers with bytes of another protocol, and then of none at all
    huge          answers `flood` and then without an end, as fast as the line is
    """

    def __init__(self, to_port: int, port: int = 0) -> None:
        self.to_port = to_port
        self.mode = 'ok'
        self.after = 0
        self.flood = b''
        self.accepted = 0
        self.listener = socket.create_server(('127.0.0.1', port))
        self.port = self.listener.getsockname()[1]
        self.pairs: List[List[Optional[socket.socket]]] = []
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self) -> 'Proxy':
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.listener.close()
        self.drop()
        self.thread.join(2)

    def drop(self) -> None:
        """Ends all connections of the moment, as a restarted server would."""
        for pair in self.pairs:
            for s in pair:
                if s is not None:
                    with contextlib.suppress(OSError):
                        s.shutdown(socket.SHUT_RDWR)
        self.pairs = []

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                if not select.select([self.listener], [], [], 0.1)[0]:
                    continue
                client, _ = self.listener.accept()
            except (OSError, ValueError):
                return
            self.accepted += 1
            server = None
            if self.mode not in ('black_hole', 'garbage', 'huge'):
                try:
                    server = socket.create_connection(('127.0.0.1', self.to_port), 5)
                except OSError:
                    client.close()
                    continue
            pair = [client, server]
            self.pairs.append(pair)
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: Optional[socket.socket]) -> None:
        passed = 0
        socks = [s for s in (client, server) if s is not None]
        try:
            while not self.closing.is_set():
                for s in select.select(socks, [], [], 0.05)[0]:
                    if s is server and self.mode in ('half_open', 'black_hole'):
                        time.sleep(0.05)
                        continue
                    data = s.recv(1 if s is server and self.mode == 'slow' else 65536)
                    if not data:
                        return
                    if s is client:
                        passed = 0
                        self._from_client(client, server, data)
                        continue
                    if self.mode == 'slow':
                        time.sleep(1)
                    if self.mode in ('reset', 'cut') and passed + len(data) > self.after:
                        client.sendall(data[:max(0, self.after - passed)])
                        if self.mode == 'reset':
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        return
                    passed += len(data)
                    client.sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            for s in socks:
                s.close()

    def _from_client(self, client: socket.socket, server: Optional[socket.socket], data: bytes) -> None:
        if self.mode == 'garbage':
            client.sendall(b'\x16HTTP/1.1 200 what\r\n\r\n' + bytes(range(256)) * 20)
        elif self.mode == 'huge':
            client.sendall(self.flood)
            while not self.closing.is_set():
                client.sendall(b'\x7f' * 65536)
        elif self.mode != 'black_hole' and server is not None:
            server.sendall(data)
