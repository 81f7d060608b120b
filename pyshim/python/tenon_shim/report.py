# SPDX-License-Identifier: Apache-2.0
"""Reports of exceptions as callers and the editor read them (spec 3.7)."""
import errno
import traceback

import _tenon
from .errors import TaskTimeout

HEADER = "Traceback (most recent call last *in User Script*):"
_OWN = "tenon_shim."
_MAX_FRAMES = 200
_MAX_TEXT = 10_000
_MAX_REPORT = 40_000  # bytes of JSON: the report has to fit into one frame


def _is_script(filename: str) -> bool:
    return "__" in filename and not filename.endswith(".py") and not filename.startswith("<")


def _source_line(filename: str, number: int) -> str:
    text = _tenon.source(filename)
    if text is None or number is None or number < 1:
        return ""
    lines = text.split("\n")
    return lines[number - 1].strip()[:500] if number <= len(lines) else ""


def _frames(tb) -> list:
    """Lines for the frames that belong to scripts."""
    found = []
    while tb is not None:
        code = tb.tb_frame.f_code
        if _is_script(code.co_filename):
            found.append((code.co_filename, tb.tb_lineno, code.co_name))
        tb = tb.tb_next
    lines = []
    skipped = len(found) - _MAX_FRAMES
    for i, (filename, number, name) in enumerate(found):
        if skipped > 0 and _MAX_FRAMES // 2 <= i < _MAX_FRAMES // 2 + skipped:
            if i == _MAX_FRAMES // 2:
                lines.append("  [... %d more frames ...]" % skipped)
            continue
        lines.append('  File "%s", line %d, in %s' % (filename, number, name))
        source = _source_line(filename, number)
        if source:
            lines.append("    " + source)
    return lines


def _class_name(cls: type) -> str:
    """Qualified with the module, but for built-in classes and for ours."""
    module = cls.__module__
    if module in ("builtins", None) or str(module).startswith(_OWN):
        return cls.__qualname__
    return "%s.%s" % (module, cls.__qualname__)


def _cut(text: str, limit: int = _MAX_TEXT) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return "%s ... (%d characters left out) ... %s" % (text[:half], len(text) - 2 * half, text[-half:])


def _text(exc: BaseException) -> str:
    try:
        return _cut(str(exc))
    except Exception:
        return "<exception str() failed>"


def _last_lines(exc: BaseException) -> str:
    if isinstance(exc, SyntaxError):
        return _cut("".join(traceback.format_exception_only(type(exc), exc)).strip())
    text = _text(exc)
    name = _class_name(type(exc))
    return "%s: %s" % (name, text) if text else name


def _full(exc: BaseException) -> str:
    """The complete Python traceback with the source of scripts."""
    lines = ["Traceback (most recent call last):"]
    for frame in traceback.extract_tb(exc.__traceback__, limit=-_MAX_FRAMES):
        lines.append('  File "%s", line %s, in %s' % (frame.filename, frame.lineno, frame.name))
        source = _source_line(frame.filename, frame.lineno) or frame.line
        if source:
            lines.append("    " + source)
    return "\n".join(lines + [_last_lines(exc)])


def _mask(text: str, secrets) -> str:
    for secret in secrets or ():
        text = text.replace(secret, "*****")
    return text


_ERRNO_LIMITS = {errno.ENOMEM: ("MemoryLimit",), errno.EAGAIN: ("ProcessLimit",),
                 errno.EMFILE: ("OpenFilesLimit",), errno.EFBIG: ("FileSizeLimit",)}


def _limit_names(exc: BaseException) -> tuple:
    """Names of the limits that this exception hints at, the likelier one first."""
    if isinstance(exc, MemoryError):
        return ("MemoryLimit",)
    if isinstance(exc, OSError):
        return _ERRNO_LIMITS.get(exc.errno, ())
    if isinstance(exc, RuntimeError) and str(exc) == "can't start new thread":
        return ("ProcessLimit", "MemoryLimit")  # each thread needs addresses for its stack
    return ()


def _met_limit(exc: BaseException) -> tuple:
    """-> (name, sentence with limit and peak) when a limit of the worker explains the exception."""
    for name in _limit_names(exc):
        sentence = _tenon.limit(name)
        if sentence:
            return name, sentence
    return "", ""


def _bases(exc: BaseException) -> list:
    """Names of the classes between the exception's own and Exception: what retry= may name as well."""
    common = (Exception, BaseException, object)
    return [c.__name__[:200] for c in type(exc).__mro__[1:17] if c not in common]


def report(exc: BaseException, debug: bool, secrets) -> dict:
    """-> {status: failure|timeout|skip, exception, exceptionType, traceback}, all text; exceptionBases?: names."""
    kind = type(exc).__name__
    text = _text(exc)
    status = "failure"
    limit, sentence = _met_limit(exc)
    if limit:
        kind, text = limit, "%s: %s" % (sentence, _last_lines(exc))
    if isinstance(exc, TaskTimeout):
        status = "timeout"
        trace = _full(exc)
    else:
        if isinstance(exc, Warning) and not debug:
            status = "skip"
        trace = "\n".join([HEADER] + _frames(exc.__traceback__) + [_last_lines(exc)])
    if debug:
        text = "%s: %s" % (kind, text) if text else kind
    text, trace = _mask(text or kind, secrets), _mask(trace, secrets)
    length = 2 * _MAX_TEXT
    while len(text) + len(trace) > 3000 and len(_tenon.dumps([text, trace]).encode()) > _MAX_REPORT:
        length //= 2
        text, trace = _cut(text, length), _cut(trace, 2 * length)
    ret = {"status": status, "exception": text, "exceptionType": kind[:200], "traceback": trace}
    bases = _bases(exc)
    if bases:
        ret["exceptionBases"] = bases
    return ret
