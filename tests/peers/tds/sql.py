# SPDX-License-Identifier: Apache-2.0
"""A small part of T-SQL on SQLite: texts are cut into tokens, statements are taken apart, names of types are kept in
the declarations of columns, so that a result says what SQL Server would say."""

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import apsw

from . import values
from .values import Bad, Type

_TOKEN = re.compile(r"""
    (?P<note>--[^\n]*) | (?P<open>/\*) | (?P<space>\s+) | (?P<text>[nN]?'(?:[^']|'')*') | (?P<name>\[(?:[^\]]|\]\])*\] | "(?:[^"]|"")*") |
    (?P<hex>0[xX][0-9a-fA-F]*) | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?) | (?P<word>(?:@@|[@\#]{1,2})?[^\W\d][\w$\#@]*) |
    (?P<op><>|!=|<=|>=|\|\||.)
""", re.X | re.S)
_STARTS = {'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CREATE', 'DROP', 'ALTER', 'TRUNCATE', 'BEGIN', 'COMMIT', 'ROLLBACK', 'SAVE', 'SET', 'USE',
           'WAITFOR', 'EXEC', 'EXECUTE', 'IF', 'DECLARE', 'PRINT', 'RAISERROR', 'DENY', 'GRANT', 'WITH', 'KILL'}


class Token(NamedTuple):
    """kind: text, name (in quotes), hex, number, word, op."""

    kind: str
    text: str
    line_start: bool = False

    def up(self) -> str:
        return self.text.upper() if self.kind == 'word' else self.text if self.kind == 'op' else ''


def tokens(text: str) -> List[Token]:
    """Without blanks and comments (which nest)."""
    out: List[Token] = []
    at, fresh = 0, True
    while at < len(text):
        m = _TOKEN.match(text, at)
        assert m is not None and m.lastgroup is not None
        at, kind = m.end(), m.lastgroup
        if kind == 'open':
            depth = 1
            while depth and at < len(text):
                two = text[at:at + 2]
                depth += (two == '/*') - (two == '*/')
                at += 2 if two in ('/*', '*/') else 1
            if depth:
                raise Bad(113, "Missing end comment mark '*/'.")
        elif kind in ('note', 'space'):
            fresh = fresh or '\n' in m.group()
        else:
            if kind == 'op' and m.group() in ('\'', '"', '['):
                raise Bad(105, 'Unclosed quotation mark after the character string %r.' % text[at:at + 30])
            out.append(Token(kind, m.group(), fresh))
            fresh = False
    return out


def statements(text: str) -> Iterator[List[Token]]:
    """One list of tokens a statement: at semicolons, and where a line begins with one of the words that begin statements."""
    now: List[Token] = []
    depth = 0
    for t in tokens(text):
        depth += (t.text == '(') - (t.text == ')')
        first, before = now[0].up() if now else '', now[-1].up() if now else ''
        own_set = t.up() == 'SET' and first in ('UPDATE', 'WITH') and not any(x.up() == 'SET' for x in now)
        inner = t.up() in ('SELECT', 'WITH', 'BEGIN', 'SET', 'IF') and (first in ('INSERT', 'CREATE', 'WITH', 'IF') or before in ('UNION', 'ALL', 'AS', 'EXCEPT'))
        begins = t.up() in _STARTS and depth == 0 and bool(now) and (t.line_start or t.up() == 'SET' or first == 'SET') and not own_set and not inner
        if (t.text == ';' and depth == 0) or begins:
            if now:
                yield now
            now = []
        if t.text != ';':
            now.append(t)
    if now:
        yield now


def _quote(name: str) -> str:
    return '"%s"' % name.replace('"', '""')


def name_of(t: Token) -> str:
    """[a]]b] -> a]b."""
    if t.kind != 'name':
        return t.text
    close = ']' if t.text[0] == '[' else '"'
    return t.text[1:-1].replace(close * 2, close)


_SYSTEM = {'@@SPID': 'tds_spid', '@@TRANCOUNT': 'tds_trancount', '@@VERSION': 'tds_version', '@@ROWCOUNT': 'tds_rowcount',
           '@@MAX_PRECISION': 'tds_precision', '@@SERVERNAME': 'tds_server', '@@LANGUAGE': 'tds_language', '@@LOCK_TIMEOUT': 'tds_lock_timeout'}
_FUNCS = {'LEN': 'length', 'ISNULL': 'ifnull', 'DB_NAME': 'tds_db', 'APP_NAME': 'tds_app', 'SUSER_SNAME': 'tds_user', 'SYSTEM_USER': 'tds_user',
          'GETDATE': 'tds_now', 'SYSDATETIME': 'tds_now', 'CHARINDEX': 'tds_charindex', 'REPLICATE': 'tds_replicate', 'DATALENGTH': 'tds_datalength',
          'NEWID': 'tds_newid', 'HOST_NAME': 'tds_host', 'SCOPE_IDENTITY': 'last_insert_rowid', 'SERVERPROPERTY': 'tds_property', 'SUBSTRING': 'substr'}
_TABLES = {('SYS', 'DATABASES'): 'sys_databases', ('SYS', 'TABLES'): 'sys_tables', ('SYS', 'DM_EXEC_SESSIONS'): 'sys_sessions',
           ('SYS', 'DM_EXEC_REQUESTS'): 'sys_requests', ('SYS', 'DM_EXEC_INPUT_BUFFER'): 'sys_input_buffer', ('INFORMATION_SCHEMA', 'TABLES'): 'sys_is_tables', ('INFORMATION_SCHEMA', 'COLUMNS'): 'sys_columns'}


def _close(ts: List[Token], at: int) -> int:
    """The index of the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(ts)):
        depth += (ts[i].text == '(') - (ts[i].text == ')')
        if depth == 0:
            return i
    raise Bad(102, "Incorrect syntax near '%s'." % ts[-1].text)


def _plain(ts: List[Token]) -> str:
    return ' '.join(t.text for t in ts)


class Rewrite:
    """One statement for SQLite: `sql`, `types` (of the items of a select list, None where nobody knows), `limit`."""

    def __init__(self, ts: List[Token], params: Dict[str, Type]) -> None:
        self.params = {k.upper(): v for k, v in params.items()}
        self.types: List[Optional[Type]] = []
        self.limit: Optional[str] = None
        self.used: List[str] = []
        self.tables: List[str] = []
        self.first = ts[0].up()
        if self.first == 'TRUNCATE':
            ts = [Token('word', 'DELETE'), Token('word', 'FROM')] + ts[2:]
        if self.first == 'CREATE' and len(ts) > 2 and ts[1].up() == 'TABLE':
            self.sql = self._create(ts)
            return
        body = self._select_list(ts) if self.first in ('SELECT', 'WITH') else ts
        self.sql = self._expr(body) + (' LIMIT ' + self.limit if self.limit else '')

    # -- select lists --

    def _select_list(self, ts: List[Token]) -> List[Token]:
        """Finds TOP, and the types of the items."""
        depth = 0
        start = next((i for i, t in enumerate(ts) if t.up() == 'SELECT' and not sum((x.text == '(') - (x.text == ')') for x in ts[:i])), None)
        if start is None:
            return ts
        at = start + 1
        if at < len(ts) and ts[at].up() == 'TOP':
            stop = _close(ts, at + 1) + 1 if ts[at + 1].text == '(' else at + 2
            self.limit = self._expr(ts[at + 1:stop])
            ts = ts[:at] + ts[stop:]
        item: List[Token] = []
        for t in ts[at:] + [Token('op', ',')]:
            depth += (t.text == '(') - (t.text == ')')
            if depth == 0 and (t.text == ',' or t.up() in ('FROM', 'WHERE', 'UNION', 'ORDER')):
                self.types.append(self._item(item))
                item = []
                if t.text != ',':
                    break
            else:
                item.append(t)
        return ts

    def _item(self, ts: List[Token]) -> Optional[Type]:
        words = [t.up() for t in ts]
        if len(ts) > 2 and words[-2] == 'AS':
            ts = ts[:-2]
        elif len(ts) > 1 and ts[-1].kind in ('word', 'name') and ts[-2].text != '.' and ts[-2].text not in '+-*/':
            ts = ts[:-1]
        if not ts:
            return None
        up = ts[0].up()
        if len(ts) == 1 and ts[0].kind == 'text':
            return Type('nvarchar' if ts[0].text[0] in 'nN' else 'varchar', max(1, min(len(ts[0].text) - 2, 4000)))
        if len(ts) == 1 and ts[0].kind == 'hex':
            return Type('varbinary', max(1, len(ts[0].text) // 2 - 1))
        if len(ts) == 1 and up in self.params:
            return self.params[up]
        if len(ts) > 3 and ts[1].text == '(' and _close(ts, 1) == len(ts) - 1:
            if up == 'CAST':
                cut = max(i for i, t in enumerate(ts) if t.up() == 'AS')
                return values.parse(_plain(ts[cut + 1:-1]))
            if up == 'CONVERT':
                return values.parse(_plain(ts[2:self._comma(ts, 2)]))
        return None

    @staticmethod
    def _comma(ts: List[Token], at: int) -> int:
        depth = 0
        for i in range(at, len(ts)):
            depth += (ts[i].text == '(') - (ts[i].text == ')')
            if ts[i].text == ',' and depth == 0:
                return i
        raise Bad(102, "Incorrect syntax near ')'.")

    # -- expressions --

    def _expr(self, ts: List[Token]) -> str:
        out: List[str] = []
        at = 0
        while at < len(ts):
            at = self._one(ts, at, out)
        return ' '.join(out)

    def _one(self, ts: List[Token], at: int, out: List[str]) -> int:
        t, up = ts[at], ts[at].up()
        after = ts[at + 1].text if at + 1 < len(ts) else ''
        if t.kind == 'text':
            out.append(t.text[1:] if t.text[0] in 'nN' else t.text)
        elif t.kind == 'hex':
            digits = t.text[2:]
            out.append("x'%s'" % ('0' * (len(digits) % 2) + digits))
        elif up in ('CAST', 'CONVERT') and after == '(':
            end = _close(ts, at + 1)
            if up == 'CAST':
                cut = max(i for i in range(at, end) if ts[i].up() == 'AS')
                inner, name = ts[at + 2:cut], ts[cut + 1:end]
            else:
                cut = self._comma(ts, at + 2)
                inner, name = ts[cut + 1:end], ts[at + 2:cut]
            kind = values.parse(_plain(name))
            out.append("tds_cast(%s, '%s')" % (self._expr(inner), kind.declared()))
            return end + 1
        elif up in _SYSTEM:
            out.append(_SYSTEM[up] + '()')
        elif up.startswith('@@'):
            out.append('NULL')
        elif up.startswith('@'):
            if up not in self.params:
                raise Bad(137, 'Must declare the scalar variable "%s".' % t.text)
            self.used.append(t.text)
            out.append(t.text)
        elif up in _FUNCS and (after == '(' or up == 'SYSTEM_USER'):
            out.append(_FUNCS[up] + ('()' if after != '(' else ''))
        elif up == 'OPTION' and after == '(':
            return _close(ts, at + 1) + 1
        elif up == 'TOP' and self.first == 'DELETE':
            return at + 2
        elif after == '.' and at + 2 < len(ts) and (name_of(t).upper(), name_of(ts[at + 2]).upper()) in _TABLES:
            out.append(_TABLES[name_of(t).upper(), name_of(ts[at + 2]).upper()])
            return _close(ts, at + 3) + 1 if at + 3 < len(ts) and ts[at + 3].text == '(' else at + 3
        elif after == '.' and name_of(t).lower() in ('dbo', 'tenon', 'tempdb'):
            if at + 2 < len(ts) and ts[at + 2].text == '.':  # tempdb..#t
                return at + 3
            return at + 2
        elif t.kind == 'name':
            self.tables.append(name_of(t))
            out.append(_quote(name_of(t)))
        elif t.kind == 'word' and t.text[0] == '#':
            out.append(_quote(t.text))
        else:
            if t.kind == 'word':
                self.tables.append(t.text)
            out.append(t.text)
        return at + 1

    # -- tables --

    def _create(self, ts: List[Token]) -> str:
        """CREATE TABLE: each column's type goes into its declaration."""
        start = next((i for i, t in enumerate(ts) if t.text == '('), None)
        if start is None:
            raise Bad(102, "Incorrect syntax near '%s'." % ts[-1].text)
        end = _close(ts, start)
        name = name_of(ts[start - 1])
        out, item, depth = [], [], 0
        for t in ts[start + 1:end] + [Token('op', ',')]:
            depth += (t.text == '(') - (t.text == ')')
            if t.text == ',' and depth == 0:
                out.append(self._column(item))
                item = []
            else:
                item.append(t)
        return 'CREATE %sTABLE %s (%s)' % ('TEMP ' if name[0] == '#' else '', _quote(name), ', '.join(out))

    def _column(self, ts: List[Token]) -> str:
        if not ts:
            raise Bad(102, "Incorrect syntax near ')'.")
        if ts[0].up() in ('PRIMARY', 'UNIQUE', 'CONSTRAINT', 'CHECK', 'FOREIGN'):
            return self._expr(ts)
        stop = _close(ts, 2) + 1 if len(ts) > 2 and ts[2].text == '(' else 2
        kind = values.parse(_plain(ts[1:stop]))
        rest = ts[stop:]
        if any(t.up() == 'IDENTITY' for t in rest):
            return _quote(name_of(ts[0])) + ' INTEGER PRIMARY KEY AUTOINCREMENT'
        if rest and rest[0].up() == 'COLLATE':
            rest = rest[2:]
        fold = ' COLLATE NOCASE' if kind.name in ('char', 'varchar', 'nchar', 'nvarchar', 'text', 'ntext') else ''
        return '%s %s%s %s' % (_quote(name_of(ts[0])), kind.declared(), fold, self._expr(rest))


def error(e: apsw.Error, sql: str) -> Tuple[int, int, str]:
    """SQLite's error -> number, severity and text of SQL Server."""
    if isinstance(e.__cause__, Bad):
        return e.__cause__.args[0], 16, e.__cause__.args[1]
    text = str(e).split(': ', 1)[-1]
    rest = text.split(': ')[-1]
    for pattern, number, level, says in (
            (r'no such table', 208, 16, "Invalid object name '%s'."), (r'no such column', 207, 16, "Invalid column name '%s'."),
            (r'no such function', 195, 15, "'%s' is not a recognized built-in function name."),
            (r'UNIQUE|PRIMARY KEY', 2627, 14, "Violation of PRIMARY KEY constraint. Cannot insert duplicate key in object '%s'."),
            (r'NOT NULL', 515, 16, "Cannot insert the value NULL into column '%s'; column does not allow nulls."),
            (r'CHECK|FOREIGN', 547, 16, "The statement conflicted with the constraint '%s'."),
            (r'already exists', 2714, 16, "There is already an object named '%s' in the database."),
            (r'locked|busy', 1222, 16, 'Lock request time out period exceeded.%.0s'),
            (r'incomplete input', 102, 15, "Incorrect syntax near the end of the statement.%.0s")):
        if re.search(pattern, str(e)):
            return number, level, says % re.sub(r'^table |\s*already exists$', '', rest)
    near = re.search(r'near "(.*?)": syntax error', str(e), re.S)
    if near or 'unrecognized token' in str(e) or 'syntax' in str(e):
        return 102, 15, "Incorrect syntax near '%s'." % (near.group(1) if near else sql[:20])
    if isinstance(e, apsw.InterruptError):
        return 0, 0, ''
    return 50000, 16, text


def cast(value: Any, kind: str) -> Any:
    """The SQL function behind CAST and CONVERT."""
    t = values.from_declared(kind)
    assert t is not None
    return values.store(t, value)
