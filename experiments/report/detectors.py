"""What a run's detectors say of clean and attacked images, cell by cell."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from advgen.experiments import curves, rates
from advgen.experiments.curves import Area, OperatingPoint
from advgen.experiments.report.run import RunView
from advgen.experiments.stats import Rate, rate
from advgen.experiments.tables import is_control


class Reading(NamedTuple):
    """One detector against one attack; alarms are (score - threshold) / clean sigma."""

    data: str
    target: str
    defense: str
    attack: str
    attack_args: str
    radius: str
    knowledge: str
    clean: np.ndarray
    alarm: np.ndarray
    area: Area | None  # None under an adaptive attack, where it means nothing
    points: list[OperatingPoint]
    detected: Rate  # at the study's own threshold
    false_alarms: Rate
    fpr: tuple[float, ...]  # the false-alarm rates that the study's thresholds were set for
    success: float


def readings(view: RunView) -> list[Reading]:
    """A reading for each attacked cell behind a detector; thresholds for other false-alarm rates come from the alarms
    of the clean calibration images, or from a clean baseline on the calibration split.
    """
    rows = view.rows
    if not len(rows) or not rows["clean_alarm"].notna().any():
        return []
    attacked = rows[((rows["attack"] != "") & rows["alarm"].notna()).to_numpy() & ~is_control(rows)]
    attacked = attacked[(attacked["split"] != "calibration").to_numpy()]
    found = []
    for key, cell in attacked.groupby("cell_key", sort=False):
        kept = np.array(view.cells[str(key)][1].get("calibration_alarm", ()), dtype=float)
        calibration = kept if len(kept) else _calibration(rows, cell.iloc[0])
        found.append(_reading(view, str(key), cell, calibration))
    return sorted(found, key=lambda r: (*r[:3], r.knowledge, r.attack, r.attack_args, _radius(r.radius)))


def _reading(view: RunView, key: str, cell: pd.DataFrame, calibration: np.ndarray) -> Reading:
    line = cell.iloc[0]
    clean, alarm = rates.numbers(cell, "clean_alarm"), rates.numbers(cell, "alarm")
    kept = np.isfinite(clean) & np.isfinite(alarm)
    clean, alarm, clusters = clean[kept], alarm[kept], cell["cluster"].to_numpy()[kept]
    adaptive = line["knowledge"] == "adaptive"
    success = rates.outcome(cell, "success")
    measured = success[~np.isnan(success)]
    return Reading(
        str(line["data"]), str(line["target"]), str(line["defense"]), str(line["attack"]), str(line["attack_args"]),
        str(line["radius"]), str(line["knowledge"]), clean, alarm,
        None if adaptive else curves.clustered_auc(clean, alarm, clusters, clusters),
        curves.operating_points(calibration, clean, alarm),
        rate(alarm > 0), rate(clean > 0),
        tuple(sorted({float(a["fpr"]) for a in view.cells[key][1].get("alarms", ())})),
        float(measured.mean()) if len(measured) else 0.0,
    )  # fmt: skip


def _calibration(rows: pd.DataFrame, line: pd.Series) -> np.ndarray:
    same = {c: line[c] for c in ("target", "defense", "training_seed")}
    held = rates.select(rows, {"split": "calibration", **same})
    # the calibration slice of a set has another size, and so perhaps another name
    held = held[held["data"].str.split("/").str[0] == str(line["data"]).split("/")[0]]
    return rates.numbers(held.drop_duplicates(rates.SAMPLE), "clean_alarm") if len(held) else np.zeros(0)


def _radius(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1) if above else 0.0
