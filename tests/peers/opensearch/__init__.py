# SPDX-License-Identifier: Apache-2.0
"""OpenSearch from Maven's jars."""

import os
from typing import List

from ..fetched import folder
from ..search_node import JVM, SearchNode


class OpenSearch(SearchNode):
    """A node with a main of ours."""

    def __init__(self) -> None:
        super().__init__()
        brought = folder('opensearch')
        with open(os.path.join(brought, 'classpath'), encoding='utf-8') as f:
            self.classpath = os.path.join(brought, 'classes') + ':' + f.read().strip()
        os.makedirs(self.path('data'))
        self.own(self.path('data'))

    def command(self, transport_port: int) -> List[str]:
        return [self.java, *JVM, '-cp', self.classpath, 'Main', self.path('data', 'node'), str(self.port), str(transport_port)]
