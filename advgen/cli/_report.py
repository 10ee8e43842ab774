"""What a command tells of a run when it is done: matrix, verdicts, warnings, and where the page lies."""

from typing import TYPE_CHECKING

import click

from advgen.cli._options import print_table, printable
from advgen.core.errors import StrictFailure

if TYPE_CHECKING:
    from advgen.experiments.report.run import RunView
    from advgen.experiments.scores import ScoresResult
    from advgen.experiments.stats import Rate
    from advgen.experiments.store import Store
    from advgen.experiments.tables import Standing


def told(store: "Store", *, strict: bool = False) -> None:
    """Builds the page and prints a summary.

    Raises:
        StrictFailure: strict, and a claim is refuted or undecided, or a warning was raised.
    """
    from advgen.experiments.report.build import build_view
    from advgen.experiments.report.run import RunView

    view = RunView(store)
    page = build_view(view)
    _summary(view)
    click.echo(f"\nreport  {page}")
    if strict:
        failed = failures(view)
        if failed:
            raise StrictFailure(f"under --strict: {'; '.join(failed)}.")


def failures(view: "RunView") -> list[str]:
    """What --strict does not accept, in words."""
    if view.observed is None:
        return ["no cell has finished"]
    found = [
        f"claim {v.status}: {printable(v.claim.statement)}" for v in view.observed.verdicts if v.status != "supported"
    ]
    return found + [f"warning {w.number}: {w.title}" for w in view.observed.checks.warnings]


def _summary(view: "RunView") -> None:
    from advgen.experiments.report import words

    click.echo(printable(str(view.study.get("question", ""))))
    if view.observed is None:
        click.echo("No cell has finished; the same command goes on.")
        return
    if view.matrix:
        click.echo("\nRight, or adversarial and rejected, under the worst attack (95% interval):\n")
        several = len({(m.data, m.target) for m in view.matrix}) > 1
        headings = [*(["data", "target"] if several else []), "defense", "budget", "clean", "oblivious", "transfer",
                    "adaptive", "n"]  # fmt: skip
        lines = [
            [
                *([words.friendly(m.data), words.friendly(m.target)] if several else []),
                words.defense(m.defense) + (" (NON-ADAPTIVE)" if m.non_adaptive else ""),
                words.budget(m.budget, m.radius),
                _rate(m.clean),
                *(_standing(s) for s in (m.oblivious, m.transfer, m.adaptive)),
                str(m.clean.n),
            ]
            for m in view.matrix
        ]
        print_table(headings, lines)
    for v in view.observed.verdicts:
        value = "" if v.value is None else f" ({v.claim.metric} {words.number(v.value)}, n = {v.n})"
        click.echo(f"\n{v.status}{', post hoc' if v.post_hoc else ''}: {printable(v.claim.statement)}{value}")
        if v.note:
            click.echo(f"  {printable(v.note)}")
    for w in view.observed.checks.warnings:
        click.echo(f"\nwarning {w.number}, {w.title}: {printable(w.detail)}")


def _rate(rate: "Rate") -> str:
    from advgen.experiments.report import words

    return words.told(rate)


def _standing(standing: "Standing") -> str:
    return standing.missing or _rate(standing.joint)


def told_scores(result: "ScoresResult") -> None:
    """Prints what a detector's scores say, and where the page lies."""
    click.echo(result.summary)
    click.echo(f"\nreport  {result.page}")
