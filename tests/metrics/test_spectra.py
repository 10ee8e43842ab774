"""Spectra with known answers: Parseval, white noise, one wave, zero insertion."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advgen.core.errors import BadArgument
from advgen.metrics.spectra import coefficients, compare_spectra, radial_power


def noise(seed: int, count: int, side: int = 32, sigma: float = 0.1) -> torch.Tensor:
    return 0.5 + sigma * torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(seed))


@given(st.integers(8, 20), st.integers(8, 20), st.sampled_from([1, 3]), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_power_times_coefficients_is_the_energy_of_the_pixels(h: int, w: int, channels: int, seed: int) -> None:
    images = torch.rand(2, channels, h, w, generator=torch.Generator().manual_seed(seed))
    total = (radial_power(images) * coefficients(h, w)).sum(1)
    assert torch.allclose(total, images.double().square().sum((2, 3)).mean(1))
    assert int(coefficients(h, w).sum()) == h * w


def test_white_noise_is_flat_at_its_variance() -> None:
    power = radial_power(noise(0, 400, sigma=0.2)).mean(0)[1:17]
    assert torch.allclose(power, torch.full_like(power, 0.04), rtol=0.05)


@pytest.mark.parametrize("k", [1, 5, 16])
def test_a_wave_has_its_power_at_its_frequency_alone(k: int) -> None:
    x = torch.arange(32, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * k * x / 32).expand(1, 1, 32, 32)
    energy = radial_power(wave)[0] * coefficients(32, 32)
    assert int(energy.argmax()) == k
    assert float(energy[k]) == pytest.approx(float(wave.square().sum()))


def test_shifts_and_mirrors_do_not_change_a_spectrum() -> None:
    images = torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    for changed in (images.roll((3, 5), (2, 3)), images.flip(3)):
        assert torch.allclose(radial_power(changed), radial_power(images))


def test_zero_insertion_repeats_the_low_frequencies_at_the_high_ones_and_is_found() -> None:
    """Up-sampling by zeros mirrors the spectrum: the artefact that the paper shows."""
    smooth = torch.nn.functional.interpolate(noise(1, 200, side=8, sigma=1), size=(32, 32), mode="bicubic")
    other = torch.nn.functional.interpolate(noise(2, 200, side=8, sigma=1), size=(32, 32), mode="bicubic")
    zeros = torch.zeros_like(other)
    zeros[..., ::2, ::2] = 4 * other[..., ::2, ::2]
    good, bad = compare_spectra(smooth, other), compare_spectra(smooth, zeros)
    assert good.high_interval[0] < 0 < good.high_interval[1]
    assert bad.high_interval[0] > 10
    assert bad.distance > 10 * good.distance


def test_half_the_contrast_is_six_decibels_everywhere() -> None:
    images = noise(3, 50)
    report = compare_spectra(images, images / 2)
    assert report.distance == pytest.approx(20 * math.log10(2))
    assert report.high == pytest.approx(-20 * math.log10(2))
    assert report.interval is not None
    assert report.frequencies[-1] == 0.5


def test_the_interval_of_equal_distributions_says_that_it_is_bias() -> None:
    report = compare_spectra(noise(4, 100), noise(5, 100))
    assert report.distance - report.bias < 0.5 * report.distance


def test_bytes_are_read_as_the_same_images() -> None:
    images = (noise(6, 4) * 255).round().clamp(0, 255)
    assert torch.allclose(radial_power(images.byte()), radial_power(images / 255), rtol=1e-5)


def test_bad_input_is_refused() -> None:
    with pytest.raises(BadArgument, match="one size"):
        compare_spectra(noise(0, 2), noise(0, 2, side=16))
    with pytest.raises(BadArgument, match="at least one"):
        radial_power(torch.empty(0, 1, 8, 8))
    assert compare_spectra(noise(0, 3), noise(1, 3)).interval is None
