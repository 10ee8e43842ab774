"""A table of verdicts: every number with its interval, its n, and how far the judge itself can be trusted."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from advgen.experiments.stats import Estimate, Rate


class Line(NamedTuple):
    """One number of a report."""

    name: str
    found: Rate | Estimate
    judge: str = ""  # its own error at this very question

    def value(self) -> str:
        if self.found.value is None:
            return "–"
        if isinstance(self.found, Rate):
            return f"{100 * self.found.value:.1f}%"
        return f"{self.found.value:.3f}"

    def interval(self) -> str:
        if self.found.low is None or self.found.high is None:
            return ""
        if isinstance(self.found, Rate):
            return f"[{100 * self.found.low:.1f}, {100 * self.found.high:.1f}]"
        return f"[{self.found.low:.3f}, {self.found.high:.3f}]"


def as_text(lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """The table, columns aligned, notes below."""
    rows = [("", "value", "95%", "n", "the judge's own error")]
    rows += [(line.name, line.value(), line.interval(), str(line.found.n), line.judge) for line in lines]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*text, *(f"* {note}" for note in notes)])


def write_csv(lines: Sequence[Line], path: str | Path) -> None:
    """The table as CSV: name, value, low, high, n, judge; shares from 0 to 1."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "value", "low", "high", "n", "judge"))
        for line in lines:
            cells = ("" if x is None else f"{x:.6g}" for x in line.found[:3])
            writer.writerow((line.name, *cells, line.found.n, line.judge))
