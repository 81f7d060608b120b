# SPDX-License-Identifier: Apache-2.0
"""Certificates for one test run: an authority, a server's certificate by it, one for another name."""

import os
import subprocess
import tempfile
from typing import Tuple


class Certs:
    """ca.pem, server.pem/key (localhost, 127.0.0.1), wrong.pem/key (another name), client.pem/key."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix='tenon-certs-')
        self.dir = self.folder.name
        os.chmod(self.dir, 0o755)
        self._openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=Test CA',
                      '-keyout', 'ca.key', '-out', 'ca.pem')
        self._make('server', 'localhost', 'DNS:localhost,IP:127.0.0.1')
        self._make('wrong', 'other.invalid', 'DNS:other.invalid')
        self._make('client', 'tls_user', 'DNS:client.invalid')

    def _openssl(self, *args: str) -> None:
        subprocess.run(('openssl',) + args, cwd=self.dir, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def _make(self, name: str, cn: str, alt: str) -> None:
        with open(os.path.join(self.dir, name + '.ext'), 'w', encoding='ascii') as f:
            f.write('subjectAltName=%s\n' % alt)
        self._openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=' + cn, '-keyout', name + '.key',
                      '-out', name + '.csr')
        self._openssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
                      '-days', '2', '-extfile', name + '.ext', '-out', name + '.pem')

    def text(self, name: str) -> str:
        """The PEM text of a file."""
        with open(os.path.join(self.dir, name), encoding='ascii') as f:
            return f.read()

    def pair(self, name: str) -> Tuple[str, str]:
        """Certificate and key as PEM text."""
        return self.text(name + '.pem'), self.text(name + '.key')

    def close(self) -> None:
        self.folder.cleanup()
