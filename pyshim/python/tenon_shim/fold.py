# SPDX-License-Identifier: Apache-2.0
"""Compiles a script so that `@DFF.API(...)` with literal options is a constant of its code, not built anew in
every call. pyshim/dff_api.c turns the constants into decorators when the code is loaded. Tells besides whether
the top level does nothing but define (pyshim/keep.c)."""

import _ast
import marshal

MARK = "\0DFF.API"
DEFINES = "\0DFF.DEFINES"
_OPTIONS_MAX = 18
# With these a script may change what `DFF` or `DFF.API` is without naming it.
_DYNAMIC = {"exec", "eval", "globals", "locals", "vars", "setattr", "delattr", "__builtins__"}
_DYNAMIC_ATTRS = {"exec", "eval", "EXEC", "EVAL", "__dict__", "__setattr__", "__delattr__", "f_globals",
                  "f_locals", "__globals__"}
_PLAIN = (str, int, float, bool, type(None))
_TYPES = {"bool", "bytes", "dict", "float", "int", "list", "object", "set", "str", "tuple"}


class _NotLiteral(Exception):
    pass


def _literal(node):
    """The value of an expression that has the same one in every call."""
    kind = type(node)
    if kind is _ast.Constant and type(node.value) in _PLAIN:
        return node.value
    if kind is _ast.List:
        return [_literal(x) for x in node.elts]
    if kind is _ast.Tuple:
        return tuple(_literal(x) for x in node.elts)
    if kind is _ast.Dict and None not in node.keys:
        keys = [_literal(x) for x in node.keys]
        if all(type(key) in _PLAIN for key in keys):
            return dict(zip(keys, (_literal(x) for x in node.values)))
    if kind is _ast.UnaryOp and type(node.op) is _ast.USub:
        value = _literal(node.operand)
        if type(value) in (int, float):
            return -value
    raise _NotLiteral


def _options(node):
    """`DFF.API(...)` with literals -> (values, number of positional ones, names of the others), else None."""
    if type(node) is not _ast.Call or type(node.func) is not _ast.Attribute:
        return None
    owner = node.func.value
    if (type(owner) is not _ast.Name or owner.id != "DFF" or node.func.attr not in ("API", "api") or
            len(node.args) + len(node.keywords) > _OPTIONS_MAX or any(k.arg is None for k in node.keywords)):
        return None
    try:
        values = [_literal(x) for x in node.args] + [_literal(k.value) for k in node.keywords]
    except _NotLiteral:
        return None
    return tuple(values), len(node.args), tuple(k.arg for k in node.keywords)


def _steady(tree) -> bool:
    """Is `DFF` what we gave the script, and `DFF.API` ours, wherever it is read? A name is bound by whatever
    node holds it as text, but for the one that reads it."""
    todo = [tree]
    while todo:
        node = todo.pop()
        kind = type(node)
        if kind is _ast.Constant:
            continue
        if kind is _ast.Name:
            if node.id in _DYNAMIC or (node.id == "DFF" and type(node.ctx) is not _ast.Load):
                return False
            continue
        if kind is _ast.Attribute and (node.attr in _DYNAMIC_ATTRS or
                                       (node.attr in ("API", "api") and type(node.ctx) is not _ast.Load)):
            return False
        if kind is _ast.alias and node.name == "*":
            return False
        for field in node._fields:
            value = getattr(node, field, None)
            if type(value) is list:
                if "DFF" in value:
                    return False
                todo += [x for x in value if isinstance(x, _ast.AST)]
            elif isinstance(value, _ast.AST):
                todo.append(value)
            elif value == "DFF":
                return False
    return True


def _own(name: str) -> bool:
    """A name that the platform does not give to the script."""
    return name != "DFF" and not name.startswith(("__", "_DFF"))


def _constant(node) -> bool:
    """A literal that nobody can change."""
    if type(node) is _ast.Tuple:
        return all(_constant(x) for x in node.elts)
    value = _literal(node)
    return type(value) in _PLAIN


def _hint(node) -> bool:
    """No annotation, or one whose value is the same in every call as long as the script does not bind that name."""
    return node is None or type(node) is _ast.Constant or (type(node) is _ast.Name and node.id in _TYPES)


def _defines(node) -> bool:
    """A function whose definition evaluates nothing but constants and names of types."""
    args = node.args
    return (_own(node.name) and _hint(node.returns) and not getattr(node, "type_params", None) and
            all(_constant(x) for x in args.defaults + args.kw_defaults if x is not None) and
            all(x is None or _hint(x.annotation)
                for x in args.posonlyargs + args.args + args.kwonlyargs + [args.vararg, args.kwarg]) and
            all(type(x) is _ast.Constant for x in node.decorator_list))


def _imports(tree):
    """The imports of a top level that only imports modules, defines functions and binds literals, as tuples (name that is
    bound, module, attribute or None); None: it does more, which has to be done in every call."""
    found, bound = [], set()
    try:
        for i, node in enumerate(tree.body):
            kind = type(node)
            if kind is _ast.Import:
                # of `import a.b` only a is bound, and it may change without it
                if any("." in x.name or "__" in x.name for x in node.names):
                    return None
                found += [(x.asname or x.name, x.name, None) for x in node.names]
            elif kind is _ast.ImportFrom:
                if node.level or "__" in node.module or any(x.name == "*" for x in node.names):
                    return None
                found += [(x.asname or x.name, node.module, x.name) for x in node.names]
            elif kind in (_ast.FunctionDef, _ast.AsyncFunctionDef):
                if not _defines(node):
                    return None
                bound.add(node.name)
            elif kind is _ast.Assign:
                if not all(type(x) is _ast.Name and _own(x.id) for x in node.targets):
                    return None
                _literal(node.value)
                bound.update(x.id for x in node.targets)
            elif kind is not _ast.Pass and not (i == 0 and kind is _ast.Expr and type(node.value) is _ast.Constant):
                return None
    except _NotLiteral:
        return None
    bound.update(x[0] for x in found)
    return tuple(found) if all(_own(x[0]) for x in found) and not bound & _TYPES else None


def compile_script(source: str, name: str):
    """-> code object, or None: nothing to gain, or not provably the same; compile it as it is. With a top level that
    only defines, the last constant is (DEFINES, its imports)."""
    try:
        tree = compile(source, name, "exec", _ast.PyCF_ONLY_AST, True)
        found = False
        steady = None
        for func in tree.body:
            if type(func) not in (_ast.FunctionDef, _ast.AsyncFunctionDef):
                continue
            for i, node in enumerate(func.decorator_list):
                options = _options(node)
                if options is None:
                    continue
                if steady is None:
                    steady = _steady(tree)
                if not steady:
                    return None
                func.decorator_list[i] = _ast.Constant(
                    value=(MARK, marshal.dumps(options)), kind=None, lineno=node.lineno,
                    col_offset=node.col_offset, end_lineno=node.end_lineno, end_col_offset=node.end_col_offset)
                found = True
        imports = _imports(tree)
        if not found and imports is None:
            return None
        code = compile(tree, name, "exec", 0, True)
        return code if imports is None else code.replace(co_consts=code.co_consts + ((DEFINES, imports),))
    except Exception:  # what is wrong with it, the ordinary way tells
        return None
