# SPDX-License-Identifier: Apache-2.0
"""Filters of .query(): {field: {operator: value}} on rows (spec 4.1.3)."""
import re

from . import toolkit


def _text(value) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def _same(a, b) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return toolkit.to_boolean(a) == toolkit.to_boolean(b)
    return a == b or (a is not None and b is not None and _text(a) == _text(b))


def _compare(test):
    """Numbers as numbers, everything else as text; NULL compares to nothing, as in SQL."""
    def run(row, want):
        if row is None or want is None:
            return False
        if isinstance(row, (int, float)) and isinstance(want, (int, float)):
            return test(row, want)
        try:
            return test(float(row), float(want))
        except (TypeError, ValueError):
            return test(_text(row), _text(want))
    return run


def _case(test):
    """(as it is, ignoring case)"""
    return (lambda row, want: row is not None and test(_text(row), _text(want)),
            lambda row, want: row is not None and test(_text(row).lower(), _text(want).lower()))


def _items(value) -> list:
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def _one_of(row, want) -> bool:
    return any(_same(row, w) for w in _items(want))


def _empty(row, _want) -> bool:
    return row is None or row == "" or row == [] or row == {}


def _pattern(row, want) -> bool:
    text = "".join(".*" if c == "*" else re.escape(c) for c in _text(want))
    return row is not None and re.fullmatch(text, _text(row), re.DOTALL) is not None


def _has(row, want, every: bool) -> bool:
    wanted = _items(want)
    held = row if isinstance(row, list) else []
    hits = [any(type(h) is type(w) and h == w for h in held) for w in wanted]
    return all(hits) if every else any(hits)


def _at(row, path: list):
    for step in path:
        if isinstance(row, dict):
            row = row.get(step)
        elif isinstance(row, list) and step.isdigit() and int(step) < len(row):
            row = row[int(step)]
        else:
            return None
    return row


def _search(row, want) -> list:
    """For each wanted text whether it occurs anywhere in the JSON value."""
    texts = []

    def walk(value):
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif value is not None:
            texts.append(_text(value))

    walk(row)
    return [any(_text(w) in t for t in texts) for w in _items(want)]


def _not(test):
    return lambda row, want: not test(row, want)


_contains, _contains_ci = _case(lambda row, want: want in row)
_prelike, _prelike_ci = _case(str.startswith)
_suflike, _suflike_ci = _case(str.endswith)

OPERATORS = {
    "eq": _same,
    "ne": _not(_same),
    "lt": _compare(lambda a, b: a < b),
    "gt": _compare(lambda a, b: a > b),
    "le": _compare(lambda a, b: a <= b),
    "ge": _compare(lambda a, b: a >= b),
    "contains": _contains,
    "contains_ci": _contains_ci,
    "notcontains": _not(_contains),
    "notcontains_ci": _not(_contains_ci),
    "prelike": _prelike,
    "prelike_ci": _prelike_ci,
    "suflike": _suflike,
    "suflike_ci": _suflike_ci,
    "in": _one_of,
    "notin": _not(_one_of),
    "isnull": lambda row, want: (row is None) == (toolkit.to_boolean(want) is not False),
    "isnotnull": lambda row, want: (row is not None) == (toolkit.to_boolean(want) is not False),
    "isempty": lambda row, want: _empty(row, want) == (toolkit.to_boolean(want) is not False),
    "isnotempty": lambda row, want: _empty(row, want) != (toolkit.to_boolean(want) is not False),
    "boolean": lambda row, want: bool(row) == bool(toolkit.to_boolean(want)),
    "eqwithnull": lambda row, want: row is None if want in (None, "_NULL") else _same(row, want),
    "eqornull": lambda row, want: row is None or _same(row, want),
    "neornull": lambda row, want: row is None or not _same(row, want),
    "pattern": _pattern,
    "notpattern": _not(_pattern),
    "jsonarrayhas": lambda row, want: _has(row, [want], True),
    "jsonarrayhasany": lambda row, want: _has(row, want, False),
    "jsonarrayhasall": lambda row, want: _has(row, want, True),
    "jsonsearchone": lambda row, want: any(_search(row, want)),
    "jsonsearchany": lambda row, want: any(_search(row, want)),
    "jsonsearchall": lambda row, want: all(_search(row, want)),
    "jsonsearchnone": lambda row, want: not any(_search(row, want)),
}
OPERATORS.update({"=": OPERATORS["eq"], "==": OPERATORS["eq"], "!=": OPERATORS["ne"],
                  "<>": OPERATORS["ne"], "<": OPERATORS["lt"], ">": OPERATORS["gt"],
                  "<=": OPERATORS["le"], ">=": OPERATORS["ge"], "like": OPERATORS["contains"]})


def compile_filters(filters) -> list:
    """[(path, test, wanted value)]; an unknown operator is refused by its name."""
    found = []
    for field, rules in dict(filters or {}).items():
        name, _, path = str(field).partition("->")
        steps = [s for s in path.strip("$'\"").split(".") if s] if path else []
        if not isinstance(rules, dict):
            rules = {"eq": rules}
        for op, want in rules.items():
            test = OPERATORS.get(str(op).lower())
            if test is None:
                raise Exception("Unknown filter operator `%s` of field `%s`" % (op, field))
            found.append(([name] + steps, test, want))
    return found


def matches(row: dict, compiled: list) -> bool:
    return all(test(_at(row, path), want) for path, test, want in compiled)
