"""Charts of one quantity against another, in their own units: lines with bands, or a point an arm with intervals."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from advgen.experiments.measured import Quantity
from advgen.experiments.report import words
from advgen.experiments.report.charts import (
    Axes,
    Series,
    band,
    end_labels,
    line,
    log_ticks,
    markers,
    svg,
    x_axis,
)
from advgen.experiments.report.markup import Markup, tag

LOOKS = tuple(f"arm-{k}" for k in range(1, 9))  # beyond eight they repeat; each line carries its name
PLOT_WIDTH, LEFT = 300, 50


class Point(NamedTuple):
    """An arm's means, each with its interval where it has one."""

    label: str
    kind: str
    x: tuple[float, float, float]  # mean, low, high
    y: tuple[float, float, float]


def lines(series: Sequence[Series], x: Quantity, y: Quantity, *, title: str) -> Markup:
    """A line an arm, with the 95% band; a band that is wider than all lines together is cut."""
    xs = [v for s in series for v in s.x]
    means = [v for s in series for v in s.y]
    room = max(means) - min(means) or abs(means[0]) or 1.0
    low = max(min(means) - room, min(means) / 4) if y.log and min(means) > 0 else min(means) - room
    series = [
        s._replace(low=[max(v, low) for v in s.low], high=[min(v, max(means) + room) for v in s.high]) for s in series
    ]
    ys = [v for s in series for v in (*s.y, *s.low, *s.high)]
    axes = _axes(xs, ys, x, y, [s.label for s in series])
    drawn = [_y_axis(axes, y), x_axis(axes, _ticks(axes.x_low, axes.x_high, axes.log, x), named(x))]
    drawn += [band(axes, s) for s in series if len(s.low)]
    drawn += [line(axes, s) for s in series]
    drawn += [markers(axes, s) for s in series if len(s.x) <= 12]
    drawn += end_labels(axes, series)
    return svg(axes, title, drawn)


def points(arms: Sequence[Point], x: Quantity, y: Quantity, *, title: str) -> Markup:
    """A point an arm, with both intervals as a cross."""
    axes = _axes([v for a in arms for v in a.x], [v for a in arms for v in a.y], x, y, [a.label for a in arms])
    drawn = [_y_axis(axes, y), x_axis(axes, _ticks(axes.x_low, axes.x_high, axes.log, x), named(x))]
    for a in arms:
        (x_at, x_low, x_high), (y_at, y_low, y_high) = a.x, a.y
        cross = f"M{axes.x(x_low)} {axes.y(y_at)}H{axes.x(x_high)}M{axes.x(x_at)} {axes.y(y_low)}V{axes.y(y_high)}"
        drawn.append(tag("path", d=cross, class_=f"cross {a.kind}"))
    series = [Series(a.label, a.kind, [a.x[0]], [a.y[0]]) for a in arms]
    drawn += [markers(axes, s) for s in series]
    drawn += end_labels(axes, series)
    return svg(axes, title, drawn)


def named(quantity: Quantity) -> str:
    """A quantity with its unit, as an axis shows it."""
    name = quantity.name.replace("_", " ")
    return f"{name} ({quantity.unit})" if quantity.unit not in ("", "share") else name


def shown(value: float | None, quantity: Quantity, digits: int = 3) -> str:
    """A value of a quantity without its unit; shares in percent."""
    return words.percent(value) if quantity.unit == "share" else words.number(value, digits)


def _axes(xs: Sequence[float], ys: Sequence[float], x: Quantity, y: Quantity, labels: Sequence[str]) -> Axes:
    x_log, y_log = x.log and min(xs) > 0, y.log and min(ys) > 0
    x_low, x_high = _range(xs, x_log)
    y_low, y_high = _range(ys, y_log)
    right = 20 + round(6.2 * max((len(name) for name in labels), default=0))
    return Axes(x_low, x_high, y_high=y_high, log=x_log, right=right, width=LEFT + PLOT_WIDTH + right, y_low=y_low,
                y_log=y_log, left=LEFT, top=24)  # fmt: skip


def _range(values: Sequence[float], log: bool) -> tuple[float, float]:
    """From the least to the greatest, with a little room."""
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** 0.06, 1.05)
        return low / room, high * room
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _y_axis(axes: Axes, y: Quantity) -> Markup:
    drawn: list[Markup] = []
    for value, text in _ticks(axes.y_low, axes.y_high, axes.y_log, y):
        at = axes.y(value)
        drawn.append(tag("line", x1=axes.left, x2=axes.width - axes.right, y1=at, y2=at, class_="grid"))
        drawn.append(tag("text", text, x=axes.left - 6, y=at + 4, class_="tick", text_anchor="end"))
    drawn.append(tag("text", named(y), x=2, y=12, class_="axis"))
    return tag("g", drawn)


def _ticks(low: float, high: float, log: bool, quantity: Quantity) -> list[tuple[float, str]]:
    if log and high / low > 4:
        ticks = [value for value, _ in log_ticks(low, high)]
        tens = [v for v in ticks if abs(math.log10(v) - round(math.log10(v))) < 1e-9]
        ticks = tens if len(ticks) > 8 and len(tens) > 1 else ticks
    else:
        step = _nice((high - low) / 4)
        first = math.ceil(low / step)
        ticks = [k * step for k in range(first, math.floor(high / step) + 1)]
    if quantity.unit == "share":
        return [(v, f"{100 * v:.3g}%") for v in ticks]
    return [(v, f"{v:.6g}") for v in ticks]


def _nice(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= step * 0.999)
