# SPDX-License-Identifier: Apache-2.0
"""DFF.ENV: environment variables of the platform with their casts (spec 3.5)."""
import json

import _tenon
from . import toolkit
from .service import Known, ask

_known = Known("env.get")


def _boolean(text: str):
    return toolkit.to_boolean(text)


_CASTS = {
    "integer": int,
    "float": float,
    "boolean": _boolean,
    "json": json.loads,
    "commaArray": lambda text: text.split(","),
}


def _hide(text: str) -> None:
    """No line of this task shows the text, nor what repr() and json.dumps() make of it."""
    for form in {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}:
        _tenon.add_secret(form)


class Env:
    """ENV(id), ENV.get(id), ENV.keys()."""

    __slots__ = ()

    def __call__(self, id):
        return self.get(id)

    def get(self, id):
        """The casted value; None when there is no such variable or it has no value."""
        row = _known.get(str(id))
        if row is None or row.get("value") is None:
            return None
        kind, text = row.get("type"), row["value"]
        if kind == "password":
            _hide(text)
        cast = _CASTS.get(kind)
        try:
            return text if cast is None else cast(text)
        except ValueError as e:
            # the class stays the one that scripts know; json's wants more than a text
            named = "environment variable `%s` (%s): %s" % (id, kind, e)
            e.args = (named,)
            raise

    def keys(self) -> list:
        """Ids of all variables."""
        answer = _tenon.ask("env.keys", "{}")
        return list(_tenon.loads(answer)) if answer is not None else []

    def save(self, id, value, title=None, description=None, type=None) -> None:
        """Makes or changes a variable; the type is guessed from the value when it is not given."""
        if type is None:
            type = "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else \
                "float" if isinstance(value, float) else "string" if isinstance(value, str) else "json"
        text = value if isinstance(value, str) else \
            ",".join(map(str, value)) if type == "commaArray" else _tenon.dumps(value)
        if type == "password":
            _hide(text)
        ask("env.save", {"id": str(id), "value": text, "title": title, "description": description,
                         "type": type})
        _known.forget(str(id))

    def delete(self, id) -> None:
        ask("env.delete", {"id": str(id)})
        _known.forget(str(id))

    list = keys
