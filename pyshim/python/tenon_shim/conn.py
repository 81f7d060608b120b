# SPDX-License-Identifier: Apache-2.0
"""DFF.CONN: connectors by id as objects with the methods of their plugin (spec 3.5, 4)."""
import json
import re

import _tenon
from .errors import ConfigError, ConnectorNotSupport, ConnUnavailable, EntityNotFound
from .mongo import Part as _Mongo
from .service import Known

CAP_QUERY, CAP_TXN, CAP_STREAM = 1, 2, 8  # TN_CAP_* of <tenon/connector.h>

# What is Python on top of a plugin's methods; _configured(config) is called for each helper.
_PARTS = {"mongodb": _Mongo}

# type -> (class, {setting: (text, default, required)}); the plugins of a process do not change.
_classes: dict = {}
_known = Known("conn.get")


class Connector(_tenon.Conn):
    """What every connector has besides the methods of its plugin."""

    skip_log = False

    def dump_for_json(self, value):
        """The value as JSON text; what JSON does not have becomes text."""
        return json.dumps(value, default=str, ensure_ascii=False)


class Transactional(Connector):
    """Transactions as helpers of DataFlux Func have them: a handle from start_trans() is a connection of
    its own until commit() or rollback(); what a script forgets is rolled back."""

    def start_trans(self):
        """Begins a transaction -> its handle."""
        handle = self._take()
        try:
            handle._begin()
        except BaseException:
            handle._give()
            raise
        return handle

    def trans_query(self, trans_conn, sql, sql_params=None):
        """query() inside the transaction."""
        return trans_conn.query(sql, sql_params)

    def trans_non_query(self, trans_conn, sql, sql_params=None):
        """non_query() inside the transaction."""
        return trans_conn.non_query(sql, sql_params)

    def commit(self, trans_conn):
        """Keeps the changes of the transaction and ends it; None is ignored."""
        if trans_conn is None:
            return
        try:
            trans_conn._commit()
        except BaseException:
            trans_conn._fail()
            raise
        trans_conn._give()

    def rollback(self, trans_conn):
        """Drops the changes of the transaction and ends it; None is ignored, and so is one whose commit failed or whose
        connection is lost: nothing is left of it, and who rolls back because of that error shall see that error."""
        if trans_conn is None or trans_conn._failed:
            return
        try:
            trans_conn._rollback()
        except ConnUnavailable:
            trans_conn._fail()
            return
        except BaseException:
            trans_conn._fail()
            raise
        trans_conn._give()

    def query_one(self, sql, sql_params=None):
        """The first row as a dict, None when there is none."""
        rows = self.query(sql, sql_params)
        return rows[0] if rows else None


class Streaming:
    """stream() over the plugin's pair of methods: one that starts, one that fetches."""

    def stream(self, sql, sql_params=None, size=1000):
        """Rows one by one, read `size` at a time: memory does not grow with the result."""
        handle = self._take()
        try:
            handle._stream_start(sql, sql_params)
            while True:
                rows = handle._stream_next(size)
                if not rows:
                    return
                yield from rows
        finally:
            handle._give()


def _puller(name: str, doc: str):
    """A generator over the plugin's pair of methods <name>_start and <name>_next, on a connection of its own."""
    def pull(self, *args, **kwargs):
        handle = self._take()
        try:
            getattr(handle, "_%s_start" % name)(*args, **kwargs)
            while True:
                items = getattr(handle, "_%s_next" % name)()
                if not items:
                    return
                yield from items
        finally:
            handle._give()

    pull.__name__, pull.__doc__ = name, doc
    return pull


def _make_class(type_name: str):
    """(class, settings) of a connector type, None when there is no such plugin."""
    found = _classes.get(type_name)
    if found is None:
        plugin = _tenon.conn_plugin(type_name)
        if plugin is None:
            return None
        methods, fields, caps = plugin
        bases = (Transactional,) if caps & CAP_TXN else (Connector,)
        pairs = [n[:-6] for n in methods if n.endswith("_start") and n[:-6] + "_next" in methods]
        halves = {n + half for n in pairs for half in ("_start", "_next")}
        if caps & CAP_STREAM and caps & CAP_QUERY and "stream" in pairs:
            bases = (Streaming,) + bases
            pairs.remove("stream")
        if type_name in _PARTS:
            bases = (_PARTS[type_name],) + bases
        members = {"__slots__": (), "__module__": "tenon.connectors"}
        members.update((n, _puller(n, methods[n + "_start"].__doc__)) for n in pairs)
        for name, method in methods.items():
            # begin, commit, rollback are the plugin's half of a transaction, likewise streams.
            inner = caps & CAP_TXN and name in ("begin", "commit", "rollback")
            members["_" + name if inner or name in halves else name] = method
        if "check" not in members and caps & CAP_QUERY:
            members["check"] = lambda self: self._probe()
        found = (type(type_name, bases, members), {f[0]: f[1:] for f in fields})
        _classes[type_name] = found
    return found


def fetch(name: str):
    """(type, config with opened secrets) of a connector, None when it does not exist."""
    row = _known.get(name)
    return (row["type"], row["config"]) if row else None


def connect(name: str, type_name: str, config: dict, strict: bool = False):
    """A helper for this configuration; nothing is connected before it is used."""
    made = _make_class(type_name)
    if made is None:
        raise ConnectorNotSupport("Connector type not supported: `%s`; its plugin connector_%s is not in use here (package "
                                  "tenon-connector-%s; `tenon plugins` tells what was found)" % ((type_name,) * 3))
    helper = made[0](name, type_name, json.dumps(config, sort_keys=True), strict)
    if type_name in _PARTS:
        helper._configured(config)
    return helper


def _snake(key: str) -> str:
    """useSSL -> use_ssl, as kernel/pool does."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key).lower()


def settings(type_name: str) -> dict:
    """{setting: (text, default, required)} of a connector type."""
    made = _make_class(type_name)
    return made[1] if made is not None else {}


class Connectors:
    """CONN(id, **options), CONN.get, CONN.save, CONN.delete, CONN.query."""

    __slots__ = ()

    def __call__(self, id, **helper_kwargs):
        return self.get(id, **helper_kwargs)

    def get(self, id, **helper_kwargs):
        """The connector; options (database=…) replace settings of its configuration."""
        row = fetch(str(id))
        if row is None:
            raise EntityNotFound("Connector not found: `%s`" % id)
        type_name, config = row
        options = {k: v for k, v in helper_kwargs.items() if v is not None and v != ""}
        if options:
            made = _make_class(type_name)
            for key in options:
                if made is not None and _snake(key) not in made[1]:
                    raise ConfigError("connectors of type %s have no option `%s`; there are %s"
                                      % (type_name, key, ", ".join(sorted(made[1]))))
            config = {**config, **options}
        return connect(str(id), type_name, config)

    def save(self, id, type, config, title=None, description=None):
        """Adds the connector or replaces its configuration; secrets are kept sealed."""
        _tenon.ask("conn.save", _tenon.dumps({"id": id, "type": type, "config": config, "title": title,
                                              "description": description}))
        _known.forget(str(id))

    def delete(self, id):
        """Deletes the connector, if there is one."""
        _tenon.ask("conn.delete", _tenon.dumps({"id": id}))
        _known.forget(str(id))

    def query(self, connector_type=None):
        """[{id, title, type}] of all connectors, or those of one type."""
        rows = json.loads(_tenon.ask("conn.list", "{}") or b"[]")
        return [r for r in rows if connector_type is None or r["type"] == connector_type]

    list = query
