# SPDX-License-Identifier: Apache-2.0
"""Bytes on a socket, for requests that no well-behaved client sends."""

import socket
from typing import Dict, List, NamedTuple, Optional, Tuple


class Answer(NamedTuple):
    """One HTTP answer. headers: lower-case name → last value; closed: the server closed after it."""
    status: int
    reason: str
    headers: Dict[str, str]
    body: bytes
    head: bytes
    closed: bool


class Raw:
    """A TCP connection. Usable as a context manager."""

    def __init__(self, address: Tuple[str, int], timeout: float = 10) -> None:
        self.sock = socket.create_connection(address, timeout=timeout)
        self.buffer = b''
        self.eof = False

    def __enter__(self) -> 'Raw':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes at once."""
        self.sock.close()

    def reset(self) -> None:
        """Closes with RST, as a client does that died."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Sends all of data; a peer that closed meanwhile is not an error (its answer may wait to be read)."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _more(self) -> bool:
        if self.eof:
            return False
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b''
        self.buffer += data
        self.eof = not data
        return bool(data)

    def _until(self, mark: bytes) -> Optional[bytes]:
        while mark not in self.buffer:
            if not self._more():
                return None
        part, self.buffer = self.buffer.split(mark, 1)
        return part

    def _exactly(self, n: int) -> bytes:
        while len(self.buffer) < n and self._more():
            pass
        part, self.buffer = self.buffer[:n], self.buffer[n:]
        return part

    def answer(self, head_only: bool = False) -> Optional[Answer]:
        """Reads one answer; None when the server closed without one. Raises socket.timeout when nothing
        comes. head_only: the request was HEAD."""
        head = self._until(b'\r\n\r\n')
        if head is None:
            return None
        lines = head.decode('latin-1').split('\r\n')
        parts = lines[0].split(' ', 2)
        headers = {k.strip().lower(): v.strip() for k, v in (x.split(':', 1) for x in lines[1:])}
        status = int(parts[1])
        if 100 <= status < 200:
            return Answer(status, parts[2], headers, b'', head, False)
        body = b''
        if not head_only and status not in (204, 304):
            if headers.get('transfer-encoding', '').lower() == 'chunked':
                body = self._chunks()
            elif 'content-length' in headers:
                body = self._exactly(int(headers['content-length']))
            else:
                while self._more():
                    pass
                body, self.buffer = self.buffer, b''
        return Answer(status, parts[2] if len(parts) > 2 else '', headers, body, head, self.eof)

    def _chunks(self) -> bytes:
        body: List[bytes] = []
        while True:
            line = self._until(b'\r\n')
            size = int((line or b'0').split(b';')[0], 16)
            if size == 0:
                self._until(b'\r\n')
                return b''.join(body)
            body.append(self._exactly(size))
            self._exactly(2)

    def closed(self, timeout: float = 5) -> bool:
        """True if the server closes the connection within timeout seconds."""
        self.sock.settimeout(timeout)
        try:
            while self._more():
                pass
            return True
        except socket.timeout:
            return False


def exchange(address: Tuple[str, int], data: bytes, timeout: float = 10) -> Optional[Answer]:
    """Sends data on a new connection and reads one answer."""
    with Raw(address, timeout) as raw:
        raw.send(data)
        return raw.answer()
