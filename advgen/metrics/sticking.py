"""Texture sticking: whether fine details follow content that moves, or stay where they are on the screen.

Two batches, the second the first with its content moved by a known number of pixels. Both are cut into bands: details
(what a Gaussian blur of `blur` pixels takes away) and content (between that blur and one four times as wide). For every
block, the displacement along the known direction that best aligns the band of the first image with that of the second
is searched (normalised cross-correlation, from -1/2 to 3/2 of the way, quarter pixels at most, refined by a parabola).
A block's displacement over the known one is 1 where the band moved along and 0 where it stayed; blocks are averaged by
the energy of their band. `content` has to be near 1, else the content did not move as said, and `details` says nothing.

The artefact: Karras et al. 2020, arXiv 1912.04958, section 4 (teeth that do not turn with the face), and Karras et al.
2021, arXiv 2106.12423, figure 1. The measure is our own.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument

BLOCK = 16  # pixels
BLUR = 1.0  # pixels; standard deviation that parts details from content
_COARSER = 4.0  # the content's lower end, in blurs
_REACH = (-0.5, 1.5)  # of the way
_STEP = 0.25  # pixels


class StickingReport(NamedTuple):
    """How far the bands of N images moved with the content; 1 = follows, 0 = sticks."""

    details: Tensor  # (N,)
    content: Tensor  # (N,)
    details_match: Tensor  # (N,) correlation at the displacements found; low = the details became others
    content_match: Tensor


@torch.no_grad()
def sticking(
    images: Tensor,
    moved: Tensor,
    shift: tuple[float, float],
    *,
    mask: Tensor | None = None,
    blur: float = BLUR,
    block: int = BLOCK,
) -> StickingReport:
    """Of `images` and `moved` (N, C, H, W), whose content lies `shift` = (dx, dy) pixels further right and down.

    `mask` (N, 1, H, W) or (1, 1, H, W), in [0, 1], says where in `moved` the content is; None = everywhere. Fractions
    of pixels may be given. A margin as wide as the search is left out.

    Raises:
        BadArgument: shapes that differ, a shift of 0, or one too large for the images.
    """
    distance = math.hypot(*shift)
    height, width = images.shape[-2:]
    if images.shape != moved.shape or images.ndim != 4:
        raise BadArgument(f"images are {tuple(images.shape)}, moved ones {tuple(moved.shape)}; both (N, C, H, W).")
    margin = math.ceil(_REACH[1] * max(abs(shift[0]), abs(shift[1])))
    if distance == 0 or min(height, width) - 2 * margin < block:
        raise BadArgument(
            f"a shift of {shift} cannot be followed in images of {width}x{height}: it must not be 0, and must leave a "
            f"block of {block} pixels within a margin of {margin}."
        )
    weight = torch.ones_like(images[:1, :1]) if mask is None else mask.to(images)
    weight = _inside(weight.double(), margin)
    steps = max(9, math.ceil((_REACH[1] - _REACH[0]) * distance / _STEP) + 1)
    along = torch.linspace(*_REACH, steps, dtype=torch.float64, device=images.device)
    before, after = images.double().mean(1, keepdim=True), moved.double().mean(1, keepdim=True)
    found = []
    for band in (_details, _content):
        first, second = band(before, blur), band(after, blur)
        found.append(_followed(first, second, shift, along, weight, margin, block))
    (details, details_match), (content, content_match) = found
    return StickingReport(details.cpu(), content.cpu(), details_match.cpu(), content_match.cpu())


def _followed(
    first: Tensor, second: Tensor, shift: tuple[float, float], along: Tensor, weight: Tensor, margin: int, block: int
) -> tuple[Tensor, Tensor]:
    """(N,) share of the way that a band moved, and (N,) the correlation there."""
    target = _inside(second, margin)
    target_energy = _blocks(weight * target.square(), block)
    scores = []
    for t in along:
        candidate = _inside(_translated(first, float(t) * shift[0], float(t) * shift[1]), margin)
        energy = _blocks(weight * candidate.square(), block)
        product = _blocks(weight * candidate * target, block)
        scores.append(product / (energy * target_energy).sqrt().clamp(min=torch.finfo(product.dtype).tiny))
    score = torch.stack(scores)  # (T, N, blocks)
    best = score.argmax(0, keepdim=True)
    inner = best.clamp(1, len(along) - 2)
    left, middle, right = (score.gather(0, inner + offset)[0] for offset in (-1, 0, 1))
    bend = left - 2 * middle + right
    vertex = torch.where(bend < 0, (left - right) / (2 * bend), torch.zeros_like(bend)).clamp(-1, 1)
    position = along[inner[0]] + vertex * (along[1] - along[0])
    share = target_energy / target_energy.sum(1, keepdim=True).clamp(min=torch.finfo(position.dtype).tiny)
    return (share * position).sum(1), (share * score.gather(0, best)[0]).sum(1)


def _details(grey: Tensor, blur: float) -> Tensor:
    return grey - _blurred(grey, blur)


def _content(grey: Tensor, blur: float) -> Tensor:
    return _blurred(grey, blur) - _blurred(grey, _COARSER * blur)


def _blurred(grey: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (N, 1, H, W), the border repeated."""
    reach = math.ceil(3 * sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=grey.dtype, device=grey.device)
    bell = torch.exp(-offsets.square() / (2 * sigma**2))
    bell = (bell / bell.sum()).view(1, 1, 1, -1)
    padded = functional.pad(grey, (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, bell), bell.transpose(2, 3))


def _translated(grey: Tensor, dx: float, dy: float) -> Tensor:
    """(N, 1, H, W) moved right and down by fractions of pixels, what leaves comes in at the other side."""
    height, width = grey.shape[-2:]
    rows = torch.fft.fftfreq(height, dtype=grey.dtype, device=grey.device)
    columns = torch.fft.rfftfreq(width, dtype=grey.dtype, device=grey.device)
    angle = -2 * math.pi * (rows[:, None] * dy + columns[None] * dx)
    return torch.fft.irfft2(torch.fft.rfft2(grey) * torch.polar(torch.ones_like(angle), angle), s=(height, width))


def _inside(maps: Tensor, margin: int) -> Tensor:
    return maps[..., margin : maps.shape[-2] - margin, margin : maps.shape[-1] - margin]


def _blocks(maps: Tensor, block: int) -> Tensor:
    """(N, blocks) means of (N, 1, H, W) over blocks; what is left at the end is no block."""
    return functional.avg_pool2d(maps, block).flatten(1)
