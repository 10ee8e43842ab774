"""Denoising autoencoder: images are drawn again from a small code (MagNet's reformer).

Deterministic and differentiable, so an adaptive attack has the exact gradient; the identity stands beside it as a
surrogate, for where the exact one vanishes (a saturated sigmoid).

Meng & Chen 2017, "MagNet: a Two-Pronged Defense against Adversarial Examples", arXiv 1705.09064, section 4.2.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng


@final
@dataclass(frozen=True)
class DAE:
    paper = "Meng & Chen 2017, arXiv 1705.09064"
    cost = "forward"
    needs = ("autoencoder",)
    stochastic = False
    differentiable = True

    weights: str | None = None  # checkpoint of the autoencoder, by name or path; None = the shipped one for the data
    autoencoder: nn.Module | None = field(default=None, repr=False, compare=False)  # images to images, in [0, 1]

    def purify(self, images: Tensor, rng: SampleRng) -> Tensor:
        """What the autoencoder makes of the images."""
        if self.autoencoder is None:
            raise BadArgument("purify/dae needs an autoencoder: name its checkpoint with weights=NAME.")
        purified: Tensor = self.autoencoder(images)
        return purified

    def surrogate(self) -> Callable[[Tensor], Tensor]:
        return _identity


def _identity(images: Tensor) -> Tensor:
    return images
