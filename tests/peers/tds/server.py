# SPDX-License-Identifier: Apache-2.0
"""The peer: prelogin, sign-in, batches, procedures of prepared statements, transactions, attentions (MS-TDS).

python3 -m peers.tds.server {"folder": …, "port": …, "password": …, "cert": [pem, key], "force": false}
"""

import json
import os
import socket
import ssl
import struct
import sys
import threading
from typing import Any, Callable, Dict, List, Optional, Tuple

import apsw

from . import values
from .session import Failed, Result, Session
from .values import Bad, Reader, Type
from .wire import ATTENTION, BATCH, LOGIN, PRELOGIN, RESET, RPC, TRANSACTION, Gone, Wire

DONE, DONE_PROC, DONE_IN_PROC = 0xfd, 0xfe, 0xff
_MORE, _ERROR, _COUNT, _ATTENTION = 1, 2, 0x10, 0x20
_PROCS = {10: 'sp_executesql', 11: 'sp_prepare', 12: 'sp_execute', 13: 'sp_prepexec', 15: 'sp_unprepare'}


def _us(text: str) -> bytes:
    """A text with its length, counted in halves of UTF-16, in a byte."""
    raw = text.encode('utf-16-le')[:510]
    return bytes([len(raw) // 2]) + raw


def message(number: int, level: int, text: str, token: int = 0xaa) -> bytes:
    """ERROR, or INFO."""
    raw = text[:1000].encode('utf-16-le', 'replace')
    body = struct.pack('<iBBH', number, 1, level, len(raw) // 2) + raw + _us('peer') + _us('') + struct.pack('<i', 1)
    return bytes([token]) + struct.pack('<H', len(body)) + body


def change(kind: int, new: bytes, old: bytes) -> bytes:
    """ENVCHANGE."""
    return b'\xe3' + struct.pack('<HB', len(new) + len(old) + 1, kind) + new + old


def done(token: int, status: int, command: int = 0, count: int = 0) -> bytes:
    return bytes([token]) + struct.pack('<HHQ', status, command, count)


class Connection:
    """One client."""

    def __init__(self, server: 'Server', sock: socket.socket, spid: int) -> None:
        self.server, self.wire, self.spid = server, Wire(sock), spid
        self.session: Optional[Session] = None
        self.running = ''
        self.login: Dict[str, str] = {}
        self.prepared: Dict[int, Tuple[str, str]] = {}
        self.transaction_id = 0

    def serve(self) -> None:
        """Until the client goes."""
        try:
            encrypted = self._prelogin()
            kind, _, data = self.wire.read()
            if kind != LOGIN:
                raise Gone('no sign-in but type %d' % kind)
            if encrypted == 'sign-in':
                self.wire.plain_again()
            if self._login(data):
                while True:
                    self._request(*self.wire.read())
        except (Gone, OSError, ssl.SSLError, ValueError, struct.error) as e:
            print('%d: %s' % (self.spid, e), flush=True)
        finally:
            if self.session is not None:
                self.session.close()
            self.wire.sock.close()

    # ---- signing in ----------------------------------------------------------------------------------------

    def _prelogin(self) -> str:
        kind, _, data = self.wire.read()
        if kind != PRELOGIN:
            raise Gone('no prelogin but type %d' % kind)
        wanted, at = 2, 0
        while at < len(data) and data[at] != 0xff:
            option, offset, n = struct.unpack('>BHH', data[at:at + 5])
            if option == 1 and n >= 1:
                wanted = data[offset]
            at += 5
        if self.server.tls is None:
            mine = 2
        elif wanted == 2:
            mine = 3 if self.server.force else 2
        else:
            mine = 1 if wanted in (1, 3) else 3 if self.server.force else 0
        options = [(0, bytes([16, 0, 0x10, 0, 0, 0])), (1, bytes([mine])), (2, b'\0'), (3, b''), (4, b'\0')]
        head, body = b'', b''
        for option, value in options:
            head += struct.pack('>BHH', option, len(options) * 5 + 1 + len(body), len(value))
            body += value
        self.wire.write(head + b'\xff' + body, True)
        if mine == 2 or wanted == 2:
            return ''
        assert self.server.tls is not None
        self.wire.handshake(self.server.tls)
        return 'sign-in' if mine == 0 else 'all'

    def _login(self, data: bytes) -> bool:
        r = Reader(data)
        _, version, size = r.num(4), r.num(4), r.num(4)
        r.take(24)
        places = {}
        for name in ('host', 'user', 'password', 'app', 'server', 'extension', 'library', 'language', 'database'):
            offset, n = r.num(2), r.num(2)
            places[name] = data[offset:offset + 2 * n] if name != 'extension' else b''
        places['password'] = bytes(((b ^ 0xa5) << 4 | (b ^ 0xa5) >> 4) & 0xff for b in places['password'])
        login = {k: v.decode('utf-16-le', 'replace') for k, v in places.items()}
        if version >> 28 != 7 or version < 0x72090002:
            raise Gone('version %08x' % version)
        refused = []
        if login['user'] not in ('sa', 'tenon') or login.pop('password') != self.server.password():
            refused = [(18456, 14, "Login failed for user '%s'." % login['user'])]
        elif login['database'].lower() not in ('', 'master', 'tempdb', 'tenon'):
            refused = [(4060, 11, 'Cannot open database "%s" requested by the login. The login failed.' % login['database']),
                       (18456, 14, "Login failed for user '%s'." % login['user'])]
        if refused:
            self.wire.write(b''.join(message(*r) for r in refused) + done(DONE, _ERROR), True)
            return False
        old, size = self.wire.size, min(max(size, 512), 32767) if size else 4096
        self.login = login
        self.session = Session(self.server.path, self.spid, login, self.server.sessions, self.wire.poll)
        db = self.session.db_name
        ack = b'\x01' + struct.pack('>I', min(version, 0x74000004)) + _us('Microsoft SQL Server') + bytes([16, 0, 0x10, 0])
        self.wire.write(change(1, _us(db), _us('master')) + message(5701, 10, "Changed database context to '%s'." % db, 0xab)
                        + change(7, bytes([5]) + values.COLLATION, b'\0') + change(2, _us('us_english'), b'\0')
                        + b'\xad' + struct.pack('<H', len(ack)) + ack + change(4, _us(str(size)), _us(str(old))) + done(DONE, 0), True)
        self.wire.size = size
        return True

    # ---- requests ------------------------------------------------------------------------------------------

    def _request(self, kind: int, status: int, data: bytes) -> None:
        assert self.session is not None
        if kind == ATTENTION:  # came after the answer
            self.wire.write(done(DONE, _ATTENTION), True)
            return
        if status & RESET:
            self.session.reset()
            self.wire.write(change(18, b'\0', b'\0'))
        r = Reader(data)
        r.take(r.num(4) - 4)  # ALL_HEADERS
        self.wire.attention = False
        try:
            if kind == BATCH:
                self._batch(r.text(r.left() // 2))
            elif kind == RPC:
                self._calls(r)
            elif kind == TRANSACTION:
                self._transaction(r)
            else:
                raise Gone('type %d in a session' % kind)
        finally:
            self.running = ''
        if self.wire.attention:  # the answer ends as it is; the acknowledgement is a message of its own
            self.wire.write(done(DONE, _ERROR), True)
            self.wire.write(done(DONE, _ATTENTION))
        self.wire.write(b'', True)

    def _event(self, event: str) -> bytes:
        """What a transaction or another database means on the wire."""
        assert self.session is not None
        if event == 'use':
            return change(1, _us(self.session.db_name), _us('master')) + message(5701, 10, "Changed database context to '%s'." % self.session.db_name, 0xab)
        if event == 'begin':
            self.transaction_id += 1
            return change(8, b'\x08' + struct.pack('<Q', self.transaction_id), b'\0')
        if event in ('commit', 'rollback'):
            return change(9 if event == 'commit' else 10, b'\0', b'\x08' + struct.pack('<Q', self.transaction_id))
        return b''

    def _transaction(self, r: Reader) -> None:
        """Begin, commit, rollback; the latter two may begin the next one at once (fBeginXact)."""
        assert self.session is not None
        what = {5: 'begin', 7: 'commit', 8: 'rollback'}.get(r.num(2), '?')
        try:
            if what == '?':
                raise Failed(8052, 16, 'the request of the transaction manager is not known')
            self.wire.write(self._event(self.session.transaction(what)))
            if what != 'begin':
                r.take(r.num(1))
                if r.left() and r.num(1) & 1:
                    self.wire.write(self._event(self.session.transaction('begin')))
            self.wire.write(done(DONE, 0, 0xfd))
        except Failed as e:
            self.wire.write(message(*e.args) + done(DONE, _ERROR, 0xfd))

    def _results(self, text: str, params: Dict[str, Tuple[Type, Any]], token: int, more: int) -> bool:
        """Runs statements and writes what they give; False after an error. more: the status when it is the last one."""
        assert self.session is not None
        self.running = text
        results = self.session.run(text, params)
        now = None
        try:
            now = next(results, None)
            if now is None and token == DONE:
                self.wire.write(done(token, more))
            while now is not None:
                count = self._one(now, token)
                following = next(results, None) if not self.wire.attention else None
                if self.wire.attention:
                    return False
                self._end(now, count, token, _MORE if following is not None else more)
                now = following
            return True
        except Failed as e:
            if self.wire.attention:
                return False
            if now is not None:
                self._end(now, self.session.rowcount if now.columns else now.count, token, _MORE)
            self.wire.write(message(*e.args) + (self._event(e.event) if e.event else b''))
            if e.args[0] in (2627, 515, 547):
                self.wire.write(message(3621, 0, 'The statement has been terminated.', 0xab))
            self.wire.write(done(token, _ERROR | more, 0xfd))
            return False

    def _end(self, result: Result, count: int, token: int, status: int) -> None:
        quiet = self.session is not None and self.session.options.get('NOCOUNT', '').upper() == 'ON' and result.columns is None
        self.wire.write(done(token, status | (_COUNT if count >= 0 and not quiet else 0), result.command, max(count, 0)))

    def _one(self, result: Result, token: int) -> int:
        if result.event:
            self.wire.write(self._event(result.event))
        if result.says:
            self.wire.write(message(*result.says, 0xab))
        if result.columns is None:
            return result.count
        head = b'\x81' + struct.pack('<H', len(result.columns))
        for name, t in result.columns:
            head += struct.pack('<IH', 0, 0x0009) + values.info(t)
            if t.name in ('text', 'ntext', 'image'):
                pass
            head += _us(name[:255])
        self.wire.write(head)
        types, n = [t for _, t in result.columns], 0
        for row in result.rows:
            try:
                self.wire.write(b'\xd1' + b''.join(values.encode(t, v) for t, v in zip(types, row)))
            except (OverflowError, struct.error):
                raise Failed(8115, 16, 'Arithmetic overflow error converting expression to data type.') from None
            n += 1
            if n % 64 == 0 and self.wire.poll():
                break
        return n

    def _batch(self, text: str) -> None:
        self._results(text, {}, DONE, 0)

    # ---- procedures ----------------------------------------------------------------------------------------

    def _calls(self, r: Reader) -> None:
        while r.left():
            n = r.num(2)
            name = _PROCS.get(r.num(2), '?') if n == 0xffff else r.text(n)
            r.num(2)
            params: List[Tuple[str, bool, Type, Any]] = []
            more = False
            while r.left():
                if r.data[r.at] in (0xff, 0x80, 0xfe):
                    r.num(1)
                    more = True
                    break
                label, flags = r.text(r.num(1)), r.num(1)
                t, v = values.param(r)
                params.append((label, bool(flags & 1), t, v))
            self._call(name.lower().split('.')[-1], params, _MORE if more else 0)

    def _call(self, name: str, params: List[Tuple[str, bool, Type, Any]], more: int) -> None:
        steps: Dict[str, Callable[[List], bytes]] = {'sp_executesql': self._executesql, 'sp_prepexec': self._prepexec, 'sp_prepare': self._prepare,
                                                     'sp_execute': self._execute, 'sp_unprepare': self._unprepare, 'sp_reset_connection': lambda p: b''}
        status = 0
        try:
            if name not in steps:
                raise Failed(2812, 16, "Could not find stored procedure '%s'." % name)
            out = steps[name](params)
        except (Failed, Bad) as e:
            out, status = b'', _ERROR
            if e.args[0]:
                self.wire.write(message(*(e.args if len(e.args) == 3 else (e.args[0], 16, e.args[1]))))
        except (IndexError, TypeError, AttributeError):
            out, status = b'', _ERROR
            self.wire.write(message(201, 16, "Procedure '%s' expects other parameters." % name))
        if not self.wire.attention:
            self.wire.write(b'\x79' + struct.pack('<i', 1 if status else 0) + out + done(DONE_PROC, status | more, 0xe0))

    def _run(self, text: str, declared: str, params: List) -> bytes:
        """With values in the order of the declaration, or by name -> output parameters as tokens."""
        names = [d.split()[0] for d in _split(declared)]
        given = {(p[0] or names[i]): (p[2], p[3]) for i, p in enumerate(params)}
        missing = [n for n in names if n not in given]
        if missing:
            raise Failed(8178, 16, "The parameterized query expects the parameter '%s', which was not supplied." % missing[0])
        for d in _split(declared):  # a value is of the declared type
            name, kind = d.split(None, 1)
            t = values.parse(kind.split('=')[0].lower().replace(' output', '').replace(' out', ''))
            given[name] = (t, values.store(t, given[name][1]))
        if not self._results(text, given, DONE_IN_PROC, _MORE):
            raise Failed(0, 0, '')
        return b''.join(self._value(p[0], i, *given[p[0] or names[i]]) for i, p in enumerate(params) if p[1])

    @staticmethod
    def _value(name: str, at: int, t: Type, v: Any) -> bytes:
        return b'\xac' + struct.pack('<H', at) + _us(name) + b'\x01' + struct.pack('<IH', 0, 0x0009) + values.info(t) + values.encode(t, v)

    def _handle(self, text: str, declared: str) -> int:
        handle = len(self.prepared) + 1
        self.prepared[handle] = (text, declared)
        return handle

    def _executesql(self, p: List) -> bytes:
        return self._run(p[0][3], p[1][3] or '' if len(p) > 1 else '', p[2:])

    def _prepexec(self, p: List) -> bytes:
        handle = self._handle(p[2][3], p[1][3] or '')
        return self._value(p[0][0], 0, Type('int'), handle) + self._run(p[2][3], p[1][3] or '', p[3:])

    def _prepare(self, p: List) -> bytes:
        return self._value(p[0][0], 0, Type('int'), self._handle(p[2][3], p[1][3] or ''))

    def _known(self, p: List) -> Tuple[str, str]:
        if p[0][3] not in self.prepared:
            raise Failed(8179, 16, 'Could not find prepared statement with handle %s.' % p[0][3])
        return self.prepared[p[0][3]]

    def _execute(self, p: List) -> bytes:
        return self._run(*self._known(p), p[1:])

    def _unprepare(self, p: List) -> bytes:
        self._known(p)
        del self.prepared[p[0][3]]
        return b''


def _split(declared: str) -> List[str]:
    """'@P1 int, @P2 decimal(10,2)' -> a text for each."""
    out, depth = [''], 0
    for c in declared:
        depth += (c == '(') - (c == ')')
        if c == ',' and depth == 0:
            out.append('')
        else:
            out[-1] += c
    return [d.strip() for d in out if d.strip()]


class Server:
    """Accepts, a thread a client."""

    def __init__(self, folder: str, password: str, cert: Optional[Tuple[str, str]], force: bool) -> None:
        self.path = os.path.join(folder, 'tenon.db')
        self.first_password, self.force = password, force
        self.password_file = os.path.join(folder, 'password')
        self.clients: Dict[int, Connection] = {}
        self.tls: Optional[ssl.SSLContext] = None
        if cert is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*cert)
            self.tls.maximum_version = ssl.TLSVersion.TLSv1_2  # tickets of 1.3 come after the handshake, when packets are no longer wrapped
            self.tls.set_ciphers('DEFAULT@SECLEVEL=1')
        db = apsw.Connection(self.path)
        for line in ('PRAGMA journal_mode=WAL', 'PRAGMA synchronous=OFF', 'CREATE TABLE IF NOT EXISTS tds_denied (name TEXT)'):
            list(db.cursor().execute(line))
        db.close()

    def password(self) -> str:
        """Of the moment: the tests change it."""
        try:
            with open(self.password_file, encoding='utf-8') as f:
                return f.read()
        except OSError:
            return self.first_password

    def sessions(self) -> List[Tuple]:
        return [(c.spid, c.login.get('app', ''), c.login.get('user', ''), c.running[:4000]) for c in list(self.clients.values()) if c.session]

    def _serve(self, c: Connection) -> None:
        try:
            c.serve()
        finally:
            self.clients.pop(c.spid, None)

    def run(self, port: int) -> None:
        with socket.create_server(('127.0.0.1', port)) as listener:
            spid = 50
            while True:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                spid += 1
                self.clients[spid] = Connection(self, sock, spid)
                threading.Thread(target=self._serve, args=(self.clients[spid],), daemon=True).start()


def main(args: List[str]) -> None:
    config = json.loads(args[0])
    Server(config['folder'], config['password'], tuple(config['cert']) if config.get('cert') else None, config.get('force', False)).run(config['port'])


if __name__ == '__main__':
    main(sys.argv[1:])
