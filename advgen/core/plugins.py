"""What a plug-in's source says of itself, read with `ast`: nothing is imported, so listing stays light and safe.

A file that cannot be understood is still returned, with `broken` saying where and why.
"""

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from advgen.core.specs import BUDGETS, GOALS, Card

LITERALS = (
    "paper",
    "access",
    "goals",
    "budgets",
    "needs",
    "cost",
    "trial",
    "waives",
    "stochastic",
    "differentiable",
    "quantities",
    "plots",
)
ACCESS = ("white-box", "score", "decision", "transfer")
COST = ("forward", "gradient", "query", "training")
BETTER = ("lower", "higher", "")
QUANTITY: Mapping[str, type] = {"means": str, "unit": str, "better": str, "timing": bool, "log": bool}
FACTORIES: Mapping[str, Any] = {"tuple": (), "dict": {}, "list": []}


class Field(NamedTuple):
    """One argument of a plug-in."""

    name: str
    type: str  # the annotation as written
    default: str | None  # the default as written ("8 / 255"); None = required
    comment: str  # meaning and unit, from the source
    line: int


class Plugin(NamedTuple):
    """One thing that can be listed."""

    kind: str
    name: str
    summary: str = ""
    doc: str = ""  # the whole module docstring
    module: str = ""  # where to import it from; empty for files that are not modules
    class_name: str = ""
    file: str = ""
    line: int = 0
    literals: Mapping[str, Any] = {}
    fields: tuple[Field, ...] = ()
    broken: str = ""  # why it cannot be used; empty = it can
    origin: str = "advgen"  # the distribution or file that brought it

    @property
    def assembled(self) -> tuple[str, ...]:
        """The fields that the platform fills: the budget and the `needs`."""
        needs = tuple(self.literals.get("needs", ()))
        return (("budget",) if any(f.name == "budget" for f in self.fields) else ()) + needs

    @property
    def arguments(self) -> tuple[Field, ...]:
        """The fields that a user may give."""
        return tuple(f for f in self.fields if f.name not in self.assembled)


class NotLiteral(Exception):
    """An expression whose value cannot be known without running it."""


class _Broken(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def read_module(plugin: Plugin, *, class_required: bool) -> Plugin:
    """`plugin` (its kind, name and file known) completed from its Python source."""
    path = Path(plugin.file)
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except SyntaxError as error:
        return plugin._replace(line=error.lineno or 1, broken=f"does not parse: {error.msg}")
    except (OSError, ValueError) as error:
        return plugin._replace(line=1, broken=f"cannot be read: {error}")
    doc = (ast.get_docstring(tree) or "").strip()
    plugin = plugin._replace(doc=doc, summary=doc.partition("\n")[0].strip(), line=1)
    if not doc:
        return plugin._replace(broken="has no docstring; its first line is the summary")
    try:
        node = _public_class(tree, plugin.class_name)
        if node is None:
            if class_required:
                wanted = f"no class {plugin.class_name}" if plugin.class_name else "no public class"
                raise _Broken(1, f"has {wanted}")
            return plugin
        plugin = plugin._replace(class_name=node.name, line=node.lineno)
        return _with_class(plugin, node, source.splitlines(), strict=class_required)
    except _Broken as error:
        return plugin._replace(line=error.line, broken=error.reason)


def read_yaml_study(plugin: Plugin) -> Plugin:
    """A study in YAML: its summary is the line of its `question`, or its first comment."""
    try:
        text = Path(plugin.file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        return plugin._replace(line=1, broken=f"cannot be read: {error}")
    plugin = plugin._replace(doc=text, line=1)
    for pattern in (
        r"^question:[ \t]*[\"']?([^\s>|\"'].*?)[\"']?[ \t]*$",
        r"^question:[ \t]*[>|]\S*\n\s+(.+)$",
        r"^#\s*(.+)$",
    ):
        if found := re.search(pattern, text, re.MULTILINE):
            return plugin._replace(summary=found[1].strip())
    return plugin._replace(broken="has no question and no comment that says what it asks")


def read_card(plugin: Plugin) -> Plugin:
    """Shipped weights: the card beside the file."""
    try:
        card = json.loads(Path(plugin.file).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        return plugin._replace(line=error.lineno, broken=f"is not JSON: {error.msg}")
    except (OSError, ValueError) as error:
        return plugin._replace(line=1, broken=f"cannot be read: {error}")
    required = [f for f in Card._fields if f not in Card._field_defaults]
    missing = [f for f in required if not isinstance(card, dict) or f not in card]
    if missing:
        return plugin._replace(line=1, broken=f"is not a card: it lacks {', '.join(missing)}")
    stand_in = f"; stands in for {card['stands_in_for']}" if card.get("stands_in_for") else ""
    return plugin._replace(summary=f"{card['kind']} by recipe {card['recipe']}{stand_in}", literals=card, line=1)


def value_of(text: str) -> Any:
    """The value of an expression of literals and simple arithmetic, `8 / 255` say.

    Raises:
        NotLiteral: it holds a name or a call.
    """
    return _value(ast.parse(text.strip(), mode="eval").body)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow() as op, right=right):
            a, b = _value(left), _value(right)
            if all(isinstance(x, int | float) for x in (a, b)):
                return _arithmetic(op, a, b)
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_value(k): _value(v) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.Call(func=ast.Name(id="field"), args=[], keywords=keywords):
            given = {k.arg: k.value for k in keywords}
            if "default" in given:
                return _value(given["default"])
            if isinstance(factory := given.get("default_factory"), ast.Name) and factory.id in FACTORIES:
                return FACTORIES[factory.id]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise NotLiteral(ast.unparse(node)) from None


def _arithmetic(op: ast.operator, a: float, b: float) -> Any:
    try:
        match op:
            case ast.Add():
                return a + b
            case ast.Sub():
                return a - b
            case ast.Mult():
                return a * b
            case ast.Div():
                return a / b
        if abs(b) > 64:
            raise NotLiteral(f"{a} ** {b}")
        return a**b
    except ArithmeticError as error:
        raise NotLiteral(str(error)) from None


def _public_class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    if name:
        return next((n for n in classes if n.name == name), None)
    public = [n for n in classes if not n.name.startswith("_")]
    if len(public) > 1:
        raise _Broken(public[1].lineno, f"has two public classes, {public[0].name} and {public[1].name}")
    return public[0] if public else None


def _with_class(plugin: Plugin, node: ast.ClassDef, lines: list[str], *, strict: bool) -> Plugin:
    if strict and not _is_frozen_dataclass(node):
        raise _Broken(node.lineno, f"class {node.name} is not a frozen dataclass")
    literals: dict[str, Any] = {}
    fields: list[Field] = []
    where: dict[str, int] = {}
    for item in node.body:
        match item:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in LITERALS:
                literals[name] = _literal(name, value)
                where[name] = item.lineno
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                written = ast.unparse(annotation)
                if "ClassVar" not in written:
                    fields.append(
                        Field(name, written, _default(name, value, lines), _comment(item, lines), item.lineno)
                    )
                elif name in LITERALS and value is not None:
                    literals[name] = _literal(name, value)
                    where[name] = item.lineno
    plugin = plugin._replace(literals=literals, fields=tuple(fields))
    if strict:
        _check_literals(literals, {f.name: f for f in fields}, where)
    return plugin


def _is_frozen_dataclass(node: ast.ClassDef) -> bool:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in ("dataclass", "dataclasses.dataclass"):
            return any(k.arg == "frozen" and ast.unparse(k.value) == "True" for k in decorator.keywords)
    return False


def _literal(name: str, node: ast.expr) -> Any:
    try:
        return _value(node)
    except NotLiteral as error:
        raise _Broken(node.lineno, f"{name} is not a literal: {error}") from None


def _default(name: str, node: ast.expr | None, lines: list[str]) -> str | None:
    """The default as written, of `field(default=...)` the default alone."""
    if node is None:
        return None
    _literal(f"the default of {name}", node)
    if isinstance(node, ast.Call):
        inner = next(k for k in node.keywords if k.arg in ("default", "default_factory"))
        return _as_written(inner.value, lines) if inner.arg == "default" else repr(_value(node))
    return _as_written(node, lines)


def _as_written(node: ast.expr, lines: list[str]) -> str:
    if node.lineno != node.end_lineno:
        return ast.unparse(node)
    return lines[node.lineno - 1].encode()[node.col_offset : node.end_col_offset].decode()


def _comment(item: ast.AnnAssign, lines: list[str]) -> str:
    """The comment behind a field, else the lines above it."""
    assert item.end_lineno is not None
    behind = lines[item.end_lineno - 1].encode()[item.end_col_offset :].decode().strip()
    above: list[str] = []
    for line in reversed(lines[: item.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line)
    parts = [behind] if behind.startswith("#") else above
    return " ".join(part.strip().lstrip("#").strip() for part in parts)


def _check_literals(literals: Mapping[str, Any], fields: Mapping[str, Field], where: Mapping[str, int]) -> None:
    words: Mapping[str, tuple[str, ...]] = {"access": ACCESS, "cost": COST}
    for name, known in words.items():
        if name in literals and literals[name] not in known:
            raise _Broken(where[name], f"{name} is {literals[name]!r}; it is one of {', '.join(known)}")
    lists: Mapping[str, tuple[str, ...]] = {"goals": GOALS, "budgets": BUDGETS}
    for name, known in lists.items():
        for value in _names(literals, name, where):
            if value not in known:
                raise _Broken(where[name], f"{name} holds {value!r}; known are {', '.join(known)}")
    for need in _names(literals, "needs", where):
        if need not in fields or fields[need].default != "None":
            raise _Broken(where["needs"], f"needs names {need!r}, which is not a field with default None")
    for name in ("trial", "waives"):
        if not isinstance(literals.get(name, {}), dict):
            raise _Broken(where[name], f"{name} is not a dict")
    _check_quantities(literals, where)
    for argument in literals.get("trial", {}):
        if argument not in fields:
            raise _Broken(where["trial"], f"trial names {argument!r}, which is not a field")
    for check, reason in literals.get("waives", {}).items():
        if not isinstance(reason, str) or not reason.strip():
            raise _Broken(where["waives"], f"waives {check!r} without a reason")


def _check_quantities(literals: Mapping[str, Any], where: Mapping[str, int]) -> None:
    """What a measure reads: a dict a quantity, which says at least what it means."""
    quantities = literals.get("quantities", {})
    if not isinstance(quantities, dict) or not all(isinstance(q, dict) for q in quantities.values()):
        raise _Broken(where["quantities"], "quantities is not a dict of dicts, one a quantity")
    for name, about in quantities.items():
        for key, value in about.items():
            if key not in QUANTITY or not isinstance(value, QUANTITY[key]):
                known = ", ".join(f"{k} ({t.__name__})" for k, t in QUANTITY.items())
                raise _Broken(where["quantities"], f"quantity {name!r} has {key}={value!r}; known are {known}")
        if not about.get("means"):
            raise _Broken(where["quantities"], f"quantity {name!r} does not say what it means")
        if about.get("better", "") not in BETTER:
            raise _Broken(
                where["quantities"], f"better of {name!r} is {about['better']!r}; it is lower, higher or empty"
            )
    for plot in literals.get("plots", ()):
        if not isinstance(plot, tuple) or len(plot) != 2 or not set(plot) <= set(quantities):
            raise _Broken(where["plots"], f"plots holds {plot!r}, which is not a pair of quantities (x, y)")


def _names(literals: Mapping[str, Any], name: str, where: Mapping[str, int]) -> tuple[str, ...]:
    value = literals.get(name, ())
    if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
        raise _Broken(where[name], f'{name} is not a tuple of names; one name is written ("name",)')
    return value
