# SPDX-License-Identifier: Apache-2.0
"""Redis from Debian: without persistence, with password, ACL user and TLS when wanted."""

import socket
from typing import Optional

from .certs import Certs
from .peer import Peer, program

PASSWORD = 'p@ss word"\'\\'


class Redis(Peer):
    """With `password` the default user needs PASSWORD and there is an ACL user `limited` (same password,
    only keys `open:*`). With `certs` the port speaks TLS only."""

    user = 'redis'

    def __init__(self, password: bool = False, certs: Optional[Certs] = None, cert: str = 'server') -> None:
        super().__init__()
        self.secured, self.certs, self.cert = password, certs, cert
        self.secret = PASSWORD
        self.binary = program('redis-server', package='redis-server')

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        password = {'password': self.secret} if self.secured else {}
        return {'host': '127.0.0.1', 'port': self.port, **password, **more}

    def password(self, secret: str) -> None:
        """Another one for the default user, whose connections end."""
        words = [('AUTH', self.secret), ('CONFIG', 'SET', 'requirepass', secret),
                 *(('CLIENT', 'KILL', 'TYPE', type_, 'SKIPME', 'yes') for type_ in ('normal', 'pubsub'))]
        with socket.create_connection(('127.0.0.1', self.port), 5) as s:
            for line in words:
                data = [w.encode() for w in line]
                s.sendall(b'*%d\r\n' % len(data) + b''.join(b'$%d\r\n%s\r\n' % (len(w), w) for w in data))
                answer = s.recv(1000)
                assert answer[:1] in b'+:', answer
        self.secret = secret

    def start(self) -> 'Redis':
        lines = ['bind 127.0.0.1', 'save ""', 'appendonly no', 'daemonize no', 'dir %s' % self.dir]
        if self.certs is None:
            lines.append('port %d' % self.port)
        else:
            pem, key = self.certs.pair(self.cert)
            lines += ['port 0', 'tls-port %d' % self.port, 'tls-cert-file %s' % self.write('tls.pem', pem),
                      'tls-key-file %s' % self.write('tls.key', key),
                      'tls-ca-cert-file %s' % self.write('ca.pem', self.certs.text('ca.pem')),
                      'tls-auth-clients optional']
        if self.secured:
            quoted = '"%s"' % self.secret.replace('\\', '\\\\').replace('"', '\\"')
            acl = '">%s"' % PASSWORD.replace('\\', '\\\\').replace('"', '\\"')
            lines += ['requirepass %s' % quoted, 'user limited on %s ~open:* +@all' % acl]
        self.spawn([self.binary, self.write('redis.conf', '\n'.join(lines) + '\n')])
        self.wait_port()
        return self
