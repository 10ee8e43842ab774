"""Show one page of a plug-in, a study, shipped weights, a checkpoint or a picture."""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import click

from advgen.cli._options import examples, json_option, print_json, print_pairs, printable
from advgen.cli.list import as_dict
from advgen.core import provenance
from advgen.core.errors import BadFile, UnknownName
from advgen.core.plugins import Plugin
from advgen.core.registry import KINDS, describe, kind_singular, listing

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
PACKETS = ("XML:com.adobe.xmp", "xmp")  # told as provenance
HEADER_LIMIT = 100_000_000  # bytes; the format's own


@click.command("show", epilog=examples("advgen show image/pgd", "advgen show fashion-mnist --json"))
@click.argument("name_or_file")
@click.option("--kind", help="Look among this kind only, as in `advgen list KIND`.")
@json_option
def command(name_or_file: str, kind: str | None, *, as_json: bool) -> None:
    """Show one page of a plug-in, a study, shipped weights, a checkpoint or a picture.

    NAME_OR_FILE is a name from `advgen list`, `module:Class`, `path/to/file.py:Class`, a .safetensors file or its
    card, or an image file. Nothing of a plug-in is imported.
    """
    path = Path(name_or_file)
    if kind is None and path.is_file():
        page = _file_page(path)
        print_json(page) if as_json else _print_page(page)
        return
    plugins = _named(name_or_file, kind)
    if as_json:
        print_json([as_dict(p) for p in plugins])
        return
    for i, plugin in enumerate(plugins):
        if i:
            click.echo()
        _print_plugin(plugin)


def _named(name: str, kind: str | None) -> list[Plugin]:
    """Everything of that name; one name may stand for a recipe and for the weights it made."""
    if kind is not None:
        return [describe(kind, name)]
    if ":" in name:
        return [describe("attacks", name)]
    every = {k: listing(k) for k in KINDS if k != "targets"}
    found = [p for plugins in every.values() for p in plugins if p.name == name]
    if not found:
        known = {p.name for plugins in every.values() for p in plugins}
        raise UnknownName.among("name or file", name, known, "See `advgen list`.")
    return found


def _print_plugin(plugin: Plugin) -> None:
    click.echo(f"{printable(plugin.name)} ({kind_singular(plugin.kind)})")
    if plugin.broken:
        click.echo(f"BROKEN: {printable(plugin.broken)} ({plugin.file}, line {plugin.line})")
    for line in plugin.doc.splitlines():
        click.echo(printable(line))
    click.echo()
    about = {name: _plain(value) for name, value in plugin.literals.items() if name != "waives"}
    for check, reason in plugin.literals.get("waives", {}).items():
        about[f"waives {check}"] = reason
    about["file"] = plugin.file
    if plugin.origin != "advgen":
        about["from"] = plugin.origin
    print_pairs(about)
    if plugin.arguments:
        click.echo("\nArguments")
        print_pairs({f"  {f.name} = {_shown(f.default)}": _described(f.type, f.comment) for f in plugin.arguments})
    if plugin.assembled:
        click.echo(f"\nFilled by the platform: {', '.join(plugin.assembled)}")


def _shown(default: str | None) -> str:
    return "(required)" if default is None else default


def _described(type_: str, comment: str) -> str:
    return f"{type_}: {comment}" if comment else type_


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _print_page(page: Mapping[str, Any]) -> None:
    print_pairs({k: _plain(v) for k, v in page.items()})


def _file_page(path: Path) -> dict[str, Any]:
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return _picture(path)
    if suffix == ".safetensors":
        return _checkpoint(path)
    if suffix == ".json":
        return {"card": str(path), **_json_object(path.read_bytes(), path)}
    if suffix in PICKLES:
        raise BadFile(
            f"{str(path)!r} may be a pickle, which can run code when it is opened; bring a .safetensors file."
        )
    if suffix == ".py":
        raise BadFile(f"say which class of the file: advgen show {path}:CLASS")
    raise BadFile(f"{str(path)!r} is not a picture, a .safetensors file or a card (.json).")


def _checkpoint(path: Path) -> dict[str, Any]:
    """The card, and the tensors as the header of the file lists them; no tensor is read."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(HEADER_LIMIT, path.stat().st_size - 8):
            raise BadFile(f"{str(path)!r} is not a safetensors file: its header does not fit into it.")
        header = _json_object(file.read(length), path)
    header.pop("__metadata__", None)
    try:
        numbers = sum(prod(tensor["shape"]) for tensor in header.values())
        types = sorted({tensor["dtype"] for tensor in header.values()})
    except (KeyError, TypeError) as error:
        raise BadFile(f"{str(path)!r} is not a safetensors file: a tensor in its header lacks {error}.") from error
    page = {
        "checkpoint": str(path),
        "bytes": path.stat().st_size,
        "tensors": len(header),
        "numbers": numbers,
        "types": types,
    }
    card = path.with_suffix(".json")
    if not card.is_file():
        return {**page, "card": f"none: {card} is missing, so nothing is known of how it was made"}
    return {**page, "card": str(card), **_json_object(card.read_bytes(), card)}


def _json_object(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise BadFile(f"{str(path)!r} does not hold JSON where it should: {error}.") from error
    if not isinstance(value, dict):
        raise BadFile(f"{str(path)!r} holds {type(value).__name__}, not a JSON object.")
    return value


def _picture(path: Path) -> dict[str, Any]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            page = {
                "picture": str(path),
                "format": picture.format,
                "size": f"{picture.width} x {picture.height}",
                "mode": picture.mode,
                "bytes": path.stat().st_size,
            }
            about = {f"metadata {k}": str(v)[:200] for k, v in picture.info.items() if k not in PACKETS}
            picture.load()
    except (UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise BadFile(f"{str(path)!r} is not a picture that can be read.") from error
    except Image.DecompressionBombError as error:
        raise BadFile(f"{str(path)!r} is too large to open: {error}") from error
    except OSError as error:
        raise BadFile(f"{str(path)!r} is truncated or damaged: {error}.") from error
    return {**page, **_made(path, str(page["format"])), **about}


def _made(path: Path, kind: str) -> dict[str, str]:
    """How a picture says that it was made; anybody may have written that."""
    if kind != "PNG":
        return {"provenance": "none: it is kept in PNG files"}
    try:
        found = provenance.read(path.read_bytes())
    except BadFile as error:
        return {"provenance": f"unreadable: {error}"}
    return {"provenance": "none of this platform's"} if found is None else found.told()
