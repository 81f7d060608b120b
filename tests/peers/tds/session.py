# SPDX-License-Identifier: Apache-2.0
"""One session's database: SQLite with what a connection of SQL Server knows of itself, statement by statement."""

import datetime
import re
import time
import uuid
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import apsw

from . import sql, values
from .values import Bad, Type


class Failed(Exception):
    """args: number, severity, text; `event` as in a Result."""

    event = ''


def _text(token: sql.Token) -> str:
    """Of a literal."""
    return token.text.lstrip('nN')[1:-1].replace("''", "'")


class Result(NamedTuple):
    """What one statement gave: columns and rows, or a number of changed rows, or nothing (-1)."""

    columns: Optional[List[Tuple[str, Type]]] = None
    rows: Iterator[Tuple] = iter(())
    count: int = -1
    command: int = 0xfd
    event: str = ''  # begin, commit, rollback, use: what the client must be told
    says: Tuple = ()  # a message that is no error: number, severity, text


_COMMANDS = {'SELECT': 0xc1, 'WITH': 0xc1, 'INSERT': 0xc3, 'DELETE': 0xc4, 'UPDATE': 0xc5, 'TRUNCATE': 0xc4}
_VIEWS = '''
CREATE TEMP TABLE IF NOT EXISTS sys_sessions (session_id INT_int_0_0, program_name TEXT_nvarchar_128_0, login_name TEXT_nvarchar_128_0);
CREATE TEMP TABLE IF NOT EXISTS sys_requests (session_id INT_int_0_0, command TEXT_nvarchar_32_0);
CREATE TEMP TABLE IF NOT EXISTS sys_input_buffer (event_info TEXT_nvarchar_4000_0);
CREATE TEMP TABLE IF NOT EXISTS sys_databases (name TEXT_nvarchar_128_0, database_id INT_int_0_0);
CREATE TEMP TABLE IF NOT EXISTS sys_columns (TABLE_NAME TEXT_nvarchar_128_0, COLUMN_NAME TEXT_nvarchar_128_0, DATA_TYPE TEXT_nvarchar_128_0);
CREATE TEMP VIEW IF NOT EXISTS sys_tables AS SELECT name, rootpage AS object_id FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'tds_%';
CREATE TEMP VIEW IF NOT EXISTS sys_is_tables AS SELECT 'tenon' AS TABLE_CATALOG, 'dbo' AS TABLE_SCHEMA, name AS TABLE_NAME, 'BASE TABLE' AS TABLE_TYPE
    FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'tds_%' AND name NOT LIKE 'sqlite_%';
'''


class Session:
    """`others` tells (spid, program, login, running statement or '') of all sessions; `waiting` sleeps and returns True when
    the client has sent an attention."""

    def __init__(self, path: str, spid: int, login: Dict[str, str], others: Callable[[], List[Tuple]], waiting: Callable[[float], bool]) -> None:
        self.spid, self.login, self.others, self.waiting = spid, login, others, waiting
        self.db_name = login.get('database') or 'master'
        self.trancount, self.rowcount = 0, 0
        self.path = path
        self.options: Dict[str, str] = {}
        self._open()

    def _open(self) -> None:
        self.db = apsw.Connection(self.path)
        self.db.setbusytimeout(3000)
        self.db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)  # "x" is a name, never a text
        functions: Dict[str, Tuple[Callable, int]] = {
            'tds_cast': (sql.cast, 2), 'tds_spid': (lambda: self.spid, 0), 'tds_trancount': (lambda: self.trancount, 0),
            'tds_rowcount': (lambda: self.rowcount, 0), 'tds_version': (lambda: 'Tenon TDS peer, not Microsoft SQL Server', 0),
            'tds_precision': (lambda: 38, 0), 'tds_server': (lambda: 'peer', 0), 'tds_language': (lambda: 'us_english', 0),
            'tds_lock_timeout': (lambda: int(self.options.get('LOCK_TIMEOUT', '-1')), 0), 'tds_db': (lambda *a: self.db_name, -1),
            'tds_app': (lambda: self.login.get('app', ''), 0), 'tds_user': (lambda *a: self.login.get('user', ''), -1),
            'tds_host': (lambda: self.login.get('host', ''), 0), 'tds_now': (lambda: datetime.datetime.now().isoformat(' ') + '0', 0),
            'tds_charindex': (lambda a, b, *c: b.lower().find(a.lower()) + 1, -1), 'tds_replicate': (lambda t, n: t * n, 2),
            'tds_datalength': (lambda v: None if v is None else len(v) if isinstance(v, bytes) else len(str(v)) * 2, 1),
            'tds_newid': (lambda: str(uuid.uuid4()).upper(), 0), 'tds_property': (lambda n: {'ProductVersion': '16.0.0.0'}.get(n), 1)}
        for name, (f, n) in functions.items():
            self.db.createscalarfunction(name, f, n)
        for line in _VIEWS.split(';\n'):
            self.db.cursor().execute(line)

    def reset(self) -> None:
        """What the bit RESETCONNECTION asks for."""
        if self.trancount:
            self.db.cursor().execute('ROLLBACK')
        self.db.close()
        self.trancount, self.options, self.db_name = 0, {}, self.login.get('database') or 'master'
        self._open()

    def close(self) -> None:
        self.db.close(True)

    # ---- statements ----------------------------------------------------------------------------------------

    def run(self, text: str, params: Dict[str, Tuple[Type, Any]]) -> Iterator[Result]:
        """All statements of a batch, as far as the first error (Failed)."""
        try:
            for ts in sql.statements(text):
                yield self._one(ts, params)
        except Bad as e:
            raise Failed(e.args[0], 16, e.args[1]) from None

    def _one(self, ts: List[sql.Token], params: Dict[str, Tuple[Type, Any]]) -> Result:
        first, second = ts[0].up(), ts[1].up() if len(ts) > 1 else ''
        if first == 'IF' and second.startswith('@@') and len(ts) > 4:  # IF @@TRANCOUNT > 0 …
            have = {'@@TRANCOUNT': self.trancount}.get(second, 0)
            return self._one(ts[4:], params) if have > int(ts[3].text) else Result()
        if first in ('BEGIN', 'COMMIT', 'ROLLBACK') and (first != 'BEGIN' or second.startswith('TRAN')):
            return Result(event=self.transaction(first.lower()))
        if first == 'SET':
            self.options[second] = ts[-1].text
            return Result()
        if self.options.get('IMPLICIT_TRANSACTIONS', '').upper() == 'ON' and self.trancount == 0 and first in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CREATE', 'DROP'):
            event = self.transaction('begin')
            return self._plain(ts, params)._replace(event=event)
        return self._plain(ts, params)

    def _plain(self, ts: List[sql.Token], params: Dict[str, Tuple[Type, Any]]) -> Result:
        first, second = ts[0].up(), ts[1].up() if len(ts) > 1 else ''
        if first == 'USE':
            return self._use(sql.name_of(ts[1]))
        if first == 'WAITFOR':
            h, m, s = (float(p) for p in ts[2].text.strip("nN'").split(':'))
            self.sleep(h * 3600 + m * 60 + s)
            return Result()
        if first == 'DENY':
            self.db.cursor().execute('INSERT INTO tds_denied VALUES (?)', (sql.name_of(ts[-3]).lower(),))
            return Result()
        if first == 'GRANT':
            return Result()
        if first == 'PRINT':
            return Result(says=(0, 0, _text(ts[1])))
        if first == 'RAISERROR':
            return self._raise(50000, int(ts[4].text), _text(ts[2]))
        if first == 'EXEC' and second == 'TDS_ERROR':  # ours: any number of the server's
            return self._raise(int(ts[2].text), int(ts[4].text), 'as the test wants it')
        if first == 'DROP' and second == 'TABLE' and len(ts) > 3 and ts[2].up() == 'IF':
            ts = ts[:2] + [sql.Token('word', 'IF'), sql.Token('word', 'EXISTS')] + ts[4:]
        elif first not in _COMMANDS and first not in ('CREATE', 'DROP', 'ALTER', 'TRUNCATE'):
            if re.fullmatch(r'\w+', ts[0].text):
                raise Failed(2812, 16, "Could not find stored procedure '%s'." % sql.name_of(ts[1 if first in ('EXEC', 'EXECUTE') and len(ts) > 1 else 0]))
            raise Failed(102, 15, "Incorrect syntax near '%s'." % ts[0].text)
        return self._execute(sql.Rewrite(ts, {k: v[0] for k, v in params.items()}), params)

    def _raise(self, number: int, severity: int, text: str) -> Result:
        """A message, an error, or one that costs the transaction."""
        if severity <= 10:
            return Result(says=(number, severity, text))
        e = Failed(number, severity, text)
        if self.trancount and (number in (1205, 3960) or self.options.get('XACT_ABORT', '').upper() == 'ON'):
            e.event = self.transaction('rollback')
        raise e

    def _use(self, name: str) -> Result:
        if name.lower() not in ('tenon', 'master', 'tempdb'):
            raise Failed(911, 16, "Database '%s' does not exist. Make sure that the name is entered correctly." % name)
        self.db_name = name
        return Result(event='use')

    def sleep(self, seconds: float) -> None:
        """WAITFOR: ends early when the client does not want it any more."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.waiting(min(0.2, end - time.monotonic())):
                raise Failed(0, 0, '')

    def transaction(self, what: str) -> str:
        """begin, commit, rollback -> the event to tell, '' when nothing changes at the outside."""
        if what == 'begin':
            self.trancount += 1
            if self.trancount > 1:
                return ''
            self.db.cursor().execute('BEGIN')
        elif self.trancount == 0:
            raise Failed(3902 if what == 'commit' else 3903, 16, 'The %s TRANSACTION request has no corresponding BEGIN TRANSACTION.' % what.upper())
        elif what == 'commit' and self.trancount > 1:
            self.trancount -= 1
            return ''
        else:
            self.trancount = 0
            self.db.cursor().execute(what.upper())
        return what

    def _facts(self, tables: List[str]) -> None:
        """Fills the tables about the server that a statement mentions."""
        for name in {t for t in tables if t.startswith('sys_')}:
            c = self.db.cursor()
            if name == 'sys_sessions':
                c.execute('DELETE FROM sys_sessions')
                c.executemany('INSERT INTO sys_sessions VALUES (?, ?, ?)', [o[:3] for o in self.others()])
            elif name == 'sys_requests':
                c.execute('DELETE FROM sys_requests')
                c.executemany('INSERT INTO sys_requests VALUES (?, ?)', [(o[0], re.sub(r'/\*.*?\*/\s*', '', o[3], flags=re.S).split(' ')[0].upper()) for o in self.others() if o[3]])
            elif name == 'sys_input_buffer':
                c.execute('DELETE FROM sys_input_buffer')
                c.executemany('INSERT INTO sys_input_buffer VALUES (?)', [(o[3],) for o in self.others() if o[0] == self.spid])
            elif name == 'sys_databases':
                c.execute('DELETE FROM sys_databases')
                c.executemany('INSERT INTO sys_databases VALUES (?, ?)', [('master', 1), ('tempdb', 2), ('tenon', 5)])
            elif name == 'sys_columns':
                c.execute('DELETE FROM sys_columns')
                for table, in self.db.cursor().execute("SELECT name FROM main.sqlite_master WHERE type = 'table'"):
                    for row in list(self.db.cursor().execute('SELECT name, type FROM pragma_table_info(?)', (table,))):
                        t = values.from_declared(row[1])
                        c.execute('INSERT INTO sys_columns VALUES (?, ?, ?)', (table, row[0], t.name if t else 'int'))

    def _execute(self, r: sql.Rewrite, params: Dict[str, Tuple[Type, Any]]) -> Result:
        words = re.findall(r'\bsys_\w+', r.sql)
        self._facts(words)
        denied = {row[0] for row in self.db.cursor().execute('SELECT name FROM tds_denied')}
        for name in r.tables:
            if name.lower() in denied and self.login.get('user') != 'sa':
                raise Failed(229, 14, "The SELECT permission was denied on the object '%s', database 'tenon', schema 'dbo'." % name)
        by_name = {k.upper(): v[1] for k, v in params.items()}
        described: List[Tuple] = []
        cursor = self.db.cursor()

        def look(c: apsw.Cursor, _text: str, _binds: Any) -> bool:
            described.extend(c.getdescription())
            return True
        cursor.setexectrace(look)
        before = self.db.totalchanges()
        try:
            rows = iter(cursor.execute(r.sql, {u[1:]: by_name[u.upper()] for u in r.used}))
            first = next(rows, None)
        except apsw.Error as e:
            raise Failed(*sql.error(e, r.sql)) from None
        except Bad as e:
            raise Failed(e.args[0], 16, e.args[1]) from None
        command = _COMMANDS.get(r.first, 0xfd)
        if not described:
            changed = self.db.totalchanges() - before if r.first in _COMMANDS else -1
            self.rowcount = max(changed, 0)
            return Result(count=changed, command=command)
        known = r.types if len(r.types) == len(described) else [None] * len(described)
        columns = [('' if re.match(r"tds_|\w+ ?\(|[\d'@-]", d[0]) else d[0], t or values.from_declared(d[1]) or values.of_value(first[i] if first else None))
                   for i, (d, t) in enumerate(zip(described, known))]
        return Result(columns, self._rows(first, rows, r.sql), command=command)

    def _rows(self, first: Optional[Tuple], rest: Iterator[Tuple], text: str) -> Iterator[Tuple]:
        self.rowcount = 0
        try:
            while first is not None:
                self.rowcount += 1
                yield first
                first = next(rest, None)
        except apsw.Error as e:
            raise Failed(*sql.error(e, text)) from None
        except Bad as e:
            raise Failed(e.args[0], 16, e.args[1]) from None
