# SPDX-License-Identifier: Apache-2.0
"""DFF.SYS_DB: SQL on the platform's own database (spec 3.5, 4.2). Secrets in it stay sealed."""
import _tenon
from . import sql
from .service import ask


class Transaction:
    """An open transaction; it ends with the task at the latest, then undone."""

    __slots__ = ("id",)

    def __init__(self, id: str):
        self.id = id

    def __repr__(self) -> str:
        return "<SYS_DB transaction>"


def _open() -> list:
    return _tenon.state().setdefault("sysdb", [])


def finish(state: dict) -> None:
    """End of the task: what nobody has committed is undone."""
    for trans in state.pop("sysdb", ()):
        try:
            ask("sysdb.run", {"op": "rollback", "trans": trans})
        except Exception:
            pass  # it has ended by itself


class SysDb:
    """query, non_query, start_trans, trans_query, trans_non_query, commit, rollback, check, clear_table."""

    __slots__ = ("skip_log",)  # scripts of the original set it; nothing is logged here anyway

    def __init__(self):
        self.skip_log = False

    def _run(self, op: str, text: str, params, trans=None):
        return ask("sysdb.run", {"op": op, "sql": sql.sql(text, params, sql.STANDARD),
                                 "trans": None if trans is None else trans.id})

    def query(self, sql, sql_params=None) -> list:
        """Rows as dicts."""
        return self._run("query", sql, sql_params)

    def non_query(self, sql, sql_params=None) -> int:
        """Number of changed rows."""
        return self._run("non_query", sql, sql_params)

    def start_trans(self) -> Transaction:
        """A write transaction. The platform itself has to wait for it, so it must end within seconds."""
        trans = Transaction(ask("sysdb.run", {"op": "begin"}))
        _open().append(trans.id)
        return trans

    def trans_query(self, trans_conn, sql, sql_params=None) -> list:
        return self._run("query", sql, sql_params, trans_conn)

    def trans_non_query(self, trans_conn, sql, sql_params=None) -> int:
        return self._run("non_query", sql, sql_params, trans_conn)

    def _end(self, op: str, trans) -> None:
        if trans is not None:
            if trans.id in _open():
                _open().remove(trans.id)
            ask("sysdb.run", {"op": op, "trans": trans.id})

    def commit(self, trans_conn) -> None:
        self._end("commit", trans_conn)

    def rollback(self, trans_conn) -> None:
        self._end("rollback", trans_conn)

    def clear_table(self, table) -> int:
        """Removes all rows of a table; how many there were."""
        if not isinstance(table, str) or not table.isidentifier():
            raise ValueError("clear_table() needs the name of a table, not %r" % (table,))
        return self.non_query('DELETE FROM ??', ['"%s"' % table])

    def check(self) -> None:
        self.query("SELECT 1")

    @staticmethod
    def dump_for_json(value):
        return value
