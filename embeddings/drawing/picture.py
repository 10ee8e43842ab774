"""A map of words as a PNG or SVG picture, in light or dark; labels do not overlap, and words without room have none."""

import io
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument
from advgen.core.files import write_atomically
from advgen.embeddings.drawing.caption import Drawing
from advgen.embeddings.drawing.labels import Label, place

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Theme = Literal["light", "dark"]
Floats = NDArray[np.float64]
WIDTH, HEIGHT = 864.0, 648.0  # points; all lengths are
MARGIN = 28.0
BELOW = 54.0  # for the caption
ABOVE = 44.0  # for the title
LEGEND = 20.0
LABEL = 8.0  # size of a label's letters
MARKERS = "os^DvPX*"
FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Hebrew", "Arial Unicode MS")


class Palette(NamedTuple):
    paper: str
    ink: str
    soft: str
    arrow: str
    groups: tuple[str, ...]  # each beside its marker: told apart without colour, too


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        "#fdfdfb", "#1b1f24", "#59616b", "#9aa3ad",
        ("#1f5fa8", "#b3541e", "#1d7a4b", "#8a3a8f", "#8a6a12", "#0f7c86", "#b02a4c", "#5b6470"),
    ),
    "dark": Palette(
        "#14171a", "#e6e7e4", "#a3abb3", "#6b747d",
        ("#8fbbe6", "#f0a27a", "#7fce9b", "#d59be0", "#e3bf5f", "#6fd0d8", "#f08aa5", "#b8c0c8"),
    ),
}  # fmt: skip


class Drawn(NamedTuple):
    """What became of a picture."""

    labelled: int  # words that found room for their label
    not_written: str  # letters that no font at hand has


def picture(path: Path, drawing: Drawing, *, theme: Theme = "light", dots_per_inch: int = 160) -> Drawn:
    """Writes a .png or .svg picture; the same drawing gives the same file.

    Raises:
        BadArgument: another suffix or theme.
    """
    if path.suffix not in (".png", ".svg"):
        raise BadArgument(f"a picture's name must end in .png or .svg, got {path.name!r}.")
    if theme not in PALETTES:
        raise BadArgument(f"the theme must be light or dark, got {theme!r}.")
    import matplotlib as mpl
    from matplotlib.font_manager import fontManager

    fonts = [f for f in FONTS if f in set(fontManager.get_font_names())]
    settings = {"svg.hashsalt": "advgen", "svg.fonttype": "path", "font.family": fonts, "font.size": LABEL}
    about = {"Title": drawing.title, "Description": drawing.caption}
    if path.suffix == ".svg":
        about["Date"] = None  # type: ignore[assignment]  # the same drawing gives the same file
    data = io.BytesIO()
    with mpl.rc_context(settings), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figure, labels = _figure(drawing, PALETTES[theme])
        figure.savefig(
            data, format=path.suffix[1:], dpi=dots_per_inch, metadata=about, facecolor=figure.get_facecolor()
        )
    write_atomically(path, data.getvalue())
    return Drawn(len(labels), _missing(told))


def _figure(drawing: Drawing, palette: Palette) -> "tuple[Figure, list[Label]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), facecolor=palette.paper)
    FigureCanvasAgg(figure)  # draws without a screen
    page = figure.add_axes((0, 0, 1, 1))  # the whole of it, in points
    page.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    page.axis("off")
    within = (MARGIN, BELOW, WIDTH - MARGIN, HEIGHT - ABOVE - (LEGEND if drawing.names else 0))
    points = _fitted(drawing.map.places, within)
    sizes = np.array([(_width(word, LABEL) + 2, 1.25 * LABEL) for word in drawing.map.words])
    labels = place(points, sizes, within=within, gap=3.5, first=drawing.first, lines=drawing.arrows)
    _draw_points(page, drawing, points, palette)
    for label in labels:
        page.text(
            label.left + 1, label.bottom + 0.3 * LABEL, drawing.map.words[label.point], color=palette.ink,
            fontsize=LABEL, va="baseline", parse_math=False, gid="label", zorder=3,
        )  # fmt: skip
    _write_around(page, drawing, len(labels), palette)
    return figure, labels


def _fitted(places: Floats, within: tuple[float, float, float, float]) -> Floats:
    """Places in points, in the middle of `within`, as large as it allows, in their own proportions."""
    left, bottom, right, top = within
    room = np.array([right - left, top - bottom]) - 2 * LABEL
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (room / np.maximum(high - low, 1e-12)).min()
    middle = np.array([left + right, bottom + top]) / 2
    fitted: Floats = (places - (low + high) / 2) * scale + middle
    return fitted


def _draw_points(page: Any, drawing: Drawing, points: Floats, palette: Palette) -> None:
    for start, end in drawing.arrows:
        look = {"arrowstyle": "-|>", "color": palette.arrow, "lw": 0.9, "shrinkA": 3, "shrinkB": 3}
        page.annotate("", points[end], points[start], arrowprops=look, zorder=1)
    groups = np.array(drawing.groups if drawing.names else np.zeros(len(points)), dtype=int)
    for group in np.unique(groups):
        marker, colour = MARKERS[group % len(MARKERS)], palette.groups[group % len(palette.groups)]
        some = points[groups == group]
        page.scatter(some[:, 0], some[:, 1], s=9, marker=marker, color=colour, linewidths=0, zorder=2)


def _write_around(page: Any, drawing: Drawing, labelled: int, palette: Palette) -> None:
    """Title, groups and caption."""
    page.text(MARGIN, HEIGHT - 26, drawing.title, color=palette.ink, fontsize=13, weight="bold", parse_math=False)
    x = MARGIN + 3
    for group, name in enumerate(drawing.names):
        marker, colour = MARKERS[group % len(MARKERS)], palette.groups[group % len(palette.groups)]
        page.scatter([x], [HEIGHT - ABOVE - 4], s=22, marker=marker, color=colour, linewidths=0)
        page.text(x + 7, HEIGHT - ABOVE - 7, name, color=palette.soft, fontsize=LABEL + 1, parse_math=False)
        x += _width(name, LABEL + 1) + 26
    shown = f" {labelled:,} of {len(drawing.map.words):,} words found room for a label."
    lines = _wrapped(drawing.caption + shown, LABEL, WIDTH - 2 * MARGIN)
    for i, line in enumerate(lines):
        y = BELOW - 18 - 1.35 * LABEL * i
        page.text(MARGIN, y, line, color=palette.soft, fontsize=LABEL, parse_math=False)


def _wrapped(text: str, size: float, room: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer, size) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _width(text: str, size: float) -> float:
    """In points, unhinted, as SVG draws it; PNG's letters stand on whole pixels, a point wider or narrower at most."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)
    return float(width)


def _missing(told: list[warnings.WarningMessage]) -> str:
    """Letters that matplotlib found in no font; any other warning is passed on."""
    letters = []
    for warning in told:
        found = re.match(r"Glyph (\d+) .*missing from", str(warning.message))
        if found:
            letters.append(chr(int(found[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return "".join(dict.fromkeys(letters))
