"""Azimuthally averaged power spectra, and the distance between those of two sets (up-sampling artefacts).

The power |F|^2 of the orthonormal Fourier transform of each channel, averaged over channels, and over all coefficients
whose distance from zero frequency rounds to k / M cycles a pixel, M the shorter side. So white noise of variance s^2 is
flat at s^2, and power times coefficients sums to the energy of the pixels (Parseval). Rings above k = M / 2, which only
the corners reach, are kept in the spectrum and left out of the distance, as is k = 0, the mean grey.
The distance is the root mean square over k of the ratio of the two mean spectra in decibels.

Durall, Keuper and Keuper 2020, "Watch your up-convolution", arXiv 2003.01826.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.metrics._intervals import Interval, jackknife

_CHUNK = 256
_FAINTEST = 1e-12  # power; a flat image has none, and the decibels of nothing are not a number


class SpectralReport(NamedTuple):
    """How the spectrum of generated images differs from that of real ones."""

    distance: float  # dB, root mean square over frequencies
    interval: Interval | None  # 95%; None under 40 images in a set
    bias: float | None  # dB that come from the number of images alone
    high: float  # dB, mean over the upper half of the frequencies; > 0: generated images have more power there
    high_interval: Interval | None
    frequencies: Tensor  # (B,) cycles a pixel, up to 1/2
    real: Tensor  # (B,) mean power
    fake: Tensor
    n_real: int
    n_fake: int


def radial_power(images: Tensor) -> Tensor:
    """(N, B) power of (N, C, H, W) images by ring of frequencies, float64; ring k lies at k / min(H, W) cycles a pixel.

    Bytes are taken as [0, 1]. B reaches to the corners; `coefficients` says how many each ring holds.

    Raises:
        BadArgument: not (N, C, H, W).
    """
    if images.ndim != 4 or not len(images):
        raise BadArgument(f"spectra are taken of images (N, C, H, W), at least one; got {tuple(images.shape)}.")
    height, width = images.shape[-2:]
    ring = _rings(height, width).flatten().to(images.device)
    counts = ring.bincount().double()
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    rows = []
    for chunk in images.split(_CHUNK):
        power = torch.fft.fft2(chunk.double() / scale, norm="ortho").abs().square().mean(1).flatten(1)
        rows.append(power.new_zeros(len(chunk), len(counts)).index_add_(1, ring, power) / counts)
    return torch.cat(rows)


def coefficients(height: int, width: int) -> Tensor:
    """(B,) how many Fourier coefficients each ring of `radial_power` holds."""
    return _rings(height, width).flatten().bincount()


def compare_spectra(real: Tensor, fake: Tensor, *, seed: int = 0) -> SpectralReport:
    """The distance between the spectra of real and generated images, (N, C, H, W) bytes or floats in [0, 1].

    Raises:
        BadArgument: images of two sizes, or under 8 pixels.
    """
    if real.shape[-2:] != fake.shape[-2:] or min(real.shape[-2:]) < 8:
        raise BadArgument(
            f"spectra are compared at one size of at least 8 pixels, got {tuple(real.shape[-2:])} and "
            f"{tuple(fake.shape[-2:])}."
        )
    last = min(real.shape[-2:]) // 2
    one, other = radial_power(real)[:, 1 : last + 1].cpu(), radial_power(fake)[:, 1 : last + 1].cpu()
    distance, high = _distance(one, other), _high(one, other)
    moved = jackknife(_distance, one, other, value=distance, seed=seed)
    moved_high = jackknife(_high, one, other, value=high, seed=seed)
    return SpectralReport(
        distance=distance,
        interval=(max(0.0, distance - moved.margin), distance + moved.margin) if moved else None,
        bias=moved.bias if moved else None,
        high=high,
        high_interval=(high - moved_high.margin, high + moved_high.margin) if moved_high else None,
        frequencies=torch.arange(1, last + 1, dtype=torch.float64) / min(real.shape[-2:]),
        real=one.mean(0),
        fake=other.mean(0),
        n_real=len(real),
        n_fake=len(fake),
    )


def _decibels(real: Tensor, fake: Tensor) -> Tensor:
    return 10 * (fake.mean(0).clamp(min=_FAINTEST) / real.mean(0).clamp(min=_FAINTEST)).log10()


def _distance(real: Tensor, fake: Tensor) -> float:
    return float(_decibels(real, fake).square().mean().sqrt())


def _high(real: Tensor, fake: Tensor) -> float:
    return float(_decibels(real, fake)[real.shape[1] // 2 :].mean())


def _rings(height: int, width: int) -> Tensor:
    """(H, W) the ring of each coefficient."""
    rows, columns = torch.fft.fftfreq(height, dtype=torch.float64), torch.fft.fftfreq(width, dtype=torch.float64)
    radius = (rows[:, None].square() + columns[None].square()).sqrt()
    return (radius * min(height, width)).round().long()
