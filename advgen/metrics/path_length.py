"""Perceptual path length in z or w: how far images move for a small step in the latent space.

The mean of d(G(p(t)), G(p(t + eps))) / eps^2 over random pairs of latents and t, where p is the great circle between
two z, or the straight line between two w = f(z); t is uniform on [0, 1) ("full") or 0 ("end"). Both images of a pair
have the same noise. Pairs below the 1% and above the 99% percentile are left out, images above 256 pixels are averaged
down to 256, and images are not clamped: as in the official programs, whose d is LPIPS on VGG-16 and which publish
w, end.

Karras, Laine and Aila 2019, arXiv 1812.04948, section 4.1, equations 2 and 3; Karras et al. 2020, arXiv 1912.04958,
section 3 (w, end, no crop).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.perceptual import LPIPS, Reference
from advgen.core.perceptual_nets import NETS
from advgen.core.rng import SampleRng
from advgen.core.types import Generator
from advgen.metrics._intervals import Interval

EPSILON = 1e-4
PERCENTILES = (1, 99)
RESAMPLES = 1000
MAX_SIDE = 256  # pixels
_LENGTH_EPSILON = 1e-10  # as LPIPS adds to the length of a feature vector

Distance = Callable[[Tensor, Tensor], Tensor]  # two (N, C, H, W), not clamped, to (N,)


class PathLength(NamedTuple):
    """Perceptual path length and what it was measured with."""

    mean: float
    interval: Interval  # 95%, bootstrap over pairs
    n: int  # pairs drawn
    kept: int  # pairs within the percentiles
    space: str
    sampling: str
    distance: str
    stands_in_for: str | None
    lengths: Tensor  # (n,), every pair's, in the order of the draws
    starts: Tensor  # (n, L, D), the w at t of each


@torch.no_grad()
def perceptual_path_length(
    generator: Generator,
    distance: LPIPS | Distance,
    *,
    space: Literal["z", "w"] = "w",
    sampling: Literal["full", "end"] = "end",
    count: int = 10_000,
    conditions: Tensor | None = None,
    noise: str = "random",
    seed: int = 0,
    batch_size: int = 16,
) -> PathLength:
    """The path length of `generator`, on the device that its `mean_w` is on.

    `conditions` (M, c_dim) are rows to draw from for a conditional generator; both ends of a path share one. `noise` is
    the generator's: "random" (a map a pair), "const" or "none".

    Raises:
        BadArgument: fewer than 2 pairs, a condition missing or without need, or images too small for the network.
        UnknownName: another space or sampling.
    """
    _check(generator, distance, space, sampling, count, conditions)
    parts, starts = [], []
    for begin in range(0, count, batch_size):
        ids = [str(k) for k in range(begin, min(begin + batch_size, count))]
        start, end = _path(generator, ids, seed, space, sampling, conditions)
        first, second = (_images(generator, w, ids, seed, noise) for w in (start, end))
        starts.append(start)
        parts.append(_between(distance, first, second).double().cpu() / EPSILON**2)
    lengths = torch.cat(parts)
    values = lengths.numpy()
    rng = np.random.default_rng(seed)
    resampled = [_trimmed(values[rng.integers(0, count, count)]).mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(resampled, (2.5, 97.5))
    kept = _trimmed(values)
    published = isinstance(distance, LPIPS) and distance.net == "vgg" and distance.trained
    return PathLength(
        mean=float(kept.mean()),
        interval=(float(low), float(high)),
        n=count,
        kept=len(kept),
        space=space,
        sampling=sampling,
        distance=distance.definition if isinstance(distance, LPIPS) else getattr(distance, "__name__", "a function"),
        stands_in_for=None if published else "published LPIPS on VGG-16",
        lengths=lengths,
        starts=torch.cat(starts),
    )


def _path(
    generator: Generator, ids: list[str], seed: int, space: str, sampling: str, conditions: Tensor | None
) -> tuple[Tensor, Tensor]:
    """w (N, L, D) at t and at t + eps of a path a sample."""
    rng = SampleRng.for_samples(seed, "path length", ids)
    at = generator.mean_w
    first, second = rng.normal((2, generator.z_dim)).to(at).unbind(1)
    t = (rng.uniform((1,)) * (sampling == "full")).to(at)
    c = None
    if conditions is not None:
        c = conditions[rng.integers(0, len(conditions))].to(at)
    if space == "z":
        return generator.mapping(slerp(first, second, t), c), generator.mapping(slerp(first, second, t + EPSILON), c)
    begin, end = (generator.mapping(z, c) for z in (first, second))
    return begin.lerp(end, t.unsqueeze(2)), begin.lerp(end, t.unsqueeze(2) + EPSILON)


def slerp(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """Points (N, Z) of length sqrt(Z), at t (N, 1) of the great circle from the first direction to the second."""
    a, b = functional.normalize(first, dim=1), functional.normalize(second, dim=1)
    cosine = (a * b).sum(1, keepdim=True)
    across = functional.normalize(b - cosine * a, dim=1)
    angle = t * cosine.clamp(-1, 1).acos()
    return (a * angle.cos() + across * angle.sin()) * a.shape[1] ** 0.5


def _images(generator: Generator, w: Tensor, ids: list[str], seed: int, noise: str) -> Tensor:
    rng = SampleRng.for_samples(seed, "path length/noise", ids) if noise == "random" else None
    images = generator.synthesis(w, noise=noise, rng=rng)
    factor = images.shape[-1] // MAX_SIDE
    return functional.avg_pool2d(images, factor) if factor > 1 else images


def _between(distance: LPIPS | Distance, first: Tensor, second: Tensor) -> Tensor:
    if not isinstance(distance, LPIPS):
        return distance(second, first)
    # LPIPS's own `reference` refuses what a generator may give, values outside [0, 1].
    maps = distance.backbone(first.expand(-1, 3, -1, -1))
    unit = [m * (torch.linalg.vector_norm(m, dim=1, keepdim=True) + _LENGTH_EPSILON).reciprocal() for m in maps]
    reference = Reference(tuple(unit), distance.net, (first.shape[-2], first.shape[-1]))
    return distance.distance_to(second, reference)


def _trimmed(lengths: np.ndarray) -> np.ndarray:
    low = np.percentile(lengths, PERCENTILES[0], method="lower")
    high = np.percentile(lengths, PERCENTILES[1], method="higher")
    return lengths[(low <= lengths) & (lengths <= high)]


def _check(
    generator: Generator,
    distance: LPIPS | Distance,
    space: str,
    sampling: str,
    count: int,
    conditions: Tensor | None,
) -> None:
    for kind, given, known in (("latent space", space, ("z", "w")), ("sampling", sampling, ("full", "end"))):
        if given not in known:
            raise UnknownName.among(kind, given, known)
    if count < 2:
        raise BadArgument(f"a path length is the mean over at least 2 pairs, got {count}.")
    if generator.c_dim and conditions is None:
        raise BadArgument(f"this generator takes a condition of {generator.c_dim} numbers; give rows to draw from.")
    if conditions is not None and tuple(conditions.shape[1:]) != (generator.c_dim,):
        raise BadArgument(
            f"conditions must be rows of {generator.c_dim} numbers for this generator, got {tuple(conditions.shape)}."
        )
    if isinstance(distance, LPIPS) and min(generator.resolution) < NETS[distance.net].min_side:
        raise BadArgument(
            f"LPIPS net {distance.net!r} needs images of {NETS[distance.net].min_side} pixels, the generator makes "
            f"{min(generator.resolution)}; use another net."
        )
