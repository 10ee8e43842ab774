"""An edit that is kept to a region: inside the mask the edited picture, outside of it the original, a soft border.

The region is given as a mask, or found: where the change of pixels brings CLIP nearer to the text (gradient times
change, as in integrated gradients: Sundararajan et al. 2017, arXiv 1703.01365, equation 1). What an edit changes
elsewhere comes with it by accident.
"""

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.core.types import Generator, ImageTextEncoder
from advgen.editing.shifts import Shift, edited
from advgen.inversion.latents import at_rest
from advgen.inversion.likeness import check_mask, composed

SHARE = 0.25  # of the largest effect, from which on a pixel belongs to a region that is found


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


def found(
    generator: Generator,
    encoder: ImageTextEncoder,
    w: Tensor,
    shift: Shift,
    text: Tensor,
    *,
    share: float = SHARE,
    blur: int = 2,
    each: bool = False,
    batch: int = 16,
) -> Tensor:
    """(1, 1, H, W) mask of the pixels whose change brings images of w (N, L, D) nearer to the text (D,).

    A pixel's part in it is its change times the gradient of the cosine, at two points of the way, blurred by `blur`
    pixels; what helps, summed over the images, must reach `share` of the largest. each: (N, 1, H, W), an image's own.

    Raises:
        BadArgument: a share out of range.
    """
    if not 0 <= share <= 1:
        raise BadArgument(f"share is a part of the largest effect, 0 to 1, got {share}.")
    parts = []
    with at_rest(generator):
        for index in torch.arange(len(w)).split(batch):
            with torch.no_grad():
                own = shift.take(index)
                before, after = (edited(generator, w[index], part).clamp(0, 1) for part in (Shift(), own))
            change, part = after - before, torch.zeros_like(before[:, :1])
            for at in (0.25, 0.75):
                image = (before + at * change).requires_grad_()
                (slope,) = torch.autograd.grad((encoder.encode_images(image) @ text.to(image)).sum(), image)
                part = part + (slope * change).sum(1, keepdim=True)
            parts.append(part.clamp(min=0))
    part = torch.cat(parts)
    part = part if each else part.sum(0, keepdim=True)
    if blur:
        padded = functional.pad(part, (blur,) * 4, mode="replicate")
        part = functional.avg_pool2d(padded, 2 * blur + 1, stride=1)
    return (part >= share * part.flatten(1).amax(1)[:, None, None, None]).to(part)
