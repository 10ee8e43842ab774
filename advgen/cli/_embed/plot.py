"""Draw words on a plane, as pictures and as a page with search."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._embed.options import file_type, mapped_option, named, tell_rare, told, vectors_type
from advgen.cli._options import examples, seed_option

if TYPE_CHECKING:
    from advgen.embeddings.drawing.caption import Drawing
    from advgen.embeddings.vectors import Vectors

DRAWN, SKIPPED = 500, 100  # words of a map where nothing else is said, and the very first that it leaves out
MOST_GROUPS = 8  # that colours and markers tell apart


@click.command(
    "plot",
    epilog=examples(
        "advgen embed plot wiki.safetensors --skip 100 --frequent 1000 --out map.html --out map.png",
        "advgen embed plot wiki.safetensors --around king --around virus --theme dark --out around.svg",
        "advgen embed plot wiki.safetensors --analogy france paris italy rome --out capitals.png",
    ),
)
@click.argument("file", type=vectors_type)
@click.option("--out", multiple=True, required=True, type=file_type, help=".html, .png or .svg; may be repeated.")
@click.option("--frequent", type=click.IntRange(3), default=500, show_default=True, help="The most frequent words.")
@click.option("--skip", type=click.IntRange(0), default=0, help="Without so many of the very first (the, of, and).")
@click.option("--words", type=file_type, help="These words instead, one a line; lines `: name` begin a group.")
@click.option("--around", multiple=True, metavar="WORD", help="This word and its neighbours instead; may be repeated.")
@click.option("--each", type=click.IntRange(1), default=40, show_default=True, help="Neighbours for each --around.")
@click.option("--analogy", nargs=4, multiple=True, metavar="A B C D", help="Arrows from A to B and from C to D.")
@click.option("--analogies", type=file_type, help="Arrows for the pairs of a file of analogies.")
@click.option("--section", help="Of --analogies: the section to draw.")
@click.option("--method", type=click.Choice(["t-sne", "pca"]), help="How to lay out [default: t-sne; arrows need pca].")
@click.option(
    "--perplexity",
    type=float,
    help="t-sne: neighbours a word looks at [default: root of the words].",
)
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Of pictures.")
@click.option("--title", help="What stands above.")
@seed_option
@mapped_option
def plot(
    file: Path, out: tuple[Path, ...], frequent: int, skip: int, words: Path | None, around: tuple[str, ...], each: int,
    analogy: tuple[tuple[str, str, str, str], ...], analogies: Path | None, section: str | None, method: str | None,
    perplexity: float | None, theme: str, title: str | None, seed: int, *, mapped: bool,
) -> None:  # fmt: skip
    """Draw words of FILE on a plane.

    t-SNE puts words of high cosine near each other, PCA keeps the two directions in which they differ most. The drawing
    says what share of each word's true neighbours it keeps. A page (.html) has search and needs no network; it follows
    the reader's light or dark, pictures follow --theme.
    """
    from advgen.core.errors import BadArgument
    from advgen.embeddings import formats

    refuse_names(out)
    _refuse_sources({"--words": words, "--around": around, "--analogy": analogy, "--analogies": analogies})
    if section and not analogies:
        raise BadArgument("--section belongs to --analogies; name the file.")
    if (analogy or analogies) and (method == "t-sne" or perplexity):
        raise BadArgument("arrows need --method pca: t-SNE keeps no directions.")
    if method == "pca" and perplexity:
        raise BadArgument("--perplexity belongs to t-sne, not to pca.")
    vectors = formats.load(file, mapped=mapped)
    if analogy or analogies:
        drawing = _relation(vectors, analogy, analogies, section)
    else:
        chosen, about = _chosen(vectors, words, around, each=each, frequent=frequent, skip=skip)
        drawing = _map(vectors, chosen, about, method=method or "t-sne", seed=seed, perplexity=perplexity)
    write(drawing._replace(source=told(file, vectors), title=title or drawing.title), vectors, out, theme=theme)


def draw_frequent(vectors: "Vectors", source: str, out: Sequence[Path], *, seed: int) -> None:
    """The map of the most frequent words, without the very first where there are enough others."""
    skip = SKIPPED if len(vectors) > 2 * SKIPPED else 0
    chosen, about = _chosen(vectors, None, (), each=0, frequent=DRAWN, skip=skip)
    drawing = _map(vectors, chosen, about, method="t-sne", seed=seed, perplexity=None)
    write(drawing._replace(source=source), vectors, out)


def write(drawing: "Drawing", vectors: "Vectors", out: Sequence[Path], *, theme: str = "light") -> None:
    """Pictures and pages, by the names' endings; the caption goes to stderr."""
    from advgen.embeddings.drawing.page import page
    from advgen.embeddings.drawing.picture import picture

    if vectors.counts is not None:
        drawing = drawing._replace(counts=[int(vectors.counts[vectors.row[w]]) for w in drawing.map.words])
    tell_rare(vectors, drawing.map.words)
    click.echo(drawing.caption, err=True)
    for path in out:
        if path.suffix == ".html":
            page(path, drawing)
        else:
            drawn = picture(path, drawing, theme=theme)  # type: ignore[arg-type]
            total = len(drawing.map.words)
            click.echo(f"{path.name}: {drawn.labelled:,} of {total:,} words found room for a label.", err=True)
            if drawn.not_written:
                click.echo(f"note: no font here has {drawn.not_written}; a page (.html) shows them.", err=True)
        click.echo(str(path))


def refuse_names(out: Sequence[Path]) -> None:
    """Before anything is read or trained: names of pictures that cannot be written."""
    from advgen.core.errors import BadArgument

    wrong = next((path for path in out if path.suffix not in (".html", ".png", ".svg")), None)
    if wrong:
        raise BadArgument(f"a drawing must end in .html, .png or .svg, got {wrong.name!r}.")


def _refuse_sources(sources: dict[str, object]) -> None:
    """Two answers to what is to be drawn."""
    from advgen.core.errors import BadArgument

    given = [name for name, value in sources.items() if value]
    if len(given) > 1:
        raise BadArgument(f"{' and '.join(given)} each say what to draw; give one of them.")


def _chosen(
    vectors: "Vectors", words: Path | None, around: tuple[str, ...], *, each: int, frequent: int, skip: int
) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The words to draw by group, and what is told of them."""
    from advgen.core.errors import BadArgument
    from advgen.embeddings.wordsets import read_groups

    if words:
        groups = read_groups(words)
        found = {name: [w if w in vectors else w.lower() for w in listed] for name, listed in groups.items()}
        unknown = [w for listed in found.values() for w in listed if w not in vectors]
        if unknown:
            click.echo(f"left out, as they have no vector: {named(unknown)}", err=True)
        note = f"{len(unknown):,} asked words have no vector and are left out." if unknown else ""
        return {n: [w for w in listed if w in vectors] for n, listed in found.items()}, {
            "title": words.stem,
            "note": note,
        }
    if around:
        groups = {word: [word, *(n.word for n in vectors.nearest(word, each))] for word in around}
        return groups, {"title": f"Around {', '.join(around)}", "centres": around}
    if skip + 3 > len(vectors):
        left = max(len(vectors) - skip, 0)
        raise BadArgument(f"--skip {skip} leaves {left} of {len(vectors):,} words; three or more are needed.")
    listed = list(vectors.words[skip : skip + frequent])
    last = skip + len(listed)
    title = f"Words {skip + 1:,} to {last:,} by frequency" if skip else f"The {last:,} most frequent words"
    return {"": listed}, {"title": title}


def _map(
    vectors: "Vectors", chosen: dict[str, list[str]], about: dict[str, Any], *,
    method: str, seed: int, perplexity: float | None,
) -> "Drawing":  # fmt: skip
    from advgen.core.errors import BadArgument
    from advgen.embeddings.drawing.caption import Drawing
    from advgen.embeddings.drawing.maps import draw

    names = [name for name in chosen if name]
    if len(chosen) > MOST_GROUPS:
        raise BadArgument(f"{len(chosen)} groups; colours and markers tell {MOST_GROUPS} apart.")
    group: dict[str, int] = {}
    for number, listed in enumerate(chosen.values()):
        for word in listed:
            group.setdefault(word, number)  # a word of two groups is drawn in the first
    tell = lambda line: click.echo(line, err=True)
    laid_out = draw(vectors, list(group), method=method, seed=seed, perplexity=perplexity, tell=tell)  # type: ignore[arg-type]
    first = [laid_out.words.index(w) for w in about.get("centres", ())]
    groups = list(group.values()) if names else []
    shown = [name or "others" for name in chosen] if names else []
    return Drawing(laid_out, about["title"], "", groups, shown, first=first, note=about.get("note", ""))


def _relation(
    vectors: "Vectors", analogy: tuple[tuple[str, str, str, str], ...], analogies: Path | None, section: str | None
) -> "Drawing":
    from advgen.core.errors import BadArgument, UnknownName
    from advgen.embeddings.drawing.analogies import relation
    from advgen.embeddings.drawing.caption import Drawing
    from advgen.embeddings.wordsets import read_analogies

    unknown: list[str] = []
    if analogies is None:
        pairs = [pair for a, b, c, d in analogy for pair in ((a, b), (c, d))]
        title = ", ".join(f"{a} : {b} = {c} : {d}" for a, b, c, d in analogy)
    else:
        sections = read_analogies(analogies)
        if section is None and len(sections) > 1:
            raise BadArgument(
                f"{analogies} has {len(sections)} sections; choose one by --section: {', '.join(sections)}."
            )
        title = section or next(iter(sections))
        if title not in sections:
            raise UnknownName.among("section", title, sections)
        written = [pair for a, b, c, d in sections[title] for pair in ((a, b), (c, d))]
        every = dict.fromkeys(tuple(w if w in vectors else w.lower() for w in pair) for pair in written)
        pairs = [(a, b) for a, b in every if a in vectors and b in vectors]
        unknown = list(dict.fromkeys(w for pair in every for w in pair if w not in vectors))
        if unknown:
            click.echo(f"left out, as they have no vector: {named(unknown)}", err=True)
    drawn = relation(vectors, pairs)
    note = f"{drawn.told} {len(unknown)} words have no vector, so their pairs are left out." if unknown else drawn.told
    return Drawing(drawn.map, title, "", arrows=drawn.arrows, note=note)
