"""StyleSpace: the style vectors of a generator's convolutions as one vector, those of ToRGB kept apart.

Wu et al. 2020, "StyleSpace Analysis: Disentangled Controls for StyleGAN Image Generation", arXiv 2011.12799, section 3
and appendix A. The published list of layers counts ToRGB in its place, so that a channel is called by (layer, channel)
there; `StyleLayer.published` is that number, and S itself holds the convolutions alone, in their order.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.types import Generator
from advgen.inversion.descent import identity_of
from advgen.inversion.latents import at_rest
from advgen.inversion.search import weights_of

DRAWS = 4096  # z over which the statistics of S are taken


class StyleGenerator(Generator, Protocol):
    """A generator whose images can be made from style vectors."""

    def synthesis_from_styles(self, styles: Sequence[Tensor], *, noise: str = "const") -> Tensor: ...


class StyleLayer(NamedTuple):
    """One style vector among those of a generator."""

    name: str  # "8x8 conv0", "8x8 torgb"
    published: int  # its place in the published list
    start: int  # of its first channel in S; of a ToRGB layer: among the channels of all ToRGB layers
    channels: int


class Layout(NamedTuple):
    """Which channels of S belong to which layer."""

    convs: tuple[StyleLayer, ...]
    torgbs: tuple[StyleLayer, ...]

    @property
    def size(self) -> int:
        """Channels of S."""
        return sum(layer.channels for layer in self.convs)

    def channel(self, place: int) -> tuple[int, int]:
        """(layer, channel) of a place in S, as the paper calls it."""
        layer = next(x for x in self.convs if x.start <= place < x.start + x.channels)
        return layer.published, place - layer.start

    def place(self, published: int, channel: int) -> int:
        """The place in S of the paper's (layer, channel).

        Raises:
            BadArgument: a layer of ToRGB, or none at all.
        """
        for layer in self.convs:
            if layer.published == published and 0 <= channel < layer.channels:
                return layer.start + channel
        raise BadArgument(f"S has no channel {published}_{channel}: layers of ToRGB are kept apart from it.")

    def packed(self, styles: Sequence[Tensor]) -> Tensor:
        """(N, S) of what `Generator.styles` gives; ToRGB's are left out."""
        return torch.cat(list(styles[: len(self.convs)]), 1)

    def unpacked(self, s: Tensor, styles: Sequence[Tensor]) -> list[Tensor]:
        """Style vectors for `synthesis_from_styles`: S for the convolutions, ToRGB's as in `styles`."""
        return [*s.split([layer.channels for layer in self.convs], 1), *styles[len(self.convs) :]]


class Statistics(NamedTuple):
    """Of S over samples, each (S,)."""

    mean: Tensor
    std: Tensor


def layout(generator: Generator) -> Layout:
    """The layers of a generator's S.

    Raises:
        BadArgument: its images cannot be made from styles.
    """
    if not hasattr(generator, "synthesis_from_styles"):
        raise BadArgument(
            f"a {type(generator).__name__} makes no images from styles, which global directions move; edit its w with "
            "latent optimisation or a mapper."
        )
    with torch.no_grad(), at_rest(generator):
        widths = [s.shape[1] for s in generator.styles(generator.mean_w.expand(1, generator.num_ws, -1))]
    n_convs = generator.num_ws - 1
    everywhere = len(widths) - n_convs == (n_convs + 1) // 2  # a ToRGB at every resolution: the skip architecture
    convs, torgbs = [], []
    start = 0
    for i, channels in enumerate(widths[:n_convs]):
        block, second = (i + 1) // 2, i % 2 == 0
        number = (3 * block if second else 3 * block - 1) if everywhere else i
        convs.append(StyleLayer(f"{_side(block)} conv{int(second)}", number, start, channels))
        start += channels
    start = 0
    for i, channels in enumerate(widths[n_convs:]):
        block = i if everywhere else n_convs // 2
        torgbs.append(StyleLayer(f"{_side(block)} torgb", 3 * i + 1 if everywhere else n_convs + i, start, channels))
        start += channels
    return Layout(tuple(convs), tuple(torgbs))


@torch.no_grad()
def statistics(generator: Generator, where: Layout, *, batch: int = 256) -> Statistics:
    """Mean and standard deviation of S over fixed z."""
    total = square = torch.zeros(where.size, dtype=torch.float64)
    with at_rest(generator):
        for some in sampled_w(generator, DRAWS).split(batch):
            s = where.packed(generator.styles(some)).double().cpu()
            total, square = total + s.sum(0), square + s.square().sum(0)
    mean = total / DRAWS
    std = (square / DRAWS - mean.square()).clamp(min=0).sqrt()
    return Statistics(mean.to(generator.mean_w), std.to(generator.mean_w))


@torch.no_grad()
def sampled_w(generator: Generator, n: int, *, seed: int = 0) -> Tensor:
    """(N, L, D) of `n` fixed z, classes in turn."""
    z = torch.randn(n, generator.z_dim, generator=torch.Generator().manual_seed(seed)).to(generator.mean_w)
    c = torch.eye(generator.c_dim)[torch.arange(n) % generator.c_dim].to(z) if generator.c_dim else None
    with at_rest(generator):
        return generator.mapping(z, c)


def hash_of(generator: Generator) -> str:
    """A hash of a generator's weights and buffers, for directions and mappers to be known by."""
    return identity_of(type(generator).__name__, *weights_of(generator))


def _side(block: int) -> str:
    side = 4 << block
    return f"{side}x{side}"
