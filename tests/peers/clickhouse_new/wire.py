# SPDX-License-Identifier: Apache-2.0
"""ClickHouse's native protocol as a server reads and writes it, at any revision from 54429 on; blocks stay bytes."""

import socket
import struct
from typing import Dict, List, NamedTuple, Optional, Tuple

from clickhouse_cityhash.cityhash import CityHash128

REVISION = 54459
HELLO, DATA, EXCEPTION, PROGRESS, PONG, END, PROFILE, TABLES, LOG, COLUMNS, EVENTS = 0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 14  # to the client
QUERY, ROWS, CANCEL, PING, TABLES_STATUS, SCALAR = 1, 2, 3, 4, 5, 7                                                                 # from it
EMPTY = b'\x01\x00\x02\xff\xff\xff\xff\x00\x00\x00'  # a block of no columns and no rows
PLAIN, METHODS = 0x02, (0x02, 0x82, 0x90)


class Strange(Exception):
    """The other side broke the protocol."""


class Block(NamedTuple):
    """A block as bytes, and its frames when it came compressed."""

    raw: bytes
    frames: bytes

    def rows(self) -> int:
        """Rows in it; 0 when it is packed, which is not undone here."""
        if self.raw[:8] != EMPTY[:8]:
            return 0
        at, n = 8, 0
        for _ in range(2):  # columns, rows
            n = shift = 0
            while True:
                n |= (self.raw[at] & 0x7f) << shift
                at, shift = at + 1, shift + 7
                if self.raw[at - 1] < 0x80:
                    break
        return n


# ---- writing ----------------------------------------------------------------------------------------------


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def text(value: object) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode()
    return varint(len(data)) + data


def checked(frame: bytes) -> bytes:
    """The sum that stands before a frame."""
    sum_ = CityHash128(frame)
    return struct.pack('<QQ', sum_ >> 64, sum_ & 0xffffffffffffffff)


def framed(raw: bytes) -> bytes:
    """A block in a frame that is not compressed."""
    frame = struct.pack('<BII', PLAIN, len(raw) + 9, len(raw)) + raw
    return checked(frame) + frame


def block(columns: List[Tuple[str, str, bytes]], rows: int, revision: int) -> bytes:
    """A block of (name, type, values as they are)."""
    flag = b'\x00' if revision >= 54454 else b''
    return EMPTY[:8] + varint(len(columns)) + varint(rows) + b''.join(text(n) + text(t) + flag + v for n, t, v in columns)


def exception(code: int, message: str, nested: bool = False) -> bytes:
    """An exception, perhaps with another one inside."""
    one = struct.pack('<i', code) + text('DB::Exception') + text('DB::Exception: ' + message) + text('0. DB::Exception::Exception @ 0x1') + bytes([nested])
    return varint(EXCEPTION) + one + (struct.pack('<i', 1) + text('DB::Exception') + text('the inner one') + text('') + b'\x00' if nested else b'')


# ---- reading ----------------------------------------------------------------------------------------------


class Wire:
    """One connection. EOFError: it was closed between two packets or within one."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.data, self.at = sock, b'', 0

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b''.join(parts))

    def more(self) -> None:
        got = self.sock.recv(1 << 18)
        if not got:
            raise EOFError
        self.data, self.at = self.data[self.at:] + got, 0

    def peek(self, n: int) -> bytes:
        while len(self.data) - self.at < n:
            self.more()
        return self.data[self.at:self.at + n]

    def take(self, n: int) -> bytes:
        out = self.peek(n)
        self.at += n
        return out

    def u8(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        n = shift = 0
        while True:
            byte = self.u8()
            n |= (byte & 0x7f) << shift
            if byte < 0x80:
                return n
            shift += 7
            if shift > 63:
                raise Strange('a number without an end')

    def text(self) -> str:
        return self.take(self.varint()).decode('utf-8', 'surrogateescape')

    def pairs(self) -> Dict[str, Tuple[int, str]]:
        """Settings or parameters: name -> (flags, value)."""
        out = {}
        while True:
            name = self.text()
            if not name:
                return out
            out[name] = (self.varint(), self.text())

    def frame(self) -> Tuple[bytes, bytes]:
        """One frame -> (its bytes with the sum, what is in it when it is not compressed)."""
        head = self.peek(25)
        method, packed, size = struct.unpack('<BII', head[16:])
        if method not in METHODS or not 9 <= packed <= 1 << 30:
            raise Strange('no frame: %s' % head.hex())
        whole = self.take(16 + packed)
        if checked(whole[16:]) != whole[:16]:
            raise Strange('a frame with a wrong sum')
        return whole, whole[25:] if method == PLAIN else b'?' * size

    def block(self, packed: bool) -> Block:
        """The block of a Data packet. One that is not compressed may only be the last one before the empty one, which follows at once."""
        if packed:
            frames, raw = self.frame()
            while len(raw) > len(EMPTY) and not self.packet_follows():
                frame, rest = self.frame()
                frames, raw = frames + frame, raw + rest
            return Block(raw, frames)
        if self.peek(len(EMPTY)) == EMPTY:
            return Block(self.take(len(EMPTY)), b'')
        last = varint(ROWS) + text('') + EMPTY
        while not self.data.endswith(last):
            self.more()
        return Block(self.take(len(self.data) - self.at - len(last)), b'')

    def packet_follows(self) -> bool:
        """Behind a frame: another packet with a block? Only a sum that begins like one could be mistaken for it."""
        code, named = self.peek(2)
        if code not in (ROWS, SCALAR) or named > 30:
            return False
        method, packed, _ = struct.unpack('<BII', self.peek(2 + named + 25)[2 + named + 16:])
        return method in METHODS and 9 <= packed <= 1 << 30

    def blocks(self, packed: bool, out: Optional[List[Block]] = None) -> List[Block]:
        """Data packets up to the empty block, which is not among them; `out` has them as they come."""
        out = [] if out is None else out
        while True:
            code = self.varint()
            if code == CANCEL:
                continue
            if code not in (ROWS, SCALAR):
                raise Strange('packet %d where rows were expected' % code)
            named = self.text()
            one = self.block(packed)
            if code == SCALAR:  # what the engine found out before it asks
                continue
            if named:
                raise Strange('a table came with the query: ' + named)
            if len(one.raw) == len(EMPTY):
                return out
            out.append(one)


# ---- packets with a layout of their own -------------------------------------------------------------------


def read_hello(w: Wire) -> Dict[str, object]:
    if w.varint() != HELLO:
        raise Strange('no hello')
    names = ('client', 'major', 'minor', 'revision', 'database', 'user', 'password')
    return {name: w.varint() if name in names[1:4] else w.text() for name in names}


def hello(revision: int, zone: str) -> bytes:
    return varint(HELLO) + text('ClickHouse') + varint(26) + varint(9) + varint(revision) + text(zone) + text('peer') + varint(2)


def read_query(w: Wire, revision: int) -> Dict[str, object]:
    """A Query packet, behind its code."""
    q: Dict[str, object] = {'id': w.text(), 'kind': w.u8()}
    if q['kind'] not in (1, 2):
        raise Strange('a query of kind %r' % q['kind'])
    q['initial'] = [w.text(), w.text(), w.text()]  # user, id, address
    q['start'] = struct.unpack('<q', w.take(8))[0] if revision >= 54449 else None
    q['interface'] = w.u8()
    tcp = q['interface'] == 1  # 6: an engine in a process, which tells less
    q['os_user'], q['host'], q['client'] = (w.text(), w.text(), w.text()) if tcp else ('', '', '')
    q['version'] = [w.varint(), w.varint(), w.varint()] if tcp else []
    q['quota'] = w.text()
    q['depth'] = w.varint() if revision >= 54448 else None
    q['patch'] = w.varint() if tcp else 0
    if revision >= 54442 and w.u8() != 0:
        w.take(24)
        q['trace'] = [w.text(), w.u8()]
    q['replicas'] = [w.varint(), w.varint(), w.varint()] if revision >= 54453 else None
    if q['interface'] not in (1, 6) or q['replicas'] not in (None, [0, 0, 0]):
        raise Strange('who asks is told in another layout: %r' % q)
    q['settings'] = w.pairs()
    q['secret'] = w.text() if revision >= 54441 else None
    q['stage'], q['packed'], q['sql'] = w.varint(), w.varint(), w.text()
    if q['secret'] or q['stage'] not in (0, 1, 2) or q['packed'] not in (0, 1):
        raise Strange('a query in another layout: %r' % q)
    q['parameters'] = w.pairs() if revision >= 54459 else {}
    return q
