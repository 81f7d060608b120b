# SPDX-License-Identifier: Apache-2.0
"""MongoDB: BSON in and out through the `bson` module that scripts import, and errors as pymongo names them."""
import struct
import sys

from .errors import (ConfigError, ConflictError, ConnTimeout, ConnUnavailable, Denied, InvalidArgument,
                     LimitExceeded, NotSupported, QueryError)

_module = None


def bson():
    """The module; loaded when the first document comes along."""
    global _module
    if _module is None:
        try:
            import bson as found
            import bson.codec_options
            import bson.son
        except ImportError as e:
            raise NotSupported("connectors of type mongodb need the Python module bson (Debian: python3-bson): %s" % e)
        _module = found
    return _module


def codec_of(options):
    """What a collection encodes and decodes with."""
    return options or bson().codec_options.DEFAULT_CODEC_OPTIONS


def codec_given(options):
    """The options of a script, which must be CodecOptions; None stays."""
    if options is not None and not isinstance(options, bson().codec_options.CodecOptions):
        raise TypeError("codec_options must be an instance of bson.codec_options.CodecOptions, not %s" % type(options).__name__)
    return options


def encode_value(document, options) -> bytes:
    """A document of a script, by the options of its collection."""
    return (_module or bson()).encode(document, False, options or _module.codec_options.DEFAULT_CODEC_OPTIONS)


def decode(data: bytes, options=None):
    """BSON as a dict, or what the options of the collection say."""
    return (_module or bson()).decode(data, options or _module.codec_options.DEFAULT_CODEC_OPTIONS)


def splice(head: bytes, name: str, documents: list) -> bytes:
    """A command with one more member: an array of documents that are BSON already."""
    items = [b"\x03%d\x00%b" % (i, d) for i, d in enumerate(documents)]
    size = 5 + sum(map(len, items))
    parts = [head[4:-1], b"\x04", name.encode(), b"\x00", struct.pack("<i", size), *items, b"\x00\x00"]
    return struct.pack("<i", 4 + sum(map(len, parts))) + b"".join(parts)


# ---- errors --------------------------------------------------------------------------------------------------


class _Failure:
    """What pymongo's exceptions of this kind have besides."""

    details = None

    def __init__(self, message="", code=0, details=None, retry=False):
        Exception.__init__(self, message)  # the next of the line may be pymongo's, which wants other arguments
        self.code, self.sqlstate, self.retry = code or 0, "", retry
        self.details = details
        self._message = message
        self._error_labels = set((details or {}).get("errorLabels", ()))

    def has_error_label(self, label) -> bool:
        return label in self._error_labels

    @property
    def timeout(self) -> bool:
        return isinstance(self, ConnTimeout)


class OperationFailure(_Failure, QueryError):
    """The server refused a command; `code` and `details` are its own."""


class CursorNotFound(OperationFailure):
    """The server does not know the cursor any more."""


class WriteError(OperationFailure):
    """A document was not written."""


class DuplicateKeyError(_Failure, ConflictError):
    """A unique index has this value already."""


class WriteConflict(_Failure, ConflictError):
    """Another transaction was first; the same may work again."""


class ExecutionTimeout(_Failure, ConnTimeout):
    """The server stopped at the limit of time."""


class NotAuthorized(_Failure, Denied):
    """The user may not do that."""


class Unsupported(_Failure, NotSupported):
    """The server does not have this command or option."""


class DocumentTooLarge(_Failure, LimitExceeded):
    """A document is larger than the server takes."""


class WriteConcernError(_Failure, ConnUnavailable):
    """The write was done, and not confirmed by as many servers as were asked for."""


class BulkWriteError(_Failure, QueryError):
    """Parts of a bulk write failed; `details` says which."""

    def __init__(self, details):
        errors = details.get("writeErrors") or details.get("writeConcernErrors") or [{}]
        super().__init__("batch op errors occurred: %s" % errors[0].get("errmsg", ""), 65, details)


class InvalidOperation(InvalidArgument):
    """This cannot be done with this object, or not any more."""


class CollectionInvalid(InvalidArgument):
    """The collection exists already."""


class InvalidName(InvalidArgument):
    """No database or collection can be called that."""


class ConfigurationError(ConfigError):
    """The connector's configuration lacks what this needs."""


# By number of the server: what it means, and whether the same may work again.
_BY_CODE = {11000: (DuplicateKeyError, False), 11001: (DuplicateKeyError, False), 12582: (DuplicateKeyError, False),
            43: (CursorNotFound, False), 50: (ExecutionTimeout, True), 13: (NotAuthorized, False), 18: (NotAuthorized, False),
            59: (Unsupported, False), 115: (Unsupported, False), 238: (Unsupported, False), 112: (WriteConflict, True),
            10334: (DocumentTooLarge, False), 17280: (DocumentTooLarge, False), 64: (WriteConcernError, False)}
_combined: dict = {}


# Classes of pymongo with another name.
_NAMES = {"NotAuthorized": "OperationFailure", "WriteConflict": "OperationFailure", "Unsupported": "OperationFailure",
          "ConnUnavailable": "AutoReconnect", "ConnTimeout": "NetworkTimeout", "Denied": "OperationFailure"}


def _public(cls):
    """The class, which is also pymongo's class of that name when the script has imported pymongo."""
    theirs = sys.modules.get("pymongo.errors")
    other = getattr(theirs, _NAMES.get(cls.__name__, cls.__name__), None)
    if other is None:
        return cls
    if (cls, other) not in _combined:
        # pymongo's properties would hide what our own constructor sets
        hidden = dict.fromkeys(("code", "details", "_message", "_error_labels"))
        _combined[cls, other] = type(cls.__name__, (cls, other), {"__module__": cls.__module__, **hidden})
    return _combined[cls, other]


def adopt(e):
    """An error of the line to the server, which becomes pymongo's as well."""
    if type(e) in (ConnUnavailable, ConnTimeout, Denied) and "pymongo.errors" in sys.modules:
        retry = e.retry
        e.__class__ = _public(type(e))
        e.details, e._message, e._error_labels, e.retry, e.errors = None, str(e), set(), retry, []


def error(cls, *args, **kwargs) -> Exception:
    """An exception of this class."""
    return _public(cls)(*args, **kwargs)


def refusal(reply: dict, cls=OperationFailure) -> Exception:
    """What a reply with ok: 0, or an entry of writeErrors, means."""
    code = reply.get("code", 0)
    kind, retry = _BY_CODE.get(code, (cls, "TransientTransactionError" in reply.get("errorLabels", ())))
    text = reply.get("errmsg") or reply.get("$err") or "the server refused the command"
    if reply.get("codeName"):
        text = "%s (%s)" % (text, reply["codeName"])
    return error(kind, text, code, reply, retry)


def concern_error(reply: dict):
    """Raises when a write was not confirmed as asked."""
    trouble = reply.get("writeConcernError")
    if trouble:
        raise error(WriteConcernError, trouble.get("errmsg", "the write was not confirmed"), trouble.get("code", 0), reply)


def absent(cls, names: dict):
    """Methods of pymongo that are not there, and what to use instead."""
    for name, instead in names.items():
        def refuse(self, *args, name=name, instead=instead, **kwargs):
            raise error(NotSupported, "connectors of type mongodb have no %s(): %s" % (name, instead))
        setattr(cls, name, refuse)


# ---- arguments -----------------------------------------------------------------------------------------------


def mapping(name: str, value):
    """The value, which must be like a dict."""
    if not hasattr(value, "keys") and not hasattr(value, "raw"):
        raise TypeError("%s must be a dict, not %s" % (name, type(value).__name__))
    return value


def filter_of(value) -> dict:
    """None, a dict, or the _id alone."""
    if value is None:
        return {}
    return value if hasattr(value, "keys") else {"_id": value}


def check_name(kind: str, name) -> str:
    if not isinstance(name, str):
        raise TypeError("the name of a %s must be str, not %s" % (kind, type(name).__name__))
    bad = ' ."$\\/\x00' if kind == "database" else "\x00"
    if not name or len(name.encode()) > (63 if kind == "database" else 235) or any(c in name for c in bad) or \
            (kind == "collection" and (".." in name or name[0] == "." or name[-1] == "." or
                                       ("$" in name and not name.startswith(("oplog.$main", "$cmd"))))):
        raise error(InvalidName, "no %s can be called %r" % (kind, name))
    return name


def key_list(keys, direction=None) -> dict:
    """'a', ('a', 1), [('a', 1), 'b'], {'a': 1} as the server wants them, in order."""
    if isinstance(keys, str):
        return {keys: 1 if direction is None else direction}
    if direction is not None:
        raise TypeError("a direction goes with the name of one field, not with a list")
    if hasattr(keys, "items"):
        return dict(keys.items())
    if not isinstance(keys, (list, tuple)):
        raise TypeError("fields must be a name, a list of (name, direction) or a dict, not %s" % type(keys).__name__)
    if isinstance(keys, tuple) and len(keys) == 2 and isinstance(keys[0], str) and not isinstance(keys[1], tuple):
        keys = [keys]
    out: dict = {}
    for key in keys:
        pair = (key, 1) if isinstance(key, str) else key
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise TypeError("a field must be a name or (name, direction), not %r" % (key,))
        out[pair[0]] = pair[1]
    if not out:
        raise ValueError("the list of fields is empty")
    return out


def whole(name: str, value, least=None):
    """The value, which must be an int (None stays), not below `least`."""
    if value is not None and not isinstance(value, int):
        raise TypeError("%s must be an int, not %s" % (name, type(value).__name__))
    if value is not None and least is not None and value < least:
        raise ValueError("%s must be >= %d" % (name, least))
    return value


def yes_or_no(name: str, value):
    """The value, which must be a bool (None stays)."""
    if value is not None and not isinstance(value, bool):
        raise TypeError("%s must be True or False, not %s" % (name, type(value).__name__))
    return value


def projection_of(value):
    """A list of names or a dict; None stays, an empty one is the _id alone."""
    if value is None:
        return None
    return (value if hasattr(value, "keys") else dict.fromkeys(value, 1)) or {"_id": 1}


def hint_of(value):
    return value if value is None or isinstance(value, str) else key_list(value)


class Concern(dict):
    """A readConcern or writeConcern as scripts look at it; as a dict what is sent."""

    document = property(dict)
    level = property(lambda self: self.get("level"))
    acknowledged = property(lambda self: True)
    is_server_default = property(lambda self: not self)


def concern_of(value):
    """A concern of pymongo, or a dict of the same content."""
    document = getattr(value, "document", value)
    if document is None or document == {}:
        return None
    return Concern(mapping("a concern or collation", document))


def collation_of(value):
    return concern_of(value)


def options_of(**named) -> dict:
    """Without those that are None."""
    return {k: v for k, v in named.items() if v is not None}
