# SPDX-License-Identifier: Apache-2.0
"""A server of MongoDB's protocol that answers what a test says, remembers what it was asked, and can sign people in: for
accounts, transactions and refusals, which no server in the tests has otherwise. SCRAM after RFC 5802 and 7677."""

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import struct
import threading
import zlib
from typing import Callable, Dict, List, Optional

from .certs import Certs
from .peer import Missing, free_port

try:
    import bson
except ImportError:  # Debian: python3-bson
    bson = None

USER, PASSWORD = 'ann', 'p@ss word"\'\\'
_OP_REPLY, _OP_QUERY, _OP_COMPRESSED, _OP_MSG = 1, 2004, 2012, 2013
_TWICE = {'ok': 0, 'code': 40413, 'codeName': 'Location40413', 'errmsg': 'a field of the command is a duplicate field'}
_HASHES = {'SCRAM-SHA-1': 'sha1', 'SCRAM-SHA-256': 'sha256'}


def _all(sock: socket.socket, n: int) -> bytes:
    data = b''
    while len(data) < n:
        some = sock.recv(n - len(data))
        if not some:
            raise ConnectionError('the client has gone')
        data += some
    return data


class _Scram:
    """One conversation, from the server's side."""

    def __init__(self, mechanism: str, first: str, password: str) -> None:
        self.hash = _HASHES[mechanism]
        self.bare = first.split(',', 2)[2]
        fields = dict(f.split('=', 1) for f in self.bare.split(','))
        self.user = fields['n'].replace('=2C', ',').replace('=3D', '=')
        if mechanism == 'SCRAM-SHA-1':
            password = hashlib.md5(('%s:mongo:%s' % (USER, password)).encode()).hexdigest()
        salt, rounds = os.urandom(16 if mechanism == 'SCRAM-SHA-1' else 28), 4096
        self.nonce = fields['r'] + base64.b64encode(os.urandom(18)).decode()
        self.salted = hashlib.pbkdf2_hmac(self.hash, password.encode(), salt, rounds)
        self.first = 'r=%s,s=%s,i=%d' % (self.nonce, base64.b64encode(salt).decode(), rounds)

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, self.hash).digest()

    def last(self, final: str) -> Optional[str]:
        """The server's signature, None when the proof is wrong."""
        without, proof = final.rsplit(',p=', 1)
        message = ','.join((self.bare, self.first, without)).encode()
        key = self._mac(self.salted, b'Client Key')
        signature = self._mac(hashlib.new(self.hash, key).digest(), message)
        expected = bytes(a ^ b for a, b in zip(key, signature))
        if self.user != USER or base64.b64decode(proof) != expected or 'r=' + self.nonce not in without:
            return None
        return 'v=' + base64.b64encode(self._mac(self._mac(self.salted, b'Server Key'), message)).decode()


class MongoScript:
    """`answers[command]` is a document or a function of the command; the others get {ok: 1}. `asked` has all commands but
    hello, `hellos` those. With `mechanisms` next to nothing works before USER has signed in with `secret`. A command that has
    something twice is refused, as MongoDB does it."""

    def __init__(self, certs: Optional[Certs] = None, mechanisms: Optional[List[str]] = None) -> None:
        if bson is None:
            raise Missing('the Python module bson is not installed (Debian: python3-bson)')
        self.mechanisms, self.secret = mechanisms, PASSWORD
        self.answers: Dict[str, object] = {}
        self.asked: List[dict] = []
        self.hellos: List[dict] = []
        self.raw: Optional[Callable[[bytes], bytes]] = None  # changes the bytes of each reply
        self.newest = 13    # version of the protocol: 8 is MongoDB 4.2, 13 is 5.0
        self.packs = False  # offers zlib, and packs what it answers
        self.packed = 0     # messages that came packed
        self.claims = 1     # by how much the size told before a packed message is too large
        self.context = None
        if certs is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(os.path.join(certs.dir, 'server.pem'), os.path.join(certs.dir, 'server.key'))
            self.context.load_verify_locations(os.path.join(certs.dir, 'ca.pem'))
            self.context.verify_mode = ssl.CERT_OPTIONAL
        self.listener: Optional[socket.socket] = None
        self.port = free_port()
        self.socks: List[socket.socket] = []

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        signed = {'user': USER, 'password': self.secret} if any(m in _HASHES for m in self.mechanisms or ()) else {}
        return {'host': '127.0.0.1', 'port': self.port, 'database': 'test', **signed, **more}

    def password(self, secret: str) -> None:
        """Another one for USER, who has to sign in again."""
        self.secret = secret
        self.drop()

    def names(self) -> List[str]:
        """The commands so far, in order."""
        return [next(iter(c)) for c in self.asked]

    def start(self) -> 'MongoScript':
        self.listener = socket.create_server(('127.0.0.1', self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Nobody listens any more."""
        if self.listener is not None:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept()
            self.listener.close()
            self.listener = None
        self.drop()

    def __enter__(self) -> 'MongoScript':
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def drop(self) -> None:
        """Ends all connections."""
        for sock in self.socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.socks = []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                self.socks.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        state: dict = {'in': self.mechanisms is None}
        with contextlib.suppress(OSError, ValueError, struct.error):
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            while True:
                size, number, _, op = struct.unpack('<iiii', _all(sock, 16))
                body = _all(sock, size - 16)
                if op == _OP_QUERY:
                    at = body.index(b'\0', 4) + 9
                    reply = bson.encode(self._answer(bson.decode(body[at:]), state))
                    data = struct.pack('<iqii', 8, 0, 0, 1) + reply
                    sock.sendall(struct.pack('<iiii', 16 + len(data), 1, number, _OP_REPLY) + data)
                elif op in (_OP_MSG, _OP_COMPRESSED):
                    if op == _OP_COMPRESSED:
                        self.packed += 1
                        body = zlib.decompress(body[9:])
                    end = 5 + struct.unpack_from('<i', body, 5)[0]
                    command = bson.decode(body[5:end])
                    twice = len(bson.encode(command)) != end - 5
                    reply = bson.encode(_TWICE if twice else self._answer(command, state))
                    reply = self.raw(reply) if self.raw is not None else reply
                    data = struct.pack('<iB', 0, 0) + reply
                    if op == _OP_COMPRESSED:
                        data = struct.pack('<iiB', _OP_MSG, len(data) * self.claims, 2) + zlib.compress(data)
                    sock.sendall(struct.pack('<iiii', 16 + len(data), 1, number, op) + data)
        sock.close()

    def _answer(self, command: dict, state: dict) -> dict:
        name = next(iter(command))
        if name.lower() in ('hello', 'ismaster'):
            self.hellos.append(command)
            packs = {'compression': ['zlib']} if self.packs else {}
            mechanisms = {'saslSupportedMechs': self.mechanisms} if 'saslSupportedMechs' in command else {}
            return {'ismaster': True, 'isWritablePrimary': True, 'helloOk': True, 'msg': 'isdbgrid', 'maxWireVersion': self.newest,
                    'minWireVersion': 0, 'maxBsonObjectSize': 1 << 24, 'maxMessageSizeBytes': 48000000,
                    'maxWriteBatchSize': 100000, 'logicalSessionTimeoutMinutes': 30, **packs, **mechanisms, 'ok': 1}
        if name in ('saslStart', 'saslContinue', 'authenticate'):
            return self._sign_in(name, command, state)
        self.asked.append(command)
        if not state['in'] and name != 'ping':  # which anybody may, as with MongoDB
            return {'ok': 0, 'code': 13, 'codeName': 'Unauthorized', 'errmsg': 'command %s requires authentication' % name}
        answer = self.answers.get(name, {'ok': 1})
        return answer(command) if callable(answer) else answer  # type: ignore[return-value, operator]

    def _sign_in(self, name: str, command: dict, state: dict) -> dict:
        refused = {'ok': 0, 'code': 18, 'codeName': 'AuthenticationFailed', 'errmsg': 'Authentication failed.'}
        if name == 'authenticate':
            self.asked.append(command)
            state['in'] = command['mechanism'] in (self.mechanisms or ())
            return {'ok': 1} if state['in'] else refused
        payload = bytes(command['payload']).decode()
        if name == 'saslStart':
            if command['mechanism'] not in (self.mechanisms or ()):
                return refused
            self.asked.append({'saslStart': command['mechanism']})
            state['scram'] = _Scram(command['mechanism'], payload, self.secret)
            return {'conversationId': 1, 'done': False, 'payload': state['scram'].first.encode(), 'ok': 1}
        if not payload:
            return {'conversationId': 1, 'done': True, 'payload': b'', 'ok': 1}
        last = state['scram'].last(payload)
        state['in'] = last is not None
        return {'conversationId': 1, 'done': True, 'payload': last.encode(), 'ok': 1} if last else refused
