# SPDX-License-Identifier: Apache-2.0
"""MariaDB from Debian: a server of its own with users, passwords and, when wanted, TLS."""

import atexit
import os
import shutil
import signal
import tempfile
from typing import List, Optional

from .certs import Certs
from .peer import Peer, program

PASSWORD = 'correct horse "\'\\ battery'


class MariaDB(Peer):
    """User `tenon` (password PASSWORD, database `tenon`); `root` has no password. With `certs` the server offers
    TLS; user `tls_user` must come with TLS and a client certificate."""

    user = 'mysql'
    template: Optional[str] = None  # folder of a fresh server

    def __init__(self, certs: Optional[Certs] = None, cert: str = 'server') -> None:
        super().__init__()
        self.certs, self.cert = certs, cert
        self.secret = PASSWORD  # the password of now
        self.binary = program('/usr/sbin/mariadbd', 'mariadbd', package='mariadb-server-core')
        self.installer = program('/usr/bin/mariadb-install-db', 'mariadb-install-db', package='mariadb-server-core')
        self.made = False

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, 'user': 'tenon', 'password': self.secret, 'database': 'tenon',
                'charset': 'utf8mb4', **more}

    def sql(self, text: str, database: str = 'mysql') -> str:
        """Runs SQL as superuser -> what the client prints."""
        client = program('/usr/bin/mariadb', 'mariadb', package='mariadb-client-core')
        return self.run([client, '--no-defaults', '-N', '-B', '-h', '127.0.0.1', '-P', str(self.port), '--protocol=tcp',
                         '-u', 'root', '-e', text, database])

    def _tls(self) -> List[str]:
        if self.certs is None:
            return ['--skip-ssl']
        pem, key = self.certs.pair(self.cert)
        return ['--ssl-cert=' + self.write('server.pem', pem), '--ssl-key=' + self.write('server.key', key),
                '--ssl-ca=' + self.write('ca.pem', self.certs.text('ca.pem'))]

    def _install(self) -> None:
        """System tables take seconds to make: once a run, then they are copied."""
        if MariaDB.template is None:
            MariaDB.template = tempfile.mkdtemp(prefix='tenon-mariadb-')
            atexit.register(shutil.rmtree, MariaDB.template, True)
            self.own(MariaDB.template)
            self.run([self.installer, '--no-defaults', '--datadir=' + os.path.join(MariaDB.template, 'data'),
                      '--skip-test-db', '--auth-root-authentication-method=normal', '--innodb-log-file-size=8M'])
        self.run(['cp', '-r', os.path.join(MariaDB.template, 'data'), self.path('data')])

    def start(self) -> 'MariaDB':
        if not self.made:
            self._install()
        self.spawn([self.binary, '--no-defaults', '--datadir=' + self.path('data'), '--port=%d' % self.port,
                    '--bind-address=127.0.0.1', '--socket=' + self.path('s'), '--pid-file=' + self.path('p'),
                    '--innodb-flush-log-at-trx-commit=0', '--innodb-buffer-pool-size=32M', '--max-connections=300',
                    '--innodb-log-file-size=8M', '--default-time-zone=+08:00', '--character-set-server=latin1'] + self._tls())
        self.wait_port(60)
        self.wait_answer(lambda: self.sql('SELECT 1'))
        if not self.made:
            self.made = True
            self.sql('CREATE DATABASE tenon CHARACTER SET utf8mb4')
            self.password(PASSWORD)
            if self.certs is not None:
                self.sql("CREATE USER tls_user@'127.0.0.1' REQUIRE X509")
                self.sql("GRANT ALL ON tenon.* TO tls_user@'127.0.0.1'")
        return self

    def password(self, text: str) -> None:
        """Sets the password of user tenon, who is made when needed."""
        self.secret = text
        quoted = "'%s'" % text.replace('\\', '\\\\').replace("'", "\\'")
        self.sql("CREATE USER IF NOT EXISTS tenon@'127.0.0.1'; ALTER USER tenon@'127.0.0.1' IDENTIFIED BY %s; "
                 "GRANT ALL ON tenon.* TO tenon@'127.0.0.1'" % quoted)

    def close(self) -> None:
        self.stop(signal.SIGKILL)  # nothing is worth a shutdown
        super().close()
