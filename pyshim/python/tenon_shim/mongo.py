# SPDX-License-Identifier: Apache-2.0
"""MongoDB: what DFF.CONN() offers for connectors of type mongodb: databases, sessions, run_method()."""
from collections import deque

from . import mongo_write
from .mongo_coll import _REPLY, NO_STREAMS, Collection, mode_flag, preference_named, preference_of
from .mongo_cursor import READ, CommandCursor
from .errors import ConnError
from .mongo_values import (CollectionInvalid, Concern, ConfigurationError, InvalidOperation, absent, adopt, check_name,
                           codec_given, codec_of, concern_of, decode, encode_value, error, options_of, refusal)

_OPERATIONS = ("InsertOne", "DeleteOne", "DeleteMany", "ReplaceOne", "UpdateOne", "UpdateMany", "IndexModel")


class Database:
    """A database; attributes and items are its collections."""

    def __init__(self, client, name, codec_options=None, read_preference=None, write_concern=None, read_concern=None):
        self._client, self._name = client, check_name("database", name)
        self._codec, self._preference = codec_given(codec_options), preference_of(read_preference)
        self._concern, self._read_concern = concern_of(write_concern), concern_of(read_concern)

    client = property(lambda self: self._client)
    name = property(lambda self: self._name)
    codec_options = property(lambda self: codec_of(self._codec))
    write_concern = property(lambda self: self._concern or Concern())
    read_concern = property(lambda self: self._read_concern or Concern())
    read_preference = property(lambda self: self._preference or self._client._preference)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError("Database has no attribute %r. To access the %s collection, use database[%r]." % (name, name, name))
        return Collection(self, name)

    def __getitem__(self, name) -> Collection:
        return Collection(self, name)

    def __call__(self, *args, **kwargs):
        raise TypeError("'Database' object is not callable")

    def __iter__(self):
        raise TypeError("'Database' object is not iterable")

    def __eq__(self, other):
        return isinstance(other, Database) and self._client is other._client and self._name == other._name

    def __hash__(self):
        return hash((id(self._client), self._name))

    def __repr__(self):
        return "Database(%r, %r)" % (self._client, self._name)

    def with_options(self, codec_options=None, read_preference=None, write_concern=None, read_concern=None):
        return Database(self._client, self._name, codec_options or self._codec, read_preference or self._preference,
                        self._concern if write_concern is None else write_concern,
                        self._read_concern if read_concern is None else read_concern)

    def get_collection(self, name, codec_options=None, read_preference=None, write_concern=None, read_concern=None):
        return Collection(self, name, codec_options, read_preference, write_concern, read_concern)

    def _ask(self, command, flags, session=None, where=(0, 0), codec=None):
        flags |= _REPLY | (mode_flag(self._preference) if flags & READ else 0)
        reply, where = self._client._ask(self._name, encode_value(command, codec or self._codec), flags,
                                         codec or self._codec, session, where)
        if not reply.get("ok"):
            raise refusal(reply)
        return reply, where

    def _admin(self):
        return Database(self._client, "admin")

    def command(self, command, value=1, check=True, allowable_errors=None, read_preference=None, codec_options=None,
                session=None, comment=None, **kwargs) -> dict:
        """Any command: command('ping'), command('collStats', 'c'), command({'ping': 1})."""
        document = {command: value} if isinstance(command, str) else dict(command.items())
        document.update(options_of(comment=comment, **kwargs))
        codec = codec_given(codec_options) or self._codec
        flags = _REPLY | (READ | mode_flag(preference_of(read_preference)) if read_preference is not None else 0)
        reply, _ = self._client._ask(self._name, encode_value(document, codec), flags, codec, session, (0, 0))
        if check and not reply.get("ok"):
            allowed = allowable_errors or ()
            if reply.get("code") not in allowed and reply.get("errmsg") not in allowed:
                raise refusal(reply)
        return reply

    def cursor_command(self, command, value=1, session=None, **kwargs) -> CommandCursor:
        """A command that answers with a cursor."""
        document = {command: value} if isinstance(command, str) else dict(command.items())
        reply, where = self._ask({**document, **kwargs}, READ, session)
        return CommandCursor(Collection(self, "$cmd.cursor"), reply, where, session)

    def aggregate(self, pipeline, session=None, **kwargs) -> CommandCursor:
        """A pipeline on the database ($currentOp, $documents …)."""
        reply, where = self._ask({"aggregate": 1, "pipeline": list(pipeline), "cursor": {}, **kwargs}, READ, session)
        return CommandCursor(Collection(self, "$cmd.aggregate"), reply, where, session)

    def list_collections(self, session=None, filter=None, comment=None, **kwargs) -> CommandCursor:
        reply, where = self._ask({"listCollections": 1, **options_of(filter=filter, comment=comment, **kwargs)}, READ, session)
        return CommandCursor(Collection(self, "$cmd.listCollections"), reply, where, session)

    def list_collection_names(self, session=None, filter=None, comment=None, **kwargs) -> list:
        only = {} if filter and set(filter) - {"name"} else {"nameOnly": True}
        return [c["name"] for c in self.list_collections(session, filter, comment, **{**only, **kwargs})]

    def collection_names(self, include_system_collections=True, session=None) -> list:
        names = self.list_collection_names(session)
        return names if include_system_collections else [n for n in names if not n.startswith("system.")]

    def create_collection(self, name, codec_options=None, read_preference=None, write_concern=None, read_concern=None,
                          session=None, check_exists=True, **kwargs) -> Collection:
        made = Collection(self, name, codec_options, read_preference, write_concern, read_concern)
        if check_exists and name in self.list_collection_names(session, {"name": name}):
            raise error(CollectionInvalid, "collection %s already exists" % name)
        self._ask({"create": name, **options_of(**kwargs), **made._writing(session)}, 0, session)
        return made

    def drop_collection(self, name_or_collection, session=None, comment=None, encrypted_fields=None) -> dict:
        name = getattr(name_or_collection, "name", name_or_collection)
        reply = self.command("drop", check_name("collection", name), allowable_errors=("ns not found", 26), session=session,
                             comment=comment)
        return reply

    def validate_collection(self, name_or_collection, scandata=False, full=False, session=None, **kwargs) -> dict:
        name = check_name("collection", getattr(name_or_collection, "name", name_or_collection))
        return self.command("validate", name, scandata=scandata, full=full, session=session, **kwargs)

    def dereference(self, dbref, session=None, **kwargs):
        """The document a DBRef points to."""
        if not hasattr(dbref, "collection"):
            raise TypeError("dereference() needs a DBRef, not %s" % type(dbref).__name__)
        if dbref.database is not None and dbref.database != self._name:
            raise ValueError("the DBRef points to database %s, not to %s" % (dbref.database, self._name))
        return self[dbref.collection].find_one({"_id": dbref.id}, session=session, **kwargs)


_ACCOUNT = "the account is that of the connector; use db.command() for others"
_PROFILE = "use db.command('profile', level)"
absent(Database, {
    "watch": NO_STREAMS, "add_user": _ACCOUNT, "remove_user": _ACCOUNT, "authenticate": _ACCOUNT, "logout": _ACCOUNT,
    "eval": "servers have it no more", "current_op": "use c['admin'].command('currentOp')", "profiling_level": _PROFILE,
    "set_profiling_level": _PROFILE, "profiling_info": "use db['system.profile'].find()"})


class ClientSession:
    """A session with transactions, on a connection of its own; `with` ends it."""

    def __init__(self, client, options: dict):
        self._client, self._handle = client, client._take()
        self.in_transaction = self.has_ended = False
        try:
            self._step("start", options)
        except BaseException:
            self._handle._give()
            raise

    client = property(lambda self: self._client)

    def _step(self, name, options=None):
        if self.has_ended:
            raise error(InvalidOperation, "Cannot use ended session")
        self._handle._session(name, encode_value(options or {}, None))

    def start_transaction(self, read_concern=None, write_concern=None, read_preference=None, max_commit_time_ms=None):
        """Begins; used with `with` it commits at the end, and aborts on an exception."""
        if read_preference is not None and preference_of(read_preference).mode != 0:
            raise error(InvalidOperation, "transactions read from the primary, not from %s" % read_preference.name)
        self._step("begin", options_of(readConcern=concern_of(read_concern), writeConcern=concern_of(write_concern),
                                       maxCommitTimeMS=max_commit_time_ms))
        self.in_transaction = True
        return _Transaction(self)

    def _finish(self, how):
        if not self.in_transaction:
            raise error(InvalidOperation, "No transaction started")
        self._step(how)
        self.in_transaction = False

    def commit_transaction(self):
        self._finish("commit")

    def abort_transaction(self):
        self._finish("abort")

    def with_transaction(self, callback, read_concern=None, write_concern=None, read_preference=None, max_commit_time_ms=None):
        """callback(session) in a transaction, again while the server says that it may work."""
        for attempt in range(10):
            self.start_transaction(read_concern, write_concern, read_preference, max_commit_time_ms)
            try:
                value = callback(self)
                if self.in_transaction:
                    self.commit_transaction()
                return value
            except Exception as e:
                if self.in_transaction:
                    self.abort_transaction()
                if not getattr(e, "retry", False) or attempt == 9:
                    raise
        return None

    def end_session(self):
        """Ends it; a transaction that is open is aborted."""
        if not self.has_ended:
            try:
                self._step("end")
            finally:
                self.has_ended, self.in_transaction = True, False
                self._handle._give()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end_session()


class _Transaction:
    def __init__(self, session):
        self._session = session

    def __enter__(self):
        return self._session

    def __exit__(self, kind, value, trace):
        if self._session.in_transaction:
            self._session._finish("commit" if kind is None else "abort")


class Part:
    """What a connector of type mongodb has besides the methods of its plugin."""

    __slots__ = ()

    InsertOne, DeleteOne, DeleteMany, ReplaceOne, UpdateOne, UpdateMany, IndexModel = (
        getattr(mongo_write, name) for name in _OPERATIONS)
    ASCENDING, DESCENDING, TEXT, HASHED, GEOSPHERE = 1, -1, "text", "hashed", "2dsphere"

    def _configured(self, config: dict) -> None:
        self._default = config.get("database") or _path(config.get("uri"))
        self._preference = preference_named(config.get("read_preference"))
        self._forgotten: deque = deque()  # cursors that scripts have dropped

    def db(self, name=None) -> Database:
        """The database; without a name that of the configuration."""
        name = name or self._default
        if not name:
            raise error(ConfigurationError, "No default database name defined or provided: give db() a name, or set database of "
                                            "the connector `%s`" % self._id)
        return Database(self, name)

    def get_database(self, name=None, codec_options=None, read_preference=None, write_concern=None, read_concern=None):
        return Database(self, name or self.db().name, codec_options, read_preference, write_concern, read_concern)

    def get_default_database(self, default=None, **kwargs) -> Database:
        return self.get_database(self._default or default, **kwargs)

    def __getitem__(self, name) -> Database:
        return Database(self, name)

    def run_method(self, method, **kwargs):
        """list_database_names(), list_collection_names(db_name=None); None for anything else."""
        if method == "list_database_names":
            return self.list_database_names()
        if method == "list_collection_names":
            return self.db(kwargs.get("db_name")).list_collection_names()
        return None

    def list_databases(self, session=None, comment=None, **kwargs) -> CommandCursor:
        admin = Database(self, "admin")
        reply, _ = admin._ask({"listDatabases": 1, **options_of(comment=comment, **kwargs)}, READ, session)
        cursor = {"id": 0, "firstBatch": reply["databases"], "ns": "admin.$cmd"}
        return CommandCursor(Collection(admin, "$cmd.listDatabases"), {"cursor": cursor}, (0, 0), session)

    def list_database_names(self, session=None, comment=None) -> list:
        return [d["name"] for d in self.list_databases(session, comment, nameOnly=True)]

    database_names = list_database_names

    def drop_database(self, name_or_database, session=None, comment=None):
        """Deletes the database, if there is one."""
        name = getattr(name_or_database, "name", name_or_database)
        Database(self, name)._ask({"dropDatabase": 1, **options_of(comment=comment)}, 0, session)

    def server_info(self, session=None) -> dict:
        """The server's version and the like."""
        return Database(self, "admin").command("buildinfo", session=session)

    def start_session(self, causal_consistency=None, default_transaction_options=None, snapshot=None) -> ClientSession:
        """A session, which takes a connection out until it ends."""
        return ClientSession(self, options_of(causalConsistency=causal_consistency, snapshot=snapshot))

    def _ask(self, database, data, flags, codec, session, where):
        """Sends BSON -> (reply, (server, connection))."""
        if self._forgotten:
            self._tidy()
        if session is not None and (session.has_ended or session._client is not self):
            raise error(InvalidOperation, "Cannot use ended session" if session.has_ended else
                        "Can only use session with the connector that started it")
        handle = self if session is None else session._handle
        try:
            reply, server, conn = handle._run(database, data, flags, *where)
        except ConnError as e:
            adopt(e)
            raise
        return decode(reply, codec), (server, conn)

    def _tidy(self):
        """Ends cursors that scripts have dropped without reading them to the end."""
        gone: dict = {}
        while self._forgotten:
            database, name, id, where = self._forgotten.popleft()
            gone.setdefault((database, name, where), []).append(id)
        for (database, name, where), ids in gone.items():
            try:
                self._run(database.name, encode_value({"killCursors": name, "cursors": ids}, None), _REPLY, *where)
            except Exception:  # they end by themselves
                pass


def _path(uri):
    """The database in a URI."""
    path = (uri or "").split("://", 1)[-1].partition("/")[2].split("?", 1)[0]
    return path or None
