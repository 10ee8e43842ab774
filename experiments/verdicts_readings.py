"""What the readings say of a claim: means of arms compared sample by sample and seed by seed, ranks compared over arms.

No torch. `advgen.experiments.verdicts` corrects the p-values of all claims of a study together.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from advgen.experiments import readings as tables
from advgen.experiments import stats
from advgen.experiments.claims import Untestable
from advgen.experiments.claims_readings import QuantityClaim, RankClaim, ReadingClaim
from advgen.experiments.stats import Estimate
from advgen.experiments.stats_levels import Sides, estimate, rank_correlation, unpaired

FEWEST_ARMS = 4


def estimate_of(
    readings: pd.DataFrame, curves: pd.DataFrame, units: Mapping[str, str], claim: ReadingClaim, level: float
) -> tuple[Estimate, str]:
    """The number that a claim is about, with its interval at 1 - `level`, its p-value, and what is to be said of it.

    Raises:
        Untestable: these readings have no answer; says why.
    """
    if isinstance(claim, RankClaim):
        return _ranks(readings, claim, level)
    of = _values(readings, curves, claim, dict(claim.of))
    versus = None if claim.versus is None else _values(readings, curves, claim, dict(claim.versus))
    joined = of if versus is None else _joined(of, versus)
    options = {"ratio": claim.ratio, "level": 1 - level, "null": claim.margin}
    if claim.ratio and min(s["value"].mean() for s in (of, versus)) <= 0:
        raise Untestable(f"a ratio needs means above 0, and {claim.what} has another.")
    if len(joined):
        second = None if versus is None else joined["value_versus"].to_numpy(float)
        found = estimate(_sides(joined, second), **options)
        note = _left_out(of, versus, joined)
    else:
        assert versus is not None
        found = unpaired(_sides(of), _sides(versus), **options)
        note = "the two sides share no sample under a common seed, so the comparison is unpaired."
    if found is None:
        found = _never_varying(claim, joined if len(joined) else of, level, units.get(claim.quantity, ""))
    return found, f"{note} {_one_seed(of, versus)}".strip()


def _values(
    readings: pd.DataFrame, curves: pd.DataFrame, claim: QuantityClaim, selector: dict[str, object]
) -> pd.DataFrame:
    """One value a seed and sample, the mean over the arms that the selector names."""
    table = readings if claim.at is None else tables.at_place(curves, claim.quantity, claim.at, readings)
    kept = tables.select(table, selector)
    kept = kept[(kept["quantity"] == claim.quantity) & kept["value"].notna()]
    if not len(kept):
        raise Untestable(f"no finished measurement of {selector} has a {claim.quantity}.")
    for column in ("measure", "label", "arm"):
        several = sorted(map(str, set(kept[column])))
        chosen = column in selector or (column == "arm" and _names_an_argument(selector))
        if len(several) > 1 and not chosen:
            raise Untestable(f"the readings are of several values of {column} ({', '.join(several)}): name one.")
    return kept.groupby(tables.PAIR, sort=True).agg(value=("value", "mean"), cluster=("cluster", "first")).reset_index()


def _names_an_argument(selector: dict[str, object]) -> bool:
    return bool(set(selector) - {"measure", "label", "arm", "seed"})


def _joined(of: pd.DataFrame, versus: pd.DataFrame) -> pd.DataFrame:
    """Lines of the same sample under the same seed; the one seed of a side meets all of the other's."""
    seeds = [set(side["seed"]) for side in (of, versus)]
    on = ["sample_id"] if min(map(len, seeds)) == 1 and seeds[0] != seeds[1] else tables.PAIR
    joined = of.merge(versus, on=on, suffixes=("", "_versus"))
    if "seed_versus" in joined and len(seeds[1]) > 1:
        joined["seed"] = joined["seed_versus"]
    return joined


def _sides(table: pd.DataFrame, second: np.ndarray | None = None) -> Sides:
    return Sides(table["value"].to_numpy(float), second, table["seed"].to_numpy(str), table["cluster"].to_numpy(str))


def _never_varying(claim: QuantityClaim, table: pd.DataFrame, level: float, unit: str) -> Estimate:
    """Values that never vary: of a share the exact bound for no event is known, else the sign test is all there is."""
    difference = table["value"] - table.get("value_versus", 0.0)
    if len(difference) < 2 or claim.ratio:
        what = "one number alone" if len(difference) < 2 else "a ratio that never varies"
        raise Untestable(f"{what} says nothing of its spread: give the study more seeds, or the measure more samples.")
    bounds = None if unit != "share" else (0.0, 1.0) if claim.versus is None else (-1.0, 1.0)
    nested = table.groupby("cluster")["seed"].nunique().max() == 1
    groups = table["seed"] if nested and table["seed"].nunique() > 1 else table["cluster"]
    constant = np.full(len(difference), float(difference.mean()))
    return stats.bootstrap_mean(
        constant, groups, level=1 - level, bounds=bounds, relation="two-sided", null=claim.margin
    )


def _ranks(readings: pd.DataFrame, claim: RankClaim, level: float) -> tuple[Estimate, str]:
    kept = tables.select(readings, dict(claim.of))
    means = kept[kept["value"].notna()].pivot_table("value", ["label", "arm"], "quantity", aggfunc="mean", sort=False)
    missing = [name for name in claim.ranks if name not in means]
    if missing:
        raise Untestable(f"no finished measurement has a {missing[0]}.")
    both = means[list(claim.ranks)].dropna()
    if len(both) < FEWEST_ARMS:
        raise Untestable(f"{len(both)} arms have both quantities; a rank correlation needs {FEWEST_ARMS} or more.")
    columns = [both[name].to_numpy(float) for name in claim.ranks]
    if any(len(set(c)) == 1 for c in columns):
        raise Untestable("one of the two quantities is the same in all arms, so it ranks nothing.")
    note = f"over {len(both)} arms, each the mean of its seeds and samples."
    return rank_correlation(*columns, level=1 - level, null=claim.margin), note


def _left_out(of: pd.DataFrame, versus: pd.DataFrame | None, joined: pd.DataFrame) -> str:
    if versus is None or len(joined) == max(len(of), len(versus)):
        return ""
    return f"{len(joined)} of {max(len(of), len(versus))} readings have a partner; the others are left out."


def _one_seed(of: pd.DataFrame, versus: pd.DataFrame | None) -> str:
    seeds = set(of["seed"]) | (set() if versus is None else set(versus["seed"]))
    return "" if len(seeds) > 1 else "One seed: what another training would give is not in the interval."
