"""The four losses of StyleGAN2's training, the mean of w, mixed styles, and the averaged weights.

Non-saturating loss: Goodfellow et al., arXiv 1406.2661. R1: Mescheder et al., arXiv 1801.04406, equation 9. Path
lengths, lazy regularisation: Karras et al., arXiv 1912.04958, equation 4 and appendix B. Gradients to images are taken
in the range [-1, 1] of the papers, so that gamma means what it means there; images here lie in [0, 1].
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from advgen.generators.stylegan2.generator import StyleGAN2Generator
from advgen.generators.stylegan2.mapping import MappingNetwork

MEAN_DECAY = 0.995  # of the running mean of w, a step
PATH_DECAY = 0.01  # share that a step's mean length has in the running mean of path lengths


def generator_loss(fake_logits: Tensor) -> Tensor:
    """softplus(-D(G(z))), mean over (N, 1) logits."""
    return functional.softplus(-fake_logits).mean()


def discriminator_loss(fake_logits: Tensor) -> Tensor:
    """softplus(D(G(z))), mean: the half of the discriminator's loss that generated images cause."""
    return functional.softplus(fake_logits).mean()


def real_loss(real_logits: Tensor) -> Tensor:
    """softplus(-D(x)), mean: the half that real images cause."""
    return functional.softplus(-real_logits).mean()


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Squared gradient norm (N,) of each image's logit, to images in [-1, 1]; `images` (N, C, H, W) need a gradient.

    The loss is gamma / 2 times its mean.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    # Images in [-1, 1] are 2 x - 1: half the gradient.
    return gradient.square().sum((1, 2, 3)) / 4


class PathLengths(NamedTuple):
    """A step of path-length regularisation."""

    penalty: Tensor  # scalar, with the gradient of the whole batch even where a process holds a part of it
    lengths: Tensor  # (N,)
    mean: Tensor  # the running mean afterwards, a scalar without gradient


def path_lengths(images: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    """|J_w^T y| (N,) for images (N, C, H, W) of w (N, L, D) and noise y of the images' shape, unit variance."""
    height, width = images.shape[2:]
    # Images in [-1, 1] change twice as much.
    projected = 2 * (images * noise).sum() / (height * width) ** 0.5
    (gradient,) = torch.autograd.grad(projected, w, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_penalty(lengths: Tensor, mean: Tensor, *, global_mean: Tensor | None = None) -> PathLengths:
    """(|J^T y| - a)^2, a the running mean of lengths, this batch's included.

    `global_mean` is the mean length over all processes, where there are several.
    """
    here = lengths.mean()
    over_all = here.detach() if global_mean is None else global_mean
    moved = mean.lerp(over_all, PATH_DECAY)
    penalty = (lengths - moved).square().mean()
    # The running mean holds a share of this batch, so it has a gradient, too; written so that averaging the gradients
    # of several processes gives that of their common batch.
    share = 2 * (moved - over_all) * PATH_DECAY
    return PathLengths(penalty + share * (here - here.detach()), lengths.detach(), moved)


def mixed_styles(w: Tensor, other: Tensor, cutoff: int) -> Tensor:
    """The first `cutoff` rows of `w` (N, L, D), the others from `other`."""
    return torch.cat([w[:, :cutoff], other[:, cutoff:]], 1)


@torch.no_grad()
def track_mean(mapping: MappingNetwork, batch_mean: Tensor) -> None:
    """Moves the running mean of w towards a batch's mean (D,)."""
    mapping.w_avg.copy_(batch_mean.lerp(mapping.w_avg, MEAN_DECAY))


@torch.no_grad()
def average_weights(
    averaged: StyleGAN2Generator, trained: nn.Module, *, batch: int, seen: int, half_life: int, ramp: float = 0.05
) -> None:
    """Exponential moving average of weights with a half-life counted in images; buffers are copied.

    While fewer than half_life / ramp images were seen, the half-life is `ramp` times that number.
    """
    images = min(half_life, seen * ramp)
    beta = 0.5 ** (batch / max(images, 1e-8))
    for mine, other in zip(averaged.parameters(), trained.parameters(), strict=True):
        mine.copy_(other.lerp(mine, beta))
    for mine, other in zip(averaged.buffers(), trained.buffers(), strict=True):
        mine.copy_(other)


def lazy_adam(
    parameters: list[nn.Parameter], *, learning_rate: float, betas: tuple[float, float], every: int
) -> torch.optim.Adam:
    """Adam, corrected for a regulariser that runs once in `every` steps in an update of its own; 0 = there is none.

    With r = every / (every + 1): learning rate r times, betas to the power r (arXiv 1912.04958, appendix B).
    """
    ratio = every / (every + 1) if every else 1.0
    return torch.optim.Adam(
        parameters, lr=learning_rate * ratio, betas=(betas[0] ** ratio, betas[1] ** ratio), eps=1e-8
    )
