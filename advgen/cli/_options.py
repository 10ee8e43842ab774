"""Options and printing that several commands share, so that one word means one thing everywhere."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import category, east_asian_width

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine to read.")
strict_option = click.option("--strict", is_flag=True, help="Exit with 1 when a claim or a check fails.")
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random numbers.")
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")


def out_option(help: str, default: str | None = None) -> Callable[[Any], Any]:
    """`--out PATH`, where what the command makes goes."""
    path = click.Path(path_type=Path)
    return click.option("--out", type=path, default=default, show_default=default is not None, help=help)


def examples(*lines: str) -> str:
    """The end of a command's help: real examples, a line each."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def print_json(value: object) -> None:
    """`value` as JSON on stdout."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """An aligned table on stdout; on a terminal the last column is cut to its width."""
    table = [[printable(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(width(row[i]) for row in table) for i in range(len(headings) - 1)]
    room = shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths) if sys.stdout.isatty() else None
    for row in table:
        cells = [cell + " " * (w - width(cell)) for cell, w in zip(row, widths, strict=False)]
        last = row[-1] if room is None else shortened(row[-1], max(room, 20))
        click.echo("  ".join([*cells, last]).rstrip())


def print_pairs(pairs: Mapping[str, object]) -> None:
    """A name and a value a line, values aligned."""
    widest = max((width(name) for name in pairs), default=0)
    for name, value in pairs.items():
        click.echo(f"{printable(name)}{' ' * (widest - width(name))}  {printable(str(value))}".rstrip())


def printable(text: str) -> str:
    """One line without control characters: names from outside must not steer a terminal."""
    return "".join(" " if c in "\n\t" else c for c in text if c in "\n\t" or category(c) not in ("Cc", "Cf", "Cs"))


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(0 if category(c) == "Mn" else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def shortened(text: str, columns: int) -> str:
    """`text`, cut with an ellipsis where it is wider than `columns`."""
    if width(text) <= columns:
        return text
    kept = ""
    for c in text:
        if width(kept + c) > columns - 1:
            break
        kept += c
    return kept.rstrip() + "…"
