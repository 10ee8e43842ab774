"""Judge vectors by word pairs, analogies and how often words occur."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._embed.options import (
    file_type,
    mapped_option,
    method_option,
    most_frequent_option,
    named,
    names_of,
    rho,
    tokens_of,
    told,
    vectors_type,
)
from advgen.cli._options import examples, json_option, print_json, print_table

if TYPE_CHECKING:
    from advgen.embeddings.coverage import Occurrences
    from advgen.embeddings.judging import Analogies, Section, Similarity
    from advgen.embeddings.vectors import Vectors


@click.command(
    "evaluate",
    epilog=examples(
        "advgen embed evaluate wiki.safetensors --pairs EN-WS-353-ALL.txt --analogies questions-words.txt",
        "advgen embed evaluate wiki.safetensors pubmed.safetensors --vocabulary words.txt --json",
    ),
)
@click.argument("files", nargs=-1, type=vectors_type)
@click.option("--pairs", multiple=True, type=file_type, help="Word pairs with people's scores; may be repeated.")
@click.option("--analogies", multiple=True, type=file_type, help="Questions of four words; may be repeated.")
@click.option("--vocabulary", type=file_type, help="Words, one a line: how often each occurs in each corpus.")
@click.option(
    "--tokens", multiple=True, type=file_type, help="With --vocabulary: a corpus to count in, words apart by spaces."
)
@method_option
@most_frequent_option
@mapped_option
@json_option
def evaluate(
    files: tuple[Path, ...], pairs: tuple[Path, ...], analogies: tuple[Path, ...], vocabulary: Path | None,
    tokens: tuple[Path, ...], method: str, most_frequent: int | None, *, mapped: bool, as_json: bool,
) -> None:  # fmt: skip
    """Judge FILES of vectors: Spearman's rho with its 95% interval, analogies by section, coverage.

    Pairs and questions with a word that has no vector are left out, counted and named, never scored. Words of
    --vocabulary are counted in the corpus of each of FILES, as its vectors tell it, and in each of --tokens (train
    keeps such files in its work folder); no claim should rest on those that are named as too rare.
    """
    from advgen.core.errors import BadArgument
    from advgen.embeddings import coverage, formats, judging, wordsets

    if not (pairs or analogies or vocabulary):
        raise BadArgument("nothing to judge by was given; name --pairs, --analogies or --vocabulary.")
    if not files and not tokens:
        raise BadArgument("no file of vectors was given; name one or more.")
    if tokens and not vocabulary:
        raise BadArgument("--tokens is a corpus to count words in; name them by --vocabulary.")
    pair_sets = [wordsets.read_pairs(path) for path in pairs]
    question_sets = [wordsets.read_analogies(path) for path in analogies]
    asked = wordsets.read_words(vocabulary) if vocabulary else []
    of_tokens = {name: coverage.in_tokens(path, asked) for name, path in zip(names_of(tokens), tokens)}
    results: dict[str, Any] = {}
    counted: dict[str, dict[str, Occurrences]] = {}
    for file, name in zip(files, names_of(files)):
        vectors = formats.load(file, most_frequent=most_frequent, mapped=mapped)
        similar = {n: judging.similarity(vectors, listed) for n, listed in zip(names_of(pairs), pair_sets)}
        answered = {
            n: judging.analogies(vectors, sections, method=method)  # type: ignore[arg-type]
            for n, sections in zip(names_of(analogies), question_sets)
        }
        counted[name] = coverage.in_vectors(vectors, asked, least=_least(file, vectors, most_frequent))
        results[str(file)] = {
            "words": len(vectors),
            "tokens": tokens_of(file),
            "similarity": {n: s._asdict() for n, s in similar.items()},
            "analogies": {n: _analogies_dict(a) for n, a in answered.items()},
            "occurrences": {word: found._asdict() for word, found in counted[name].items()},
        }
        if not as_json:
            click.echo(told(file, vectors))
            _print_judgement(similar, answered)
    for path, (name, found) in zip(tokens, of_tokens.items()):
        counted[name] = found
        results[str(path)] = {"occurrences": {word: times._asdict() for word, times in found.items()}}
    if as_json:
        print_json(results)
    elif asked:
        _print_occurrences(asked, counted)


def _least(file: Path, vectors: "Vectors", most_frequent: int | None) -> int | None:
    """How often a word had to occur to be sure of a vector, as far as the card tells.

    A limit on the vocabulary may have been lifted for rarer words, so it is the count at the limit that says it.
    """
    from advgen.core.checkpoints import read_card

    args = read_card(file).args if file.suffix == ".safetensors" else {}
    limits = [n for n in (*map(args.get, ("max_words", "words", "most_frequent")), most_frequent) if isinstance(n, int)]
    if limits and vectors.counts is not None and min(limits) <= len(vectors):
        return int(vectors.counts[min(limits) - 1]) + 1
    least = args.get("min_count")
    return least if isinstance(least, int) else None


def _analogies_dict(result: "Analogies") -> dict[str, Any]:
    def as_dict(section: "Section") -> dict[str, Any]:
        return {**section._asdict(), "accuracy": section.accuracy}

    sections = [as_dict(s) for s in result.sections]
    return {"sections": sections, "total": as_dict(result.total), "unknown": list(result.unknown)}


def _print_judgement(similar: "Mapping[str, Similarity]", answered: "Mapping[str, Analogies]") -> None:
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


def _print_occurrences(asked: Sequence[str], counted: "Mapping[str, Mapping[str, Occurrences]]") -> None:
    """A word a line and a corpus a column; then what is too rare in each."""
    from advgen.embeddings.shift import RARE

    print_table(["WORD", *counted], [[word, *(str(found[word]) for found in counted.values())] for word in asked])
    for name, found in counted.items():
        rare = [word for word in asked if found[word].below(RARE)]
        if rare:
            click.echo(f"under {RARE} occurrences in {name}, too few for a claim: {', '.join(rare)}")
