"""An edit that is kept to a region: inside the mask the edited picture, outside of it the original, a soft border."""

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.inversion.likeness import check_mask, composed


def feathered(mask: Tensor, *, pixels: int = 2) -> Tensor:
    """The mask (N or 1, 1, H, W) with a border that rises over some pixels outside of it; inside it stays as it was.

    Raises:
        BadArgument: a negative width.
    """
    if pixels < 0:
        raise BadArgument(f"a border of {pixels} pixels was asked for; 0 or more are possible.")
    if pixels == 0:
        return mask
    side = 2 * pixels + 1
    wide = functional.max_pool2d(mask, side, stride=1, padding=pixels)
    padded = functional.pad(wide, (pixels,) * 4, mode="replicate")
    return torch.maximum(functional.avg_pool2d(padded, side, stride=1), mask)


def kept_inside(edited: Tensor, originals: Tensor, mask: Tensor, *, pixels: int = 2) -> Tensor:
    """(N, C, H, W): `edited` where the mask is 1, `originals` where it is 0.

    Raises:
        BadArgument: a mask of another size or range.
    """
    check_mask(mask, originals)
    return composed(edited, originals, feathered(mask.to(originals), pixels=pixels))
