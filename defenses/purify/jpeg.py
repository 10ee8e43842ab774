"""JPEG compression and decompression of the bytes, by Pillow.

Not differentiable: an adaptive attack goes backward through its surrogate, the identity (BPDA, Athalye et al. 2018,
arXiv 1802.00420, section 4.1), and forward through the real thing.

Guo et al. 2018, "Countering Adversarial Images using Input Transformations", arXiv 1711.00117.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.images import jpeg, to_float, to_uint8
from advgen.core.rng import SampleRng


@final
@dataclass(frozen=True)
class JPEG:
    paper = "Guo et al. 2018, arXiv 1711.00117"
    cost = "forward"
    stochastic = False
    differentiable = False

    quality: int = 75  # Pillow's scale, 1 (coarse) to 95 (fine)

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 95:
            raise BadArgument(f"purify/jpeg: quality must be 1 to 95, got {self.quality}.")

    def purify(self, images: Tensor, rng: SampleRng) -> Tensor:
        """Images as the JPEG of their nearest bytes shows them; no gradient."""
        return to_float(jpeg(to_uint8(images.detach()), self.quality))

    def surrogate(self) -> Callable[[Tensor], Tensor]:
        return _identity


def _identity(images: Tensor) -> Tensor:
    return images
