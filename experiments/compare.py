"""Two runs side by side: row by row where they ran the same cells, by paired tests where they did not. No torch.

Identity leaves out seconds and memory, which never repeat. A difference of two runs is tested image by image
(McNemar's exact test on independent yes/no outcomes, else the paired bootstrap by cluster), corrected over the cells
(Holm). Measurements stand in `compare_readings`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from advgen.experiments import rates, stats
from advgen.experiments.columns import COLUMNS
from advgen.experiments.compare_readings import QuantityPair, ReadingComparison, compare_readings
from advgen.experiments.stats import Estimate, Rate
from advgen.experiments.store import NOT_IDENTITY, ROW_SCHEMA, Store
from advgen.experiments.store_readings import measurements
from advgen.experiments.tables import rate_of

IDENTITY = tuple(name for name in ROW_SCHEMA.names if name not in (*NOT_IDENTITY, "cell_key", "sample_id"))
MATCH = ["data", "split", "target", "goal", "defense", "budget", "radius", "attack", "attack_args", "knowledge",
         "surrogate", "seed", "training_seed"]  # fmt: skip
LEVEL = 0.05
# What explains a difference and is in no key.
MADE_WITH = ("commit", "device", "processor", "python", "platform")


class Difference(NamedTuple):
    """One value of one row on which two runs of the same cell differ."""

    cell: str
    sample_id: str
    column: str
    first: Any
    second: Any


class Pair(NamedTuple):
    """Robust accuracy of two matching cells on the same images (clean accuracy for a baseline)."""

    cell: str
    first: Rate
    second: Rate
    difference: Estimate  # first - second
    p: float | None  # two-sided, Holm-corrected over the pairs


class Comparison(NamedTuple):
    """What two runs have in common and where they part."""

    first: str
    second: str
    same_study: bool
    shared_cells: int
    rows: int  # of the shared cells
    differing_rows: int
    differences: tuple[Difference, ...]
    only_first: tuple[str, ...]  # cells without a partner
    only_second: tuple[str, ...]
    pairs: tuple[Pair, ...]  # matching cells that are not the same
    notices: tuple[str, ...]
    readings: ReadingComparison  # of the measurements, where the runs have some

    @property
    def agree(self) -> bool:
        """Nothing differs, no cell of one study is missing, and no pair differs beyond chance."""
        parts = (self, self.readings)
        whole = not self.same_study or not any(p.only_first or p.only_second or p.pairs for p in parts)
        pairs = [*self.pairs, *(p for p in self.readings.pairs if not p.timing)]
        return whole and not any(p.differing_rows for p in parts) and not any(significant(p) for p in pairs)


def significant(pair: Pair | QuantityPair) -> bool:
    """Whether chance does not explain the difference."""
    return pair.p is not None and pair.p <= LEVEL


def compare(first: Store, second: Store) -> Comparison:
    """Two runs: their shared cells row by row, the others by paired tests where they match.

    Raises:
        RunFolder: a run has no finished cell.
    """
    readings = compare_readings(first, second)
    a, b = _rows(first), _rows(second)
    shared = set(a["cell_key"]) & set(b["cell_key"])
    differences, rows, differing = _row_by_row(a, b, shared)
    rest_a, rest_b = a[~a["cell_key"].isin(shared)], b[~b["cell_key"].isin(shared)]
    pairs, only_a, only_b = _paired(rest_a, rest_b)
    studies = [(s.read_json("study.json") or {}).get("study") for s in (first, second)]
    return Comparison(
        str(first.folder), str(second.folder), studies[0] == studies[1], len(shared), rows, differing,
        tuple(differences), tuple(only_a), tuple(only_b), tuple(pairs), tuple(_notices(first, second)),
        readings,
    )  # fmt: skip


def _rows(store: Store) -> pd.DataFrame:
    """The judged rows; none where a run has measurements alone."""
    if any(True for _ in measurements(store)) and not any(True for _ in store.cells()):
        return pd.DataFrame(columns=[*COLUMNS])
    return store.rows()


def cell_name(line: Mapping[Any, Any]) -> str:
    """A cell in words, from the columns of one of its rows."""
    attack = line["attack"] or "clean"
    args = f" {line['attack_args']}" if line["attack_args"] else ""
    budget = f" at {line['budget']} {line['radius']}" if line["budget"] else ""
    behind = f" behind {line['defense']}" if line["defense"] else ""
    knew = f" ({line['knowledge']})" if line["attack"] and (line["defense"] or line["surrogate"]) else ""
    return (
        f"{attack}{args}{budget} on {line['target']}{behind}{knew}, {line['data']}/{line['split']}, seed {line['seed']}"
    )


def _row_by_row(a: pd.DataFrame, b: pd.DataFrame, shared: set[str]) -> tuple[list[Difference], int, int]:
    on = ["cell_key", "sample_id"]
    first, second = (rows[rows["cell_key"].isin(shared)].set_index(on).sort_index() for rows in (a, b))
    together = first.index.intersection(second.index)
    found: list[Difference] = []
    differing: set[Any] = set(first.index.symmetric_difference(second.index))
    for at in sorted(differing):
        line = (first if at in first.index else second).loc[at]
        found.append(Difference(cell_name(line), at[1], "row", at in first.index, at in second.index))
    left, right = first.loc[together], second.loc[together]
    for column in IDENTITY:
        for i in np.flatnonzero(_differs(left[column], right[column])):
            line = left.iloc[i]
            differing.add(together[i])
            found.append(
                Difference(
                    cell_name(line), str(together[i][1]), column, _plain(line[column]), _plain(right.iloc[i][column])
                )
            )
    return sorted(found, key=lambda d: d[:3]), len(first.index.union(second.index)), len(differing)


def _differs(left: pd.Series, right: pd.Series) -> np.ndarray:
    """Mask (N,): not the same value, where missing equals missing."""
    no_left, no_right = left.isna().to_numpy(), right.isna().to_numpy()
    both = ~no_left & ~no_right
    unlike = no_left ^ no_right
    unlike[both] = left.astype(object).to_numpy()[both] != right.astype(object).to_numpy()[both]
    return unlike


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value != value:
        return None
    return value.item() if hasattr(value, "item") else value


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[Pair], list[str], list[str]]:
    """Pairs of cells that agree in all that both runs vary; the others, in words."""
    if not len(a) or not len(b):
        return [], _names(a), _names(b)
    # what is one value in each run, and another in the other, is what is compared
    on = [c for c in MATCH if not (a[c].nunique() == b[c].nunique() == 1 and a[c].iloc[0] != b[c].iloc[0])]
    left, right = (dict(list(rows.groupby(on, sort=True, dropna=False))) for rows in (a, b))
    pairs = [_pair(left[k], right[k]) for k in left if k in right]
    corrected = stats.holm([p.p for p in pairs])
    pairs = [p._replace(p=q) for p, q in zip(pairs, corrected, strict=True)]
    only_a = [cell_name(g.iloc[0]) for k, g in left.items() if k not in right]
    only_b = [cell_name(g.iloc[0]) for k, g in right.items() if k not in left]
    return pairs, only_a, only_b


def _pair(a: pd.DataFrame, b: pd.DataFrame) -> Pair:
    metric = "robust_accuracy" if a["attack"].iloc[0] else "clean_accuracy"
    a, b = (rows.drop_duplicates("sample_id").set_index("sample_id").sort_index() for rows in (a, b))
    together = a.index.intersection(b.index)
    a, b = a.loc[together], b.loc[together]
    first, second = rates.outcome(a, metric), rates.outcome(b, metric)
    both = ~np.isnan(first) & ~np.isnan(second)
    a, b, first, second = a[both], b[both], first[both], second[both]
    clusters = a["cluster"].to_numpy()
    difference = stats.paired_bootstrap(first, second, clusters) if len(first) else stats.Estimate(
        None, None, None, 0, 0, None
    )  # fmt: skip
    p = difference.p
    yes_no = bool(np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all())
    if len(first) and yes_no and len(set(clusters)) == len(clusters):
        p = stats.mcnemar(first, second)
    return Pair(cell_name(_both(a, b)), rate_of(first, a), rate_of(second, b), difference, p)


def _both(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, Any]:
    """The cell's columns, with both values where the runs differ."""
    if not len(a):
        return dict.fromkeys(MATCH, "")
    first, second = a.iloc[0], b.iloc[0]
    return {c: first[c] if first[c] == second[c] else f"{first[c] or 'none'} | {second[c] or 'none'}" for c in MATCH}


def _names(rows: pd.DataFrame) -> list[str]:
    return [cell_name(line) for line in rows.drop_duplicates("cell_key").to_dict("records")]


def _notices(first: Store, second: Store) -> list[str]:
    """What the runs were made with where it differs, and slices of one name with other content."""
    one, other = (s.read_json("environment.json") or {} for s in (first, second))
    found = [f"{k}: {one.get(k)} | {other.get(k)}" for k in MADE_WITH if one.get(k) != other.get(k)]
    versions = [e.get("versions", {}) for e in (one, other)]
    found += [
        f"{k}: {versions[0].get(k)} | {versions[1].get(k)}"
        for k in sorted({*versions[0], *versions[1]})
        if versions[0].get(k) != versions[1].get(k)
    ]
    slices = [{str(c.data): m.get("hashes", {}).get("data") for _, c, m in s.cells()} for s in (first, second)]
    return found + [
        f"the images of {name} are not the same in both runs"
        for name in sorted(set(slices[0]) & set(slices[1]))
        if slices[0][name] != slices[1][name]
    ]
