# SPDX-License-Identifier: Apache-2.0
"""Clients that take their time, as a process of its own so that they do not disturb whoever measures.

    slow.py PORT PATH '{"head": 10, "body": 10, "read": 10, "idle": 100}'

`head` never ends its request head, `body` sends its body a byte at a time, `read` takes its answer (GET PATH) a few
bytes at a time, `idle` makes one request and stays. Whom the server throws out comes back at once. A line on stdin is
answered with a line of JSON: {kind: {"open": n, "thrown out": n}}; the end of stdin ends it."""

import json
import select
import socket
import sys
import time
from typing import Dict, List

STEP_S = 0.5  # between two signs of life
SLOW_BYTES = {'head': b'X-More: of it\r\n', 'body': b'a'}


class Slow:
    """One client."""

    def __init__(self, kind: str, port: int, path: str, phase: float) -> None:
        self.kind, self.port, self.path = kind, port, path
        self.next = time.monotonic() + phase
        self.connect()

    def connect(self) -> None:
        self.sock = socket.socket()
        if self.kind == 'read':
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(('127.0.0.1', self.port))
        first = {'head': 'GET / HTTP/1.1\r\nHost: x\r\n', 'read': 'GET %s HTTP/1.1\r\nHost: x\r\n\r\n' % self.path,
                 'body': 'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n' % self.path,
                 'idle': 'GET /api/v1/do/ping HTTP/1.1\r\nHost: x\r\n\r\n'}[self.kind]
        self.sock.sendall(first.encode())
        if self.kind == 'idle':
            self.sock.settimeout(30)
            if b' 200 ' not in self.sock.recv(65536)[:20]:
                raise OSError('no answer to an idle client')
        self.sock.setblocking(False)

    def step(self) -> bool:
        """One sign of life. False: the server has closed."""
        try:
            if self.kind in SLOW_BYTES:
                self.sock.send(SLOW_BYTES[self.kind])
            got = self.sock.recv(64)
            return bool(got) and self.kind == 'read'
        except BlockingIOError:
            return True
        except OSError:
            return False


def main() -> None:
    port, path, counts = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    total = sum(counts.values())
    clients: List[Slow] = []
    for kind, n in counts.items():
        clients += [Slow(kind, port, path, STEP_S * i / max(n, 1)) for i in range(n)]
    out: Dict[str, int] = dict.fromkeys(counts, 0)
    print('ready %d' % total, flush=True)
    while True:
        if select.select([sys.stdin], [], [], 0.02)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps({k: {'open': counts[k], 'thrown out': out[k]} for k in counts}), flush=True)
        now = time.monotonic()
        for c in clients:
            # a look at ten thousand idle ones now and then is enough
            if c.next <= now:
                c.next = now + STEP_S * (10 if c.kind == 'idle' else 1)
                if not c.step():
                    out[c.kind] += 1
                    c.sock.close()
                    c.connect()


if __name__ == '__main__':
    main()
