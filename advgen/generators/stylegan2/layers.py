"""Layers with equalised learning rate, and the modulated convolution.

Weights are stored at unit variance and scaled at run time (Karras et al., arXiv 1710.10196, section 4.1). Modulation
and demodulation: arXiv 1912.04958, equations 1 to 3.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from advgen.generators.stylegan2.convolution import Geometry, convolve
from advgen.generators.stylegan2.filters import conv_down, conv_up

ACTIVATION_GAIN = math.sqrt(2)


def activate(features: Tensor, *, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of slope 0.2, in place, clamped to +- `clamp`; its gain is in the weights, since it passes through."""
    features = functional.leaky_relu(features, 0.2, inplace=True)
    if clamp is None:
        return features
    return features.clamp(-clamp, clamp) if torch.is_grad_enabled() else features.clamp_(-clamp, clamp)


def unit_second_moment(x: Tensor) -> Tensor:
    """Rows (N, D) scaled to a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """A linear layer, optionally with a learning rate of its own and followed by the activation."""

    def __init__(self, ins: int, outs: int, *, lr: float = 1.0, bias: float = 0.0, active: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outs, ins).normal_(std=1 / lr))
        self.bias = nn.Parameter(torch.full((outs,), bias))
        self.lr = lr
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        gain = ACTIVATION_GAIN if self.active else 1.0
        # x is scaled, not the weight, which has far more numbers.
        x = functional.linear(x * (self.lr * gain / math.sqrt(x.shape[1])), self.weight, self.bias * (self.lr * gain))
        return activate(x) if self.active else x


class Conv(nn.Module):
    """A convolution of the discriminator or of a residual branch, at the same, half or twice the size."""

    def __init__(
        self, ins: int, outs: int, size: int, *, bias: bool = True, active: bool = True, step: str = ""
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(kernels(outs, ins, size))
        self.bias = nn.Parameter(torch.zeros(outs)) if bias else None
        self.active = active
        self.step = step
        assert step != "up" or not (bias or active)

    def forward(self, x: Tensor, fir: Tensor, *, gain: float = 1.0, clamp: float | None = None) -> Tensor:
        total = gain * ACTIVATION_GAIN if self.active else gain
        weight = self.weight * (total / math.sqrt(self.weight[0].numel()))
        bias = None if self.bias is None else self.bias * total
        if self.step == "up":
            x = conv_up(x, weight, fir)
        elif self.step == "down":
            x = conv_down(x, weight, fir, bias)
        else:
            x = convolve(x, weight, bias, Geometry(padding=weight.shape[-1] // 2))
        return activate(x, clamp=None if clamp is None else clamp * gain) if self.active else x


def kernels(outs: int, ins: int, size: int, *, transposed: bool = False) -> Tensor:
    """Normal weights (O, I, k, k), laid out in memory as channels-last convolution takes them.

    `transposed` is the layout that transposed convolution takes: with the other one, the copy to the right one costs
    more than the convolution itself at low resolutions.
    """
    weight = torch.empty(outs, ins, size, size).normal_()
    if transposed:
        return weight.transpose(0, 1).contiguous(memory_format=torch.channels_last).transpose(0, 1)
    return weight.contiguous(memory_format=torch.channels_last)


def modulated_conv2d(
    features: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    up: Tensor | None = None,
    demodulate: bool = True,
    fused: bool | None = None,
    gain: float = 1.0,
    bias: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Convolution whose input maps are scaled by each sample's `styles` (N, I), its output maps back to variance 1.

    `up`, a FIR filter, doubles the size. `fused` scales the weights and convolves in groups, one a sample; otherwise
    the features are scaled and one convolution serves the batch; None takes the faster one. Both compute the same.
    The result is multiplied by `gain`; then `bias` (O,) and `noise` (N or 1, 1, H, W) are added.
    """
    n = styles.shape[0]
    scale = styles.new_full((n, weight.shape[0]), gain)
    if demodulate:
        # The sum over w'^2 separates: no (N, O, I, k, k) weights are made for it.
        scale = (styles.square() @ _squares(weight) + 1e-8).rsqrt() * gain
    if fused is None:
        free = not (torch.is_grad_enabled() or torch.compiler.is_compiling())
        fused = free and n == 1 and features.numel() > weight.numel()
    if fused:
        own = weight * (scale[:, :, None] * styles[:, None])[..., None, None]  # (N, O, I, k, k)
        made = _convolved(features.reshape(1, -1, *features.shape[2:]), own.flatten(0, 1), up, n)
        return _plus(made.reshape(n, -1, *made.shape[2:]), bias, noise)
    made = _convolved(features * styles.to(features.dtype)[:, :, None, None], weight, up, 1)
    scale = scale[:, :, None, None]
    added = made.new_zeros(()) if bias is None else bias[:, None, None]
    if noise is not None and noise.shape[0] == 1:
        added, noise = (noise.permute(0, 2, 3, 1) + added.flatten()).permute(0, 3, 1, 2), None
    added, scale = added.to(made.dtype), scale.to(made.dtype)
    made = torch.addcmul(added, made, scale, **({} if torch.is_grad_enabled() else {"out": made}))
    return _plus(made, None, noise)


def adaptive_instance_norm(features: Tensor, styles: Tensor) -> Tensor:
    """Each sample's maps at mean 0 and variance 1, then scaled and shifted: `styles` (N, 2 C) are scales and shifts.

    Huang & Belongie, arXiv 1703.06868, equation 8; in StyleGAN behind noise, bias and activation (arXiv 1812.04948,
    figure 1).
    """
    variance, mean = torch.var_mean(features, (2, 3), correction=0, keepdim=True)
    scale, shift = styles.to(features.dtype)[:, :, None, None].chunk(2, 1)
    return (features - mean) * ((variance + 1e-8).rsqrt() * scale) + shift


class AdaptiveInstanceNorm(nn.Module):
    """`adaptive_instance_norm` as a part of a layer, so that the maps before it can be looked at."""

    def forward(self, features: Tensor, styles: Tensor) -> Tensor:
        return adaptive_instance_norm(features, styles)


def minibatch_deviation(features: Tensor, *, group: int | None, maps: int) -> Tensor:
    """`maps` more feature maps, each the mean standard deviation of its share of them within a group of samples.

    Groups are strided: sample i stands in group i modulo N / group size (arXiv 1710.10196, section 3).
    """
    n, c, h, w = features.shape
    size = n if group is None else min(group, n)
    grouped = features.reshape(size, -1, maps, c // maps, h, w)
    deviation = (grouped - grouped.mean(0)).square().mean(0).add(1e-8).sqrt().mean((2, 3, 4))
    return torch.cat([features, deviation.repeat(size, 1)[:, :, None, None].expand(-1, -1, h, w)], 1)


def _convolved(features: Tensor, weight: Tensor, up: Tensor | None, groups: int) -> Tensor:
    if up is not None:
        return conv_up(features, weight, up, groups=groups)
    return convolve(features, weight, geometry=Geometry(padding=weight.shape[-1] // 2, groups=groups))


def _squares(weight: Tensor) -> Tensor:
    """Sums over a kernel (I, O); read in the order of memory, a sum is many times faster."""
    if weight.stride(0) < weight.stride(1):
        return weight.transpose(0, 1).square().sum((2, 3))
    return weight.square().sum((2, 3)).T


def _plus(made: Tensor, bias: Tensor | None, noise: Tensor | None) -> Tensor:
    """In place: nothing that makes maps here needs them for its gradient."""
    if bias is not None:
        made = made.add_(bias[:, None, None].to(made.dtype))
    return made if noise is None else made.add_(noise.to(made.dtype))
