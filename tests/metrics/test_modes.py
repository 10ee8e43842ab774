"""Coverage, good samples and reverse KL where all three are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, entropy

from advgen.core.errors import BadArgument
from advgen.metrics.modes import class_modes, gaussian_modes, grid, ring


def drawn(centres: torch.Tensor, sigma: float, count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(len(centres), (count,), generator=generator)
    return centres[which] + sigma * torch.randn(count, 2, generator=generator)


def test_ring_and_grid_lie_where_they_should() -> None:
    assert torch.allclose(ring(8, radius=2).norm(dim=1), torch.tensor(2.0))
    gaps = torch.cdist(ring(8, radius=2), ring(8, radius=2)).fill_diagonal_(9).amin(1)
    assert torch.allclose(gaps, torch.tensor(4 * math.sin(math.pi / 8)))
    assert grid(5, spacing=2).shape == (25, 2)
    assert torch.allclose(grid(5, spacing=2).mean(0), torch.zeros(2))
    assert grid(5, spacing=2).max() == 4


def test_the_true_distribution_covers_all_and_has_the_gaussian_share_of_good_samples() -> None:
    centres = grid()
    report = gaussian_modes(drawn(centres, 0.05, 20_000), centres, sigma=0.05)
    assert (report.covered, report.modes, report.n) == (25, 25, 20_000)
    within = chi2.cdf(9, df=2)  # three standard deviations in the plane
    assert report.good_interval[0] < within < report.good_interval[1]
    assert report.reverse_kl < 5 * report.reverse_kl_bias


@pytest.mark.parametrize("met", [1, 4, 8])
def test_dropped_modes_give_log_of_their_factor(met: int) -> None:
    samples = ring()[:met].repeat(50, 1)
    report = gaussian_modes(samples, ring(), sigma=0.01)
    assert report.covered == met
    assert report.reverse_kl == pytest.approx(math.log(8 / met))
    assert report.good == 1.0


def test_samples_between_modes_are_counted_but_not_good_and_cover_nothing() -> None:
    report = gaussian_modes(ring() * 1.5, ring(), sigma=0.1)
    assert report.counts == (1,) * 8
    assert (report.covered, report.good) == (0, 0.0)


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4).filter(sum), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_reverse_kl_is_scipys_entropy(counts: list[int], seed: int) -> None:
    data = np.random.default_rng(seed).dirichlet(np.ones(4) * 3) * 0.96 + 0.01
    logits = torch.eye(4).repeat_interleave(torch.tensor(counts), dim=0) * 9
    report = class_modes(logits, shares=data.tolist())
    assert report.reverse_kl == pytest.approx(entropy(np.array(counts) / sum(counts), data), abs=1e-12)
    assert report.counts == tuple(counts)
    assert report.covered == sum(c > 0 for c in counts)


def test_the_interval_holds_the_true_divergence_and_the_bias_is_that_of_a_right_model() -> None:
    model = torch.tensor([0.4, 0.3, 0.2, 0.1])
    truth = entropy(model.numpy(), np.full(4, 0.25))
    generator = torch.Generator().manual_seed(0)
    held, right = 0, []
    for _ in range(200):
        labels = torch.multinomial(model, 300, replacement=True, generator=generator)
        low, high = class_modes(torch.eye(4)[labels] * 9).reverse_kl_interval
        held += low <= truth <= high
        labels = torch.randint(4, (300,), generator=generator)
        report = class_modes(torch.eye(4)[labels] * 9)
        right.append(report.reverse_kl)
    assert 180 <= held <= 199
    assert np.mean(right) == pytest.approx(report.reverse_kl_bias, rel=0.2)


def test_unsure_classes_count_but_do_not_cover() -> None:
    sure, unsure = torch.tensor([[9.0, 0, 0]]), torch.tensor([[0, 0.1, 0.0]])
    report = class_modes(torch.cat([sure, unsure]))
    assert report.counts == (1, 1, 0)
    assert (report.covered, report.good) == (1, 0.5)


def test_bad_input_is_refused() -> None:
    with pytest.raises(BadArgument, match="at least one"):
        gaussian_modes(torch.empty(0, 2), ring(), sigma=0.1)
    with pytest.raises(BadArgument, match=r"\(N, 2\)"):
        gaussian_modes(torch.zeros(4, 3), ring(), sigma=0.1)
    with pytest.raises(BadArgument, match="sum to 1"):
        class_modes(torch.zeros(4, 3), shares=[0.5, 0.5, 0.5])
