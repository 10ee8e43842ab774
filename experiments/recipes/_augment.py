"""Random changes to training images that keep their label; draws come from torch's global generator, seeded a step."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from advgen.core.errors import UnknownName

AUGMENTS = ("none", "affine", "flip", "light")


def augmented(images: Tensor, how: str) -> Tensor:
    """(N, C, H, W) in [0, 1] changed at random, each image by its own draw.

    none; affine: turned, scaled and shifted a little (digits); flip: mirrored at random and shifted (photographs);
    light: brightness and a little noise (avatars, whose renderer already varies everything else).
    """
    match how:
        case "none":
            return images
        case "affine":
            return _affine(images, turn=0.2, scale=0.12, shift=0.09, mirrored=False)
        case "flip":
            return _affine(images, turn=0.0, scale=0.0, shift=0.12, mirrored=True)
        case "light":
            gain = 1 + 0.1 * (2 * torch.rand(len(images), 1, 1, 1) - 1).to(images)
            noise = torch.randn(images.shape).to(images)
            return (_affine(images, turn=0.0, scale=0.03, shift=0.03, mirrored=False) * gain + 0.01 * noise).clamp(0, 1)
    raise UnknownName.among("augmentation", how, AUGMENTS)


def _affine(images: Tensor, *, turn: float, scale: float, shift: float, mirrored: bool) -> Tensor:
    """turn in radians, scale and shift as shares of the side; each uniform around none. Edges are repeated."""
    n = len(images)
    draws = 2 * torch.rand(n, 5) - 1
    angle, zoom = turn * draws[:, 0], 1 + scale * draws[:, 1]
    mirror = torch.where(draws[:, 4] > 0, -1.0, 1.0) if mirrored else torch.ones(n)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    moved = 2 * shift * draws[:, 2:4]
    rows = (torch.stack([mirror * cos, -sin, moved[:, 0]], 1), torch.stack([mirror * sin, cos, moved[:, 1]], 1))
    grid = F.affine_grid(torch.stack(rows, 1).to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def noisy(images: Tensor, sigma: float) -> Tensor:
    """Gaussian noise of standard deviation `sigma`, clipped to [0, 1]."""
    if not (sigma >= 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma {sigma}")
    return (images + sigma * torch.randn(images.shape).to(images)).clamp(0, 1)
