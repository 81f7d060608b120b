# SPDX-License-Identifier: Apache-2.0
"""DFF.FUNC, DFF.BLUEPRINT: asynchronous sub-tasks; DFF.TASK: what is known of the running one."""
from datetime import datetime, timezone

import _tenon
from .service import ask

_LOG_LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def _vars() -> dict:
    text = _tenon.info()["vars"]
    return _tenon.loads(text) if text else {}


def _chain(info: dict, values: dict) -> list:
    """Ids of the functions that called each other, the running one included."""
    current = "%s.%s" % (info["script"], info["func"]) if info["func"] else info["script"]
    chain = list(values.get("callChain") or [])
    return chain if chain and chain[-1] == current else chain + [current]


def submit(request: dict, kwargs) -> str:
    """Queues a task; its id. `request` is the payload of the service without the arguments."""
    request["kwargs"] = {} if kwargs is None else kwargs
    return ask("task.submit", request)["id"]


def func(func_id, kwargs=None, queue=None) -> str:
    """Queues an asynchronous run of a published function, which inherits where this task came from; its
    task id."""
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("kwargs must be a dict, not %s" % type(kwargs).__name__)
    info, values = _tenon.info(), _vars()
    root = values.get("rootTaskId")
    return submit({
        "kind": "func",
        "funcId": str(func_id),
        "origin": info["origin"],
        "originId": info["originId"],
        "rootTaskId": info["id"] if root in (None, "ROOT") else root,
        "callChain": _chain(info, values),
        "taskRecordLimit": values.get("taskRecordLimit"),
        "queue": queue,
        "currentQueue": info["queue"],
    }, kwargs)


def blueprint(id, kwargs=None, queue=None) -> str:
    """Runs a deployed blueprint like a function."""
    return func("_bp_%s__main.run" % id, kwargs, queue)


class _Logger:
    """TASK.logger: lines go where print goes."""

    __slots__ = ()


def _log_method(level: str):
    def log(self, message, *args):
        _tenon.print_line("[%s] %s" % (level.upper(), message % args if args else message))
    return log


for _level in _LOG_LEVELS:
    setattr(_Logger, _level, _log_method(_level))


def _iso(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, timezone.utc).isoformat(timespec="milliseconds")


_FROM_INFO = {
    "task_id": lambda i, v: i["id"],
    "root_task_id": lambda i, v: v.get("rootTaskId") or "ROOT",
    "func_id": lambda i, v: "%s.%s" % (i["script"], i["func"]) if i["func"] else i["script"],
    "script_id": lambda i, v: i["script"],
    "func_name": lambda i, v: i["func"] or None,
    "script_set_id": lambda i, v: i["script"].partition("__")[0],
    "script_name": lambda i, v: i["script"].partition("__")[2],
    "origin": lambda i, v: i["origin"],
    "origin_id": lambda i, v: i["originId"],
    "call_chain": _chain,
    "func_call_kwargs": lambda i, v: _tenon.loads(i["args"]) if i["args"] else {},
    "http_request": lambda i, v: i["http"],
    "trigger_time": lambda i, v: i["triggerUs"] / 1e6,
    "trigger_time_ms": lambda i, v: i["triggerUs"] // 1000,
    "trigger_time_iso": lambda i, v: _iso(i["triggerUs"]),
    "start_time": lambda i, v: i["startUs"] / 1e6,
    "start_time_ms": lambda i, v: i["startUs"] // 1000,
    "start_time_iso": lambda i, v: _iso(i["startUs"]),
    "eta": lambda i, v: v.get("eta"),
    "delay": lambda i, v: v.get("delay") or 0,
    "queue": lambda i, v: i["queue"],
    "timeout": lambda i, v: i["timeoutMs"] // 1000,
    "expires": lambda i, v: i["expiresMs"] // 1000 or None,
    "ignore_result": lambda i, v: bool(v.get("ignoreResult", False)),
    "task_record_limit": lambda i, v: v.get("taskRecordLimit"),
    "status": lambda i, v: "pending",
    "logger": lambda i, v: _Logger(),
}


class Task:
    """DFF.TASK: attributes are looked up when they are read; set_progress() tells who watches."""

    __slots__ = ()

    def __getattr__(self, name):
        make = _FROM_INFO.get(name)
        if make is not None:
            return make(_tenon.info(), _vars())
        if name in ("db", "cache_db"):
            from . import dff
            return dff.MEMBERS["SYS_DB" if name == "db" else "SYS_CACHE_DB"]
        raise AttributeError("DFF.TASK has no attribute `%s`" % name)

    def __dir__(self):
        return sorted(list(_FROM_INFO) + ["db", "cache_db", "set_progress"])

    def set_progress(self, value) -> None:
        """Any JSON value; whoever watches the task sees it at once."""
        ask("task.progress", {"id": _tenon.info()["id"], "value": value})
