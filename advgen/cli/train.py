"""Train a network by its recipe, or go on with a training that was stopped."""

from pathlib import Path

import click

from advgen.cli._options import device_option, examples, out_option, print_json, seed_option


@click.command(
    "train",
    epilog=examples("advgen train digits_classifier", "advgen train dae --arg data=digits --arg sigma=0.2 --seed 1"),
)
@click.argument("recipe")
@click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="An argument of the recipe; may be repeated.")
@out_option("Folder for the checkpoint and its card.", default="trained")
@seed_option
@device_option
@click.option("--fresh", is_flag=True, help="Start anew, even where a training was stopped.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many steps: a trial.")
def command(
    recipe: str, args: tuple[str, ...], out: Path, seed: int, device: str, limit: int | None, *, fresh: bool
) -> None:
    """Train a network by its recipe, or go on with a training that was stopped.

    RECIPE is a name from `advgen list recipes`; `advgen show NAME` has its arguments. A training that was killed goes
    on with the same command and ends in the same weights.
    """
    from advgen.cli._parts import part_of
    from advgen.core import registry
    from advgen.core.device import choose, set_threads
    from advgen.core.meter import Meter

    built = registry.create("recipes", recipe, **dict(part_of(recipe, args).args))
    where = choose(None if device == "auto" else device)
    click.echo(f"device: {where}", err=True)
    set_threads()
    card = built.train(out, seed=seed, device=where.device, resume=not fresh, limit=limit, meter=Meter())
    click.echo(f"{out / card.name}.safetensors")
    print_json(card.metrics)
