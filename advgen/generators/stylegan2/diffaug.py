"""DiffAugment: colour, shift and cutout at random, on real and generated images alike, with gradients through them.

Zhao et al., arXiv 2006.10738, section 4. Brightness is drawn from [-0.5, 0.5] of the paper's image range [-1, 1],
which is +-0.25 here; what is shifted in or cut out is the paper's 0, which is grey, 0.5, here. Numbers are drawn on the
CPU, each sample its own, so that a seed gives the same on every device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument, UnknownName
from advgen.generators.stylegan2.amounts import Draws

_SHIFT = 1 / 8  # of the side, to either side
_CUT = 1 / 2  # of the side

Change = Callable[[Tensor, Draws], Tensor]


@dataclass(frozen=True)
class DiffAugment:
    """Images (N, C, H, W) in [0, 1] to augmented ones, float32, not clamped; differentiable as often as one likes."""

    policy: str = "color,translation,cutout"  # in this order, one after the other
    share: tuple[int, int] = (0, 1)  # this process' number and how many share the batch

    def __post_init__(self) -> None:
        for name in self._names():
            if name not in _POLICIES:
                raise UnknownName.among("policy of DiffAugment", name, _POLICIES)

    def __call__(self, images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draws from torch's global generator, or from `generator`, both of the CPU."""
        if images.ndim != 4:
            raise BadArgument(f"images must have the shape (N, C, H, W), got {tuple(images.shape)}.")
        images = images.to(torch.promote_types(images.dtype, torch.float32))
        draws = Draws(generator, *self.share)
        for name in self._names():
            for change in _POLICIES[name]:
                images = change(images, draws)
        return images

    def _names(self) -> list[str]:
        return [name.strip() for name in self.policy.split(",")]


def brightened(images: Tensor, draws: Draws) -> Tensor:
    """All of an image lighter or darker by up to 0.25."""
    return images + (_unit(images, draws) - 0.5) / 2


def saturated(images: Tensor, draws: Draws) -> Tensor:
    """The distance to the mean over channels times 0 to 2; nothing happens to grey images."""
    grey = images.mean(1, keepdim=True)
    return (images - grey) * (_unit(images, draws) * 2) + grey


def contrasted(images: Tensor, draws: Draws) -> Tensor:
    """The distance to an image's mean times 0.5 to 1.5."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (_unit(images, draws) + 0.5) + mean


def translated(images: Tensor, draws: Draws) -> Tensor:
    """Shifted by whole pixels, by up to an eighth of the side, rows and columns each."""
    if not len(images):
        return images
    rows, columns = (
        draws.between(-most, most + 1, len(images)).tolist()
        for most in (_part(side, _SHIFT) for side in images.shape[2:])
    )
    # Negative padding crops.
    moved = [functional.pad(i, (-x, x, -y, y), value=0.5) for i, x, y in zip(images, columns, rows, strict=True)]
    return torch.stack(moved)


def cut_out(images: Tensor, draws: Draws) -> Tensor:
    """A rectangle of half the side turns grey; its centre is anywhere, so that a part of it may lie outside."""
    rows, columns = (_within(side, len(images), draws) for side in images.shape[2:])
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(inside.to(images.device), 0.5, images)


_POLICIES: dict[str, tuple[Change, ...]] = {
    "color": (brightened, saturated, contrasted),
    "translation": (translated,),
    "cutout": (cut_out,),
}


def _part(side: int, share: float) -> int:
    return int(side * share + 0.5)


def _within(side: int, count: int, draws: Draws) -> Tensor:
    """(N, side) bool: the half of a side that is cut out."""
    cut = _part(side, _CUT)
    centre = draws.between(0, side + 1 - cut % 2, count, 1)
    place = torch.arange(side) - centre + cut // 2
    return (place >= 0) & (place < cut)


def _unit(images: Tensor, draws: Draws) -> Tensor:
    """(N, 1, 1, 1) in [0, 1)."""
    return draws.uniform(len(images), 1, 1, 1).to(images)
