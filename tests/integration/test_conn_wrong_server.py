# SPDX-License-Identifier: Apache-2.0
"""Every type of connector at an address where something else listens: another protocol, bytes without end, nothing at all.

What differs between types is only their configuration, so all types meet a stranger at once."""

import concurrent.futures
import contextlib
import socket
import threading
import time

import pytest
from support.connectors import not_addable

HOST = {'host': '127.0.0.1', 'user': 'u', 'password': 'p', 'database': 'd'}
SQL, HTTP = {**HOST, 'charset': 'utf8'}, {'host': '127.0.0.1', 'protocol': 'http'}
TYPES = {
    'postgresql': SQL, 'mysql': SQL, 'sqlserver': {**SQL, 'tls': 'off'}, 'clickhouse': HOST, 'redis': {'host': '127.0.0.1', 'password': 'p'},
    'mongodb': {'host': '127.0.0.1'}, 'mqtt': {'host': '127.0.0.1'}, 'kafka': {'servers': '127.0.0.1:%d'}, 'memcached': {'servers': '127.0.0.1:%d'},
    'nsq': {'servers': '127.0.0.1:%d', 'protocol': 'tcp'}, 'http': HTTP, 'influxdb': {**HTTP, 'database': 'd'},
    'elasticsearch': HTTP,
}
OVER_HTTP = ('http', 'influxdb', 'elasticsearch')
MEMORY = 600 << 20  # of any process; somebody who keeps what has no end passes it in a second


def say(*parts, end=False):
    """What a stranger does with a connection: says this, and closes or waits to be left."""
    def talk(sock):
        for part in parts:
            sock.sendall(part)
        if not end:
            while sock.recv(65536):
                pass
    return talk


def endless(piece):
    """One who never stops."""
    def talk(sock):
        while True:
            sock.sendall(piece)
    return talk


STRANGERS = {
    'ssh': say(b'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n'),
    'http': say(b'HTTP/1.1 400 Bad Request\r\nServer: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n', end=True),
    'smtp': say(b'220 mail.example ESMTP\r\n', b'500 unknown command\r\n'),
    'a TLS alert': say(b'\x15\x03\x03\x00\x02\x02\x46', end=True),
    'closes': say(end=True),
    'endless text': endless(b'A' * 65536),
    'endless zeros': endless(bytes(65536)),
    'endless ones': endless(b'\xff' * 65536),
    'an endless line of HTTP': endless(b'HTTP/1.1 200 OK\r\nX: ' + b'y' * 65536),
}


class Stranger:
    """A listener; `met` counts who came."""

    def __init__(self, talk):
        self.talk, self.met, self.socks = talk, 0, []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        for sock in self.socks:
            sock.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.met += 1
                self.socks.append(sock)
                threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with contextlib.suppress(OSError), sock:
            self.talk(sock)


def largest(server):
    """The most memory that a process of the platform ever had."""
    peaks = []
    for p in server.family():
        with contextlib.suppress(OSError), open('/proc/%d/status' % p.pid, encoding='ascii') as f:
            peaks += [int(line.split()[1]) << 10 for line in f if line.startswith('VmHWM')]
    return max(peaks)


@pytest.mark.parametrize('who', STRANGERS)
def test_somebody_else(server, sanitized, who):
    """Refused in time, as the server's fault, with bounded memory; the platform goes on."""
    def meet(type_):
        with Stranger(STRANGERS[who]) as stranger:
            config = {k: v % stranger.port if '%d' in v else v for k, v in TYPES[type_].items()}
            started = time.monotonic()
            told = not_addable(server.client(), type_, {**config, **({'port': stranger.port} if 'host' in config else {}), 'pool': {'connect': '800ms', 'query': '800ms'}})
            return type_, told['exceptionType'], told['exception'], time.monotonic() - started, stranger.met

    types = [t for t in TYPES if not (t in OVER_HTTP and who == 'http')]  # that would be no stranger
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        told = list(pool.map(meet, types))
    assert [t for t in told if t[1] not in ('ConnUnavailable', 'ConnTimeout', 'QueryError', 'LimitExceeded') or t[3] > 15 or t[4] == 0] == []
    assert sanitized or largest(server) < MEMORY
