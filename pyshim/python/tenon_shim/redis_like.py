# SPDX-License-Identifier: Apache-2.0
"""The commands of the platform's cache as methods (spec 3.5, CACHE). Requests and answers are RESP2,
so the embedded cache and a Redis server behind it look the same."""
import builtins
import time

import _tenon

_SLICE = 1.0  # seconds of one blocking question; between two others of the task get their turn


class ResponseError(Exception):
    """The cache refused a command."""


class DataError(Exception):
    """A value that the cache cannot hold."""


class ConnectionError(builtins.ConnectionError):
    """The cache cannot be reached."""


def _bytes(value) -> bytes:
    kind = type(value)
    if kind is str:
        return value.encode()
    if kind is bytes:
        return value
    if kind is int:
        return b"%d" % value
    if isinstance(value, bool) or not isinstance(value, (str, bytes, bytearray, int, float)):
        raise DataError("Invalid input of type: '%s'. Convert to a bytes, string, int or float first."
                        % kind.__name__)
    return bytes(value) if isinstance(value, (bytes, bytearray)) else \
        repr(value).encode() if isinstance(value, float) else str(value).encode()


def pack(args) -> bytes:
    """One request."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = _bytes(arg)
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def _error(text: str) -> Exception:
    if text.startswith("UNAVAIL "):
        return ConnectionError(text[8:])
    return ResponseError(text[4:] if text.startswith("ERR ") else text)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _parse(data: bytes, at: int, text):
    """(value, offset behind it); bulk strings as text() makes them."""
    end = data.index(b"\r\n", at)
    mark, head, at = data[at], data[at + 1:end], end + 2
    if mark == 36:  # $
        n = int(head)
        return (None, at) if n < 0 else (text(data[at:at + n]), at + n + 2)
    if mark == 58:  # :
        return int(head), at
    if mark == 42:  # *
        n, items = int(head), []
        for _ in range(n):
            item, at = _parse(data, at, text)
            items.append(item)
        return (None if n < 0 else items), at
    line = head.decode("utf-8", "replace")
    if mark == 45:  # -
        raise _error(line)
    return line, at


def ask(*args, text=_text):
    """Runs one command: str, int, list or None; ResponseError and the like."""
    data = _tenon.ask("cache.run", pack(args))
    if data is None:
        raise ConnectionError("the platform has no cache")
    return _parse(data, 0, text)[0]


def _list(value) -> list:
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def glob_escape(text: str) -> str:
    """The text as a pattern that matches nothing else."""
    return "".join("\\" + c if c in "*?[]\\^" else c for c in text)


def _matcher(pattern: str):
    import re
    text = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.compile(text, re.DOTALL).fullmatch


class Commands:
    """All commands. A subclass says what a key of a script is called in the cache."""

    __slots__ = ()
    _ask = staticmethod(ask)

    def _key(self, key, scope):
        return str(key)

    def _pattern(self, pattern, scope) -> str:
        return str(pattern)

    def _name(self, full: str, scope) -> str:
        """The key as scripts call it."""
        return full

    def __call__(self, *args, **kwargs):
        return self.get(*args, **kwargs)

    def run(self, command, key, *args, scope=None, **options):
        """Any command on a key: `run('append', 'k', 'text')`, `run('set', 'k', 'v', ex=10)`."""
        words = [command, self._key(key, scope), *args]
        for name, value in options.items():
            words += [name] if value is True else [name, value] if value not in (None, False) else []
        return self._ask(*words)

    # ---- keys
    def type(self, key, scope=None):
        kind = self._ask("TYPE", self._key(key, scope))
        return None if kind == "none" else kind

    def _scan(self, pattern, scope) -> list:
        cursor, found = "0", {}
        while True:
            cursor, some = self._ask("SCAN", cursor, "MATCH", self._pattern(pattern, scope), "COUNT", 1000)
            found.update(dict.fromkeys(some))
            if cursor == "0":
                return list(found)

    def keys(self, pattern="*", scope=None) -> list:
        return [self._name(full, scope) for full in self._scan(pattern, scope)]

    def exists(self, key, scope=None) -> bool:
        return self._ask("EXISTS", self._key(key, scope)) > 0

    def expire(self, key, expires, scope=None) -> bool:
        return self._ask("EXPIRE", self._key(key, scope), max(1, int(expires))) == 1

    def expireat(self, key, timestamp, scope=None) -> bool:
        return self._ask("EXPIREAT", self._key(key, scope), int(timestamp)) == 1

    def ttl(self, key, scope=None) -> int:
        return self._ask("TTL", self._key(key, scope))

    def pttl(self, key, scope=None) -> int:
        return self._ask("PTTL", self._key(key, scope))

    def delete(self, key, scope=None) -> int:
        keys = [self._key(k, scope) for k in _list(key)]
        return self._ask("DEL", *keys) if keys else 0

    # ---- strings
    def set(self, key, value, scope=None, expires=None, not_exists=False, exists=False, expire=None):
        """True, or None when not_exists or exists did not hold."""
        words = ["SET", self._key(key, scope), value]
        expires = expires if expires is not None else expire
        if expires is not None:
            words += ["PX", int(expires * 1000)] if isinstance(expires, float) else ["EX", int(expires)]
        if not_exists:
            words.append("NX")
        if exists:
            words.append("XX")
        return True if self._ask(*words) == "OK" else None

    def mset(self, key_values, scope=None) -> bool:
        words = ["MSET"]
        for key, value in dict(key_values).items():
            words += [self._key(key, scope), value]
        return self._ask(*words) == "OK" if len(words) > 1 else True

    def get(self, key, scope=None):
        return self._ask("GET", self._key(key, scope))

    def mget(self, keys, scope=None) -> dict:
        keys = _list(keys)
        values = self._ask("MGET", *[self._key(k, scope) for k in keys]) if keys else []
        return dict(zip(keys, values))

    def getset(self, key, value, scope=None):
        return self._ask("GETSET", self._key(key, scope), value)

    def incr(self, key, step=1, scope=None) -> int:
        return self._ask("INCRBY", self._key(key, scope), step)

    def incrby(self, key, step=1, scope=None) -> int:
        return self._ask("INCRBY", self._key(key, scope), step)

    # ---- hashes
    def hkeys(self, key, pattern="*", scope=None, with_values=False):
        """Fields that match; a dict with_values."""
        match = _matcher(pattern)
        if with_values:
            return {f: v for f, v in self.hgetall(key, scope).items() if match(f)}
        return [f for f in self._ask("HKEYS", self._key(key, scope)) if match(f)]

    def hset(self, key, field, value, scope=None, not_exists=False):
        return self.hsetnx(key, field, value, scope) if not_exists else \
            self._ask("HSET", self._key(key, scope), field, value)

    def hmset(self, key, field_values, scope=None) -> bool:
        words = [x for pair in dict(field_values).items() for x in pair]
        return self._ask("HMSET", self._key(key, scope), *words) == "OK"

    def hsetnx(self, key, field, value, scope=None) -> bool:
        return self._ask("HSETNX", self._key(key, scope), field, value) == 1

    def hget(self, key, field, scope=None):
        return self._ask("HGET", self._key(key, scope), field)

    def hmget(self, key, fields, scope=None) -> dict:
        fields = _list(fields)
        return dict(zip(fields, self._ask("HMGET", self._key(key, scope), *fields) if fields else []))

    def hgetall(self, key, scope=None) -> dict:
        flat = self._ask("HGETALL", self._key(key, scope))
        return dict(zip(flat[::2], flat[1::2]))

    def hincr(self, key, field, step=1, scope=None) -> int:
        return self._ask("HINCRBY", self._key(key, scope), field, step)

    def hincrby(self, key, field, step=1, scope=None) -> int:
        return self._ask("HINCRBY", self._key(key, scope), field, step)

    def hdel(self, key, field, scope=None) -> int:
        fields = _list(field)
        return self._ask("HDEL", self._key(key, scope), *fields) if fields else 0

    # ---- lists
    def lpush(self, key, value, scope=None) -> int:
        return self._ask("LPUSH", self._key(key, scope), *_list(value))

    def rpush(self, key, value, scope=None) -> int:
        return self._ask("RPUSH", self._key(key, scope), *_list(value))

    def lpop(self, key, scope=None, count=None):
        return self._ask("LPOP", self._key(key, scope), *([] if count is None else [count]))

    def rpop(self, key, scope=None, count=None):
        return self._ask("RPOP", self._key(key, scope), *([] if count is None else [count]))

    def _blocking(self, command, key, timeout, scope):
        """[key, value], None after the timeout (seconds, 0: only the task's own)."""
        end = time.monotonic() + timeout if timeout else None
        while True:
            left = _SLICE if end is None else min(_SLICE, end - time.monotonic())
            found = self._ask(command, self._key(key, scope), "%.3f" % max(left, 0.001))
            if found is not None:
                return [key, found[1]]
            if end is not None and time.monotonic() >= end:
                return None

    def blpop(self, key, timeout=0, scope=None):
        return self._blocking("BLPOP", key, timeout, scope)

    def brpop(self, key, timeout=0, scope=None):
        return self._blocking("BRPOP", key, timeout, scope)

    def rpoplpush(self, key, dest_key=None, scope=None, dest_scope=None):
        dest_key = key if dest_key is None else dest_key
        dest_scope = scope if dest_scope is None else dest_scope
        return self._ask("RPOPLPUSH", self._key(key, scope), self._key(dest_key, dest_scope))

    def llen(self, key, scope=None) -> int:
        return self._ask("LLEN", self._key(key, scope))

    def lrange(self, key, start=0, stop=-1, scope=None) -> list:
        return self._ask("LRANGE", self._key(key, scope), start, stop)

    def ltrim(self, key, start, stop, scope=None) -> bool:
        return self._ask("LTRIM", self._key(key, scope), start, stop) == "OK"

    push = lpush
    pop = rpop
    bpop = brpop

    # ---- sets
    def sadd(self, key, member, scope=None) -> int:
        return self._ask("SADD", self._key(key, scope), *_list(member))

    def srem(self, key, member, scope=None) -> int:
        return self._ask("SREM", self._key(key, scope), *_list(member))

    def scard(self, key, scope=None) -> int:
        return self._ask("SCARD", self._key(key, scope))

    def smembers(self, key, scope=None) -> list:
        return self._ask("SMEMBERS", self._key(key, scope))

    def sismember(self, key, member, scope=None) -> bool:
        return self._ask("SISMEMBER", self._key(key, scope), member) == 1

    # ---- sorted sets
    def zadd(self, key, member_scores, scope=None) -> int:
        words = [x for member, score in dict(member_scores).items() for x in (score, member)]
        return self._ask("ZADD", self._key(key, scope), *words)

    def zrem(self, key, member, scope=None) -> int:
        return self._ask("ZREM", self._key(key, scope), *_list(member))

    def zcard(self, key, scope=None) -> int:
        return self._ask("ZCARD", self._key(key, scope))

    def zrange(self, key, start=0, stop=-1, reverse=False, with_scores=False, scope=None) -> list:
        """Members; [member, score] pairs with_scores."""
        words = ["ZREVRANGE" if reverse else "ZRANGE", self._key(key, scope), start, stop]
        found = self._ask(*words, *(["WITHSCORES"] if with_scores else []))
        return [[m, float(s)] for m, s in zip(found[::2], found[1::2])] if with_scores else found

    # ---- the rest
    def publish(self, topic, message, scope=None) -> int:
        return self._ask("PUBLISH", self._key(topic, scope), message)

    def get_pattern(self, pattern, scope=None):
        """{full name in the cache: text} of what is a string; None when nothing matches."""
        names = self._scan(pattern, scope)
        values = self._ask("MGET", *names) if names else []
        return dict(zip(names, values)) if names else None

    def delete_pattern(self, pattern, scope=None):
        """How many were deleted; None when nothing matches."""
        names = self._scan(pattern, scope)
        return self._ask("DEL", *names) if names else None


class Cache(Commands):
    """DFF.CACHE: keys belong to a scope, by default the script that uses it."""

    __slots__ = ("_scope", "_head")

    def __init__(self, script_id: str):
        self._scope = script_id
        self._head = "%s-worker#funcCache@" % (_tenon.setting("APP_NAME") or "DataFluxFunc")

    def _key(self, key, scope):
        return "%s%s:key:%s:" % (self._head, self._scope if scope is None else scope, key)

    def _pattern(self, pattern, scope) -> str:
        head = "%s%s:key:" % (self._head, self._scope if scope is None else scope)
        return "%s%s:" % (glob_escape(head), pattern)

    def _name(self, full: str, scope) -> str:
        return full[len(self._head) + len(str(self._scope if scope is None else scope)) + 5:-1]
