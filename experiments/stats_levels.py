"""Intervals for means over two sources of chance, training seeds and samples, honest with three seeds. No torch.

The variance of each source comes from leaving out one whole seed, or one whole sample, at a time (the jackknife); where
the same samples occur under every seed the two are crossed and their variances add, less what both count (Cameron,
Gelbach & Miller 2011, JBES 29:238). The interval is Student's with Satterthwaite's (1946) degrees of freedom: where
seeds make the difference it has seeds - 1 of them. A bootstrap would take three equal signs for certainty: it can draw
no fourth seed.
"""

from collections.abc import Sequence
from math import exp, inf, log, sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats as distributions

from advgen.experiments.stats import Estimate


class Level(NamedTuple):
    """Variance of a statistic from one source of chance."""

    variance: float
    freedom: int  # groups - 1


class Sides(NamedTuple):
    """Values of one or two sides, paired line by line."""

    first: np.ndarray  # (N,)
    second: np.ndarray | None  # (N,)
    seeds: np.ndarray  # (N,)
    clusters: np.ndarray  # (N,)


def estimate(sides: Sides, *, ratio: bool = False, level: float = 0.95, null: float | None = None) -> Estimate | None:
    """Mean of `first`, or of `first - second`, or with `ratio` the ratio of the two means, with interval and p-value.

    None where nothing is known of the spread: one number alone, or values that never vary.
    """
    value, found = _statistic(sides, ratio), levels(sides, ratio=ratio)
    return _told(value, found, len(sides.first), len(set(sides.clusters)), ratio=ratio, level=level, null=null)


def unpaired(
    one: Sides, other: Sides, *, ratio: bool = False, level: float = 0.95, null: float | None = None
) -> Estimate | None:
    """The same for two sides that share no sample: their variances add."""
    value = _scale(float(one.first.mean()), ratio) - _scale(float(other.first.mean()), ratio)
    found = [_relative(v, side, ratio) for side in (one, other) for v in levels(side)]
    n = len(one.first) + len(other.first)
    return _told(value, found, n, n, ratio=ratio, level=level, null=null)


def levels(sides: Sides, *, ratio: bool = False) -> list[Level]:
    """The variance from seeds and from samples; samples that each stand under one seed alone count through it."""
    seeds, clusters = pd.factorize(sides.seeds)[0], pd.factorize(sides.clusters)[0]
    each = pd.factorize(seeds * (clusters.max() + 1) + clusters)[0]
    many, crossed = seeds.max() > 0, each.max() > clusters.max()  # some sample stands under several seeds
    by_seed = _jackknife(sides, seeds, ratio) if many else None
    by_sample = _jackknife(sides, clusters, ratio) if crossed or not many else None
    if by_seed is None or by_sample is None:
        return [x for x in (by_seed, by_sample) if x is not None]
    both = _jackknife(sides, each, ratio)
    counted_twice = min(both.variance if both else 0.0, by_seed.variance, by_sample.variance)
    larger, smaller = sorted((by_seed, by_sample), key=lambda v: -v.variance)
    return [larger, smaller._replace(variance=smaller.variance - counted_twice)]


def rank_correlation(first: np.ndarray, second: np.ndarray, *, level: float = 0.95, null: float = 0.0) -> Estimate:
    """Spearman's correlation of two columns (N,), N >= 4, with Bonett & Wright's interval (2000, Psychometrika 65:23).

    The p-value against 0 is by permutation, exact up to eight lines; against another number by the same normal scale.
    """
    n = len(first)
    a, b = (distributions.rankdata(x) for x in (first, second))
    rho = float(np.corrcoef(a, b)[0, 1])
    # a perfect order of few arms is half a step from the next one, not certainty
    bounded = float(np.clip(rho, -1 + 3 / (n**3 - n), 1 - 3 / (n**3 - n)))
    spread = sqrt((1 + bounded**2 / 2) / (n - 3))
    half = float(distributions.norm.ppf(0.5 + level / 2)) * spread
    low, high = np.tanh([np.arctanh(bounded) - half, np.arctanh(bounded) + half])
    if null == 0:
        p = _permutation_p(a, b)
    else:
        p = float(2 * distributions.norm.sf(abs(np.arctanh(bounded) - np.arctanh(null)) / spread))
    return Estimate(rho, float(low), float(high), n, n, p)


def _told(
    value: float, found: Sequence[Level], n: int, clusters: int, *, ratio: bool, level: float, null: float | None
) -> Estimate | None:
    variance = sum(v.variance for v in found)
    # what is left of equal differences after rounding is no spread
    if not sqrt(variance) > 1e-12 * abs(value):
        return None
    # a variance of nothing has no weight in the degrees of freedom
    freedom = variance**2 / sum(v.variance**2 / v.freedom for v in found if v.variance > 0)
    spread = sqrt(variance)
    half = float(distributions.t.ppf(0.5 + level / 2, freedom)) * spread
    p = None
    if null is not None:
        p = float(2 * distributions.t.sf(abs(value - _scale(null, ratio)) / spread, freedom))
    ends = (value, value - half, value + half)
    shown = [_bounded_exp(x) for x in ends] if ratio else list(ends)
    return Estimate(*shown, n, clusters, p)


def _statistic(sides: Sides, ratio: bool) -> float:
    first = _scale(float(sides.first.mean()), ratio)
    return first if sides.second is None else first - _scale(float(sides.second.mean()), ratio)


def _jackknife(sides: Sides, code: np.ndarray, ratio: bool) -> Level | None:
    """(m - 1) / m times the squares of what leaving out each of the groups 0 .. m - 1 changes; None for one group."""
    m = int(code.max()) + 1
    if m < 2:
        return None
    counts = np.bincount(code, minlength=m)
    without = _without(sides.first, code, counts, ratio)
    if sides.second is not None:
        without = without - _without(sides.second, code, counts, ratio)
    return Level(float((m - 1) / m * ((without - without.mean()) ** 2).sum()), m - 1)


def _without(values: np.ndarray, code: np.ndarray, counts: np.ndarray, ratio: bool) -> np.ndarray:
    means = (values.sum() - np.bincount(code, values, minlength=len(counts))) / (len(values) - counts)
    return np.log(means.clip(1e-300)) if ratio else means


def _relative(level: Level, side: Sides, ratio: bool) -> Level:
    """The variance of a mean as that of its logarithm."""
    return level._replace(variance=level.variance / float(side.first.mean()) ** 2) if ratio else level


def _scale(value: float, ratio: bool) -> float:
    return log(value) if ratio else value


def _bounded_exp(value: float) -> float:
    return exp(value) if value < 700 else inf


def _permutation_p(a: np.ndarray, b: np.ndarray, draws: int = 20_000) -> float:
    """Two-sided share of orders whose correlation is at least as far from 0."""
    from itertools import permutations

    a, b = a - a.mean(), b - b.mean()
    if len(a) <= 8:
        orders = np.array(list(permutations(range(len(a)))))
    else:
        orders = np.random.default_rng(0).permuted(np.tile(np.arange(len(a)), (draws, 1)), axis=1)
    reached = np.abs(b[orders] @ a) >= abs(a @ b) - 1e-9
    # the order that was found is one of the orders
    return float(reached.mean()) if len(a) <= 8 else float((reached.sum() + 1) / (draws + 1))
