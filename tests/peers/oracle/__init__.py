# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Oracle's client library over SQLite; README.md says what it proves. The class is its server: a folder in
shared memory, whose number is the port, with the database and a file for each fault."""

import contextlib
import os
import shutil
import socket
import sqlite3
import ssl
import threading
from typing import Optional

from ..certs import Certs
from ..peer import Missing, free_port

PASSWORD = 'correct; horse={"\'\\} battery'
SHM = '/dev/shm'


class Oracle:
    """User `tenon` (password PASSWORD), service `tenon`, SID `XE`. `library` is the folder of libclntsh.so."""

    def __init__(self, library: str) -> None:
        if not os.path.exists(os.path.join(library, 'libclntsh.so')):
            raise Missing('the stand-in for libclntsh.so is not built: packaging/fetch-odpi has not brought ODPI-C')
        self.library, self.port = library, free_port()
        self.socket: Optional[socket.socket] = None
        self.secure: Optional[ssl.SSLContext] = None
        self.dir = os.path.join(SHM, 'tenon-oracle-%d' % self.port)

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, 'user': 'tenon', 'password': PASSWORD, 'database': 'tenon', 'charset': 'utf8',
                'client': self.library, **more}

    def __enter__(self) -> 'Oracle':
        os.mkdir(self.dir)
        with contextlib.closing(sqlite3.connect(os.path.join(self.dir, 'db'))) as db:
            db.execute('PRAGMA journal_mode = WAL')
        self._listen()
        self.password(PASSWORD)
        for name in ['.'] + os.listdir(self.dir):  # workers may be another user
            os.chmod(os.path.join(self.dir, name), 0o777)
        return self

    def __exit__(self, *_: object) -> None:
        self._listen(False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _listen(self, on: bool = True) -> None:
        """The platform looks whether somebody listens before it tries a connector out; the stand-in itself does not."""
        if not on:
            if self.socket is not None:
                self.socket.shutdown(socket.SHUT_RDWR)
                self.socket.close()
            self.socket = None
            return
        self.socket = listener = socket.create_server(('127.0.0.1', self.port))

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    self._greet(listener.accept()[0])
        threading.Thread(target=accept, daemon=True).start()

    def _greet(self, client: socket.socket) -> None:
        """A handshake, where TLS is spoken, and a byte for a client that is liked."""
        with contextlib.suppress(OSError), client:
            client.settimeout(5)
            if self.secure is not None:
                with self.secure.wrap_socket(client, server_side=True) as inside:
                    inside.sendall(b'+')

    def fault(self, name: str, on: Optional[object] = True) -> None:
        """`down`: nobody listens and all sessions are cut. `hang`: nobody answers. `deaf`: nobody listens when
        a statement shall stop. `refuse`: it answers with this number. False or None: no longer."""
        path = os.path.join(self.dir, name)
        if name == 'down' and bool(on) == (self.socket is not None):
            self._listen(not on)
        if on is False or on is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        with open(path + '.new', 'w', encoding='utf-8') as f:
            f.write(str(on))
        os.chmod(path + '.new', 0o644)
        os.rename(path + '.new', path)

    def tls(self, certs: Certs, cert: str = 'server', client: bool = False) -> None:
        """The listener speaks TCPS only, with this certificate; `client`: with those who have one of the authority."""
        self.secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.secure.load_cert_chain(os.path.join(certs.dir, cert + '.pem'), os.path.join(certs.dir, cert + '.key'))
        if client:
            self.secure.load_verify_locations(os.path.join(certs.dir, 'ca.pem'))
            self.secure.verify_mode = ssl.CERT_REQUIRED
        self.fault('tls')

    def busy(self) -> bool:
        """Whether a statement is under way."""
        return any(name.startswith('busy.') for name in os.listdir(self.dir))

    def password(self, text: str) -> None:
        """For sign-ins from now on."""
        self.fault('password', text)
