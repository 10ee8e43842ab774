"""Is an inversion near enough to its image to go on with? Distances on the image as it would be saved, and a limit.

LPIPS: Zhang et al., arXiv 1801.03924; PSNR and SSIM: see `core.perceptual`. Which perceptual network measured must be
said beside the numbers; without one, the distance is the root mean square error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.images import to_float, to_uint8
from advgen.core.latent_spaces import spread
from advgen.core.perceptual import psnr, ssim
from advgen.core.types import Generator, Latents
from advgen.inversion.latents import distance_to_mean, taken
from advgen.inversion.likeness import Likeness, Metric, composed

_SSIM_SIDE = 11  # pixels of its window


class Quality(NamedTuple):
    """How near re-syntheses are to their images, each (N,)."""

    distance: Tensor  # LPIPS of the network given; root mean square error without one
    mse: Tensor  # mean over channels and pixels of [0, 1]
    psnr: Tensor  # dB
    ssim: Tensor  # NaN for images under 11 pixels
    w_distance: Tensor  # of w from the generator's mean, in root mean square distances of its samples


@torch.no_grad()
def quality(
    made: Tensor,
    images: Tensor,
    *,
    perceptual: Metric | None,
    generator: Generator,
    w: Tensor,
    mask: Tensor | None = None,
    unit: float | None = None,
) -> Quality:
    """Measures `made` against `images`, both rounded to bytes first; where the mask is 0 nothing is compared.

    `unit` is the generator's `spread`, where the caller has it.
    """
    made, images = (to_float(to_uint8(x.clamp(0, 1))) for x in (made, images.to(made)))
    made = composed(made, images, mask)
    error = (made.double() - images.double()).square().flatten(1).mean(1)
    likeness = ssim(made, images) if min(images.shape[-2:]) >= _SSIM_SIDE else torch.full_like(error, torch.nan)
    away = distance_to_mean(generator, w, spread(generator) if unit is None else unit)
    return Quality(resemblance(made, images, perceptual), error, psnr(made, images), likeness, away)


@torch.no_grad()
def resemblance(made: Tensor, images: Tensor, perceptual: Metric | None, mask: Tensor | None = None) -> Tensor:
    """(N,) `Latents.distance`: the perceptual distance of images in [0, 1], or the root mean square error."""
    if not len(images):
        return images.new_zeros(0)
    terms = Likeness(perceptual).to(images, mask=mask)(made)
    return terms.mse.sqrt() if perceptual is None else terms.perceptual


@final
@dataclass(frozen=True)
class Gate:
    """Lets inversions through whose distance is at most `limit`, a number of the network that measured them."""

    limit: float

    def __post_init__(self) -> None:
        if not 0 <= self.limit < float("inf"):
            raise BadArgument(f"the limit of an inversion's distance must be 0 or more, got {self.limit}.")

    def passes(self, latents: Latents) -> Tensor:
        """(N,) bool; a distance that is no number does not pass."""
        return latents.distance <= self.limit

    def through(self, latents: Latents) -> Latents:
        """The samples that pass."""
        return taken(latents, self.passes(latents))

    def require(self, latents: Latents, ids: Sequence[str]) -> None:
        """Refuses to go on when a sample is beyond the limit.

        Raises:
            BadArgument: names the furthest.
        """
        far = ~self.passes(latents)
        if not bool(far.any()):
            return
        worst = int(latents.distance.nan_to_num(nan=float("inf")).argmax())
        others = int(far.sum()) - 1
        more = f", and so {'is' if others == 1 else 'are'} {others} more of {len(ids)}" if others else ""
        raise BadArgument(
            f"the inversion of {ids[worst]} is too far from the image to attack it (distance "
            f"{float(latents.distance[worst]):.3f}, limit {self.limit:g}){more}; invert with more steps, in w+ or from "
            "a better start, or leave it out."
        )
