# SPDX-License-Identifier: Apache-2.0
"""The running task: stamps of printed lines, print_var, request headers, imports by importlib."""
import importlib
import sys
from datetime import datetime, timedelta, timezone

import _tenon
from .errors import EntityNotFound, OutputLimit, TaskTimeout  # noqa: F401  (used by the C side)

_zone = None


def _load_zone():
    """Zone of the setting TIMEZONE: an IANA name or "+08:00"; UTC when it is unknown."""
    name = (_tenon.setting("TIMEZONE") or "").strip()
    if name[:1] in "+-" and len(name) > 1:
        sign = -1 if name[0] == "-" else 1
        hours, _, minutes = name[1:].partition(":")
        try:
            return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes or 0)))
        except ValueError:
            return timezone.utc
    try:
        from zoneinfo import ZoneInfo
        return ZoneInfo(name)
    except Exception:
        return timezone.utc


def zone():
    """The platform's time zone."""
    global _zone
    if _zone is None:
        _zone = _load_zone()
    return _zone


def stamp(sec: int) -> str:
    """`MM-DD HH:MM:SS` of a Unix time in the platform's zone."""
    return datetime.fromtimestamp(sec, zone()).strftime("%m-%d %H:%M:%S")


def _deep_size(value, seen: set) -> int:
    """Bytes of the value and everything in its containers."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value, 0)
    if isinstance(value, dict):
        items = [x for pair in value.items() for x in pair]
    elif isinstance(value, (list, tuple, set, frozenset)):
        items = list(value)
    else:
        items = list(getattr(value, "__dict__", {}).values())
    for item in items:
        if len(seen) > 100_000:
            break
        size += _deep_size(item, seen)
    return size


def _print_one(name, value) -> None:
    try:
        size = _deep_size(value, set())
    except RecursionError:
        size = sys.getsizeof(value, 0)
    try:
        text = str(value)
    except Exception:
        text = ""
    head = "[VAR] %s: " % name if name else "[VAR] "
    _tenon.print_line("%stype=`%s`, value=`%s`, obj_size=`%d`" % (head, type(value), text, size))


def print_var(*values, **named) -> None:
    """One line per value with its type, text and deep size in bytes."""
    for value in values:
        _print_one(_caller_name(value), value)
    for name, value in named.items():
        _print_one(name, value)


def _caller_name(value) -> str:
    """Name of the variable of the calling frame that holds the value, or ""."""
    frame = sys._getframe(2)
    for scope in (frame.f_locals, frame.f_globals):
        for name, candidate in scope.items():
            if candidate is value and not name.startswith("_"):
                return name
    return ""


class Headers(dict):
    """Request headers: look-ups ignore case, iteration shows lower-case names."""

    __slots__ = ()

    def __init__(self, pairs=()):
        super().__init__((str(k).lower(), v) for k, v in dict(pairs).items())

    def __getitem__(self, key):
        return super().__getitem__(_low(key))

    def __setitem__(self, key, value):
        super().__setitem__(_low(key), value)

    def __delitem__(self, key):
        super().__delitem__(_low(key))

    def __contains__(self, key):
        return super().__contains__(_low(key))

    def get(self, key, default=None):
        return super().get(_low(key), default)

    def pop(self, key, *default):
        return super().pop(_low(key), *default)

    def setdefault(self, key, default=None):
        return super().setdefault(_low(key), default)

    def update(self, *args, **named):
        for key, value in dict(*args, **named).items():
            self[key] = value

    def copy(self):
        return Headers(self)

    def __reduce__(self):
        return (Headers, (dict(self),))


def _low(key):
    return key.lower() if isinstance(key, str) else key


class Context:
    """DFF.CTX: values that live as long as the task, shared by its scripts."""

    __slots__ = ()

    @staticmethod
    def _values() -> dict:
        return _tenon.state().setdefault("ctx", {})

    def __call__(self, key):
        return self.get(key)

    def has(self, key) -> bool:
        return key in self._values()

    def get(self, key):
        """A deep copy of the value, None when it is not set."""
        import copy
        return copy.deepcopy(self._values().get(key))

    def get_all(self) -> dict:
        import copy
        return copy.deepcopy(self._values())

    def set(self, key, value) -> None:
        self._values()[key] = value

    def delete(self, key) -> None:
        self._values().pop(key, None)

    def clear(self) -> None:
        self._values().clear()


def finish(state: dict, ok: bool) -> None:
    """End of the task: its threads are joined. After a failure, or when the time limit ends the
    join, they are interrupted; a process with threads that still run serves no further call."""
    pool = state.get("pool")
    if "sysdb" in state:
        from . import sysdb
        sysdb.finish(state)
    try:
        if pool is not None and ok:
            pool.join()
    finally:
        if pool is not None and not pool.stop():
            _tenon.retire()
        state.clear()


def _hook_importlib() -> None:
    plain = importlib.import_module

    def import_module(name, package=None):
        """Imports a script of the platform or a module."""
        if "__" in name and package is None:
            module = _tenon.find_script(name, sys._getframe(1).f_globals)
            if module is not None:
                return module
        return plain(name, package)

    importlib.import_module = import_module


_hook_importlib()
