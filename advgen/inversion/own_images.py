"""Images that a generator made itself, inverted: the proof that an inversion works, since a perfect answer exists.

The images are rounded to bytes first, as a file holds them; noise is the generator's constant one on both sides.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.images import to_float, to_uint8
from advgen.core.latent_spaces import spread
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Inverter
from advgen.inversion.gate import Quality, quality
from advgen.inversion.latents import at_rest, synthesised
from advgen.inversion.likeness import Metric


class Returned(NamedTuple):
    """How an inverter does on a generator's own images."""

    quality: Quality  # each (N,)
    seconds: float  # an image
    w_error: Tensor  # (N,) distance of the w found from the true one, rows averaged, in spreads of w

    def above(self, decibels: float) -> int:
        """How many of the N images came back above a PSNR."""
        return int((self.quality.psnr > decibels).sum())


@torch.no_grad()
def own_images(generator: Generator, count: int, *, seed: int = 0, psi: float = 1.0) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) on whole bytes and their w (N, L, D); with classes, each in turn."""
    rng = SampleRng.for_samples(seed, "own images", [str(i) for i in range(count)])
    z = rng.normal((generator.z_dim,)).to(generator.mean_w)
    c = torch.eye(generator.c_dim)[torch.arange(count) % generator.c_dim].to(z) if generator.c_dim else None
    with at_rest(generator):
        w = generator.mapping(z, c, psi=psi)
        made = torch.cat([generator.synthesis(w[at : at + 8]) for at in range(0, count, 8)])
    return to_float(to_uint8(made.clamp(0, 1))), w


def measured(
    inverter: Inverter,
    generator: Generator,
    perceptual: Metric | None,
    *,
    count: int = 64,
    batch: int = 8,
    seed: int = 0,
    psi: float = 1.0,
) -> Returned:
    """Inverts `count` images of the generator's own, `batch` at once."""
    images, true_w = own_images(generator, count, seed=seed, psi=psi)
    unit, parts, errors, meter = spread(generator), [], [], Meter()
    for at in range(0, count, batch):
        some = images[at : at + batch]
        rng = SampleRng.for_samples(seed, "invert", [f"own/{at + i}" for i in range(len(some))])
        latents = inverter.invert(some, rng=rng, meter=meter)
        made = synthesised(generator, latents)
        parts.append(quality(made, some, perceptual=perceptual, generator=generator, w=latents.w, unit=unit))
        errors.append((latents.w - true_w[at : at + batch]).square().sum(2).mean(1).sqrt() / unit)
    joined = Quality(*(torch.cat(values) for values in zip(*parts, strict=True)))
    return Returned(joined, meter.seconds / count, torch.cat(errors))
