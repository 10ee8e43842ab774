"""Pictures made again by a generator from what its encoder saw: the true attributes, the generator's look."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.images import to_uint8
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.experiments.recipes._make import Splits
from advgen.generators.stylegan2.encoder import LatentEncoder
from advgen.generators.stylegan2.load import load_stylegan2, located
from advgen.inversion.encoder import EncoderInverter
from advgen.inversion.latents import synthesised
from advgen.zoo.load import zoo_load

PIECE = 256


class Rebuilt(NamedTuple):
    train: Tensor  # uint8 (n, 3, R, R), of the first portraits of each split
    validation: Tensor
    test: Tensor
    generator: Path


def rebuilt(generator: str, encoder: str | None, splits: Splits, count: int) -> Rebuilt:
    """`count` of the train split, and all of validation and test.

    Raises:
        BadArgument: the encoder was made for another generator, or portraits of another size than it makes.
    """
    file = located(generator)
    made_by = load_stylegan2(file).generator.eval().requires_grad_(False)
    network, _ = zoo_load(str(encoder))
    assert isinstance(network, LatentEncoder), f"{encoder} is no latent encoder"
    if tuple(splits.train.images_u8.shape[-2:]) != tuple(made_by.resolution):
        raise BadArgument(f"{generator} makes images of {made_by.resolution}, the portraits have another size.")
    inverter = EncoderInverter(network, made_by, None)

    def again(images_u8: Tensor) -> Tensor:
        pieces = []
        for some in images_u8.split(PIECE):
            rng = SampleRng.for_samples(0, "rebuilt", [str(k) for k in range(len(some))])
            latents = inverter.invert(some.float() / 255, rng=rng, meter=Meter())
            pieces.append(to_uint8(synthesised(made_by, latents)))
        return torch.cat(pieces)

    return Rebuilt(
        again(splits.train.images_u8[:count]),
        again(splits.validation.images_u8),
        again(splits.test.images_u8),
        file,
    )
