"""Intervals and tests agree with closed forms and other libraries, and cover what they promise to cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as distributions

from advgen.core.errors import BadArgument
from advgen.experiments import stats

RNG = np.random.default_rng


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 64), (32, 64), (64, 64), (1, 1)])
def test_wilson_agrees_with_scipy(hits: int, n: int) -> None:
    ours = stats.wilson(hits, n)
    theirs = distributions.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_a_rate_of_nothing_is_empty() -> None:
    assert stats.wilson(0, 0) == (None, None, None, 0, 0)
    assert stats.rate([np.nan, np.nan]).value is None
    assert "n = 0" in str(stats.wilson(0, 0))


@given(st.integers(1, 500), st.floats(0, 1))
def test_a_rate_lies_inside_its_interval(n: int, share: float) -> None:
    rate = stats.wilson(share * n, n)
    assert 0 <= rate.low <= rate.value <= rate.high <= 1


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(BadArgument, match="0 <= hits <= n"):
        stats.wilson(5, 4)
    with pytest.raises(BadArgument, match="level"):
        stats.wilson(1, 4, level=95)


def test_the_bootstrap_interval_agrees_with_the_normal_one_for_many_independent_values() -> None:
    values = RNG(0).normal(3, 2, 2000)
    ours = stats.bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    assert ours.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert ours.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_bca_agrees_with_scipy_on_skewed_values() -> None:
    values = RNG(1).exponential(1, 200)
    ours = stats.bootstrap_mean(values, resamples=20000, method="bca")
    theirs = distributions.bootstrap(
        (values,), np.mean, n_resamples=20000, method="BCa", rng=RNG(2)
    ).confidence_interval
    # n - 1 draws widen the interval by half a percent
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.012)


def test_clusters_widen_the_interval_and_cover_the_truth() -> None:
    covered_flat = covered_clustered = 0
    for seed in range(200):
        rng = RNG(seed)
        shift = np.repeat(rng.normal(0, 1, 40), 5)
        values, cluster = shift + rng.normal(0, 0.3, 200), np.repeat(np.arange(40), 5)
        flat = stats.bootstrap_mean(values, resamples=400)
        clustered = stats.bootstrap_mean(values, cluster, resamples=400)
        covered_flat += flat.low <= 0 <= flat.high
        covered_clustered += clustered.low <= 0 <= clustered.high
    assert covered_flat < 140  # of a promised 190: independent images would be a lie
    assert covered_clustered >= 180


def test_three_training_seeds_enter_the_interval() -> None:
    rng = RNG(3)
    training, identity = np.repeat(np.arange(3), 100), np.tile(np.arange(100), 3)
    values = np.array([-0.3, 0.0, 0.3])[training] + rng.normal(0, 0.1, 300)
    of_images = stats.bootstrap_mean(values, identity)
    of_both = stats.bootstrap_mean(values, training, identity)
    assert of_images.high - of_images.low < 0.05
    # standard error of three seeds: 0.3 / sqrt(3) = 0.17
    assert of_both.high - of_both.low > 0.4


def test_the_paired_interval_is_narrower_than_the_unpaired_one() -> None:
    rng = RNG(4)
    hardness = rng.random(200)
    first, second = hardness < 0.6, hardness < 0.5
    paired = stats.paired_bootstrap(first, second)
    unpaired = stats.unpaired_difference(stats.rate(first), stats.rate(second))
    assert paired.value == pytest.approx(unpaired.value)
    assert paired.high - paired.low < 0.6 * (unpaired.high - unpaired.low)
    assert paired.p < 0.01 < unpaired.p


def test_two_equal_columns_do_not_claim_certainty() -> None:
    same = stats.paired_bootstrap([1, 0, 1, 1] * 5, [1, 0, 1, 1] * 5)
    assert same.low == pytest.approx(-(1 - 0.025 ** (1 / 20)))
    assert same.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert same.p == 1.0


def test_the_bootstrap_is_a_function_of_its_seed() -> None:
    values = RNG(5).random(50)
    assert stats.bootstrap_mean(values, seed=1) == stats.bootstrap_mean(values, seed=1)
    assert stats.bootstrap_mean(values, seed=1) != stats.bootstrap_mean(values, seed=2)


def test_the_bootstrap_of_nothing_is_empty() -> None:
    assert stats.bootstrap_mean([]).value is None
    assert stats.paired_bootstrap([np.nan], [1]).n == 0


def test_newcombe_gives_the_published_example() -> None:
    # Newcombe 1998, table II, example (a), method 10: 56/70 against 48/80
    difference = stats.unpaired_difference(stats.wilson(56, 70), stats.wilson(48, 80))
    assert (difference.low, difference.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["two-sided", "greater", "less"]))
def test_mcnemar_is_the_binomial_test_of_discordant_pairs(b: int, c: int, relation: str) -> None:
    first, second = [1] * b + [0] * c + [1] * 4, [0] * b + [1] * c + [1] * 4
    ours = stats.mcnemar(first, second, relation=relation)
    expected = distributions.binomtest(b, b + c, 0.5, alternative=relation).pvalue if b + c else 1.0
    assert ours == pytest.approx(expected)


def test_holm_gives_the_hand_calculation_and_keeps_missing_values() -> None:
    assert stats.holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert stats.holm([]) == []


@given(st.integers(1, 12), st.data())
def test_many_queries_agree_with_counting_subsets(repeats: int, data: st.DataObject) -> None:
    hits, queries = data.draw(st.integers(0, repeats)), data.draw(st.integers(1, repeats))
    expected = 1 - distributions.hypergeom.pmf(0, repeats, hits, queries)
    assert stats.many_query([hits], repeats, queries)[0] == pytest.approx(expected)


def test_more_queries_than_judgings_use_the_closed_form() -> None:
    assert stats.many_query([5, 0], 20, 100) == pytest.approx([1 - 0.75**100, 0])


def test_the_sample_size_reaches_its_power_in_simulation() -> None:
    difference, discordant = 0.06, 0.25
    n = stats.paired_sample_size(difference, discordant)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    counts = RNG(6).multinomial(n, shares, size=20_000)  # large n: the formula is asymptotic
    z = (counts[:, 0] - counts[:, 1]) / np.sqrt(np.maximum(counts[:, 0] + counts[:, 1], 1))
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.8, abs=0.03)
    assert stats.paired_power(n, difference, discordant) == pytest.approx(0.8, abs=0.01)
    assert stats.detectable_difference(n, discordant) == pytest.approx(difference, rel=0.01)


def test_an_impossible_difference_is_refused() -> None:
    with pytest.raises(BadArgument, match="discordant"):
        stats.paired_sample_size(0.3, 0.2)
    assert stats.detectable_difference(5, 0.2) is None


def test_columns_that_never_vary_are_tested_as_their_interval_says() -> None:
    always, never = np.ones(30), np.zeros(30)
    assert stats.paired_bootstrap(always, never).p == pytest.approx(2 * 0.5**30)
    touching = stats.paired_bootstrap(never, never).high
    assert stats.paired_bootstrap(never, never, null=touching).p == pytest.approx(0.05)
