"""Spaces: what a search moves in. Each is built for one batch and decodes its coordinates to images."""

from dataclasses import dataclass
from typing import Self, final

from torch import Tensor

from advgen.core.rng import SampleRng
from advgen.core.types import Index


@final
@dataclass(frozen=True)
class Pixels:
    """The image itself: coordinates are pixels (N, C, H, W), and the space's own limit is the box [0, 1]."""

    unit: float = 1.0
    pixels: bool = True

    def take(self, index: Index) -> Self:
        return self

    def start(self, originals: Tensor, rng: SampleRng) -> Tensor:
        return originals.clone()

    def decode(self, coordinates: Tensor) -> Tensor:
        return coordinates

    def clip(self, coordinates: Tensor) -> Tensor:
        return coordinates.clamp(0.0, 1.0)
