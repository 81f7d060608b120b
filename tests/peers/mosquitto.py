# SPDX-License-Identifier: Apache-2.0
"""mosquitto from Debian: with password, TLS and WebSockets when wanted."""

import signal
import subprocess
from typing import List, Optional

from .certs import Certs
from .peer import Peer, free_port, program

USER, PASSWORD = 'ann', 'p@ss word"\'\\'


class Mosquitto(Peer):
    """With `password` only USER may sign in, and (unless persistent) may not touch topics below `secret/`. With `certs` the port speaks TLS
    only, and asks for a client certificate when `client_cert`. `ws_port` speaks WebSockets. `persistent`: sessions and
    their messages outlive a restart."""

    user = 'mosquitto'

    def __init__(self, password: bool = False, certs: Optional[Certs] = None, cert: str = 'server',
                 client_cert: bool = False, persistent: bool = False) -> None:
        super().__init__()
        self.secured, self.certs, self.cert, self.client_cert = password, certs, cert, client_cert
        self.secret = PASSWORD
        self.persistent, self.ws_port = persistent, free_port()
        self.binary = program('mosquitto', '/usr/sbin/mosquitto', package='mosquitto')

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        account = {'user': USER, 'password': self.secret} if self.secured else {}
        return {'host': '127.0.0.1', 'port': self.port, **account, **more}

    def _passwords(self) -> str:
        path = self.write('passwords', '')
        subprocess.run(['mosquitto_passwd', '-b', path, USER, self.secret], check=True, capture_output=True)
        return self.own(path)

    def password(self, secret: str) -> None:
        """Another one for USER, whose connections end when the file is read again."""
        self.secret = secret
        self._passwords()
        self.signal_all(signal.SIGHUP)

    def start(self) -> 'Mosquitto':
        tls: List[str] = []
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            tls = ['cafile %s' % self.write('ca.pem', self.certs.text('ca.pem')),
                   'certfile %s' % self.write('tls.pem', pem), 'keyfile %s' % self.write('tls.key', key),
                   'require_certificate %s' % ('true' if self.client_cert else 'false')]
        lines = ['per_listener_settings false', 'allow_anonymous %s' % ('false' if self.secured else 'true'),
                 'listener %d 127.0.0.1' % self.port] + tls
        lines += ['listener %d 127.0.0.1' % self.ws_port, 'protocol websockets'] + tls
        if self.secured:
            path = self._passwords()
            rules = 'user %s\ntopic readwrite #\ntopic deny secret/#\n' % USER
            lines.append('password_file %s' % path)
            if not self.persistent:  # after a password was changed, mosquitto applies none of the rules to who is away
                lines.append('acl_file %s' % self.write('acl', rules))
        lines += ['persistence %s' % ('true' if self.persistent else 'false'), 'persistence_location %s/' % self.dir,
                  'max_queued_messages 100000', 'log_type all']
        self.spawn([self.binary, '-c', self.write('mosquitto.conf', '\n'.join(lines) + '\n')])
        self.wait_port()
        return self
