"""What there is, by kind and name: a plug-in is a file, found in its folder and read without importing it.

Names are paths (`image/pgd`). Strangers bring theirs through entry points (groups `advgen.attacks`,
`advgen.defenses`, ...), as `module:Class`, or as `path/to/file.py:Class`. The current folder never enters `sys.path`.
"""

import importlib
import sys
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from advgen.core.arguments import checked, defaults_of, who_gives
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName, UserError
from advgen.core.plugins import Plugin, read_card, read_module, read_yaml_study


class Kind(NamedTuple):
    """Where the plug-ins of a kind stand."""

    package: str
    families: bool = False  # name = family/method; otherwise name = file
    class_required: bool = False
    folders: bool = False  # a folder with an __init__.py, whose docstring is read, is one plug-in too
    dashes: bool = False  # fashion_mnist.py is called fashion-mnist, as the data set itself is
    subfolder: str = ""
    suffixes: tuple[str, ...] = (".py",)
    card_kinds: tuple[str, ...] = ()  # for cards: only those of these kinds


CARD_KINDS = ("classifier", "detector", "matcher")  # of networks that are targets
KINDS: Mapping[str, Kind] = {
    "attacks": Kind("advgen.attacks", families=True, class_required=True),
    "defenses": Kind("advgen.defenses", families=True, class_required=True),
    "targets": Kind("advgen.zoo", subfolder="weights", suffixes=(".json",), card_kinds=CARD_KINDS),
    "data": Kind("advgen.experiments.data", class_required=True, dashes=True),
    "generators": Kind("advgen.generators", folders=True),
    "encoders": Kind("advgen.embeddings.encoders"),
    "metrics": Kind("advgen.metrics"),
    "studies": Kind("advgen.experiments.studies", suffixes=(".py", ".yaml")),
    "measures": Kind("advgen.experiments.measures", class_required=True),
    "recipes": Kind("advgen.experiments.recipes", class_required=True),
    "weights": Kind("advgen.zoo", subfolder="weights", suffixes=(".json",)),
}


def listing(kind: str) -> list[Plugin]:
    """Everything of a kind, by name, broken ones included; imports none of it.

    Raises:
        UnknownName: no such kind.
        UserError: two plug-ins of one name.
    """
    _known_kind(kind)
    found = [_read(p) for p in _in_folders(kind)] + [_read(p) for p in _from_entry_points(kind)]
    if KINDS[kind].card_kinds:
        found = [
            p for p in found if p.broken or not p.file.endswith(".json") or p.literals["kind"] in KINDS[kind].card_kinds
        ]
    found.sort(key=lambda p: p.name)
    for one, other in pairwise(found):
        _refuse_duplicate(one, other)
    return found


def describe(kind: str, name: str) -> Plugin:
    """One plug-in by name, `module:Class` or `file.py:Class`; it may be broken. Imports nothing.

    Raises:
        UnknownName: nothing answers to the name.
    """
    _known_kind(kind)
    same = [p for p in [*_in_folders(kind), *_from_entry_points(kind)] if p.name == name]
    if len(same) > 1:
        _refuse_duplicate(same[0], same[1])
    if same:
        return _read(same[0])
    if ":" in name:
        return _read(_by_address(kind, name))
    known = [p.name for p in listing(kind)]
    raise UnknownName.among(kind_singular(kind), name, known, f"See `advgen list {kind}`.")


def defaults(kind: str, name: str) -> dict[str, Any]:
    """The default of every argument that a user may give, read from the source."""
    return defaults_of(_sound(kind, name))


def arguments(kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments, checked and typed, defaults filled in; imports nothing, so cell keys may use it."""
    plugin = _sound(kind, name)
    return {**defaults_of(plugin), **checked(plugin, given)}


def load_class(kind: str, name: str) -> type[Any]:
    """The plug-in's class, its module imported.

    Raises:
        BadFile: it is broken, or its module cannot be imported for want of a package.
    """
    return _class_of(_sound(kind, name))


def create(kind: str, name: str, /, **args: Any) -> Any:
    """A plug-in built from checked arguments; text is converted by the annotations.

    The budget and the `needs` may be given as objects, never as text or numbers.
    """
    plugin = _sound(kind, name)
    values = checked(plugin, args)
    for field in plugin.fields:
        if field.name in plugin.assembled and field.default is None and field.name not in values:
            raise BadArgument(f"{kind_singular(kind)} {name!r} needs a {field.name}: {who_gives(field.name)}.")
    return _class_of(plugin)(**values)


def load_file(path: Path) -> Any:
    """A Python file imported as a module by its path, without touching `sys.path`; once as long as it stays the same.

    Raises:
        MissingFile: there is no such file.
        BadFile: it does not parse; what it raises by itself keeps its traceback.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise MissingFile(f"there is no file {str(path)!r}.")
    digest = blake2b(str(path).encode() + b"\0" + path.read_bytes(), digest_size=8).hexdigest()
    name = f"advgen_file_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadFile(f"{str(path)!r} is not a Python file.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being run
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        raise BadFile(f"{error.filename}, line {error.lineno}: does not parse: {error.msg}.") from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


def folder_of(package: str) -> Path | None:
    """The folder of a package, found without importing it or its parents; None where there is none.

    Works in both layouts: an editable install (`attacks/` beside `advgen/`) and a wheel (`advgen/attacks`).
    """
    spec = _find(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def kind_singular(kind: str) -> str:
    """The word for one of a kind."""
    return {"studies": "study", "data": "data set", "weights": "weights"}.get(kind, kind.removesuffix("s"))


def _known_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UnknownName.among("kind", kind, KINDS)


def _in_folders(kind: str) -> list[Plugin]:
    place = KINDS[kind]
    folder = folder_of(place.package)
    if folder is None:
        return []
    if not place.families:
        found = [_built_in(kind, f, "") for f in _files(folder / place.subfolder, place.suffixes)]
        return found + [_whole_folder(kind, f) for f in sorted(folder.glob("[!_.]*/__init__.py")) if place.folders]
    families = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(("_", ".")))
    return [_built_in(kind, f, family.name) for family in families for f in _files(family, place.suffixes)]


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix in suffixes and not p.name.startswith(("_", ".")))


def _built_in(kind: str, file: Path, family: str) -> Plugin:
    inside = f"{family}/{file.stem}" if family else file.stem
    module = f"{KINDS[kind].package}.{inside.replace('/', '.')}" if file.suffix == ".py" else ""
    name = inside.replace("_", "-") if KINDS[kind].dashes else inside
    return Plugin(kind, name, file=str(file), module=module)


def _whole_folder(kind: str, file: Path) -> Plugin:
    return Plugin(kind, file.parent.name, file=str(file), module=f"{KINDS[kind].package}.{file.parent.name}")


def _from_entry_points(kind: str) -> list[Plugin]:
    group = f"advgen.{kind}"
    found = []
    for at, name, value, distribution in _entry_points(tuple(sys.path)):
        if at == group:
            module, _, class_name = value.partition(":")
            class_name = class_name.partition("[")[0].strip()
            found.append(_from_module(kind, name, module.strip(), class_name, distribution))
    return found


@cache
def _entry_points(search_path: tuple[str, ...]) -> tuple[tuple[str, str, str, str], ...]:
    """(group, name, value, distribution) of our groups, on this `sys.path`; scanning takes tens of milliseconds."""
    from importlib.metadata import entry_points

    every = entry_points()
    return tuple(
        (e.group, e.name, e.value, e.dist.name if e.dist else "")
        for kind in KINDS
        for e in every.select(group=f"advgen.{kind}")
    )


def _from_module(kind: str, name: str, module: str, class_name: str, origin: str) -> Plugin:
    plugin = Plugin(kind, name, module=module, class_name=class_name, origin=origin)
    spec = _find(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return plugin._replace(broken=f"there is no Python source of module {module!r} on the import path")
    return plugin._replace(file=spec.origin)


def _by_address(kind: str, address: str) -> Plugin:
    where, _, class_name = address.rpartition(":")
    if not class_name.isidentifier():
        raise UnknownName(f"{address!r} is not `module:Class` or `path/to/file.py:Class`.")
    if where.endswith(".py"):
        path = Path(where).expanduser().resolve()
        if not path.is_file():
            raise MissingFile(f"there is no file {where!r} to take {class_name} from.")
        return Plugin(kind, address, file=str(path), class_name=class_name, origin=str(path))
    if not all(part.isidentifier() for part in where.split(".")):
        raise UnknownName(f"{address!r} is not `module:Class` or `path/to/file.py:Class`.")
    plugin = _from_module(kind, address, where, class_name, where.partition(".")[0])
    if plugin.broken:
        raise UnknownName(
            f"{plugin.broken}; the current folder is not on it: write `path/to/file.py:{class_name}` for a file."
        )
    return plugin


def _find(module: str) -> ModuleSpec | None:
    """The spec of a module as the import system would find it, its parents left unimported."""
    parts = module.split(".")
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        finders = (f.find_spec(name, path) for f in sys.meta_path if hasattr(f, "find_spec"))
        spec = next((s for s in finders if s is not None), None)
        if spec is None:
            return None
        if depth < len(parts):
            if spec.submodule_search_locations is None:
                return None
            path = list(spec.submodule_search_locations)
    return spec


def _read(plugin: Plugin) -> Plugin:
    if plugin.broken:
        return plugin
    if plugin.file.endswith(".json"):
        return read_card(plugin)
    if plugin.file.endswith(".yaml"):
        return read_yaml_study(plugin)
    return read_module(plugin, class_required=KINDS[plugin.kind].class_required)


def _sound(kind: str, name: str) -> Plugin:
    plugin = describe(kind, name)
    if plugin.broken:
        at = f" ({plugin.file}, line {plugin.line})" if plugin.file else ""
        raise BadFile(f"{kind_singular(kind)} {name!r} is broken: {plugin.broken}{at}.")
    return plugin


def _class_of(plugin: Plugin) -> type[Any]:
    what = f"{kind_singular(plugin.kind)} {plugin.name!r}"
    if not plugin.class_name:
        raise BadFile(f"{what} has no public class ({plugin.file}).")
    try:
        module = importlib.import_module(plugin.module) if plugin.module else load_file(Path(plugin.file))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "advgen":
            raise
        raise BadFile(f"{what} needs the package {error.name!r}, which is not installed.") from error
    loaded: type[Any] = getattr(module, plugin.class_name)
    return loaded


def _refuse_duplicate(one: Plugin, other: Plugin) -> None:
    if one.name == other.name:
        places = " and ".join(f"{p.file or p.module} ({Path(p.origin).name})" for p in (one, other))
        raise UserError(f"two {one.kind} are called {one.name!r}: {places}; rename or uninstall one.")
