"""Write vectors in another format."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from advgen.cli._embed.options import file_type, most_frequent_option, told, vectors_type
from advgen.cli._options import examples

if TYPE_CHECKING:
    from advgen.core.specs import Card
    from advgen.embeddings.vectors import Vectors

FORMATS = {".vec": "word2vec-text", ".bin": "word2vec-binary", ".txt": "glove"}


@click.command(
    "convert",
    epilog=examples(
        "advgen embed convert glove.6B.300d.txt glove.safetensors --half",
        "advgen embed convert wiki.safetensors wiki.vec --most-frequent 100000",
    ),
)
@click.argument("file", type=vectors_type)
@click.argument("out", type=file_type)
@click.option("--half", is_flag=True, help=".safetensors: 16 bits a number, half the size.")
@most_frequent_option
def convert(file: Path, out: Path, most_frequent: int | None, *, half: bool) -> None:
    """Write the vectors of FILE as OUT: .safetensors (with a card), .vec, .bin (word2vec) or .txt (GloVe).

    Vectors in .safetensors can stay mapped: --mapped opens them without reading their numbers.
    """
    from advgen.core.errors import BadArgument
    from advgen.embeddings import formats

    if out.suffix != ".safetensors" and out.suffix not in FORMATS:
        raise BadArgument(f"OUT must end in .safetensors, .vec, .bin or .txt, got {out.name!r}.")
    if half and out.suffix != ".safetensors":
        raise BadArgument(f"--half belongs to .safetensors; {out.name} holds its numbers as they are.")
    vectors = formats.load(file, most_frequent=most_frequent)
    click.echo(told(file, vectors), err=True)
    if out.suffix == ".safetensors":
        card = _card(file, out, vectors)
        if most_frequent:
            card = card._replace(args={**card.args, "most_frequent": most_frequent})
        formats.save(out, vectors, card, half=half)
    else:
        formats.export(out, vectors, FORMATS[out.suffix])  # type: ignore[arg-type]
    click.echo(str(out))


def _card(file: Path, out: Path, vectors: "Vectors") -> "Card":
    """Of our own files the card goes with them; of a stranger's nothing is known but its name, hash and size."""
    from advgen.core.checkpoints import read_card
    from advgen.core.files import sha256
    from advgen.core.specs import Card

    size = {"words": len(vectors), "dim": vectors.dim}
    if file.suffix == ".safetensors":
        card = read_card(file)
        return card._replace(name=out.stem, metrics={**card.metrics, **size})
    return Card(
        name=out.stem, kind="vectors", recipe="converted", args={"from": file.name}, seed=0, data_hash=sha256(file),
        file_hash="", metrics=size, cost={}, licence="as the file it was made from",
    )  # fmt: skip
