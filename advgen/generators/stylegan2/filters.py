"""Resampling with a FIR filter: zero insertion, padding, convolution, decimation, without inserting a zero.

The output of upsampling by `up` has `up` x `up` phases, each a small filter over the input; one convolution makes them
all and a pixel shuffle interleaves them (Karras et al., arXiv 1912.04958, appendix B).
"""

import torch
from torch import Tensor
from torch.nn import functional

Padding = tuple[int, int]  # before and after, of rows and of columns alike; negative crops


def binomial_filter() -> Tensor:
    """The (4, 4) filter [1, 3, 3, 1] x [1, 3, 3, 1], of sum 1."""
    taps = (1, 3, 3, 1)
    return torch.tensor([[a * b / 64 for a in taps] for b in taps])


def upfirdn2d(
    images: Tensor, fir: Tensor, *, up: int = 1, down: int = 1, padding: Padding = (0, 0), gain: float = 1.0
) -> Tensor:
    """Zeros inserted behind each pixel, padded, convolved with `fir` (2-D) times `gain`, every `down`th kept."""
    n, c, h, w = images.shape
    flat = images.reshape(n * c, 1, h, w)
    taps = (fir * gain).flip(0, 1).to(images.dtype)  # torch correlates
    if up == 1:
        flat = functional.conv2d(functional.pad(flat, (*padding, *padding)), taps[None, None], stride=down)
    else:
        flat = _upsampled(flat, taps, up, padding)[:, :, ::down, ::down]
    return flat.reshape(n, c, *flat.shape[2:])


def upsample2d(images: Tensor, fir: Tensor) -> Tensor:
    """Twice the size, brightness kept."""
    n = fir.shape[0]
    return upfirdn2d(images, fir, up=2, padding=((n + 1) // 2, (n - 2) // 2), gain=4)


def downsample2d(images: Tensor, fir: Tensor) -> Tensor:
    """Half the size."""
    n = fir.shape[0]
    return upfirdn2d(images, fir, down=2, padding=((n - 1) // 2, (n - 2) // 2))


def conv_up(features: Tensor, weight: Tensor, fir: Tensor, *, groups: int = 1) -> Tensor:
    """Convolution at twice the size: transposed convolution with `weight` (O, I, k, k), then the filter."""
    outs, ins, k, _ = weight.shape
    if k == 1:
        return upsample2d(functional.conv2d(features, weight, groups=groups), fir)
    turned = (
        weight.reshape(groups, outs // groups, ins, k, k).transpose(1, 2).reshape(groups * ins, outs // groups, k, k)
    )
    features = functional.conv_transpose2d(features, turned, stride=2, groups=groups)
    n = fir.shape[0]
    padding = (k // 2 + (n + 1) // 2 - (k - 1), k // 2 + (n - 2) // 2 - (k - 2))
    return upfirdn2d(features, fir, padding=padding, gain=4)


def conv_down(features: Tensor, weight: Tensor, fir: Tensor) -> Tensor:
    """Convolution at half the size: the filter, then strided convolution with `weight` (O, I, k, k)."""
    n, k = fir.shape[0], weight.shape[-1]
    if k == 1:
        return functional.conv2d(downsample2d(features, fir), weight)
    features = upfirdn2d(features, fir, padding=(k // 2 + (n - 1) // 2, k // 2 + (n - 2) // 2))
    return functional.conv2d(features, weight, stride=2)


def _upsampled(flat: Tensor, taps: Tensor, up: int, padding: Padding) -> Tensor:
    """(M, 1, H, W) filtered at `up` times the size by the phases of `taps`."""
    before, after = padding
    # Output row up * q + r sees input row q + offset + t through tap first + up * t.
    first = [(before - r) % up for r in range(up)]
    offset = [(r + f - before) // up for r, f in zip(range(up), first)]
    low = min(offset)
    side = [-(-(taps.shape[i] - min(first)) // up) + max(offset) - low for i in (0, 1)]
    phases = taps.new_zeros(up, up, *side)
    for i in range(up):
        for j in range(up):
            part = taps[first[i] :: up, first[j] :: up]
            rows, columns = offset[i] - low, offset[j] - low
            phases[i, j, rows : rows + part.shape[0], columns : columns + part.shape[1]] = part
    outs = [flat.shape[2 + i] * up + before + after - taps.shape[i] + 1 for i in (0, 1)]
    steps = [-(-out // up) for out in outs]
    ends = [steps[i] + side[i] - 1 - flat.shape[2 + i] + low for i in (0, 1)]
    padded = functional.pad(flat, (-low, ends[1], -low, ends[0]))
    made = functional.conv2d(padded, phases.reshape(up * up, 1, *side))
    return functional.pixel_shuffle(made, up)[:, :, : outs[0], : outs[1]]
