"""Say what a study needs before it runs: images for its claims, hours, memory."""

import click

from advgen.cli._options import device_option, examples, json_option, print_json, print_pairs, print_table


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
    plan = plan_of(load(study), device=None if device == "auto" else device)
    if as_json:
        print_json(plan.to_json())
        return
    print_pairs(
        {
            "cells": f"{plan.cells}, of them {plan.baselines} clean baselines",
            "attacked image sets": str(plan.attacked),
            "time on one core": f"about {plan.hours:.2f} h",
            "peak memory": f"about {plan.gigabytes:.1f} GiB",
            "disk": f"about {plan.megabytes:.0f} MB",
        }
    )
    if plan.claims:
        click.echo()
        print_table(
            ["images", "needed", "smallest difference", "claim"],
            [[str(c.n), c.needed, c.detectable, c.statement] for c in plan.claims],
        )
