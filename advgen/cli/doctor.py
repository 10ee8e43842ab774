"""Say what is installed, which weights are found, and what is missing and where to put it."""

import platform
import re
import sys
from collections.abc import Mapping
from typing import Any

import click

from advgen import __version__
from advgen.cli._options import examples, json_option, print_json, print_table, strict_option
from advgen.core.errors import MissingFile, StrictFailure
from advgen.core.registry import KINDS, kind_singular, listing, load_class

# Published backbones that nothing ships: file names in the order they are looked for, and what they serve.
BACKBONES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "squeezenet1_1": (
        ("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1-rebuilt.pth", "squeezenet1_1-f364aa15.pth"),
        "LPIPS net=squeeze, the judge's own",
    ),
    "alexnet": (("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth"), "LPIPS net=alex"),
    "vgg16": (("vgg16-397923af.pth",), "LPIPS net=vgg"),
}


@click.command("doctor", epilog=examples("advgen doctor", "advgen doctor --plugin my_lab.attacks:Mover --strict"))
@click.option("--plugin", help="Run the contracts on this plug-in: a name, module:Class or file.py:Class.")
@click.option("--kind", default="attacks", show_default=True, help="What the plug-in is, as in `advgen list KIND`.")
@strict_option
@json_option
def command(plugin: str | None, kind: str, *, strict: bool, as_json: bool) -> None:
    """Say what is installed, which weights are found, and what is missing and where to put it.

    With --plugin, check a plug-in against the contracts that every shipped one keeps.
    """
    if plugin is not None:
        _check_plugin(kind, plugin, strict=strict, as_json=as_json)
        return
    found = {
        "advgen": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "dependencies": _dependencies(),
        "weights": _weights(),
        "broken": _broken(),
        "device": _device(),
    }
    if as_json:
        print_json(found)
    else:
        _print_found(found)
    if strict and (problems := _problems(found)):
        raise StrictFailure("; ".join(problems) + ".")


def _print_found(found: Mapping[str, Any]) -> None:
    for name in ("advgen", "python", "platform", "device"):
        click.echo(f"{name:<9} {found[name]}")
    click.echo()
    dependencies = found["dependencies"]
    print_table(
        ["DEPENDENCY", "VERSION", "WANTED", "FOR"],
        [[d["name"], d["version"] or "MISSING", d["wanted"], d["extra"] or ""] for d in dependencies],
    )
    extras = sorted({d["extra"] for d in dependencies if d["version"] is None and d["extra"]})
    for extra in extras:
        click.echo(f"for {extra}: pip install 'advgen[{extra}]'")
    click.echo()
    print_table(
        ["WEIGHTS", "SERVE", "FOUND"], [[w["name"], w["serve"], w["path"] or "MISSING"] for w in found["weights"]]
    )
    for weight in found["weights"]:
        if weight["path"] is None:
            click.echo(f"{weight['name']}: {weight['remedy']}")
    for broken in found["broken"]:
        click.echo(f"broken {broken}")


def _dependencies() -> list[dict[str, str | None]]:
    """Every dependency of this distribution: name, installed version or None, wanted range, extra."""
    from importlib.metadata import PackageNotFoundError, requires, version

    rows: list[dict[str, str | None]] = []
    for requirement in requires("advgen") or []:
        found = re.match(r"([\w.\-]+)\s*([^;]*)(?:;.*extra == ['\"](\w+)['\"])?", requirement)
        assert found is not None, requirement
        name, wanted, extra = found.groups()
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = None
        rows.append({"name": name, "version": installed, "wanted": wanted.strip(), "extra": extra})
    return rows


def _weights() -> list[dict[str, str | None]]:
    from advgen.core import checkpoints

    rows = [(p.name, (p.name,), p.summary) for p in listing("weights") if not p.broken]
    rows += [(name, files, serve) for name, (files, serve) in BACKBONES.items()]
    found: list[dict[str, str | None]] = []
    for name, files, serve in rows:
        row: dict[str, str | None] = {"name": name, "serve": serve, "path": None, "remedy": None}
        try:
            row["path"] = str(checkpoints.find(*files))
        except MissingFile as error:
            row["remedy"] = str(error)
        found.append(row)
    return found


def _broken() -> list[str]:
    return [
        f"{kind_singular(kind)} {p.name}: {p.broken} ({p.file}, line {p.line})"
        for kind in KINDS
        for p in listing(kind)
        if p.broken
    ]


def _device() -> str:
    try:
        from advgen.core.device import choose
    except ModuleNotFoundError as error:
        return f"unknown: {error.name} is not installed"
    return str(choose())


def _problems(found: Mapping[str, Any]) -> list[str]:
    """What --strict fails for: a plain dependency, a shipped weight, or a broken plug-in; extras and backbones not."""
    missing = [d["name"] for d in found["dependencies"] if d["version"] is None and d["extra"] is None]
    weights = [w["name"] for w in found["weights"] if w["path"] is None and w["name"] not in BACKBONES]
    return [
        *([f"missing dependencies: {', '.join(missing)}"] if missing else []),
        *([f"missing weights: {', '.join(weights)}"] if weights else []),
        *([f"broken plug-ins: {len(found['broken'])}"] if found["broken"] else []),
    ]


def _check_plugin(kind: str, name: str, *, strict: bool, as_json: bool) -> None:
    plugin_class = load_class(kind, name)
    from advgen.contracts.run import check_plugin

    results = check_plugin(plugin_class)
    if as_json:
        print_json([r._asdict() for r in results])
    else:
        print_table(["CONTRACT", "VERDICT", "DETAIL"], [[r.name, r.verdict, r.detail] for r in results])
    failed = [r.name for r in results if r.verdict == "failed"]
    if strict and failed:
        raise StrictFailure(f"{name} fails {len(failed)} of {len(results)} contracts: {', '.join(failed)}.")
