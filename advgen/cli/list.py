"""List what there is: attacks, defenses, data, studies, measures, recipes, weights and more."""

import click

from advgen.cli._options import examples, json_option, print_json, print_table
from advgen.core.plugins import Plugin
from advgen.core.registry import KINDS, listing


@click.command("list", epilog=examples("advgen list attacks", "advgen list studies --json"))
@click.argument("kind", required=False)
@json_option
def command(kind: str | None, *, as_json: bool) -> None:
    """List what there is: attacks, defenses, data, studies, measures, recipes, weights and more.

    KIND is one of attacks, defenses, targets, data, generators, encoders, metrics, studies, measures, recipes, weights;
    without it, the number of each is shown. Files are read, not imported; one that cannot be used is listed as broken.
    """
    if kind is None:
        counts = {k: len(listing(k)) for k in KINDS}
        if as_json:
            print_json(counts)
        else:
            print_table(["KIND", "NUMBER"], [[k, str(n)] for k, n in counts.items()])
        return
    plugins = listing(kind)
    if as_json:
        print_json([as_dict(p) for p in plugins])
    elif not plugins:
        click.echo(f"There are no {kind}.", err=True)
    else:
        headings = ["NAME", *(["ACCESS", "COST", "BUDGETS", "PAPER"] if kind == "attacks" else []), "SUMMARY"]
        print_table(headings, [_row(p, len(headings)) for p in plugins])


def as_dict(plugin: Plugin) -> dict[str, object]:
    """What a machine reads of a plug-in."""
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "summary": plugin.summary,
        "class": plugin.class_name,
        "file": plugin.file,
        "line": plugin.line,
        "origin": plugin.origin,
        "broken": plugin.broken or None,
        "literals": plugin.literals,
        "arguments": [
            {"name": f.name, "type": f.type, "default": f.default, "comment": f.comment} for f in plugin.arguments
        ],
    }


def _row(plugin: Plugin, columns: int) -> list[str]:
    if plugin.broken:
        where = f"{plugin.file}, line {plugin.line}: " if plugin.file else ""
        return [plugin.name, *["!"] * (columns - 2), f"BROKEN {where}{plugin.broken}"]
    if columns == 2:
        return [plugin.name, plugin.summary]
    budgets = ", ".join(plugin.literals.get("budgets", ())) or "-"
    access, cost, paper = (str(plugin.literals.get(name, "-")) for name in ("access", "cost", "paper"))
    return [plugin.name, access, cost, budgets, paper, plugin.summary]
