"""Progressive growing: a skip-architecture pair that starts at 8 pixels and fades in one size after the other.

At each size the image is that size's ToRGB alone, blended with the enlarged image of the size before while it fades in;
the discriminator does the same with its FromRGB. Nothing is summed over sizes, so a grown pair is one of the `orig`
architecture with spare layers. Karras et al., arXiv 1710.10196, figure 2.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.config import sizes
from advgen.generators.stylegan2.discriminator import StyleGAN2Discriminator
from advgen.generators.stylegan2.generator import StyleGAN2Generator
from advgen.generators.stylegan2.synthesis import BlockInputs

FIRST = 8  # pixels


class Growth(NamedTuple):
    """Where a training stands."""

    size: int  # pixels a side
    share: float  # of the newest size in the blend, 1 = faded in


def growth(seen: int, *, resolution: int, images: int) -> Growth:
    """After `seen` images, when each size but the first takes `images` to fade in and `images` more on its own.

    Raises:
        BadArgument: images under 1.
    """
    if images < 1:
        raise BadArgument(f"a size needs at least 1 image to fade in, got {images}.")
    grown = [size for size in sizes(resolution) if size >= FIRST] or [resolution]
    stage, within = 0, seen - images  # the first size has nothing to fade in from
    while within >= 0 and stage < len(grown) - 1:
        stage += 1
        if within < 2 * images:
            return Growth(grown[stage], min(1.0, within / images))
        within -= 2 * images
    return Growth(grown[stage], 1.0)


def shown(images: Tensor, grown: Growth) -> Tensor:
    """Real images (N, C, R, R) as a training sees them at a size: averaged down, blurred as far as it is fading in."""
    factor = images.shape[-1] // grown.size
    images = functional.avg_pool2d(images, factor) if factor > 1 else images
    if grown.share == 1:
        return images
    return _doubled(functional.avg_pool2d(images, 2)).lerp(images, grown.share)


def grown_images(
    net: StyleGAN2Generator, w: Tensor, grown: Growth, *, noise: Sequence[Tensor | None] | None = None
) -> Tensor:
    """Images (N, C, size, size) in [0, 1], not clamped, of w (N, L, D); `noise` None = the stored maps.

    Raises:
        BadArgument: a generator that has no ToRGB at each size.
    """
    if net.config.architecture != "skip":
        raise BadArgument(f"growing needs ToRGB at each size: the skip architecture, not {net.config.architecture}.")
    synthesis = net.synthesis
    layers = list(synthesis.convs())
    maps = [layer.noise_const for layer in layers] if noise is None else list(noise)
    styles = synthesis.styles(w)
    convs, torgbs = styles[: len(layers)], styles[len(layers) :]
    x: Tensor | None = None
    before: Tensor | None = None
    for i, (size, block) in enumerate(zip(sizes(net.config.resolution), synthesis.blocks(), strict=True)):
        first = max(0, 2 * i - 1)
        seen = size == grown.size or (2 * size == grown.size and grown.share < 1)
        given = BlockInputs(convs[first : 2 * i + 1], maps[first : 2 * i + 1], torgbs[i] if seen else None)
        x, image = block(x, None, given, fused=False)
        if size == grown.size:
            assert image is not None
            image = image if before is None else _doubled(before).lerp(image, grown.share)
            return (image + 1) / 2
        before = image if seen else None
    raise AssertionError(f"no size {grown.size} in a generator of {net.config.resolution} pixels")


def grown_logits(net: StyleGAN2Discriminator, images: Tensor, grown: Growth, c: Tensor | None = None) -> Tensor:
    """Logits (N, 1) of images (N, C, size, size) in [0, 1].

    Raises:
        BadArgument: a discriminator that has no FromRGB at each size.
    """
    if net.config.architecture != "skip":
        raise BadArgument(f"growing needs FromRGB at each size: the skip architecture, not {net.config.architecture}.")
    image = images * 2 - 1
    x: Tensor | None = None
    for size in reversed([s for s in sizes(net.config.resolution) if 4 < s <= grown.size]):
        block = getattr(net, f"b{size}")
        x = block.fromrgb(image, image) if x is None else x
        x = block(x, clamp=None)
        if size == grown.size and grown.share < 1:
            below = net.b4 if size == 8 else getattr(net, f"b{size // 2}")
            smaller = functional.avg_pool2d(image, 2)
            x = below.fromrgb(smaller, smaller).lerp(x, grown.share)
    assert x is not None
    return net._logits(x, c)


Net = TypeVar("Net", StyleGAN2Generator, StyleGAN2Discriminator)


def fully_grown(net: Net) -> Net:
    """The same network of the `orig` architecture: what is left of a grown one when nothing fades any more."""
    made = type(net)(replace(net.config, architecture="orig"))
    kept = made.state_dict().keys()
    made.load_state_dict({name: tensor for name, tensor in net.state_dict().items() if name in kept})
    return made.to(next(net.parameters()).device).train(net.training)


class GrownView:
    """A growing generator as one of its full size, for pictures and scores on the way."""

    def __init__(self, net: StyleGAN2Generator, grown: Growth) -> None:
        self.net, self.grown = net, grown
        self.z_dim, self.mean_w = net.z_dim, net.mean_w

    def __call__(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        images = grown_images(self.net, self.net.mapping(z, c), self.grown)
        while images.shape[-1] < self.net.config.resolution:
            images = _doubled(images)
        return images


def _doubled(images: Tensor) -> Tensor:
    return images.repeat_interleave(2, 2).repeat_interleave(2, 3)
