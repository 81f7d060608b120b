# SPDX-License-Identifier: Apache-2.0
"""DFF.API off the hot path: checking options, describing functions, collecting them (spec 3.4)."""
import re

import _tenon
from .errors import DuplicatedFuncName, InvalidAPIOption

_PARAMS = ("title", "fixed_cron_expr", "delayed_cron_job", "timeout", "api_timeout", "expires",
           "cache_result", "queue", "category", "tags", "integration", "integration_config",
           "is_hidden", "fixed_crontab", "delayed_crontab")
# Only by keyword: ours, and the 1.x option that is accepted and ignored.
_KEYWORDS = ("delivery", "retry", "priority", "hint")
_INTEGRATIONS = {"signin": "signIn", "sign_in": "signIn", "login": "signIn", "log_in": "signIn",
                 "autorun": "autoRun", "auto_run": "autoRun"}
_CONFIG_KEYS = {
    "cronexpr": "cronExpr", "cron_expr": "cronExpr", "crontab": "cronExpr",
    "onsystemlaunch": "onSystemLaunch", "on_system_launch": "onSystemLaunch",
    "onlaunch": "onSystemLaunch", "on_launch": "onSystemLaunch",
    "onscriptpublish": "onScriptPublish", "on_script_publish": "onScriptPublish",
    "onpublish": "onScriptPublish", "on_publish": "onScriptPublish",
}


def _fail(option: str, text: str):
    raise InvalidAPIOption("`%s` %s" % (option, text))


def _is_int(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _bind(args: tuple, kwargs: dict) -> dict:
    """Arguments by name; every option has a value."""
    if len(args) > len(_PARAMS):
        raise TypeError("DFF.API() takes at most %d options" % len(_PARAMS))
    given = dict(zip(_PARAMS, args))
    for name, value in kwargs.items():
        if name in given:
            raise TypeError("DFF.API() got multiple values for option '%s'" % name)
        if name not in _PARAMS and name not in _KEYWORDS:
            raise TypeError("DFF.API() got an unexpected option '%s'" % name)
        given[name] = value
    return given


def _int_range(option: str, low: int, high: int):
    def check(value):
        if not _is_int(value):
            _fail(option, "should be an int, not %r" % (value,))
        if not low <= value <= high:
            _fail(option, "should be between %d and %d, not %d" % (low, high, value))
        return value
    return check


def _queue(value):
    if _is_int(value) and value == 0:
        _fail("queue", "0 is reserved for the system, use 1 to 9")
    return _int_range("queue", 1, 9)(value)


def _text(option: str):
    def check(value):
        if not isinstance(value, str):
            _fail(option, "should be a str, not %r" % (value,))
        return value
    return check


_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_NAMES = {3: "jan feb mar apr may jun jul aug sep oct nov dec".split(),
               4: "sun mon tue wed thu fri sat".split()}


def _cron_number(text: str, field: int):
    names = _CRON_NAMES.get(field, ())
    if text.lower() in names:
        return names.index(text.lower()) + (1 if field == 3 else 0)
    return int(text) if text.isascii() and text.isdigit() else None


def _cron_item_ok(item: str, field: int) -> bool:
    span, slash, step = item.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        return False
    if span == "*" or (span == "?" and field in (2, 4)):
        return True
    if field == 2 and span.lower() == "l":
        return True
    if field == 4 and "#" in span:
        span, _, nth = span.partition("#")
        if nth not in ("1", "2", "3", "4", "5"):
            return False
    low, dash, high = span.partition("-")
    first, last = _CRON_RANGES[field]
    numbers = [_cron_number(low, field)] + ([_cron_number(high, field)] if dash else [])
    if any(n is None or not first <= n <= last for n in numbers):
        return False
    return True


def _cron(option: str):
    def check(value):
        if not isinstance(value, str):
            _fail(option, "should be a cron expression, not %r" % (value,))
        fields = value.split()
        if len(fields) > 5:
            _fail(option, "does not support second part, at most 5 fields are allowed: `%s`" % value)
        if len(fields) != 5 or not all(_cron_item_ok(item, i) for i, field in enumerate(fields)
                                       for item in field.split(",")):
            _fail(option, "is not a valid cron expression: `%s`" % value)
        return value
    return check


def _delays(option: str):
    def check(value):
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        for item in items:
            if not _is_int(item):
                _fail(option, "should be an int or a list of int, not %r" % (value,))
            if item < 0:
                _fail(option, "must not be negative, not %r" % (value,))
        return sorted(set(items))
    return check


def _cache(value):
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value:
        _fail("cache_result", "should be a number, not %r" % (value,))
    return value


def _tags(value):
    if not isinstance(value, (list, tuple)) or not all(isinstance(x, str) for x in value):
        _fail("tags", "should be a list or a tuple of str, not %r" % (value,))
    return sorted(set(value))


def _integration(value):
    name = _INTEGRATIONS.get(value.lower()) if isinstance(value, str) else None
    if name is None:
        _fail("integration", "should be one of `signIn`, `autoRun`, not %r" % (value,))
    return name


def _integration_config(value):
    if not isinstance(value, dict):
        _fail("integration_config", "should be a dict, not %r" % (value,))
    ret = {}
    for key, item in value.items():
        name = _CONFIG_KEYS.get(key.lower()) if isinstance(key, str) else None
        if name is None:
            _fail("integration_config", "has an unknown key %r" % (key,))
        if name == "cronExpr":
            item = _cron("integration_config.cronExpr")(item)
        elif not isinstance(item, bool):
            _fail("integration_config", "%s should be True or False, not %r" % (key, item))
        ret[name] = item
    return ret


_DELIVERIES = ("at_least_once", "at_most_once")


def _delivery(value):
    if value not in _DELIVERIES:
        _fail("delivery", "should be one of `at_least_once`, `at_most_once`, not %r" % (value,))
    return value


def _number_range(option: str, low: float, high: float):
    def check(value):
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            _fail(option, "should be a number, not %r" % (value,))
        if not low <= value <= high:
            _fail(option, "should be between %s and %s, not %r" % (low, high, value))
        return value
    return check


def _retry_on(value):
    """Exception classes or their names, "timeout", "crash" -> sorted list of names."""
    items = list(value) if isinstance(value, (list, tuple, set)) else [value]
    names = [x.__name__ if isinstance(x, type) and issubclass(x, BaseException) else x for x in items]
    if not names or not all(isinstance(x, str) and 0 < len(x) <= 128 for x in names):
        _fail("retry", "`on` should be a list of exception classes or names, not %r" % (value,))
    return sorted(set(names))


def _flag(option: str):
    def check(value):
        if not isinstance(value, bool):
            _fail(option, "should be True or False, not %r" % (value,))
        return value
    return check


# key of retry=: (key in extraConfig.retry, check); seconds may have a fraction
_RETRY = {
    "max_attempts": ("maxAttempts", _int_range("retry.max_attempts", 1, 1000)),
    "backoff": ("backoff", _number_range("retry.backoff", 0.001, 86400)),
    "max_backoff": ("maxBackoff", _number_range("retry.max_backoff", 0.001, 86400)),
    "jitter": ("jitter", _number_range("retry.jitter", 0, 1)),
    "on": ("on", _retry_on),
    "dead_letter": ("deadLetter", _flag("retry.dead_letter")),
}


def _retry(value):
    if not isinstance(value, dict):
        _fail("retry", "should be a dict, not %r" % (value,))
    ret = {}
    for key, item in value.items():
        if key not in _RETRY:
            _fail("retry", "has an unknown key %r, known are %s" % (key, ", ".join(_RETRY)))
        name, check = _RETRY[key]
        ret[name] = check(item)
    if "maxAttempts" not in ret and set(ret) != {"deadLetter"}:
        _fail("retry", "needs `max_attempts`")
    return ret


# option: (key in extraConfig, or None for a column of the function; check). Aliases share a key.
_OPTIONS = {
    "title": (None, _text("title")),
    "category": (None, _text("category")),
    "tags": (None, _tags),
    "integration": (None, _integration),
    "fixed_crontab": ("fixedCronExpr", _cron("fixed_crontab")),
    "fixed_cron_expr": ("fixedCronExpr", _cron("fixed_cron_expr")),
    "delayed_crontab": ("delayedCronJob", _delays("delayed_crontab")),
    "delayed_cron_job": ("delayedCronJob", _delays("delayed_cron_job")),
    "api_timeout": ("timeout", _int_range("api_timeout", 1, 3600)),
    "timeout": ("timeout", _int_range("timeout", 1, 3600)),
    "expires": ("expires", _int_range("expires", 1, 86400)),
    "cache_result": ("cacheResult", _cache),
    "queue": ("queue", _queue),
    "integration_config": ("integrationConfig", _integration_config),
    "delivery": ("delivery", _delivery),
    "retry": ("retry", _retry),
    "priority": ("priority", _int_range("priority", -100, 100)),
}


def options(args: tuple, kwargs: dict) -> dict:
    """Checked options -> {title, category, tags, integration, extraConfig}."""
    given = _bind(args, kwargs)
    ret = {"title": None, "category": "general", "tags": None, "integration": None}
    extra = {}
    for option, (key, check) in _OPTIONS.items():
        value = given.get(option)
        if value is None:
            continue
        if key is None:
            ret[option] = check(value)
        else:
            extra[key] = check(value)
    hidden = given.get("is_hidden", False)
    if hidden not in (True, False, None) or isinstance(hidden, (int, float)) and not isinstance(hidden, bool):
        _fail("is_hidden", "should be True or False, not %r" % (hidden,))
    if hidden:
        extra["isHidden"] = True
    ret["extraConfig"] = extra
    return ret


def _json_default(value):
    """A default as JSON stores it: its value, or text where it has none."""
    try:
        return _tenon.loads(_tenon.dumps(value))
    except Exception:
        return "<Complex Object>"


def _annotation(value) -> str:
    if isinstance(value, str):
        return repr(value)
    if getattr(value, "__module__", None) == "typing":
        return repr(value).replace("typing.", "")
    if isinstance(value, type):
        module = value.__module__
        return value.__qualname__ if module == "builtins" else "%s.%s" % (module, value.__qualname__)
    return repr(value)


def _default_text(value) -> str:
    try:
        return repr(value)
    except Exception:
        return "<Complex Object>"


def _describe(func) -> dict:
    """-> {args, kwargs, definition} of a function, from its code object."""
    while hasattr(func, "__wrapped__"):
        func = func.__wrapped__
    code = getattr(func, "__code__", None)
    if code is None:
        return {"args": [], "kwargs": {}, "definition": "%s()" % _name(func)}
    names = code.co_varnames
    count, kwonly = code.co_argcount, code.co_kwonlyargcount
    defaults = func.__defaults__ or ()
    notes = getattr(func, "__annotations__", None) or {}
    args, kwargs, parts = [], {}, []

    def part(name, shown, has_default=False, default=None):
        text = shown
        if name in notes:
            text += ": " + _annotation(notes[name])
        if has_default:
            text += (" = %s" if name in notes else "=%s") % _default_text(default)
        parts.append(text)

    for i, name in enumerate(names[:count]):
        at = i - (count - len(defaults))
        args.append(name)
        kwargs[name] = {"default": _json_default(defaults[at])} if at >= 0 else {}
        part(name, name, at >= 0, defaults[at] if at >= 0 else None)
        if code.co_posonlyargcount and i == code.co_posonlyargcount - 1:
            parts.append("/")
    star = None
    if code.co_flags & 4:
        star = names[count + kwonly]
        args.append("*" + star)
        kwargs["*" + star] = {}
        part(star, "*" + star)
    elif kwonly:
        parts.append("*")
    for name in names[count:count + kwonly]:
        args.append(name)
        has = name in (func.__kwdefaults__ or {})
        part(name, name, has, func.__kwdefaults__[name] if has else None)
    if code.co_flags & 8:
        name = names[count + kwonly + (1 if star else 0)]
        args.append("**" + name)
        kwargs["**" + name] = {}
        part(name, "**" + name)
    result = " -> " + _annotation(notes["return"]) if "return" in notes else ""
    return {"args": args, "kwargs": kwargs,
            "definition": "%s(%s)%s" % (_name(func), ", ".join(parts), result)}


def _name(func) -> str:
    return getattr(func, "__name__", None) or type(func).__name__


def _clean_doc(func):
    """The docstring without its common indentation (PEP 257), None when there is none."""
    doc = getattr(func, "__doc__", None)
    if not isinstance(doc, str):
        return None
    lines = doc.expandtabs().split("\n")
    margin = min((len(x) - len(x.lstrip()) for x in lines[1:] if x.strip()), default=0)
    lines = [lines[0].lstrip()] + [x[margin:] for x in lines[1:]]
    return "\n".join(lines).strip("\n").rstrip() or None


_NAME = re.compile(r"[^\W\d]\w*\Z")


def decorate(func, args: tuple, kwargs: dict, collected) -> dict:
    """Checks, describes and (debugger) collects a function; -> its `_DFF_*` attributes."""
    opts = options(args, kwargs)
    if not callable(func):
        raise TypeError("DFF.API(...) decorates functions, not %s" % type(func).__name__)
    info = _describe(func)
    name = _name(func)
    script = getattr(func, "__module__", None)
    description = _clean_doc(func)
    if collected is not None and script == _tenon.entry():
        _collect(collected, name, description, info, opts)
    return {
        "_DFF_FUNC_ID": "%s.%s" % (script, name),
        "_DFF_FUNC_NAME": name,
        "_DFF_FUNC_TITLE": opts["title"],
        "_DFF_FUNC_DESCRIPTION": description,
        "_DFF_FUNC_DEFINITION": info["definition"],
        "_DFF_FUNC_CATEGORY": opts["category"],
        "_DFF_FUNC_TAGS": opts["tags"],
        "_DFF_FUNC_ARGS": info["args"],
        "_DFF_FUNC_KWARGS": info["kwargs"],
    }


def _collect(collected: list, name: str, description, info: dict, opts: dict) -> None:
    if any(f["name"] == name for f in collected):
        raise DuplicatedFuncName("Two or more functions named `%s`" % name)
    if not _NAME.match(name):
        raise InvalidAPIOption("`%s` is not a function name" % name)
    collected.append({
        "name": name,
        "title": opts["title"],
        "description": description,
        "definition": info["definition"],
        "extraConfig": opts["extraConfig"],
        "category": opts["category"],
        "tags": opts["tags"],
        "args": info["args"],
        "kwargs": info["kwargs"],
        "integration": opts["integration"],
        "defOrder": len(collected),
    })
