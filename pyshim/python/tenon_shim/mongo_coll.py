# SPDX-License-Identifier: Apache-2.0
"""MongoDB: collections, with the methods and results of pymongo."""
from . import mongo_write as w
from .errors import NotSupported
from .mongo_cursor import BOUND, READ, CommandCursor, Cursor
from .mongo_values import (Concern, ConfigurationError, absent, check_name, codec_given, codec_of, collation_of,
                           concern_error, concern_of, encode_value, error, filter_of, hint_of, key_list, mapping,
                           options_of, projection_of, refusal, yes_or_no)
from .mongo_write import WRITE

_REPLY = 8  # what the server refuses comes back as its reply
NO_COLLECTION = 26


class Collection:
    """A collection; attributes and items are collections below it: c.log is `c.log`."""

    def __init__(self, database, name, codec_options=None, read_preference=None, write_concern=None, read_concern=None,
                 create=False, session=None, **options):
        self._database, self._name = database, check_name("collection", name)
        self._client = database._client
        self._codec = codec_given(codec_options) or database._codec
        self._concern = concern_of(write_concern) if write_concern is not None else database._concern
        self._read_concern = concern_of(read_concern) if read_concern is not None else database._read_concern
        self._preference = preference_of(read_preference) or database._preference

    database = property(lambda self: self._database)
    name = property(lambda self: self._name)
    full_name = property(lambda self: "%s.%s" % (self._database.name, self._name))
    codec_options = property(lambda self: codec_of(self._codec))
    write_concern = property(lambda self: self._concern or Concern())
    read_concern = property(lambda self: self._read_concern or Concern())
    read_preference = property(lambda self: self._preference or self._client._preference)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError("Collection has no attribute %r. To access the %s.%s collection, use database['%s.%s']."
                                 % (name, self._name, name, self._name, name))
        return self[name]

    def __getitem__(self, name):
        return Collection(self._database, "%s.%s" % (self._name, name), self._codec, self._preference, self._concern,
                          self._read_concern)

    def __call__(self, *args, **kwargs):
        name = self._name.split(".")[-1]
        raise TypeError("'Collection' object is not callable. If you meant to call the '%s' method on a '%s' object it is failing "
                        "because connectors of type mongodb have no such method."
                        % (name, "Database" if name == self._name else "Collection"))

    def __iter__(self):
        raise TypeError("'Collection' object is not iterable")

    def __eq__(self, other):
        return isinstance(other, Collection) and (self._database, self._name) == (other._database, other._name)

    def __hash__(self):
        return hash((self._database, self._name))

    def __repr__(self):
        return "Collection(%r, %r)" % (self._database, self._name)

    def with_options(self, codec_options=None, read_preference=None, write_concern=None, read_concern=None):
        """The same collection, read and written in another way."""
        return Collection(self._database, self._name, codec_options or self._codec, read_preference or self._preference,
                          self._concern if write_concern is None else write_concern,
                          self._read_concern if read_concern is None else read_concern)

    # ---- asking

    def _ask(self, command, flags, session=None, where=(0, 0)):
        return self._ask_bson(encode_value(command, self._codec), flags, session, where)

    def _ask_bson(self, data, flags, session=None, where=(0, 0), plain=False):
        """(reply, where it came from); a refusal is raised. plain: the reply is no document of a script."""
        flags |= mode_flag(self._preference) if flags & READ else 0
        reply, where = self._client._ask(self._database.name, data, flags | _REPLY, None if plain else self._codec, session, where)
        if not reply.get("ok"):
            raise refusal(reply)
        return reply, where

    def _reading(self, command: dict, session) -> dict:
        if self._read_concern and not (session is not None and session.in_transaction):
            command["readConcern"] = self._read_concern
        return command

    def _writing(self, session) -> dict:
        if not self._concern or (session is not None and session.in_transaction):
            return {}
        return {"writeConcern": {**self._concern, **({"w": 1} if self._concern.get("w") == 0 else {})}}

    def _kill(self, name, id, where, session=None):
        command = {"killCursors": name or self._name, "cursors": [id]}
        self._ask(command, 0, session, where)

    def _kill_later(self, name, id, where):
        self._client._forgotten.append((self._database, name or self._name, id, where))

    # ---- reading

    def find(self, *args, **kwargs) -> Cursor:
        """A cursor over the documents that match."""
        return Cursor(self, *args, **kwargs)

    def find_one(self, filter=None, *args, **kwargs):
        """The first document that matches, or None; `filter` may be an _id."""
        for document in self.find(filter_of(filter), *args, **kwargs).limit(-1):
            return document
        return None

    def aggregate(self, pipeline, session=None, let=None, comment=None, **kwargs) -> CommandCursor:
        """Runs a pipeline of stages."""
        if not isinstance(pipeline, (list, tuple)):
            raise TypeError("pipeline must be a list, not %s" % type(pipeline).__name__)
        if "explain" in kwargs:
            raise error(ConfigurationError, "The explain option is not supported. Use Database.command instead.")
        size = kwargs.pop("batchSize", kwargs.pop("batch_size", None))
        kwargs.pop("cursor", None)
        if "collation" in kwargs:
            kwargs["collation"] = collation_of(kwargs["collation"])
        for stage in pipeline:
            mapping("a stage", stage)
        writes = bool(pipeline) and next(iter(pipeline[-1]), "") in ("$out", "$merge")
        command = {"aggregate": self._name, "pipeline": list(pipeline), "cursor": {} if writes else options_of(batchSize=size),
                   **options_of(let=let, comment=comment, **kwargs)}
        if writes:
            command.update(self._writing(session))
        command = self._reading(command, session)
        reply, where = self._ask(command, 0 if writes else READ | BOUND, session)
        concern_error(reply)
        return CommandCursor(self, reply, where, session, size or 0)

    def count_documents(self, filter, session=None, comment=None, **kwargs) -> int:
        """How many documents match."""
        stages = [{"$match": mapping("filter", filter)}]
        stages += [{"$skip": kwargs.pop("skip")}] if "skip" in kwargs else []
        stages += [{"$limit": kwargs.pop("limit")}] if "limit" in kwargs else []
        if "hint" in kwargs:
            kwargs["hint"] = hint_of(kwargs["hint"])
        found = self.aggregate(stages + [{"$group": {"_id": 1, "n": {"$sum": 1}}}], session, comment=comment, **kwargs)
        return next((d["n"] for d in found), 0)

    def estimated_document_count(self, comment=None, **kwargs) -> int:
        """How many documents there are, by the collection's own figure."""
        return self._count({}, None, options_of(comment=comment, **kwargs))

    def _count(self, filter, session, options: dict) -> int:
        command = {"count": self._name, "query": filter, **options}
        return int(self._ask(self._reading(command, session), READ, session)[0]["n"])

    def count(self, filter=None, session=None, **kwargs) -> int:
        """As in pymongo 3; count_documents() counts exactly on sharded clusters, too."""
        return self._count(filter_of(filter), session, kwargs)

    def distinct(self, key, filter=None, session=None, comment=None, **kwargs) -> list:
        """The different values of a field."""
        if not isinstance(key, str):
            raise TypeError("key must be str, not %s" % type(key).__name__)
        command = {"distinct": self._name, "key": key, "query": {} if filter is None else filter,
                   **options_of(comment=comment, **kwargs)}
        return self._ask(self._reading(command, session), READ, session)[0]["values"]

    # ---- writing

    def insert_one(self, document, bypass_document_validation=None, session=None, comment=None):
        w.one(self, "insert", w.with_id(document), session, comment=comment,
              bypassDocumentValidation=bypass_document_validation or None)
        return w.InsertOneResult(w.id_of(document))

    def insert_many(self, documents, ordered=True, bypass_document_validation=None, session=None, comment=None):
        if not isinstance(documents, (list, tuple)) and (hasattr(documents, "keys") or not hasattr(documents, "__iter__")):
            raise TypeError("documents must be a list of documents, not %s" % type(documents).__name__)
        documents = list(documents)
        if not documents:
            raise TypeError("documents must be a non-empty list")
        entries = [("insert", w.with_id(d)) for d in documents]
        w.bulk(self, entries, bool(ordered), session, comment=comment,
               bypassDocumentValidation=bypass_document_validation or None)
        return w.InsertManyResult([w.id_of(d) for d in documents])

    def _update(self, entry, session, bypass, comment, let):
        reply = w.one(self, "update", entry, session, comment=comment, let=let, bypassDocumentValidation=bypass or None)
        result = {**reply, "updatedExisting": reply.get("n", 0) > 0 and not reply.get("upserted")}
        if "upserted" in result:
            result["upserted"] = result["upserted"][0]["_id"] if result["upserted"] else None
        return w.UpdateResult(result)

    def update_one(self, filter, update, upsert=False, bypass_document_validation=None, collation=None, array_filters=None,
                   hint=None, session=None, let=None, sort=None, comment=None):
        entry = w.update_entry(filter, w.check_update(update), False, upsert, collation, array_filters, hint,
                               key_list(sort) if sort else None)
        return self._update(entry, session, bypass_document_validation, comment, let)

    def update_many(self, filter, update, upsert=False, array_filters=None, bypass_document_validation=None, collation=None,
                    hint=None, session=None, let=None, comment=None):
        entry = w.update_entry(filter, w.check_update(update), True, upsert, collation, array_filters, hint)
        return self._update(entry, session, bypass_document_validation, comment, let)

    def replace_one(self, filter, replacement, upsert=False, bypass_document_validation=None, collation=None, hint=None,
                    session=None, let=None, sort=None, comment=None):
        entry = w.update_entry(filter, w.check_replacement(replacement), False, upsert, collation, None, hint,
                               key_list(sort) if sort else None)
        return self._update(entry, session, bypass_document_validation, comment, let)

    def delete_one(self, filter, collation=None, hint=None, session=None, let=None, comment=None):
        return w.DeleteResult(w.one(self, "delete", w.delete_entry(filter, 1, collation, hint), session, let=let, comment=comment))

    def delete_many(self, filter, collation=None, hint=None, session=None, let=None, comment=None):
        return w.DeleteResult(w.one(self, "delete", w.delete_entry(filter, 0, collation, hint), session, let=let, comment=comment))

    def bulk_write(self, requests, ordered=True, bypass_document_validation=None, session=None, comment=None, let=None):
        """Several writes in few messages; operations of this connector (c.InsertOne …) or of pymongo."""
        return w.bulk_write(self, requests, ordered, bypass_document_validation, session, comment, let)

    def _find_and_modify(self, filter, session, change: dict, projection, sort, hint, **kwargs):
        if "array_filters" in kwargs:
            kwargs["arrayFilters"] = kwargs.pop("array_filters")
        if "collation" in kwargs:
            kwargs["collation"] = collation_of(kwargs["collation"])
        command = {"findAndModify": self._name, "query": mapping("filter", filter), **change,
                   **options_of(fields=projection_of(projection), sort=key_list(sort) if sort else None, hint=hint_of(hint)),
                   **options_of(**kwargs), **self._writing(session)}
        reply, _ = self._ask(command, WRITE, session)
        concern_error(reply)
        return reply.get("value")

    def find_one_and_delete(self, filter, projection=None, sort=None, hint=None, session=None, **kwargs):
        return self._find_and_modify(filter, session, {"remove": True}, projection, sort, hint, **kwargs)

    def find_one_and_replace(self, filter, replacement, projection=None, sort=None, upsert=False, return_document=False,
                             hint=None, session=None, **kwargs):
        change = {"update": w.check_replacement(replacement), **_new(return_document, upsert)}
        return self._find_and_modify(filter, session, change, projection, sort, hint, **kwargs)

    def find_one_and_update(self, filter, update, projection=None, sort=None, upsert=False, return_document=False,
                            array_filters=None, hint=None, session=None, **kwargs):
        change = {"update": w.check_update(update), **_new(return_document, upsert)}
        return self._find_and_modify(filter, session, change, projection, sort, hint, array_filters=array_filters, **kwargs)

    # ---- as in pymongo 3

    def insert(self, doc_or_docs, **kwargs):
        """The new _id, or a list of them."""
        if hasattr(doc_or_docs, "keys"):
            return self.insert_one(doc_or_docs).inserted_id
        return self.insert_many(doc_or_docs, ordered=not kwargs.get("continue_on_error")).inserted_ids

    def save(self, to_save, **kwargs):
        """Inserts, or replaces what has the same _id; the _id."""
        if "_id" not in to_save:
            return self.insert_one(to_save).inserted_id
        self.replace_one({"_id": to_save["_id"]}, to_save, upsert=True)
        return to_save["_id"]

    def update(self, spec, document, upsert=False, manipulate=False, multi=False, **kwargs) -> dict:
        operators = str(next(iter(document), "")).startswith("$")
        change = w.check_update(document) if operators else w.check_replacement(document)
        return self._update(w.update_entry(spec, change, bool(multi), upsert), None, None, None, None).raw_result

    def remove(self, spec_or_id=None, multi=True, **kwargs) -> dict:
        return (self.delete_many if multi else self.delete_one)(filter_of(spec_or_id)).raw_result

    # ---- indexes and the collection itself

    def create_indexes(self, indexes, session=None, comment=None, **kwargs) -> list:
        """Creates indexes (IndexModel) -> their names."""
        if not isinstance(indexes, (list, tuple)) or not all(hasattr(i, "document") for i in indexes):
            raise TypeError("indexes must be a list of IndexModel")
        documents = [dict(i.document) for i in indexes]
        for d in documents:
            d["key"] = dict(d["key"])
        command = {"createIndexes": self._name, "indexes": documents, **options_of(comment=comment, **kwargs),
                   **self._writing(session)}
        self._ask(command, 0, session)
        return [d["name"] for d in documents]

    def create_index(self, keys, session=None, comment=None, **kwargs) -> str:
        limit = options_of(maxTimeMS=kwargs.pop("maxTimeMS", None))
        return self.create_indexes([w.IndexModel(keys, **kwargs)], session, comment, **limit)[0]

    ensure_index = create_index

    def drop_index(self, index_or_name, session=None, comment=None, **kwargs):
        name = index_or_name if isinstance(index_or_name, str) else "_".join("%s_%s" % i for i in key_list(index_or_name).items())
        command = {"dropIndexes": self._name, "index": name, **options_of(comment=comment, **kwargs), **self._writing(session)}
        try:
            self._ask(command, 0, session)
        except Exception as e:
            if getattr(e, "code", 0) != NO_COLLECTION:
                raise

    def drop_indexes(self, session=None, comment=None, **kwargs):
        self.drop_index("*", session, comment, **kwargs)

    def list_indexes(self, session=None, comment=None) -> CommandCursor:
        try:
            reply, where = self._ask({"listIndexes": self._name, "cursor": {}, **options_of(comment=comment)}, READ, session)
        except Exception as e:
            if getattr(e, "code", 0) != NO_COLLECTION:
                raise
            reply, where = {"cursor": {"id": 0, "ns": self.full_name, "firstBatch": []}}, (0, 0)
        return CommandCursor(self, reply, where, session)

    def index_information(self, session=None, comment=None) -> dict:
        out = {}
        for index in self.list_indexes(session, comment):
            index = dict(index)
            index["key"] = list(index["key"].items())
            out[index.pop("name")] = index
        return out

    def drop(self, session=None, comment=None, encrypted_fields=None):
        """Deletes the collection, if there is one."""
        self._database.drop_collection(self._name, session, comment)

    def rename(self, new_name, session=None, comment=None, **kwargs) -> dict:
        command = {"renameCollection": self.full_name, "to": "%s.%s" % (self._database.name, check_name("collection", new_name)),
                   **options_of(comment=comment, **kwargs), **self._writing(session)}
        return self._database._admin()._ask(command, 0, session)[0]

    def options(self, session=None, comment=None) -> dict:
        """What the collection was created with."""
        for info in self._database.list_collections(session, {"name": self._name}, comment):
            return info.get("options", {})
        return {}


def _new(return_document, upsert) -> dict:
    if not isinstance(return_document, bool):
        raise ValueError("return_document must be ReturnDocument.BEFORE or ReturnDocument.AFTER, not %r" % (return_document,))
    return {"new": return_document, "upsert": yes_or_no("upsert", upsert) or False}


NO_STREAMS = "change streams are not supported; a call ends, a stream does not"
_RAW = "use with_options(codec_options=CodecOptions(document_class=RawBSONDocument))"
absent(Collection, {
    "watch": NO_STREAMS, "map_reduce": "use aggregate()", "inline_map_reduce": "use aggregate()", "group": "use aggregate()",
    "find_and_modify": "use find_one_and_update()", "find_raw_batches": _RAW, "aggregate_raw_batches": _RAW,
    "initialize_ordered_bulk_op": "use bulk_write()", "initialize_unordered_bulk_op": "use bulk_write(ordered=False)",
    "parallel_scan": "use find()", "reindex": "use db.command('reIndex', name)"})


class Preference:
    """Which member of a replica set answers reads."""

    def __init__(self, mode: int):
        self.mode, self.name = mode, _MODES[mode]

    def __eq__(self, other):
        return self.mode == getattr(other, "mode", None)

    def __hash__(self):
        return hash(self.mode)

    def __repr__(self):
        return "%s()" % self.name


_MODES = ("Primary", "PrimaryPreferred", "Secondary", "SecondaryPreferred", "Nearest")


def preference_named(name) -> Preference:
    """That of a configuration: secondaryPreferred."""
    names = [m.lower() for m in _MODES]
    return Preference(names.index(name.lower()) if name and name.lower() in names else 0)


def preference_of(value):
    """A preference of pymongo; tags and the age of what a member has are not taken into account, and so refused by name."""
    if value is None:
        return None
    mode = getattr(value, "mode", None)
    if mode not in range(len(_MODES)):
        raise TypeError("read_preference must be one of pymongo.ReadPreference, not %r" % (value,))
    if [dict(t) for t in getattr(value, "tag_sets", ())] not in ([], [{}]) or getattr(value, "max_staleness", -1) != -1:
        raise error(NotSupported, "read_preference with tag_sets or max_staleness is not supported; give a mode alone")
    return value


def mode_flag(preference) -> int:
    """For the connector's run(): as a member of its flags."""
    return 0 if preference is None else preference.mode + 1 << 4
