"""Verdicts on claims, decided from rows.

A claim is supported or refuted when the interval of its metric (or of the difference of two, paired where the samples
are the same) lies wholly on one side of the margin and the p-value stays below the level after Holm's correction over
the study's claims; otherwise it is undecided. Where rows are missing it is untestable, with the reason. Intervals
resample clusters (identity, latent) and, where there are several, training seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats as distributions

from advgen.core.errors import UnknownName
from advgen.experiments import curves, rates, stats
from advgen.experiments.claims import SHARES, Claim, Status, Untestable, Verdict
from advgen.experiments.claims_readings import AnyClaim
from advgen.experiments.columns import OUTCOMES
from advgen.experiments.verdicts_readings import estimate_of

# a claim that leaves one of these open while the rows have several would compare mixtures
FIXED = ("data", "split", "target", "goal", "defense", "knowledge", "budget", "radius")


class Sample(NamedTuple):
    """Values of a metric with what they are paired and resampled by."""

    keys: pd.DataFrame  # sample_id training_seed seed
    values: np.ndarray  # (N,)
    other: np.ndarray | None  # (N,) clean alarms, for the area under the curve
    training: np.ndarray
    cluster: np.ndarray


class Read(NamedTuple):
    """What the measurements of a run found, as `store_readings` returns it."""

    readings: pd.DataFrame
    curves: pd.DataFrame
    units: Mapping[str, str] = {}  # of the quantities, by name


def decide(
    rows: pd.DataFrame,
    claims: Sequence[AnyClaim],
    *,
    read: Read | None = None,
    level: float = 0.05,
    post_hoc: bool = False,
    seed: int = 0,
) -> list[Verdict]:
    """A verdict for each claim, corrected together (Holm): any false verdict among them at most with chance `level`."""
    found: list[tuple[stats.Estimate, str] | str] = []
    for claim in claims:
        try:
            if isinstance(claim, Claim):
                found.append(_estimate(rows, claim, level, seed))
            elif read is None or not len(read.readings):
                raise Untestable("no measurement has finished.")
            else:
                found.append(estimate_of(*read, claim, level))
        except Untestable as reason:
            found.append(str(reason))
    corrected = stats.holm([None if isinstance(f, str) else f[0].p for f in found])
    return [_verdict(c, f, p, level, post_hoc) for c, f, p in zip(claims, found, corrected, strict=True)]


def _verdict(
    claim: AnyClaim, found: tuple[stats.Estimate, str] | str, p: float | None, level: float, post_hoc: bool
) -> Verdict:
    if isinstance(found, str):
        return Verdict(claim, "untestable", None, None, 0, None, found, post_hoc)
    estimate, note = found
    upwards = claim.relation in (">", ">=")
    above, below = estimate.low > claim.margin, estimate.high < claim.margin
    status: Status = "undecided"
    if p <= level and (above or below):
        status = "supported" if above == upwards else "refuted"
    elif above or below:
        note = f"the interval alone would decide, the correction for several claims does not let it. {note}"
    return Verdict(claim, status, estimate.value, (estimate.low, estimate.high), estimate.n, p, note.strip(), post_hoc)


def _estimate(rows: pd.DataFrame, claim: Claim, level: float, seed: int) -> tuple[stats.Estimate, str]:
    of = _sample(rows, claim.metric, claim.of)
    if claim.versus is None:
        return _against_number(claim, of, level, seed)
    versus = _sample(rows, claim.metric, claim.versus)
    first, second = _pairs(of, versus)
    if len(first) == 0:
        return _unpaired(claim, of, versus, level, seed)
    return _paired(claim, _take(of, first), _take(versus, second), level, seed)


def _pairs(of: Sample, versus: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Places of the same samples on both sides; one training seed or cell seed on a side meets all of the other's."""
    on = ["sample_id"]
    for column in ("training_seed", "seed"):
        first, second = set(of.keys[column]), set(versus.keys[column])
        if first == second or min(len(first), len(second)) > 1:
            on.append(column)
    joined = of.keys.assign(first=range(len(of.keys))).merge(
        versus.keys.assign(second=range(len(versus.keys))), on=on, suffixes=("", "_versus")
    )
    return joined["first"].to_numpy(), joined["second"].to_numpy()


def _against_number(claim: Claim, of: Sample, level: float, seed: int) -> tuple[stats.Estimate, str]:
    n, independent = len(of.values), len(set(of.cluster)) == len(of.cluster)
    if claim.metric in SHARES and claim.metric != "auc" and independent and not _between(of.values):
        found = stats.rate(of.values, level=1 - level)
        p = float(distributions.binomtest(int(found.hits), n, min(max(claim.margin, 0.0), 1.0)).pvalue)
        return stats.Estimate(found.value, found.low, found.high, n, n, p), _small(n)
    return _resampled(claim, of, None, level, seed)


def _paired(claim: Claim, of: Sample, versus: Sample, level: float, seed: int) -> tuple[stats.Estimate, str]:
    if claim.metric == "auc" or claim.metric.startswith("median_"):
        return _resampled(claim, of, versus, level, seed)
    share = claim.metric in SHARES
    # the side with several training seeds names them
    training = of.training if len(set(of.training)) > 1 else versus.training
    difference = stats.paired_bootstrap(
        of.values,
        versus.values,
        training,
        of.cluster,
        seed=seed,
        level=1 - level,
        bounds=(-1.0, 1.0) if share else None,
        null=claim.margin,
    )
    p, note = difference.p, _small(difference.n)
    yes_no = share and not _between(of.values) and not _between(versus.values)
    if yes_no:
        if claim.margin == 0 and len(set(of.cluster)) == len(of.cluster):
            p = stats.mcnemar(of.values, versus.values)  # exact, where samples are independent
        note = f"{_reach(of.values != versus.values)} {note}".strip()
    return difference._replace(p=p), note


def _unpaired(claim: Claim, of: Sample, versus: Sample, level: float, seed: int) -> tuple[stats.Estimate, str]:
    note = "the two selections share no sample, so the difference is unpaired."
    several = len(set(of.training) | set(versus.training)) > 1
    if several or claim.metric == "auc" or claim.metric.startswith("median_"):
        raise Untestable(
            f"{note} {claim.metric} over several training seeds or as a median or area needs the same samples."
        )
    first = stats.bootstrap(_weighted_mean(of.values), of.cluster, resamples=4000, seed=seed)
    second = stats.bootstrap(_weighted_mean(versus.values), versus.cluster, resamples=4000, seed=seed + 1)
    draws = first - second
    value = float(of.values.mean() - versus.values.mean())
    if draws.min() == draws.max():
        raise Untestable(f"{note} Neither side varies, so nothing is known of the spread.")
    low, high = stats.quantiles(draws, 1 - level)
    n = len(of.values) + len(versus.values)
    return stats.Estimate(value, low, high, n, n, stats.bootstrap_p(draws - claim.margin, "two-sided")), note


def _resampled(claim: Claim, of: Sample, versus: Sample | None, level: float, seed: int) -> tuple[stats.Estimate, str]:
    """Interval of any metric from bootstrap weights over training seeds and clusters, both sides under the same
    weights.
    """
    sides = [of] if versus is None else [of, versus]

    def value(weights: np.ndarray) -> np.ndarray:
        found = [_weighted(claim.metric, side, weights) for side in sides]
        return found[0] if versus is None else found[0] - found[1]

    n = len(of.values)
    training = of.training if versus is None or len(set(of.training)) > 1 else versus.training
    here = float(value(np.ones((1, n)))[0])
    draws = stats.bootstrap(value, training, of.cluster, resamples=4000, seed=seed)
    if len(draws) == 0 or draws.min() == draws.max():
        clusters = len(set(of.cluster))
        unseen = 1 - (level / 2) ** (1 / clusters)
        if claim.metric not in SHARES:
            raise Untestable(
                f"the {claim.metric} of these {n} samples never varies, so nothing is known of its spread."
            )
        floor = 0.0 if versus is None else -1.0
        low, high = here - (here - floor) * unseen, here + (1 - here) * unseen
        p = stats.constant_p(here, claim.margin, clusters, "two-sided", (floor, 1.0))
        return stats.Estimate(here, low, high, n, clusters, p), _small(n)
    low, high = stats.quantiles(draws, 1 - level)
    p = stats.bootstrap_p(draws - claim.margin, "two-sided")
    return stats.Estimate(here, low, high, n, len(set(of.cluster)), p), _small(n)


def _weighted(metric: str, side: Sample, weights: np.ndarray) -> np.ndarray:
    if metric == "auc":
        scores, suspect = np.concatenate([side.other, side.values]), np.repeat([False, True], len(side.values))
        return curves.weighted_auc(scores, suspect, np.concatenate([weights, weights], axis=1))
    if metric.startswith("median_"):
        order = np.argsort(side.values)
        reached = np.cumsum(weights[:, order], axis=1)
        half = reached[:, -1:] / 2
        # the mean of the lower and the upper median, so that equal weights give the usual one
        lower, upper = (reached < half).sum(1), np.minimum((reached <= half).sum(1), len(order) - 1)
        return (side.values[order][lower] + side.values[order][upper]) / 2
    return _weighted_mean(side.values)(weights)


def _weighted_mean(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda weights: weights @ values / weights.sum(1)


def _sample(rows: pd.DataFrame, metric: str, selector: Mapping[str, object]) -> Sample:
    """The metric's value a sample: the worst over the selected attacks for rates, the mean over them for the rest."""
    if not len(rows):
        raise Untestable("no attack cell has finished.")
    kept = rates.select(rows, selector)
    clean_only = metric in ("clean_accuracy", "clean_rejected")
    if not clean_only and "attack" not in selector:
        kept = kept[kept["attack"] != ""]
    if len(kept) == 0:
        raise Untestable(_nothing(rows, selector, clean_only))
    _one_value(kept, selector, clean_only)
    kept = kept.assign(_value=_values(rows, kept, metric))
    kept = kept[kept["_value"].notna()]
    if metric == "auc":
        kept = kept.assign(_other=rates.numbers(kept, "clean_alarm"))
        kept = kept[kept["_other"].notna()]
    if len(kept) == 0:
        raise Untestable(f"no selected row has a {metric}: it was not measured, or every sample ended in an error.")
    how = {"success": "max", "success_on_correct": "max", "robust_accuracy": "min", "joint": "min"}.get(metric, "mean")
    columns = {"_value": how, "cluster": "first"} | ({"_other": "mean"} if metric == "auc" else {})
    if how != "mean":
        kept = _complete(kept)
    # two cells of one sample that differ only in the attack's seed are two looks at it, kept in one cluster
    table = kept.groupby(rates.SAMPLE, sort=True, dropna=False).agg(columns).reset_index()
    other = table["_other"].to_numpy(float) if metric == "auc" else None
    return Sample(
        table[rates.SAMPLE],
        table["_value"].to_numpy(float),
        other,
        table["training_seed"].to_numpy(),
        table["cluster"].to_numpy(),
    )


def _complete(kept: pd.DataFrame) -> pd.DataFrame:
    """Only samples that every selected attack has a result for: a worst case over fewer attacks is another number."""
    size = kept.groupby(rates.SAMPLE, dropna=False)["_value"].transform("size")
    return kept[size == size.max()]


def _values(rows: pd.DataFrame, kept: pd.DataFrame, metric: str) -> np.ndarray:
    if metric in OUTCOMES:
        return rates.outcome(kept, metric)
    done = rates.measured(kept)
    if metric == "auc":
        return np.where(done, rates.numbers(kept, "alarm"), np.nan)
    if metric.startswith("tpr_at_"):
        return _above_threshold(rows, kept, int(metric.removeprefix("tpr_at_")) / 100, done)
    return np.where(done, rates.numbers(kept, metric.removeprefix("median_")), np.nan)


def _above_threshold(rows: pd.DataFrame, kept: pd.DataFrame, wanted: float, done: np.ndarray) -> np.ndarray:
    same = {c: sorted(set(kept[c])) for c in ("data", "target", "defense", "training_seed")}
    held = rates.select(rows, {"split": "calibration", **same}).drop_duplicates([*rates.SAMPLE, "target", "defense"])
    scores = rates.numbers(held, "clean_alarm") if len(held) else np.zeros(0)
    scores = scores[np.isfinite(scores)]
    if reason := curves.refusal(wanted, len(scores)):
        raise Untestable(f"{reason} Add the clean baseline on the calibration split for this defense.")
    point = curves.operating_points(scores, [], [], wanted=[wanted])[0]
    alarm = rates.numbers(kept, "alarm")
    return np.where(done & ~np.isnan(alarm), alarm > point.threshold, np.nan)


def _nothing(rows: pd.DataFrame, selector: Mapping[str, object], clean_only: bool) -> str:
    for column, value in selector.items():
        known = sorted(map(str, set(rows[column])))
        for one in value if isinstance(value, list | tuple) else [value]:
            if str(one) not in known:
                return str(UnknownName.among(column, str(one), known)) + " No row has it."
    return f"no {'' if clean_only else 'attacked '}row has all of {dict(selector)}."


def _one_value(kept: pd.DataFrame, selector: Mapping[str, object], clean_only: bool) -> None:
    for column in FIXED:
        several = sorted(map(str, set(kept[column])))
        if len(several) == 1 or isinstance(selector.get(column), list | tuple):
            continue
        if clean_only and column in ("goal", "budget", "radius", "knowledge"):
            continue
        # the parts of one recipe trained with several seeds may carry the seed in their name
        seeds = kept.groupby(column)["training_seed"].nunique()
        if (seeds > 1).any() or kept["training_seed"].nunique() != len(several):
            raise Untestable(
                f"the rows have several values of {column} ({', '.join(map(repr, several))}): name one in the claim."
            )


def _take(sample: Sample, index: np.ndarray) -> Sample:
    other = None if sample.other is None else sample.other[index]
    return Sample(
        sample.keys.iloc[index].reset_index(drop=True),
        sample.values[index],
        other,
        sample.training[index],
        sample.cluster[index],
    )


def _between(values: np.ndarray) -> bool:
    return bool(((values != 0) & (values != 1)).any())


def _reach(differs: np.ndarray) -> str:
    """What difference this many samples could have shown."""
    share = float(differs.mean())
    seen = stats.detectable_difference(len(differs), share) if share > 0 else None
    return (
        ""
        if seen is None
        else f"{len(differs)} samples of which {share:.0%} differ show a difference of {seen:.1%} or more (power 80%)."
    )


def _small(n: int) -> str:
    return f"only {n} samples." if n < 20 else ""
