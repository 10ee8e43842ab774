"""Resampling with a FIR filter: zero insertion, padding, convolution, decimation, without inserting a zero.

Upsampling is a transposed convolution with the filter, a group a channel; on channels-last maps it costs a CPU little
more than a copy (Karras et al., arXiv 1912.04958, appendix B).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from advgen.generators.stylegan2.convolution import Geometry, convolve

Padding = tuple[int, int]  # before and after, of rows and of columns alike; negative crops


def binomial_filter() -> Tensor:
    """The (4, 4) filter [1, 3, 3, 1] x [1, 3, 3, 1], of sum 1."""
    taps = (1, 3, 3, 1)
    return torch.tensor([[a * b / 64 for a in taps] for b in taps])


def upfirdn2d(
    images: Tensor, fir: Tensor, *, up: int = 1, down: int = 1, padding: Padding = (0, 0), gain: float = 1.0
) -> Tensor:
    """Zeros inserted behind each pixel, padded, convolved with `fir` (2-D) times `gain`, every `down`th kept."""
    return _resampled(images, fir * gain, up, down, (padding, padding))


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
        return upsample2d(convolve(features, weight, geometry=Geometry(groups=groups)), fir)
    own = weight.reshape(groups, outs // groups, ins, k, k).transpose(1, 2).reshape(groups * ins, outs // groups, k, k)
    features = convolve(features, own, geometry=Geometry(stride=2, transposed=True, groups=groups))
    n = fir.shape[0]
    padding = (k // 2 + (n + 1) // 2 - (k - 1), k // 2 + (n - 2) // 2 - (k - 2))
    return upfirdn2d(features, fir, padding=padding, gain=4)


def conv_down(features: Tensor, weight: Tensor, fir: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution at half the size: the filter, then strided convolution with `weight` (O, I, k, k)."""
    n, k = fir.shape[0], weight.shape[-1]
    if k == 1:
        return convolve(downsample2d(features, fir), weight, bias)
    features = upfirdn2d(features, fir, padding=(k // 2 + (n - 1) // 2, k // 2 + (n - 2) // 2))
    return convolve(features, weight, bias, Geometry(stride=2))


class _Resample(torch.autograd.Function):
    """The gradient of resampling is resampling with the mirrored filter, up and down exchanged."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, taps: Tensor, up: int, down: int, padding: tuple[Padding, Padding]) -> Tensor:
        return _plain(images, taps, up, down, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        images, taps, ctx.up, ctx.down, padding = inputs
        ctx.padding = tuple(
            (k - before - 1, given * ctx.up - made * ctx.down + before - ctx.up + 1)
            for k, given, made, (before, _) in zip(taps.shape, images.shape[-2:], output.shape[-2:], padding)
        )
        ctx.save_for_backward(taps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (taps,) = ctx.saved_tensors
        return _resampled(gradient, taps.flip(0, 1), ctx.down, ctx.up, ctx.padding), None, None, None, None


def _resampled(images: Tensor, taps: Tensor, up: int, down: int, padding: tuple[Padding, Padding]) -> Tensor:
    if images.requires_grad and torch.is_grad_enabled() and not taps.requires_grad:
        return _Resample.apply(images, taps, up, down, padding)
    return _plain(images, taps, up, down, padding)


def _plain(images: Tensor, taps: Tensor, up: int, down: int, padding: tuple[Padding, Padding]) -> Tensor:
    """`padding` of rows, of columns; `taps` as in the convolution's formula, gain included."""
    channels = images.shape[1]
    with torch.autocast(images.device.type, enabled=False):  # images stay as exact as they are
        if up == 1:
            common = min(max(0, min(pair)) for pair in padding)
            images = _padded(images, [(before - common, after - common) for before, after in padding])
            kernel = taps.flip(0, 1).to(images.dtype).expand(channels, 1, *taps.shape)
            return functional.conv2d(images, kernel, stride=down, padding=common, groups=channels)
        # torch's transposed bfloat16 convolution by groups is tens of times slower on CPUs.
        slow = images.dtype == torch.bfloat16 and images.device.type == "cpu"
        wide = images.float() if slow else images
        kernel = taps.to(wide.dtype).expand(channels, 1, *taps.shape)
        cropped = [
            (k - 1 - before, k - up - after) for k, (before, after) in zip(taps.shape, padding)
        ]  # of the whole convolution
        common = min(max(0, min(pair)) for pair in cropped)
        made = functional.conv_transpose2d(wide, kernel, stride=up, padding=common, groups=channels)
        made = _padded(made, [(common - before, common - after) for before, after in cropped])
        return made[..., ::down, ::down].to(images.dtype)


def _padded(images: Tensor, sides: list[Padding]) -> Tensor:
    """Zeros before and after rows and columns; negative crops."""
    (top, bottom), (left, right) = sides
    if top == bottom == left == right == 0:
        return images
    return functional.pad(images, (left, right, top, bottom))
