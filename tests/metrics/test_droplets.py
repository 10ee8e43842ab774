"""Peaks over medians that can be worked out by hand."""

import math

import pytest
import torch
from scipy.stats import norm
from torch import nn

from advgen.core.errors import BadArgument, UnknownName
from advgen.generators.stylegan2.layers import adaptive_instance_norm
from advgen.metrics.droplets import droplets, feature_maps_of, peak_over_deviation, peak_over_median


def test_one_spot_among_ones_gives_its_height() -> None:
    maps = torch.ones(3, 5, 8, 8)
    maps[1, :, 2, 3] = 40
    assert peak_over_median([maps])[0].tolist() == pytest.approx([1, 40, 1])


def test_the_number_does_not_depend_on_scale_sign_rotation_of_channels_or_place() -> None:
    maps = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    expected = peak_over_median([maps])
    for changed in (7 * maps, -maps, torch.einsum("dc,nchw->ndhw", turn, maps), maps.roll((3, 2), (2, 3))):
        assert torch.allclose(peak_over_median([changed]), expected, rtol=1e-5)


def test_normal_noise_of_one_channel_has_the_known_median() -> None:
    """The median of |x| of a standard normal is 0.6745; the largest is that of the draw."""
    maps = torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    expected = float(maps.abs().max()) / norm.ppf(0.75)
    assert float(peak_over_median([maps])) == pytest.approx(expected, rel=0.02)


def test_maps_without_a_median_are_infinite_and_empty_ones_are_flat() -> None:
    maps = torch.zeros(2, 1, 4, 4)
    maps[0, 0, 0, 0] = 1
    assert peak_over_median([maps])[0].tolist() == [math.inf, 1.0]


def test_one_spot_in_flat_maps_is_as_many_deviations_high_as_the_number_of_points_says() -> None:
    maps = torch.ones(2, 5, 8, 8)
    maps[1, :3, 2, 3] = 40
    assert peak_over_deviation([maps])[0].tolist() == pytest.approx([0, 3 / 5 * math.sqrt(63)])


def test_adaptive_instance_norm_moves_peaks_over_medians_and_leaves_peaks_over_deviations() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, styles = (torch.randn(*shape, generator=generator) for shape in ((2, 4, 8, 8), (2, 8)))
    normalised = adaptive_instance_norm(maps * torch.tensor([1, 5, 0.1, 30]).view(4, 1, 1), styles)
    assert torch.allclose(peak_over_deviation([normalised]), peak_over_deviation([maps]), rtol=1e-3)
    assert not torch.allclose(peak_over_median([normalised]), peak_over_median([maps]), rtol=0.1)


def test_an_image_counts_when_any_layer_stands_out() -> None:
    first, second = torch.ones(4, 2, 8, 8), torch.ones(4, 3, 16, 16)
    first[0, :, 1, 1] = 20
    second[3, :, 5, 5] = 20
    report = droplets([first, second], limit=10)
    assert (report.share, report.n, report.median) == (0.5, 4, (1.0, 1.0))
    assert report.interval[0] < 0.5 < report.interval[1]
    assert report.ratios.shape == (2, 4)


def test_maps_are_taken_where_they_are_asked_for_and_hooks_are_gone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 1))
    x = torch.ones(2, 1, 4, 4)
    late, early = feature_maps_of(network, ["2", "1"], lambda: network(x))
    assert (late.shape[1], early.shape[1]) == (3, 2)
    assert torch.equal(late, network(x))
    assert torch.equal(feature_maps_of(network, ["2"], lambda: network(x), inputs=True)[0], early)
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(UnknownName, match="layer '7'"):
        feature_maps_of(network, ["7"], lambda: network(x))
    with pytest.raises(BadArgument, match="did not run: 2"):
        feature_maps_of(network, ["2"], lambda: network[0](x))


def test_bad_maps_are_refused() -> None:
    with pytest.raises(BadArgument, match="got none"):
        peak_over_median([])
    with pytest.raises(BadArgument, match="of one N"):
        peak_over_median([torch.ones(2, 1, 4, 4), torch.ones(3, 1, 4, 4)])
