"""Rebuild the page of a run, or print one sample's whole way through it."""

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._options import examples, json_option, print_json, print_table, printable, strict_option

if TYPE_CHECKING:
    from advgen.experiments.report.sample import Step


@click.command("report", epilog=examples("advgen report runs/demo", "advgen report runs/demo --sample digits/test/0"))
@click.argument("run")
@click.option("--sample", metavar="ID", help="Print this sample's whole way instead of making the page.")
@click.option("--open", "open_page", type=click.Choice(["auto", "yes", "no"]), default="auto", show_default=True,
              help="Show the page in a browser; auto: on a terminal with a display.")  # fmt: skip
@json_option
@strict_option
def command(run: str, sample: str | None, open_page: str, *, as_json: bool, strict: bool) -> None:
    """Rebuild the page of a run, or print one sample's whole way through it.

    RUN is the folder of a run. Beside report.html come study.yaml, of attacks rows.parquet, rows.csv, table.csv and
    table.tex, of measurements readings.parquet, readings.csv, curves.csv, measured.csv and measured.tex.
    """
    from advgen.experiments.report.run import RunView
    from advgen.experiments.store import open_run

    store = open_run(run)
    if sample is not None:
        from advgen.experiments.report.sample import read, way

        view = RunView(store)
        steps, readings = way(view, sample), read(view, sample)
        if as_json:
            print_json([*(s._asdict() for s in steps), *readings])
            return
        if steps:
            _print_way(sample, steps)
        if readings:
            _print_readings(readings)
        return
    from advgen.cli._report import as_json as summary_of
    from advgen.cli._report import failures, refuse, told
    from advgen.experiments.report.build import build_view

    if as_json:
        view = RunView(store)
        page = build_view(view)
        print_json(summary_of(view, page))
        if strict:
            refuse(failures(view))
    else:
        page = told(store, strict=strict)
    if open_page == "yes" or (open_page == "auto" and not as_json and _has_display()):
        click.launch(page.resolve().as_uri())


def _has_display() -> bool:
    import os

    return sys.stdout.isatty() and (sys.platform != "linux" or bool(os.environ.get("DISPLAY")))


def _print_readings(readings: "list[dict[str, Any]]") -> None:
    from advgen.experiments.report.words import number

    names = list(dict.fromkeys(name for line in readings for name in line))
    own = [n for n in ("measure", "label", "arm", "seed") if len({str(line[n]) for line in readings}) > 1 or n == "arm"]
    quantities = [n for n in names if n not in ("measure", "label", "arm", "seed")]
    lines = [[*(str(line[n]) for n in own), *(number(line.get(q)) for q in quantities)] for line in readings]
    print_table([*own, *quantities], lines)


def _print_way(sample: str, steps: "list[Step]") -> None:
    click.echo(f"{printable(sample)}, label {printable(steps[0].label)}")
    for (data, target, defense), pipeline in groupby(steps, key=lambda s: (s.data, s.target, s.defense)):
        lines = list(pipeline)
        first = next((s for s in lines if not s.error), lines[0])
        right = {True: "right", False: "wrong", None: "no result"}[first.clean_right]
        click.echo(f"\n{printable(data)}, {printable(target)}, {printable(defense) or 'no defense'}: "
                   f"clean {printable(first.clean_prediction)} ({right})")  # fmt: skip
        attacked = [s for s in lines if s.budget or s.attack != "clean"]
        if attacked:
            headings = ["attack", "budget", "knowledge", "said", "float", "saved", "jpeg75", "Linf", "L2", "LPIPS",
                        "alarm", "forwards", "seconds", "error"]  # fmt: skip
            table = [_line(s) for s in attacked]
            told = [i for i in range(len(headings)) if any(line[i] not in ("", "–") for line in table)]
            print_table([headings[i] for i in told], [[line[i] for i in told] for line in table])


def _line(s: "Step") -> list[str]:
    from advgen.experiments.report.words import number

    won = {True: "yes", False: "no", None: "–"}
    linf = "–" if s.linf is None else f"{255 * s.linf:.0f}/255"
    alarm = "–" if s.alarm is None else f"{s.alarm:+.2f}" + (" rejected" if s.rejected else "")
    said = "–" if s.error else s.prediction + ("" if s.inside is not False else ", outside the budget")
    return [
        s.attack + (" (control)" if s.control else ""), s.budget, s.knowledge, said, won[s.success_float],
        won[s.success_saved] if (s.repeats or 1) == 1 else f"{s.success_probability:.2f} of {s.repeats}",
        won[s.success_jpeg75], linf, number(s.l2), number(s.lpips), alarm, number(s.forwards), number(s.seconds),
        s.error,
    ]  # fmt: skip
