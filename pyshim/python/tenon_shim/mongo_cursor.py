# SPDX-License-Identifier: Apache-2.0
"""MongoDB: cursors. A batch at a time is in memory; the next one is asked for when it is used up."""
from collections import deque

from .mongo_values import (InvalidOperation, OperationFailure, absent, collation_of, error, hint_of, key_list, mapping,
                           options_of, projection_of, whole, yes_or_no)

BATCH = 2000  # documents of a getMore without batch_size: the server alone would send 16 MB
READ, BOUND = 1, 4


class CommandCursor:
    """The documents of an aggregation or a listing."""

    def __init__(self, collection, reply=None, where=(0, 0), session=None, batch_size=0, max_await_time_ms=None):
        self._collection, self._session = collection, session
        self._where = where  # server and connection that have the cursor
        self._batch_size, self._await_ms = batch_size or 0, max_await_time_ms
        self._data: deque = deque()
        self._id = None
        self._retrieved = 0
        self._killed = False
        if reply is not None:
            self._take(reply, "firstBatch")

    def _take(self, reply, member):
        try:
            cursor = reply["cursor"]
            self._id, documents, ns = cursor["id"], cursor[member], cursor.get("ns")
        except (AttributeError, KeyError, TypeError):
            raise error(OperationFailure, "the reply of the server has no cursor with id and %s" % member, 0, reply) from None
        if ns and "." in ns:
            self._ns = ns.split(".", 1)[1]
        self._data.extend(documents)
        self._retrieved += len(documents)

    _ns = None

    @property
    def alive(self) -> bool:
        """More may come."""
        return bool(self._data) or (not self._killed and self._id != 0)

    @property
    def cursor_id(self):
        return self._id

    @property
    def address(self):
        return None

    @property
    def session(self):
        return self._session

    @property
    def retrieved(self) -> int:
        return self._retrieved

    def batch_size(self, batch_size):
        """How many documents come at a time; 0: as many as are useful."""
        if batch_size is None:
            raise TypeError("batch_size must be an int, not None")
        self._batch_size = whole("batch_size", batch_size, 0)
        return self

    def _more(self):
        """The next batch."""
        command = {"getMore": _int64(self._id), "collection": self._ns or self._collection.name,
                   "batchSize": self._batch_size or BATCH}
        if self._await_ms is not None:
            command["maxTimeMS"] = self._await_ms
        try:
            reply, _ = self._collection._ask(command, READ, self._session, self._where)
        except Exception:
            self._killed = True
            raise
        self._take(reply, "nextBatch")

    def _refill(self) -> bool:
        """Is there a document in memory now?"""
        while not self._data and self._id and not self._killed:
            self._more()
            if not self._data and self._endless:
                break
        return bool(self._data)

    _endless = False

    def next(self):
        if not self._data and not self._refill():
            raise StopIteration
        return self._data.popleft()

    __next__ = next

    def __iter__(self):
        return self

    def try_next(self):
        """The next document, or None when there is none now."""
        return self._data.popleft() if self._data or self._refill() else None

    def to_list(self, length=None) -> list:
        """All that are left, or the next `length`."""
        out = []
        for document in self:
            out.append(document)
            if length is not None and len(out) >= length:
                break
        return out

    def close(self):
        """Tells the server that nobody reads on."""
        self._data.clear()
        if self._id and not self._killed:
            self._killed = True
            self._collection._kill(self._ns, self._id, self._where, self._session)
        self._killed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_id", None) and not self._killed:
            self._collection._kill_later(self._ns, self._id, self._where)


def _int64(value: int):
    from bson.int64 import Int64
    return Int64(value)


class Cursor(CommandCursor):
    """What find() returns: nothing is asked before the first document is wanted."""

    def __init__(self, collection, filter=None, projection=None, skip=0, limit=0, no_cursor_timeout=False, cursor_type=0,
                 sort=None, allow_partial_results=False, batch_size=0, collation=None, hint=None, max_time_ms=None,
                 max=None, min=None, return_key=None, show_record_id=None, comment=None, session=None,
                 allow_disk_use=None, let=None, **legacy):
        super().__init__(collection, session=session, batch_size=whole("batch_size", batch_size, 0))
        for name in legacy:
            if name not in ("oplog_replay", "modifiers", "snapshot", "max_scan", "manipulate"):
                raise TypeError("find() got an unexpected keyword argument %r" % name)
        self._filter = {} if filter is None else mapping("filter", filter)
        if cursor_type not in (0, 2, 34, 64):
            raise ValueError("not a valid value for cursor_type: %r" % (cursor_type,))
        for name, value in (("no_cursor_timeout", no_cursor_timeout), ("allow_partial_results", allow_partial_results),
                            ("allow_disk_use", allow_disk_use), ("return_key", return_key), ("show_record_id", show_record_id)):
            yes_or_no(name, value)
        self._endless = cursor_type in (2, 34)
        self._spec = options_of(
            projection=projection_of(projection), sort=key_list(sort) if sort else None, skip=whole("skip", skip) or None,
            hint=hint_of(hint), max=dict(max) if max else None, min=dict(min) if min else None, returnKey=return_key,
            showRecordId=show_record_id, comment=comment, collation=collation_of(collation), maxTimeMS=max_time_ms,
            noCursorTimeout=no_cursor_timeout or None, allowPartialResults=allow_partial_results or None,
            tailable=self._endless or None, awaitData=(cursor_type == 34) or None, allowDiskUse=allow_disk_use, let=let)
        self._limit = 0
        if limit:
            self.limit(limit)

    @property
    def collection(self):
        return self._collection

    def _unused(self):
        if self._id is not None or self._killed:
            raise error(InvalidOperation, "cannot set options after executing query")

    def _set(self, name, value):
        self._unused()
        self._spec[name] = value
        if value is None:
            del self._spec[name]
        return self

    def sort(self, key_or_list, direction=None):
        return self._set("sort", key_list(key_or_list, direction))

    def skip(self, skip):
        if skip is None:
            raise TypeError("skip must be an int, not None")
        return self._set("skip", whole("skip", skip, 0) or None)

    def batch_size(self, batch_size):
        self._unused()
        return super().batch_size(batch_size)

    def limit(self, limit):
        if not isinstance(limit, int):
            raise TypeError("limit must be an int, not %s" % type(limit).__name__)
        self._unused()
        self._limit = limit
        return self

    def hint(self, index):
        return self._set("hint", hint_of(index))

    def comment(self, comment):
        return self._set("comment", comment)

    def max_time_ms(self, max_time_ms):
        return self._set("maxTimeMS", whole("max_time_ms", max_time_ms))

    def max_await_time_ms(self, max_await_time_ms):
        self._unused()
        self._await_ms = whole("max_await_time_ms", max_await_time_ms)
        return self

    def max(self, spec):
        return self._set("max", dict(spec))

    def min(self, spec):
        return self._set("min", dict(spec))

    def collation(self, collation):
        return self._set("collation", collation_of(collation))

    def allow_disk_use(self, allow_disk_use):
        return self._set("allowDiskUse", yes_or_no("allow_disk_use", allow_disk_use))

    def where(self, code):
        self._unused()
        if not isinstance(code, str):
            raise TypeError("code must be str or bson.Code, not %s" % type(code).__name__)
        self._filter = {**self._filter, "$where": code}
        return self

    def _command(self) -> dict:
        command = {"find": self._collection.name, "filter": self._filter, **self._spec}
        if self._limit:
            command["limit"] = abs(self._limit)
            if self._limit < 0:
                command["singleBatch"] = True
        size = self._batch_size
        if size:
            command["batchSize"] = min(size, abs(self._limit)) if self._limit else size
        return command

    def _refill(self) -> bool:
        if self._id is None and not self._killed:
            command = self._collection._reading(self._command(), self._session)
            reply, self._where = self._collection._ask(command, READ | BOUND, self._session)
            self._take(reply, "firstBatch")
        return super()._refill()

    def _more(self):
        if self._limit > 0 and self._batch_size == 0:
            left = self._limit - self._retrieved
            self._batch_size = min(BATCH, left) if left > 0 else 0
            try:
                super()._more()
            finally:
                self._batch_size = 0
        else:
            super()._more()

    def clone(self):
        """The same question, not asked yet."""
        other = Cursor(self._collection, session=self._session, batch_size=self._batch_size)
        other._filter, other._spec, other._limit = self._filter, dict(self._spec), self._limit
        other._endless, other._await_ms = self._endless, self._await_ms
        return other

    __copy__ = clone

    def __deepcopy__(self, memo):
        return self.clone()

    def rewind(self):
        """From the beginning again."""
        self.close()
        self._id, self._killed, self._retrieved = None, False, 0
        return self

    def __getitem__(self, at):
        self._unused()
        if isinstance(at, slice):
            if at.step is not None or (at.start or 0) < 0 or (at.stop is not None and at.stop < (at.start or 0)):
                raise IndexError("a slice of a cursor goes forward, from 0 on, without a step")
            self._set("skip", at.start or None)
            self._limit = at.stop - (at.start or 0) if at.stop is not None else 0
            if at.stop is not None and self._limit == 0:
                self._id = 0  # nothing is asked for
            return self
        if not isinstance(at, int):
            raise TypeError("index %r cannot be applied to Cursor instances" % (at,))
        if at < 0:
            raise IndexError("the index of a cursor is an int from 0 on")
        one = self.clone()
        one._spec["skip"] = at + self._spec.get("skip", 0)
        for document in one.limit(-1):
            return document
        raise IndexError("no such item for Cursor instance")

    def count(self, with_limit_and_skip=False) -> int:
        """How many documents there are (pymongo 3)."""
        options = options_of(hint=self._spec.get("hint"), collation=self._spec.get("collation"),
                             maxTimeMS=self._spec.get("maxTimeMS"))
        if with_limit_and_skip:
            options.update(options_of(skip=self._spec.get("skip"), limit=abs(self._limit) or None))
        return self._collection._count(self._filter, self._session, options)

    def distinct(self, key) -> list:
        return self._collection.distinct(key, self._filter, session=self._session)

    def explain(self) -> dict:
        """The server's plan."""
        command = {"explain": self._command(), "verbosity": "allPlansExecution"}
        return self._collection._ask(command, READ, self._session)[0]


absent(Cursor, dict.fromkeys(("add_option", "remove_option", "max_scan"), "use the arguments of find()"))
