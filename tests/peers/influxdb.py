# SPDX-License-Identifier: Apache-2.0
"""InfluxDB 1.6 from Debian: with users or without, with TLS when wanted."""

import json
import urllib.error
import urllib.parse
import urllib.request
import ssl
from base64 import b64encode
from typing import Any, Optional

from .certs import Certs
from .peer import Peer, program

PASSWORD = 'p@ss word"\'\\ \u00fc'


class InfluxDB(Peer):
    """With `users` there is an admin `root` and a user `reader` (both PASSWORD) who may read data base `tenon`."""

    user = 'influxdb'

    def __init__(self, users: bool = False, certs: Optional[Certs] = None, cert: str = 'server') -> None:
        super().__init__()
        self.users, self.certs, self.cert = users, certs, cert
        self.binary = program('/usr/bin/influxd', 'influxd', package='influxdb')
        self.made = False
        self.secret = PASSWORD  # of root

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        auth = {'user': 'root', 'password': self.secret} if self.users else {}
        tls = {'protocol': 'https'} if self.certs is not None else {}
        return {'host': '127.0.0.1', 'port': self.port, 'database': 'tenon', **auth, **tls, **more}

    def ask(self, q: str, db: str = '', **params: Any) -> Any:
        """A query as admin -> results."""
        url = '%s://127.0.0.1:%d/query' % ('http' if self.certs is None else 'https', self.port)
        request = urllib.request.Request(url, urllib.parse.urlencode({'q': q, 'db': db, 'params': json.dumps(params)}).encode())
        if self.users and self.made:
            request.add_header('Authorization', 'Basic ' + b64encode(('root:' + self.secret).encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=10, context=ssl._create_unverified_context()) as answer:  # pylint: disable=protected-access
                return json.load(answer)['results']
        except (urllib.error.URLError, OSError) as e:
            raise AssertionError(str(e)) from e

    def password(self, new: str) -> None:
        """Another password for root."""
        self.ask("SET PASSWORD FOR root = '%s'" % new)
        self.secret = new

    def start(self) -> 'InfluxDB':
        tls = ''
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            tls = 'https-enabled = true\nhttps-certificate = "%s"\nhttps-private-key = "%s"' % (
                self.write('tls.pem', pem), self.write('tls.key', key))
        self.spawn([self.binary, '-config', self.write('influxdb.conf', '''
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "{0}/meta"
[data]
dir = "{0}/data"
wal-dir = "{0}/wal"
index-version = "inmem"
[http]
enabled = true
bind-address = "127.0.0.1:{1}"
auth-enabled = {2}
log-enabled = false
max-body-size = 20000000
{3}
[monitor]
store-enabled = false
[continuous_queries]
enabled = false
'''.format(self.dir, self.port, 'true' if self.users else 'false', tls))])
        self.wait_port()
        if not self.made:
            if self.users:
                quoted = "'%s'" % PASSWORD.replace('\\', '\\\\').replace("'", "\\'")
                self.wait_answer(lambda: self.ask('CREATE USER root WITH PASSWORD %s WITH ALL PRIVILEGES' % quoted))
                self.made = True
                self.ask('CREATE USER reader WITH PASSWORD %s' % quoted)
            self.wait_answer(lambda: self.ask('CREATE DATABASE tenon'))
            if self.users:
                self.ask('GRANT READ ON tenon TO reader')
            self.made = True
        else:
            self.wait_answer(lambda: self.ask('SHOW DATABASES'))
        return self
