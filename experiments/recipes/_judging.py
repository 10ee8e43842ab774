"""What the judges' recipes share: portraits as drawn and as a generator gives them back, seen through weak optics.

A picture is mixed with its own inversion, so that it looks generated and still shows what it is labelled with: an
encoder loses smiles and earrings, and labels of what is no longer there would teach a judge not to look.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core import checkpoints
from advgen.core.files import sha256
from advgen.core.images import to_float, to_uint8
from advgen.core.specs import Scalar
from advgen.experiments.edits import inverting, portraits
from advgen.experiments.edits.portraits import Portraits
from advgen.zoo.load import zoo_load

BATCH = 128
MIXED = (0.2, 0.8)  # shares of the inversion
OTHER = portraits.POPULATION + 1  # persons for validation: neither the judge's nor a data set's


class Parts(NamedTuple):
    """What a judge is trained and chosen on; `hashes` stand on its card."""

    train: Portraits
    validation: Portraits  # as drawn, then the same mixed
    hashes: dict[str, Scalar]


def parts(
    count: int,
    resynthesised: int,
    persons: int,
    held_out: int,
    generator: str,
    encoder: str,
    *,
    others: int | None = None,
) -> Parts:
    """Renders, mixes `resynthesised` of them with their inversions, and joins.

    others: persons among the held-out, None = as many.
    """
    train = portraits.load(count, persons=persons)
    validation = portraits.load(held_out, persons=others or persons, seed=OTHER)
    networks = zoo_load(generator)[0], zoo_load(encoder)[0]
    # An odd stride, as every second picture is drawn evenly: both kinds are among them.
    some = train.take(torch.arange(0, count, max(1, count // max(1, resynthesised)) | 1)[:resynthesised])
    again, back = (x._replace(images=mixed(x.images, *networks)) for x in (some, validation))
    joined = Portraits(*(torch.cat(pair) for pair in zip(train, again)))
    files = {f"{what}.sha256": sha256(checkpoints.find(name)) for what, name in networks_named(generator, encoder)}
    return Parts(
        joined,
        Portraits(*(torch.cat(pair) for pair in zip(validation, back))),
        {"data.train": joined.hash(), "data.validation": validation.hash(), **files},
    )


def mixed(images_u8: Tensor, generator: nn.Module, encoder: nn.Module) -> Tensor:
    """Each image between itself and its inversion, evenly from `MIXED`, uint8."""
    back = to_float(inverting.inverted(images_u8, generator, encoder))
    low, high = MIXED
    draws = torch.rand(len(images_u8), 1, 1, 1, generator=torch.Generator().manual_seed(portraits.POPULATION))
    return to_uint8(torch.lerp(to_float(images_u8), back, low + (high - low) * draws))


def networks_named(generator: str, encoder: str) -> tuple[tuple[str, str], ...]:
    return ("generator", generator), ("encoder", encoder)


def seen(images_u8: Tensor, *, share: float = 0.33, blur: float = 1.0) -> Tensor:
    """uint8 to [0, 1], each picture a little lighter or darker, with a little noise, and a `share` of them blurred."""
    images = to_float(images_u8)
    n = len(images)
    rows = torch.rand(n) < share
    if bool(rows.any()):
        small = F.avg_pool2d(images[rows], 3, 1, 1, count_include_pad=False)
        images[rows] = torch.lerp(images[rows], small, blur * torch.rand(len(small), 1, 1, 1))
    gain = 1 + 0.04 * (2 * torch.rand(n, 1, 1, 1) - 1)
    noise = 0.02 * torch.rand(n, 1, 1, 1) * torch.randn(images.shape)
    return (images * gain + noise).clamp(0, 1).to(memory_format=torch.channels_last)


def outputs(network: nn.Module, images_u8: Tensor) -> Tensor:
    """Outputs (N, K) for uint8 images, in float32, in batches of one size."""
    return torch.cat([network(to_float(some)) for some in images_u8.split(BATCH)])
