# SPDX-License-Identifier: Apache-2.0
"""What the nodes of OpenSearch and Elasticsearch share: no users, no TLS (nginx.py in front brings both), a start that takes seconds."""

import json
import urllib.error
import urllib.request
from typing import Any, List

from .peer import Peer, free_port, program

# A small heap, and no compiler for what lives a minute.
JVM = ['-Xms256m', '-Xmx384m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']


class SearchNode(Peer):
    """`port` is that of HTTP. `begin()` lets it start beside something else; `start()` waits."""

    user = 'nobody'

    def __init__(self) -> None:
        super().__init__()
        self.java = program('java', package='default-jdk-headless')

    def command(self, transport_port: int) -> List[str]:
        """What starts the server."""
        raise NotImplementedError

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

    def begin(self) -> None:
        """Starts the process."""
        self.spawn(self.command(free_port()))

    def start(self) -> 'SearchNode':
        if self.process is None:
            self.begin()
        self.wait_port(60)
        self.wait_answer(lambda: self.ask('GET', '/_cluster/health?wait_for_status=yellow&timeout=30s'), 60)
        return self
