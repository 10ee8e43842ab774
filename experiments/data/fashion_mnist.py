"""Fashion-MNIST: photographs of clothes, 28x28 grey, 10 classes; from files that you bring.

The test split is the official test file in its order. The last 5,000 images of the training file are for calibration,
the 5,000 before them for validation. Ids carry the position in the official file.

Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747.
"""

from dataclasses import dataclass
from typing import final

from advgen.core.types import Slice
from advgen.experiments.data._idx import load_idx


@final
@dataclass(frozen=True)
class FashionMNIST:
    """Four idx files (.gz or not) in `images/fashion-mnist` of the data folder, or as torchvision unpacks them."""

    paper = "arXiv 1708.07747"
    kind = "image"
    splits = ("train", "validation", "calibration", "test")
    classes = (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )
    licence = "MIT"

    def load(self, split: str, count: int, size: int | None) -> Slice:
        """The first `count` images of `split` (0 = all), scaled to `size` pixels if given."""
        return load_idx("fashion-mnist", "FashionMNIST", self.classes, split, count, size)
