"""What the commands under `advgen embed` share: options, and how their results are printed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from advgen.embeddings.judging import Difference, Similarity
    from advgen.embeddings.vectors import Vectors


class _VectorsType(click.ParamType):
    """A file of vectors, or the name of shipped ones."""

    name = "vectors"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from advgen.embeddings.formats import find

        return value if isinstance(value, Path) else find(str(value))


file_type = click.Path(path_type=Path)
vectors_type = _VectorsType()
most_frequent_option = click.option(
    "--most-frequent", type=click.IntRange(1), help="Use only the first so many words of the vectors."
)
mapped_option = click.option(
    "--mapped", is_flag=True, help="Leave the numbers in their file (.safetensors): for vectors larger than memory."
)
method_option = click.option(
    "--method", type=click.Choice(["3CosAdd", "3CosMul"]), default="3CosAdd", show_default=True, help="Of analogies."
)
number_option = click.option("-n", "--number", type=click.IntRange(1), default=10, show_default=True, help="How many.")


def tokens_of(file: Path) -> int | None:
    """How many tokens the vectors come from, where their card says so."""
    from advgen.core.checkpoints import read_card

    return read_card(file).metrics.get("tokens") if file.suffix == ".safetensors" else None


def told(file: Path, vectors: "Vectors") -> str:
    """One line: which vectors, and of how many tokens."""
    tokens = tokens_of(file)
    return f"{file}: {len(vectors):,} words, {f'from {tokens:,} tokens' if tokens else 'corpus size not known'}"


def tell_rare(vectors: "Vectors", words: Sequence[str]) -> None:
    """On stderr: which of these words are too rare for what is said of them to be more than chance."""
    from advgen.embeddings.shift import RARE

    if vectors.counts is None:
        return
    counted = {w: int(vectors.counts[vectors.row[w]]) for w in words}
    rare = [f"{w} {n}" for w, n in counted.items() if n < RARE]
    if rare:
        click.echo(f"note: under {RARE} times in the corpus, so mostly chance: {named(rare)}.", err=True)


def names_of(files: Sequence[Path]) -> list[str]:
    """A name for each file: its last part, or all of it where two would be called the same."""
    return [f.name if [g.name for g in files].count(f.name) == 1 else str(f) for f in files]


def rho(result: "Similarity | Difference") -> str:
    """A rank correlation, or a difference of two, with its interval."""
    value = result.spearman if hasattr(result, "spearman") else result.value
    return "-" if value is None else f"{value:.3f} [{result.low:.3f}, {result.high:.3f}]"


def named(words: Sequence[str]) -> str:
    shown = ", ".join(words[:12])
    return f"{len(words)}: {shown}{', …' if len(words) > 12 else ''}" if words else "none"
