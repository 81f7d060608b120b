# SPDX-License-Identifier: Apache-2.0
"""tests/peers/tds checked by clients that have nothing in common with FreeTDS: pytds (Python), tedious (JavaScript), go-mssqldb (Go)
and Microsoft's own driver for Java, with and without TLS. Each must see the same. A client that is missing is a failure and no skip:
what the peer says of SQL Server is worth what they say of the peer."""

import datetime
import decimal
import json
import os
import subprocess
from typing import Any, Dict, List

import pytds
import pytest
from peers import fetched
from peers.peer import Missing
from peers.tds import PASSWORD, TDS
from support.connectors import peer

# What each client sees: one JSON object.
WANTED = {'values': [1, 'a\u6570\U0001f600', '1.50', '2026-01-02 03:04:05.123', None, '00ff'], 'bound': [2, "it's", None], 'changed': 2,
          'committed': ['a'], 'errors': [208, 102, 2627], 'results': [[1], [2]], 'large': 100000, 'unicode': True, 'stopped': True}


@pytest.fixture(scope='module')
def tds(certs):
    with peer(TDS, certs) as p:
        yield p


@pytest.fixture(scope='module')
def wrong(certs):
    """With a certificate for another name."""
    with peer(TDS, certs, cert='wrong', force=True) as p:
        yield p


def brought(name: str) -> str:
    try:
        return fetched.folder(name)
    except Missing as e:
        why = str(e)
    pytest.fail('a client that checks the peer is missing: ' + why, pytrace=False)


def printed(args: List[str]) -> Any:
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def refused(args: List[str]) -> str:
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120)
    assert done.returncode != 0, done.stdout
    return done.stdout


# ---- pytds ------------------------------------------------------------------------------------------------


def _pytds(p: TDS, certs: Any, tls: bool, **more: object) -> Any:
    secure: Dict[str, Any] = {'cafile': os.path.join(certs.dir, 'ca.pem'), 'validate_host': True} if tls else {}
    return pytds.connect(**{'dsn': 'localhost', 'database': 'tenon', 'user': 'tenon', 'password': PASSWORD, 'port': p.port, 'autocommit': True,
                            'login_timeout': 5, **secure, **more})


@pytest.mark.parametrize('tls', [False, True])
def test_pytds(tds, certs, tls):
    got: Dict[str, Any] = {}
    with _pytds(tds, certs, tls) as c, c.cursor() as cur:
        cur.execute("SELECT 1, N'a\u6570\U0001f600', CAST(1.5 AS decimal(5,2)), CAST('2026-01-02 03:04:05.123' AS datetime2(3)), NULL, 0x00ff")
        row = cur.fetchone()
        assert row[2] == decimal.Decimal('1.50') and row[3] == datetime.datetime(2026, 1, 2, 3, 4, 5, 123000)
        got['values'] = [row[0], row[1], '1.50', str(row[3])[:23], row[4], row[5].hex()]
        for line in ('DROP TABLE IF EXISTS py', 'CREATE TABLE py (id int PRIMARY KEY, name nvarchar(50), price decimal(10,2))'):
            cur.execute(line)
        cur.execute('INSERT INTO py VALUES (%s, %s, %s), (%s, %s, %s)', (1, 'x', decimal.Decimal('1.10'), 2, "it's", None))
        got['changed'] = cur.rowcount
        cur.execute('SELECT id, name, price FROM py WHERE name = %s', ("it's",))
        got['bound'] = list(cur.fetchone())
        got['errors'] = []
        for line in ('SELECT * FROM nowhere', 'SELECT FROM WHERE', 'INSERT INTO py VALUES (1, NULL, NULL)'):
            with pytest.raises(pytds.Error) as e:
                cur.execute(line)
            got['errors'].append(e.value.msg_no)
        cur.execute('SELECT 1 AS a; SELECT 2 AS b')
        got['results'] = [[r[0] for r in cur.fetchall()]]
        assert cur.nextset()
        got['results'].append([r[0] for r in cur.fetchall()])
        cur.execute('SELECT CAST(%s AS nvarchar(max))', ('\u6570' * 100000,))
        text = cur.fetchone()[0]
        got['large'], got['unicode'] = len(text), set(text) == {'\u6570'}
        cur.execute('WITH s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 10000000) SELECT i FROM s OPTION (MAXRECURSION 0)')
        assert cur.fetchone() == (1,)
        cur.cancel()  # an attention in the middle of the rows
        cur.execute('SELECT 7')
        got['stopped'] = cur.fetchone() == (7,)
    with _pytds(tds, certs, tls, autocommit=False) as c, c.cursor() as cur:
        cur.execute("UPDATE py SET name = 'gone'")
        c.rollback()
        cur.execute("DELETE FROM py WHERE id = 2; UPDATE py SET name = 'a'")
        c.commit()
        cur.execute('SELECT name FROM py')
        got['committed'] = [r[0] for r in cur.fetchall()]
    assert got == WANTED


# ---- tedious ----------------------------------------------------------------------------------------------


def _tedious(port: int, password: str, ca: str) -> List[str]:
    folder = brought('tedious')
    return [os.path.join(folder, 'node'), os.path.join(folder, 'client.js'), str(port), password, ca]


@pytest.mark.parametrize('tls', [False, True])
def test_tedious(tds, certs, tls):
    assert printed(_tedious(tds.port, PASSWORD, os.path.join(certs.dir, 'ca.pem') if tls else '-')) == WANTED


def test_tedious_is_refused(tds, wrong, certs):
    ca = os.path.join(certs.dir, 'ca.pem')
    assert 'altnames' in refused(_tedious(wrong.port, PASSWORD, ca))
    assert 'unable to verify' in refused(_tedious(wrong.port, PASSWORD, os.path.join(certs.dir, 'client.pem')))  # an authority that signed nothing
    assert 'Login failed' in refused(_tedious(tds.port, 'x', ca))
    refused(_tedious(wrong.port, PASSWORD, '-'))


# ---- go-mssqldb -------------------------------------------------------------------------------------------


@pytest.mark.parametrize('tls', [False, True])
def test_go(tds, certs, tls):
    client = os.path.join(brought('gomssql'), 'client')
    assert printed([client, str(tds.port), PASSWORD, os.path.join(certs.dir, 'ca.pem') if tls else '-']) == WANTED


def test_go_is_refused(tds, wrong, certs):
    """Names and passwords are looked at by client and server; a server that insists on TLS gets it."""
    client, ca = os.path.join(brought('gomssql'), 'client'), os.path.join(certs.dir, 'ca.pem')
    assert 'certificate' in refused([client, str(wrong.port), PASSWORD, ca])
    assert 'Login failed' in refused([client, str(tds.port), 'x', ca])
    refused([client, str(wrong.port), PASSWORD, '-'])


# ---- Microsoft's driver for Java --------------------------------------------------------------------------


def _java(p: TDS, store: str, password: str = PASSWORD) -> List[str]:
    folder = brought('mssqljdbc')
    with open(os.path.join(folder, 'classpath'), encoding='utf-8') as f:
        path = f.read().strip()
    return ['java', '-Xmx128m', '-XX:TieredStopAtLevel=1', '-cp', path + ':' + folder, 'Client', str(p.port), password, store]


@pytest.fixture(scope='module')
def store(certs):
    """The authority as Java wants it."""
    brought('mssqljdbc')
    path = os.path.join(certs.dir, 'trust.p12')
    subprocess.run(['keytool', '-importcert', '-noprompt', '-alias', 'ca', '-file', os.path.join(certs.dir, 'ca.pem'), '-keystore', path, '-storepass', 'changeit'],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


@pytest.mark.parametrize('tls', [False, True])
def test_java(tds, store, tls):
    assert printed(_java(tds, store if tls else '-')) == WANTED


def test_java_is_refused(wrong, store):
    assert 'certificate' in refused(_java(wrong, store)).lower()
