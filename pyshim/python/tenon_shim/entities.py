# SPDX-License-Identifier: Apache-2.0
"""DFF.SYNC_API, ASYNC_API, CRON_JOB: rows of what calls functions, and starting them (spec 3.5)."""
import time

from . import func
from .errors import BadEntityCall, EntityNotFound
from .filters import compile_filters, matches
from .service import ask

import _tenon

_TITLES = (("scriptSetTitle", "sset_title"), ("scriptTitle", "scpt_title"), ("funcTitle", "func_title"),
           ("funcExtraConfigJSON", "func_extraConfigJSON"))
_JOINED = ("func_", "scpt_", "sset_", "apia_")
_AUTO = "autoRun.cronJob-"


def _row(stored: dict) -> dict:
    """A stored row as scripts know it: its own columns and a few of what it points to."""
    row = {k: v for k, v in stored.items() if not k.startswith(_JOINED)}
    row.update((to, stored.get(name)) for to, name in _TITLES)
    return row


def _number(name: str, value, low: int, high: int):
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadEntityCall("`%s` should be an integer between %d and %d, not %r" % (name, low, high, value))
    return value


class Entities:
    """get(id), query(fields, filters), call(id, …) of one kind."""

    __slots__ = ("_kind", "_title")

    def __init__(self, kind: str, title: str):
        self._kind = kind
        self._title = title

    def __call__(self, *args, **kwargs):
        return self.call(*args, **kwargs)

    def _id(self, id):
        """The given one, or the one that this task runs for."""
        if id is None:
            info = _tenon.info()
            if info["origin"] == self._kind:
                id = info["originId"]
        if id is None:
            raise EntityNotFound("%s: no ID given, and this task was not started by one" % self._title)
        return str(id)

    def get(self, id=None) -> dict:
        id = self._id(id)
        rows = ask("entity.list", {"entity": self._kind, "id": id})
        if not rows:
            raise EntityNotFound("%s not found: `%s`" % (self._title, id))
        return _row(rows[0])

    def query(self, fields=None, filters=None) -> list:
        """Rows that pass all filters, {field: {operator: value}}; only these fields when given."""
        compiled = compile_filters(filters)
        rows = [_row(r) for r in ask("entity.list", {"entity": self._kind})]
        rows = [r for r in rows if matches(r, compiled)]
        if fields:
            fields = [fields] if isinstance(fields, str) else list(fields)
            rows = [{f: r.get(f) for f in fields} for r in rows]
        return rows

    def call(self, id, kwargs=None, trigger_time=None, queue=None, timeout=None, expires=None) -> str:
        """Queues a run with these arguments; the task's id."""
        if kwargs is not None and not isinstance(kwargs, dict):
            raise BadEntityCall("`kwargs` should be a dict, not %s" % type(kwargs).__name__)
        if trigger_time is not None and (isinstance(trigger_time, bool) or
                                         not isinstance(trigger_time, (int, float)) or
                                         not 0 <= trigger_time < 1e11):
            raise BadEntityCall("`trigger_time` should be a Unix time in seconds, not %r" % (trigger_time,))
        row = self.get(id)
        return func.submit({
            "kind": self._kind,
            "funcId": row["funcId"],
            "origin": self._kind,
            "originId": row["id"],
            "taskRecordLimit": row.get("taskRecordLimit"),
            "triggerTimeMs": None if trigger_time is None else int(trigger_time * 1000),
            "queue": _number("queue", queue, 1, 9),
            "timeout": _number("timeout", timeout, 1, 3600),
            "expires": _number("expires", expires, 1, 86400),
        }, kwargs)


def _until(name: str, seconds, must: bool = False):
    """Unix time in so many seconds from now; None: for ever."""
    if seconds is None and not must:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 1e10:
        raise BadEntityCall("`%s` should be a number of seconds from now, not %r" % (name, seconds))
    return time.time() + seconds


class CronJobs(Entities):
    """Besides: expressions that scripts set for a while, and pauses."""

    __slots__ = ()

    def _id(self, id):
        """Functions that run by themselves (autoRun) are jobs without a row; they may be set and paused."""
        if id is None:
            origin_id = _tenon.info()["originId"]
            if origin_id.startswith(_AUTO):
                return origin_id
        return super()._id(id)

    def _cron(self, op: str, **more):
        more["op"] = op
        return ask("cron." + op, more)

    def set_cron_expr(self, cron_expr, expires=None, entity_id=None) -> None:
        """From now on, for `expires` seconds or until cleared, the job runs by this expression."""
        if not isinstance(cron_expr, str) or not cron_expr.strip():
            raise BadEntityCall("`cron_expr` should be a cron expression, not %r" % (cron_expr,))
        self._cron("set", id=self._id(entity_id), cronExpr=cron_expr, expireTime=_until("expires", expires))

    def get_cron_expr(self, id=None):
        """The expression that a script has set, or None."""
        return self._cron("get", id=self._id(id))

    def get_all_cron_expr(self) -> dict:
        """{job id: expression} of all that scripts have set."""
        return self._cron("get_all")

    def clear_cron_expr(self, id=None) -> None:
        self._cron("clear", id=self._id(id))

    def pause(self, expires, entity_id=None) -> None:
        """The job does not start for so many seconds."""
        self._cron("pause", id=self._id(entity_id), expireTime=_until("expires", expires, True))


for _kind in ("crontab", "temp_crontab"):
    for _name in ("set", "get", "get_all", "clear"):
        setattr(CronJobs, "%s_%s" % (_name, _kind), getattr(CronJobs, _name + "_cron_expr"))

SYNC_API = Entities("syncAPI", "Sync API")
ASYNC_API = Entities("asyncAPI", "Async API")
CRON_JOB = CronJobs("cronJob", "Cron Job")
