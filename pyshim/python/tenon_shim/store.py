# SPDX-License-Identifier: Apache-2.0
"""DFF.STORE: durable values of a scope, any JSON, with an optional life time (spec 3.5)."""
import math
import time

import _tenon
from .service import ask


def _key(key) -> str:
    if not isinstance(key, str):
        raise TypeError("a key of DFF.STORE must be a str, not %s" % type(key).__name__)
    return key


def _expire_at(expires):
    """Unix time in seconds, never sooner than asked for; None: it stays."""
    if not expires:
        return None
    if expires < 0:
        raise ValueError("expires must be a number of seconds from now, not %r" % (expires,))
    return math.ceil(time.time() + expires)


class Store:
    """STORE(key), get, set, mget, mset, keys, getall, get_pattern, delete; the scope is by default the
    script that uses it."""

    __slots__ = ("_scope",)

    def __init__(self, script_id: str):
        self._scope = script_id

    def __call__(self, *args, **kwargs):
        return self.get(*args, **kwargs)

    def _ask(self, op: str, scope, **more):
        more.update(op=op, scope=str(self._scope if scope is None else scope))
        return ask("store.run", more)

    def set(self, key, value, scope=None, expires=None, not_exists=False, expire=None) -> None:
        """Keeps the value; with not_exists only when the key is free."""
        self.mset({key: value}, scope, expires, not_exists, expire)

    def mset(self, key_values, scope=None, expires=None, not_exists=False, expire=None) -> None:
        """All of a dict in one transaction."""
        items = [[_key(k), _tenon.dumps(v)] for k, v in dict(key_values).items()]
        if items:
            self._ask("set", scope, items=items, notExists=bool(not_exists),
                      expireAt=_expire_at(expires if expires is not None else expire))

    def get(self, key, scope=None):
        return self.mget([key], scope)[key]

    def mget(self, keys, scope=None) -> dict:
        """{key: value}, None for what is not there."""
        keys = [_key(k) for k in ([keys] if isinstance(keys, str) else keys)]
        found = dict(self._ask("get", scope, keys=keys)) if keys else {}
        return {k: _tenon.loads(found[k]) if k in found else None for k in keys}

    def keys(self, pattern="*", scope=None) -> list:
        return [k for k, _ in self._ask("list", scope, pattern=str(pattern))]

    def getall(self, scope=None) -> dict:
        return self.get_pattern("*", scope)

    def get_pattern(self, pattern, scope=None) -> dict:
        """{key: value} of the keys that match; `*` any text, `?` one character."""
        rows = self._ask("list", scope, pattern=str(pattern), values=True)
        return {k: _tenon.loads(text) for k, text in rows}

    get_all = getall

    def delete(self, key, scope=None) -> None:
        keys = [_key(k) for k in ([key] if isinstance(key, str) else key)]
        if keys:
            self._ask("delete", scope, keys=keys)
