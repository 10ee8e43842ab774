"""Charts as inline SVG: lines with interval bands, points with yardsticks, ROC curves, histograms. No library.

Series differ by dash, marker and direct label, never by colour alone; colours come from the page's style, so that a
chart follows dark, light and print.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from advgen.experiments.report.markup import Markup, tag

WIDTH, HEIGHT = 340, 250
LEFT, RIGHT, TOP, BOTTOM = 38, 84, 14, 38


class Series(NamedTuple):
    """One line of a chart; `kind` names its look: oblivious transfer adaptive plain clean."""

    label: str
    kind: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


class Mark(NamedTuple):
    """A reference line at one place of the x axis."""

    label: str
    x: float


class Axes(NamedTuple):
    """From values to places; y is a share unless told otherwise."""

    x_low: float
    x_high: float
    y_high: float = 1.0
    log: bool = False
    right: int = RIGHT
    top: int = TOP
    width: int = WIDTH
    height: int = HEIGHT
    y_low: float = 0.0
    y_log: bool = False
    left: int = LEFT

    def x(self, value: float) -> float:
        along = _share(value, self.x_low, self.x_high, self.log)
        return round(self.left + along * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        up = _share(value, self.y_low, self.y_high, self.y_log)
        return round(self.height - BOTTOM - up * (self.height - BOTTOM - self.top), 1)


def _share(value: float, low: float, high: float, log: bool) -> float:
    """How far along an axis a value lies."""
    if log:
        value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
    return (value - low) / ((high - low) or 1)


def lines(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    ticks: Sequence[tuple[float, str]],
    reference: Series | None = None,
) -> Markup:
    """Shares against a number, with interval bands and labels at the lines' ends."""
    axes = Axes(0.0, max((max(s.x, default=0.0) for s in [*series, *([reference] if reference else [])]), default=1.0))
    drawn = [_grid(axes), x_axis(axes, ticks, x_label)]
    shown = [*([reference] if reference else []), *series]
    drawn += [band(axes, s) for s in series if s.low]
    drawn += [line(axes, s) for s in shown]
    drawn += [markers(axes, s) for s in series]
    drawn += end_labels(axes, [s for s in shown if len(s.x)])
    return svg(axes, title, drawn)


def points(series: Sequence[Series], marks: Sequence[Mark], *, title: str, x_label: str, y_label: str) -> Markup:
    """Shares against a distance on a logarithmic axis, with yardsticks as upright lines."""
    places = [x for s in series for x in s.x if x > 0] + [m.x for m in marks if m.x > 0]
    low, high = (min(places) / 1.5, max(places) * 1.5) if places else (0.001, 1.0)
    top = 30 + 14 * len(marks)
    axes = Axes(low, high, log=True, right=190, top=top, width=820, height=310 + top)
    drawn = [_grid(axes), x_axis(axes, log_ticks(low, high), x_label)]
    for k, mark in enumerate(sorted(marks, key=lambda m: m.x)):
        # a row for each, so that near yardsticks do not write over each other
        x, y = axes.x(mark.x), 12 + 14 * k
        drawn.append(tag("line", x1=x, x2=x, y1=y - 8, y2=axes.height - BOTTOM, class_="mark"))
        drawn.append(tag("text", f"{mark.label} {mark.x:.2g}", x=x + 5, y=y, class_="mark-label"))
    drawn += [line(axes, s) for s in series if len(s.x) > 1]
    drawn += [markers(axes, s) for s in series]
    drawn += end_labels(axes, series)
    drawn.append(tag("text", y_label, x=0, y=axes.top - 8, class_="axis"))
    return svg(axes, title, drawn)


def roc(curves: Sequence[Series], *, title: str) -> Markup:
    """ROC curves with the chance diagonal."""
    axes = Axes(0.0, 1.0)
    chance = Series("", "chance", (0.0, 1.0), (0.0, 1.0))
    ticks = [(0.0, "0"), (0.5, "50%"), (1.0, "100%")]
    drawn = [_grid(axes), x_axis(axes, ticks, "false alarms on clean images"), line(axes, chance)]
    drawn += [line(axes, c) for c in curves]
    # all curves end in one corner: each is labelled where it stands highest above the diagonal
    drawn += _labels(axes, [(c.label, c.kind, 1.02, float(np.interp(0.6, c.x, c.y))) for c in curves])
    return svg(axes, title, drawn)


def histogram(
    clean: np.ndarray,
    attacked: np.ndarray,
    *,
    title: str,
    x_label: str,
    attacked_label: str = "attacked",
    clean_label: str = "clean",
    zero: bool = True,
    bins: int = 24,
) -> Markup:
    """Two histograms on one axis: clean as an outline, attacked filled; the outer percent is put into the end bins.

    `zero` draws the threshold at 0.
    """
    both = np.concatenate([clean, attacked])
    low, high = np.quantile(both, [0.01, 0.99]) if len(both) else (0.0, 1.0)
    low, high = (min(float(low), -0.5), max(float(high), 0.5)) if zero else (float(low), float(high))
    high = high if high > low else low + 1
    edges = np.linspace(low, high, bins + 1)
    shares = [np.histogram(np.clip(v, low, high), edges)[0] / max(len(v), 1) for v in (clean, attacked)]
    axes = Axes(low, high, y_high=max(float(max(s.max() for s in shares)), 1e-9) * 1.08, right=14)
    middle = 0.0 if zero else (low + high) / 2
    ticks = [(low, f"≤ {low:.3g}"), (middle, f"{middle:.3g}"), (high, f"≥ {high:.3g}")]
    drawn = [x_axis(axes, ticks, x_label)]
    for k, share in enumerate(shares[1]):
        if share > 0:
            left, right = axes.x(edges[k]), axes.x(edges[k + 1])
            drawn.append(
                tag("rect", x=left + 0.5, y=axes.y(share), width=round(right - left - 1, 1),
                    height=round(axes.y(0) - axes.y(share), 1), class_="bar attacked")
            )  # fmt: skip
    steps = [f"M{axes.x(low)} {axes.y(0)}"]
    for k, share in enumerate(shares[0]):
        steps.append(f"V{axes.y(share)}H{axes.x(edges[k + 1])}")
    drawn.append(tag("path", d="".join(steps) + f"V{axes.y(0)}", class_="outline"))
    if zero:
        drawn.append(tag("line", x1=axes.x(0), x2=axes.x(0), y1=TOP, y2=axes.height - BOTTOM, class_="mark"))
    drawn.append(tag("path", d=f"M{LEFT + 6} 12h16", class_="outline"))
    drawn.append(tag("text", f"{clean_label} (n = {len(clean)})", x=LEFT + 26, y=16, class_="label"))
    drawn.append(tag("rect", x=LEFT + 130, y=7, width=16, height=10, class_="bar attacked"))
    drawn.append(tag("text", f"{attacked_label} (n = {len(attacked)})", x=LEFT + 150, y=16, class_="label"))
    return svg(axes, title, drawn)


def svg(axes: Axes, title: str, drawn: Sequence[Markup]) -> Markup:
    """The chart with its title, which is read out where it cannot be seen."""
    return tag(
        "svg", tag("title", title), *drawn, viewBox=f"0 0 {axes.width} {axes.height}", role="img",
        aria_label=title, style=f"max-width:{axes.width}px",
    )  # fmt: skip


def _grid(axes: Axes) -> Markup:
    drawn = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = axes.y(share * axes.y_high)
        drawn.append(tag("line", x1=LEFT, x2=axes.width - axes.right, y1=y, y2=y, class_="grid"))
        if share in (0, 0.5, 1):
            drawn.append(tag("text", f"{share:.0%}", x=LEFT - 6, y=y + 4, class_="tick", text_anchor="end"))
    return tag("g", drawn)


def x_axis(axes: Axes, ticks: Sequence[tuple[float, str]], label: str) -> Markup:
    """The lower edge with ticks and its name."""
    base = axes.height - BOTTOM
    drawn = [tag("line", x1=axes.left, x2=axes.width - axes.right, y1=base, y2=base, class_="base")]
    last = -math.inf
    for value, text in ticks:
        x = axes.x(value)
        # a label that would touch the one before it is left out, its tick stays
        drawn.append(tag("line", x1=x, x2=x, y1=base, y2=base + 4, class_="base"))
        if x - last > 6 * len(text) + 4:
            drawn.append(tag("text", text, x=x, y=base + 16, class_="tick", text_anchor="middle"))
            last = x
    middle = (axes.left + axes.width - axes.right) / 2
    drawn.append(tag("text", label, x=middle, y=base + 32, class_="axis", text_anchor="middle"))
    return tag("g", drawn)


def line(axes: Axes, s: Series) -> Markup:
    """A series as a line."""
    d = "M" + "L".join(f"{axes.x(x)} {axes.y(y)}" for x, y in zip(s.x, s.y, strict=True))
    return tag("path", d=d, class_=f"line {s.kind}")


def band(axes: Axes, s: Series) -> Markup:
    """The interval around a series."""
    above = [f"{axes.x(x)},{axes.y(y)}" for x, y in zip(s.x, s.high, strict=True)]
    below = [f"{axes.x(x)},{axes.y(y)}" for x, y in zip(s.x, s.low, strict=True)]
    return tag("polygon", points=" ".join(above + below[::-1]), class_=f"band {s.kind}")


def markers(axes: Axes, s: Series) -> Markup:
    """A mark at each point of a series."""
    return tag("g", [_marker(axes.x(x), axes.y(y), s.kind) for x, y in zip(s.x, s.y, strict=True)])


def _marker(x: float, y: float, kind: str) -> Markup:
    if kind == "transfer":
        return tag("polygon", points=f"{x},{y - 4.6:.1f} {x + 4.2:.1f},{y + 3:.1f} {x - 4.2:.1f},{y + 3:.1f}",
                   class_="marker transfer")  # fmt: skip
    if kind in ("oblivious", "arm-2", "arm-6"):
        return tag("circle", cx=x, cy=y, r=3.4, class_=f"marker {kind}")
    if kind in ("arm-3", "arm-7"):
        return tag("polygon", points=f"{x},{y - 4.6:.1f} {x + 4.2:.1f},{y + 3:.1f} {x - 4.2:.1f},{y + 3:.1f}",
                   class_=f"marker {kind}")  # fmt: skip
    if kind in ("arm-4", "arm-8"):
        return tag("polygon", points=f"{x},{y - 4.8:.1f} {x + 4.8:.1f},{y} {x},{y + 4.8:.1f} {x - 4.8:.1f},{y}",
                   class_=f"marker {kind}")  # fmt: skip
    return tag("rect", x=round(x - 3.3, 1), y=round(y - 3.3, 1), width=6.6, height=6.6, class_=f"marker {kind}")


def end_labels(axes: Axes, series: Sequence[Series]) -> list[Markup]:
    """The names of series beside their last points."""
    return _labels(axes, [(s.label, s.kind, s.x[-1], s.y[-1]) for s in series if s.label])


def _labels(axes: Axes, wanted: Sequence[tuple[str, str, float, float]]) -> list[Markup]:
    """Labels at the right of the plot, pushed apart where they would touch, each with a thin leader."""
    gap = 13.0
    ordered = sorted(wanted, key=lambda w: -w[3])
    places = [axes.y(w[3]) for w in ordered]
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    lowest = float(axes.height - BOTTOM)
    for k in reversed(range(len(places))):
        places[k] = min(places[k], lowest)
        lowest = places[k] - gap
    drawn = []
    start = axes.width - axes.right + 8
    for where, (label, kind, at_x, at_y) in zip(places, ordered, strict=True):
        x, y = axes.x(at_x), axes.y(at_y)
        drawn.append(tag("path", d=f"M{min(x + 5, start - 2)} {y}L{start - 2} {where:.1f}", class_="leader"))
        drawn.append(tag("text", label, x=start, y=f"{where + 4:.1f}", class_=f"label {kind}"))
    return drawn


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """1, 2 and 5 of each power of ten between two values."""
    ticks = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in (1, 2, 5):
            value = step * 10.0**power
            if low <= value <= high:
                ticks.append((value, f"{value:g}"))
    return ticks
