"""What the commands under `advgen embed` share: options, and how their results are printed."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from advgen.embeddings.judging import Similarity

file_type = click.Path(path_type=Path)
most_frequent_option = click.option(
    "--most-frequent", type=click.IntRange(1), help="Use only the first so many words of the vectors."
)
method_option = click.option(
    "--method", type=click.Choice(["3CosAdd", "3CosMul"]), default="3CosAdd", show_default=True, help="Of analogies."
)
number_option = click.option("-n", "--number", type=click.IntRange(1), default=10, show_default=True, help="How many.")


def tokens_of(file: Path) -> int | None:
    """How many tokens the vectors come from, where their card says so."""
    from advgen.core.checkpoints import read_card

    return read_card(file).metrics.get("tokens") if file.suffix == ".safetensors" else None


def rho(result: "Similarity") -> str:
    if result.spearman is None:
        return "-"
    return f"{result.spearman:.3f} [{result.low:.3f}, {result.high:.3f}]"


def named(words: tuple[str, ...]) -> str:
    shown = ", ".join(words[:12])
    return f"{len(words)}: {shown}{', …' if len(words) > 12 else ''}" if words else "none"
