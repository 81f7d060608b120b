# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that answers as it should, until it is told to answer without an end."""

import socket
import time
import zlib
from typing import Iterator

from .scripted import Scripted


def _pieces(how: str) -> Iterator[bytes]:
    """The bytes of an answer that does not end."""
    head = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
    if how == 'body':
        yield head + b'Content-Length: 1000000000000\r\n\r\n['
        while True:
            yield b'1,' * 32768
    if how == 'chunks':
        yield head + b'Transfer-Encoding: chunked\r\n\r\n'
        while True:
            yield b'10000\r\n' + b' ' * 65536 + b'\r\n'
    if how == 'packed':
        squeeze = zlib.compressobj(wbits=31)
        yield head + b'Content-Encoding: gzip\r\nContent-Length: 1000000000\r\n\r\n'
        while True:
            yield squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    yield head
    if how == 'headers':
        while True:
            yield (b'X-Many: ' + b'y' * 1000 + b'\r\n') * 60
    if how == 'lines':  # small ones: what is counted must not be bytes alone
        while True:
            yield b'a:\r\n' * 10000
    yield b'X-Long: '
    while how == 'header':
        yield b'y' * 65536
    raise AssertionError(how)


class Flood(Scripted):
    """`how`: '' answers with `small`; body, chunks, packed, headers, lines, header: what of the answer has no end."""

    ways = ('body', 'chunks', 'packed', 'headers', 'lines', 'header')

    def __init__(self, small: bytes) -> None:
        super().__init__()
        self.small, self.how = small, ''

    def serve(self, sock: socket.socket) -> None:
        while self._request(sock):
            how = self.how
            if not how:
                sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n' % len(self.small) + self.small)
                continue
            end = time.monotonic() + 20
            for piece in _pieces(how):
                sock.sendall(piece)
                if time.monotonic() > end:
                    return

    @staticmethod
    def _request(sock: socket.socket) -> bool:
        """Reads a request; False: there is none."""
        came = b''
        while b'\r\n\r\n' not in came:
            data = sock.recv(65536)
            if not data:
                return False
            came += data
        head, _, body = came.partition(b'\r\n\r\n')
        length = [int(line.split(b':')[1]) for line in head.split(b'\r\n') if line.lower().startswith(b'content-length:')]
        while length and len(body) < length[0]:
            body += sock.recv(65536)
        return True
