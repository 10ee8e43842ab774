"""Compare two files of vectors."""

from pathlib import Path

import click

from advgen.cli._embed.options import file_type, number_option, rho
from advgen.cli._options import examples, json_option, print_json, print_pairs, print_table


@click.command(
    "compare",
    epilog=examples(
        "advgen embed compare wiki.safetensors pubmed.safetensors --pairs EN-MEN-TR-3k.txt",
        "advgen embed compare seed0.safetensors seed1.safetensors --frequent 10000",
    ),
)
@click.argument("one", type=file_type)
@click.argument("other", type=file_type)
@click.option("--pairs", multiple=True, type=file_type, help="Word pairs; both are judged on those that both know.")
@click.option("--frequent", type=click.IntRange(1), default=1000, show_default=True, help="Words asked for neighbours.")
@number_option
@json_option
def compare(one: Path, other: Path, pairs: tuple[Path, ...], frequent: int, number: int, *, as_json: bool) -> None:
    """Compare two files of vectors on the words that both know: shared neighbours, and scores on the same pairs."""
    from advgen.embeddings import formats, judging

    first, second = formats.load(one), formats.load(other)
    shared = [w for w in first.words if w in second]
    common, asked = judging.overlap(first, second, words=frequent, n=number)
    restricted = [v.only(shared) for v in (first, second)]
    scores = {
        path.name: [judging.similarity(v, listed) for v in restricted]
        for path in pairs
        for listed in [judging.read_pairs(path)]
    }
    if as_json:
        print_json(
            {
                "shared_words": len(shared),
                "neighbours": {"shared": common, "n": number, "words": asked},
                "similarity": {name: [s._asdict() for s in both] for name, both in scores.items()},
            }
        )
        return
    print_pairs(
        {
            "words": f"{len(first):,} and {len(second):,}, {len(shared):,} in both",
            f"shared of {number} neighbours": f"{common:.3f} over the {asked:,} most frequent shared words",
        }
    )
    if scores:
        print_table(
            ["PAIRS", "N", one.name, other.name],
            [[name, f"{a.n}/{a.pairs}", rho(a), rho(b)] for name, (a, b) in scores.items()],
        )
