# SPDX-License-Identifier: Apache-2.0
"""connectors/oracle in scripts, over a stand-in for Oracle's client library: signing in, TLS, streams, deadlines, faults. What SQL and
PL/SQL give is in test_conn_oracle_sql.py. With ORACLE_TEST_DSN the cases that need no faults run against a real server."""

import os
import subprocess
import threading
import time
from typing import Any

import pytest
from peers.oracle import PASSWORD, Oracle
from support.cases import Deadlines
from support.connectors import add, hands, not_addable, on, peer, refused, run
from support.matrix import check_row, shows
from support.oracle import DROP, REAL, cid, library, ora, peer_only
from support.readme import script_of
from support.server import BUILD, ROOT, wait_for

__all__ = ['cid', 'library', 'ora']  # fixtures

SERIES = 'WITH s(i) AS (SELECT 1 FROM dual UNION ALL SELECT i + 1 FROM s WHERE i < %s) SELECT i, RPAD(%s, 100, \'y\') AS t FROM s'


@pytest.fixture
def changing(library):
    """A server to be stopped and changed."""
    with peer(Oracle, library) as p:
        yield p


def test_the_server_sees_who_asks(api, ora, cid):
    """MODULE, ACTION and CLIENT_IDENTIFIER of v$session; the statement itself stays as it is, so that it is parsed once for all."""
    named = add(api, 'oracle', ora.config(application='shop; x={y}'))
    got = on(api, named, '''
out = [c.query("SELECT SYS_CONTEXT('USERENV', ?) AS v FROM dual", [w])[0]['V'] for w in ('MODULE', 'ACTION', 'CLIENT_IDENTIFIER')]
return out
''')
    assert got[0] == 'shop; x={y}' and got[1] == got[2] and got[1].endswith('__main.f'), got


@shows('streaming', 'row by row, bounded memory')
def test_large_results(api, ora):
    """max_result stops a result, stream() reads any; memory does not grow."""
    cid = add(api, 'oracle', ora.config(max_result=65536, array_size=100))
    got = on(api, cid, '''
sql, p = series % ('5000', "'x'"), series % ('?', "'x'")
told = [tell(lambda: c.query(sql)), tell(lambda: c.query(p, [5000])), tell(lambda: c.query("SELECT TO_CLOB(RPAD('x', 4000, 'x')) || RPAD('x', 4000, 'x') AS v FROM dual CROSS JOIN (%s)" % (series % ('20', "'x'"))))]
sums = []
for args in ((sql,), (p, [5000])):
    n = s = 0
    for row in c.stream(*args, size=1000):
        n += 1
        s += row['I']
    sums.append([n, s])
first = next(iter(c.stream(sql)))['I']
bad = tell(lambda: list(c.stream('SELECT * FROM nowhere')))
return [told, sums, first, bad, list(c.stream('UPDATE dual SET dummy = 1 WHERE 1 = 0')) if not real else [], c.query('SELECT 1 AS v FROM dual')]
''', series=SERIES, real=bool(REAL))
    assert [t[0] for t in got[0]] == ['LimitExceeded'] * 3 and 'max_result' in got[0][0][1], got[0]
    assert got[1] == [[5000, 12502500]] * 2 and got[2] == 1 and got[3][2] == 942 and got[4:] == [[], [{'V': 1}]]


class TestOracle(Deadlines):
    """What oracle shares with the other connectors, with any server."""

    type, fixture = 'oracle', 'ora'
    ask, gives = "c.query('SELECT 1 AS v FROM dual')", [{'V': 1}]
    endless = ['BEGIN DBMS_SESSION.SLEEP(20); END;']

    def still_running(self, api, it):
        if not REAL:
            return it.busy()
        return on(api, add(api, 'oracle', it.config()), "return c.query(\"SELECT count(*) AS n FROM v$session WHERE status = 'ACTIVE' AND username = USER"
                  " AND sid <> SYS_CONTEXT('USERENV', 'SID')\")[0]['N'] != 0")

    def test_a_deadline_among_many_rows(self, api, it):
        """The server answers all the time, and it never ends."""
        told, seconds, after = on(api, add(api, 'oracle', it.config(pool={'query': '400ms'})), '''
t = time.monotonic()
told = tell(lambda: c.query(series % ('100000000', "'x'")))
return [told, time.monotonic() - t, c.query('SELECT 1 AS v FROM dual')]
''', series=SERIES)
        assert told[0] == 'ConnTimeout' and 'did not end in time' in told[1] and seconds < 4 and after == self.gives, (told, seconds)


# ---- sign-in ----------------------------------------------------------------------------------------------


@peer_only
@shows('faults', 'refused')
@pytest.mark.parametrize('change, kind, says', [
    ({'password': 'wrong'}, 'Denied', 'sign-in: 127.0.0.1 port'),
    ({'password': ''}, 'Denied', 'ORA-01017'),
    ({'user': 'nobody'}, 'Denied', 'ORA-01017: invalid username/password; logon denied; check user and password'),
    ({'database': 'nowhere'}, 'ConfigError', 'service: 127.0.0.1 port'),
    ({'database': 'x)(SID=XE'}, 'ConfigError', 'database: a connect descriptor has no place for the character )'),
    ({'host': 'localhost', 'sid': 'nowhere'}, 'ConfigError', 'ORA-12505'),
    ({'database': ''}, 'ConfigError', 'database: the name of the service is missing'),
    ({'dsn': 'no_such_alias'}, 'ConfigError', 'name: ORA-12154: TNS:could not resolve the connect identifier specified; no such alias'),
    ({'dsn': '127.0.0.1:1/tenon'}, 'ConnUnavailable', 'TCP: ORA-12541: TNS:no listener; nobody listens there'),
    ({'port': 1}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'host': 'no.such.host.invalid'}, 'ConnUnavailable', 'DNS: the name `no.such.host.invalid` cannot be resolved'),
    ({'tls': 'yes'}, 'ConfigError', 'tls'),
    ({'tls': 'on'}, 'Denied', 'TLS: 127.0.0.1 port'),
    ({'wallet': '/opt/wallet'}, 'ConfigError', 'wallet: is for TLS, but tls is off'),
    ({'tls': 'on', 'wallet': '/opt/nowhere'}, 'ConfigError', 'wallet: /opt/nowhere has no cwallet.sso'),
    ({'tls': 'on', 'dsn': '127.0.0.1/tenon'}, 'ConfigError', 'tls: a dsn says itself how to connect'),
    ({'tls': 'on', 'wallet': 'x)(y=z', 'dsn': '127.0.0.1/tenon'}, 'ConfigError', 'wallet: a dsn says itself how to connect'),
    ({'hots': 'x'}, 'ConfigError', 'did you mean `host`?'),
])
def test_refused_with_the_step_that_failed(api, ora, change, kind, says):
    e = not_addable(api, 'oracle', ora.config(**change))
    assert e['exceptionType'] == kind and says in e['exception'], e
    assert PASSWORD not in str(e)


def wallet_of(library: str, name: str, *pem: str) -> str:
    """A folder with what the stand-in takes for a wallet."""
    folder = os.path.join(os.path.dirname(library), 'wallet of ' + name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'cwallet.sso'), 'w', encoding='ascii') as f:
        f.write('\n'.join(pem))
    return folder


@peer_only
@shows('TLS', 'by the stand-in as the descriptor tells it: verified', 'unknown authority refused', 'wrong name refused', 'client certificate', 'required but not offered refused')
def test_tls_of_the_descriptor(api, changing, library, certs):
    """Handshakes with real certificates, made from nothing but the descriptor: TCPS, whom to trust, whether the name counts. They are
    the stand-in's: how Oracle's own library judges is never seen."""
    ask = "return c.query('SELECT 1 AS v FROM dual')"
    ours, theirs = wallet_of(library, 'ours', certs.text('ca.pem')), wallet_of(library, 'theirs', certs.text('client.pem'))
    with_key, rubbish = wallet_of(library, 'a client', *certs.pair('client'), certs.text('ca.pem')), wallet_of(library, 'nobody', 'no certificate')
    changing.tls(certs)
    for change in ({'tls': 'on', 'host': 'localhost'}, {'tls': 'on'}, {'tls': 'any-name'}):
        assert on(api, add(api, 'oracle', changing.config(wallet=ours, **change)), ask) == [{'V': 1}], change

    def refusals(*cases):
        for change, kind, says in cases:
            e = not_addable(api, 'oracle', changing.config(pool={'connect': '3s'}, **change))
            assert e['exceptionType'] == kind and says in e['exception'] and ('TLS: 127.0.0.1 port' in e['exception']) == (kind == 'Denied'), (change, e)
    refusals(({'tls': 'on', 'wallet': theirs}, 'Denied', 'ORA-29024'), ({'tls': 'any-name', 'wallet': theirs}, 'Denied', 'ORA-29024'), ({'tls': 'on'}, 'Denied', 'ORA-29024'),
             ({'tls': 'on', 'wallet': rubbish}, 'Denied', 'ORA-28750'), ({}, 'ConnUnavailable', 'TCP: '))  # the last: the server wants TLS, the connector does not
    changing.tls(certs, 'wrong')
    refusals(({'tls': 'on', 'wallet': ours}, 'Denied', "ORA-29003: SSL transport detected mismatched server certificate.; check wallet, tls and the server's name"))
    assert on(api, add(api, 'oracle', changing.config(wallet=ours, tls='any-name')), ask) == [{'V': 1}]
    changing.tls(certs, client=True)
    refusals(({'tls': 'on', 'wallet': ours}, 'Denied', 'ORA-28860'))
    assert on(api, add(api, 'oracle', changing.config(wallet=with_key, tls='on')), ask) == [{'V': 1}]
    changing.secure = None
    changing.fault('tls', None)
    refusals(({'tls': 'on', 'wallet': ours}, 'Denied', 'ORA-28864'), ({'tls': 'any-name', 'wallet': ours}, 'Denied', 'ORA-28864'))


@peer_only
def test_other_ways_to_name_a_server(api, ora):
    descriptor = '(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT=%d))(CONNECT_DATA=(SERVICE_NAME=tenon)))' % ora.port
    for change in ({'sid': 'XE'}, {'dsn': '127.0.0.1:%d/tenon' % ora.port, 'database': 'x'}, {'dsn': descriptor, 'host': 'x.invalid'}, {'server': 'pooled'}, {'user': 'Tenon'},
                   {'host': 'localhost', 'stmt_cache': 0, 'prefetch_rows': 0, 'array_size': 1}):
        assert on(api, add(api, 'oracle', ora.config(**change)), "return c.query('SELECT 1 AS v FROM dual UNION ALL SELECT 2 FROM dual')") == [{'V': 1}, {'V': 2}], change


@peer_only
def test_without_the_client_library(api, library, tmp_path):
    """What to install and where it was looked for; the place cannot change once a process has loaded it."""
    config = {'host': 'localhost', 'port': 1521, 'user': 'u', 'password': PASSWORD, 'database': 'd', 'charset': 'utf8'}
    with Oracle(library) as ora:
        e = not_addable(api, 'oracle', {**config, 'port': ora.port, 'client': '/opt/nowhere'})
        assert e['exceptionType'] == 'ConfigError' and 'client: ' in e['exception'], e
        done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_oracle.so')]
                              + [a for k, v in {**config, 'port': ora.port, 'client': str(tmp_path)}.items() for a in ('--config', '%s=%s' % (k, v))],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert 'libclntsh.so cannot be loaded' in done.stdout and str(tmp_path) in done.stdout and 'Instant Client' in done.stdout, done.stdout
    assert PASSWORD not in done.stdout


# ---- faults -----------------------------------------------------------------------------------------------


FUNC = '''
@DFF.API('f', timeout=20)
def f(cid, sql):
    try:
        return DFF.CONN(cid).query(sql)
    except Exception as e:
        return [type(e).__name__, str(e), getattr(e, 'code', None)]
'''


def asker(api: Any, cid: str) -> Any:
    api_id = api.function(FUNC, 'f', {'cid': 'INPUT_BY_CALLER', 'sql': 'INPUT_BY_CALLER'})
    return lambda sql='SELECT 1 AS v FROM dual': api.result(api_id, cid=cid, sql=sql)


@peer_only
@shows('faults', 'server gone', 'server hangs', 'server restarted', 'password changed')
def test_a_server_that_goes_hangs_and_changes(api, cid, changing):
    """In the middle of a call and between calls; the pool recovers, the connectors of others are unaffected."""
    mine = add(api, 'oracle', changing.config(pool={'query': '700ms', 'connect': '700ms'}))
    ask = asker(api, mine)
    assert ask() == [{'V': 1}]
    timer = threading.Timer(0.3, changing.fault, ('down',))
    timer.start()
    told = ask('BEGIN DBMS_SESSION.SLEEP(10); END;')
    timer.join()
    assert told[0] == 'ConnUnavailable' and told[2] == 3113 and 'ORA-03113' in told[1], told
    assert wait_for(lambda: ask()[0] == 'ConnUnavailable') and 'ORA-12541' in ask()[1], ask()
    assert on(api, cid, "return c.query('SELECT 1 AS v FROM dual')") == [{'V': 1}]
    changing.fault('down', None)
    assert wait_for(lambda: ask() == [{'V': 1}])
    changing.fault('hang')
    started = time.monotonic()
    assert ask()[0] == 'ConnTimeout' and ask()[0] == 'ConnTimeout' and time.monotonic() - started < 8
    changing.fault('hang', None)
    assert wait_for(lambda: ask() == [{'V': 1}])
    changing.password('another')
    changing.fault('down')
    assert wait_for(lambda: ask()[0] == 'ConnUnavailable')
    changing.fault('down', None)
    assert wait_for(lambda: ask()[0] == 'Denied')
    api.post('/connectors/%s/do/modify' % mine, {'data': {'configJSON': changing.config(password='another')}})
    assert ask() == [{'V': 1}]


@peer_only
@pytest.mark.parametrize('code, kind', [(12170, 'ConnTimeout'), (12516, 'LimitExceeded'), (28000, 'Denied'), (1033, 'ConnUnavailable'), (28759, 'Denied'), (12506, 'Denied'), (12529, 'Denied'), (12660, 'ConfigError'), (99999, 'ConnUnavailable')])
def test_what_a_listener_may_answer(api, changing, code, kind):
    changing.fault('refuse', code)
    e = not_addable(api, 'oracle', changing.config())
    assert e['exceptionType'] == kind and 'ORA-%05d' % code in e['exception'], e


@peer_only
def test_what_a_caller_left_behind_ends(api, server, changing):
    """The thread of a connection goes when the server comes back, and with a server that does not stop by the client's own limit."""
    ask = asker(api, add(api, 'oracle', changing.config(pool={'query': '400ms'}), skipTest=True))
    before = hands(server)
    ask()
    changing.fault('hang')
    assert ask()[0] == 'ConnTimeout'
    changing.fault('hang', None)
    assert wait_for(lambda: hands(server) <= before, 15)
    changing.fault('deaf')
    started = time.monotonic()
    assert ask('BEGIN DBMS_SESSION.SLEEP(30); END;')[0] == 'ConnTimeout' and time.monotonic() - started < 2
    assert changing.busy() and wait_for(lambda: not changing.busy() and hands(server) <= before, 15)


def test_connections_of_many_calls(api, cid):
    ask = asker(api, cid)
    sids = {ask("SELECT SYS_CONTEXT('USERENV', 'SID') AS s FROM dual")[0]['S'] for _ in range(60)}
    assert len(sids) <= 2 * len(api.get('/monitor/platform/do/get')['broker']['workers'])


def test_threads(api, ora):
    cid = add(api, 'oracle', ora.config(pool={'max': 4}))
    got = run(api, '''
@DFF.API('f')
def f(cid):
    c = DFF.CONN(cid)
    for _ in range(4):
        DFF.THREAD.submit(c.call, "BEGIN DBMS_SESSION.SLEEP(0.4); :s := SYS_CONTEXT('USERENV', 'SID'); END;", None, {'s': 'str'})
    return sorted({r.value['s'] if r.value else str(r.error) for r in DFF.THREAD.get_all_results()})
''', cid=cid)
    assert len(got) == 4, got


def test_debug_panel(api, cid):
    on(api, cid, DROP + "drop('panel')\nc.non_query('CREATE TABLE panel (c0 NUMBER(10))')")
    ask = lambda sql: api.post('/connectors/%s/do/query' % cid, {'queryStatement': sql})
    assert any(r['TABLE_NAME'] == 'PANEL' for r in ask('SELECT owner, table_name FROM all_tables'))
    assert {'COLUMN_NAME': 'C0', 'DATA_TYPE': 'NUMBER'} in ask("SELECT column_name, data_type FROM user_tab_columns WHERE table_name = 'PANEL'")
    assert refused(api, 'POST', '/connectors/%s/do/query' % cid, {'queryStatement': 'SELECT nope FROM dual'})['reason'] == 'EClientBadRequest.QueryFailed'


def test_readme(api, cid, ora):
    """The script of the README runs as it stands."""
    on(api, cid, DROP + """
for t in ('item', 'log'):
    drop(t)
    c.non_query('CREATE TABLE ' + t + ' (id NUMBER(10) PRIMARY KEY, name VARCHAR2(50))')
    c.non_query('INSERT INTO ' + t + ' (id) VALUES ?', [[[1], [2]]])
""")
    add(api, 'oracle', ora.config(), id='erp_oracle')
    api.result(api.function(script_of(os.path.join(ROOT, 'connectors/oracle/README.md')), 'f'))
    assert on(api, cid, "return c.query('SELECT id, name FROM item ORDER BY id')") == [{'ID': i, 'NAME': n} for i, n in ((1, 'tea'), (2, None), (3, 'a'), (4, 'b'), (5, 'c'))]


@peer_only
def test_contract(ora):
    """tenon-plugin-check against the live plugin and the stand-in."""
    done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_oracle.so')]
                          + [a for k, v in ora.config().items() for a in ('--config', '%s=%s' % (k, v))]
                          + ['--call', 'query=["SELECT 1 AS a, NULL AS b FROM dual"]', '--call', 'check',
                             '--call', 'call=["BEGIN NULL; END;"]', '--call', 'non_query=["SELECT 1 FROM dual"]'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@peer_only
@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'oracle', 'ODPI-C, Oracle Instant Client', 'stand-in for the client library (no Oracle server)')
