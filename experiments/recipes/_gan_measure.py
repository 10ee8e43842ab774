"""A generator's numbers: the score that chooses weights on the way, and what stands on its card."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advgen.core.images import to_uint8
from advgen.core.rng import stream_seed
from advgen.experiments.recipes._make import Splits
from advgen.generators.stylegan2 import StyleGAN2Generator

SCORED = 2048  # images behind the score on the way
BATCH = 32


@torch.no_grad()
def generated(net: StyleGAN2Generator, count: int, conditions: Tensor | None, seed: int, purpose: str) -> Tensor:
    """uint8 (count, C, R, R) on the CPU, from z and conditions that hang on the seed alone; stored noise."""
    generator = torch.Generator().manual_seed(stream_seed(seed, f"measure/{purpose}", ""))
    z = torch.randn(count, net.z_dim, generator=generator)
    c = None if conditions is None else conditions[torch.randint(len(conditions), (count,), generator=generator)]
    at = net.mean_w.device
    made = []
    for i in range(0, count, BATCH):
        images = net(z[i : i + BATCH].to(at), None if c is None else c[i : i + BATCH].to(at))
        made.append(to_uint8(images.clamp(0, 1)).cpu())
    return torch.cat(made)


def validation_score(
    real_u8: Tensor, conditions: Tensor | None, seed: int
) -> Callable[[StyleGAN2Generator], float] | None:
    """FID against validation images, in the best features that are there; the lower the better."""
    from advgen.metrics.fid import FidProbe

    probe = FidProbe(real_u8)
    return lambda net: probe.of(generated(net, SCORED, conditions, seed, "validation"))


def measured(net: StyleGAN2Generator, splits: Splits, conditions: Tensor | None, seed: int) -> dict[str, Any]:
    """For the card."""
    return {}
