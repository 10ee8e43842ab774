"""What a command tells of a run when it is done: matrix, verdicts, warnings, and where the page lies."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._options import print_table, printable
from advgen.core.errors import StrictFailure

MATRIX_FIELDS = ("data", "split", "target", "goal", "defense", "budget", "radius", "radius_value")

if TYPE_CHECKING:
    from advgen.experiments.report.run import RunView
    from advgen.experiments.scores import ScoresResult
    from advgen.experiments.stats import Rate
    from advgen.experiments.store import Store
    from advgen.experiments.tables import Standing


def told(store: "Store", *, strict: bool = False) -> Path:
    """Builds the page, prints a summary, and returns where the page lies.

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
        refuse(failures(view))
    return page


def refuse(failed: list[str]) -> None:
    """Ends a strict command when something failed.

    Raises:
        StrictFailure: something did.
    """
    if failed:
        raise StrictFailure(f"under --strict: {'; '.join(failed)}.")


def failures(view: "RunView") -> list[str]:
    """What --strict does not accept, in words."""
    if view.observed is None:
        return ["no cell has finished"]
    found = [
        f"claim {v.status}: {printable(v.claim.statement)}" for v in view.observed.verdicts if v.status != "supported"
    ]
    found += [f"{name} broke off" for name, _ in view.failed]
    return found + [f"warning {w.number}: {w.title}" for w in view.observed.checks.warnings]


def as_json(view: "RunView", page: Path) -> dict[str, Any]:
    """What the page says, for a machine."""
    found = view.observed
    return {
        "question": view.study.get("question"),
        "report": str(page),
        "cells": {"finished": len(view.cells) + len(view.measured), "planned": view.planned},
        "failed": [{"measurement": name, "error": sentence} for name, sentence in view.failed],
        "claims": []
        if found is None
        else [{**v._asdict(), "claim": v.claim.canonical(), "interval": v.interval} for v in found.verdicts],
        "warnings": [] if found is None else [w._asdict() for w in found.checks.warnings],
        "checks_not_run": [] if found is None else [list(n) for n in found.checks.not_run],
        "matrix": [
            {
                **{name: _plain(getattr(line, name)) for name in MATRIX_FIELDS},
                "clean": line.clean._asdict(),
                **{k: _standing_json(getattr(line, k)) for k in ("oblivious", "transfer", "adaptive")},
                "non_adaptive": line.non_adaptive,
            }
            for line in (view.matrix if found is not None else ())
        ],
        "measured": [{k: _plain(v) for k, v in line.items()} for line in view.means.to_dict("records")],
    }


def _standing_json(standing: "Standing") -> dict[str, Any]:
    if standing.missing:
        return {"missing": standing.missing}
    return {"joint": standing.joint._asdict(), "robust_accuracy": standing.robust._asdict(),
            "attacks": list(standing.attacks), "incomplete": standing.incomplete}  # fmt: skip


def _plain(value: Any) -> Any:
    return None if value != value else value


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
    if view.measured:
        _measured(view)
    for v in view.observed.verdicts:
        value = "" if v.value is None else f" ({v.claim.what} {words.number(v.value)}, n = {v.n})"
        click.echo(f"\n{v.status}{', post hoc' if v.post_hoc else ''}: {printable(v.claim.statement)}{value}")
        if v.note:
            click.echo(f"  {printable(v.note)}")
    for w in view.observed.checks.warnings:
        click.echo(f"\nwarning {w.number}, {w.title}: {printable(w.detail)}")


def _measured(view: "RunView") -> None:
    """Arms by quantities, a table for each measure and label."""
    from advgen.experiments.report.measured import blocks, heading, of_block
    from advgen.experiments.report.xy import named, shown

    for measure, label in blocks(view):
        means = of_block(view.means, measure, label)
        quantities = [q for (m, _), q in view.quantities.items() if m == measure and q.name in set(means["quantity"])]
        click.echo(f"\n{heading(measure, label)} (means, 95% intervals):\n")
        lines = []
        for arm, some in means.groupby("arm", sort=False):
            by_name = {line["quantity"]: line for line in some.to_dict("records")}
            found = [by_name.get(q.name) for q in quantities]
            told = [
                "–" if line is None else shown(line["value"], q)
                + ("" if line["low"] != line["low"] or line["low"] is None
                   else f" [{shown(line['low'], q)}, {shown(line['high'], q)}]")
                for line, q in zip(found, quantities, strict=True)
            ]  # fmt: skip
            lines.append([str(arm), *told, str(max(line["seeds"] for line in found if line is not None))])
        print_table(["arm", *(named(q) for q in quantities), "seeds"], lines)
    for name, sentence in view.failed:
        click.echo(f"\n{printable(name)} broke off: {printable(sentence)}; the same command tries it again.")


def _rate(rate: "Rate") -> str:
    from advgen.experiments.report import words

    return words.told(rate)


def _standing(standing: "Standing") -> str:
    return standing.missing or _rate(standing.joint)


def told_scores(result: "ScoresResult") -> None:
    """Prints what a detector's scores say, and where the page lies."""
    click.echo(result.summary)
    click.echo(f"\nreport  {result.page}")
