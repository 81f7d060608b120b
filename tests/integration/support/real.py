# SPDX-License-Identifier: Apache-2.0
"""Servers of the user's, instead of our stand-ins: a variable holds the JSON of a connector's configuration. Whatever goes wrong
is told in a line, and the password in none; the tables that the cases make must not be there before and are gone afterwards."""

import contextlib
import json
import os
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest

from .client import ApiError, Client
from .connectors import add, on
from .server import Server


class Kind(NamedTuple):
    """What differs: `tables` are those that the cases make, `listed` an expression with `c` that gives all names, `drop` ends one."""

    type: str
    variable: str
    defaults: Dict[str, Any]
    tables: str
    listed: str
    drop: str


SQLSERVER = Kind('sqlserver', 'SQLSERVER_TEST_DSN', {'charset': 'utf8'}, 'vals t u one tx victim panel item log',
                 "[r['TABLE_NAME'] for r in c.query('SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES')]", 'DROP TABLE %s')
ORACLE = Kind('oracle', 'ORACLE_TEST_DSN', {'host': '127.0.0.1', 'database': '', 'charset': 'utf8'}, 'vals t u u2 tx victim big many blk panel item log',
              "[r['TABLE_NAME'] for r in c.query('SELECT table_name FROM user_tables')]", 'DROP TABLE %s PURGE')


class Masked(Dict[str, Any]):
    """A configuration that shows no password where pytest prints it."""

    def __repr__(self) -> str:
        return repr({k: '***' if k == 'password' else v for k, v in self.items()})


class Real:
    """The server that a variable names."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        try:
            given = json.loads(os.environ[kind.variable])
        except ValueError:
            given = None
        if not isinstance(given, dict):
            self.refuse('is not JSON like {"host": …, "user": …, "password": …, "database": …}')
        self.dsn = Masked({**kind.defaults, **given})

    def config(self, **more: object) -> Masked:
        """A connector's configuration."""
        return Masked({**self.dsn, **more})

    def refuse(self, why: str) -> None:
        """No case can run."""
        secret = str(getattr(self, 'dsn', {}).get('password') or '')
        pytest.fail('%s %s' % (self.kind.variable, why.replace(secret, '***') if secret else why), pytrace=False)

    def try_out(self, api: Client) -> str:
        """The id of a connector to it."""
        try:
            return add(api, self.kind.type, self.config())
        except ApiError as e:
            said = str((e.envelope.get('detail') or {}).get('exception') or e)
        self.refuse('cannot be used: ' + said)
        raise AssertionError


@contextlib.contextmanager
def real_server(server: Server, kind: Kind) -> Iterator[Real]:
    """The server that the variable names, without tables of the cases before and after."""
    it = Real(kind)
    api = server.client()
    cid = it.try_out(api)

    def there() -> List[str]:
        """Those that exist."""
        return sorted(set(kind.tables.split()) & {name.lower() for name in on(api, cid, 'return ' + kind.listed)})
    mine = there()
    if mine:
        it.refuse('names a schema that has tables which the cases would drop: %s; give them a schema of their own' % ', '.join(mine))
    try:
        yield it
    finally:
        for name in there():
            on(api, cid, 'c.non_query(sql)', sql=kind.drop % name)
        assert not there()
