"""How far a re-synthesis is from its image: what inversions minimise.

The loss of Image2StyleGAN (Abdal et al., arXiv 1904.03189, equation 1), a perceptual distance and the mean squared
error, with the masks and the local style term of Image2StyleGAN++ (arXiv 1911.11544, equation 1; style after Gatys et
al., arXiv 1508.06576, equation 5). Every term is a number a sample, so that its way does not depend on its batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.core.images import check_range

Metric = Callable[[Tensor, Tensor], Tensor]  # images, originals (N, C, H, W) to distances (N,); LPIPS is one
SEEN = 256  # pixels; larger images are averaged down to this before the perceptual network sees them


class Terms(NamedTuple):
    """What one evaluation says of N samples."""

    loss: Tensor  # (N,) what is minimised and ranked
    perceptual: Tensor  # (N,)
    mse: Tensor  # (N,)
    penalty: Tensor | float = 0.0  # (N,) added for the gradient alone


class Style(NamedTuple):
    """Texture to take over inside a mask."""

    images: Tensor  # (N or 1, C, H, W) in [0, 1]
    mask: Tensor  # (N or 1, 1, H, W) in [0, 1]
    weight: float = 1.0


@dataclass(frozen=True)
class Likeness:
    """The weights of the loss; `to` gives the loss for a batch of images."""

    perceptual: Metric | None = None  # None = pixels alone
    perceptual_weight: float = 1.0
    pixel_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("perceptual_weight", "pixel_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadArgument(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if not self.pixel_weight and not (self.perceptual and self.perceptual_weight):
            raise BadArgument("nothing is left of the loss: give pixel_weight, or a perceptual network and its weight.")

    def to(
        self, images: Tensor, *, mask: Tensor | None = None, style: Style | None = None
    ) -> Callable[[Tensor], Terms]:
        """The loss of re-syntheses of `images`; `mask` (N or 1, 1, H, W) is 1 where they must match, 0 where free."""
        check_mask(mask, images)
        distance = _distance(self.perceptual if self.perceptual_weight else None, images)
        texture = _texture(self.perceptual, style) if style is not None else None

        def terms(made: Tensor) -> Terms:
            if made.shape != images.shape:
                # A grey image would otherwise be compared with each colour in turn, in silence.
                raise BadArgument(f"the generator makes {_told(made)} images, and these are {_told(images)}.")
            made = ClampThrough.apply(made)
            shown = composed(made, images, mask)
            mse = (shown - images).square().flatten(1).mean(1)
            perceptual = distance(shown)
            loss = self.pixel_weight * mse + self.perceptual_weight * perceptual
            return Terms(loss if texture is None else loss + texture(made), perceptual.detach(), mse.detach())

        return terms


def composed(made: Tensor, images: Tensor, mask: Tensor | None) -> Tensor:
    """`made` where the mask is 1, the images themselves where it is 0: what is free costs nothing, and has no edge."""
    return made if mask is None else torch.lerp(images, made, mask.to(images))


def check_mask(mask: Tensor | None, images: Tensor) -> None:
    """Refuses a mask of another size or range than the images'."""
    if mask is None:
        return
    rows, (height, width) = (1, len(images)), images.shape[-2:]
    if mask.ndim != 4 or mask.shape[0] not in rows or tuple(mask.shape[1:]) != (1, height, width):
        raise BadArgument(
            f"a mask for these images must have the shape (1 or {len(images)}, 1, {height}, {width}), "
            f"got {tuple(mask.shape)}."
        )
    check_range(mask, "a mask")


class ClampThrough(torch.autograd.Function):
    """Clamps to [0, 1] and lets the gradient through: saturated pixels are judged as saved, and can still come back."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return images.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def _distance(metric: Metric | None, images: Tensor) -> Callable[[Tensor], Tensor]:
    """The perceptual distance to `images`, their features computed once where the metric can."""
    if metric is None:
        return lambda made: made.new_zeros(len(made))
    originals = _seen(images)
    make = getattr(metric, "reference", None)
    if make is None:
        return lambda made: metric(_seen(made), originals)
    reference = make(originals)
    return lambda made: metric.distance_to(_seen(made), reference)  # type: ignore[attr-defined]


def _told(images: Tensor) -> str:
    kind = {1: "grey", 3: "RGB"}.get(images.shape[1], f"{images.shape[1]}-channel")
    return f"{images.shape[3]}x{images.shape[2]} {kind}"


def _seen(images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    if max(height, width) <= SEEN:
        return images
    scale = SEEN / max(height, width)
    return functional.interpolate(images, (round(height * scale), round(width * scale)), mode="area")


def _texture(metric: Metric | None, style: Style) -> Callable[[Tensor], Tensor]:
    """Squared differences of Gram matrices under the mask, at the middle tapped layer: conv3_3 of VGG, as published."""
    backbone = getattr(metric, "backbone", None)
    if backbone is None:
        raise BadArgument("a style needs a perceptual network with features, such as core.perceptual.LPIPS.")
    check_mask(style.mask, style.images)

    def gram(images: Tensor) -> Tensor:
        features = backbone(_seen(images).expand(-1, 3, -1, -1))
        middle: Tensor = features[len(features) // 2]
        share = functional.interpolate(style.mask.to(images), middle.shape[-2:], mode="area")
        flat = middle.flatten(2)
        weighted = (middle * share).flatten(2)
        area = share.flatten(1).sum(1).clamp(min=1e-6)
        return weighted @ flat.transpose(1, 2) / (area * middle.shape[1])[:, None, None]

    with torch.no_grad():
        wanted = gram(style.images)
    return lambda made: style.weight * (gram(made) - wanted).square().sum((1, 2))
