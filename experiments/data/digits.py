"""Digits: scikit-learn's 1,797 handwritten digits, enlarged to 32x32 grey, 10 classes; nothing to bring.

The originals are 8x8 with 17 grey levels (Alpaydin and Kaynak 1998, UCI "Optical recognition of handwritten digits").
They stand in the file writer after writer, so the splits are consecutive blocks: shuffled, one writer's digits would
be on both sides. Ids carry the position in the file.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from advgen.core.types import Slice
from advgen.experiments.data import _table

NAME = "digits"
SIZE = 32  # pixels; LPIPS needs at least 17
BLOCKS = {"train": (0, 997), "validation": (997, 1197), "calibration": (1197, 1397), "test": (1397, 1797)}


@final
@dataclass(frozen=True)
class Digits:
    """From the installed scikit-learn; `size` None is 32 pixels."""

    kind = "image"
    splits = ("train", "validation", "calibration", "test")
    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    licence = "CC BY 4.0"

    def load(self, split: str, count: int, size: int | None) -> Slice:
        """The first `count` images of `split` (0 = all), enlarged to `size` pixels."""
        from sklearn.datasets import load_digits

        _table.check_split(NAME, split)
        at = _table.first(NAME, split, count, range(*BLOCKS[split]))
        source = load_digits()
        levels = source.images[at.start : at.stop]  # 0 .. 16
        return _table.make_slice(
            NAME,
            split,
            at,
            _table.resized(np.rint(levels * (255 / 16)).astype(np.uint8), size or SIZE),
            source.target[at.start : at.stop],
            self.classes,
            preprocessing={"resize": "bilinear-antialias", "from": "8x8"},
        )
