"""The synthesis network: w to styles, styles and noise to an image (arXiv 1912.04958, figures 2 and 7)."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.generators.stylegan2.config import GeneratorConfig, sizes
from advgen.generators.stylegan2.filters import binomial_filter, upsample2d
from advgen.generators.stylegan2.layers import (
    ACTIVATION_GAIN,
    AdaptiveInstanceNorm,
    Conv,
    FullyConnected,
    activate,
    kernels,
    modulated_conv2d,
)

Noise = str | Sequence[Tensor]  # "const", "random", "none", or a map (N or 1, 1, R, R) for each convolution
# Of one tensor, without gradients on a CPU: larger ones are mapped and cleared anew each time, at ten times the cost.
_BYTES_AT_ONCE = 20 << 20
_BRANCH_GAIN = math.sqrt(0.5)  # keeps the variance of a sum of two branches


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, activation; or convolution, noise, bias, activation, AdaIN."""

    def __init__(self, config: GeneratorConfig, ins: int, outs: int, size: int, *, up: bool = False) -> None:
        super().__init__()
        self.normalisation = config.normalisation
        if self.normalisation == "adain":
            self.affine = FullyConnected(config.w_dim, 2 * outs)
            with torch.no_grad():
                self.affine.bias[:outs] = 1
            self.normalise = AdaptiveInstanceNorm()
        else:
            self.affine = FullyConnected(config.w_dim, ins, bias=1.0)
        self.weight = nn.Parameter(kernels(outs, ins, 3, transposed=up))
        self.bias = nn.Parameter(torch.zeros(outs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.empty(size, size).normal_())

    def forward(
        self, x: Tensor, styles: Tensor, noise: Tensor | None, *, up: Tensor | None, gain: float, clamp: float | None,
        fused: bool | None,
    ) -> Tensor:  # fmt: skip
        total, adain = gain * ACTIVATION_GAIN, self.normalisation == "adain"
        # Demodulation undoes any factor of the weights; without it they need the equalised learning rate's.
        demodulate = self.normalisation == "demodulation"
        x = modulated_conv2d(
            x,
            self.weight,
            styles.new_ones(x.shape[:2]) if adain else styles,
            up=up,
            demodulate=demodulate,
            fused=fused,
            gain=total if demodulate else total / math.sqrt(self.weight[0].numel()),
            bias=self.bias * total,
            noise=None if noise is None else noise.reshape(-1, 1, *noise.shape[-2:]) * (self.noise_strength * total),
        )
        x = activate(x, clamp=None if clamp is None else clamp * gain)
        return self.normalise(x, styles * gain) if adain else x


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image, not demodulated."""

    def __init__(self, ins: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, ins, bias=1.0)
        self.weight = nn.Parameter(torch.empty(channels, ins, 1, 1).normal_())
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, styles: Tensor, *, clamp: float | None) -> Tensor:
        n, ins, height, width = x.shape
        own = self.weight.flatten(1) * (styles / math.sqrt(ins))[:, None]  # (N, C, I)
        # A matrix product a sample: the maps are read once, and never scaled.
        made = x.permute(0, 2, 3, 1).reshape(n, height * width, ins) @ own.to(x.dtype).transpose(1, 2)
        made = made.unflatten(1, (height, width)).permute(0, 3, 1, 2).to(self.bias.dtype) + self.bias[:, None, None]
        return made if clamp is None else made.clamp(-clamp, clamp)


class BlockInputs(NamedTuple):
    """What enters a block from the side: styles (N, maps) and noise for one or two convolutions, a style of ToRGB."""

    styles: list[Tensor]
    noise: list[Tensor | None]
    rgb: Tensor | None

    def rows(self, rows: slice) -> "BlockInputs":
        """Those of some samples; a noise map that all share stays."""
        noise = [n if n is None or n.ndim < 4 or n.shape[0] == 1 else n[rows] for n in self.noise]
        return BlockInputs([s[rows] for s in self.styles], noise, None if self.rgb is None else self.rgb[rows])


class SynthesisBlock(nn.Module):
    """What stands at one resolution."""

    def __init__(self, config: GeneratorConfig, index: int) -> None:
        super().__init__()
        size, outs = 4 << index, config.widths[index]
        self.config = config
        self.register_buffer("resample_filter", binomial_filter())
        if index == 0:
            self.const = nn.Parameter(torch.empty(outs, 4, 4).normal_())
        else:
            ins = config.widths[index - 1]
            self.conv0 = SynthesisLayer(config, ins, outs, size, up=True)
            if config.architecture == "resnet":
                self.skip = Conv(ins, outs, 1, bias=False, active=False, step="up")
        self.conv1 = SynthesisLayer(config, outs, outs, size)
        if config.architecture == "skip" or size == config.resolution:
            self.torgb = ToRGB(outs, config.channels, config.w_dim)

    def forward(
        self, x: Tensor | None, image: Tensor | None, given: BlockInputs, *, fused: bool | None
    ) -> tuple[Tensor, Tensor | None]:
        """Features and the image so far, of half the size or None, to those of this size."""
        fir, clamp = self.resample_filter, self.config.conv_clamp
        aside, gain = None, 1.0
        if x is None:
            x = self.const.expand(given.styles[0].shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            if hasattr(self, "skip"):
                aside, gain = self.skip(x, fir, gain=_BRANCH_GAIN), _BRANCH_GAIN
            x = self.conv0(x, given.styles[0], given.noise[0], up=fir, gain=1.0, clamp=clamp, fused=fused)
        x = self.conv1(x, given.styles[-1], given.noise[-1], up=None, gain=gain, clamp=clamp, fused=fused)
        x = x if aside is None else x + aside
        image = None if image is None else upsample2d(image, fir)
        if given.rgb is not None:
            made = self.torgb(x, given.rgb, clamp=clamp)
            image = made if image is None else image + made
        return x, image

    def bytes_of(self, samples: int) -> int:
        """Of the largest tensor that the block makes."""
        size = self.conv1.noise_const.shape[-1]
        return 4 * samples * self.conv1.weight.shape[0] * (size + 1) ** 2


class SynthesisNetwork(nn.Module):
    """w (N, L, D) to images (N, C, R, R), nominally in [0, 1], not clamped."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for i, size in enumerate(sizes(config.resolution)):
            self.add_module(f"b{size}", SynthesisBlock(config, i))

    def forward(
        self, w: Tensor, *, noise: Noise = "const", rng: SampleRng | None = None, fused: bool | None = None
    ) -> Tensor:
        """See `StyleGAN2Generator.synthesis`."""
        return self.from_styles(self.styles(w), noise=noise, rng=rng, fused=fused)

    def styles(self, w: Tensor) -> list[Tensor]:
        """Style vectors, each (N, its input maps): those of the convolutions in order, then those of ToRGB.

        With AdaIN those of the convolutions are (N, twice their output maps): scales, then shifts.
        """
        shape = (self.config.num_ws, self.config.w_dim)
        if w.ndim != 3 or tuple(w.shape[1:]) != shape:
            raise BadArgument(f"w must have the shape (N, {shape[0]}, {shape[1]}), got {tuple(w.shape)}.")
        # ToRGB takes the row of the next block's first convolution.
        convs = [layer.affine(w[:, i]) for i, layer in enumerate(self.convs())]
        return convs + [block.torgb.affine(w[:, 2 * i + 1]) for i, block in enumerate(self.blocks()) if _rgb(block)]

    def from_styles(
        self,
        styles: Sequence[Tensor],
        *,
        noise: Noise = "const",
        rng: SampleRng | None = None,
        fused: bool | None = None,
    ) -> Tensor:
        """Images from what `styles` gave."""
        blocks = list(self.blocks())
        layers = len(list(self.convs()))
        convs, torgbs = iter(styles[:layers]), iter(styles[layers:])
        maps = self._noise(noise, rng)
        given = []
        for i, block in enumerate(blocks):
            count = min(i + 1, 2)
            own = BlockInputs(list(islice(convs, count)), list(islice(maps, count)), None)
            given.append(own._replace(rgb=next(torgbs)) if _rgb(block) else own)
        image = _through(blocks, None, None, given, fused=fused)
        return (image.contiguous() + 1) / 2

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


def _through(
    blocks: Sequence[SynthesisBlock],
    x: Tensor | None,
    image: Tensor | None,
    given: Sequence[BlockInputs],
    *,
    fused: bool | None,
) -> Tensor:
    """The image after the last of `blocks`, with features and image of the block before, if any."""
    for i, block in enumerate(blocks):
        samples = given[i].styles[0].shape[0]
        at_once = max(1, _BYTES_AT_ONCE // block.bytes_of(1))
        if x is not None and _in_pieces(x) and samples > at_once:
            parts = []
            for start in range(0, samples, at_once):
                rows = slice(start, start + at_once)
                some = None if image is None else image[rows]
                parts.append(_through(blocks[i:], x[rows], some, [g.rows(rows) for g in given[i:]], fused=fused))
            return torch.cat(parts)
        x, image = block(x, image, given[i], fused=fused)
    assert image is not None
    return image


def _in_pieces(x: Tensor) -> bool:
    # A compiled or exported network must not depend on the number of samples.
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _rgb(block: SynthesisBlock) -> bool:
    return hasattr(block, "torgb")
