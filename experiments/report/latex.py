"""The knowledge matrix as a LaTeX tabular that needs no package."""

from collections.abc import Sequence
from itertools import groupby

from advgen.experiments.report import words
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


def _rate(rate: Rate) -> str:
    return words.NONE if rate.value is None else f"{words.told(rate)} (n = {rate.n})"


def _standing(standing: Standing) -> str:
    return standing.missing or _rate(standing.joint)


def _comment(text: str) -> str:
    return " ".join(text.split())
