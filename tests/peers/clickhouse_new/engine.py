# SPDX-License-Identifier: Apache-2.0
"""ClickHouse's own engine in this process (chdb), which reads and writes the blocks of the protocol itself: it is told to
insert a result into, or to select from, a `remote()` server on a back door of ours, at the revision that our client has."""

import json
import os
import re
import socket
import sys
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import wire
from .wire import Block, Wire

Columns = List[Tuple[str, str]]  # name, type


class Failed(Exception):
    """The engine refused: code, text."""


class Result(NamedTuple):
    """What a statement gave: blocks, and the failure behind them when it came in their midst."""

    columns: Columns
    blocks: List[Block]
    failure: Optional[Failed]


def quoted(value: str) -> str:
    return "'%s'" % value.replace('\\', '\\\\').replace("'", "\\'")


def name(value: str) -> str:
    return '`%s`' % value.replace('\\', '\\\\').replace('`', '\\`')


class Engine:
    """One statement at a time; whoever wants it holds `lock`."""

    def __init__(self, folder: str) -> None:
        here = os.getcwd()
        os.chdir(folder)  # it looks for a library of its own there
        sys.path.insert(0, folder)
        import _chdb
        os.chdir(here)
        self.db = _chdb.connect()
        self.lock = threading.RLock()
        self.door = socket.create_server(('127.0.0.1', 0))
        self.job = 0
        self.revision, self.columns = wire.REVISION, []  # type: ignore[var-annotated]
        self.blocks: List[Block] = []
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- statements ---------------------------------------------------------------------------------------

    def query(self, sql: str, form: str = 'TSV') -> Any:
        """The engine's result object."""
        try:
            return self.db.query(sql.encode('utf-8', 'surrogateescape'), form)
        except RuntimeError as e:
            told = re.match(r'Code: (\d+)\. DB::\w+: (.*)', str(e), re.S)
            code, message = (int(told.group(1)), told.group(2)) if told else (1001, str(e))
            raise Failed(code, message) from None

    def describe(self, what: str) -> Columns:
        """Columns of a table or of a statement in brackets."""
        rows = self.query('DESCRIBE TABLE ' + what, 'JSONCompactEachRow').bytes().decode().splitlines()
        return [(r[0], r[1]) for r in map(json.loads, rows)]

    def select(self, sql: str, revision: int, method: str) -> Result:
        """Its blocks, as the engine sends them to a server of this revision."""
        columns = self.describe('(%s)' % sql)
        self.query('SET network_compression_method = ' + quoted(method))
        self._offer(revision, columns, [])
        failure = None
        try:
            self.query('INSERT INTO FUNCTION %s SELECT * FROM (%s)' % (self._remote(), sql), 'Null')
        except Failed as e:
            failure = e
        return Result(columns, self.blocks, failure)

    def show(self, sql: str, revision: int, method: str) -> Result:
        """The same for statements that cannot stand in another one (SHOW, DESCRIBE, EXISTS)."""
        got = json.loads(self.query(sql, 'JSONCompact').bytes() or b'{"meta": [], "data": []}')
        if not got['meta']:
            return Result([], [], None)
        structure = ', '.join('%s %s' % (name(m['name']), m['type']) for m in got['meta'])
        data = '\n'.join(json.dumps(row, ensure_ascii=False) for row in got['data'])
        return self.select('SELECT * FROM format(JSONCompactEachRow, %s, %s)' % (quoted(structure), quoted(data)), revision, method)

    def insert(self, table: str, columns: Columns, blocks: List[Block], revision: int) -> int:
        """Rows that a client of this revision sent -> their number."""
        self._offer(revision, columns, blocks)
        names = ', '.join(name(c) for c, _ in columns)
        return self.query('INSERT INTO %s (%s) SELECT %s FROM %s' % (table, names, names, self._remote()), 'Null').rows_written()

    def _offer(self, revision: int, columns: Columns, blocks: List[Block]) -> None:
        self.job += 1  # a user of its own each time, so that no connection is used twice
        self.revision, self.columns, self.blocks = revision, columns, list(blocks)

    def _remote(self) -> str:
        return "remote('127.0.0.1:%d', 'door', 'it', 'job%d')" % (self.door.getsockname()[1], self.job)

    # ---- the back door ------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            sock, _ = self.door.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                self._talk(Wire(sock))
            except (EOFError, ConnectionError):
                pass

    def _talk(self, w: Wire) -> None:
        wire.read_hello(w)
        rev = self.revision
        w.send(wire.hello(rev, 'UTC'))
        if rev >= 54458:
            w.text()  # quota key
        while True:
            code = w.varint()
            if code == wire.PING:
                w.send(wire.varint(wire.PONG))
            elif code == wire.TABLES_STATUS:
                w.send(tables_status(w))
            elif code == wire.QUERY:
                self._answer(w, wire.read_query(w, rev), rev)
            else:
                raise wire.Strange('the engine sent packet %d' % code)

    def _answer(self, w: Wire, q: Dict[str, Any], rev: int) -> None:
        packed, blocks = bool(q['packed']), self.blocks
        data = lambda raw, frames=b'': wire.varint(wire.DATA) + wire.text('') + ((frames or wire.framed(raw)) if packed else raw)
        if not packed:
            raise wire.Strange('the engine wants no compression, so nobody knows where its blocks end')
        w.blocks(packed)
        if q['sql'].startswith('DESC'):
            cells = [b''.join(wire.text(c[i]) for c in self.columns) for i in range(2)]
            heads = ('name', 'type', 'default_type', 'default_expression', 'comment', 'codec_expression', 'ttl_expression')
            cells += [b'\x00' * len(self.columns)] * 5
            w.send(data(wire.block(list(zip(heads, ['String'] * 7, cells)), len(self.columns), rev)))
        else:
            w.send(data(wire.block([(n, t, b'') for n, t in self.columns], 0, rev)))
            if q['sql'].startswith('INSERT'):
                w.blocks(packed, blocks)
            else:
                for b in blocks:
                    w.send(data(b.raw, b.frames))
        w.send(wire.varint(wire.END))


def tables_status(w: Wire) -> bytes:
    """Asked whether tables lag behind; none does."""
    tables = [wire.text(w.text()) + wire.text(w.text()) for _ in range(w.varint())]
    return wire.varint(wire.TABLES) + wire.varint(len(tables)) + b''.join(t + b'\x00' for t in tables)
