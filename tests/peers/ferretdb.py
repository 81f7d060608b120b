# SPDX-License-Identifier: Apache-2.0
"""FerretDB 1 on SQLite: speaks the protocol of MongoDB; without sessions and change streams."""

import os
import signal
from typing import Optional

from .certs import Certs
from .fetched import folder
from .peer import Peer

USER, PASSWORD, _OWNER = 'ann', 'p@ss word"\'\\', 'owner'


class FerretDB(Peer):
    """With `certs` the port speaks TLS only; `clients` means that they must have a certificate. With `accounts` nothing works before
    USER of the database `test` has signed in with `secret`, by SCRAM."""

    user = 'nobody'

    def __init__(self, certs: Optional[Certs] = None, cert: str = 'server', clients: bool = False, accounts: bool = False) -> None:
        self.binary = os.path.join(folder('ferretdb'), 'ferretdb')
        super().__init__()
        self.certs, self.cert, self.clients, self.accounts = certs, cert, clients, accounts
        self.secret = PASSWORD

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        signed = {'user': USER, 'password': self.secret} if self.accounts else {}
        return {'host': '127.0.0.1', 'port': self.port, 'database': 'test', **signed, **more}

    def owner(self, command: str, value: str, **more: object) -> None:
        """A command on the database `test` by who may do anything."""
        from pymongo import MongoClient
        with MongoClient('127.0.0.1', self.port, username=_OWNER, password=_OWNER, authSource=_OWNER) as client:
            client.test.command(command, value, **more)

    def password(self, secret: str) -> None:
        """Another one for USER, who has to sign in again."""
        self.secret = secret
        self.owner('updateUser', USER, pwd=secret)
        self.stop()
        self.start()

    def start(self) -> 'FerretDB':
        address = '127.0.0.1:%d' % self.port
        args = ['-tcp', address]
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            args = ['-tls', address, '-cert', self.write('tls.pem', pem), '-key', self.write('tls.key', key)]
            if self.clients:
                args += ['-ca', self.write('ca.pem', self.certs.text('ca.pem'))]
        if self.accounts:
            args += ['-accounts', _OWNER]
        new = not os.path.exists(self.path('data'))
        os.makedirs(self.path('data'), exist_ok=True)
        self.own(self.path('data'))
        self.spawn([self.binary, '-sqlite', 'file:%s/' % self.path('data'), *args])
        self.wait_port()
        if self.accounts and new:
            self.owner('createUser', USER, pwd=self.secret, roles=[], mechanisms=['SCRAM-SHA-1', 'SCRAM-SHA-256'])
        return self

    def stop(self, sig: int = signal.SIGKILL) -> None:
        """At once: asked politely it waits for its clients to go."""
        super().stop(sig)
