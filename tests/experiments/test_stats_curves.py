"""Curves agree with scikit-learn, and detectors get no number that their images cannot carry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from advgen.core.errors import BadArgument
from advgen.experiments import curves

RNG = np.random.default_rng
SCORES = st.lists(st.integers(0, 6), min_size=2, max_size=30)


@given(SCORES, SCORES)
def test_roc_and_auc_agree_with_scikit_learn(clean: list[int], adversarial: list[int]) -> None:
    truth, scores = [0] * len(clean) + [1] * len(adversarial), clean + adversarial
    fpr, tpr, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    ours = curves.roc(clean, adversarial)
    np.testing.assert_allclose(ours.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(ours.tpr, tpr, atol=1e-12)
    assert curves.auc(clean, adversarial).value == pytest.approx(metrics.roc_auc_score(truth, scores))


def test_delong_agrees_with_the_bootstrap_for_independent_images() -> None:
    rng = RNG(0)
    clean, adversarial = rng.normal(0, 1, 150), rng.normal(1, 1, 150)
    ours = curves.auc(clean, adversarial)
    boot = curves.clustered_auc(clean, adversarial, np.arange(150), 1000 + np.arange(150))
    assert (ours.low, ours.high) == pytest.approx((boot.low, boot.high), abs=0.02)


def test_delong_covers_the_true_area() -> None:
    from scipy.stats import norm

    truth, covered = norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(300):
        rng = RNG(seed)
        area = curves.auc(rng.normal(0, 1, 50), rng.normal(1, 1, 60))
        covered += area.low <= truth <= area.high
    assert 275 <= covered <= 298


def test_clusters_that_share_luck_widen_the_area() -> None:
    rng = RNG(1)
    cluster = np.repeat(np.arange(15), 10)
    clean, adversarial = rng.normal(0, 1, 15)[cluster], 0.5 + rng.normal(0, 1, 15)[cluster]
    independent = curves.auc(clean, adversarial)
    clustered = curves.clustered_auc(clean, adversarial, cluster, 100 + cluster)
    assert clustered.high - clustered.low > 1.5 * (independent.high - independent.low)


def test_perfect_separation_still_has_an_interval() -> None:
    area = curves.auc(np.arange(20), 100 + np.arange(30))
    assert area.value == 1
    assert area.low == pytest.approx(0.025 ** (1 / 20))


def test_an_area_over_nothing_is_empty() -> None:
    assert curves.auc([], [1.0]).value is None
    with pytest.raises(BadArgument, match="clean and adversarial"):
        curves.roc([], [1.0])


def test_the_calibrated_threshold_keeps_the_false_alarm_rate() -> None:
    kept = []
    for seed in range(300):
        scores = RNG(seed).random(200)
        kept.append(1 - curves.operating_points(scores, [0.5], [0.5], wanted=[0.05])[0].threshold)
    assert np.mean(kept) <= 0.05 + 2 * np.std(kept) / np.sqrt(300)
    assert np.mean(kept) > 0.04


def test_a_false_alarm_rate_below_ten_in_n_is_refused() -> None:
    five, one, tenth = curves.operating_points(np.arange(200), np.arange(50), 150 + np.arange(50))
    assert (five.refused, five.detected.value) == ("", pytest.approx(0.18))  # 191st of 200 is 190: 191..199 of 150..199
    assert one.detected is None
    assert "1000 clean calibration images, there are 200" in one.refused
    assert tenth.threshold is None


def test_a_subtracted_threshold_is_read_at_zero() -> None:
    false_alarms, detected = curves.alarm_point([-1, 0, 0.1, np.nan], [1, 2, -1])
    assert (false_alarms.hits, false_alarms.n, detected.hits, detected.n) == (1, 3, 2, 3)


def test_calibration_error_is_zero_for_honest_probabilities_and_the_gap_for_shifted_ones() -> None:
    p = RNG(2).random(200_000)
    outcome = RNG(3).random(200_000) < p
    assert curves.calibration_error(p, outcome).error < 0.01
    assert curves.calibration_error(np.full(100, 0.9), [True] * 60 + [False] * 40).error == pytest.approx(0.3)
    with pytest.raises(BadArgument, match="probabilities"):
        curves.calibration_error([1.5], [True])


def test_refusing_the_suspect_first_lowers_the_risk() -> None:
    result = curves.risk_coverage([0, 1, 2, 3], [0, 0, 1, 1])
    np.testing.assert_allclose(result.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(result.risk, [0, 0, 1 / 3, 0.5])
    constant = curves.risk_coverage([1, 1, 1, 1], [0, 0, 1, 1])
    np.testing.assert_allclose(constant.risk, [0.5])


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    points = np.array([[1, 5], [2, 2], [5, 1], [3, 3], [2, 2], [1, 6]])
    assert curves.pareto(points).tolist() == [True, True, True, False, True, False]
