# SPDX-License-Identifier: Apache-2.0
"""MongoDB: results of writes, operations of bulk_write() (ours or pymongo's), and how they are sent."""
from .mongo_values import (BulkWriteError, DocumentTooLarge, InvalidOperation, WriteError, collation_of, concern_error,
                           encode_value, error, hint_of, key_list, mapping, options_of, refusal, splice, yes_or_no)

WRITE = 2
SIZE_MAX, COUNT_MAX = 15 << 20, 10000  # of one command, unless a single document is larger
DOCUMENT_MAX = 16 << 20  # the server's bound


# ---- results -------------------------------------------------------------------------------------------------


class _Result:
    acknowledged = True

    def __repr__(self):
        return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % (k.lstrip("_"), v) for k, v in vars(self).items()))


class InsertOneResult(_Result):
    def __init__(self, inserted_id):
        self.inserted_id = inserted_id


class InsertManyResult(_Result):
    def __init__(self, inserted_ids):
        self.inserted_ids = inserted_ids


class UpdateResult(_Result):
    def __init__(self, raw_result):
        self.raw_result = raw_result

    @property
    def matched_count(self) -> int:
        return 0 if self.upserted_id is not None else self.raw_result.get("n", 0)

    @property
    def modified_count(self) -> int:
        return self.raw_result.get("nModified", 0)

    @property
    def upserted_id(self):
        return self.raw_result.get("upserted")


class DeleteResult(_Result):
    def __init__(self, raw_result):
        self.raw_result = raw_result

    @property
    def deleted_count(self) -> int:
        return self.raw_result.get("n", 0)


class BulkWriteResult(_Result):
    def __init__(self, bulk_api_result):
        self.bulk_api_result = bulk_api_result

    inserted_count = property(lambda self: self.bulk_api_result["nInserted"])
    matched_count = property(lambda self: self.bulk_api_result["nMatched"])
    modified_count = property(lambda self: self.bulk_api_result["nModified"])
    deleted_count = property(lambda self: self.bulk_api_result["nRemoved"])
    upserted_count = property(lambda self: self.bulk_api_result["nUpserted"])

    @property
    def upserted_ids(self) -> dict:
        return {u["index"]: u["_id"] for u in self.bulk_api_result["upserted"]}


# ---- operations ----------------------------------------------------------------------------------------------


class _Operation:
    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self):
        return "%s(%s)" % (type(self).__name__, ", ".join(map(repr, vars(self).values())))


class InsertOne(_Operation):
    """Inserts a document."""

    def __init__(self, document):
        self._doc = document


class _Delete(_Operation):
    def __init__(self, filter, collation=None, hint=None):
        self._filter, self._collation, self._hint = filter, collation, hint


class DeleteOne(_Delete):
    """Deletes the first document that matches."""


class DeleteMany(_Delete):
    """Deletes all documents that match."""


class ReplaceOne(_Operation):
    """Replaces the first document that matches."""

    def __init__(self, filter, replacement, upsert=False, collation=None, hint=None):
        self._filter, self._doc, self._upsert, self._collation, self._hint = filter, replacement, upsert, collation, hint


class _Update(_Operation):
    def __init__(self, filter, update, upsert=False, collation=None, array_filters=None, hint=None):
        self._filter, self._doc, self._upsert, self._collation = filter, update, upsert, collation
        self._array_filters, self._hint = array_filters, hint


class UpdateOne(_Update):
    """Changes the first document that matches."""


class UpdateMany(_Update):
    """Changes all documents that match."""


class IndexModel:
    """An index for create_indexes()."""

    def __init__(self, keys, **kwargs):
        self.document = index_document(keys, kwargs)


def index_document(keys, options: dict) -> dict:
    """An entry of createIndexes; without a name it gets the one that pymongo would give it."""
    key = key_list(keys)
    name = options.pop("name", None) or "_".join("%s_%s" % item for item in key.items())
    if "collation" in options:
        options["collation"] = collation_of(options["collation"])
    renamed = {"bucket_size": "bucketSize"}
    return {"name": name, "key": key, **{renamed.get(k, k): v for k, v in options.items() if v is not None}}


def check_update(update):
    """Operators, or a pipeline."""
    if isinstance(update, (list, tuple)) and update:
        return list(update)
    if isinstance(update, (list, tuple)):
        raise ValueError("an update needs at least one stage")
    mapping("update", update)
    first = next(iter(update), None)
    if first is None or not str(first).startswith("$"):
        raise ValueError("update only works with $ operators")
    return update


def check_replacement(replacement):
    mapping("replacement", replacement)
    first = next(iter(replacement), None)
    if first is not None and str(first).startswith("$"):
        raise ValueError("replacement can not include $ operators")
    return replacement


def with_id(document):
    """The document with an _id; a new one is put into it, as pymongo does."""
    mapping("document", document)
    if hasattr(document, "raw"):
        return document
    if "_id" not in document:
        from bson.objectid import ObjectId
        document["_id"] = ObjectId()
    return document


def id_of(document):
    """Of a document that was written; a raw one may hold what Python has no value for."""
    try:
        return document.get("_id")
    except Exception:
        return None


def update_entry(filter, update, multi, upsert=False, collation=None, array_filters=None, hint=None, sort=None) -> dict:
    if array_filters is not None and not isinstance(array_filters, (list, tuple)):
        raise TypeError("array_filters must be a list, not %s" % type(array_filters).__name__)
    return {"q": mapping("filter", filter), "u": update, "multi": multi, "upsert": yes_or_no("upsert", upsert) or False,
            **options_of(collation=collation_of(collation), arrayFilters=array_filters, hint=hint_of(hint),
                         sort=sort)}


def delete_entry(filter, limit, collation=None, hint=None) -> dict:
    return {"q": mapping("filter", filter), "limit": limit,
            **options_of(collation=collation_of(collation), hint=hint_of(hint))}


def _entry(op):
    """(command, entry) of an operation; pymongo's are known by their names."""
    kind, get = type(op).__name__, lambda name: getattr(op, name, None)
    if kind == "InsertOne":
        return "insert", with_id(op._doc)
    if kind in ("UpdateOne", "UpdateMany"):
        return "update", update_entry(op._filter, check_update(op._doc), kind == "UpdateMany", get("_upsert"),
                                      get("_collation"), get("_array_filters"), get("_hint"))
    if kind == "ReplaceOne":
        return "update", update_entry(op._filter, check_replacement(op._doc), False, get("_upsert"), get("_collation"),
                                      None, get("_hint"))
    if kind in ("DeleteOne", "DeleteMany"):
        return "delete", delete_entry(op._filter, int(kind == "DeleteOne"), get("_collation"), get("_hint"))
    raise TypeError("%r is not a valid request" % (op,))


_FIELD = {"insert": "documents", "update": "updates", "delete": "deletes"}


# ---- sending -------------------------------------------------------------------------------------------------


def _encode(entry, options) -> bytes:
    data = encode_value(entry, options)
    if len(data) > DOCUMENT_MAX + 16384:
        raise error(DocumentTooLarge, "a document of %d bytes is larger than the 16 MiB that a server takes" % len(data))
    return data


def one(collection, kind: str, entry, session=None, **options) -> dict:
    """A single write -> the reply; what the server refuses is raised."""
    command = {kind: collection.name, "ordered": True, **collection._writing(session), **options_of(**options)}
    data = splice(encode_value(command, None), _FIELD[kind], [_encode(entry, collection.codec_options)])
    reply, _ = collection._ask_bson(data, WRITE, session, plain=True)
    if reply.get("writeErrors"):
        raise refusal(reply["writeErrors"][0], WriteError)
    concern_error(reply)
    return reply


def _runs(entries, ordered: bool):
    """Lists of (index, entry) that one kind of command may send, in order."""
    if not ordered:
        for kind in _FIELD:
            some = [(i, e) for i, (k, e) in enumerate(entries) if k == kind]
            if some:
                yield kind, some
        return
    start = 0
    for i in range(1, len(entries) + 1):
        if i == len(entries) or entries[i][0] != entries[start][0]:
            yield entries[start][0], [(j, entries[j][1]) for j in range(start, i)]
            start = i


def _pieces(some, options):
    """(indexes, documents) within the bounds of a command."""
    indexes, documents, size = [], [], 0
    for i, entry in some:
        data = _encode(entry, options)
        if documents and (size + len(data) > SIZE_MAX or len(documents) >= COUNT_MAX):
            yield indexes, documents
            indexes, documents, size = [], [], 0
        indexes.append(i)
        documents.append(data)
        size += len(data) + 12
    if documents:
        yield indexes, documents


def _merge(total: dict, kind: str, reply: dict, indexes: list, entries: list) -> bool:
    """Adds a reply to the totals; were there errors?"""
    upserted = reply.get("upserted") or []
    total["upserted"] += [{"index": indexes[u["index"]], "_id": u["_id"]} for u in upserted]
    if kind == "insert":
        total["nInserted"] += reply.get("n", 0)
    elif kind == "delete":
        total["nRemoved"] += reply.get("n", 0)
    else:
        total["nUpserted"] += len(upserted)
        total["nMatched"] += reply.get("n", 0) - len(upserted)
        total["nModified"] += reply.get("nModified", 0)
    for e in reply.get("writeErrors") or ():
        i = indexes[e["index"]]
        total["writeErrors"].append({**e, "index": i, "op": entries[i][1]})
    if reply.get("writeConcernError"):
        total["writeConcernErrors"].append(reply["writeConcernError"])
    return bool(reply.get("writeErrors"))


def bulk(collection, entries: list, ordered: bool, session=None, **options) -> dict:
    """Sends [(command, entry)] -> the totals as pymongo has them; BulkWriteError when something failed."""
    if not entries:
        raise error(InvalidOperation, "No operations to execute")
    total = {"writeErrors": [], "writeConcernErrors": [], "nInserted": 0, "nUpserted": 0, "nMatched": 0, "nModified": 0,
             "nRemoved": 0, "upserted": []}
    failed = False
    for kind, some in _runs(entries, ordered):
        head = {kind: collection.name, "ordered": ordered, **collection._writing(session), **options_of(**options)}
        for indexes, documents in _pieces(some, collection.codec_options):
            data = splice(encode_value(head, None), _FIELD[kind], documents)
            reply, _ = collection._ask_bson(data, WRITE, session, plain=True)
            failed = _merge(total, kind, reply, indexes, entries) or failed
            if failed and ordered:
                raise error(BulkWriteError, total)
    total["writeErrors"].sort(key=lambda e: e["index"])
    if failed or total["writeConcernErrors"]:
        raise error(BulkWriteError, total)
    return total


def bulk_write(collection, requests, ordered=True, bypass_document_validation=None, session=None, comment=None, let=None):
    entries = [_entry(op) for op in requests]
    return BulkWriteResult(bulk(collection, entries, bool(ordered), session, comment=comment, let=let,
                                bypassDocumentValidation=bypass_document_validation or None))
