# SPDX-License-Identifier: Apache-2.0
"""DFF.SQL: parameters into SQL text, MySQL style (spec 4.1.2)."""
import re

_RUN = re.compile(r"\?+")
_ESCAPES = str.maketrans({"\0": "\\0", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z",
                          '"': '\\"', "'": "\\'", "\\": "\\\\"})


def _backslashed(text: str) -> str:
    return "'%s'" % text.translate(_ESCAPES)


def _doubled(text: str) -> str:
    if "\0" in text:  # a literal ends there
        return "CAST(X'%s' AS TEXT)" % text.encode("utf-8", "surrogatepass").hex()
    return "'%s'" % text.replace("'", "''")


# How a dialect writes text: MySQL's way with backslashes, or SQL's own with doubled quotes.
MYSQL, STANDARD = _backslashed, _doubled


def _escaped(value, quoted, nested: bool = False) -> str:
    """A value as SQL text; lists inside lists get parentheses."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        text = ", ".join(_escaped(x, quoted, True) for x in value)
        return "(%s)" % text if nested else text
    if isinstance(value, dict):
        return ", ".join("%s = %s" % (k, _escaped(v, quoted, True)) for k, v in value.items())
    if isinstance(value, (bytes, bytearray)):
        try:
            return quoted(bytes(value).decode("utf-8"))
        except UnicodeDecodeError:
            return "X'%s'" % bytes(value).hex()
    return quoted(str(value))


def _raw(value) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(str(x) for x in value)
    return str(value)


def sql(text: str, sql_params=None, quoted=MYSQL) -> str:
    """`?` becomes the escaped value, `??` its raw text, longer runs stay; blanks around are cut."""
    if not isinstance(text, str):
        raise TypeError("the SQL must be a str, not %s" % type(text).__name__)
    if not sql_params:
        return text.strip()
    params = iter(sql_params if isinstance(sql_params, (list, tuple)) else [sql_params])

    def substitute(match):
        run = match.group()
        if len(run) > 2:
            return run
        for value in params:
            return _escaped(value, quoted) if len(run) == 1 else _raw(value)
        return run

    return _RUN.sub(substitute, text).strip()
