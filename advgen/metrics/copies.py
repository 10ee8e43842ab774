"""Does a generator copy? Distances to the nearest training image, against those of held-out real images.

A held-out image has never been trained on, so its distance to the nearest training image is what no copying looks like.
A generated image is suspect when it is nearer to its neighbour than 99% of the held-out ones are to theirs: 1% of them
should be. Distances are taken in pixels (root mean square of the difference, in [0, 1]) and between features. A mode
that is very common also gives near neighbours: look at the pairs (`nearest`) before calling it copying.

Meehan, Chaudhuri and Dasgupta 2020, "A non-parametric test to detect data-copying in generative models", arXiv
2004.05675, section 3 (`nearer` is its Mann-Whitney statistic, over one cell).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.metrics._intervals import Interval, wilson
from advgen.metrics.features import Features, fingerprints, resolved

SUSPECT_SHARE = 0.01  # of held-out images that lie nearer than the limit
_ELEMENTS = 2**23  # of a chunk of training images as float32: 32 MiB
_QUERIES = 256


class CopyReport(NamedTuple):
    """Distances to the nearest training image, in pixels or features."""

    space: str  # "pixels", or the name of the feature network
    generated_median: float
    held_out_median: float
    suspect: float  # share of generated images that are nearer than 99% of the held-out ones
    suspect_interval: Interval
    nearer: float  # chance that a generated image is nearer than a held-out one; 0.5 = no difference
    exact: int  # generated images equal to a training image, byte for byte
    n_generated: int
    n_training: int
    n_held_out: int
    distances: Tensor  # (n_generated,)
    nearest: Tensor  # (n_generated,) positions among the training images


def copy_check(
    generated_u8: Tensor,
    training_u8: Tensor,
    held_out_u8: Tensor,
    *,
    features: Features | str = "auto",
    mirrored: bool = False,
    batch_size: int = 64,
) -> tuple[CopyReport, CopyReport]:
    """The check in pixels and in features, on uint8 (N, C, H, W); memory is bounded, whatever the number of images.

    `mirrored` also compares with the training images' mirror images: for generators that were trained on both.

    Raises:
        BadArgument: images of different shapes, not uint8, or fewer than 100 held-out ones.
    """
    sets = {"generated": generated_u8, "training": training_u8, "held-out": held_out_u8}
    for name, images in sets.items():
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != training_u8.shape[1:]:
            raise BadArgument(
                f"copies are looked for among uint8 images of one shape {tuple(training_u8.shape[1:])}; the {name} "
                f"ones are {images.dtype} {tuple(images.shape)}."
            )
    if len(held_out_u8) < 1 / SUSPECT_SHARE or not len(generated_u8) or not len(training_u8):
        raise BadArgument(
            f"a copy check needs generated and training images and {1 / SUSPECT_SHARE:.0f} held-out ones, got "
            f"{len(generated_u8)}, {len(training_u8)} and {len(held_out_u8)}."
        )
    network = resolved(features)
    exact = _exact(generated_u8, training_u8, mirrored=mirrored)
    views = [[x, x.flip(3)] if mirrored else [x] for x in (generated_u8, held_out_u8)]
    generated, held_out = ([x.flatten(1) for x in images] for images in views)
    scale = 1 / (255 * training_u8[0].numel() ** 0.5)
    in_pixels = _report("pixels", generated, held_out, training_u8.flatten(1), exact, scale=scale)
    known = network.of(training_u8, batch_size=batch_size)
    generated, held_out = ([network.of(x, batch_size=batch_size) for x in images] for images in views)
    return in_pixels, _report(network.name, generated, held_out, known, exact, scale=1.0)


def nearest(queries: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distance (N,) float64 of each row (N, D) to its nearest of `known` (M, D), and that one's position."""
    best = torch.full((len(queries),), torch.inf, dtype=torch.float64)
    where = torch.zeros(len(queries), dtype=torch.int64)
    # Without its mean a row is shorter, and less is lost where two squares cancel.
    centre = known[:256].float().mean(0)
    for begin in range(0, len(known), step := max(1, _ELEMENTS // known.shape[1])):
        chunk = known[begin : begin + step].float() - centre
        lengths = chunk.square().sum(1)
        for at in range(0, len(queries), _QUERIES):
            rows = slice(at, at + _QUERIES)
            some = queries[rows].float() - centre
            found = (lengths - 2 * some @ chunk.T).argmin(1) + begin
            # The winner's distance is taken again without cancellation.
            distance = (queries[rows].double() - known[found].double()).square().sum(1).sqrt()
            nearer = distance < best[rows]
            best[rows] = torch.where(nearer, distance, best[rows])
            where[rows] = torch.where(nearer, found, where[rows])
    return best, where


def _report(
    space: str, generated: list[Tensor], held_out: list[Tensor], known: Tensor, exact: int, *, scale: float
) -> CopyReport:
    (distances, where), (usual, _) = (_nearest_of_any(rows, known) for rows in (generated, held_out))
    limit = usual.quantile(SUSPECT_SHARE)
    suspect = float((distances < limit).double().mean())
    order = usual.sort().values
    # Ties count half.
    farther = len(order) - torch.searchsorted(order, distances, right=True)
    tied = torch.searchsorted(order, distances, right=True) - torch.searchsorted(order, distances)
    return CopyReport(
        space=space,
        generated_median=float(distances.median()) * scale,
        held_out_median=float(usual.median()) * scale,
        suspect=suspect,
        suspect_interval=wilson(suspect, len(distances)),
        nearer=float((farther + tied / 2).double().mean()) / len(order),
        exact=exact,
        n_generated=len(distances),
        n_training=len(known),
        n_held_out=len(usual),
        distances=distances * scale,
        nearest=where,
    )


def _nearest_of_any(views: list[Tensor], known: Tensor) -> tuple[Tensor, Tensor]:
    found = [nearest(rows, known) for rows in views]
    distances, which = torch.stack([distance for distance, _ in found]).min(0)
    places = torch.stack([place for _, place in found])
    return distances, places.gather(0, which[None])[0]


def _exact(generated_u8: Tensor, training_u8: Tensor, *, mirrored: bool) -> int:
    known = set(fingerprints(training_u8))
    views = [generated_u8, generated_u8.flip(3)] if mirrored else [generated_u8]
    return sum(any(view in known for view in same) for same in zip(*map(fingerprints, views)))
