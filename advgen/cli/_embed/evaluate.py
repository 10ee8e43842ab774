"""Judge vectors by word pairs, analogies and how often words occur."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._embed.options import file_type, method_option, most_frequent_option, named, rho, tokens_of
from advgen.cli._options import examples, json_option, print_json, print_table

if TYPE_CHECKING:
    from advgen.embeddings.judging import Analogies, Section, Similarity
    from advgen.embeddings.vectors import Vectors

RARE = 20  # occurrences; no claim should rest on a word with fewer


@click.command(
    "evaluate",
    epilog=examples(
        "advgen embed evaluate wiki.safetensors --pairs EN-WS-353-ALL.txt --analogies questions-words.txt",
        "advgen embed evaluate wiki.safetensors pubmed.safetensors --vocabulary words.txt --json",
    ),
)
@click.argument("files", nargs=-1, required=True, type=file_type)
@click.option("--pairs", multiple=True, type=file_type, help="Word pairs with people's scores; may be repeated.")
@click.option("--analogies", multiple=True, type=file_type, help="Questions of four words; may be repeated.")
@click.option("--vocabulary", type=file_type, help="Words, one a line: how often each occurs in the corpus.")
@method_option
@most_frequent_option
@json_option
def evaluate(
    files: tuple[Path, ...], pairs: tuple[Path, ...], analogies: tuple[Path, ...], vocabulary: Path | None,
    method: str, most_frequent: int | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Judge FILES of vectors: Spearman's rho with its 95% interval, analogies by section, coverage.

    Pairs and questions with a word that has no vector are left out, counted and named, never scored.
    """
    from advgen.core.errors import BadArgument
    from advgen.embeddings import formats, judging

    if not (pairs or analogies or vocabulary):
        raise BadArgument("nothing to judge by was given; name --pairs, --analogies or --vocabulary.")
    pair_sets = {path.name: judging.read_pairs(path) for path in pairs}
    question_sets = {path.name: judging.read_analogies(path) for path in analogies}
    asked = judging.read_words(vocabulary) if vocabulary else []
    results: dict[str, Any] = {}
    for file in files:
        vectors = formats.load(file, most_frequent=most_frequent)
        similar = {name: judging.similarity(vectors, listed) for name, listed in pair_sets.items()}
        answered = {
            name: judging.analogies(vectors, sections, method=method)  # type: ignore[arg-type]
            for name, sections in question_sets.items()
        }
        counted = {word: _occurrences(vectors, word) for word in asked}
        results[str(file)] = {
            "words": len(vectors),
            "tokens": tokens_of(file),
            "similarity": {name: s._asdict() for name, s in similar.items()},
            "analogies": {name: _analogies_dict(a) for name, a in answered.items()},
            "occurrences": counted,
        }
        if not as_json:
            _print_judgement(file, vectors, similar, answered, counted)
    if as_json:
        print_json(results)


def _occurrences(vectors: "Vectors", word: str) -> int | None:
    """None where the file keeps no counts; 0 stands for fewer than the vocabulary's limit."""
    if vectors.counts is None:
        return None
    return int(vectors.counts[vectors.row[word]]) if word in vectors else 0


def _analogies_dict(result: "Analogies") -> dict[str, Any]:
    def told(section: "Section") -> dict[str, Any]:
        return {**section._asdict(), "accuracy": section.accuracy}

    sections = [told(s) for s in result.sections]
    return {"sections": sections, "total": told(result.total), "unknown": list(result.unknown)}


def _print_judgement(
    file: Path, vectors: "Vectors", similar: "dict[str, Similarity]", answered: "dict[str, Analogies]",
    counted: dict[str, int | None],
) -> None:  # fmt: skip
    tokens = tokens_of(file)
    click.echo(f"{file}: {len(vectors):,} words, {f'from {tokens:,} tokens' if tokens else 'corpus size not known'}")
    if similar:
        rows = [[name, rho(s), f"{s.n}/{s.pairs}", named(s.unknown)] for name, s in similar.items()]
        print_table(["PAIRS", "SPEARMAN [95%]", "N", "UNKNOWN"], rows)
    for name, result in answered.items():
        rows = [
            [s.name, "-" if s.accuracy is None else f"{s.accuracy:.1%}", f"{s.n}/{s.questions}"]
            for s in (*result.sections, result.total)
        ]
        print_table([f"ANALOGIES {name}", "RIGHT", "N"], rows)
        if result.unknown:
            click.echo(f"unknown: {named(result.unknown)}")
    if counted:
        print_table(["WORD", "OCCURRENCES"], [[w, "not kept" if n is None else f"{n:,}"] for w, n in counted.items()])
        rare = [w for w, n in counted.items() if n is not None and n < RARE]
        if rare:
            click.echo(f"under {RARE} occurrences, too few for a claim: {', '.join(rare)}")
