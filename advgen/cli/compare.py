"""Runs side by side: row by row where they are the same study, paired tests where they are not."""

from typing import TYPE_CHECKING

import click

from advgen.cli._options import examples, json_option, print_json, print_table, printable, strict_option

if TYPE_CHECKING:
    from advgen.experiments.compare import Comparison, Pair
    from advgen.experiments.compare_readings import ReadingComparison

MOST = 20  # differences that are printed; --json has all


@click.command(
    "compare", epilog=examples("advgen compare runs/demo runs/demo-again", "advgen compare runs/a runs/b --strict")
)
@click.argument("runs", nargs=-1, required=True)
@json_option
@strict_option
def command(runs: tuple[str, ...], *, as_json: bool, strict: bool) -> None:
    """Runs side by side: row by row where they are the same study, paired tests where they are not.

    RUNS are two or more run folders; each is compared with the first. Seconds and memory never repeat and are left out.
    """
    from advgen.core.errors import BadArgument, StrictFailure
    from advgen.experiments.compare import compare
    from advgen.experiments.store import open_run

    if len(runs) < 2:
        raise BadArgument("compare needs two runs or more: advgen compare A B.")
    stores = [open_run(r) for r in runs]
    found = [compare(stores[0], other) for other in stores[1:]]
    if as_json:
        print_json([_plain(c) for c in found])
    else:
        for one in found:
            _print(one)
    parted = [c for c in found if not c.agree]
    if strict and parted:
        raise StrictFailure(f"under --strict: {parted[0].first} and {parted[0].second} do not agree.")


def _print(found: "Comparison") -> None:
    from advgen.experiments.compare import significant

    click.echo(f"{printable(found.first)}  |  {printable(found.second)}")
    for notice in found.notices:
        click.echo(f"  made with another {printable(notice)}" if ":" in notice else f"  {printable(notice)}")
    if found.shared_cells:
        agree = found.rows - found.differing_rows
        click.echo(f"{found.shared_cells} cells are the same; {agree} of their {found.rows} rows agree.")
    if found.differences:
        lines = [[d.cell, d.sample_id, d.column, str(d.first), str(d.second)] for d in found.differences[:MOST]]
        click.echo()
        print_table(["cell", "sample", "column", "first", "second"], lines)
        if len(found.differences) > MOST:
            click.echo(f"… and {len(found.differences) - MOST} more differences (--json has all).")
    if found.pairs:
        click.echo("\nRobust accuracy (clean accuracy for a baseline), paired image by image; p corrected (Holm):\n")
        print_table(["cell", "first", "second", "difference", "p", ""], [_line(p, significant(p)) for p in found.pairs])
    _print_readings(found.readings)
    for side, cells in (
        ("first", found.only_first + found.readings.only_first),
        ("second", found.only_second + found.readings.only_second),
    ):
        if cells:
            click.echo(f"\n{len(cells)} cells are in the {side} run alone, such as: {printable(cells[0])}")
    if not any(part.shared_cells or part.pairs for part in (found, found.readings)):
        click.echo("The two runs have no cell in common.")
    click.echo("They agree." if found.agree else "They do not agree.")


def _print_readings(found: "ReadingComparison") -> None:
    from advgen.experiments.compare import significant
    from advgen.experiments.report.words import number

    if found.shared_cells:
        agree = found.rows - found.differing_rows
        click.echo(f"{found.shared_cells} measurements are the same; {agree} of their {found.rows} readings agree "
                   "(timing left out).")  # fmt: skip
    if found.differences:
        click.echo()
        lines = [[d.cell, d.sample_id, d.column, str(d.first), str(d.second)] for d in found.differences[:MOST]]
        print_table(["measurement", "sample", "quantity", "first", "second"], lines)
        if len(found.differences) > MOST:
            click.echo(f"… and {len(found.differences) - MOST} more differences (--json has all).")
    if found.pairs:
        click.echo("\nMeans, paired sample by sample and seed by seed; p corrected (Holm):\n")
        lines = []
        for p in found.pairs:
            d = p.difference
            told = "–" if d is None else f"{number(d.value)} [{number(d.low)}, {number(d.high)}]"
            lines.append([p.cell, p.quantity, number(p.first), number(p.second), told,
                          "" if p.p is None else f"{p.p:.2g}", "differs" if significant(p) else ""])  # fmt: skip
        print_table(["arm", "quantity", "first", "second", "difference", "p", ""], lines)


def _line(pair: "Pair", differs: bool) -> list[str]:
    d = pair.difference
    shown = "–" if d.value is None else f"{100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}] points"
    p = "" if pair.p is None else f"{pair.p:.2g}"
    return [pair.cell, str(pair.first), str(pair.second), shown, p, "differs" if differs else ""]


def _plain(found: "Comparison") -> dict[str, object]:
    return {
        **found._asdict(),
        "agree": found.agree,
        "differences": [d._asdict() for d in found.differences],
        "pairs": [
            {**p._asdict(), "first": p.first._asdict(), "second": p.second._asdict(),
             "difference": p.difference._asdict()}
            for p in found.pairs
        ],
        "readings": {
            **found.readings._asdict(),
            "differences": [d._asdict() for d in found.readings.differences],
            "pairs": [
                {**p._asdict(), "difference": None if p.difference is None else p.difference._asdict()}
                for p in found.readings.pairs
            ],
        },
    }  # fmt: skip
