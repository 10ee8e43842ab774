"""Measurements of two runs side by side: reading by reading where they are the same, by paired tests where they match.

Timing quantities never repeat and are left out of identity. A measurement that is not the same has a partner when
measure, label, arm and seed agree; their readings are compared sample by sample and seed by seed, corrected by Holm.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from advgen.experiments import readings as tables
from advgen.experiments import stats, store_readings
from advgen.experiments.stats import Estimate
from advgen.experiments.stats_levels import Sides, estimate
from advgen.experiments.store import Store

CELL = ["measure", "label", "arm", "seed"]
LEVEL = 0.05


class ReadingDifference(NamedTuple):
    """One reading on which two runs of the same measurement differ; None = it is in one run alone, or not measured."""

    cell: str
    sample_id: str
    column: str  # the quantity
    first: float | None
    second: float | None


class QuantityPair(NamedTuple):
    """One quantity of one arm in both runs, where the measurements are not the same."""

    cell: str  # measure, label and arm in words
    quantity: str
    first: float
    second: float
    timing: bool
    difference: Estimate | None  # first - second; None where nothing is known of the spread
    p: float | None  # two-sided, Holm-corrected over the pairs


class ReadingComparison(NamedTuple):
    """What the measurements of two runs have in common and where they part."""

    shared_cells: int
    rows: int  # readings of the shared measurements that are no timing
    differing_rows: int
    differences: tuple[ReadingDifference, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    pairs: tuple[QuantityPair, ...]


def compare_readings(first: Store, second: Store) -> ReadingComparison:
    """The measurements of two runs; nothing where they have none."""
    a, b = store_readings.readings(first), store_readings.readings(second)
    shared = set(a["cell_key"]) & set(b["cell_key"])
    differences, rows, differing = _one_by_one(a, b, shared)
    rest_a, rest_b = a[~a["cell_key"].isin(shared)], b[~b["cell_key"].isin(shared)]
    matched = set(_names(rest_a)) & set(_names(rest_b))
    only = [tuple(n for n in _names(rest) if n not in matched) for rest in (rest_a, rest_b)]
    return ReadingComparison(
        len(shared), rows, differing, tuple(differences), *only, tuple(_pairs(rest_a, rest_b, matched))
    )


def _one_by_one(a: pd.DataFrame, b: pd.DataFrame, shared: set[str]) -> tuple[list[ReadingDifference], int, int]:
    on = [*CELL, "cell_key", "sample_id", "quantity"]
    sides = [t[t["cell_key"].isin(shared) & ~t["timing"].astype(bool)][[*on, "value"]] for t in (a, b)]
    joined = sides[0].merge(sides[1], on=on, how="outer", suffixes=("_first", "_second"), indicator=True)
    one, other = (joined[f"value_{side}"].to_numpy(float) for side in ("first", "second"))
    unlike = ~((one == other) | (np.isnan(one) & np.isnan(other))) | (joined["_merge"] != "both").to_numpy()
    found = [
        ReadingDifference(_name(line), line["sample_id"], line["quantity"], _plain(line["value_first"]),
                          _plain(line["value_second"]))
        for line in joined[unlike].to_dict("records")
    ]  # fmt: skip
    return sorted(found, key=lambda d: d[:3]), len(joined), len(found)


def _pairs(a: pd.DataFrame, b: pd.DataFrame, matched: set[str]) -> list[QuantityPair]:
    found = []
    a, b = (t[[n in matched for n in t.apply(_name, axis=1)]] if len(t) else t for t in (a, b))
    for (measure, label, arm, quantity), mine in a.groupby([*tables.ARM, "quantity"], sort=False):
        other = tables.of_arm(b, (measure, label, arm))
        other = other[other["quantity"] == quantity]
        joined = mine.merge(other, on=tables.PAIR, suffixes=("", "_second")).dropna(subset=["value", "value_second"])
        if not len(joined):
            continue
        one, two = (joined[c].to_numpy(float) for c in ("value", "value_second"))
        sides = Sides(one, two, joined["seed"].to_numpy(str), joined["cluster"].to_numpy(str))
        same = Estimate(0.0, 0.0, 0.0, len(one), joined["cluster"].nunique(), 1.0)
        difference = same if (one == two).all() else estimate(sides, null=0.0)
        where = f"{measure}{f' on {label}' if label else ''}: {arm}"
        p = None if difference is None else difference.p
        timing = bool(mine["timing"].iloc[0])
        found.append(QuantityPair(where, quantity, float(one.mean()), float(two.mean()), timing, difference, p))
    corrected = stats.holm([p.p for p in found])
    return [pair._replace(p=p) for pair, p in zip(found, corrected, strict=True)]


def _name(line: "pd.Series | dict[str, object]") -> str:
    where = f" on {line['label']}" if line["label"] else ""
    return f"{line['measure']}{where}: {line['arm']}, seed {line['seed']}"


def _names(table: pd.DataFrame) -> list[str]:
    return [_name(line) for line in table.drop_duplicates("cell_key").to_dict("records")]


def _plain(value: float) -> float | None:
    return None if value != value else float(value)
