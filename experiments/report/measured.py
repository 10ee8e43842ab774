"""The parts of the page that tell what was measured: arms by quantities, plots, pictures."""

import base64
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from advgen.experiments.measured import Quantity
from advgen.experiments.readings import ARM, of_arm
from advgen.experiments.report import words, xy
from advgen.experiments.report.charts import Series
from advgen.experiments.report.markup import Markup, folded, note, section, table, tag
from advgen.experiments.report.run import RunView
from advgen.experiments.report.xy import LOOKS, Point
from advgen.experiments.stats_levels import Sides, estimate
from advgen.experiments.store_readings import Stored, pictures

ARROW = {"lower": "↓ lower is better", "higher": "↑ higher is better", "": ""}
GRID = 24  # places of a curve whose samples were not read at the same ones
MOST_PICTURES = 24


def tables(view: RunView) -> Markup:
    """A table for each measure and label: arms by quantities."""
    if not view.measured:
        return section("measured", "What was measured", _failures(view), note("No measurement has finished."))
    timing = any(q.timing for q in view.quantities.values())
    return section(
        "measured",
        "What was measured",
        _failures(view),
        note(
            "Means with 95% intervals over training seeds and samples (Student's, with the degrees of freedom that the "
            "seeds allow); one number alone has none.",
            f" Times and memory never repeat and are no part of a result's identity.{_busy(view)}" if timing else None,
        ),
        [[_table(view, *block), _notes(view, *block)] for block in blocks(view)],
        _meanings(view),
        note("The same as files beside this page: readings.parquet, readings.csv, measured.csv, measured.tex",
             ", curves.csv." if view.observed is not None and len(view.observed.read.curves) else "."),
    )  # fmt: skip


def blocks(view: RunView) -> list[tuple[str, str]]:
    """Measure and label of each table, in the order of the study."""
    return list(dict.fromkeys(_block(s) for s in view.measured))


def _block(one: Stored) -> tuple[str, str]:
    return one.measurement.measure.name, one.measurement.label


def heading(measure: str, label: str) -> str:
    """A table's name."""
    name = words.friendly(measure).rsplit("/", 1)[-1].replace("_", " ")
    return f"{name} · {label}" if label else name


def _busy(view: RunView) -> str:
    """How busy the machine was, without which a time cannot be read."""
    loads = sorted((float(str(load).split()[0]), str(load)) for s in view.measured if (load := s.meta["machine_load"]))
    if not loads:
        return ""
    (low, _), (high, told) = loads[0], loads[-1]
    return f" The machine's load when they began: {told if low == high else f'{low:g} to {told}'}."


def _notes(view: RunView, measure: str, label: str) -> list[Markup]:
    """What the measure says of the block, each sentence once."""
    said = [n for s in view.measured if _block(s) == (measure, label) for n in s.meta["notes"]]
    return [note(text) for text in dict.fromkeys(said)]


def _failures(view: RunView) -> Markup | None:
    if not view.failed:
        return None
    told = [tag("li", tag("b", name), tag("p", sentence)) for name, sentence in view.failed]
    return tag("ul", told, class_="warnings")


def _table(view: RunView, measure: str, label: str) -> Markup:
    means = view.means[(view.means["measure"] == measure) & (view.means["label"] == label)]
    quantities = [q for (m, _), q in view.quantities.items() if m == measure and (means["quantity"] == q.name).any()]
    names = list(dict.fromkeys(means["arm"]))
    scales = {q.name: _scale(means[means["quantity"] == q.name], q) for q in quantities}
    body = []
    for arm in names:
        of = means[means["arm"] == arm].set_index("quantity")
        cells = [
            tag("td", _cell(of.loc[q.name], q, scales[q.name]) if q.name in of.index else tag("span", words.NONE),
                data_label=_data_label(q))
            for q in quantities
        ]  # fmt: skip
        body.append(tag("tr", tag("th", arm, scope="row"), cells))
    head = [tag("th", "arm", scope="col")] + [tag("th", _quantity(q), scope="col") for q in quantities]
    caption = heading(measure, label)
    inside = tag("table", tag("caption", caption), tag("thead", tag("tr", head)), tag("tbody", body), class_="measured")
    return tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=f"table {caption}")


def _quantity(q: Quantity) -> list[Markup | str | None]:
    return [xy.named(q), tag("small", ARROW[q.better]) if q.better else None]


def _data_label(q: Quantity) -> str:
    return xy.named(q) + {"lower": " ↓", "higher": " ↑", "": ""}[q.better]


def _scale(means: pd.DataFrame, q: Quantity) -> Callable[[float], float] | None:
    """From a value to percent of the way between the least and the greatest end of a column's intervals."""
    ends = means[["value", "low", "high"]].to_numpy(dtype=float)
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    if not low < high:
        return None
    if q.log and low > 0:
        return lambda value: 100 * math.log(value / low) / math.log(high / low)
    return lambda value: 100 * (value - low) / (high - low)


def _cell(mean: pd.Series, q: Quantity, scale: Callable[[float], float] | None) -> list[Markup | str | None]:
    value, low, high = (None if pd.isna(mean[c]) else float(mean[c]) for c in ("value", "low", "high"))
    spread = None
    if low is not None and high is not None:
        spread = tag("span", f"[{xy.shown(low, q)}, {xy.shown(high, q)}]".replace("%,", ","), class_="interval")
    bar = None
    if scale is not None:
        at, left, right = (scale(v if v is not None else value) for v in (value, low, high))
        style = f"--low:{left:.1f}%;--high:{right:.1f}%;--at:{at:.1f}%"
        bar = tag("span", tag("i"), tag("b"), class_="span", style=style, aria_hidden="true")
    return [tag("span", xy.shown(value, q), class_="value"), " ", spread, bar, tag("small", _n(mean))]


def _n(mean: pd.Series) -> str:
    seeds = words.counted(int(mean["seeds"]), "seed")
    return seeds if mean["n"] == mean["seeds"] else f"n = {words.counted(int(mean['samples']), 'sample')}, {seeds}"


def _meanings(view: RunView) -> Markup:
    lines = [[q.name.replace("_", " "), q.means, q.unit or words.NONE, ARROW[q.better] or words.NONE,
              "yes" if q.timing else "no"] for q in view.quantities.values()]  # fmt: skip
    return folded("What each quantity means", table(["quantity", "means", "unit", "better", "timing"], lines))


def plots(view: RunView) -> Markup:
    """The pairs of quantities that a measure wants drawn: lines where it gave curves, else a point an arm."""
    drawn = []
    for measure, label in blocks(view):
        stored = [s for s in view.measured if _block(s) == (measure, label)]
        for x_name, y_name in dict.fromkeys(tuple(p) for s in stored for p in s.meta.get("plots", ())):
            x, y = (view.quantities[measure, name] for name in (x_name, y_name))
            found = _curves(view, measure, label, x, y) or _points(view, measure, label, x, y)
            if found is not None:
                drawn.append(found)
    if not drawn:
        return Markup("")
    return section("plots", "Plots", tag("div", drawn, class_="panels plots"))


def _curves(view: RunView, measure: str, label: str, x: Quantity, y: Quantity) -> Markup | None:
    assert view.observed is not None
    table_ = view.observed.read.curves
    table_ = table_[(table_["x_quantity"] == x.name) & (table_["y_quantity"] == y.name)]
    series = []
    for look, arm in zip(_looks(view, measure, label), _arms(view, measure, label), strict=True):
        mine = of_arm(table_, (measure, label, arm))
        if len(mine):
            series.append(curve_of(mine, arm, look, log=x.log))
    series = [s for s in series if len(s.x)]
    if not series:
        return None
    title = f"{y.name} against {x.name}, {heading(measure, label)}".replace("_", " ")
    what = f"{xy.named(y)} against {xy.named(x)}"
    banded = "; mean over samples and seeds with its 95% band" if any(len(s.low) for s in series) else ""
    return tag("figure", xy.lines(series, x, y, title=title),
               tag("figcaption", tag("b", what), f" · {heading(measure, label)}{banded}"))  # fmt: skip


def curve_of(points: pd.DataFrame, label: str, look: str, *, log: bool) -> Series:
    """The mean of an arm's curves with its interval.

    Curves of as many points are averaged point by point, as of passes over a text that took slightly different times;
    others on common places, where a curve holds its last point until the next one.
    """
    groups = points.groupby(["cell_key", "seed", "sample_id", "curve"], sort=True)
    each = [(seed, one, c["x"].to_numpy(float), c["y"].to_numpy(float)) for (_, seed, one, _), c in groups]
    if len({len(x) for _, _, x, _ in each}) == 1:
        places = np.array([x for _, _, x, _ in each])
        grid = np.exp(np.log(places).mean(0)) if log and places.min() > 0 else places.mean(0)
        values = np.array([y for _, _, _, y in each])
    else:
        first, last = max(x[0] for _, _, x, _ in each), max(x[-1] for _, _, x, _ in each)
        grid = np.geomspace(first, last, GRID) if log and first > 0 else np.linspace(first, last, GRID)
        before = [np.searchsorted(x, grid * (1 + 1e-12), side="right") - 1 for _, _, x, _ in each]
        values = np.array([y[np.maximum(at, 0)] for at, (_, _, _, y) in zip(before, each, strict=True)])
    seeds, samples = np.array([str(e[0]) for e in each]), np.array([str(e[1]) for e in each])
    found = [estimate(Sides(column, None, seeds, samples)) for column in values.T]
    mean = values.mean(0)
    if all(f is None for f in found):
        return Series(label, look, grid.tolist(), mean.tolist())
    low = [m if f is None else f.low for f, m in zip(found, mean, strict=True)]
    high = [m if f is None else f.high for f, m in zip(found, mean, strict=True)]
    return Series(label, look, grid.tolist(), mean.tolist(), low, high)


def _points(view: RunView, measure: str, label: str, x: Quantity, y: Quantity) -> Markup | None:
    means = of_block(view.means, measure, label)
    found = []
    for look, arm in zip(_looks(view, measure, label), _arms(view, measure, label), strict=True):
        mine = means[means["arm"] == arm].set_index("quantity")
        if {x.name, y.name} <= set(mine.index):
            found.append(Point(arm, look, _ends(mine.loc[x.name]), _ends(mine.loc[y.name])))
    if not found:
        return None
    title = f"{y.name} against {x.name}, a point an arm, {heading(measure, label)}".replace("_", " ")
    what = f"{xy.named(y)} against {xy.named(x)}"
    return tag("figure", xy.points(found, x, y, title=title),
               tag("figcaption", tag("b", what), f" · {heading(measure, label)}; means, 95% intervals"))  # fmt: skip


def of_block(means: pd.DataFrame, measure: str, label: str) -> pd.DataFrame:
    """The lines of one table."""
    return means[(means[ARM[0]] == measure) & (means[ARM[1]] == label)]


def _arms(view: RunView, measure: str, label: str) -> list[str]:
    return list(dict.fromkeys(of_block(view.means, measure, label)["arm"]))


def _looks(view: RunView, measure: str, label: str) -> list[str]:
    return [LOOKS[k % len(LOOKS)] for k in range(len(_arms(view, measure, label)))]


def _ends(mean: pd.Series) -> tuple[float, float, float]:
    value = float(mean["value"])
    return (value, *(value if pd.isna(mean[c]) else float(mean[c]) for c in ("low", "high")))


def shots(view: RunView) -> Markup:
    """The pictures that the measures made, each with its caption."""
    groups = [(str(s.measurement), pictures(view.store, s), s) for s in _first_seeds(view.measured)]
    drawn: list[Markup] = []
    count = 0
    for name, found in ((name, found) for name, found, _ in groups if found):
        kept = found[: max(MOST_PICTURES - count, 0)]
        count += len(kept)
        figures = [
            tag("figure", tag("img", src="data:image/png;base64," + base64.b64encode(png).decode(), alt=caption),
                tag("figcaption", caption))
            for png, caption in kept
        ]  # fmt: skip
        if figures:
            drawn.append(tag("div", tag("h3", name), tag("div", figures, class_="shots")))
    if not drawn:
        return Markup("")
    left_out = sum(len(found) for _, found, _ in groups) - count
    more = f"Of each arm the first seed; {left_out} more lie in the run's folder." if left_out else ""
    return section("shots", "Pictures", note(more) if more else None, drawn)


def _first_seeds(measured: Sequence[Stored]) -> list[Stored]:
    first: dict[tuple[str, str, str], Stored] = {}
    for one in sorted(measured, key=lambda s: s.measurement.seed):
        first.setdefault((*_block(one), one.measurement.arm), one)
    return [one for one in measured if one in first.values()]
