"""Parts as they are written on a command line: `image/pgd,steps=40`, "Linf 8/255", `purify/jpeg,quality=50`."""

from collections.abc import Sequence

import click

from advgen.core.errors import BadArgument
from advgen.core.specs import BudgetSpec, Part, Scalar, radius_of

budget_option = click.option(
    "--budget", "budgets", multiple=True, help='Norm and radius, e.g. "Linf 8/255"; may be repeated.'
)
goal_option = click.option("--goal", default="untargeted", show_default=True, help="Goal, e.g. targeted,wanted=3.")
target_option = click.option(
    "--target",
    required=True,
    help="Network: a name, .safetensors file, module:function, clip:PROMPT|PROMPT or matcher:NAME,gallery=FOLDER.",
)
defense_option = click.option(
    "--defense", "defenses", multiple=True, help="Defense, e.g. purify/jpeg,quality=50; + joins several."
)
size_option = click.option("--size", type=click.IntRange(8, 4096), help="Cut the centre square and scale to this size.")
labels_option = click.option("--labels", help="CSV with the columns file and label.")


def part_of(text: str, extra: Sequence[str] = ()) -> Part:
    """ "name,key=value,..." with more "key=value" pairs from `--arg`."""
    name, *pairs = [piece.strip() for piece in text.split(",")]
    args: dict[str, Scalar] = {}
    for pair in [*pairs, *extra]:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise BadArgument(f"an argument is written name=value, got {pair!r}.")
        args[key.strip()] = scalar(value.strip())
    return Part.of(name, args)


def defense_of(text: str) -> tuple[Part, ...]:
    """Parts joined with +; "none" = no defense."""
    return () if text == "none" else tuple(part_of(piece) for piece in text.split("+"))


def budget_of(text: str) -> BudgetSpec:
    """ "Linf 8/255"."""
    name, _, radius = text.strip().partition(" ")
    if not radius.strip():
        raise BadArgument(f"a budget is a norm and a radius, such as 'Linf 8/255', got {text!r}.")
    radius_of(name, radius.strip())
    return BudgetSpec(name, radius.strip())


def scalar(text: str) -> Scalar:
    """Text as it would stand in YAML: true, null, 40, 1e-8; 8/255 stays text, which counts as a number."""
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if lowered in ("none", "null"):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
