# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL from Debian: a cluster of its own with users, passwords and, when wanted, TLS."""

import os
import signal
from typing import Optional

from .certs import Certs
from .peer import Peer, program

PASSWORD = 'correct horse "\'\\ battery'


class PostgreSQL(Peer):
    """User `tenon` (password PASSWORD, database `tenon`); the superuser `postgres` has no password.
    With `certs` the server offers TLS; user `tls_user` must come with TLS and a client certificate."""

    user = 'postgres'

    def __init__(self, certs: Optional[Certs] = None, cert: str = 'server') -> None:
        super().__init__()
        self.certs, self.cert = certs, cert
        self.secret = PASSWORD  # the password of now
        self.bin = os.path.dirname(program('/usr/lib/postgresql/*/bin/initdb', 'initdb', package='postgresql'))
        self.made = False

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, 'user': 'tenon', 'password': self.secret, 'database': 'tenon',
                'charset': 'utf8', **more}

    def psql(self, sql: str, database: str = 'postgres') -> str:
        """Runs SQL as superuser -> what psql prints."""
        return self.run([os.path.join(self.bin, 'psql'), '-X', '-q', '-At', '-h', '127.0.0.1', '-p', str(self.port),
                         '-U', 'postgres', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', sql])

    def _init(self) -> None:
        self.run([os.path.join(self.bin, 'initdb'), '-D', self.path('data'), '-A', 'trust', '-U', 'postgres',
                  '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'])
        lines = ['hostssl all tls_user 127.0.0.1/32 cert', 'host all tls_user 127.0.0.1/32 reject'] if self.certs else []
        self.write('data/pg_hba.conf', '\n'.join(lines + [
            'host all postgres 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256', '']))
        conf = ['listen_addresses = \'127.0.0.1\'', 'port = %d' % self.port, 'fsync = off', 'max_connections = 300',
                'unix_socket_directories = \'%s\'' % self.dir, 'shared_buffers = 16MB', 'timezone = \'Asia/Shanghai\'']
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            self.write('data/server.crt', pem)
            self.write('data/server.key', key)
            self.write('data/root.crt', self.certs.text('ca.pem'))
        self.write('data/postgresql.auto.conf', '\n'.join(conf) + '\n')

    def start(self) -> 'PostgreSQL':
        if not self.made:
            self._init()
        tls = ['-c', 'ssl=on', '-c', 'ssl_ca_file=root.crt'] if self.certs else []
        self.spawn([os.path.join(self.bin, 'postgres'), '-D', self.path('data'), *tls])
        self.wait_port()
        self.wait_answer(lambda: self.psql('SELECT 1'))
        if not self.made:
            self.made = True
            self.password(PASSWORD)
            self.psql('CREATE DATABASE tenon OWNER tenon')
            if self.certs is not None:
                self.psql('CREATE ROLE tls_user LOGIN')
        return self

    def password(self, text: str) -> None:
        """Sets the password of user tenon, who is made when needed."""
        self.secret = text
        exists = self.psql("SELECT 1 FROM pg_roles WHERE rolname = 'tenon'").strip()
        quoted = "E'%s'" % text.replace('\\', '\\\\').replace("'", "''")
        self.psql('%s ROLE tenon LOGIN PASSWORD %s' % ('ALTER' if exists else 'CREATE', quoted))

    def stop(self, sig: int = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's fast shutdown; it does not wait for clients."""
        super().stop(sig)
