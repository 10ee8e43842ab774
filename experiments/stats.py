"""Intervals and tests over plain arrays: rates, paired differences, multiplicity, power. No rows, no cells, no torch.

Wilson 1927 (JASA 22:209) for rates; Efron 1987 (JASA 82:171) for BCa; McCarthy & Snowden 1985 for the n - 1 draws of
the bootstrap; Owen 2007 (arXiv 0712.1111, pigeonhole bootstrap) for crossed seeds and identities; McNemar 1947 in its
exact form; Holm 1979; Connor 1987 (Biometrics 43:207) for sample sizes; Chen et al. 2021 (arXiv 2107.03374, eq. 1)
for k queries.
"""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, sqrt
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats as distributions
from scipy.special import gammaln

from advgen.core.errors import BadArgument

Relation = Literal["two-sided", "greater", "less"]
CHUNK = 4_000_000  # entries of one block of resampling weights: 32 MB


class Rate(NamedTuple):
    """A share with its interval; a share of nothing has no value and n = 0, never 0.0."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    hits: float  # fractional where each sample has a probability (random defenses)

    def __str__(self) -> str:
        if self.value is None:
            return "– (n = 0)"
        return f"{100 * self.value:.1f}% [{100 * self.low:.1f}, {100 * self.high:.1f}] (n = {self.n})"


class Estimate(NamedTuple):
    """A mean or difference of means with its interval, and the p-value against zero where one was asked for."""

    value: float | None
    low: float | None
    high: float | None
    n: int  # samples
    clusters: int  # independent groups among them
    p: float | None


def wilson(hits: float, n: int, *, level: float = 0.95) -> Rate:
    """Wilson's score interval of `hits` out of `n`: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Fractional hits (a mean of probabilities) are allowed: a variable in [0, 1] never varies more than a coin of its
    mean.
    """
    _check_level(level)
    if n < 0 or not -1e-9 <= hits <= n + 1e-9:
        raise BadArgument(f"a rate needs 0 <= hits <= n, got {hits} of {n}.")
    if n == 0:
        return Rate(None, None, None, 0, 0)
    z = float(distributions.norm.ppf(0.5 + level / 2))
    p = min(max(hits / n, 0.0), 1.0)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # at 0 and n the exact bound is the end itself; rounding would leave 1e-18 there
    low = 0.0 if hits <= 0 else min(max(centre - half, 0.0), p)
    high = 1.0 if hits >= n else max(min(centre + half, 1.0), p)
    return Rate(p, low, high, int(n), hits)


def rate(outcomes: Sequence[float] | np.ndarray, *, level: float = 0.95) -> Rate:
    """Wilson's rate of outcomes in [0, 1]; NaN = not measured and left out."""
    values = _floats(outcomes)
    values = values[~np.isnan(values)]
    return wilson(float(values.sum()), len(values), level=level)


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    *factors: Sequence[object] | np.ndarray,
    resamples: int = 4000,
    seed: int = 0,
    level: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
    bounds: tuple[float, float] | None = None,
    relation: Relation | None = None,
    null: float = 0.0,
) -> Estimate:
    """Mean of `values` (N,) with a bootstrap interval over whole clusters.

    Each factor (N,) names a source of chance: one factor is the clustered bootstrap (identity, latent); two are
    resampled independently and their weights multiplied (training seed x identity: the same identities occur under
    every seed, so they are crossed, not nested). m - 1 of m groups are drawn: the variance is then unbiased, which
    matters with three seeds. NaN values are left out. With `bounds`, values that never vary still get an interval
    (the exact bound for no event among m clusters), because a bootstrap of a constant claims certainty. `relation`
    asks for the p-value of the mean
    `null`.
    """
    _check_level(level)
    if len(factors) > 2:
        raise BadArgument(f"the bootstrap crosses at most two factors (seed, cluster), got {len(factors)}.")
    if method not in ("percentile", "bca") or (method == "bca" and len(factors) == 2):
        raise BadArgument(f"bootstrap method must be percentile, or bca with one factor, got {method!r}.")
    values = _floats(values)
    kept = ~np.isnan(values)
    values = values[kept]
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, 0, 0, None)
    groups, sizes = _groups([np.asarray(f)[kept] for f in factors] or [np.arange(n)], n)
    clusters = max(sizes)
    mean = float(values.mean())
    if clusters == 1 or values.min() == values.max():
        low, high = _constant(values, clusters, level, bounds)
        p = None if relation is None else constant_p(mean, null, clusters, relation, bounds)
        return Estimate(mean, low, high, n, clusters, p)
    means = np.concatenate([w @ values / w.sum(1) for w in _weights(groups, sizes, resamples, seed)])
    low, high = _bca(means, values, groups[0], level) if method == "bca" else quantiles(means, level)
    p = None if relation is None else bootstrap_p(means - null, relation)
    return Estimate(mean, low, high, n, clusters, p)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    *factors: Sequence[object] | np.ndarray,
    resamples: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """A statistic of weighted samples, weights (B, N) to values (B,), over bootstrap weights of whole groups (N,).

    Factors as in `bootstrap_mean`. Values that a resample leaves undefined (NaN) are dropped.
    """
    groups, sizes = _groups(factors, len(np.asarray(factors[0])))
    values = np.concatenate([statistic(w) for w in _weights(groups, sizes, resamples, seed)])
    return values[~np.isnan(values)]


def paired_bootstrap(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    *factors: Sequence[object] | np.ndarray,
    resamples: int = 4000,
    seed: int = 0,
    level: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    relation: Relation = "two-sided",
    null: float = 0.0,
) -> Estimate:
    """Mean of `first - second`, sample by sample, resampled by cluster; `bounds=None` where values are not rates."""
    first, second = _floats(first), _floats(second)
    if first.shape != second.shape:
        raise BadArgument(f"a paired comparison needs two columns of equal length, got {len(first)} and {len(second)}.")
    return bootstrap_mean(
        first - second,
        *factors,
        resamples=resamples,
        seed=seed,
        level=level,
        method=method,
        bounds=bounds,
        relation=relation,
        null=null,
    )


def unpaired_difference(first: Rate, second: Rate) -> Estimate:
    """Difference of two independent rates with Newcombe's interval (1998, Statistics in Medicine 17:873, method 10)."""
    if first.value is None or second.value is None:
        return Estimate(None, None, None, 0, 0, None)
    d = first.value - second.value
    low = d - sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    high = d + sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    pooled = (first.hits + second.hits) / (first.n + second.n)
    sigma = sqrt(pooled * (1 - pooled) * (1 / first.n + 1 / second.n))
    p = 1.0 if sigma == 0 else float(2 * distributions.norm.sf(abs(d) / sigma))
    return Estimate(d, low, high, first.n + second.n, first.n + second.n, p)


def mcnemar(
    first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray, *, relation: Relation = "two-sided"
) -> float:
    """Exact McNemar p-value of two paired yes/no columns: discordant pairs are fair coins.

    "greater" tests that `first` says yes more often. NaN in either column leaves the pair out. No discordant pair: 1.0.
    """
    first, second = _floats(first), _floats(second)
    only_first = int(((first > 0.5) & (second < 0.5)).sum())
    only_second = int(((first < 0.5) & (second > 0.5)).sum())
    return discordant_p(only_first, only_second, relation=relation)


def discordant_p(only_first: int, only_second: int, *, relation: Relation = "two-sided") -> float:
    """McNemar's exact p-value from the two counts of discordant pairs."""
    n = only_first + only_second
    if n == 0:
        return 1.0
    if relation == "greater":
        return float(distributions.binom.sf(only_first - 1, n, 0.5))
    if relation == "less":
        return float(distributions.binom.cdf(only_first, n, 0.5))
    return min(1.0, 2 * float(distributions.binom.cdf(min(only_first, only_second), n, 0.5)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values in the given order: max over the smaller ones of (m - rank) p, at most 1. None stays
    None.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    worst = 0.0
    for rank, (p, i) in enumerate(known):
        worst = max(worst, min(1.0, (len(known) - rank) * p))
        adjusted[i] = worst
    return adjusted


def many_query(hits: Sequence[float] | np.ndarray, repeats: int, queries: int) -> np.ndarray:
    """Chance (N,) that at least one of `queries` tries succeeds, from `hits` (N,) successes in `repeats` judgings.

    Without bias for queries <= repeats: 1 - C(repeats - hits, queries) / C(repeats, queries). Beyond that only the
    plug-in 1 - (1 - hits / repeats)^queries exists, which is 0 where no hit was seen: read it as a lower estimate.
    """
    hits = _floats(hits)
    if repeats < 1 or queries < 1:
        raise BadArgument(f"repeats and queries must be at least 1, got {repeats} and {queries}.")
    if np.nanmin(hits, initial=0) < 0 or np.nanmax(hits, initial=0) > repeats:
        raise BadArgument(f"hits must lie between 0 and repeats = {repeats}.")
    if queries > repeats:
        return 1 - (1 - hits / repeats) ** queries
    missed = repeats - hits
    enough = missed >= queries
    left = np.where(enough, missed, queries)
    log_ratio = gammaln(left + 1) - gammaln(left - queries + 1) - gammaln(repeats + 1) + gammaln(repeats - queries + 1)
    return np.where(np.isnan(hits), np.nan, 1 - np.where(enough, np.exp(log_ratio), 0.0))


def paired_sample_size(difference: float, discordant: float, *, power: float = 0.8, level: float = 0.05) -> int:
    """Images needed to see a paired difference of two rates (Connor 1987): (z_a sqrt(D) + z_b sqrt(D - d²))² / d².

    `discordant` D is the share of images on which the two disagree; at least |difference|, which is the easiest case.
    """
    _check_difference(difference, discordant)
    z_a, z_b = distributions.norm.ppf(1 - level / 2), distributions.norm.ppf(power)
    d = abs(difference)
    return ceil((z_a * sqrt(discordant) + z_b * sqrt(discordant - d * d)) ** 2 / (d * d))


def paired_power(n: int, difference: float, discordant: float, *, level: float = 0.05) -> float:
    """Chance that `n` images show a paired difference of two rates at a two-sided level (the inverse of the above)."""
    _check_difference(difference, discordant)
    z_a, d = distributions.norm.ppf(1 - level / 2), abs(difference)
    spread = sqrt(max(discordant - d * d, 1e-12))
    return float(distributions.norm.cdf((d * sqrt(n) - z_a * sqrt(discordant)) / spread))


def detectable_difference(n: int, discordant: float, *, power: float = 0.8, level: float = 0.05) -> float | None:
    """Smallest paired difference that `n` images show with this power; None when even total disagreement is not
    enough.
    """
    low, high = 0.0, discordant
    if paired_power(n, high, discordant, level=level) < power:
        return None
    for _ in range(24):
        middle = (low + high) / 2
        if middle > 0 and paired_power(n, middle, discordant, level=level) >= power:
            high = middle
        else:
            low = middle
    return high


def quantiles(values: np.ndarray, level: float) -> tuple[float, float]:
    """The central interval of bootstrap values."""
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def bootstrap_p(values: np.ndarray, relation: Relation) -> float:
    """p-value against zero from bootstrap values, never below 1 / (B + 1)."""
    not_above = (1 + (values <= 0).sum()) / (len(values) + 1)
    not_below = (1 + (values >= 0).sum()) / (len(values) + 1)
    return float({"greater": not_above, "less": not_below}.get(relation, min(1.0, 2 * min(not_above, not_below))))


def _groups(factors: Sequence[Sequence[object] | np.ndarray], n: int) -> tuple[list[np.ndarray], tuple[int, ...]]:
    groups = [np.unique(np.asarray(f, dtype=str), return_inverse=True)[1] for f in factors]
    # a factor of one level adds no chance
    groups = [g for g in groups if g.max(initial=0) > 0] or [np.zeros(n, dtype=int)]
    return groups, tuple(int(g.max(initial=0)) + 1 for g in groups)


def _weights(groups: list[np.ndarray], sizes: tuple[int, ...], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (b, N) of bootstrap weights: the product of each factor's multinomial counts; empty draws are left out."""
    rng = np.random.default_rng(seed)
    block = max(1, CHUNK // max(len(groups[0]), 1))
    for start in range(0, resamples, block):
        draws = min(block, resamples - start)
        weights = np.ones((draws, len(groups[0])))
        for group, m in zip(groups, sizes, strict=True):
            weights *= rng.multinomial(max(m - 1, 1), np.full(m, 1 / m), size=draws)[:, group]
        yield weights[weights.sum(1) > 0]


def _bca(means: np.ndarray, values: np.ndarray, group: np.ndarray, level: float) -> tuple[float, float]:
    """Efron's BCa: the quantiles shifted by the bias z0 and the acceleration a (from the jackknife over clusters)."""
    mean, sums, counts = values.mean(), np.bincount(group, values), np.bincount(group)
    below = (means < mean).mean() + 0.5 * (means == mean).mean()
    z0 = distributions.norm.ppf(np.clip(below, 1e-6, 1 - 1e-6))
    without = (sums.sum() - sums) / (counts.sum() - counts)
    gap = without.mean() - without
    spread = (gap**2).sum() ** 1.5
    a = (gap**3).sum() / (6 * spread) if spread > 0 else 0.0
    z = distributions.norm.ppf([0.5 - level / 2, 0.5 + level / 2])
    low, high = np.quantile(means, distributions.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))))
    return float(low), float(high)


def _constant(
    values: np.ndarray, clusters: int, level: float, bounds: tuple[float, float] | None
) -> tuple[float, float]:
    """The interval of values that never vary: towards each bound by 1 - (alpha / 2)^(1 / m), the exact bound for no
    event.
    """
    mean = float(values.mean())
    if bounds is None:
        # nothing was learned about the spread: one cluster, or a constant without a known range
        return (mean, mean) if clusters > 1 else (float("-inf"), float("inf"))
    unseen = 1 - ((1 - level) / 2) ** (1 / clusters)
    return mean - (mean - bounds[0]) * unseen, mean + (bounds[1] - mean) * unseen


def constant_p(
    mean: float, null: float, clusters: int, relation: Relation, bounds: tuple[float, float] | None
) -> float:
    """p-value of values that never vary: the level at which their interval would touch `null`.

    Between the bounds -1 and 1 and against 0 that is the sign test, 0.5^m one-sided.
    """
    if mean == null or (relation != "two-sided" and (mean > null) != (relation == "greater")):
        return 1.0
    low, high = bounds or (2 * null - mean, 2 * null - mean)
    end = low if null < mean else high
    share = max((null - end) / (mean - end), 0.0) if mean != end else 1.0
    return min(1.0, (2 if relation == "two-sided" else 1) * share**clusters)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise BadArgument(f"an interval's level lies between 0 and 1, such as 0.95, got {level}.")


def _check_difference(difference: float, discordant: float) -> None:
    if not 0 < abs(difference) <= discordant <= 1:
        raise BadArgument(
            f"a paired difference needs 0 < |difference| <= discordant <= 1, got difference {difference}, "
            f"discordant {discordant}."
        )


def _floats(values: Sequence[object] | np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype == object:
        return np.array([np.nan if v is None else float(v) for v in array])
    return array.astype(float)
