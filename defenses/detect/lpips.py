"""Perceptual distance between an image and its purified self: a perturbation that purifying removes is one that shows.

No clean reference is needed: the purifier makes one. A detector sees the image as submitted, so its own purifier is
apart from those that stand before the target. Where that purifier has no gradient, the score still goes forward
through it, and backward through the purifier's own surrogate (BPDA, Athalye et al. 2018, arXiv 1802.00420).

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", arXiv 1801.03924.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import final

from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.types import Purifier


@final
@dataclass(frozen=True)
class LPIPSResidual:
    paper = "Zhang et al. 2018, arXiv 1801.03924"
    cost = "forward"
    needs = ("perceptual", "purifier")
    differentiable = True

    through: str = "purify/dae"  # the purifier that an image is compared through, by name, with its defaults
    weights: str | None = None  # checkpoint of that purifier's autoencoder; None = the shipped one for the data
    net: str = "embedded"  # backbone of the distance: embedded, squeeze, alex or vgg
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = field(default=None, repr=False, compare=False)  # -> (N,)
    purifier: Purifier | None = field(default=None, repr=False, compare=False)

    @property
    def stochastic(self) -> bool:
        return self._purifier.stochastic

    def fit(self, clean: Tensor, *, rng: SampleRng) -> "LPIPSResidual":
        """The same detector: neither the distance nor the purifier learns from these images."""
        return replace(self)

    def score(self, images: Tensor, rng: SampleRng) -> Tensor:
        """(N,): the perceptual distance, at least 0."""
        if self.perceptual is None:
            raise BadArgument("detect/lpips needs a perceptual distance: name its backbone with net=NAME.")
        return self.perceptual(images, _purified(self._purifier, images, rng))

    def surrogate(self) -> "LPIPSResidual":
        return self

    @property
    def _purifier(self) -> Purifier:
        if self.purifier is None:
            raise BadArgument("detect/lpips needs a purifier: name it with through=NAME.")
        return self.purifier


def _purified(purifier: Purifier, images: Tensor, rng: SampleRng) -> Tensor:
    if purifier.differentiable:
        return purifier.purify(images, rng)
    smooth = purifier.surrogate()(images)
    return purifier.purify(images.detach(), rng) + (smooth - smooth.detach())
