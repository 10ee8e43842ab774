"""Attack a file, a folder or a data set, and save the images with a table."""

import sys
from pathlib import Path

import click

from advgen.cli._options import device_option, examples, out_option, seed_option
from advgen.cli._parts import (
    budget_of,
    budget_option,
    defense_of,
    defense_option,
    goal_option,
    labels_option,
    part_of,
    size_option,
    target_option,
)


@click.command(
    "attack",
    epilog=examples(
        'advgen attack image/pgd digits --target digits_classifier --budget "Linf 16/255" --count 64',
        "advgen attack image/pgd,steps=100 image/fgsm photos/ --target my_models.py:build --labels labels.csv",
    ),
)
@click.argument("names", nargs=-1, required=True, metavar="NAME... IMAGES")
@target_option
@budget_option
@goal_option
@defense_option
@click.option("--knowledge", default="oblivious", show_default=True, help="What the attacker knows of the defense.")
@click.option("--surrogate", help="Network that a transfer attack is made on.")
@click.option("--count", type=click.IntRange(0), default=64, show_default=True, help="Images of a data set; 0 = all.")
@labels_option
@size_option
@seed_option
@device_option
@out_option("Folder for images, table and report; default attacked/.", default="attacked")
def command(
    names: tuple[str, ...],
    target: str,
    budgets: tuple[str, ...],
    goal: str,
    defenses: tuple[str, ...],
    knowledge: str,
    surrogate: str | None,
    count: int,
    labels: str | None,
    size: int | None,
    seed: int,
    device: str,
    out: Path,
) -> None:
    """Attack a file, a folder or a data set, and save the images with a table.

    NAME is one from `advgen list attacks`, with arguments behind commas; IMAGES is a file, a folder, or a name from
    `advgen list data`.
    """
    from advgen.cli._progress import following
    from advgen.cli._report import told
    from advgen.core.device import set_threads
    from advgen.core.errors import BadArgument
    from advgen.experiments.attacked import attack_images

    *attacks, place = names
    if not attacks:
        raise BadArgument(f"give at least one attack before the images, e.g. `advgen attack image/pgd {place}`.")
    set_threads()
    with following(sys.stderr) as tell:
        store = attack_images(
            [part_of(name) for name in attacks],
            place,
            part_of(target),
            out,
            budgets=[budget_of(b) for b in budgets or ("Linf 8/255",)],
            goal=part_of(goal),
            defenses=[defense_of(d) for d in defenses],
            knowledge=knowledge,
            surrogate=None if surrogate is None else part_of(surrogate),
            count=count,
            labels=labels,
            size=size,
            seed=seed,
            device=None if device == "auto" else device,
            say=lambda sentence: click.echo(sentence, err=True),
            tell=tell,
        )
    click.echo(f"images: {out / 'images'}")
    told(store)
