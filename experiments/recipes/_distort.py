"""Ways in which a picture may change, each with a strength from 0 to 1 an image; a perceptual distance must rank them.

`TRAINED` are what the embedded distance learns from, `UNSEEN` are kept for measuring it. Draws come from torch's global
generator.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from advgen.core.images import jpeg, to_float, to_uint8

Distortion = Callable[[Tensor, Tensor], Tensor]  # images (N, C, H, W), strength (N, 1, 1, 1) -> images


def noise(images: Tensor, strength: Tensor) -> Tensor:
    return images + 0.25 * strength * torch.randn(images.shape)


def signs(images: Tensor, strength: Tensor) -> Tensor:
    """What a sign step looks like: every value up or down by up to 24 grey levels."""
    return images + 24 / 255 * strength * torch.randn(images.shape).sign()


def soft_noise(images: Tensor, strength: Tensor) -> Tensor:
    coarse = torch.randn(len(images), images.shape[1], 5, 5)
    return images + 0.3 * strength * F.interpolate(coarse, images.shape[2:], mode="bicubic", align_corners=False)


def blur(images: Tensor, strength: Tensor) -> Tensor:
    small = F.interpolate(images, scale_factor=1 / 3, mode="bilinear", antialias=True, align_corners=False)
    return torch.lerp(images, F.interpolate(small, images.shape[2:], mode="bilinear", align_corners=False), strength)


def sharpen(images: Tensor, strength: Tensor) -> Tensor:
    return images + 1.5 * strength * (images - F.avg_pool2d(images, 3, 1, 1, count_include_pad=False))


def shift(images: Tensor, strength: Tensor) -> Tensor:
    return _moved(images, strength * 0.12 * (2 * torch.rand(len(images), 1, 1, 2) - 1))


def warp(images: Tensor, strength: Tensor) -> Tensor:
    field = F.interpolate(torch.randn(len(images), 2, 5, 5), images.shape[2:], mode="bicubic", align_corners=False)
    return _moved(images, 0.12 * strength * field.permute(0, 2, 3, 1))


def light(images: Tensor, strength: Tensor) -> Tensor:
    gain, lift = 2 * torch.rand(2, len(images), 1, 1, 1) - 1
    return images * (1 + 0.6 * strength * gain) + 0.25 * strength * lift


def colour(images: Tensor, strength: Tensor) -> Tensor:
    return images * (1 + 0.6 * strength * (2 * torch.rand(len(images), images.shape[1], 1, 1) - 1))


def box(images: Tensor, strength: Tensor) -> Tensor:
    """A rectangle of one colour over up to half of each side."""
    height, width = images.shape[2:]
    centre, half = torch.rand(2, len(images), 1, 1), 0.25 * strength[:, 0]
    rows = (torch.linspace(0, 1, height)[None, :, None] - centre[0]).abs() < half
    columns = (torch.linspace(0, 1, width)[None, None, :] - centre[1]).abs() < half
    inside = (rows & columns)[:, None]
    return torch.where(inside, torch.rand(len(images), images.shape[1], 1, 1), images)


def blend(images: Tensor, strength: Tensor) -> Tensor:
    """Into another picture, wholly at strength 1."""
    return torch.lerp(images, images.roll(1, 0), strength)


def compress(images: Tensor, strength: Tensor) -> Tensor:
    qualities = (95 - 88 * strength.flatten()).round().int().tolist()
    rows = [jpeg(to_uint8(image[None].clamp(0, 1)), quality) for image, quality in zip(images, qualities)]
    return to_float(torch.cat(rows))


def turn(images: Tensor, strength: Tensor) -> Tensor:
    angle = 0.35 * strength.flatten() * torch.randn(len(images)).sign()
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros(len(images))
    rows = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def specks(images: Tensor, strength: Tensor) -> Tensor:
    hit = torch.rand(len(images), 1, *images.shape[2:]) < 0.2 * strength
    return torch.where(hit, torch.rand(images.shape).round(), images)


def levels(images: Tensor, strength: Tensor) -> Tensor:
    steps = (24 * (1 - strength)).round() + 1
    return (images * steps).round() / steps


def stripes(images: Tensor, strength: Tensor) -> Tensor:
    period = 2 + 6 * torch.rand(len(images), 1, 1, 1)
    wave = torch.sin(2 * torch.pi * torch.arange(images.shape[3]) / period)
    return images + 0.2 * strength * wave


TRAINED: Mapping[str, Distortion] = {
    f.__name__: f for f in (noise, signs, soft_noise, blur, sharpen, shift, warp, light, colour, box, blend)
}
UNSEEN: Mapping[str, Distortion] = {f.__name__: f for f in (compress, turn, specks, levels, stripes)}


def distorted(images: Tensor, family: Mapping[str, Distortion], *, twice: float = 0.0) -> Tensor:
    """Each image by a distortion drawn for it, weak ones more often; a share `twice` gets a second one."""
    kinds = list(family.values())
    for share in (1.0, twice):
        which = torch.randint(len(kinds), (len(images),))
        which[torch.rand(len(images)) >= share] = -1
        strength = torch.rand(len(images), 1, 1, 1).square()
        changed = images.clone()
        for k, kind in enumerate(kinds):
            rows = which == k
            if bool(rows.any()):
                changed[rows] = kind(images[rows], strength[rows]).clamp(0, 1)
        images = changed
    return images


def _moved(images: Tensor, by: Tensor) -> Tensor:
    """Sampled at positions moved by (x, y), in units where the picture's side is 2; edges are repeated."""
    still = torch.eye(2, 3).expand(len(images), -1, -1)
    grid = F.affine_grid(still, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid + by, padding_mode="border", align_corners=False)
