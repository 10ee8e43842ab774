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
    parts = (splits.train.images_u8[:count], splits.validation.images_u8, splits.test.images_u8)
    made = again(generator, str(encoder), torch.cat(parts)).split([len(part) for part in parts])
    return Rebuilt(*made, located(generator))


def again(generator: str, encoder: str, images_u8: Tensor) -> Tensor:
    """uint8 images (N, 3, R, R) as the generator makes them from the encoder's latents, rounded to bytes.

    Raises:
        BadArgument: the encoder was made for another generator, or images of another size than it makes.
    """
    made_by = load_stylegan2(located(generator)).generator.eval().requires_grad_(False)
    network, _ = zoo_load(encoder)
    if not isinstance(network, LatentEncoder):
        raise BadArgument(f"{encoder} is no latent encoder of a generator, but a {type(network).__name__}.")
    if tuple(images_u8.shape[-2:]) != tuple(made_by.resolution):
        height, width = made_by.resolution
        raise BadArgument(
            f"{generator} makes images of {width}x{height} pixels, the pictures are {images_u8.shape[-1]}x"
            f"{images_u8.shape[-2]}."
        )
    inverter = EncoderInverter(network, made_by, None)
    pieces = []
    for some in images_u8.split(PIECE):
        rng = SampleRng.for_samples(0, "rebuilt", [str(k) for k in range(len(some))])
        pieces.append(to_uint8(synthesised(made_by, inverter.invert(some.float() / 255, rng=rng, meter=Meter()))))
    return torch.cat(pieces)
