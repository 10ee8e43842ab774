"""The parts of the page that are text and tables: head, verdicts, warnings, matrix, full table."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from advgen.experiments.checks import all_checks
from advgen.experiments.claims import SHARES, Claim, Verdict
from advgen.experiments.report import words
from advgen.experiments.report.markup import Markup, folded, note, section, table, tag
from advgen.experiments.report.run import RunView
from advgen.experiments.stats import Rate
from advgen.experiments.tables import WORST_CASE, MatrixLine, Standing

SIGN = {"supported": "✓ supported", "refuted": "✗ refuted", "undecided": "? undecided", "untestable": "– untestable"}


def head(view: RunView) -> Markup:
    """Study, question, and what the page rests on."""
    study, rows = view.study, view.rows
    facts = []
    if len(rows):
        sets = [
            f"{words.friendly(str(data))} ({words.counted(one['sample_id'].nunique(), 'image')}, {split})"
            for (data, split), one in rows.groupby(["data", "split"], sort=True)
        ]
        facts = [", ".join(sets), words.counted(len(view.cells), "cell")]
    if view.measured:
        arms = {(s.measurement.measure.name, s.measurement.label, s.measurement.arm) for s in view.measured}
        seeds = {s.measurement.seed for s in view.measured}
        facts += [words.counted(len(arms), "arm"), words.counted(len(seeds), "seed")]
    made = view.environment.get("date", "")[:10]
    version = view.environment.get("versions", {}).get("advgen", "")
    finished = len(view.cells) + len(view.measured)
    missing = view.planned - finished
    return tag(
        "header",
        tag("p", f"Study {study.get('name', '')}", class_="eyebrow"),
        tag("h1", study.get("question", "")),
        tag("p", study["description"]) if study.get("description") else None,
        tag("p", " · ".join([*facts, made, f"advgen {version}"]), class_="facts"),
        tag(
            "p",
            tag("span", "unfinished", class_="stamp"),
            f" {finished} of {view.planned} {'cells' if view.attacks else 'measurements'} are finished; the page rests "
            "on these alone.",
        )
        if missing > 0
        else None,
        _in_short(view),
    )


def _in_short(view: RunView) -> Markup | None:
    """Verdicts and warnings in a line each, for the first look."""
    if view.observed is None:
        return None
    found = [v.status for v in view.observed.verdicts]
    told = [
        tag("a", f"{SIGN[s].split()[0]} {found.count(s)} {s}", href="#claims", class_=s) for s in SIGN if s in found
    ]
    raised = [
        tag("a", f"! {w.number} {w.title}", href=f"#warning-{w.number}", class_="raised")
        for w in view.observed.checks.warnings
    ]
    return tag("p", told, raised or tag("span", "no warning"), class_="short")


def verdicts(view: RunView) -> Markup:
    """Each claim with what the rows say of it."""
    found = view.observed.verdicts if view.observed else []
    if not found:
        said = "The study makes no claim: nothing was promised before the rows were seen." if view.observed else ""
        return section("claims", "Claims", tag("p", said, class_="note"))
    drawn = [_verdict(v) for v in found]
    several = f", corrected for {len(found)} claims (Holm)" if len(found) > 1 else ""
    return section(
        "claims",
        "Claims",
        note(
            "A claim is decided when the 95% interval lies wholly on one side of its margin and the two-sided p-value"
            f"{several} is at most 0.05. Question, claims and budgets were hashed when the first cell began."
        ),
        drawn,
    )


def _verdict(v: Verdict) -> Markup:
    shown = []
    if v.value is not None and v.interval is not None:
        shares = isinstance(v.claim, Claim) and v.claim.metric in SHARES and v.claim.metric != "auc"
        shown.append(f"{v.claim.what} {_metric(v.value, shares)} [{_metric(v.interval[0], shares, bare=True)}, "
                     f"{_metric(v.interval[1], shares, bare=True)}]")  # fmt: skip
        shown.append(f"wanted {v.claim.relation} {_metric(v.claim.margin, shares)}")
        shown.append(f"n = {v.n}")
    if v.p is not None:
        shown.append(f"p = {v.p:.2g}" if v.p >= 1e-4 else "p < 0.0001")
    return tag(
        "div",
        tag("span", SIGN[v.status], class_="status"),
        tag(
            "div",
            tag("p", v.claim.statement, " ", tag("span", "post hoc", class_="stamp") if v.post_hoc else None,
                class_="statement"),
            tag("p", " · ".join(shown), class_="numbers") if shown else None,
            note(v.note[:1].upper() + v.note[1:]) if v.note else None,
            note("Post hoc: question, claims or budgets were changed after the first cell.") if v.post_hoc else None,
        ),
        class_=f"verdict {v.status}",
    )  # fmt: skip


def _metric(value: float, share: bool, *, bare: bool = False) -> str:
    if not share:
        return words.number(value, 4)
    return f"{100 * value:.1f}" if bare else f"{100 * value:.1f}%"


def warnings(view: RunView) -> Markup:
    """What makes these numbers hard to believe, what was looked for in vain, and what could not be looked for."""
    if view.observed is None:
        return section("warnings", "Warnings", note("Nothing to check yet."))
    checks = view.observed.checks
    explained = all_checks()
    raised = [
        tag(
            "li",
            tag("b", f"{w.number} · {w.title}"),
            tag("p", w.detail),
            folded(
                "raised if, and where",
                tag("p", _sentence(explained[w.number].__doc__)),
                tag("p", "; ".join(_places(view, w.cells))) if w.cells else None,
            ),
            id=f"warning-{w.number}",
        )
        for w in checks.warnings
    ]
    quiet = f"{words.counted(len(checks.quiet), 'check')} looked and found nothing" + (
        f" ({', '.join(map(str, checks.quiet))})" if checks.quiet else ""
    )
    about = "" if view.attacks else " The other checks look at attacked images."
    return section(
        "warnings",
        f"Warnings ({len(raised)})",
        tag("ul", raised, class_="warnings") if raised else tag("p", "No check found anything."),
        note(f"{quiet}; {words.counted(len(checks.not_run), 'check')} could not run.{about}"),
        folded(
            "Checks that were not run, and why",
            table(["no.", "check", "what it lacked"], [[str(n), name, reason] for n, name, reason in checks.not_run]),
        )
        if checks.not_run
        else None,
    )


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _places(view: RunView, cells: Sequence[str]) -> list[str]:
    return [cell_name(view, key) if key in view.cells else words.friendly(key) for key in cells]


def cell_name(view: RunView, key: str) -> str:
    """A cell in words."""
    line = view.of(key).iloc[0]
    where = f" at {words.budget(line['budget'], line['radius'])}" if line["attack"] else ""
    behind = f" behind {words.defense(line['defense'])} ({line['knowledge']})" if line["defense"] else ""
    return f"{words.attack(line['attack'], line['attack_args'])}{where} on {words.friendly(line['target'])}{behind}"


def matrix(view: RunView) -> Markup:
    """Defense by budget, in three columns of what the attacker knew."""
    if not view.matrix:
        return section("matrix", "What each defense withstands", note("No attack has finished: there is nothing here."))
    drawn = []
    for key, block in groupby(view.matrix, key=lambda line: (*line[:4], line.budget)):
        drawn.append(_block(key, list(block)))
    rejecting = any(line.rejects for line in view.matrix)
    return section(
        "matrix",
        "What each defense withstands",
        note(
            "Share of all images that stay right under the worst of the attacks, image by image, with its 95% "
            "interval. Oblivious: the attacker knew nothing of the defense. Transfer: images made on another network. "
            "Adaptive: the worst of everything, the attacks that knew the whole pipeline among them.",
            " Where a detector stands, the large number is the share right, or adversarial and rejected, with false "
            "alarms on clean images charged; the share right and accepted is below it." if rejecting else None,
        ),
        drawn,
    )  # fmt: skip


def _block(key: tuple[Any, ...], lines: Sequence[MatrixLine]) -> Markup:
    data, _, target, goal, norm = key
    caption = f"{words.friendly(data)} · {words.friendly(target)} · {goal}" + (
        f" · {norm}" if norm else " · smallest change, at any distance"
    )
    body = []
    before = None
    for line in lines:
        first = line.defense != before
        before = line.defense
        stamp = tag("span", "non-adaptive", class_="stamp") if line.non_adaptive and first else None
        name = [words.defense(line.defense), tag("br") if stamp else None, stamp] if first else ""
        cells = [
            tag("td", line.radius or "any", data_label="radius"),
            # the clean images are the same at every radius
            tag("td", _value(line.clean) if first else None, class_="clean", data_label="clean accuracy"),
            *(tag("td", _standing(s, line.rejects), class_=k, data_label=k) for k, s in
              (("oblivious", line.oblivious), ("transfer", line.transfer), ("adaptive", line.adaptive))),
        ]  # fmt: skip
        body.append(tag("tr", tag("th", name, scope="row"), cells, class_="first" if first else None))
    headings = ["defense", "radius", "clean accuracy", "oblivious", "transfer", "adaptive"]
    head_line = tag("thead", tag("tr", [tag("th", h, scope="col") for h in headings]))
    inside = tag("table", tag("caption", caption), head_line, tag("tbody", body), class_="matrix")
    return tag(
        "div",
        tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=f"matrix {caption}"),
        _portfolios(lines),
    )


def _value(rate: Rate, more: str = "") -> list[Markup | str | None]:
    if rate.value is None:
        return [tag("span", "no image has a result", class_="missing")]
    style = f"--low:{100 * rate.low:.1f}%;--high:{100 * rate.high:.1f}%;--at:{100 * rate.value:.1f}%"
    return [
        tag("span", words.percent(rate.value), class_="value"),
        " ",
        tag("span", words.interval(rate.low, rate.high), class_="interval"),
        tag("span", tag("i"), tag("b"), class_="span", style=style, aria_hidden="true"),
        tag("small", " · ".join([f"n = {rate.n}", *([more] if more else [])])),
    ]


def _standing(standing: Standing, rejects: bool) -> list[Any]:
    if standing.missing:
        return [tag("span", standing.missing, class_="missing")]
    return [
        _value(
            standing.joint, "1 attack" if len(standing.attacks) == 1 else f"worst of {len(standing.attacks)} attacks"
        ),
        tag("small", f"right and accepted {words.told(standing.robust)}") if rejects else None,
        tag("small", f"{standing.incomplete} images without every result left out") if standing.incomplete else None,
    ]


def _portfolios(lines: Sequence[MatrixLine]) -> Markup:
    """Which attack breaks what."""
    body = []
    for line in lines:
        for name, alone, unique in line.adaptive.shares or line.oblivious.shares or line.transfer.shares:
            text = words.attack_label(name)
            body.append([words.defense(line.defense), line.radius or "any", text, f"{alone:.1%}", f"{unique:.1%}"])
    return folded(
        "Which attack breaks what",
        table(["defense", "radius", "attack", "breaks alone", "only it breaks"], body, numeric=(3, 4)),
        printed=False,
    )


FULL = (
    ("clean accuracy", "clean_accuracy"), ("robust accuracy", "robust_accuracy"), ("success, all", "success"),
    ("success, right before", "success_on_correct"), ("right or rejected", "joint"), ("rejected", "rejected"),
    ("false alarms", "clean_rejected"), ("in float", "success_float"), ("after JPEG-75", "success_jpeg75"),
)  # fmt: skip


def full_table(view: RunView) -> Markup:
    """A line for each cell and each worst case; controls apart."""
    lines = view.table
    if lines.empty:
        return section("table", "All numbers", note("No cell has finished."))
    shown = [(title, name) for title, name in FULL if lines[name].notna().any()]
    ours, controls = lines[~lines["control"]], lines[lines["control"]]
    return section(
        "table",
        "All numbers",
        note(
            "Success is judged on the saved 8-bit image. Four denominators: clean and robust accuracy and success are "
            "over all images, success on those right before over n right. Distances are medians."
        ),
        folded(f"Table of {words.counted(len(ours), 'line')}", _rates(ours, shown, view.lpips), printed=False),
        folded(
            f"Controls ({len(controls)}): random noise, and an attack without a bound",
            note("They show that the machinery works, and are in no worst case."),
            _rates(controls, shown, view.lpips),
            printed=False,
        )
        if len(controls)
        else None,
        note("The same as files beside this page: rows.parquet, rows.csv, table.csv, table.tex."),
    )


def _rates(lines: pd.DataFrame, shown: Sequence[tuple[str, str]], lpips: str) -> Markup:
    several = [c for c in ("data", "split", "target", "goal", "seed", "training_seed") if lines[c].nunique() > 1]
    headings = ["attack", "knowledge", "budget", "defense", *(c.replace("_", " ") for c in several), "n", "n right",
                *(title for title, _ in shown), "L∞", "L2", lpips, "errors"]  # fmt: skip
    body = []
    for line in lines.to_dict("records"):
        told = line["knowledge"] + (f" from {words.friendly(line['surrogate'])}" if line["surrogate"] else "")
        body.append(
            [
                line["attack"] if line["attack"] == WORST_CASE else words.attack(line["attack"], line["attack_args"]),
                told if line["attack"] else "",
                tag("span", f"{line['budget']} {line['radius']}".strip(), class_="whole"),
                words.defense(line["defense"]),
                *("" if c == "training_seed" and line[c] < 0 else words.friendly(str(line[c])) for c in several),
                str(line["n"]),
                words.number(line["n_correct"], 4),
                *(_rate_cell(line, name) for _, name in shown),
                *(words.number(line[f"median_{d}"]) for d in ("linf", "l2", "lpips")),
                str(line["errors"]),
            ]
        )
    first = 4 + len(several)
    return table(headings, body, numeric=range(first, len(headings)))


def _rate_cell(line: dict[str, Any], name: str) -> list[Markup | str]:
    if np.isnan(line[name]):
        return [words.NONE]
    return [words.percent(line[name]), tag("small", words.interval(line[f"{name}_low"], line[f"{name}_high"]))]
