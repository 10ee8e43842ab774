"""The tanh space of Carlini & Wagner 2017 (arXiv 1608.04644, section V-B), reaching a little beyond the box.

Pixels that are exactly 0 or 1 can move: at the box's edge the slope is a sixth of the middle's, not zero.
"""

import math

from torch import Tensor

REACH = 0.55  # half the width of the tanh's range; the box [0, 1] has 0.5
EDGE = math.atanh(0.5 / REACH)  # w is held here, where its pixel meets the box


def into_tanh(images: Tensor) -> Tensor:
    """w of images in [0, 1]."""
    return ((images - 0.5) / REACH).atanh()


def out_of_tanh(w: Tensor) -> tuple[Tensor, Tensor]:
    """Images, and their slope to w."""
    t = w.tanh()
    return 0.5 + REACH * t, REACH * (1 - t.square())
