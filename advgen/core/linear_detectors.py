"""Linear detectors of generated images: what tells the features of real images from those of a generator's samples.

Ridge regression on -1 (real) and 1 (generated). Features are standardised over both sets. The strength of the penalty
is the one with the smallest leave-one-out error, which ridge regression tells without fitting again: no image is set
aside (Golub, Heath & Wahba 1979, Technometrics 21:215).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-6, 7))  # of the penalty, in mean eigenvalues
_BATCH = 64
_CONSTANT = 1e-6  # standard deviation below which a feature says nothing


class Linear(NamedTuple):
    """Features to a score: about -1 for the first set, 1 for the second."""

    weights: Tensor  # (D,)
    bias: Tensor  # ()

    def __call__(self, features: Tensor) -> Tensor:
        """(N,) of features (N, D); each row is summed by itself."""
        return (features * self.weights.to(features)).sum(1) + self.bias.to(features)


def ridge(first: Tensor, second: Tensor) -> Linear:
    """The answer that tells features (N, D) from (M, D)."""
    features = torch.cat([first, second]).double()
    mean, deviation = features.mean(0), features.std(0)
    scale = torch.where(deviation > _CONSTANT, 1 / deviation.clamp(min=_CONSTANT), 0.0)
    rows = (features - mean) * scale
    wanted = torch.cat([-torch.ones(len(first)), torch.ones(len(second))]).to(rows)
    offset = wanted.mean()
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    values = values.clamp(min=0.0)
    turned = vectors.T @ (wanted - offset)
    unit = values.mean().clamp(min=torch.finfo(torch.float64).tiny)
    errors = []
    for strength in STRENGTHS:
        share = values / (values + strength * unit)
        left = wanted - offset - vectors @ (share * turned)
        kept = 1 - 1 / len(rows) - (vectors.square() @ share)  # the mean costs a degree of freedom too
        errors.append((left / kept.clamp(min=1e-9)).square().mean())
    best = STRENGTHS[int(torch.stack(errors).argmin())]
    weights = (rows.T @ (vectors @ (turned / (values + best * unit)))) * scale
    return Linear(weights.float(), (offset - (mean * weights).sum()).float())


@final
@dataclass(frozen=True)
class LinearDetector:
    """A fitted one: images are scored by a linear answer over their features."""

    stochastic = False
    differentiable = True

    name: str
    features: Callable[[Tensor], Tensor]  # images to (N, D)
    answer: Linear

    def fit(self, clean: Tensor, *, rng: SampleRng) -> "LinearDetector":
        """Refuses: what it learned from is not kept.

        Raises:
            BadArgument: always.
        """
        raise BadArgument(f"{self.name} is fitted already; make a new one.")

    def score(self, images: Tensor, rng: SampleRng) -> Tensor:
        """(N,): about -1 for real images, 1 for generated ones."""
        return self.answer(self.features(images))

    def surrogate(self) -> "LinearDetector":
        return self


def fitted(name: str, features: Callable[[Tensor], Tensor], clean: Tensor, fakes: Tensor | None) -> LinearDetector:
    """The detector that tells `clean` from `fakes`, images (N, C, H, W) and (M, C, H, W).

    Raises:
        BadArgument: no fakes, fewer than two of a kind, or two sizes of images.
    """
    if fakes is None:
        raise BadArgument(f"{name} learns from generated images: name the generator with weights=NAME.")
    if fakes.shape[1:] != clean.shape[1:]:
        raise BadArgument(
            f"{name} learns from real images {tuple(clean.shape[1:])} and generated ones {tuple(fakes.shape[1:])}; "
            "name a generator of the same size with weights=NAME."
        )
    if min(len(clean), len(fakes)) < 2:
        raise BadArgument(f"{name} needs two images of each kind, got {len(clean)} real, {len(fakes)} generated.")
    with torch.no_grad():
        rows = [torch.cat([features(some) for some in torch.split(images, _BATCH)]) for images in (clean, fakes)]
    return LinearDetector(name, features, ridge(*rows))
