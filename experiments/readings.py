"""Readings as tables: what a selector chooses, values at a place of a curve, a mean with its interval for each arm.

`readings` has the columns of `store_readings.READING_COLUMNS`, `curves` those of `CURVE_COLUMNS`. No torch.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from advgen.experiments.claims_readings import matches
from advgen.experiments.measured import Quantity
from advgen.experiments.stats_levels import Sides, estimate

ARM = ["measure", "label", "arm"]
PAIR = ["seed", "sample_id"]


class Mean(NamedTuple):
    """One quantity of one arm: its mean with the 95% interval, where the spread is known."""

    value: float | None
    low: float | None
    high: float | None
    n: int  # readings
    samples: int  # different ones among them
    seeds: int


ABSENT = Mean(None, None, None, 0, 0, 0)


def select(table: pd.DataFrame, selector: Mapping[str, object]) -> pd.DataFrame:
    """The lines of the measurements that have all of a selector; arguments of the measure count as columns."""
    kept = []
    for _, line in table.drop_duplicates("cell_key").iterrows():
        own = {c: line[c] for c in ("measure", "label", "arm", "seed")}
        if matches({**json.loads(line["args"]), **own}, selector):
            kept.append(line["cell_key"])
    return table[table["cell_key"].isin(kept)]


def at_place(curves: pd.DataFrame, quantity: str, place: Mapping[str, float], readings: pd.DataFrame) -> pd.DataFrame:
    """Readings of what each curve of `quantity` had reached at a place of its axis: its last point up to there.

    The clusters of the samples are those of their `readings`.
    """
    ((axis, where),) = place.items()
    there = curves[(curves["y_quantity"] == quantity) & (curves["x_quantity"] == axis) & (curves["x"] <= where)]
    last = there.sort_values("x", kind="stable").drop_duplicates(["cell_key", "sample_id"], keep="last")
    clusters = dict(zip(readings["sample_id"], readings["cluster"], strict=True))
    own = [clusters.get(sample, sample) for sample in last["sample_id"]]
    return last.assign(quantity=quantity, value=last["y"], cluster=own, timing=False)


def mean_of(readings: pd.DataFrame, quantity: Quantity) -> Mean:
    """Mean and interval of the readings of one arm and one quantity."""
    kept = readings[(readings["quantity"] == quantity.name) & readings["value"].notna()]
    if not len(kept):
        return ABSENT
    values = kept["value"].to_numpy(float)
    # what is read on a logarithmic axis has its interval there: seconds are never negative
    log = quantity.log and values.min() > 0
    found = estimate(Sides(values, None, kept["seed"].to_numpy(str), kept["cluster"].to_numpy(str)), ratio=log)
    low, high = (None, None) if found is None else (found.low, found.high)
    if quantity.unit == "share" and low is not None and high is not None:
        low, high = max(low, 0.0), min(high, 1.0)
    return Mean(float(values.mean()), low, high, len(kept), kept["sample_id"].nunique(), kept["seed"].nunique())


def arms(readings: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Measure, label and arm of everything measured, in the order of the study."""
    return [tuple(line) for line in readings[ARM].drop_duplicates().itertuples(index=False)]  # type: ignore[misc]


def of_arm(table: pd.DataFrame, arm: Sequence[str]) -> pd.DataFrame:
    """The lines of one arm."""
    kept = np.ones(len(table), dtype=bool)
    for column, value in zip(ARM, arm, strict=True):
        kept &= (table[column] == value).to_numpy()
    return table[kept]


def summary(readings: pd.DataFrame, quantities: Mapping[tuple[str, str], Quantity]) -> pd.DataFrame:
    """A line for each arm and quantity that was read: `quantities` by measure and name."""
    lines = []
    for arm in arms(readings):
        mine = of_arm(readings, arm)
        for (measure, name), quantity in quantities.items():
            if measure == arm[0] and (found := mean_of(mine, quantity)).n:
                about = {"quantity": name, **found._asdict(), "unit": quantity.unit, "better": quantity.better}
                lines.append({**dict(zip(ARM, arm, strict=True)), **about, "timing": quantity.timing})
    columns = [*ARM, "quantity", *Mean._fields, "unit", "better", "timing"]
    return pd.DataFrame(lines, columns=columns)
