"""Layers with equalised learning rate, and the modulated convolution.

Weights are stored at unit variance and scaled at run time (Karras et al., arXiv 1710.10196, section 4.1). Modulation
and demodulation: arXiv 1912.04958, equations 1 to 3.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from advgen.generators.stylegan2.filters import conv_down, conv_up

ACTIVATION_GAIN = math.sqrt(2)


def activate(features: Tensor, *, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of slope 0.2 with gain sqrt(2) times `gain`, clamped to +- `clamp` times the latter."""
    features = functional.leaky_relu(features, 0.2) * (ACTIVATION_GAIN * gain)
    return features if clamp is None else features.clamp(-clamp * gain, clamp * gain)


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
        x = functional.linear(x, self.weight * (self.lr / math.sqrt(self.weight.shape[1])), self.bias * self.lr)
        return activate(x) if self.active else x


class Conv(nn.Module):
    """A convolution of the discriminator or of a residual branch, at the same, half or twice the size."""

    def __init__(
        self, ins: int, outs: int, size: int, *, bias: bool = True, active: bool = True, step: str = ""
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outs, ins, size, size).normal_())
        self.bias = nn.Parameter(torch.zeros(outs)) if bias else None
        self.active = active
        self.step = step

    def forward(self, x: Tensor, fir: Tensor, *, gain: float = 1.0, clamp: float | None = None) -> Tensor:
        weight = self.weight / math.sqrt(self.weight[0].numel())
        if self.step == "up":
            x = conv_up(x, weight, fir)
        elif self.step == "down":
            x = conv_down(x, weight, fir)
        else:
            x = functional.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.bias is not None:
            x = x + self.bias.reshape(-1, 1, 1)
        return activate(x, gain=gain, clamp=clamp) if self.active else x * gain


def modulated_conv2d(
    features: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    up: Tensor | None = None,
    demodulate: bool = True,
    fused: bool = False,
) -> Tensor:
    """Convolution whose input maps are scaled by each sample's `styles` (N, I), its output maps back to variance 1.

    `up`, a FIR filter, doubles the size. `fused` scales the weights and convolves in groups, one a sample; otherwise
    the features are scaled and one convolution serves the batch. Both compute the same.
    """
    n, ins = styles.shape
    outs, _, k, _ = weight.shape
    if fused:
        own = weight * styles[:, None, :, None, None]  # (N, O, I, k, k)
        if demodulate:
            own = own * (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        made = _convolved(features.reshape(1, n * ins, *features.shape[2:]), own.reshape(n * outs, ins, k, k), up, n)
        return made.reshape(n, outs, *made.shape[2:])
    made = _convolved(features * styles[:, :, None, None], weight, up, 1)
    if demodulate:
        # The sum over w'^2 separates: no (N, O, I, k, k) weights are ever made.
        made = made * (styles.square() @ weight.square().sum((2, 3)).T + 1e-8).rsqrt()[:, :, None, None]
    return made


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
    return functional.conv2d(features, weight, padding=weight.shape[-1] // 2, groups=groups)
