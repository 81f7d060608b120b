# SPDX-License-Identifier: Apache-2.0
"""connectors/sqlite in scripts, compared with Python's own sqlite3 module; files that are gone, locked, damaged, full or replaced."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time

import pytest
from support.cases import Contract, Deadlines, Injection, Panel, Readme, Refusals, calls
from support.connectors import add, fresh, on
from support.matrix import check_row, shows

ENDLESS = 'INSERT INTO endless WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n'  # holds the lock of writers
NUMBERS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %s) '


class Files:
    """Databases in a folder where workers may write."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, name: str = 'x.db') -> str:
        """The path of a file."""
        return os.path.join(self.folder, name)

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'path': self.path(), **more}

    def ask(self, sql: str, *params: object, name: str = 'x.db') -> list:
        """What Python's module has."""
        with contextlib.closing(sqlite3.connect(self.path(name))) as db:
            rows = db.execute(sql, params).fetchall()
            db.commit()
            return rows


@pytest.fixture(scope='module')
def files(server):
    made = Files(os.path.join(server.data, 'resources'))
    made.ask('PRAGMA journal_mode=WAL')
    made.ask('CREATE TABLE endless (x)')
    with open(made.path('text.db'), 'w', encoding='ascii') as f:
        f.write('no database at all ' * 1000)
    return made


@pytest.fixture(scope='module')
def cid(server, files):
    return add(server.client(), 'sqlite', files.config())


@pytest.fixture
def t():
    """A table nobody has."""
    return fresh('t')


def test_types(api, cid, files, t):
    """What goes in comes out, and is the same to another program."""
    got = on(api, cid, '''
c.non_query('CREATE TABLE ?? (a, b, c, d, e, f, g, h)', [t])
utc = datetime.timezone.utc
values = [None, True, -2**63, 0.1, 'ü', b'\\x00\\xff', decimal.Decimal('12.50'), datetime.datetime(2026, 1, 2, 3, 4, 5, 6, utc)]
out = [c.non_query('INSERT INTO ?? VALUES (?)', [t, values])]
row = c.query_one('SELECT * FROM ??', [t])
out += [list(row), [[type(v).__name__, repr(v)] for v in row.values()], c.query_one('SELECT * FROM ?? WHERE a = 1', [t])]
out += [c.query('SELECT date(?) AS d, ? AS naive, ? AS clock', [datetime.date(2024, 2, 29), datetime.datetime(2026, 1, 2), datetime.time(8, 30)])]
out += [c.query('SELECT :a + :b AS s', {'a': 1, 'b': 2}), c.query('SELECT ? AS v', 5), tell(lambda: c.query('SELECT ?', [2**64])) and 'big']
return out
''', t=t)
    assert got[0] == 1 and got[1] == list('abcdefgh') and got[3] is None
    assert got[2] == [['NoneType', 'None'], ['int', '1'], ['int', str(-2**63)], ['float', '0.1'], ['str', "'\u00fc'"], ['bytes', r"b'\x00\xff'"],
                      ['str', "'12.50'"], ['str', "'2026-01-02 03:04:05.000006+00:00'"]]
    assert got[4] == [{'d': '2024-02-29', 'naive': '2026-01-02 00:00:00.000000', 'clock': '08:30:00.000000'}] and got[5:7] == [[{'s': 3}], [{'v': 5}]]
    assert files.ask('SELECT * FROM ' + t) == [(None, 1, -2**63, 0.1, '\u00fc', b'\x00\xff', '12.50', '2026-01-02 03:04:05.000006+00:00')]
    files.ask("INSERT INTO %s (a, b) VALUES (CAST(x'ff' AS TEXT), ?)" % t, 'theirs')
    assert on(api, cid, "return repr(c.query('SELECT a, b FROM ?? WHERE b = ?', [t, 'theirs']))", t=t) == r"[{'a': b'\xff', 'b': 'theirs'}]"


def test_transactions(api, cid):
    """commit, rollback, and a transaction that the script forgot."""
    api_id = api.function('''
@DFF.API('f')
def f(id, how):
    c = DFF.CONN(id)
    c.non_query('CREATE TABLE IF NOT EXISTS t (x)')
    t = c.start_trans()
    n = c.trans_non_query(t, 'INSERT INTO t VALUES (?)', [how])
    seen = c.trans_query(t, 'SELECT count(*) AS n FROM t WHERE x = ?', [how])[0]['n']
    if how == 'commit':
        c.commit(t)
    elif how == 'rollback':
        c.rollback(t)
    c.rollback(None)
    if how != 'forget':
        try:
            c.trans_query(t, 'SELECT 1')
        except RuntimeError as e:
            return [n, seen, str(e)]
    return [n, seen]
''', 'f', {'id': 'INPUT_BY_CALLER', 'how': 'INPUT_BY_CALLER'})
    for how in ('commit', 'rollback', 'forget'):
        got = api.result(api_id, id=cid, how=how)
        assert got[:2] == [1, 1] and (how == 'forget' or 'has ended' in got[2])
    assert on(api, cid, "return c.query('SELECT x FROM t')") == [{'x': 'commit'}]


@shows('streaming', 'row by row, bounded memory')
def test_stream(api, cid, sanitized):
    n = 20000 if sanitized else 1000000
    got = on(api, cid, '''
import resource
stream = c.stream(numbers + 'SELECT i, printf(?, i) AS t FROM n', [n, '%050d'])
rows, total, first = 1, 1, next(stream)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for row in stream:
    rows += 1
    total += row['i']
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
left = next(c.stream(numbers + 'SELECT i FROM n', [10]))
return [rows, total, grown, first['t'], left, list(c.stream('SELECT 1 WHERE 0')), tell(lambda: list(c.stream('SELEKT'))), c.query('SELECT 1 AS v')]
''', n=n, numbers=NUMBERS % '?')
    assert got[:2] == [n, n * (n + 1) // 2] and got[3:6] == ['%050d' % 1, {'i': 1}, []] and got[6][0] == 'QueryError' and got[7] == [{'v': 1}]
    assert sanitized or got[2] < 16 * 1024, got[2]


def test_limits(api, files):
    cid = add(api, 'sqlite', files.config(max_result='64k'))
    got = on(api, cid, "return [tell(lambda: c.query(sql)), len(list(c.stream(sql, None, 100))), tell(lambda: c.query('SELECT zeroblob(600000000)'))]",
             sql=NUMBERS % 5000 + 'SELECT i, zeroblob(100) AS b FROM n')
    assert got[0][0] == 'LimitExceeded' and 'max_result' in got[0][1] and got[1] == 5000 and got[2][0] == 'LimitExceeded', got


def test_nothing_is_left_for_the_next_call(api, files, t):
    """Neither temporary tables nor attached files nor the number of the last row."""
    cid = add(api, 'sqlite', files.config(pool={'max': 1}))
    mine = "c.non_query('CREATE TEMP TABLE mine (x)'); c.non_query('CREATE TABLE ?? (x)', [t]); return c.non_query('INSERT INTO ?? VALUES (1)', [t])"
    assert on(api, cid, mine, t=t) == 1
    for _ in range(4):  # whichever worker it is
        got = on(api, cid, "return [tell(lambda: c.query('SELECT * FROM mine')), c.query_one('SELECT last_insert_rowid() AS i')['i'], tell(lambda: c.query(\"ATTACH '' AS x\"))]")
        assert got[0][0] == 'QueryError' and got[1] == 0 and got[2][0] == 'Denied', got


# ---- faults -----------------------------------------------------------------------------------------------------


@shows('faults', 'locked')
def test_locked_by_another_process(api, files, t):
    """Waited for as long as busy_timeout or the deadline says; readers are not concerned."""
    files.ask('CREATE TABLE %s (x)' % t)
    config = files.config(busy_timeout='300ms')
    write = calls(api, add(api, 'sqlite', config), "c.non_query('INSERT INTO %s VALUES (1)')" % t)
    late = calls(api, add(api, 'sqlite', {**config, 'busy_timeout': '60s', 'pool': {'query': '400ms'}}), "c.non_query('INSERT INTO %s VALUES (1)')" % t)
    read = calls(api, add(api, 'sqlite', config), "c.query('SELECT count(*) AS n FROM %s')" % t)
    assert write() == late() == 1
    with contextlib.closing(sqlite3.connect(files.path(), isolation_level=None)) as other:
        other.execute('BEGIN IMMEDIATE')
        started = time.monotonic()
        told = [write(), late()]
        assert [k[0] for k in told] == ['ConnUnavailable', 'ConnTimeout'] and time.monotonic() - started < 8, told
        assert 'another connection holds the lock' in told[0][1] and read() == [{'n': 2}]
    assert write() == late() == 1 and read() == [{'n': 4}]


@shows('faults', 'read-only')
def test_read_only(api, files, t):
    files.ask('CREATE TABLE %s (x)' % t)
    cid = add(api, 'sqlite', files.config(readonly=True))
    got = on(api, cid, "return [c.query('SELECT count(*) AS n FROM ??', [t]), tell(lambda: c.non_query('INSERT INTO ?? VALUES (1)', [t])), c.query('SELECT 1 AS v')]", t=t)
    assert got[0] == [{'n': 0}] and got[1][0] == 'Denied' and 'read-only' in got[1][1] and got[2] == [{'v': 1}]


@shows('faults', 'damaged')
def test_a_damaged_page(api, files, cid):
    """Told as what it is; other files go on; so does this one when a backup is put back."""
    name = fresh('d') + '.db'
    files.ask('CREATE TABLE t (x)', name=name)
    files.ask(NUMBERS % 500 + 'INSERT INTO t SELECT randomblob(1000) FROM n', name=name)
    shutil.copy(files.path(name), files.path(name + '.copy'))
    ask = calls(api, add(api, 'sqlite', {'path': files.path(name)}), "c.query('SELECT count(*) AS n, max(length(x)) AS m FROM t')")
    well = ask()
    assert well == [{'n': 500, 'm': 1000}]
    size = os.path.getsize(files.path(name))
    with open(files.path(name), 'r+b') as f:
        f.seek(8192)
        f.write(b'\xa5' * (size - 8192))
    other = calls(api, add(api, 'sqlite', {'path': files.path(name), 'busy_timeout': '1s'}), "c.query('SELECT count(*) AS n, max(length(x)) AS m FROM t')")
    told = other()
    assert told[0] == 'QueryError' and 'damaged' in told[1], told
    assert on(api, cid, "return c.query('SELECT 1 AS v')") == [{'v': 1}]
    os.replace(files.path(name + '.copy'), files.path(name))
    assert [ask() for _ in range(4)] == [well] * 4 and other() == well


@shows('faults', 'replaced')
def test_a_file_that_is_replaced(api, files):
    """The next call reads and writes the new one, whichever worker it meets."""
    name = fresh('r') + '.db'
    for n, other in ((1, name), (2, name + '.new')):
        files.ask('CREATE TABLE t (x)', name=other)
        files.ask('INSERT INTO t VALUES (?)', n, name=other)
    cid = add(api, 'sqlite', {'path': files.path(name)})
    read = calls(api, cid, "c.query('SELECT x FROM t')")
    assert [read() for _ in range(6)] == [[{'x': 1}]] * 6
    for end in ('-wal', '-shm'):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(files.path(name + end))
    os.replace(files.path(name + '.new'), files.path(name))
    assert [read() for _ in range(6)] == [[{'x': 2}]] * 6
    assert calls(api, cid, "c.non_query('INSERT INTO t VALUES (3)')")() == 1 and files.ask('SELECT x FROM t ORDER BY x', name=name) == [(2,), (3,)]


@shows('faults', 'disk full')
def test_a_full_disk(new_server, tmp_path):
    """64 MB that fill up: an error that says so, the file stays whole, and it goes on when there is space."""
    data = str(tmp_path / 'data')
    disk = os.path.join(data, 'resources')
    os.makedirs(disk)
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'tenon', disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip('mounting needs root: ' + mounted.stderr.decode())
    try:
        server = new_server(data=data)
        server.start()
        api = server.client()
        full = Files(disk)
        with open(full.path('ballast'), 'wb') as f:
            f.write(bytes(16 << 20))
        cid = add(api, 'sqlite', full.config())
        fill = calls(api, cid, "c.non_query(%r)" % (NUMBERS % 1000 + 'INSERT INTO t SELECT zeroblob(20000) FROM n'))
        assert on(api, cid, "return c.non_query('CREATE TABLE t (x)')") == 0
        told = [fill() for _ in range(5)][-1]
        assert told[0] == 'QueryError' and 'full' in told[1], told
        left = on(api, cid, "return [c.query('SELECT count(*) % 1000 AS n FROM t')[0]['n'], c.query('PRAGMA quick_check')]")
        assert left == [0, [{'quick_check': 'ok'}]], left
        os.unlink(full.path('ballast'))
        assert on(api, cid, "return [c.non_query('INSERT INTO t VALUES (1)'), c.query('SELECT x FROM t WHERE x = 1')]") == [1, [{'x': 1}]]
        assert server.stop() == 0
    finally:
        subprocess.run(['umount', '-l', disk], check=True)


class TestSQLite(Contract, Readme, Panel, Refusals, Deadlines, Injection):
    """What sqlite shares with the other connectors."""

    type, fixture = 'sqlite', 'files'
    ask, gives = "c.query('SELECT 1 AS v')", [{'v': 1}]
    victim, no_name = 'v text, b blob', (1,)
    endless = [ENDLESS, ENDLESS + ' WHERE i > 0', [ENDLESS + ' WHERE i > ?', [0]]]
    refusals = [({'path': '/nonexistent/x.db'}, 'ConnUnavailable', 'check that the folder exists'), ({'path': '/'}, ('ConnUnavailable', 'Denied'), 'sqlite /'),
                ({'synchronous': 'off'}, 'ConfigError', 'synchronous'), ({'pth': 'x'}, 'ConfigError', 'did you mean `path`?')]
    panel = [("SELECT name FROM sqlite_schema WHERE type = 'table'", lambda rows: {'name': 'panel'} in rows),
             ('PRAGMA table_info(panel)', lambda rows: rows[0]['name'] == 'c0'), ("SELECT x'00ff' AS b", lambda rows: rows == [{'b': '\x00\\xff'}])]
    panel_refused, before_panel = 'SELEKT', "c.non_query('CREATE TABLE IF NOT EXISTS panel (c0)')"
    contract = ['query=["SELECT 1 AS a, NULL AS b, x\'00\' AS c"]', 'non_query=["CREATE TEMP TABLE x (a)"]']
    readme_id, readme_gives = 'lite', [2, ['tea', 'cocoa'], 'cocoa', 3, 2]

    def changed(self, it, change):
        return it.config(**change)

    def still_running(self, api, it):
        """Whether a statement still holds the lock of writers."""
        del api
        with contextlib.closing(sqlite3.connect(it.path(), timeout=0, isolation_level=None)) as db:
            try:
                db.execute('BEGIN IMMEDIATE')
            except sqlite3.OperationalError as e:
                assert 'locked' in str(e), e
                return True
        return False

    def contract_config(self, it):
        return {'path': it.path('contract.db')}

    @pytest.mark.parametrize('change', [{'readonly': True}, {}])
    def test_no_database(self, api, files, change):
        """A file of something else is not touched."""
        with open(files.path('text.db'), 'rb') as f:
            was = f.read()
        told = calls(api, add(api, 'sqlite', files.config(path=files.path('text.db'), **change), skipTest=True), self.ask)()
        assert told[0] == 'QueryError' and 'not a SQLite database' in told[1] or told == self.gives and change, told
        if change:
            missing = calls(api, add(api, 'sqlite', files.config(path=files.path('none.db'), **change), skipTest=True), self.ask)()
            assert missing[0] == 'ConnUnavailable' and not os.path.exists(files.path('none.db')), missing
        with open(files.path('text.db'), 'rb') as f:
            assert f.read() == was


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'sqlite', 'sqlite3', 'SQLite 3.40')
