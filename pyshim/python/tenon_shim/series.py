# SPDX-License-Identifier: Apache-2.0
"""Time series in sorted sets (spec 4.5): a member is "<seconds>,<JSON>", its score the seconds. The same rules as
connectors/redis/series.c."""
import json
import math
import time

from .errors import InvalidArgument, LimitExceeded

MIN_INTERVAL, MAX_AGE, MAX_PERIOD = 60, 86400, 259200  # seconds: the grid, life of a key, age of the oldest point
_POINTS_MAX = 1000000
_EXACT = 2.0 ** 53


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _float_text(value: float) -> str:
    """The shortest text that is the same number again; whole ones without a point."""
    if not math.isfinite(value):
        raise InvalidArgument("nan and inf are no points of a series")
    return next(t for t in ("%.15g" % value, "%.16g" % value, "%.17g" % value) if float(t) == value)


def point(value, timestamp, mode) -> tuple:
    """(second of the point, its JSON text, second before which points go)."""
    now = int(time.time())
    if timestamp is not None and not _is_number(timestamp):
        raise InvalidArgument("timestamp must be seconds")
    at = now if timestamp is None else int(timestamp)
    if not 0 <= at <= 253402300800:
        raise InvalidArgument("timestamp %d is not in seconds" % at)
    if mode not in ("update", "addUp") or (mode == "addUp" and not _is_number(value)):
        raise InvalidArgument("mode is 'update', or 'addUp' with a number")
    if not (value is None or isinstance(value, (bool, int, float, str))):
        raise InvalidArgument("a point of a series is a number or a text")
    text = _float_text(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return at - at % MIN_INTERVAL, text, now - MAX_PERIOD


def _read(member):
    """(second, number, is whole) of a member; None: no number."""
    at, sep, text = member.partition(",") if isinstance(member, str) else ("", "", "")
    try:
        value = float(text) if sep and (text[:1] == "-" or text[:1].isdigit()) else None
        return None if value is None else (int(at), value, not set(text) & set(".eE") and abs(value) < _EXACT)
    except ValueError:
        return None


class _Group:
    __slots__ = ("t", "n", "sum", "min", "max", "whole")

    def __init__(self, t, value=0.0, n=0):
        self.t, self.n, self.sum, self.min, self.max, self.whole = t, n, 0.0, value, value, True

    def add(self, value, whole) -> None:
        self.n += 1
        self.sum += value
        self.min = min(self.min, value)
        self.max = max(self.max, value)
        self.whole = self.whole and whole


class View:
    """The options of ts_get()."""

    def __init__(self, group_time, agg, scale, ndigits, time_unit, dict_output, limit, fill_zero):
        if agg not in ("avg", "sum", "min", "max", "count"):
            raise InvalidArgument("agg is avg, sum, min, max or count")
        if time_unit not in ("s", "ms"):
            raise InvalidArgument("time_unit is 's' or 'ms'")
        self.step = group_time if isinstance(group_time, int) and group_time > 0 else 1
        self.agg, self.scale = agg, scale if _is_number(scale) else 1
        self.digits = ndigits if isinstance(ndigits, int) and 0 <= ndigits <= 30 else None
        self.unit = 1000 if time_unit == "ms" else 1
        self.dicts, self.limit, self.fill = dict_output is True, limit, fill_zero is True

    def _groups(self, members) -> list:
        groups: list = []
        for found in filter(None, map(_read, members)):
            t = found[0] - found[0] % self.step
            while self.fill and groups and groups[-1].t + self.step < t and len(groups) <= _POINTS_MAX:
                groups.append(_Group(groups[-1].t + self.step))
            if not groups or groups[-1].t != t:
                groups.append(_Group(t, found[1]))
            if len(groups) > _POINTS_MAX:
                raise LimitExceeded("the series has more than %d points; use a larger group_time" % _POINTS_MAX)
            groups[-1].add(found[1], found[2])
        return groups

    def _value(self, g):
        if self.agg == "count":
            return g.n
        value = 0.0 if g.n == 0 else g.sum / g.n if self.agg == "avg" else getattr(g, self.agg)
        if self.agg != "avg" and g.whole and self.scale == 1:
            return int(value)
        value *= self.scale
        return value if self.digits is None else round(value, self.digits)

    def rows(self, members) -> list:
        groups = self._groups(members)
        if isinstance(self.limit, int) and 0 <= self.limit < len(groups):
            groups = groups[len(groups) - self.limit:]
        pairs = [[g.t * self.unit, self._value(g)] for g in groups]
        return [{"t": t, "v": v} for t, v in pairs] if self.dicts else pairs
