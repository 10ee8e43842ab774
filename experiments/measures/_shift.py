"""Pairs of generated images, the second with its content moved across the picture, along one direction of w.

The direction is fitted: how far the content of each of many samples lies to the right of the mean image (by
cross-correlation), regressed on w with a ridge. A generator whose training images were all centred has none. Without
noise, which stays where it is in every generator.
"""

import torch
from torch import Tensor

from advgen.generators.stylegan2 import StyleGAN2Generator

SAMPLES = 1024
RIDGE = 0.1  # of the mean variance of w
BATCH = 32


@torch.no_grad()
def moved_pairs(net: StyleGAN2Generator, *, pixels: float, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(count, C, R, R) in [0, 1] each: samples half the way to the left, and half the way to the right."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.cat(
        [
            net.mapping(torch.randn(BATCH, net.z_dim, generator=generator).to(net.mean_w))
            for _ in range(SAMPLES // BATCH)
        ]
    )
    images = _synthesised(net, w)
    places = displacements(images.mean(1), images.mean((0, 1)))
    rows = (w[:, 0] - w[:, 0].mean(0)).double()
    variance = rows.square().mean()
    inverse = rows.T @ rows / len(rows) + RIDGE * variance * torch.eye(rows.shape[1], dtype=torch.float64)
    slope = torch.linalg.solve(inverse, rows.T @ (places - places.mean()).double() / len(rows))
    # The shortest step of w that the fit says moves the content by one pixel.
    step = (slope / slope.square().sum()).to(w.dtype)
    chosen = w[:count]
    left, right = (_synthesised(net, chosen + sign * pixels / 2 * step) for sign in (-1, 1))
    return left, right


def _synthesised(net: StyleGAN2Generator, w: Tensor) -> Tensor:
    return torch.cat([net.synthesis(some, noise="none").clamp(0, 1) for some in w.split(BATCH)])


def displacements(images: Tensor, template: Tensor) -> Tensor:
    """(N,) pixels to the right that grey images (N, H, W) lie of `template` (H, W), to a fraction by a parabola."""
    centred = images - images.mean((1, 2), keepdim=True)
    at = torch.fft.rfft(centred, dim=2) * torch.fft.rfft(template - template.mean(), dim=1).conj()
    correlation = torch.fft.irfft(at, n=images.shape[2], dim=2).sum(1)  # (N, shifts)
    width = images.shape[2]
    best = correlation.argmax(1)
    left, middle, right = (correlation.gather(1, ((best + k) % width)[:, None])[:, 0] for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    vertex = torch.where(bend < 0, (left - right) / (2 * bend), torch.zeros_like(bend)).clamp(-0.5, 0.5)
    signed = torch.where(best > width // 2, best - width, best)
    return signed + vertex
