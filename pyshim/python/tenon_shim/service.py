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
