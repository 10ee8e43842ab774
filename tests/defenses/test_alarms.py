"""Thresholds: the promised rate of false alarms, never a threshold that rejects everything."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advgen.core.alarms import calibrate, threshold_at
from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng


@dataclass(frozen=True)
class Brightness:
    scale: float = 1.0

    def fit(self, clean, *, rng):
        return self

    def score(self, images, rng):
        assert len(rng) == len(images)
        return self.scale * images.flatten(1).mean(1)

    def surrogate(self):
        return self


@given(n=st.integers(10, 400), seed=st.integers(0, 99), fpr=st.floats(0.02, 0.9))
def test_at_most_the_allowed_share_of_the_calibration_images_is_rejected_and_never_all(n, seed, fpr):
    scores = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if fpr * n < 10:
        with pytest.raises(BadArgument, match="clean calibration images"):
            threshold_at(scores, fpr=fpr)
        return
    threshold = threshold_at(scores, fpr=fpr)
    assert float((scores > threshold).double().mean()) <= fpr
    assert threshold >= float(scores.min())
    assert threshold in scores.tolist()


@pytest.mark.parametrize(("n", "lowest"), [(100, 0.1), (1000, 0.01)])
def test_the_lowest_rate_is_ten_false_alarms_among_the_calibration_images(n, lowest):
    scores = torch.arange(n, dtype=torch.float64)
    assert int((scores > threshold_at(scores, fpr=lowest)).sum()) == 9  # one less than 10: the new image counts too
    with pytest.raises(BadArgument, match=f"got {n:,}"):
        threshold_at(scores, fpr=0.99 * lowest)


def test_ten_images_are_too_few_for_any_rate():
    for fpr in (0.05, 0.5, 0.99):
        with pytest.raises(BadArgument, match="got 10"):
            threshold_at(torch.rand(10), fpr=fpr)


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_outside_of_0_and_1_is_refused(fpr):
    with pytest.raises(BadArgument, match="between 0 and 1"):
        threshold_at(torch.rand(100), fpr=fpr)


def test_a_higher_rate_never_raises_the_threshold():
    scores = torch.rand(333, generator=torch.Generator().manual_seed(1))
    thresholds = [threshold_at(scores, fpr=k / 100) for k in range(4, 100)]
    assert thresholds == sorted(thresholds, reverse=True)


def test_new_clean_images_are_rejected_at_no_more_than_the_rate_on_average():
    """Split conformal: E[P(new > threshold)] <= fpr; 4,000 repetitions leave a standard error of 0.0003."""
    generator = torch.Generator().manual_seed(7)
    rejected = []
    for _ in range(4000):
        scores = torch.randn(100, generator=generator, dtype=torch.float64)
        beyond = 1 - torch.special.ndtr(torch.tensor(threshold_at(scores, fpr=0.1), dtype=torch.float64))
        rejected.append(float(beyond))
    mean = sum(rejected) / len(rejected)
    assert 0.095 < mean < 0.1 + 3 * 0.0005  # m = 10 of 101: 0.0990 in expectation


def test_equal_scores_do_not_break_the_bound():
    scores = torch.tensor([0.0] * 50 + [1.0] * 50)
    assert float((scores > threshold_at(scores, fpr=0.2)).float().mean()) <= 0.2


def test_calibrating_gives_threshold_and_sigma_of_the_clean_scores_whatever_the_batch_size():
    images = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    rng = SampleRng.for_samples(0, "defense", [str(i) for i in range(200)])
    alarms = [calibrate(Brightness(), images, fpr=0.1, rng=rng, slice_hash="abc", batch_size=b) for b in (7, 200)]
    assert alarms[0] == alarms[1]
    scores = images.flatten(1).mean(1).double()
    assert alarms[0].threshold == threshold_at(scores, fpr=0.1)
    assert alarms[0].sigma == pytest.approx(float(scores.std()))
    assert (alarms[0].fpr, alarms[0].calibrated_on) == (0.1, "abc")


def test_a_detector_without_an_opinion_and_scores_that_are_no_numbers_are_refused():
    images = torch.rand(200, 1, 8, 8)
    rng = SampleRng.for_samples(0, "defense", [str(i) for i in range(200)])
    with pytest.raises(BadArgument, match="same score"):
        calibrate(Brightness(0.0), images, fpr=0.1, rng=rng, slice_hash="")
    with pytest.raises(BadArgument, match="200 of 200 clean scores are not finite"):
        calibrate(Brightness(float("nan")), images, fpr=0.1, rng=rng, slice_hash="")
