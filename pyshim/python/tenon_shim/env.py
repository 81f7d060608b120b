# SPDX-License-Identifier: Apache-2.0
"""DFF.ENV: environment variables of the platform with their casts (spec 3.5)."""
import json

import _tenon
from . import toolkit

# id -> (type, text) or None; counts for one generation of the platform's data.
_known: dict = {}
_generation = -1


def _fetch(name: str):
    """(type, text) of a variable, None when it does not exist."""
    global _generation
    generation = _tenon.task()[1]
    if generation != _generation:
        _known.clear()
        _generation = generation
    if name not in _known:
        answer = _tenon.ask("env.get", _tenon.dumps({"id": name}))
        row = _tenon.loads(answer) if answer is not None else None
        _known[name] = (row.get("type"), row.get("value")) if row else None
    return _known[name]


def _boolean(text: str):
    return toolkit.to_boolean(text)


_CASTS = {
    "integer": int,
    "float": float,
    "boolean": _boolean,
    "json": json.loads,
    "commaArray": lambda text: text.split(","),
}


class Env:
    """ENV(id), ENV.get(id), ENV.keys()."""

    __slots__ = ()

    def __call__(self, id):
        return self.get(id)

    def get(self, id):
        """The casted value; None when there is no such variable or it has no value."""
        row = _fetch(str(id))
        if row is None or row[1] is None:
            return None
        kind, text = row
        if kind == "password":
            _tenon.add_secret(text)
        cast = _CASTS.get(kind)
        return text if cast is None else cast(text)

    def keys(self) -> list:
        """Ids of all variables."""
        answer = _tenon.ask("env.keys", "{}")
        return list(_tenon.loads(answer)) if answer is not None else []

    list = keys
