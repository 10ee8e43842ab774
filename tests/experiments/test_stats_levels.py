"""Intervals over seeds and samples: known answers, and the coverage that they promise."""

import numpy as np
import pytest
from scipy import stats as reference

from advgen.experiments.stats_levels import Sides, estimate, levels, rank_correlation, unpaired


def grid(values: np.ndarray, second: np.ndarray | None = None) -> Sides:
    """(seeds, samples) values: every sample under every seed."""
    m, n = values.shape
    seeds, samples = np.repeat(np.arange(m), n).astype(str), np.tile(np.arange(n), m).astype(str)
    return Sides(values.ravel(), None if second is None else second.ravel(), seeds, samples)


def of_seeds(values: np.ndarray, second: np.ndarray | None = None) -> Sides:
    """One number a seed."""
    names = np.arange(len(values)).astype(str)
    return Sides(values, second, names, np.char.add("seed/", names))


def test_one_number_a_seed_is_students_interval():
    values = np.array([0.3, 0.5, 0.1, 0.6])
    found = estimate(of_seeds(values), null=0.0)
    expected = reference.ttest_1samp(values, 0.0)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p == pytest.approx(expected.pvalue)


def test_two_arms_of_one_number_a_seed_are_students_paired_test():
    first, second = np.array([1.0, 1.4, 0.9]), np.array([0.8, 1.3, 0.5])
    found = estimate(of_seeds(first, second), null=0.0)
    assert found.p == pytest.approx(reference.ttest_rel(first, second).pvalue)


def test_one_seed_of_many_samples_is_students_interval_over_samples():
    values = np.random.default_rng(0).normal(size=(1, 30))
    found = estimate(grid(values))
    interval = reference.ttest_1samp(values[0], 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(interval))


def test_samples_that_stand_under_one_seed_alone_count_through_it():
    rng = np.random.default_rng(1)
    values, seeds = rng.normal(size=40), np.repeat(["a", "b", "c", "d"], 10)
    nested = estimate(Sides(values, None, seeds, np.arange(40).astype(str)))
    means = values.reshape(4, 10).mean(1)
    assert (nested.low, nested.high) == pytest.approx(tuple(reference.ttest_1samp(means, 0).confidence_interval(0.95)))


def test_an_independent_welch_test_is_what_unshared_samples_get():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=12), rng.normal(0.5, 2, size=20)
    one, other = (Sides(v, None, np.full(len(v), "0"), np.arange(len(v)).astype(str)) for v in (first, second))
    expected = reference.ttest_ind(first, second, equal_var=False)
    found = unpaired(one, other, null=0.0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_a_ratio_is_that_of_the_means_and_turns_over_with_its_sides():
    first, second = np.array([1.0, 2.0, 3.0, 2.5]), np.array([2.0, 4.1, 6.3, 4.4])
    one, other = (estimate(of_seeds(*sides), ratio=True, null=1.0) for sides in ((first, second), (second, first)))
    assert one.value == pytest.approx(first.mean() / second.mean())
    assert (one.low, one.high) == pytest.approx((1 / other.high, 1 / other.low))
    assert one.p == pytest.approx(other.p)


def test_chance_that_seeds_and_samples_share_is_counted_once():
    noise = np.random.default_rng(3).normal(size=(20, 20))  # neither seeds nor samples matter
    variance = sum(v.variance for v in levels(grid(noise)))
    assert variance == pytest.approx(noise.var() / noise.size, rel=0.5)


def test_nothing_is_known_of_a_number_alone_or_of_equal_ones():
    assert estimate(of_seeds(np.array([1.0]))) is None
    assert estimate(of_seeds(np.full(5, 0.1))) is None
    assert estimate(of_seeds(np.full(5, 0.1) + 0.2, np.full(5, 0.1))) is None  # equal but for rounding


@pytest.mark.parametrize(("of_seed", "of_sample", "own"), [(1, 1, 1), (0, 0, 1), (1, 0, 0.1), (0, 1, 0.1), (0.3, 1, 0)])
@pytest.mark.parametrize("ratio", [False, True])
def test_the_interval_covers_the_truth_as_often_as_it_says(of_seed, of_sample, own, ratio):
    """Three seeds of twenty samples, 300 times; 91% leaves room for chance, and wider than promised is honest."""
    rng = np.random.default_rng(4)
    covered, truth = 0, 1.0 if ratio else 0.0

    def values() -> np.ndarray:
        chance = of_seed * rng.normal(size=(3, 1)) + of_sample * rng.normal(size=20) + own * rng.normal(size=(3, 20))
        return 20 * ratio + chance

    for _ in range(300):
        found = estimate(grid(values(), values()), ratio=ratio)
        covered += found.low <= truth <= found.high
    assert covered / 300 >= 0.91


def test_three_seeds_that_agree_by_luck_decide_nothing():
    assert estimate(of_seeds(np.array([0.2, 0.5, 0.9])), null=0.0).p > 0.05


def test_ranks_that_agree_wholly_have_correlation_one_and_an_exact_p_value():
    values = np.array([1.0, 2, 4, 8, 16, 32])
    found = rank_correlation(values, values**2)
    assert found.value == pytest.approx(1)
    assert found.p == pytest.approx(2 / 720)
    assert found.low > 0
    assert rank_correlation(values, -values).value == pytest.approx(-1)


def test_four_arms_are_too_few_to_show_an_order():
    assert rank_correlation(np.arange(4.0), np.arange(4.0)).p > 0.05


def test_rank_correlation_is_spearmans_with_a_p_value_like_the_librarys():
    rng = np.random.default_rng(5)
    first = rng.normal(size=30)
    second = first + rng.normal(size=30)
    found, expected = rank_correlation(first, second), reference.spearmanr(first, second)
    assert found.value == pytest.approx(expected.statistic)
    assert found.p < 0.01
    assert found.low < expected.statistic < found.high
