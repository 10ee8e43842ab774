"""The synthesis network: w to styles, styles and noise to an image (arXiv 1912.04958, figures 2 and 7)."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.generators.stylegan2.config import GeneratorConfig, sizes
from advgen.generators.stylegan2.filters import binomial_filter, upsample2d
from advgen.generators.stylegan2.layers import Conv, FullyConnected, activate, modulated_conv2d

Noise = str | Sequence[Tensor]  # "const", "random", "none", or a map (N or 1, 1, R, R) for each convolution
_BRANCH_GAIN = math.sqrt(0.5)  # keeps the variance of a sum of two branches


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, activation."""

    def __init__(self, ins: int, outs: int, w_dim: int, size: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, ins, bias=1.0)
        self.weight = nn.Parameter(torch.empty(outs, ins, 3, 3).normal_())
        self.bias = nn.Parameter(torch.zeros(outs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.empty(size, size).normal_())

    def forward(
        self, x: Tensor, styles: Tensor, noise: Tensor | None, *, up: Tensor | None, gain: float, clamp: float | None,
        fused: bool,
    ) -> Tensor:  # fmt: skip
        x = modulated_conv2d(x, self.weight, styles, up=up, fused=fused)
        if noise is not None:
            x = x + noise * self.noise_strength
        return activate(x + self.bias.reshape(-1, 1, 1), gain=gain, clamp=clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image, not demodulated."""

    def __init__(self, ins: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, ins, bias=1.0)
        self.weight = nn.Parameter(torch.empty(channels, ins, 1, 1).normal_())
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, styles: Tensor, *, clamp: float | None, fused: bool) -> Tensor:
        scaled = styles / math.sqrt(styles.shape[1])
        x = modulated_conv2d(x, self.weight, scaled, demodulate=False, fused=fused) + self.bias.reshape(-1, 1, 1)
        return x if clamp is None else x.clamp(-clamp, clamp)


class SynthesisBlock(nn.Module):
    """What stands at one resolution."""

    def __init__(self, config: GeneratorConfig, index: int) -> None:
        super().__init__()
        size, outs = 4 << index, config.widths[index]
        self.register_buffer("resample_filter", binomial_filter())
        if index == 0:
            self.const = nn.Parameter(torch.empty(outs, 4, 4).normal_())
        else:
            ins = config.widths[index - 1]
            self.conv0 = SynthesisLayer(ins, outs, config.w_dim, size)
            if config.architecture == "resnet":
                self.skip = Conv(ins, outs, 1, bias=False, active=False, step="up")
        self.conv1 = SynthesisLayer(outs, outs, config.w_dim, size)
        if config.architecture == "skip" or size == config.resolution:
            self.torgb = ToRGB(outs, config.channels, config.w_dim)


class SynthesisNetwork(nn.Module):
    """w (N, L, D) to images (N, C, R, R), nominally in [0, 1], not clamped."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for i, size in enumerate(sizes(config.resolution)):
            self.add_module(f"b{size}", SynthesisBlock(config, i))

    def forward(
        self, w: Tensor, *, noise: Noise = "const", rng: SampleRng | None = None, fused: bool = False
    ) -> Tensor:
        """See `StyleGAN2Generator.synthesis`."""
        return self.from_styles(self.styles(w), noise=noise, rng=rng, fused=fused)

    def styles(self, w: Tensor) -> list[Tensor]:
        """Style vectors, each (N, its input maps): those of the convolutions in order, then those of ToRGB."""
        shape = (self.config.num_ws, self.config.w_dim)
        if w.ndim != 3 or tuple(w.shape[1:]) != shape:
            raise BadArgument(f"w must have the shape (N, {shape[0]}, {shape[1]}), got {tuple(w.shape)}.")
        # ToRGB takes the row of the next block's first convolution.
        convs = [layer.affine(w[:, i]) for i, layer in enumerate(self.convs())]
        return convs + [block.torgb.affine(w[:, 2 * i + 1]) for i, block in enumerate(self.blocks()) if _rgb(block)]

    def from_styles(
        self, styles: Sequence[Tensor], *, noise: Noise = "const", rng: SampleRng | None = None, fused: bool = False
    ) -> Tensor:
        """Images from what `styles` gave."""
        clamp, branch = self.config.conv_clamp, self.config.architecture == "resnet"
        layers = len(list(self.convs()))
        convs, torgbs = iter(styles[:layers]), iter(styles[layers:])
        maps = self._noise(noise, rng)
        x = image = None
        for block in self.blocks():
            fir = block.resample_filter
            if x is None:
                x = block.const.expand(styles[0].shape[0], -1, -1, -1)
                gain = 1.0
            else:
                aside = block.skip(x, fir, gain=_BRANCH_GAIN) if branch else None
                x = block.conv0(x, next(convs), next(maps), up=fir, gain=1.0, clamp=clamp, fused=fused)
                gain = _BRANCH_GAIN if branch else 1.0
            first = hasattr(block, "const")
            x = block.conv1(x, next(convs), next(maps), up=None, gain=gain, clamp=clamp, fused=fused)
            if branch and not first:
                x = x + aside
            if image is not None:
                image = upsample2d(image, fir)
            if _rgb(block):
                made = block.torgb(x, next(torgbs), clamp=clamp, fused=fused)
                image = made if image is None else image + made
        assert image is not None
        return (image + 1) / 2

    def blocks(self) -> Iterator[SynthesisBlock]:
        """From 4x4 up."""
        return (getattr(self, f"b{size}") for size in sizes(self.config.resolution))

    def convs(self) -> Iterator[SynthesisLayer]:
        """The 3x3 convolutions, in order."""
        for block in self.blocks():
            if hasattr(block, "conv0"):
                yield block.conv0
            yield block.conv1

    def _noise(self, noise: Noise, rng: SampleRng | None) -> Iterator[Tensor | None]:
        layers = list(self.convs())
        if not isinstance(noise, str):
            if len(noise) != len(layers):
                raise BadArgument(f"{len(layers)} noise maps were expected, got {len(noise)}.")
            return iter(noise)
        if noise == "const":
            return (layer.noise_const for layer in layers)
        if noise == "none":
            return (None for _ in layers)
        if noise != "random":
            raise BadArgument(f"noise must be const, random or none, got {noise!r}.")
        if rng is None:
            raise BadArgument("random noise needs a SampleRng, so that a sample's image does not depend on its batch.")
        return (rng.normal((1, *layer.noise_const.shape)).to(layer.noise_const) for layer in layers)


def _rgb(block: SynthesisBlock) -> bool:
    return hasattr(block, "torgb")
