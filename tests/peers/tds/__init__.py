# SPDX-License-Identifier: Apache-2.0
"""A server of ours that speaks TDS 7.4, the protocol of SQL Server, over SQLite; README.md says what it proves."""

import json
import os
import signal
from typing import Optional

from ..certs import Certs
from ..peer import Missing, Peer

PASSWORD = 'correct; horse={"\'\\} battery'


class TDS(Peer):
    """User `tenon` and `sa` (password PASSWORD), database `tenon`. With `certs` the server offers TLS, with `force` it
    insists on it."""

    def __init__(self, certs: Optional[Certs] = None, cert: str = 'server', force: bool = False) -> None:
        try:
            import apsw  # noqa: F401  pylint: disable=unused-import,import-outside-toplevel
        except ImportError:
            raise Missing('apsw is not installed (Debian: python3-apsw)') from None
        super().__init__()
        self.certs, self.cert, self.force = certs, cert, force
        self.secret = PASSWORD  # the password of now

    def config(self, **more: object) -> dict:
        """A connector's configuration, without TLS unless it says so."""
        return {'host': '127.0.0.1', 'port': self.port, 'user': 'tenon', 'password': self.secret, 'database': 'tenon', 'charset': 'utf8',
                'tls': 'off', **more}

    def start(self) -> 'TDS':
        cert = None
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            cert = [self.write('server.pem', pem), self.write('server.key', key)]
        config = {'folder': self.dir, 'port': self.port, 'password': self.secret, 'cert': cert, 'force': self.force}
        tests = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.spawn(['/usr/bin/env', 'PYTHONPATH=' + tests, '/usr/bin/python3', '-B', '-m', 'peers.tds.server', json.dumps(config)])
        self.wait_port()
        return self

    def password(self, text: str) -> None:
        """Changes the password for sign-ins from now on."""
        self.secret = text
        self.write('password', text)

    def close(self) -> None:
        self.stop(signal.SIGKILL)
        super().close()
