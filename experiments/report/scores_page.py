"""The page of a detector's scores: area, operating points, ROC, histogram, calibration."""

from typing import TYPE_CHECKING

from advgen.experiments import curves
from advgen.experiments.report import charts, words
from advgen.experiments.report.charts import Series
from advgen.experiments.report.markup import Markup, join, note, section, table, tag

if TYPE_CHECKING:
    from advgen.experiments.scores import ScoresResult


def page_of(result: "ScoresResult") -> str:
    """The whole page."""
    from advgen.experiments.report.build import document

    test = ~result.scores.calibration
    real, fake = result.scores.score[test & ~result.scores.fake], result.scores.score[test & result.scores.fake]
    held = int(result.scores.calibration.sum())
    facts = f"{len(real)} real and {len(fake)} fake images tested, {held} rows for calibration"
    return document(
        f"Scores of {result.source}",
        tag("header", tag("p", "A detector's scores", class_="eyebrow"), tag("h1", result.source),
            tag("p", facts, class_="facts")),
        tag("main", join([_numbers(result), _charts(result), _reliability(result)])),
    )  # fmt: skip


def _numbers(result: "ScoresResult") -> Markup:
    area = result.area
    how = "whole groups resampled" if result.scores.groups_given else "rows taken as independent: no column group"
    shown = [
        ["AUC", "not told: one side is empty", ""]
        if area.value is None
        else ["AUC", f"{area.value:.3f}", f"[{area.low:.3f}, {area.high:.3f}], {how}"]
    ]
    for p in result.points:
        name = f"TPR at {p.wanted:.1%} FPR"
        if p.detected is None:
            shown.append([name, "refused", p.refused])
        else:
            threshold = f"threshold {words.number(p.threshold, 4)}, false alarms on test rows {p.false_alarms}"
            shown.append([name, str(p.detected), threshold])
    if result.calibration is None:
        shown.append(["calibration error", "not told", "the scores leave [0, 1], so they are no probabilities"])
    elif result.calibration.error is not None:
        shown.append(["calibration error", f"{result.calibration.error:.3f}", "expected over 15 bins of equal width"])
    return section(
        "numbers",
        "What the scores say",
        note("95% intervals. Thresholds come from the real images among the calibration rows, and from nothing else."),
        table(["measure", "value", "how"], shown),
    )


def _charts(result: "ScoresResult") -> Markup | None:
    test = ~result.scores.calibration
    real, fake = result.scores.score[test & ~result.scores.fake], result.scores.score[test & result.scores.fake]
    if not len(real) or not len(fake):
        return note("No ROC: it needs real and fake images among the test rows.")
    found = curves.roc(real, fake)
    drawn = Series(f"AUC {result.area.value:.3f}", "one", found.fpr.tolist(), found.tpr.tolist())
    return section(
        "charts",
        "ROC and scores",
        tag(
            "div",
            tag("figure", charts.roc([drawn], title=f"ROC of {result.source}"),
                tag("figcaption", tag("b", "ROC"), " · fakes found against false alarms; thin: chance")),
            tag("figure",
                charts.histogram(real, fake, title=f"scores of {result.source}", x_label="score", clean_label="real",
                                 attacked_label="fake", zero=False),
                tag("figcaption", tag("b", "Scores"), " · the outer percent is in the end bars")),
            class_="panels",
        ),
    )  # fmt: skip


def _reliability(result: "ScoresResult") -> Markup | None:
    bins = result.calibration
    if bins is None or bins.error is None:
        return None
    lines = [
        [f"{p:.2f}", words.percent(float(o)), str(int(n))]
        for p, o, n in zip(bins.predicted, bins.observed, bins.count, strict=True)
    ]
    return section("reliability", "Calibration", table(["mean score", "share fake", "n"], lines, numeric=(0, 1, 2)))
