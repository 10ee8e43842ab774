"""A detector's scores alone: intervals, operating points, calibration, and a page, without any image. No torch.

A CSV with the columns `score` (higher = more suspect) and `fake` (0 or 1); `split` (calibration or test), `group`
(identity: its images are not independent) and `id` where there are. Thresholds come from the real images of the
calibration rows only; everything else is measured on the test rows.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from advgen.core.errors import BadFile
from advgen.core.files import write_atomically
from advgen.experiments import curves
from advgen.experiments.csv_lines import read_csv
from advgen.experiments.curves import Area, Calibration, OperatingPoint

SPLITS = ("calibration", "test")


class Scores(NamedTuple):
    """Scores as they were read; `calibration` (N,) marks the rows that thresholds come from."""

    score: np.ndarray
    fake: np.ndarray
    calibration: np.ndarray
    group: np.ndarray
    groups_given: bool


class ScoresResult(NamedTuple):
    """What the scores say, on the test rows."""

    source: str
    scores: Scores
    area: Area
    points: list[OperatingPoint]
    calibration: Calibration | None  # None where the scores are no probabilities
    page: Path

    @property
    def summary(self) -> str:
        """A few lines for a terminal."""
        area = self.area
        told = (
            "AUC not told: one side is empty"
            if area.value is None
            else f"AUC {area.value:.3f} [{area.low:.3f}, {area.high:.3f}] "
            f"(n = {area.clean} real, {area.adversarial} fake)"
        )
        lines = [told]
        lines += [
            f"TPR at {p.wanted:.1%} FPR  {p.detected}  (false alarms {p.false_alarms})" if p.detected is not None
            else f"TPR at {p.wanted:.1%} FPR  refused: {p.refused}"
            for p in self.points
        ]  # fmt: skip
        if self.calibration is not None and self.calibration.error is not None:
            lines.append(f"expected calibration error {self.calibration.error:.3f}")
        return "\n".join(lines)


def judge_scores(csv_path: str | Path, folder: str | Path) -> ScoresResult:
    """Judges the scores of a CSV and writes `scores.html` and `scores.json` into `folder`.

    Raises:
        BadFile: a score that is no finite number, `fake` other than 0 and 1, or an unknown split; says which line.
    """
    from advgen.experiments.report.scores_page import page_of

    scores = read(csv_path)
    test = ~scores.calibration
    real, fake = test & ~scores.fake, test & scores.fake
    page = Path(folder) / "scores.html"
    result = ScoresResult(
        Path(csv_path).name,
        scores,
        curves.clustered_auc(scores.score[real], scores.score[fake], scores.group[real], scores.group[fake]),
        curves.operating_points(
            scores.score[scores.calibration & ~scores.fake], scores.score[real], scores.score[fake]
        ),
        _calibration(scores),
        page,
    )
    write_atomically(page, page_of(result).encode())
    write_atomically(Path(folder) / "scores.json", json.dumps(as_json(result), indent=1).encode())
    return result


def read(csv_path: str | Path) -> Scores:
    """The columns of a CSV of scores as arrays (N,).

    Raises:
        BadFile: a value that cannot be used; says which line.
    """
    lines = read_csv(csv_path, ("score", "fake"))
    splits = [_one_of(line.get("split") or "test", SPLITS, "split", i, csv_path) for i, line in enumerate(lines)]
    groups_given = any(line.get("group") for line in lines)
    names = [_group(line, i, groups_given, csv_path) for i, line in enumerate(lines)]
    return Scores(
        np.array([_score(line["score"], i, csv_path) for i, line in enumerate(lines)]),
        np.array(
            [_one_of(line["fake"].strip(), ("0", "1"), "fake", i, csv_path) == "1" for i, line in enumerate(lines)]
        ),
        np.array([s == "calibration" for s in splits]),
        np.array(names, dtype=str),
        groups_given,
    )


def as_json(result: ScoresResult) -> dict[str, Any]:
    """Every number, for a machine."""
    return {
        "source": result.source,
        "auc": result.area._asdict(),
        "interval": "whole groups resampled" if result.scores.groups_given else "every row its own group, resampled",
        "operating_points": [
            {
                "fpr_wanted": p.wanted,
                "threshold": p.threshold,
                "detected": None if p.detected is None else p.detected._asdict(),
                "false_alarms": None if p.false_alarms is None else p.false_alarms._asdict(),
                "refused": p.refused,
            }
            for p in result.points
        ],
        "calibration_error": None if result.calibration is None else result.calibration.error,
        "calibration_rows": int(result.scores.calibration.sum()),
    }


def _calibration(scores: Scores) -> Calibration | None:
    """Calibration error where the scores are probabilities of being fake: all of them in [0, 1]."""
    if scores.score.min() < 0 or scores.score.max() > 1:
        return None
    test = ~scores.calibration
    return curves.calibration_error(scores.score[test], scores.fake[test])


def _score(text: str, i: int, path: str | Path) -> float:
    try:
        value = float(text)
    except ValueError:
        raise BadFile(f"{path}, line {i + 2}: score must be a number, got {text!r}.") from None
    if not math.isfinite(value):
        raise BadFile(f"{path}, line {i + 2}: score must be finite, got {text!r}; leave such a row out and say so.")
    return value


def _one_of(text: str, known: Sequence[str], column: str, i: int, path: str | Path) -> str:
    if text not in known:
        raise BadFile(f"{path}, line {i + 2}: {column} must be {' or '.join(known)}, got {text!r}.")
    return text


def _group(line: Mapping[str, str], i: int, given: bool, path: str | Path) -> str:
    if not given:
        return str(i)
    if not line.get("group"):
        raise BadFile(f"{path}, line {i + 2}: group is empty, and other lines have one; give every line its group.")
    return line["group"]
