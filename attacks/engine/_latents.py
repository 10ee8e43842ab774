"""Where a latent attack begins: at inverted images that passed the gate, or at samples."""

from typing import NamedTuple

import torch
from torch import Tensor

from advgen.attacks.engine._problem import Found, Problem
from advgen.core.errors import BadArgument
from advgen.core.latent_spaces import Kind, LatentSpace
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Generator, Inverter


class Beginning(NamedTuple):
    """The space around a batch, with how far its images already are from what they stand for."""

    space: LatentSpace
    distance: Tensor  # (N,) of the inversion, as the inverter measures it; 0 for samples


def begin_in_latents(
    generator: Generator,
    inverter: Inverter | None,
    images: Tensor,
    *,
    kind: Kind,
    limit: float | None,
    reach: float | None,
    rng: SampleRng,
    meter: Meter,
) -> Beginning:
    """The latent space around `images` (N, C, H, W), or around samples for z.

    Raises:
        BadArgument: images that the generator does not make the size of; an inversion beyond `limit`.
    """
    if tuple(images.shape[-2:]) != tuple(generator.resolution):
        height, width = generator.resolution
        raise BadArgument(
            f"the generator makes images of {width}x{height} pixels, and these have "
            f"{images.shape[-1]}x{images.shape[-2]}; scale them, or name another generator."
        )
    if kind == "z":
        space = LatentSpace.from_nothing(generator, rng.fork("samples"), reach=reach, meter=meter)
        return Beginning(space, images.new_zeros(len(images)))
    assert inverter is not None, "an attack on images needs an inverter"
    latents = inverter.invert(images, rng=rng.fork("inversion"), meter=meter)
    _pass(latents.distance, limit, rng.ids)
    return Beginning(LatentSpace.around(generator, latents, kind, reach=reach, meter=meter), latents.distance)


def latent_result(found: Found, problem: Problem, where: Beginning) -> AttackResult:
    """What was found; an image for which nothing inside its budget was found comes back as it was.

    The notes say how far the inversion lay, whether it alone was outside, and how far the search went (in the space's
    unit, root mean square over rows).
    """
    coordinates = found.coordinates
    rows = coordinates[0].numel() // coordinates.shape[-1] if len(coordinates) else 1
    note = {
        "inversion_distance": where.distance,
        "latent_distance": coordinates.flatten(1).norm(dim=1) / rows**0.5,
        "outside": ~found.inside,
    }
    kept = found.inside.reshape(-1, *[1] * (found.images.dim() - 1))
    return AttackResult(torch.where(kept, found.images, problem.originals), found.note() | note)


def _pass(distance: Tensor, limit: float | None, ids: tuple[str, ...]) -> None:
    if limit is None:
        return
    far = ~(distance <= limit)
    if bool(far.any()):
        worst = int(torch.where(far, distance.nan_to_num(nan=torch.inf), -torch.inf).argmax())
        raise BadArgument(
            f"the inversion of {ids[worst]} is too far from the image to attack it (distance "
            f"{float(distance[worst]):.3f}, limit {limit:g}); use a better inverter, a larger limit, or leave it out."
        )
