"""Orthogonal wavelet filters as matrices that act on rows of pixels, whose borders are reflected.

The filters of adaptive augmentation (Karras et al., arXiv 2006.06676, appendix B): sym6 keeps a warp from aliasing,
sym2 cuts the spectrum into four octaves. A product with a banded matrix does what padding, zero insertion and
convolution do. On a CPU it takes less than half of their time up to 256 pixels, and its derivatives are such products.
"""

import torch
from torch import Tensor

# Daubechies' least asymmetric filters, low-pass, decomposition order, to the digits of PyWavelets' tables.
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
BANDS = 4


def doubling(size: int, before: int, after: int, *, like: Tensor) -> Tensor:
    """(2 (before + size + after), size): a row, reflected by `before` and `after` pixels, at twice its size.

    Beyond the reflected part stand zeros. Halving is the transpose over 2: the filter is orthogonal.
    """
    padded = before + size + after
    taps = like.new_tensor(SYM6) * 2**0.5
    out = torch.arange(2 * padded, device=like.device)[:, None]
    # Of a filter over inserted zeros, every other tap meets a pixel: the even ones in odd places.
    tap = 2 * torch.arange(len(SYM6) // 2, device=like.device) + (out + 1) % 2
    source = (out + len(SYM6) // 2 - 1 - tap) // 2
    weights = taps[tap] * ((source >= 0) & (source < padded))
    return like.new_zeros(2 * padded, size).scatter_add_(1, _reflected(source - before, size), weights)


def band_matrices(size: int, *, like: Tensor) -> Tensor:
    """(4, size, size): each keeps one octave of a row, the lowest first; their sum is the identity."""
    taps = octaves().to(like)
    reach = taps.shape[1] // 2
    out = torch.arange(size, device=like.device)[:, None]
    source = _reflected(out + torch.arange(-reach, reach + 1, device=like.device), size)
    matrices = like.new_zeros(BANDS, size, size)
    return matrices.scatter_add_(2, source.expand(BANDS, -1, -1), taps[:, None].expand(-1, size, -1))


def octaves() -> Tensor:
    """(4, 43): symmetric filters of the four bands, the lowest first, in float64; together a unit impulse."""
    low = torch.tensor(SYM2, dtype=torch.float64)
    high = low * torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    low, high = (_convolved(taps, taps.flip(0)) / 2 for taps in (low, high))
    bands = [torch.ones(1, dtype=torch.float64)]
    for _ in range(BANDS - 1):
        bands = [_convolved(_zeros_between(taps), low) for taps in bands] + [high]
    longest = bands[0].numel()
    return torch.stack([torch.nn.functional.pad(taps, ((longest - taps.numel()) // 2,) * 2) for taps in bands])


def _reflected(index: Tensor, size: int) -> Tensor:
    """Places on a row that mirrors itself at its first and its last pixel, as places in 0 .. size - 1."""
    period = max(2 * (size - 1), 1)
    index = index % period
    return torch.minimum(index, period - index).clamp(max=size - 1)


def _zeros_between(taps: Tensor) -> Tensor:
    spread = taps.new_zeros(2 * taps.numel() - 1)
    spread[::2] = taps
    return spread


def _convolved(a: Tensor, b: Tensor) -> Tensor:
    out = a.new_zeros(a.numel() + b.numel() - 1)
    for i, tap in enumerate(b):
        out[i : i + a.numel()] += tap * a
    return out
