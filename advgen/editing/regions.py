"""An edit that is kept to a region: inside the mask the edited picture, outside of it the original, a soft border.

The region is given as a mask, or found: where an edit changes an image most is what it is about, and what it changes
elsewhere comes with it by accident.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.editing.shifts import Shift, edited
from advgen.inversion.latents import at_rest
from advgen.inversion.likeness import check_mask, composed

SHARE = 0.3  # of the largest mean change, from which on a pixel belongs to a region that is found


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


@torch.no_grad()
def found(
    generator: Any, w: Tensor, shift: Shift, *, share: float = SHARE, blur: int = 2, each: bool = False, batch: int = 32
) -> Tensor:
    """(1, 1, H, W) mask of the pixels that the shift changes by at least `share` of the most, mean over w (N, L, D).

    each: (N, 1, H, W), a mask of its own for every image. blur: pixels over which changes are averaged first.

    Raises:
        BadArgument: a share out of range.
    """
    if not 0 <= share <= 1:
        raise BadArgument(f"share is a part of the largest change, 0 to 1, got {share}.")
    changes = []
    with at_rest(generator):
        for index in torch.arange(len(w)).split(batch):
            before, after = (edited(generator, w[index], part).clamp(0, 1) for part in (Shift(), shift.take(index)))
            changes.append((after - before).abs().mean(1, keepdim=True))
    change = torch.cat(changes)
    change = change if each else change.mean(0, keepdim=True)
    if blur:
        padded = functional.pad(change, (blur,) * 4, mode="replicate")
        change = functional.avg_pool2d(padded, 2 * blur + 1, stride=1)
    return (change >= share * change.flatten(1).amax(1)[:, None, None, None]).to(change)
