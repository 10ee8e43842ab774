"""The charts of a run: robustness against budget, success against LPIPS, ROC curves and score histograms."""

from collections.abc import Sequence
from itertools import groupby

from advgen.experiments import curves as statistics
from advgen.experiments.report import charts, words
from advgen.experiments.report.charts import Mark, Series
from advgen.experiments.report.detectors import Reading, readings
from advgen.experiments.report.markup import Markup, folded, note, section, table, tag
from advgen.experiments.report.run import RunView
from advgen.experiments.tables import MatrixLine, Standing

LOOKS = ("one", "two", "three", "four")


def curves(view: RunView) -> Markup:
    """A panel for each defense: what it withstands at each radius, by what the attacker knew."""
    bounded = [line for line in view.matrix if line.budget and line.clean.value is not None]
    panels = []
    for key, block in groupby(bounded, key=lambda m: (*m[:4], m.budget)):
        lines = list(block)
        bare = [line for line in lines if not line.defense]
        for defense, of_defense in groupby(lines, key=lambda m: m.defense):
            panels.append(_curve(key, defense, list(of_defense), bare))
    if not panels:
        return section("curves", "Robustness against budget", note("No attack with a budget has finished."))
    return section(
        "curves",
        "Robustness against budget",
        note(
            "Worst case over attacks, image by image, with the 95% band; radius 0 is the clean image. Circles and "
            "dashes: oblivious; triangles and dots: transfer; squares, unbroken: adaptive; thin: no defense."
        ),
        tag("div", panels, class_="panels"),
    )


def _curve(key: tuple[object, ...], defense: str, lines: Sequence[MatrixLine], bare: Sequence[MatrixLine]) -> Markup:
    data, _, target, goal, norm = map(str, key)
    drawn = []
    for kind in ("oblivious", "transfer", "adaptive"):
        if not defense and kind == "oblivious" and any(not m.adaptive.missing for m in lines):
            continue  # with no defense there is nothing to know: the two are one line
        found = _series(kind if defense or kind == "transfer" else "white-box", kind, lines)
        drawn += [found] if found else []
    reference = _series("no defense", "plain", bare) if defense and bare else None
    rejects = any(m.rejects for m in lines)
    ticks = [(0.0, "0"), *((m.radius_value, m.radius) for m in lines)]
    name = words.defense(defense)
    where = f"{words.friendly(data)}, {words.friendly(target)}" + ("" if goal == "untargeted" else f", {goal}")
    what = "right, or adversarial and rejected" if rejects else "robust accuracy"
    return tag(
        "figure",
        charts.lines(drawn, title=f"{what} of {name} on {where} against {norm} radius", x_label=f"{norm} radius",
                     ticks=ticks, reference=None if reference is None else reference._replace(low=(), high=())),
        tag("figcaption", tag("b", name), f" · {what} · {where} · n = {lines[0].clean.n}"),
    )  # fmt: skip


def _series(label: str, kind: str, lines: Sequence[MatrixLine]) -> Series | None:
    column = "adaptive" if kind == "plain" else kind
    told: list[tuple[float, Standing]] = [(m.radius_value, getattr(m, column)) for m in lines]
    if kind == "plain" and all(s.missing for _, s in told):
        told = [(m.radius_value, m.oblivious) for m in lines]
    there = [(x, s.joint) for x, s in told if not s.missing]
    if not there:
        return None
    places = [(0.0, lines[0].clean), *sorted(there, key=lambda t: t[0])]
    x, rates = zip(*places, strict=True)
    return Series(label, kind, x, *([float(getattr(r, f)) for r in rates] for f in ("value", "low", "high")))


def distances(view: RunView) -> Markup:
    """How visible each attack is (median LPIPS) against how often it succeeds, between everyday changes."""
    title = "Success against perceptual distance"
    if view.table.empty:
        return section("distances", title, note("No cell has finished."))
    table_ = view.table
    attacked = table_[(table_["attack"] != "") & (table_["attack"] != "worst case") & ~table_["control"]]
    attacked = attacked[attacked["median_lpips"].notna() & attacked["success_on_correct"].notna()]
    if attacked.empty:
        return section("distances", title, note("No LPIPS was measured."))
    panels = []
    for (data, target), block in attacked.groupby(["data", "target"], sort=True):
        grouped = block.groupby(["attack", "attack_args", "defense", "knowledge", "budget"], sort=True)
        several = grouped.ngroups > 8
        series = []
        for (attack, _, defense, knowledge, _), one in grouped:
            # with many lines only the undefended and the adaptive ones can be read
            if several and defense and knowledge != "adaptive":
                continue
            kind = knowledge if defense or knowledge == "transfer" else "plain"
            behind = f", {words.defense(defense)}" if defense else ""
            label = f"{_short(attack)}{behind}"
            one = one.sort_values("radius_value")
            series.append(Series(label[:30], kind, one["median_lpips"].tolist(), one["success_on_correct"].tolist()))
        marks, medians = _yardsticks(view, str(data))
        name = f"{words.friendly(str(data))}, {words.friendly(str(target))}"
        left_out = " Of the defended cells only the adaptive ones are drawn." if several else ""
        panels.append(
            tag(
                "figure",
                tag("div", charts.points(series, marks, title=f"success against median LPIPS on {name}",
                             x_label=f"median {view.lpips}, logarithmic",
                             y_label="success on images right before"), class_="wide"),
                tag("figcaption", tag("b", name), f" · a point is a cell, a line joins its budgets.{left_out}"),
                folded("The yardsticks in numbers", medians) if medians else None,
            )
        )  # fmt: skip
    return section(
        "distances",
        title,
        note("Dotted uprights say how far everyday changes move the same images, so that a distance means something."),
        panels,
    )


def _yardsticks(view: RunView, data: str) -> tuple[list[Mark], Markup | None]:
    """The yardsticks of a data set, largest slice first."""
    found = {spec: y for spec, y in view.yardsticks.items() if spec == data or spec.startswith(f"{data}/test")}
    if not found:
        found = {spec: y for spec, y in view.yardsticks.items() if spec.startswith(f"{data}/")}
    if not found:
        return [], None
    chosen = max(found.values(), key=lambda y: max((int(v["n"]) for v in y.values()), default=0))
    marks = [Mark(name, float(v["lpips"])) for name, v in chosen.items() if v.get("lpips")]
    lines = [
        [name, words.number(v.get("linf")), words.number(v.get("l2")), words.number(v.get("lpips")), str(v["n"])]
        for name, v in sorted(chosen.items(), key=lambda item: item[1].get("lpips") or 0.0)
    ]
    return marks, table(["change", "L∞", "L2", view.lpips, "n"], lines, numeric=range(1, 5),
                        caption="Medians over clean images of the same slice")  # fmt: skip


def detectors(view: RunView) -> Markup | None:
    """What each detector sees, and at what price; nothing where no detector stands."""
    found = readings(view)
    if not found:
        return Markup("")
    blocks = []
    for (data, target, defense), block in groupby(found, key=lambda r: (r.data, r.target, r.defense)):
        blocks.append(_detector(data, target, defense, list(block)))
    return section(
        "detectors",
        "Detectors",
        note(
            "AUC is the chance that an attacked image is more suspect than a clean one (95% interval, whole clusters "
            "resampled). Thresholds come from a separate clean split. Under an adaptive attack an AUC means nothing: "
            "the attack aims at one threshold, and only what happens there is told."
        ),
        blocks,
    )


def _detector(data: str, target: str, defense: str, block: Sequence[Reading]) -> Markup:
    blind = [r for r in block if r.area is not None]
    hardest = sorted(blind, key=lambda r: float(r.area.value or 0))[: len(LOOKS)]
    where = f"{words.defense(defense)} on {words.friendly(data)}, {words.friendly(target)}"
    panels = []
    if hardest:
        drawn = []
        for look, r in zip(LOOKS, hardest, strict=False):
            points = statistics.roc(r.clean, r.alarm)
            drawn.append(Series(f"{_short(r.attack)} {r.radius}", look, points.fpr.tolist(), points.tpr.tolist()))
        panels.append(
            tag("figure", charts.roc(drawn, title=f"ROC of {where}"),
                tag("figcaption", tag("b", "ROC"), " · detected against false alarms; the attacks that it sees "
                    "least, at most four; thin: chance"))
        )  # fmt: skip
    for r in [*hardest[:1], *sorted((r for r in block if r.area is None), key=lambda r: -r.success)[:1]]:
        panels.append(
            tag("figure",
                charts.histogram(r.clean, r.alarm, title=f"alarm scores of {where}, {r.attack} {r.knowledge}",
                                 x_label="(score − threshold) / clean σ; right of 0 is rejected",
                                 attacked_label="attacked"),
                tag("figcaption", tag("b", f"{words.friendly(r.attack)} {r.radius}"), f" · {r.knowledge}; the outer "
                    "percent is in the end bars"))
        )  # fmt: skip
    return tag("div", tag("h3", where), tag("div", panels, class_="panels"), _readings(block))


def _readings(block: Sequence[Reading]) -> Markup:
    # a rate that is refused everywhere is told below the table, not in a column of its own
    there = [k for k in range(len(statistics.FALSE_ALARM_RATES)) if any(r.points[k].detected for r in block)]
    shares = [f"TPR at {statistics.FALSE_ALARM_RATES[k]:.1%} FPR".replace(".0%", "%") for k in there]
    headings = ["attack", "knowledge", "radius", "AUC", *shares, "rejected",
                "false alarms", "n clean", "n attacked"]  # fmt: skip
    body = []
    for r in block:
        area = words.NONE if r.area is None else f"{r.area.value:.3f}"
        spread = "" if r.area is None else f"[{r.area.low:.3f}, {r.area.high:.3f}]"
        points = [None if r.area is None else r.points[k].detected for k in there]
        body.append(
            [
                words.attack(r.attack, r.attack_args), r.knowledge, r.radius or "any", [area, tag("small", spread)],
                *([words.percent(p.value), tag("small", words.interval(p.low, p.high))] if p is not None else words.NONE
                  for p in points),
                [words.percent(r.detected.value), tag("small", words.interval(r.detected.low, r.detected.high))],
                [words.percent(r.false_alarms.value),
                 tag("small", words.interval(r.false_alarms.low, r.false_alarms.high))],
                str(len(r.clean)), str(len(r.alarm)),
            ]
        )  # fmt: skip
    refused = sorted({p.refused for r in block for p in r.points if p.refused})
    wanted = sorted({f"{fpr:.1%}" for r in block for fpr in r.fpr})
    return tag(
        "div",
        table(headings, body, numeric=range(3, len(headings))),
        note("Refused: " + " ".join(s[:1].upper() + s[1:] for s in refused)) if refused else None,
        note(f"Rejected: at the study's own threshold, set for {', '.join(wanted)} false alarms on calibration images.")
        if wanted
        else None,
    )


def _short(attack: str) -> str:
    """An attack without its family, where a chart has little room."""
    return words.friendly(attack).rsplit("/", 1)[-1]
