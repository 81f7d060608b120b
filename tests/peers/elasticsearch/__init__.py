# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch from Maven: the distribution that its own tests use, which has the core modules only."""

import os
from typing import List

from ..fetched import folder
from ..search_node import JVM, SearchNode

SETTINGS = '''
cluster.name: tenon
node.name: one
network.host: 127.0.0.1
http.port: %d
transport.port: %d
discovery.type: single-node
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
path.data: %s
path.logs: %s
'''


class Elasticsearch(SearchNode):
    """A node that its own launcher starts, which is what bin/elasticsearch runs."""

    def __init__(self) -> None:
        super().__init__()
        self.home = os.path.join(folder('elasticsearch'), 'server')
        for name in ('config', 'config/jvm.options.d', 'data', 'logs', 'tmp'):
            os.makedirs(self.path(name))
            self.own(self.path(name))
        with open(os.path.join(self.home, 'config/log4j2.properties'), encoding='utf-8') as f:
            self.write('config/log4j2.properties', f.read())
        self.write('config/jvm.options', '\n'.join([*JVM, '-Djava.io.tmpdir=' + self.path('tmp')]) + '\n')

    def command(self, transport_port: int) -> List[str]:
        self.write('config/elasticsearch.yml', SETTINGS % (self.port, transport_port, self.path('data'), self.path('logs')))
        lib = os.path.join(self.home, 'lib')
        return ['env', '-C', self.home, self.java, '-Xms4m', '-Xmx64m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dcli.name=server', '-Dcli.libs=lib/tools/server-cli',
                '-Dcli.script=' + os.path.join(self.home, 'bin/elasticsearch'), '-Des.path.home=' + self.home, '-Des.path.conf=' + self.path('config'),
                '-Des.distribution.type=zip', '-cp', '%s/*:%s/cli-launcher/*' % (lib, lib), 'org.elasticsearch.launcher.CliToolLauncher']
