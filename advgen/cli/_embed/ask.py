"""Ask vectors for the neighbours of a word and for the fourth word of an analogy."""

from pathlib import Path

import click

from advgen.cli._embed.options import (
    mapped_option,
    method_option,
    most_frequent_option,
    number_option,
    tell_rare,
    told,
    vectors_type,
)
from advgen.cli._options import examples, json_option, print_json, print_table


@click.command(
    "nearest",
    epilog=examples(
        "advgen embed nearest wiki.safetensors king queen", "advgen embed nearest glove.6B.100d.txt insulin -n 5 --json"
    ),
)
@click.argument("file", type=vectors_type)
@click.argument("words", nargs=-1, required=True)
@number_option
@most_frequent_option
@mapped_option
@json_option
def nearest(
    file: Path, words: tuple[str, ...], number: int, most_frequent: int | None, *, mapped: bool, as_json: bool
) -> None:
    """The words of the highest cosine with each of WORDS. A word without a vector is refused."""
    from advgen.embeddings import formats

    vectors = formats.load(file, most_frequent=most_frequent, mapped=mapped)
    found = {word: vectors.nearest(word, number) for word in words}
    if as_json:
        print_json({word: [n._asdict() for n in neighbours] for word, neighbours in found.items()})
        return
    click.echo(told(file, vectors), err=True)
    tell_rare(vectors, words)
    print_table(
        ["WORD", "COSINE", "NEIGHBOUR"], [[w, f"{n.score:.3f}", n.word] for w, list_ in found.items() for n in list_]
    )


@click.command(
    "analogy",
    epilog=examples(
        "advgen embed analogy wiki.safetensors man king woman",
        "advgen embed analogy wiki.safetensors france paris italy --method 3CosMul -n 3",
    ),
)
@click.argument("file", type=vectors_type)
@click.argument("a")
@click.argument("b")
@click.argument("c")
@method_option
@number_option
@most_frequent_option
@mapped_option
@json_option
def analogy(
    file: Path, a: str, b: str, c: str, method: str, number: int, most_frequent: int | None,
    *, mapped: bool, as_json: bool,
) -> None:  # fmt: skip
    """What is to C as B is to A; the three words themselves are never the answer."""
    from advgen.embeddings import formats

    vectors = formats.load(file, most_frequent=most_frequent, mapped=mapped)
    found = vectors.analogy(a, b, c, n=number, method=method)  # type: ignore[arg-type]
    if as_json:
        print_json([n._asdict() for n in found])
        return
    click.echo(told(file, vectors), err=True)
    tell_rare(vectors, (a, b, c))
    click.echo(f"{a} : {b} = {c} : ?", err=True)
    print_table(["SCORE", "WORD"], [[f"{n.score:.3f}", n.word] for n in found])
