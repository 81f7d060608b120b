# SPDX-License-Identifier: Apache-2.0
"""ClickHouse 26.9 behind revision 54459 of the native protocol: its own engine, with a server of ours in front (server.py)."""

import json
import os
import re
import signal
import subprocess
from typing import Dict, List, Optional

from ..certs import Certs
from ..clickhouse import PASSWORD
from ..fetched import ROOT, folder
from ..peer import Peer

PYTHON = '/usr/bin/python3'
ASK = '''
import os, sys
os.chdir(sys.argv[1] + '/chdb')
sys.path.insert(0, os.getcwd())
import _chdb
sys.stdout.buffer.write(_chdb.connect().query(sys.argv[2], sys.argv[3]).bytes())
'''


class ClickHouseNew(Peer):
    """Database and user `tenon` with PASSWORD; `default` has none. With `certs` the port speaks TLS only."""

    user = 'nobody'

    def __init__(self, certs: Optional[Certs] = None, cert: str = 'server') -> None:
        super().__init__()
        self.certs, self.cert = certs, cert
        self.secret = PASSWORD
        self.folder = folder('clickhouse_new')

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, 'user': 'tenon', 'password': self.secret, 'database': 'tenon', **more}

    def client(self, **more: object) -> object:
        """Debian's client library; it knows the protocol up to revision 54453."""
        from clickhouse_driver import Client
        tls = {'secure': True, 'verify': False} if self.certs else {}
        return Client('127.0.0.1', port=self.port, **{'user': 'default', 'database': 'tenon', **tls, **more})

    def vendor(self, sql: str, form: str = 'TSV') -> str:
        """The output of a statement in another process of the engine, which comes to our port as a client of ClickHouse's own:
        `it` stands for remote('…', tenon, …)."""
        sql = re.sub(r'\bit\(', "remote('127.0.0.1:%d', tenon, " % self.port, sql)
        done = subprocess.run([PYTHON, '-B', '-c', ASK, self.folder, sql, form], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.stdout.decode()

    def queries(self) -> List[Dict[str, object]]:
        """What clients said with their queries so far."""
        with open(self.path('queries'), encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.endswith('\n')]

    def stop(self, sig: int = signal.SIGKILL) -> None:
        super().stop(sig)

    def start(self) -> 'ClickHouseNew':
        tls = []
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            tls = [self.write('tls.pem', pem), self.write('tls.key', key)]
        self.spawn([PYTHON, '-B', os.path.join(ROOT, 'tests/peers/clickhouse_new/server.py'), self.folder, str(self.port), self.secret, self.path('queries')] + tls)
        self.wait_port()
        return self
