"""Held-out avatars as a generator gives them back: what an editor has in hand, and what the judge must read."""

from typing import Any

import torch
from torch import Tensor

from advgen.core.images import to_float, to_uint8
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS
from advgen.core.rng import SampleRng
from advgen.inversion.encoder import EncoderInverter
from advgen.inversion.hybrid import Hybrid
from advgen.inversion.image2stylegan import Image2StyleGAN


@torch.no_grad()
def inverted(images_u8: Tensor, generator: Any, encoder: Any, *, batch_size: int = 64) -> Tensor:
    """Images (N, 3, 64, 64) uint8 as an encoder and its generator give them back, rounded to bytes."""
    pieces = [
        to_uint8(generator.synthesis(encoder(to_float(some)), noise="const").clamp(0, 1))
        for some in images_u8.split(batch_size)
    ]
    return torch.cat(pieces)


def inverted_closely(images_u8: Tensor, generator: Any, encoder: Any, *, steps: int, batch_size: int = 16) -> Tensor:
    """The same after `steps` of optimisation in w+ from the encoder's start, as `advgen invert` does."""
    metric, meter, pieces = LPIPS("embedded"), Meter(), []
    inverter = Hybrid(EncoderInverter(encoder, generator, metric), Image2StyleGAN(generator, metric, steps=steps))
    for begin in range(0, len(images_u8), batch_size):
        some = to_float(images_u8[begin : begin + batch_size])
        rng = SampleRng.for_samples(0, "judge/inversion", [str(begin + k) for k in range(len(some))])
        with torch.enable_grad():
            found = inverter.invert(some, rng=rng, meter=meter)
        with torch.no_grad():
            pieces.append(to_uint8(generator.synthesis(found.w, noise="const").clamp(0, 1)))
    return torch.cat(pieces)


@torch.no_grad()
def in_two_noises(generator: Any, count: int, *, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """Samples of a generator (N, 3, 64, 64) uint8, and the same w in another noise: no attribute differs."""
    ids = [str(k) for k in range(count)]
    z = SampleRng.for_samples(0, "judge/z", ids).normal((generator.z_dim,))
    first, second = [], []
    for begin in range(0, count, batch_size):
        w = generator.mapping(z[begin : begin + batch_size])
        rng = SampleRng.for_samples(0, "judge/noise", ids[begin : begin + batch_size])
        first.append(to_uint8(generator.synthesis(w, noise="const").clamp(0, 1)))
        second.append(to_uint8(generator.synthesis(w, noise="random", rng=rng).clamp(0, 1)))
    return torch.cat(first), torch.cat(second)
