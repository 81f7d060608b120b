# SPDX-License-Identifier: Apache-2.0
"""Packets of TDS 7.4 over a socket, TLS wrapped in prelogin packets while it shakes hands (MS-TDS 2.2.3, 3.2.5.2)."""

import select
import socket
import ssl
import struct
from typing import Optional, Tuple

BATCH, RPC, REPLY, ATTENTION, TRANSACTION, LOGIN, PRELOGIN = 1, 3, 4, 6, 14, 16, 18
EOM, RESET = 0x01, 0x08
LIMIT = 64 << 20  # of one message


class Gone(Exception):
    """The client has closed the connection, or sent what is no TDS."""


class Wire:
    """read() a message, write() parts of a reply; `attention` is set when the client asked to stop."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.size = sock, 4096
        self.tls: Optional[ssl.SSLObject] = None
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.buffer, self.out = b'', b''
        self.number = 0
        self.attention = False

    # ---- bytes ---------------------------------------------------------------------------------------------

    def _recv(self) -> None:
        """More plain bytes into the buffer; blocks."""
        if self.tls is None:
            data = self.sock.recv(65536)
            if not data:
                raise Gone('closed')
            self.buffer += data
            return
        while True:
            try:
                data = self.tls.read(65536)
                if not data:
                    raise Gone('closed')
                self.buffer += data
                return
            except ssl.SSLWantReadError:
                raw = self.sock.recv(65536)
                if not raw:
                    raise Gone('closed') from None
                self.inward.write(raw)

    def _take(self, n: int) -> bytes:
        while len(self.buffer) < n:
            self._recv()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def _send(self, data: bytes) -> None:
        if self.tls is not None:
            self.tls.write(data)
            data = self.outward.read()
        self.sock.sendall(data)

    # ---- messages ------------------------------------------------------------------------------------------

    def read(self) -> Tuple[int, int, bytes]:
        """The next message -> type, status of its first packet, data."""
        kind, first, parts, total = 0, 0, [], 0
        while True:
            head = self._take(8)
            k, status, length = struct.unpack('>BBH', head[:4])
            if length < 8 or (parts and k != kind and k != ATTENTION) or k not in (BATCH, RPC, ATTENTION, TRANSACTION, LOGIN, PRELOGIN):
                raise Gone('no TDS: %r' % head)
            if not parts:
                kind, first = k, status
            parts.append(self._take(length - 8))
            total += length
            if total > LIMIT:
                raise Gone('the message is too long')
            if status & EOM:
                return k, first, b''.join(parts)

    def poll(self, seconds: float = 0) -> bool:
        """Looks whether the client sent an attention meanwhile."""
        if not self.attention:
            ready = bool(self.buffer) or (self.tls is not None and self.tls.pending() > 0) or bool(select.select([self.sock], [], [], seconds)[0])
            if ready and self.read()[0] == ATTENTION:
                self.attention = True
        return self.attention

    def write(self, data: bytes, last: bool = False, kind: int = REPLY) -> None:
        """Part of a reply; whole packets leave at once, the rest with `last`."""
        self.out += data
        room = self.size - 8
        batch = b''
        while len(self.out) > room or (last and self.out):
            part, self.out = self.out[:room], self.out[room:]
            self.number = self.number % 255 + 1
            batch += struct.pack('>BBHHBB', kind, EOM if last and not self.out else 0, len(part) + 8, 0, self.number, 0) + part
        if batch:
            self._send(batch)
        if last:
            self.number = 0

    # ---- TLS -----------------------------------------------------------------------------------------------

    def handshake(self, context: ssl.SSLContext) -> None:
        """As the server; every flight of either side is a message of type prelogin."""
        tls = context.wrap_bio(self.inward, self.outward, server_side=True)
        while True:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError as e:
                raise Gone('TLS: %s' % e) from None
            flight = self.outward.read()
            if flight:
                self.write(flight, True, PRELOGIN)
            if done:
                self.inward.write(self.buffer)  # it may have been faster than the packets
                self.buffer = b''
                self.tls = tls
                return
            kind, _, data = self.read()
            if kind != PRELOGIN:
                raise Gone('no handshake but type %d' % kind)
            self.inward.write(data)

    def plain_again(self) -> None:
        """Only the sign-in was encrypted."""
        self.tls = None
