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
    channels = images.shape[1]
    taps = (fir * gain).flip(0, 1).to(images.dtype)  # torch correlates
    if up > 1:
        return _upsampled(images, taps, up, padding)[:, :, ::down, ::down]
    # A group a channel: on a CPU many times faster than the channels as a batch.
    kernel = taps.expand(channels, 1, *taps.shape)
    return functional.conv2d(functional.pad(images, (*padding, *padding)), kernel, stride=down, groups=channels)


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
    k = weight.shape[-1]
    if k == 1:
        return upsample2d(functional.conv2d(features, weight, groups=groups), fir)
    features = _transposed(features, weight, groups)
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


def _transposed(features: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Transposed 3x3 convolution of stride 2: its four phases see 2x2 pixels each, so one 2x2 convolution makes them.

    On a CPU it is faster than torch's own, in spite of the zeros among the 4 x 4 taps.
    """
    outs, ins, k, _ = weight.shape
    assert k == 3
    h, w = features.shape[2:]
    # Output row 2 q + r is w[r] x[q] + w[r + 2] x[q - 1], with w[3] = 0.
    phases = weight.new_zeros(outs, 2, 2, ins, 2, 2)
    for i in range(3):
        for j in range(3):
            phases[:, i % 2, j % 2, :, int(i < 2), int(j < 2)] = weight[:, :, i, j]
    phases = phases.reshape(4 * outs, ins, 2, 2)
    made = functional.pixel_shuffle(functional.conv2d(features, phases, padding=1, groups=groups), 2)
    return made[:, :, : 2 * h + 1, : 2 * w + 1]


def _upsampled(images: Tensor, taps: Tensor, up: int, padding: Padding) -> Tensor:
    """(N, C, H, W) filtered at `up` times the size by the phases of `taps`."""
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
    outs = [images.shape[2 + i] * up + before + after - taps.shape[i] + 1 for i in (0, 1)]
    steps = [-(-out // up) for out in outs]
    ends = [steps[i] + side[i] - 1 - images.shape[2 + i] + low for i in (0, 1)]
    padded = functional.pad(images, (-low, ends[1], -low, ends[0]))
    channels = images.shape[1]
    kernel = phases.reshape(up * up, 1, *side).repeat(channels, 1, 1, 1)
    made = functional.conv2d(padded, kernel, groups=channels)
    return functional.pixel_shuffle(made, up)[:, :, : outs[0], : outs[1]]
