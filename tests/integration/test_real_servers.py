# SPDX-License-Identifier: Apache-2.0
"""SQLSERVER_TEST_DSN and ORACLE_TEST_DSN lead the cases to a server of the user's. Here that is a stand-in which was started by
hand: the cases run there and leave nothing; what is wrong is told in a line, without the password."""

import contextlib
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from typing import Any, Dict, List

import pytest
from peers.oracle import Oracle
from peers.tds import TDS
from support.connectors import peer
from support.real import ORACLE, SQLSERVER, Kind, Masked, Real, real_server
from support.server import BUILD, ROOT

LIBRARY = os.path.join(BUILD, 'tests/peers/oracle/libclntsh.so')
SECRET = 'not the password; 0815'


def cases_run_there(kind: Kind, config: Dict[str, Any]) -> None:
    """Some cases of its files, in a run of their own; what needs a stand-in is left out."""
    done = subprocess.run([sys.executable, '-B', '-m', 'pytest', '-q', '-c', os.path.join(ROOT, 'tests/check/pytest.ini'),
                           *glob.glob(os.path.join(ROOT, 'tests/integration/test_conn_%s*.py' % kind.type)), '-k', 'test_transactions or test_readme or test_contract'],
                          cwd=ROOT, env={**os.environ, kind.variable: json.dumps(config)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=150, check=False)
    assert done.returncode == 0 and '2 passed, 1 skipped' in done.stdout, done.stdout
    assert config['password'] not in done.stdout


def refused(server: Any, kind: Kind, monkeypatch: pytest.MonkeyPatch, value: str) -> str:
    """What is told instead of running the cases."""
    monkeypatch.setenv(kind.variable, value)
    with pytest.raises(pytest.fail.Exception) as e, real_server(server, kind):
        pass
    assert not e.value.pytrace and kind.variable in str(e.value) and SECRET not in str(e.value), str(e.value)
    return str(e.value)


def tables(path: str) -> List[str]:
    """Those of a stand-in."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return sorted(r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'tds_%'"))


def make(path: str, name: str) -> None:
    """A table of the user's."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute('CREATE TABLE %s (x)' % name)


def both(server: Any, kind: Kind, config: Dict[str, Any], path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, on a server whose database is a file."""
    make(path, 'MINE')
    cases_run_there(kind, config)
    assert tables(path) == ['MINE']
    assert ' cannot be used: ' in refused(server, kind, monkeypatch, json.dumps({**config, 'password': SECRET}))
    assert 'sign-in: ' in refused(server, kind, monkeypatch, json.dumps({**config, 'password': SECRET}))
    make(path, 'ITEM')
    assert 'tables which the cases would drop: item;' in refused(server, kind, monkeypatch, json.dumps(config))
    assert tables(path) == ['ITEM', 'MINE']


def test_sqlserver(server, certs, monkeypatch):
    with peer(TDS, certs) as p:
        both(server, SQLSERVER, p.config(), p.path('tenon.db'), monkeypatch)


def test_oracle(server, monkeypatch):
    if not os.path.exists(LIBRARY):
        pytest.skip('not built: packaging/fetch-odpi has not brought ODPI-C (log: build/deps/odpi.log)')
    if os.geteuid() != 0:
        pytest.skip('only root can put a client library where workers may read it (/opt)')
    with tempfile.TemporaryDirectory(prefix='tenon-oracle-client-', dir='/opt') as folder:
        os.chmod(folder, 0o755)
        shutil.copy(LIBRARY, folder)
        with peer(Oracle, folder) as p:
            both(server, ORACLE, p.config(), os.path.join(p.dir, 'db'), monkeypatch)


def test_no_configuration(server, monkeypatch):
    """Nothing of a text that is not understood is repeated, and no configuration shows its password."""
    for value in ('{"password": "%s"' % SECRET, '"%s"' % SECRET, ''):
        assert 'is not JSON like' in refused(server, SQLSERVER, monkeypatch, value)
    monkeypatch.setenv(ORACLE.variable, json.dumps({'password': SECRET, 'user': 'u'}))
    config = Real(ORACLE).config(port=1)
    assert isinstance(config, Masked) and config['password'] == SECRET and SECRET not in repr({'data': config}) and "'u'" in repr(config)
