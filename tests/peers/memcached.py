# SPDX-License-Identifier: Apache-2.0
"""memcached from Debian: plain, with users (-Y), with TLS."""

from typing import Optional

from .certs import Certs
from .peer import Peer, program

PASSWORD = 'p@ss-word"\'\\'


class Memcached(Peer):
    """With `password` the user `app` signs in with `secret`. With `certs` the port speaks TLS only."""

    user = 'memcache'

    def __init__(self, password: bool = False, certs: Optional[Certs] = None, cert: str = 'server',
                 binary: bool = False) -> None:
        super().__init__()
        self.secured, self.certs, self.cert, self.only_binary = password, certs, cert, binary
        self.secret = PASSWORD
        self.binary = program('memcached', package='memcached')

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        signed = {'user': 'app', 'password': self.secret} if self.secured else {}
        return {'servers': '127.0.0.1:%d' % self.port, **signed, **more}

    def password(self, secret: str) -> None:
        """Another one, for who connects from now on: the file is read when the server starts, which ends all connections."""
        self.stop()
        self.secret = secret
        self.start()

    def start(self) -> 'Memcached':
        args = [self.binary, '-l', '127.0.0.1', '-p', str(self.port), '-m', '64', '-t', '2']
        if self.secured:
            args += ['-Y', self.write('users', 'app:%s\n' % self.secret)]
        if self.only_binary:
            args += ['-B', 'binary']
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            args += ['-Z', '-o', 'ssl_chain_cert=%s,ssl_key=%s,ssl_ca_cert=%s,ssl_verify_mode=1' % (
                self.write('tls.pem', pem), self.write('tls.key', key), self.write('ca.pem', self.certs.text('ca.pem')))]
        self.spawn(args)
        self.wait_port()
        return self
