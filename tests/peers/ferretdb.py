# SPDX-License-Identifier: Apache-2.0
"""FerretDB 1 on SQLite: speaks the protocol of MongoDB; without accounts, sessions and change streams."""

import os
import signal
from typing import Optional

from .certs import Certs
from .fetched import folder
from .peer import Peer


class FerretDB(Peer):
    """With `certs` the port speaks TLS only; `clients` means that they must have a certificate."""

    user = 'nobody'

    def __init__(self, certs: Optional[Certs] = None, cert: str = 'server', clients: bool = False) -> None:
        self.binary = os.path.join(folder('ferretdb'), 'ferretdb')
        super().__init__()
        self.certs, self.cert, self.clients = certs, cert, clients

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, 'database': 'test', **more}

    def start(self) -> 'FerretDB':
        address = '127.0.0.1:%d' % self.port
        args = ['-tcp', address]
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            args = ['-tls', address, '-cert', self.write('tls.pem', pem), '-key', self.write('tls.key', key)]
            if self.clients:
                args += ['-ca', self.write('ca.pem', self.certs.text('ca.pem'))]
        os.makedirs(self.path('data'), exist_ok=True)
        self.own(self.path('data'))
        self.spawn([self.binary, '-sqlite', 'file:%s/' % self.path('data'), *args])
        self.wait_port()
        return self

    def stop(self, sig: int = signal.SIGKILL) -> None:
        """At once: asked politely it waits for its clients to go."""
        super().stop(sig)
