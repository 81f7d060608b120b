# SPDX-License-Identifier: Apache-2.0
"""OpenSearch from Maven's jars: one node without users and TLS (nginx.py in front brings both)."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

from ..fetched import folder
from ..peer import Peer, free_port, program


class OpenSearch(Peer):
    """`port` is that of HTTP."""

    user = 'nobody'

    def __init__(self) -> None:
        super().__init__()
        self.java = program('java', package='default-jdk-headless')
        brought = folder('opensearch')
        with open(os.path.join(brought, 'classpath'), encoding='utf-8') as f:
            self.classpath = os.path.join(brought, 'classes') + ':' + f.read().strip()
        os.makedirs(self.path('data'))
        self.own(self.path('data'))

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, **more}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request -> its JSON."""
        request = urllib.request.Request('http://127.0.0.1:%d%s' % (self.port, path), method=method,
                                         data=None if body is None else json.dumps(body).encode(), headers={'Content-Type': 'application/json'})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError) as e:
            raise AssertionError(str(e)) from e

    def start(self) -> 'OpenSearch':
        self.spawn([self.java, '-Xms256m', '-Xmx384m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', self.classpath, 'Main',
                    self.path('data', 'node'), str(self.port), str(free_port())])
        self.wait_port(60)
        self.wait_answer(lambda: self.ask('GET', '/_cluster/health?wait_for_status=yellow&timeout=30s'), 60)
        return self
