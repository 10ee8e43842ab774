"""The StyleGAN2 discriminator: images to one logit, higher for real (arXiv 1912.04958, figure 7; projection of the
condition as in arXiv 2006.06676)."""

import math

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.config import DiscriminatorConfig, sizes
from advgen.generators.stylegan2.filters import binomial_filter, downsample2d
from advgen.generators.stylegan2.layers import Conv, FullyConnected, minibatch_deviation
from advgen.generators.stylegan2.mapping import MappingNetwork

_BRANCH_GAIN = math.sqrt(0.5)


class DiscriminatorBlock(nn.Module):
    """From one resolution to half of it."""

    def __init__(self, config: DiscriminatorConfig, index: int) -> None:
        super().__init__()
        ins, outs = config.widths[index], config.widths[index - 1]
        self.register_buffer("resample_filter", binomial_filter())
        if config.architecture == "skip" or index == len(config.widths) - 1:
            self.fromrgb = Conv(config.channels, ins, 1)
        self.conv0 = Conv(ins, ins, 3)
        self.conv1 = Conv(ins, outs, 3, step="down")
        if config.architecture == "resnet":
            self.skip = Conv(ins, outs, 1, bias=False, active=False, step="down")

    def forward(self, x: Tensor, *, clamp: float | None) -> Tensor:
        fir = self.resample_filter
        if not hasattr(self, "skip"):
            return self.conv1(self.conv0(x, fir, clamp=clamp), fir, clamp=clamp)
        aside = self.skip(x, fir, gain=_BRANCH_GAIN)
        return aside + self.conv1(self.conv0(x, fir, clamp=clamp), fir, gain=_BRANCH_GAIN, clamp=clamp)


class LastBlock(nn.Module):
    """From 4x4 to a logit, or to features that the condition is projected on."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        width = config.widths[0]
        if config.architecture == "skip" or config.resolution == 4:
            self.fromrgb = Conv(config.channels, width, 1)
        self.conv = Conv(width + config.deviations, width, 3)
        self.fc = FullyConnected(width * 16, width, active=True)
        self.out = FullyConnected(width, config.cmap_dim or 1)


class StyleGAN2Discriminator(nn.Module):
    """Images (N, C, R, R) in [0, 1] to logits (N, 1); parameter names are those of the official PyTorch program.

    A logit depends on the images beside it in the batch, through the minibatch standard deviation.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        for i, size in reversed(list(enumerate(sizes(config.resolution)))[1:]):
            self.add_module(f"b{size}", DiscriminatorBlock(config, i))
        if config.c_dim:
            self.mapping = MappingNetwork(0, config.c_dim, config.cmap_dim, 1, config.mapping_layers)
        self.b4 = LastBlock(config)

    def forward(self, images: Tensor, c: Tensor | None = None) -> Tensor:
        """`c` (N, its length) is the condition, where there is one.

        Raises:
            BadArgument: images of a wrong shape, or a batch that cannot be cut into groups.
        """
        config = self.config
        self._check(images)
        image = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
        x: Tensor | None = None
        for size in reversed(sizes(config.resolution)):
            block = getattr(self, f"b{size}")
            if hasattr(block, "fromrgb"):
                # No filter is used at the same size; the epilogue has none of its own.
                seen = block.fromrgb(image, image, clamp=None if size == 4 else config.conv_clamp)
                x = seen if x is None else x + seen
                if config.architecture == "skip" and size > 4:
                    image = downsample2d(image, block.resample_filter)
            if size > 4:
                x = block(x, clamp=config.conv_clamp)
        assert x is not None
        return self._logits(x, c)

    def _logits(self, x: Tensor, c: Tensor | None) -> Tensor:
        config = self.config
        if config.deviations:
            x = minibatch_deviation(x, group=config.group, maps=config.deviations)
        x = self.b4.conv(x, x, clamp=config.conv_clamp)
        x = self.b4.out(self.b4.fc(x.flatten(1)))
        if not config.c_dim:
            return x
        return (x * self.mapping(None, c)).sum(1, keepdim=True) / math.sqrt(config.cmap_dim)

    def _check(self, images: Tensor) -> None:
        config = self.config
        shape = (config.channels, config.resolution, config.resolution)
        if tuple(images.shape[1:]) != shape:
            raise BadArgument(
                f"images must have the shape (N, {', '.join(map(str, shape))}), got {tuple(images.shape)}."
            )
        n = images.shape[0]
        if config.deviations and config.group and n > config.group and n % config.group:
            raise BadArgument(
                f"{n} images cannot be cut into groups of {config.group}, which the minibatch standard deviation "
                f"needs; give a multiple of {config.group}, or fewer than that."
            )
