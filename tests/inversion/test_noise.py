"""Noise maps: where they start, and what keeps them noise."""

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.inversion.noise import correlation, maps_of, moments_kept, normalised, starting_maps


def test_a_search_starts_from_the_generators_own_maps(generator):
    maps = maps_of(starting_maps(generator, 2, None))
    assert [tuple(m.shape) for m in maps] == [(2, 1, s, s) for s in (4, 8, 8, 16, 16)]
    for each, layer in zip(maps, generator.synthesis.convs(), strict=True):
        assert torch.equal(each[1, 0], layer.noise_const)


def test_drawn_maps_belong_to_the_sample(generator):
    both = maps_of(starting_maps(generator, 2, SampleRng.for_samples(0, "test", ["a", "b"])))
    alone = maps_of(starting_maps(generator, 1, SampleRng.for_samples(0, "test", ["b"])))
    assert all(torch.equal(x[1:], y) for x, y in zip(both, alone, strict=True))


def test_a_generator_without_maps_is_refused(toy):
    with pytest.raises(BadArgument, match="a LinearGenerator has none"):
        starting_maps(toy, 1, None)


def test_white_noise_correlates_little_and_a_picture_much():
    """A constant map has correlation 1 in both directions at each of its scales (32, 16, 8)."""
    white = torch.randn((200, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    # The mean of R^2 products has variance 1 / R^2; halved maps are of unit variance again.
    expected = 2 * (1 / 32**2 + 1 / 16**2 + 1 / 8**2)
    assert float(correlation([white]).mean()) == pytest.approx(expected, rel=0.1)
    constant = torch.ones(1, 1, 32, 32)
    assert float(correlation([constant])) == pytest.approx(2 * (1 + 2**4 + 4**4))


def test_a_map_is_measured_alone():
    maps = torch.randn((3, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    assert torch.equal(correlation([maps])[1:2], correlation([maps[1:2]]))


def test_maps_keep_the_moments_that_they_started_with():
    random = torch.Generator().manual_seed(0)
    start = {"noise00": torch.randn((2, 1, 8, 8), generator=random) * 3 + 1, "w": torch.zeros(2, 1, 4)}
    moved = {"noise00": torch.randn((2, 1, 8, 8), generator=random), "w": torch.ones(2, 1, 4)}
    moments_kept(start)(moved, {"noise00"})
    for way in (torch.mean, torch.std):
        torch.testing.assert_close(way(moved["noise00"], (1, 2, 3)), way(start["noise00"], (1, 2, 3)))
    assert torch.equal(moved["w"], torch.ones(2, 1, 4))
    rested = dict(start)
    moments_kept(start)(rested, {"w"})
    assert rested["noise00"] is start["noise00"]


def test_normalised_maps_have_mean_zero_and_mean_square_one():
    made = normalised({"noise00": torch.rand(2, 1, 16, 16), "w": torch.ones(2, 1, 4)})
    assert list(made) == ["noise00"]
    torch.testing.assert_close(made["noise00"].mean((1, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(made["noise00"].square().mean((1, 2, 3)), torch.ones(2))
