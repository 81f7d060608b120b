# SPDX-License-Identifier: Apache-2.0
"""The server of connectors/oracle in the tests: a stand-in for Oracle's client library, or the real one that ORACLE_TEST_DSN
(JSON of a connector's configuration) names. Fixtures for the files that import them."""

import os
import shutil

import pytest
from peers.oracle import Oracle

from .connectors import add, peer
from .real import ORACLE, real_server
from .server import BUILD

REAL = os.environ.get(ORACLE.variable)
peer_only = pytest.mark.skipif(bool(REAL), reason='needs the stand-in')
LIBRARY = os.path.join(BUILD, 'tests/peers/oracle/libclntsh.so')

# No DROP … IF EXISTS before 23ai.
DROP = '''
def drop(*tables):
    for t in tables:
        told = tell(lambda: c.non_query('DROP TABLE ' + t))
        assert told is None or told[2] == 942, told
'''


@pytest.fixture(scope='module')
def library(server):
    """The stand-in where workers may read it."""
    if not os.path.exists(LIBRARY):
        pytest.skip('not built: packaging/fetch-odpi has not brought ODPI-C (log: build/deps/odpi.log)')
    folder = os.path.join(server.data, 'resources', 'oracle client')
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, 'libclntsh.so')):  # workers may have it loaded
        shutil.copy(LIBRARY, folder)
    return folder


@pytest.fixture(scope='module')
def ora(request):
    if REAL:
        with real_server(request.getfixturevalue('server'), ORACLE) as real:
            yield real
        return
    with peer(Oracle, request.getfixturevalue('library')) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, ora):
    return add(server.client(), 'oracle', ora.config())
