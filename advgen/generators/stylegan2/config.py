"""Sizes of a StyleGAN2 generator and discriminator, checked once. Standard library only."""

from dataclasses import dataclass
from typing import Literal, get_args

from advgen.core.errors import BadArgument

Architecture = Literal["skip", "resnet", "orig"]
Normalisation = Literal["demodulation", "adain", "none"]
MAX_RESOLUTION = 1024


def widths(resolution: int, *, channel_base: int = 32768, channel_max: int = 512) -> tuple[int, ...]:
    """Feature maps at 4, 8, ..., `resolution`: channel_base / size, at most channel_max."""
    return tuple(min(channel_base // size, channel_max) for size in sizes(resolution))


def sizes(resolution: int) -> tuple[int, ...]:
    """4, 8, ..., `resolution`.

    Raises:
        BadArgument: not a power of two from 4 to 1024.
    """
    if not 4 <= resolution <= MAX_RESOLUTION or resolution & (resolution - 1):
        raise BadArgument(
            f"a StyleGAN2's resolution must be a power of two from 4 to {MAX_RESOLUTION}, got {resolution}."
        )
    return tuple(4 << i for i in range(resolution.bit_length() - 2))


@dataclass(frozen=True)
class GeneratorConfig:
    """A generator's sizes."""

    resolution: int  # pixels a side
    widths: tuple[int, ...]  # feature maps at 4, 8, ..., resolution
    channels: int = 3  # of the image
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0  # length of the condition; 0 = none
    mapping_layers: int = 8
    architecture: Architecture = "skip"
    conv_clamp: float | None = None  # features are clamped to +- this; files trained in float16 have 256
    # Of a layer's features: by the weights (StyleGAN2's, and that of all files), by their own statistics behind noise,
    # bias and activation (StyleGAN's), or not at all. For studies: files do not say which.
    normalisation: Normalisation = "demodulation"

    def __post_init__(self) -> None:
        _check(self.resolution, self.widths, self.channels, self.architecture)
        if self.normalisation not in get_args(Normalisation):
            raise BadArgument(f"the normalisation must be demodulation, adain or none, got {self.normalisation!r}.")
        if min(self.z_dim, self.w_dim, self.mapping_layers) < 1:
            raise BadArgument(
                f"z_dim, w_dim and mapping_layers must be 1 or more, got {self.z_dim}, {self.w_dim} and "
                f"{self.mapping_layers}."
            )

    @property
    def num_ws(self) -> int:
        """w vectors an image takes: 2 log2(resolution) - 2."""
        return 2 * len(self.widths)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """A discriminator's sizes."""

    resolution: int  # pixels a side
    widths: tuple[int, ...]  # feature maps at 4, 8, ..., resolution
    channels: int = 3  # of the image
    c_dim: int = 0  # length of the condition; 0 = none
    cmap_dim: int = 0  # length of the mapped condition that the last features are projected on; 0 with c_dim = 0
    mapping_layers: int = 8  # of the condition; used with c_dim > 0
    architecture: Architecture = "resnet"
    group: int | None = 4  # samples that a minibatch standard deviation is taken over; None = the whole batch
    deviations: int = 1  # feature maps of minibatch standard deviation; 0 = none
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        _check(self.resolution, self.widths, self.channels, self.architecture)
        if (self.c_dim > 0) != (self.cmap_dim > 0):
            raise BadArgument(f"c_dim and cmap_dim are both 0 or both more, got {self.c_dim} and {self.cmap_dim}.")
        if self.deviations and self.widths[0] % self.deviations:
            raise BadArgument(f"{self.deviations} deviations do not divide the {self.widths[0]} feature maps at 4x4.")


def _check(resolution: int, given: tuple[int, ...], channels: int, architecture: str) -> None:
    if len(given) != len(sizes(resolution)) or min(given) < 1:
        raise BadArgument(f"{resolution} pixels need {len(sizes(resolution))} widths of 1 or more, got {given}.")
    if not 1 <= channels <= 4:
        raise BadArgument(f"an image has 1 to 4 channels, got {channels}.")
    if architecture not in ("skip", "resnet", "orig"):
        raise BadArgument(f"the architecture must be skip, resnet or orig, got {architecture!r}.")
