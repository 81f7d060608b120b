# SPDX-License-Identifier: Apache-2.0
"""Questions to the hub in JSON, refusals as exceptions that scripts know (spec 3.11)."""
import _tenon
from . import errors

# Values of tn_rc (kernel/abi/tenon/types.h) that have a meaning of their own here.
NOT_FOUND, LIMIT = -4, -10


def raise_error(service: str, text: str):
    """A refusal "Class: text" is raised as that class, everything else as Exception."""
    name, sep, rest = text.partition(": ")
    kind = getattr(errors, name, None) if sep else None
    if isinstance(kind, type) and issubclass(kind, Exception):
        raise kind(rest)
    raise Exception(text or "%s: no answer" % service)


def ask(service: str, payload):
    """The answer as a value; raises what the hub refuses."""
    rc, answer = _tenon.call(service, _tenon.dumps(payload))
    if rc != 0:
        raise_error(service, answer.decode("utf-8", "replace"))
    return _tenon.loads(answer) if answer else None


class Known:
    """Rows of a service by id, or None for those that do not exist; asked for once in each generation of
    the platform's data, so a change counts for the next call."""

    def __init__(self, service: str):
        self._service = service
        self._rows: dict = {}
        self._generation = -1

    def get(self, name: str):
        generation = _tenon.task()[1]
        if generation != self._generation:
            self._rows.clear()
            self._generation = generation
        if name not in self._rows:
            answer = _tenon.ask(self._service, _tenon.dumps({"id": name}))
            self._rows[name] = _tenon.loads(answer) if answer is not None else None
        return self._rows[name]

    def forget(self, name: str) -> None:
        """This process has changed it."""
        self._rows.pop(name, None)
