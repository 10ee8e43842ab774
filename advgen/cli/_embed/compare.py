"""Compare two files of vectors: neighbours, alignment, scores, and which words shift."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._embed.options import file_type, named, names_of, number_option, rho, told, vectors_type
from advgen.cli._options import examples, json_option, print_json, print_pairs, print_table, seed_option

if TYPE_CHECKING:
    from advgen.embeddings.alignment import Alignment
    from advgen.embeddings.neighbours import Overlap
    from advgen.embeddings.shift import DomainShift
    from advgen.embeddings.vectors import Vectors


@click.command(
    "compare",
    epilog=examples(
        "advgen embed compare wiki.safetensors pubmed.safetensors --pairs EN-MEN-TR-3k.txt",
        "advgen embed compare wiki.safetensors pubmed.safetensors --one-again wiki-1.safetensors "
        "--other-again pubmed-1.safetensors",
    ),
)
@click.argument("one", type=vectors_type)
@click.argument("other", type=vectors_type)
@click.option("--one-again", multiple=True, type=vectors_type, help="ONE trained again (seed, text): its noise floor.")
@click.option("--other-again", multiple=True, type=vectors_type, help="OTHER trained again: its noise floor.")
@click.option("--pairs", multiple=True, type=file_type, help="Word pairs; both are judged on those that both know.")
@click.option("--translations", type=file_type, help="A word of ONE and of OTHER a line, to align two languages by.")
@click.option("--frequent", type=click.IntRange(1), default=1000, show_default=True, help="Words asked for neighbours.")
@click.option("--shifts", type=click.IntRange(1), default=20, show_default=True, help="Shifted words to print.")
@click.option(
    "--shift-neighbours", type=click.IntRange(1), default=50, show_default=True, help="Neighbours that tell a shift."
)
@number_option
@seed_option
@json_option
def compare(
    one: Path, other: Path, one_again: tuple[Path, ...], other_again: tuple[Path, ...], pairs: tuple[Path, ...],
    translations: Path | None, frequent: int, shifts: int, shift_neighbours: int, number: int, seed: int,
    *, as_json: bool,
) -> None:  # fmt: skip
    """Compare two files of vectors on the words that both know.

    Told are the share of neighbours that both give a word; how often a word finds itself (or its translation) once ONE
    is turned into OTHER's axes, on words that the rotation was not fitted on; scores on the same pairs; and the words
    whose neighbours differ most. What two trainings of one corpus differ by is noise: a shift is claimed only beyond
    it, and only when --one-again or --other-again gives such files: of another seed or, stricter, of other text of
    the same kind.
    """
    from advgen.embeddings import formats, judging, wordsets
    from advgen.embeddings.neighbours import overlap
    from advgen.embeddings.shift import domain_shift

    pair_sets = [wordsets.read_pairs(path) for path in pairs]
    translated = wordsets.read_translations(translations) if translations else None
    first, second = formats.load(one), formats.load(other)
    names = names_of([one, other])
    for file, vectors in ((one, first), (other, second)):
        click.echo(told(file, vectors), err=True)
    for file, again in ((one, one_again), (other, other_again)):
        _tell_other_texts(file, again)
    if translated is not None:
        _compare_languages(first, second, translated, seed=seed, as_json=as_json)
        return
    firsts = [first, *map(formats.load, one_again)]
    seconds = [second, *map(formats.load, other_again)]
    shift = domain_shift(firsts, seconds, n=shift_neighbours) if one_again or other_again else None
    between = overlap(first, second, words=frequent, n=number)
    floors = [
        (name, overlap(vectors, again, words=frequent, n=number))
        for name, (vectors, *others) in zip(names, (firsts, seconds), strict=True)
        for again in others
    ]
    shared = [w for w in first.words if w in second]
    turned, why_not = _aligned(first, second, seed=seed)
    restricted = [vectors.only(shared) for vectors in (first, second)]
    scores = [
        (name, *(judging.similarity(v, listed) for v in restricted), judging.difference(*restricted, listed))
        for name, listed in zip(names_of(pairs), pair_sets, strict=True)
    ]
    if as_json:
        print_json(
            {
                "shared_words": len(shared),
                "neighbours": between._asdict(),
                "floors": [{"of": name, **floor._asdict()} for name, floor in floors],
                "alignment": _alignment_dict(turned) if turned else {"not_aligned": why_not},
                "similarity": {
                    name: {"each": [one_._asdict(), other_._asdict()], "difference": apart._asdict()}
                    for name, one_, other_, apart in scores
                },
                "shift": _shift_dict(shift) if shift else None,
            }
        )
        return
    lines = {"words in both": f"{len(shared):,} of {len(first):,} and {len(second):,}"}
    lines[f"shared of {number} neighbours"] = (
        f"{_share(between)} over the {between.words:,} most frequent of them; by chance {between.chance:.3f}"
    )
    for name, floor in floors:
        lines[f"{name} trained again"] = _share(floor)
    print_pairs({**lines, **(_alignment_lines(turned) if turned else {"not aligned": why_not})})
    if scores:
        print_table(
            ["PAIRS", "N", names[0], names[1], "DIFFERENCE [95%]"],
            [[name, f"{a.n}/{a.pairs}", rho(a), rho(b), rho(apart)] for name, a, b, apart in scores],
        )
    if shift:
        _print_shift(shift, names, shifts)
    else:
        click.echo("no shift is claimed: give vectors of another seed by --one-again or --other-again.")


def _compare_languages(
    first: "Vectors", second: "Vectors", translated: Sequence[tuple[str, str]], *, seed: int, as_json: bool
) -> None:
    """Of two languages the alignment alone can be told; what one of them does not know is left out and named."""
    from advgen.core.errors import BadArgument
    from advgen.embeddings.alignment import align

    known = [(a, b) for a, b in translated if a in first and b in second]
    unknown = [a if a not in first else b for a, b in translated if a not in first or b not in second]
    if not known:
        raise BadArgument(
            f"none of the {len(translated):,} pairs of translations is known to both; are ONE and OTHER swapped?"
        )
    turned = align(first, second, pairs=known, seed=seed)
    if as_json:
        print_json({"alignment": _alignment_dict(turned), "unknown": unknown})
    else:
        print_pairs({**_alignment_lines(turned), "left out": named(unknown)})


def _tell_other_texts(file: Path, again: Sequence[Path]) -> None:
    """On stderr: which floors hold more than the chance of a training."""
    from advgen.core.checkpoints import read_card

    if file.suffix != ".safetensors":
        return
    data = read_card(file).data_hash
    for path in again:
        if path.suffix == ".safetensors" and read_card(path).data_hash != data:
            click.echo(f"note: {path.name} has other text than {file.name}: the floor holds that, too.", err=True)


def _aligned(first: "Vectors", second: "Vectors", *, seed: int) -> "tuple[Alignment, str] | tuple[None, str]":
    """The alignment over the words of both, or why there is none."""
    from advgen.core.errors import BadArgument
    from advgen.embeddings.alignment import align

    try:
        return align(first, second, seed=seed), ""
    except BadArgument as error:
        return None, str(error)


def _share(overlap: "Overlap") -> str:
    return f"{overlap.share:.3f} [{overlap.low:.3f}, {overlap.high:.3f}]"


def _alignment_lines(turned: "Alignment") -> dict[str, str]:
    first = turned.accuracy[0]
    further = ", ".join(f"{a.share:.1%} within the first {a.k}" for a in turned.accuracy[1:])
    return {
        "translated by rotation": (
            f"{first.share:.1%} [{first.low:.1%}, {first.high:.1%}] of {first.n:,} held-out words, {further}; "
            f"fitted on {turned.fitted:,} others, chosen from {turned.candidates:,}"
        ),
        "without the rotation": f"{turned.unturned.share:.1%}",
    }


def _alignment_dict(turned: "Alignment") -> dict[str, Any]:
    return {
        "fitted": turned.fitted,
        "candidates": turned.candidates,
        "accuracy": [{**a._asdict(), "share": a.share} for a in turned.accuracy],
        "unturned": turned.unturned.share,
        "cosine": turned.cosine,
    }


def _shift_dict(shift: "DomainShift") -> dict[str, Any]:
    return {
        "words": len(shift.shifts),
        "claimed": shift.claimed,
        "by_noise_at_most": shift.by_noise,
        "rare_words_left_out": shift.rare,
        "between": shift.between._asdict(),
        "floors": [floor._asdict() if floor else None for floor in shift.floors],
        "shifts": [s._asdict() for s in shift.shifts],
    }


def _print_shift(shift: "DomainShift", names: Sequence[str], shown: int) -> None:
    """The words that shift most, claimed ones only, and what stands behind the claim."""
    floors = {f"{name} trained again": _share(floor) for name, floor in zip(names, shift.floors) if floor}
    kept_counts = all(None not in s.counts for s in shift.shifts)
    rare = f"{shift.rare:,} rarer shared words left out" if kept_counts else "rare words among them: no counts are kept"
    click.echo()
    print_pairs(
        {
            f"shared of {shift.between.n} neighbours": f"{_share(shift.between)}; by chance {shift.between.chance:.3f}",
            **floors,
            "shifted beyond noise": (
                f"{shift.claimed:,} of {len(shift.shifts):,} words (noise alone: at most {shift.by_noise:.0f}); {rare}"
            ),
        }
    )
    rows = []
    for s in [s for s in shift.shifts if s.claimed][:shown]:
        own = " ".join("-" if f is None else f"{f:.2f}" for f in s.floors)
        counts = " ".join("-" if c is None else f"{c:,}" for c in s.counts)
        rows.append([s.word, f"{s.kept:.2f}", own, counts, ", ".join(s.near[0]), ", ".join(s.near[1])])
    if rows:
        click.echo()
        print_table(["WORD", "SHARED", "AGAIN", "TIMES", *(f"NEAREST IN {name}" for name in names)], rows)
