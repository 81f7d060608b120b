# SPDX-License-Identifier: Apache-2.0
"""DFF.SYS_CACHE_DB (spec 3.5): the helper of a Redis connector (spec 4.5) on the platform's own cache. Keys are as they
are, arguments and results as connectors/redis has them; one set of tests runs on that connector and on this."""
import json
import time

from . import errors, redis_like, series
from .redis_like import Commands

_AT_ONCE = 1000  # names of one MGET or DEL


def _raw(data: bytes) -> bytes:
    return data


def _text(data: bytes):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _ask(*args):
    """As redis_like.ask(), and bytes where a text is no UTF-8."""
    return redis_like.ask(*args, text=_text)


# How redis-py, which the original has underneath, shapes what some commands answer.
_BOOL = {"EXPIRE", "EXPIREAT", "PEXPIRE", "PEXPIREAT", "PERSIST", "HSETNX", "HEXISTS", "SETNX", "MSETNX", "RENAMENX",
         "SISMEMBER"}
_FLOAT = {"ZSCORE", "INCRBYFLOAT", "HINCRBYFLOAT", "ZINCRBY"}


def _shape(command: str, value):
    if value == "OK":
        return True
    if command in _BOOL and isinstance(value, int):
        return bool(value)
    if command in _FLOAT and isinstance(value, bytes):
        return float(value)
    if command == "HGETALL" and isinstance(value, list):
        return {k.decode("utf-8", "replace"): v for k, v in zip(value[::2], value[1::2])}
    return value


def _fresh(text, expires) -> bool:
    """Whether member ts or timestamp of this JSON text is not older than so many seconds."""
    try:
        value = json.loads(text)
        stamps = [value[k] for k in ("ts", "timestamp") if isinstance(value.get(k), (int, float))]
    except (TypeError, ValueError, AttributeError):
        return False
    return bool(stamps) and stamps[0] + expires >= time.time()


class SysCache(Commands):
    """All methods of the helper."""

    __slots__ = ()
    _ask = staticmethod(_ask)
    pub = Commands.publish

    def _key(self, key, scope):
        return key

    # ---- any command
    def query(self, *args, **options):
        """A command as its words, or as one text split at blanks: `query('GET', 'k')`. Texts come as bytes."""
        words = list(args[0].split(" ") if len(args) == 1 and isinstance(args[0], str) else args)
        words = [w for w in words if w != ""] if len(args) == 1 else words
        words = [x for w in words for x in (w if isinstance(w, (list, tuple)) else [w])]
        for name, value in options.items():  # ex=10 is EX 10, nx=True is NX
            words += [name] if value is True else [name, value] if value not in (None, False) else []
        if not words:
            raise errors.InvalidArgument("query() needs a command")
        return _shape(str(words[0]).upper(), redis_like.ask(*words, text=_raw))

    run = query

    def check(self) -> None:
        self._ask("PING")

    def info(self, section=None) -> dict:
        """What the cache tells about itself; numbers as numbers."""
        found = {}
        for line in self._ask("INFO", *([] if section is None else [section])).split("\r\n"):
            name, sep, value = line.partition(":")
            if sep and not line.startswith("#"):
                found[name] = int(value) if value.lstrip("-").isdigit() else value
        return found

    def dbsize(self) -> int:
        return self._ask("DBSIZE")

    # ---- keys
    def keys(self, pattern="*", limit=None) -> list:
        """Names that match, sorted, at most `limit` of them."""
        found = sorted(self._scan(pattern, None), key=lambda k: k.encode() if isinstance(k, str) else k)
        return found[:limit] if limit else found

    def get_pattern(self, pattern):
        """{key: text} of matching keys, None when there are none."""
        names = self.keys(pattern)
        values = []
        for i in range(0, len(names), _AT_ONCE):
            values += self._ask("MGET", *names[i:i + _AT_ONCE])
        return dict(zip(names, values)) if names else None

    def delete_pattern(self, pattern):
        """Deletes matching keys; how many, None when there are none."""
        names = self.keys(pattern)
        counts = [self._ask("DEL", *names[i:i + _AT_ONCE]) for i in range(0, len(names), _AT_ONCE)]
        return sum(counts) if names else None

    # ---- strings
    def set(self, key, value, expires=None, not_exists=False, exists=False, get_old_value=False):
        """True, or None when not_exists or exists did not hold; get_old_value: the value before."""
        words = ["SET", key, value]
        if expires is not None:
            words += ["PX", int(expires * 1000)] if isinstance(expires, float) else ["EX", expires]
        words += [word for word, on in (("NX", not_exists), ("XX", exists), ("GET", get_old_value)) if on]
        got = self._ask(*words)
        return got if get_old_value else True if got == "OK" else None

    # ---- hashes
    def _fields(self, key, pattern) -> dict:
        cursor, found = "0", {}
        while True:
            cursor, flat = self._ask("HSCAN", key, cursor, "MATCH", pattern, "COUNT", 1000)
            found.update(zip(flat[::2], flat[1::2]))
            if cursor == "0":
                return found

    def hkeys(self, key, pattern="*", with_values=False):
        """Fields that match, sorted; with_values as a dict."""
        found = self._fields(key, pattern)
        return found if with_values else sorted(found)

    def hset(self, key, field=None, value=None, field_values=None) -> int:
        """Sets a field, or those of a dict; how many are new."""
        words = [] if field is None else [field, value]
        words += [x for pair in dict(field_values or {}).items() for x in pair]
        if not words:
            raise errors.InvalidArgument("hset() needs a field and its value, or field_values")
        return self._ask("HSET", key, *words)

    def hget_pattern(self, key, pattern) -> dict:
        """{field: text} of matching fields."""
        return self._fields(key, pattern)

    def hget_expires(self, key, field, expires):
        """A JSON text whose ts or timestamp is not older than expires seconds, else None."""
        text = self._ask("HGET", key, field)
        return text if _fresh(text, expires) else None

    def hget_pattern_expires(self, key, pattern, expires) -> dict:
        """hget_expires() of matching fields, as a dict."""
        return {f: v for f, v in self._fields(key, pattern).items() if _fresh(v, expires)}

    # ---- lists, sorted sets
    def lpop(self, key, count=None):
        return self._ask("LPOP", key, *([] if count is None else [count]))

    def rpop(self, key, count=None):
        return self._ask("RPOP", key, *([] if count is None else [count]))

    pop = rpop

    def rpoplpush(self, key, dest_key=None):
        return self._ask("RPOPLPUSH", key, key if dest_key is None else dest_key)

    def zrange(self, key, start=0, stop=-1, by_score=False, by_lex=False, reverse=False, with_scores=False) -> list:
        """Members, or [member, score] pairs. Reversed by score or name, start is the upper end."""
        by = "BYSCORE" if by_score else "BYLEX" if by_lex else ""
        scores = with_scores and by != "BYLEX"
        found = self._ask(("ZREVRANGE" if reverse else "ZRANGE") + by, key, start, stop, *(["WITHSCORES"] if scores else []))
        return [[m, float(s)] for m, s in zip(found[::2], found[1::2])] if scores else found

    def _move(self, key, dest_key, low, high, how):
        return self._ask("TENON.ZMOVE", key, dest_key, low, high, how)

    def zpop_below_lpush(self, key, dest_key, score):
        """Moves the lowest member up to that score to the list; the member or None."""
        return self._move(key, dest_key, "-inf", score, "one")

    def zpop_above_lpush(self, key, dest_key, score):
        """Moves the lowest member from that score on to the list; the member or None."""
        return self._move(key, dest_key, score, "+inf", "one")

    def zpop_below_lpush_all(self, key, dest_key, score) -> int:
        """Moves all members up to that score to the list; how many."""
        return self._move(key, dest_key, "-inf", score, "all")

    # ---- locks
    def lock(self, key, value, max_seconds):
        """Takes a lock: True, None when somebody else has it."""
        return True if self._ask("SET", key, value, "EX", max_seconds, "NX") == "OK" else None

    def extend_lock_time(self, key, value, max_seconds) -> bool:
        """Keeps a lock of this value for longer."""
        if self._ask("TENON.EXTEND", key, value, max_seconds) != 1:
            raise errors.ConflictError("Not Lock owner")
        return True

    def unlock(self, key, value) -> int:
        """Gives a lock of this value back: 1, or 0 when it is not."""
        return self._ask("TENON.UNLOCK", key, value)

    # ---- time series
    def ts_add(self, key, value, timestamp=None, mode="update") -> None:
        """Sets the value of a series at that time, or adds to it (addUp)."""
        at, text, oldest = series.point(value, timestamp, mode)
        self._ask("TENON.TSADD", key, at, text, mode, oldest, series.MAX_AGE)

    def ts_get(self, key, start="-inf", stop="+inf", group_time=1, agg="avg", scale=1, ndigits=2, time_unit="s",
               dict_output=False, limit=None, fill_zero=False) -> list:
        """[[time, value]] of a series, grouped; the numbers times scale. limit: only the newest."""
        view = series.View(group_time, agg, scale, ndigits, time_unit, dict_output, limit, fill_zero)
        return view.rows(self._ask("ZRANGEBYSCORE", key, start, stop))

    def put_tasks(self, _task_reqs):
        raise errors.NotSupported("put_tasks() wrote into the queue of the original's own Redis; call DFF.FUNC(func_id, "
                                  "kwargs) instead")
