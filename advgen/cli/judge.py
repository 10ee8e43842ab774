"""Judge anybody's finished images, or a detector's scores: intervals, warnings and page."""

import sys
from pathlib import Path

import click

from advgen.cli._options import device_option, examples, out_option, seed_option, strict_option
from advgen.cli._parts import (
    budget_of,
    defense_of,
    defense_option,
    goal_option,
    labels_option,
    part_of,
    size_option,
)


@click.command(
    "judge",
    epilog=examples(
        'advgen judge clean/ adversarial/ --target digits_classifier --labels labels.csv --budget "Linf 8/255"',
        "advgen judge --scores detector.csv",
    ),
)
@click.argument("originals", required=False)
@click.argument("adversarials", required=False)
@click.option("--target", help="Network: a name, .safetensors file or module:function.")
@click.option("--budget", help='What the images must stay inside, e.g. "Linf 8/255".')
@goal_option
@defense_option
@labels_option
@size_option
@click.option("--scores", help="CSV of a detector's scores: columns score and fake; id, split and group if there.")
@seed_option
@click.option("--repeats", type=click.IntRange(1), default=1, show_default=True, help="Judgings of a random defense.")
@device_option
@out_option("Folder of the run; default judged/.", default="judged")
@strict_option
def command(
    originals: str | None,
    adversarials: str | None,
    target: str | None,
    budget: str | None,
    goal: str,
    defenses: tuple[str, ...],
    labels: str | None,
    size: int | None,
    scores: str | None,
    seed: int,
    repeats: int,
    device: str,
    out: Path,
    *,
    strict: bool,
) -> None:
    """Judge anybody's finished images, or a detector's scores: intervals, warnings and page.

    ORIGINALS and ADVERSARIALS are two files, or two folders whose images have the same relative paths.
    """
    from advgen.core.errors import BadArgument

    if scores is not None:
        if originals is not None:
            raise BadArgument("give either two folders of images or --scores, not both.")
        from advgen.cli._report import told_scores
        from advgen.experiments.scores import judge_scores

        told_scores(judge_scores(scores, out))
        return
    if originals is None or adversarials is None or target is None:
        raise BadArgument("judge needs ORIGINALS, ADVERSARIALS and --target, or --scores CSV.")
    from advgen.cli._progress import following
    from advgen.cli._report import told
    from advgen.core.device import set_threads
    from advgen.experiments.finished import judge_finished

    set_threads()
    with following(sys.stderr) as tell:
        store = judge_finished(
            originals,
            adversarials,
            part_of(target),
            out,
            labels=labels,
            goal=part_of(goal),
            budget=None if budget is None else budget_of(budget),
            defenses=[defense_of(d) for d in defenses],
            size=size,
            seed=seed,
            repeats=repeats,
            device=None if device == "auto" else device,
            say=lambda sentence: click.echo(sentence, err=True),
            tell=tell,
        )
    told(store, strict=strict)
