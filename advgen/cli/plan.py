"""Say what a study needs before it runs: images for its claims, hours, memory."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from advgen.cli._options import device_option, examples, json_option, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from advgen.experiments.plan import Plan


@click.command("plan", epilog=examples("advgen plan dae_defense", "advgen plan my_study.yaml --json"))
@click.argument("study")
@device_option
@json_option
def command(study: str, device: str, *, as_json: bool) -> None:
    """Say what a study needs before it runs: images for its claims, hours, memory.

    One batch of each kind of cell is run for the estimate; nothing is stored.
    """
    from advgen.core.device import set_threads
    from advgen.experiments.plan import plan_of
    from advgen.experiments.study import load

    set_threads()
    loaded = load(study)
    plan = plan_of(loaded, device=None if device == "auto" else device, run=Path("runs") / loaded.name)
    if as_json:
        print_json(plan.to_json())
        return
    attacks = {
        "cells": f"{plan.cells}, of them {plan.baselines} clean baselines",
        "attacked image sets": str(plan.attacked),
        "time on one core": f"about {plan.hours:.2f} h",
        "peak memory": f"about {plan.gigabytes:.1f} GiB",
        "disk": f"about {plan.megabytes:.0f} MB",
    }
    print_pairs({**(attacks if plan.cells else {}), **(_measuring(plan) if plan.measurements else {})})
    if plan.claims:
        click.echo()
        print_table(
            ["images" if plan.cells else "seeds or arms", "needed", "smallest difference", "claim"],
            [[str(c.n), c.needed, c.detectable, c.statement] for c in plan.claims],
        )


def _measuring(plan: "Plan") -> dict[str, str]:
    known = "" if plan.measuring_hours is None else f"about {plan.measuring_hours:.2f} h on one core"
    unknown = f"not known of {len(plan.unknown)} arms, such as {plan.unknown[0]}" if plan.unknown else ""
    trained = (
        f"; {len(plan.to_train)} checkpoints are trained first, such as {plan.to_train[0]}" if plan.to_train else ""
    )
    return {"measurements": str(plan.measurements), "time to measure": (known or unknown) + trained}
