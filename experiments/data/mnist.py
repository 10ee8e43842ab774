"""MNIST: handwritten digits, 28x28 grey, 10 classes; from files that you bring.

The test split is the official test file in its order. The last 5,000 images of the training file are for calibration,
the 5,000 before them for validation. Ids carry the position in the official file.

LeCun, Cortes and Burges 1998, "The MNIST database of handwritten digits".
"""

from dataclasses import dataclass
from typing import final

from advgen.core.types import Slice
from advgen.experiments.data._idx import load_idx


@final
@dataclass(frozen=True)
class MNIST:
    """Four idx files (.gz or not) in `images/mnist` of the data folder, or as torchvision unpacks them."""

    kind = "image"
    splits = ("train", "validation", "calibration", "test")
    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    licence = "CC BY-SA 3.0"

    def load(self, split: str, count: int, size: int | None) -> Slice:
        """The first `count` images of `split` (0 = all), scaled to `size` pixels if given."""
        return load_idx("mnist", "MNIST", self.classes, split, count, size)
