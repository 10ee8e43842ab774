"""Imports go down the layers, and what must start light imports nothing heavy."""

import ast
import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

LAYERS = (
    "cli",
    "experiments",
    grimp.Layer("attacks", "defenses", independent=False),  # a defense may use the engine: its own assertion below
    grimp.Layer("embeddings", "editing"),
    grimp.Layer("inversion", "metrics", "zoo"),
    "generators",
    "contracts",
    "core",
)
TORCH = ("torch", "torchvision", "lightning_fabric", "lpips", "torchattacks", "art", "open_clip")
TORCH_FREE = (
    "advgen.cli.main",
    "advgen.core.arguments",
    "advgen.core.errors",
    "advgen.core.plugins",
    "advgen.core.registry",
    "advgen.core.specs",
    "advgen.experiments.checks",
    "advgen.experiments.claims",
    "advgen.experiments.report",
    "advgen.experiments.stats",
    "advgen.experiments.store",
    "advgen.experiments.study",
)
BESIDE = ("attacks", "defenses", "embeddings", "experiments")
PEERS = ("torchattacks", "art", "foolbox")


def within(module: str, *packages: str) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)


def test_the_graph_sees_every_file(graph: grimp.ImportGraph, root: Path) -> None:
    """Else everything below would pass on half of the tree."""
    folders = [root / "advgen", *(root / name for name in BESIDE)]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert len(files) > 50
    assert [str(f) for f in files if _module(f, root) not in graph.modules] == []


def test_imports_go_down_the_layers(graph: grimp.ImportGraph) -> None:
    assert _up_the_layers(graph) == []


def test_an_import_up_the_layers_is_found(graph: grimp.ImportGraph) -> None:
    planted = copy.deepcopy(graph)
    planted.add_import(importer="advgen.core.specs", imported="advgen.zoo")
    assert "advgen.core.specs -> advgen.zoo" in _up_the_layers(planted)


def _up_the_layers(graph: grimp.ImportGraph) -> list[str]:
    graph = copy.deepcopy(graph)
    # The root's lazy `evaluate` is tested below; through it everything that asks for the version would go up.
    if graph.direct_import_exists(importer="advgen", imported="advgen.experiments.evaluate"):
        graph.remove_import(importer="advgen", imported="advgen.experiments.evaluate")
    broken = graph.find_illegal_dependencies_for_layers(layers=LAYERS, containers={"advgen"})
    return [
        " -> ".join([*sorted(route.heads)[:1], *route.middle, *sorted(route.tails)[:1]])
        for dependency in broken
        for route in dependency.routes
    ]


def test_every_package_stands_in_a_layer(graph: grimp.ImportGraph) -> None:
    named = {name for layer in LAYERS for name in ([layer] if isinstance(layer, str) else layer.module_tails)}
    assert {m.removeprefix("advgen.") for m in graph.find_children("advgen")} <= named


def test_attacks_and_defenses_import_core_and_the_engine_only(graph: grimp.ImportGraph) -> None:
    wrong = [
        f"{module} -> {imported}"
        for module in graph.modules
        if within(module, "advgen.attacks", "advgen.defenses")
        for imported in graph.find_modules_directly_imported_by(module)
        if within(imported, "advgen") and not within(imported, "advgen.core", "advgen.attacks.engine")
        # An ensemble is made of attacks.
        if not (within(module, "advgen.attacks.ensemble") and within(imported, "advgen.attacks"))
    ]
    assert wrong == []


def test_nobody_imports_the_commands(graph: grimp.ImportGraph) -> None:
    wrong = [
        f"{importer} -> {module}"
        for module in graph.modules
        if within(module, "advgen.cli")
        for importer in graph.find_modules_that_directly_import(module)
        if not within(importer, "advgen.cli")
    ]
    assert wrong == []


def test_the_root_holds_evaluate_and_nothing_else(graph: grimp.ImportGraph) -> None:
    imported = {m for m in graph.find_modules_directly_imported_by("advgen") if within(m, "advgen")}
    assert imported <= {"advgen.experiments.evaluate"}


def test_peers_are_imported_inside_functions_of_their_own_folder(graph: grimp.ImportGraph, root: Path) -> None:
    importers = {m for peer in PEERS if peer in graph.modules for m in graph.find_modules_that_directly_import(peer)}
    assert {m for m in importers if not within(m, "advgen.attacks.peers")} == set()
    for file in (root / "attacks" / "peers").glob("*.py"):
        assert not set(PEERS) & set(_imported_on_import(file)), file


@pytest.mark.parametrize("module", TORCH_FREE)
def test_a_light_module_imports_no_torch(module: str, graph: grimp.ImportGraph, root: Path) -> None:
    """Not in itself, not even in a function; and nothing whose own import brings torch."""
    assert module in graph.modules, f"{module} is gone: mend this list"
    light = {module, *graph.find_descendants(module)}
    direct = {f"{m} -> {t}" for m in light for t in graph.find_modules_directly_imported_by(m) if within(t, *TORCH)}
    assert direct == set()
    reached = set(light)
    waiting = list(light)
    while waiting:
        importer = waiting.pop()
        for imported in _at_import(graph, importer, root) - reached:
            assert not within(imported, *TORCH), f"{importer} -> {imported}"
            reached.add(imported)
            waiting.append(imported)


def test_importing_the_light_modules_brings_no_torch() -> None:
    """The graph does not see `importlib`."""
    code = f"""
import importlib, sys
for module in {TORCH_FREE}:
    importlib.import_module(module)
    brought = set({TORCH}) & set(sys.modules)
    assert not brought, f"{{module}} brings {{brought}}"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _at_import(graph: grimp.ImportGraph, module: str, root: Path) -> set[str]:
    """What a module imports when it is imported; the graph holds imports in functions too."""
    if not within(module, "advgen"):
        return set()
    imported = graph.find_modules_directly_imported_by(module)
    lines = _lines_of_functions(_file(module, root))
    return {
        other
        for other in imported
        if any(d["line_number"] not in lines for d in graph.get_import_details(importer=module, imported=other))
    }


def _file(module: str, root: Path) -> Path:
    parts = module.split(".")[1:]
    top = root if parts and (root / parts[0]).is_dir() else root / "advgen"
    path = top.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _module(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    named = parts if parts[0] == "advgen" else ("advgen", *parts)
    return ".".join(named[:-1] if named[-1] == "__init__" else named)


def _lines_of_functions(file: Path) -> set[int]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return {line for f in functions for line in range(f.lineno, (f.end_lineno or f.lineno) + 1)}


def _imported_on_import(file: Path) -> Iterator[str]:
    lazy = _lines_of_functions(file)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import) and node.lineno not in lazy:
            yield from (alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.lineno not in lazy and node.module:
            yield node.module.partition(".")[0]
