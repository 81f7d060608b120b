# SPDX-License-Identifier: Apache-2.0
"""nsqd and nsqlookupd (tests/peers/nsq/fetch), a subscriber of our own, and the authority that nsqd asks for AUTH."""

import http.server
import json
import os
import socket
import struct
import threading
import urllib.parse
import urllib.request
from typing import List, Optional

from .certs import Certs
from .fetched import folder
from .peer import Peer, free_port


class Lookupd(Peer):
    """`port` is that of HTTP, `tcp` that of nsqd."""

    def __init__(self) -> None:
        super().__init__()
        self.binary = os.path.join(folder('nsq'), 'nsqlookupd')
        self.tcp = free_port()

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, **more}

    def start(self) -> 'Lookupd':
        self.spawn([self.binary, '-http-address', '127.0.0.1:%d' % self.port, '-tcp-address', '127.0.0.1:%d' % self.tcp,
                    '-broadcast-address', '127.0.0.1'])
        self.wait_port()
        return self

    def nodes(self) -> List[dict]:
        """The nsqd that have announced themselves."""
        with urllib.request.urlopen('http://127.0.0.1:%d/nodes' % self.port, timeout=5) as f:
            return json.load(f)['producers']


class Nsqd(Peer):
    """`port` is that of the framed protocol, `http` that of HTTP (`https` with certs). `protocol`: what config() is for;
    `required`: nobody may publish without TLS."""

    def __init__(self, lookupd: Optional[Lookupd] = None, certs: Optional[Certs] = None, cert: str = 'server', auth: int = 0,
                 largest: int = 200000, protocol: str = 'http', required: bool = False) -> None:
        super().__init__()
        self.binary = os.path.join(folder('nsq'), 'nsqd')
        self.http, self.https = free_port(), free_port()
        self.lookupd, self.certs, self.cert, self.auth, self.largest = lookupd, certs, cert, auth, largest
        self.protocol, self.required = protocol, required

    def port_of(self, protocol: str) -> int:
        """The port of http, https or tcp."""
        return {'http': self.http, 'https': self.https, 'tcp': self.port}[protocol]

    def config(self, protocol: str = '', host: str = '127.0.0.1', port: int = 0, **more: object) -> dict:
        """A connector's configuration with this one, or another address, as fixed node."""
        protocol = protocol or self.protocol
        return {'servers': '%s:%d' % (host, port or self.port_of(protocol)), 'protocol': protocol, **more}

    def start(self) -> 'Nsqd':
        args = [self.binary, '-data-path', self.dir, '-tcp-address', '127.0.0.1:%d' % self.port, '-http-address', '127.0.0.1:%d' % self.http,
                '-broadcast-address', '127.0.0.1', '-max-msg-size', str(self.largest),
                '-max-body-size', str(self.largest * 5 // 2), '-max-req-timeout', '1h']
        if self.lookupd is not None:
            args += ['-lookupd-tcp-address', '127.0.0.1:%d' % self.lookupd.tcp]
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            args += ['-tls-cert', self.write('tls.pem', pem), '-tls-key', self.write('tls.key', key), '-tls-min-version', 'tls1.2',
                     '-tls-root-ca-file', self.write('ca.pem', self.certs.text('ca.pem')), '-https-address', '127.0.0.1:%d' % self.https]
        if self.required:
            args += ['-tls-required=true']
        if self.auth:
            args += ['-auth-http-address', '127.0.0.1:%d' % self.auth]
        self.spawn(args)
        self.wait_port()
        return self

    def ask(self, path: str, body: Optional[bytes] = None) -> bytes:
        """A request over HTTP; POST with a body."""
        with urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:%d%s' % (self.http, path), data=body), timeout=5) as f:
            return f.read()

    def send(self, topic: str, *messages: object) -> None:
        """Publishes over HTTP, one request for each 100."""
        for i in range(0, len(messages), 100):
            self.ask('/mpub?topic=' + topic, '\n'.join(str(m) for m in messages[i:i + 100]).encode())

    def channels(self, topic: str) -> List[dict]:
        """Statistics of the channels of a topic."""
        return self.topics().get(topic, {}).get('channels', [])

    def topics(self) -> dict:
        """{topic: statistics}"""
        return {t['topic_name']: t for t in json.loads(self.ask('/stats?format=json'))['topics']}


class Subscriber:
    """Reads a topic: a client of the framed protocol, written from its description only."""

    def __init__(self, port: int, topic: str, channel: str = 'test') -> None:
        self.sock = socket.create_connection(('127.0.0.1', port), 10)
        self.sock.sendall(('  V2SUB %s %s\n' % (topic, channel)).encode())
        assert self._frame() == (0, b'OK')
        self.sock.sendall(b'RDY 1\n')

    def _exactly(self, n: int) -> bytes:
        got = b''
        while len(got) < n:
            more = self.sock.recv(n - len(got))
            assert more, 'nsqd has closed the connection'
            got += more
        return got

    def _frame(self) -> tuple:
        size, kind = struct.unpack('>II', self._exactly(8))
        data = self._exactly(size - 4)
        if data == b'_heartbeat_':
            self.sock.sendall(b'NOP\n')
            return self._frame()
        return kind, data

    def next(self) -> bytes:
        """The body of the next message, which is finished."""
        kind, data = self._frame()
        assert kind == 2, data
        self.sock.sendall(b'FIN ' + data[10:26] + b'\n')
        return data[26:]

    def close(self) -> None:
        self.sock.close()


class Authority:
    """What nsqd asks about a secret, and again after `ttl` seconds: `secret` may publish to topics that begin with `open`."""

    def __init__(self, ttl: int = 3600) -> None:
        self.secret = 'good'
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                good = query.get('secret') == [authority.secret]
                body = json.dumps({'ttl': ttl, 'identity': 'app', 'authorizations': [
                    {'permissions': ['publish', 'subscribe'], 'topic': 'open.*', 'channels': ['.*']}]} if good else {}).encode()
                self.send_response(200 if good else 403)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self) -> 'Authority':
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


class SecretNsqd(Nsqd):
    """An nsqd with an authority of its own, over the framed protocol: the secret may change, and counts within a second."""

    def __init__(self) -> None:
        super().__init__(protocol='tcp')
        self.authority = Authority(ttl=1)
        self.auth = self.authority.port

    def config(self, *args: object, **more: object) -> dict:
        return super().config(*args, **{'auth_secret': self.authority.secret, **more})  # type: ignore[arg-type]

    def password(self, secret: str) -> None:
        """Another one for everybody."""
        self.authority.secret = secret

    def close(self) -> None:
        super().close()
        self.authority.__exit__()
