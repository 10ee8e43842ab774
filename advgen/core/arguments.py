"""Arguments of a plug-in, checked against the annotations in its source: text from a command, numbers from a file.

Scalars and tuples of them are checked here; anything else is left to the constructor.
"""

import ast
from collections.abc import Mapping
from typing import Any

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.plugins import Plugin, value_of
from advgen.core.specs import number

SCALARS = ("bool", "int", "float", "str", "None")


def checked(plugin: Plugin, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with each value of its field's type.

    Raises:
        UnknownName: an argument that the plug-in does not have.
        BadArgument: a value of the wrong kind, or a required argument left out.
    """
    fields = {f.name: f for f in plugin.fields}
    known = [f.name for f in plugin.arguments]
    values = {}
    for name, value in given.items():
        if name in plugin.assembled:
            if value is None or isinstance(value, str | int | float):
                raise BadArgument(f"{name!r} of {plugin.name} is not an argument: {who_gives(name)}.")
            values[name] = value
        elif name not in known:
            raise UnknownName.among(f"argument of {plugin.name}", name, known)
        else:
            values[name] = convert(value, fields[name].type, f"{plugin.name}: {name}")
    for field in plugin.arguments:
        if field.default is None and field.name not in given:
            raise BadArgument(f"{plugin.name} needs the argument {field.name!r} ({field.comment or field.type}).")
    return values


def defaults_of(plugin: Plugin) -> dict[str, Any]:
    """The default of every argument that has one, without importing the plug-in."""
    return {f.name: value_of(f.default) for f in plugin.arguments if f.default is not None}


def who_gives(name: str) -> str:
    """Where a field comes from that is not an argument."""
    if name == "budget":
        return "the study's or the command's budget sets it"
    return f"the platform fills it with a {name.replace('_', ' ')}"


def convert(value: Any, annotation: str, name: str) -> Any:
    """`value` as the type that `annotation` (source text) asks for; `name` is for the sentence.

    Raises:
        BadArgument: it cannot be one.
    """
    node = ast.parse(annotation.strip().strip("\"'"), mode="eval").body
    return _convert(value, node, name)


def _convert(value: Any, node: ast.expr, name: str) -> Any:
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return _convert_union(value, _branches(node), name)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            return _convert_literal(value, choices, name)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _convert_union(value, [inner, ast.Constant(None)], name)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[*items])):
            return _convert_tuple(value, items, name)
        case ast.Constant(value=None):
            if value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null")):
                return None
            raise BadArgument(f"{name} must be None, got {value!r}.")
        case ast.Name(id="bool"):
            return _bool(value, name)
        case ast.Name(id="int"):
            return _int(value, name)
        case ast.Name(id="float"):
            return number(value, name)
        case ast.Name(id="str"):
            if isinstance(value, str):
                return value
            raise BadArgument(f"{name} must be text, got {value!r}.")
    return value


def _branches(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return _branches(node.left) + _branches(node.right)
    return [node]


def _convert_union(value: Any, branches: list[ast.expr], name: str) -> Any:
    """The first branch that takes the value; text branches last, so that "3" is a number where it may be one."""
    if any(ast.unparse(b) not in SCALARS and not isinstance(b, ast.Subscript) for b in branches):
        return value
    order = sorted(branches, key=lambda b: (ast.unparse(b) != "None", ast.unparse(b) == "str"))
    refusals = []
    for branch in order:
        try:
            return _convert(value, branch, name)
        except BadArgument as error:
            refusals.append(error)
    others = [r for r, b in zip(refusals, order, strict=True) if ast.unparse(b) != "None"]
    if len(others) == 1:
        raise others[0]
    wanted = " | ".join(ast.unparse(b) for b in branches)
    raise BadArgument(f"{name} must be {wanted}, got {value!r}.")


def _convert_literal(value: Any, choices: ast.expr, name: str) -> Any:
    known = [ast.literal_eval(c) for c in (choices.elts if isinstance(choices, ast.Tuple) else [choices])]
    if value is None and None not in known and "none" in known:
        return "none"  # a command line and YAML read the bare word as None
    for choice in known:
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return choice
        # Either side may have been read as a number.
        if isinstance(value, str) != isinstance(choice, str) and str(value).strip() == str(choice):
            return choice
    if isinstance(value, str) and all(isinstance(c, str) for c in known):
        raise BadArgument(str(UnknownName.among(f"value of {name}", value, known)))
    raise BadArgument(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}.")


def _convert_tuple(value: Any, items: list[ast.expr], name: str) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("()[] ").split(",") if part.strip()]
    elif not isinstance(value, list | tuple):
        value = [value]
    if len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is Ellipsis:
        items = [items[0]] * len(value)
    if len(items) != len(value):
        raise BadArgument(f"{name} must hold {len(items)} values, got {len(value)}.")
    return tuple(_convert(v, item, name) for v, item in zip(value, items, strict=True))


def _bool(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise BadArgument(f"{name} must be true or false, got {value!r}.")


def _int(value: Any, name: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        if isinstance(value, str):
            return int(value)
    except ValueError:
        pass
    as_number = number(value, name)
    if not as_number.is_integer():
        raise BadArgument(f"{name} must be a whole number, got {value!r}.")
    return int(as_number)
