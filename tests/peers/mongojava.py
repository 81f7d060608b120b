# SPDX-License-Identifier: Apache-2.0
"""mongo-java-server: another server of MongoDB's protocol, in memory; without accounts and transactions."""

import os
import signal

from .fetched import folder
from .peer import Peer, program


class MongoJava(Peer):
    """More of aggregation and find_one_and_* than FerretDB."""

    user = 'nobody'

    def __init__(self) -> None:
        self.folder = folder('mongojava')
        self.java = program('java', package='default-jdk-headless')
        super().__init__()

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, 'database': 'test', **more}

    def start(self) -> 'MongoJava':
        with open(os.path.join(self.folder, 'classpath'), encoding='utf-8') as f:
            jars = f.read().strip()
        self.spawn([self.java, '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', self.folder + ':' + jars, 'Main', str(self.port)])
        self.wait_port(60)
        return self

    def stop(self, sig: int = signal.SIGKILL) -> None:
        super().stop(sig)
