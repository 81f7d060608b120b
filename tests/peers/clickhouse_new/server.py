# SPDX-License-Identifier: Apache-2.0
"""A server of the native protocol in front of ClickHouse's engine: server.py FOLDER PORT PASSWORD LOG [CERT KEY CA]

FOLDER has chdb; what every query said beside its text goes to LOG, a line of JSON each."""

import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

if __name__ == '__main__':
    sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), sys.argv[1]]

from peers.clickhouse_new import wire
from peers.clickhouse_new.engine import Columns, Engine, Failed, Result, name, quoted, tables_status
from peers.clickhouse_new.wire import Wire, text, varint

ZONE = 'Asia/Shanghai'
SETTINGS = {'session_timezone': ZONE, 'print_pretty_type_names': '0',
            'max_threads': '1', 'min_insert_block_size_rows': '0', 'min_insert_block_size_bytes': '0'}  # blocks as they are, in their order
COMMENT = r'(?:\s+|/\*.*?\*/|--[^\n]*\n)*'
INSERT = re.compile(COMMENT + r'INSERT\s+INTO\s+(?:TABLE\s+)?(?P<table>(?:`(?:[^`\\]|\\.)*`|\w+)(?:\.(?:`(?:[^`\\]|\\.)*`|\w+))?)\s*(?:\((?P<columns>.*?)\))?\s*'
                    r'(?:VALUES|FORMAT\s+Native)?\s*$', re.S | re.I)
WORD = re.compile(COMMENT + r'\(?\s*(\w+)', re.S)
EVENT = 'Enum8(\'increment\' = 1, \'gauge\' = 2)'


class Session:
    """A connection of a client."""

    def __init__(self, engine: Engine, sock: socket.socket, password: str, log: Any) -> None:
        self.engine, self.w, self.password, self.log = engine, Wire(sock), password, log

    def send(self, *parts: bytes) -> None:
        self.w.send(*parts)

    def fail(self, e: Failed, nested: bool = False) -> None:
        self.send(wire.exception(e.args[0], e.args[1], nested))

    def run(self) -> None:
        """Until the client goes."""
        hello = wire.read_hello(self.w)
        self.rev = min(int(str(hello['revision'])), wire.REVISION)
        self.database = str(hello['database']) or 'default'
        if hello['password'] != {'tenon': self.password, 'default': ''}.get(str(hello['user'])):
            self.fail(Failed(516, '%s: Authentication failed: password is incorrect, or there is no user with such name.' % hello['user']))
            return
        try:
            with self.engine.lock:
                self.engine.query('USE ' + name(self.database))
        except Failed as e:
            self.fail(e)
            return
        self.send(wire.hello(self.rev, ZONE))
        self.quota = self.w.text() if self.rev >= 54458 else ''
        while True:
            code = self.w.varint()
            if code == wire.PING:
                self.send(varint(wire.PONG))
            elif code == wire.TABLES_STATUS:
                self.send(tables_status(self.w))
            elif code == wire.QUERY:
                self.query(wire.read_query(self.w, self.rev))
            elif code != wire.CANCEL:  # a late one
                raise wire.Strange('packet %d' % code)

    # ---- one query ----------------------------------------------------------------------------------------

    def query(self, q: Dict[str, Any]) -> None:
        self.log.write(json.dumps({'revision': self.rev, 'addendum': self.quota, **q}) + '\n')
        self.log.flush()
        self.packed = bool(q['packed'])
        self.settings = {n: v for n, (_, v) in q['settings'].items() if q['interface'] == 1}  # the engine sends all it has
        self.method = self.settings.pop('network_compression_method', 'LZ4').upper() if self.packed else 'NONE'
        self.chatty = self.settings.pop('send_logs_level', 'none') != 'none'
        self.id = q['id']
        if self.w.blocks(self.packed):
            raise wire.Strange('tables came with the query')
        started: List[str] = []
        with self.engine.lock:
            try:
                self.engine.query('USE ' + name(self.database))
                for n, value in self.settings.items():
                    self.engine.query('SET %s = %s' % (name(n), quoted(value)))
                    started.append(n)
                for n, (flags, value) in q['parameters'].items():
                    if flags != 2 or value[:1] != "'":
                        raise wire.Strange('the parameter %s is %d %s' % (n, flags, value))
                    self.engine.query('SET param_%s = %s' % (n, value))  # it is the engine that reads the quotes
                self.answer(q['sql'])
            except Failed as e:
                self.fail(e, nested='nested' in q['id'])
            finally:
                for n in started:
                    self.engine.query('SET %s = DEFAULT' % name(n))

    def answer(self, sql: str) -> None:
        sql = sql.strip().rstrip(';')
        into, word = INSERT.match(sql), WORD.match(sql)
        if not word:
            raise Failed(62, 'Syntax error: failed at position 1 (end of query)')
        kind = word.group(1).upper()
        if into:
            self.insert(into.group('table'), into.group('columns'))
        elif kind in ('SELECT', 'WITH'):
            self.result(self.engine.select(sql, self.rev, self.method))
        elif kind in ('SHOW', 'DESC', 'DESCRIBE', 'EXISTS', 'EXPLAIN'):
            self.result(self.engine.show(sql, self.rev, self.method))
        else:
            if kind == 'USE':
                self.database = sql.split()[-1].strip('`')
            done = self.engine.query(sql, 'Null')
            self.finish(done.rows_written())

    def data(self, raw: bytes, frames: bytes = b'', code: int = wire.DATA) -> bytes:
        return varint(code) + text('') + (frames or wire.framed(raw) if self.packed else raw)

    def head(self, columns: Columns) -> bytes:
        return self.data(wire.block([(n, t, b'') for n, t in columns], 0, self.rev))

    def result(self, r: Result) -> None:
        """In the order in which a server tells it; a log, progress and counters stand between the blocks."""
        if r.columns:
            self.send(self.head(r.columns))
        for i, b in enumerate(r.blocks):
            self.send(self.progress(b.rows(), len(b.raw), 0), self.chat('block %d' % i), self.data(b.raw, b.frames))
            if i % 3 == 0:
                self.send(self.events(i))
        if r.failure:
            raise r.failure
        if r.columns:
            rows, size = sum(b.rows() for b in r.blocks), sum(len(b.raw) for b in r.blocks)
            self.send(varint(wire.PROFILE) + varint(rows) + varint(len(r.blocks)) + varint(size) + b'\x01' + varint(rows) + b'\x01')
        self.send(self.data(wire.EMPTY))
        self.finish(0)

    def finish(self, written: int, insert: bool = False) -> None:
        """The end; counters of an INSERT came with revision 54456."""
        self.send(self.chat('done'), self.progress(0, 0, written), b'' if insert and self.rev < 54456 else self.events(7), varint(wire.END))

    def insert(self, table: str, names: Optional[str]) -> None:
        columns = self.engine.describe('(SELECT %s FROM %s)' % (names or '*', table))
        lines = ''.join('%s %s\n' % (name(n), t) for n, t in columns)
        self.send(varint(wire.COLUMNS), text(''), text('columns format version: 1\n%d columns:\n%s' % (len(columns), lines)), self.chat('wants rows'), self.head(columns))
        blocks = self.w.blocks(self.packed)
        rows = self.engine.insert(table, columns, blocks, self.rev) if blocks else 0
        self.finish(rows, insert=True)

    # ---- what stands between ------------------------------------------------------------------------------

    def progress(self, rows: int, size: int, written: int) -> bytes:
        return varint(wire.PROGRESS) + b''.join(varint(n) for n in (rows, size, rows, written, written * 8))

    def chat(self, what: str) -> bytes:
        """A packet of the server's log, for who asked for it; never compressed."""
        if not self.chatty:
            return b''
        cells = [('event_time', 'DateTime', struct.pack('<I', int(time.time()))), ('event_time_microseconds', 'UInt32', bytes(4)), ('host_name', 'String', text('peer')),
                 ('query_id', 'String', text(self.id)), ('thread_id', 'UInt64', bytes(8)), ('priority', 'Int8', b'\x07'), ('source', 'String', text('executeQuery')),
                 ('text', 'String', text(what))]
        return varint(wire.LOG) + text('') + wire.block(cells, 1, self.rev)

    def events(self, n: int) -> bytes:
        """Counters of the query; never compressed."""
        if self.rev < 54451:
            return b''
        cells = [('host_name', 'String', text('peer') * 2), ('current_time', 'DateTime', bytes(8)), ('thread_id', 'UInt64', bytes(16)), ('type', EVENT, b'\x01\x02'),
                 ('name', 'String', text('SelectedRows') + text('MemoryTracker')), ('value', 'Int64', struct.pack('<qq', n, 4096))]
        return varint(wire.EVENTS) + text('') + wire.block(cells, 2, self.rev)


def serve(engine: Engine, sock: socket.socket, context: Optional[ssl.SSLContext], password: str, log: Any) -> None:
    """A connection, from its TLS to its end."""
    try:
        with (context.wrap_socket(sock, server_side=True) if context else sock) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Session(engine, s, password, log).run()
    except (EOFError, OSError):
        pass
    except wire.Strange as e:
        log.write(json.dumps({'strange': str(e)}) + '\n')
        log.flush()
        print('the client broke the protocol: %s' % e, file=sys.stderr, flush=True)


def main(folder: str, port: str, password: str, log: str, *tls: str) -> None:
    engine = Engine(os.path.join(folder, 'chdb'))
    engine.query('CREATE DATABASE IF NOT EXISTS tenon')
    for n, value in SETTINGS.items():
        engine.query('SET %s = %s' % (n, quoted(value)))
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls[0], tls[1])
    with socket.create_server(('127.0.0.1', int(port)), backlog=128) as listening, open(log, 'w', encoding='utf-8') as lines:
        while True:
            sock, _ = listening.accept()
            threading.Thread(target=serve, args=(engine, sock, context, password, lines), daemon=True).start()


if __name__ == '__main__':
    main(*sys.argv[1:])
