"""Affine warps of images without aliasing, differentiable twice with respect to the image.

Reflected at the border, doubled in size, sampled bilinearly, halved again (Karras et al., arXiv 2006.06676,
appendix B). Not every supported torch has a second derivative of its bilinear sampling. But sampling is linear in the
image: its derivative is its transpose, and the derivative of that is the sampling again.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from advgen.generators.stylegan2.wavelets import SYM6, doubling

_REACH = len(SYM6) // 4  # pixels that the filter reaches to each side


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Each output pixel is what stands at `inverse` (N, 3, 3) times its place, in pixels from the centre.

    `inverse` lives on the CPU and gets no gradient. What lies further out than one reflection is 0.
    """
    n, channels, h, w = images.shape
    left, top, right, bottom = _margins(inverse, h, w)
    fine = doubling(h, top, bottom, like=images) @ (images @ doubling(w, left, right, like=images).mT)
    out_h, out_w = 2 * (h + 2 * _REACH), 2 * (w + 2 * _REACH)

    def constant(make: Callable[[Tensor, Tensor], Tensor], x: float, y: float) -> Tensor:
        return make(inverse.new_tensor(x), inverse.new_tensor(y))

    # From output to input: the uneven margin moves the centre, pixels are halved in size, coordinates end at -1 and 1.
    inverse = constant(shift, (left - right) / 2, (top - bottom) / 2) @ inverse
    inverse = constant(scaling, 2, 2) @ inverse @ constant(scaling, 0.5, 0.5)
    # The even filter puts the doubled picture half of its pixels aside.
    inverse = constant(shift, -0.5, -0.5) @ inverse @ constant(shift, 0.5, 0.5)
    inverse = (
        constant(scaling, 2 / fine.shape[3], 2 / fine.shape[2]) @ inverse @ constant(scaling, out_w / 2, out_h / 2)
    )
    grid = functional.affine_grid(inverse[:, :2].to(images), [n, channels, out_h, out_w], align_corners=False)
    sampled = sample_bilinear(fine, grid)
    return _halving(h, images) @ (sampled @ _halving(w, images).mT)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """(N, 3, 3) from factors (N,)."""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], -1))


def shift(x: Tensor, y: Tensor) -> Tensor:
    """(N, 3, 3) from pixels (N,)."""
    matrix = torch.eye(3, dtype=x.dtype).repeat(*x.shape, 1, 1)
    matrix[..., 0, 2], matrix[..., 1, 2] = x, y
    return matrix


def rotation(angle: Tensor) -> Tensor:
    """(N, 3, 3) from radians (N,), from the x axis (right) to the y axis (down)."""
    matrix = torch.eye(3, dtype=angle.dtype).repeat(*angle.shape, 1, 1)
    matrix[..., 0, 0] = matrix[..., 1, 1] = angle.cos()
    matrix[..., 1, 0], matrix[..., 0, 1] = angle.sin(), -angle.sin()
    return matrix


def sample_bilinear(images: Tensor, grid: Tensor) -> Tensor:
    """`grid_sample` with zeros outside and `align_corners=False`; the grid (N, H, W, 2) gets no gradient."""
    return _Sample.apply(images, grid)


def _margins(inverse: Tensor, h: int, w: int) -> tuple[int, int, int, int]:
    """Pixels to add left, above, right and below, for all images to find what they look at, up to one reflection."""
    x, y = (w - 1) / 2, (h - 1) / 2
    corners = inverse.new_tensor([[-x, x, x, -x], [-y, -y, y, y], [1, 1, 1, 1]])
    seen = (inverse @ corners)[:, :2]
    low_x, low_y = seen.amin((0, 2)).tolist()
    high_x, high_y = seen.amax((0, 2)).tolist()

    def margin(beyond: float, size: int) -> int:
        return min(max(math.ceil(beyond + 2 * _REACH), 0), size - 1)

    return margin(-low_x - x, w), margin(-low_y - y, h), margin(high_x - x, w), margin(high_y - y, h)


def _halving(size: int, like: Tensor) -> Tensor:
    """(size, 2 (size + 2 reach)): the transpose of doubling, over 2, for the pixels that are kept."""
    return doubling(size + 2 * _REACH, 0, 0, like=like)[:, _REACH:-_REACH].mT / 2


class _Sample(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Spread.apply(gradient, grid, ctx.shape), None


class _Spread(Function):
    """The transpose of sampling: every value goes back to the four pixels that it was made of."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        image = values.new_zeros(1).expand(shape)  # only its shape matters to this derivative
        bilinear = zeros = 0
        backward = torch.ops.aten.grid_sampler_2d_backward
        return backward(values, image, grid, bilinear, zeros, False, (True, False))[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(gradient, grid), None, None
