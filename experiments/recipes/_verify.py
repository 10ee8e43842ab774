"""Verification: is it the same person? The threshold at a rate of false acceptances, and what it accepts, by person.

Pairs of pictures are far from independent: 60 pictures of 10 persons are 1,770 pairs, and still 10 persons. Intervals
resample persons, and a pair counts as often as both of its persons were drawn (Bolme et al. 2003 on the subject
bootstrap; Grother, Ngan & Hanaoka 2019, NIST IR 8271, on false match rates).
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.images import to_float
from advgen.core.types import Slice
from advgen.experiments.stats import bootstrap_mean

BATCH = 128
RESAMPLES = 400
LEVEL = 0.95


class Pairs(NamedTuple):
    """Cosines of all pairs of different pictures, with the persons of both as numbers from 0."""

    cosines: np.ndarray  # (P,) float64
    first: np.ndarray
    second: np.ndarray

    @property
    def genuine(self) -> np.ndarray:
        return self.first == self.second


def pairs_of(network: nn.Module, part: Slice) -> Pairs:
    """All pairs of a slice whose labels are persons."""
    return paired(embedded(network, part.images_u8), part.labels)


@torch.no_grad()
def embedded(network: nn.Module, images_u8: Tensor) -> Tensor:
    """Places (N, D) of length 1, on the CPU, in batches of one size for every caller."""
    device = next(network.parameters()).device
    rows = [network(to_float(some.to(device))).float().cpu() for some in images_u8.split(BATCH)]
    return torch.cat(rows)


def paired(places: Tensor, persons: Tensor) -> Pairs:
    numbers = np.unique(persons.numpy(), return_inverse=True)[1]
    first, second = np.triu_indices(len(numbers), 1)
    return Pairs((places @ places.T).double().numpy()[first, second], numbers[first], numbers[second])


def threshold(pairs: Pairs, far: float) -> float:
    """The cosine that at most a share `far` of the pairs of two persons lies above.

    Raises:
        BadArgument: too few such pairs for one false acceptance to be allowed.
    """
    require_pairs(pairs, far, "the pictures")
    return float(np.quantile(pairs.cosines[~pairs.genuine], 1 - far, method="higher"))


def require_pairs(pairs: Pairs, far: float, what: str) -> None:
    """Refuses pairs that say nothing of a rate.

    Raises:
        BadArgument: no pair of one person, or too few of two.
    """
    genuine = int(pairs.genuine.sum())
    impostors = len(pairs.genuine) - genuine
    if not genuine or impostors * far < 1:
        raise BadArgument(
            f"{what} make {genuine} pairs of one person and {impostors} of two; for {far:.2g} false acceptances 1 and "
            f"{int(np.ceil(1 / far))} are needed: more persons (20 give every split some), or more pictures of each."
        )


def threshold_interval(pairs: Pairs, far: float, *, seed: int = 0) -> tuple[float, float]:
    """95% interval of the threshold, over persons."""
    kept = ~pairs.genuine
    order = np.argsort(-pairs.cosines[kept])
    cosines, first, second = (column[kept][order] for column in pairs)
    found = []
    for weights in _drawn(pairs, seed):
        above = np.cumsum(weights[first] * weights[second])
        if above[-1] > 0:
            found.append(cosines[min(int(np.searchsorted(above, far * above[-1], side="right")), len(cosines) - 1)])
    return _quantiles(found)


def accepted(pairs: Pairs, at: float, *, genuine: bool, seed: int = 0) -> dict[str, Any]:
    """Share of the genuine, or of the impostor, pairs above a threshold: value, interval over persons, n, persons."""
    kept = pairs.genuine == genuine
    hits, first, second = (pairs.cosines[kept] > at).astype(np.float64), pairs.first[kept], pairs.second[kept]
    persons = int(pairs.first.max(initial=-1)) + 1
    if not len(hits):
        return {"value": None, "n": 0, "persons": persons}
    if genuine:
        estimate = bootstrap_mean(hits, first, bounds=(0.0, 1.0), seed=seed)
        low, high = estimate.low, estimate.high
    else:
        shares = []
        for weights in _drawn(pairs, seed):
            both = weights[first] * weights[second]
            if both.sum() > 0:
                shares.append(float(both @ hits / both.sum()))
        low, high = _quantiles(shares)
    rounded = {name: round(float(x), 6) for name, x in (("value", hits.mean()), ("low", low), ("high", high))}
    return {**rounded, "n": len(hits), "persons": persons}


def separation(pairs: Pairs, far: float) -> float:
    """Share of genuine pairs above the threshold of the same pairs: what validation chooses weights by."""
    return float((pairs.cosines[pairs.genuine] > threshold(pairs, far)).mean())


def _drawn(pairs: Pairs, seed: int) -> list[np.ndarray]:
    """How often each person was drawn, a resample each."""
    persons = int(max(pairs.first.max(), pairs.second.max())) + 1
    rng = np.random.default_rng(seed)
    return [np.bincount(rng.integers(0, persons, persons), minlength=persons) for _ in range(RESAMPLES)]


def _quantiles(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
