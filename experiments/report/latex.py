"""The knowledge matrix, and what was measured, as LaTeX tabulars that need no package."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from advgen.experiments.measured import Quantity
from advgen.experiments.report import words
from advgen.experiments.report.xy import named, shown
from advgen.experiments.stats import Rate
from advgen.experiments.tables import MatrixLine, Standing


def matrix_tex(lines: Sequence[MatrixLine]) -> str:
    """A tabular a data set, target, goal and norm; every rate with its 95% interval and n."""
    return "\n".join(_tabular(list(block)) for _, block in groupby(lines, key=lambda m: (*m[:4], m.budget)))


def _tabular(lines: Sequence[MatrixLine]) -> str:
    first = lines[0]
    where = ", ".join(
        [words.friendly(first.data), words.friendly(first.target), first.goal, first.budget or "no bound"]
    )
    out = [
        f"% {_comment(where)}: share right, or adversarial and rejected; worst case over attacks, 95% interval",
        r"\begin{tabular}{llllll}",
        r"\hline",
        r"Defense & Radius & Clean & Oblivious & Transfer & Adaptive \\",
        r"\hline",
    ]
    for line in lines:
        cells = [words.defense(line.defense), line.radius or words.NONE, _rate(line.clean)]
        cells += [_standing(s) for s in (line.oblivious, line.transfer, line.adaptive)]
        out.append(" & ".join(words.latex(c) for c in cells) + r" \\")
    return "\n".join([*out, r"\hline", r"\end{tabular}", ""])


def measured_tex(means: pd.DataFrame, quantities: Mapping[tuple[str, str], Quantity]) -> str:
    """A tabular a measure and label: arms by quantities, means with 95% intervals."""
    return "\n".join(
        _measured(str(measure), str(label), block, [q for (m, _), q in quantities.items() if m == measure])
        for (measure, label), block in means.groupby(["measure", "label"], sort=False)
    )


def _measured(measure: str, label: str, means: pd.DataFrame, quantities: Sequence[Quantity]) -> str:
    there = [q for q in quantities if (means["quantity"] == q.name).any()]
    out = [
        f"% {_comment(', '.join([measure, *([label] if label else [])]))}: means with 95% intervals",
        rf"\begin{{tabular}}{{l{'l' * len(there)}}}",
        r"\hline",
        " & ".join(["Arm", *(words.latex(named(q)) for q in there)]) + r" \\",
        r"\hline",
    ]
    for arm, lines in means.groupby("arm", sort=False):
        by_name = {str(line["quantity"]): line for line in lines.to_dict("records")}
        cells = [_mean(by_name[q.name], q) if q.name in by_name else words.NONE for q in there]
        out.append(" & ".join(words.latex(c) for c in (str(arm), *cells)) + r" \\")
    return "\n".join([*out, r"\hline", r"\end{tabular}", ""])


def _mean(line: Mapping[Any, Any], quantity: Quantity) -> str:
    value = shown(line["value"], quantity)
    if pd.isna(line["low"]):
        return value
    return f"{value} [{shown(line['low'], quantity)}, {shown(line['high'], quantity)}]"


def _rate(rate: Rate) -> str:
    return words.NONE if rate.value is None else f"{words.told(rate)} (n = {rate.n})"


def _standing(standing: Standing) -> str:
    return standing.missing or _rate(standing.joint)


def _comment(text: str) -> str:
    return " ".join(text.split())
