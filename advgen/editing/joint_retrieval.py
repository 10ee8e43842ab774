"""How well phrases and latents find each other, and what a map keeps of the order among phrases.

A caption that says the same is a hit. What is kept: distances (Spearman's correlation over pairs), neighbours (share of
the k nearest that stay), analogies (b - a + c lands nearest to d), each beside what the phrase vectors themselves give;
over seeds the same three between two maps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument

KS = (1, 5, 10)


class Found(NamedTuple):
    """One direction: shares of queries whose hit is among the k nearest, and the median rank of the first hit."""

    at_1: float
    at_5: float
    at_10: float
    median_rank: float
    n: int


class Kept(NamedTuple):
    """What one set of vectors keeps of another's order; None where there is nothing to ask."""

    distances: float  # Spearman's correlation of the cosines of all pairs
    neighbours: float  # share of the k nearest in one that are also in the other
    chance: float  # of that share
    analogies: float | None  # answered by nearest cosine among all
    n: int
    n_analogies: int


def ranks(cosines: Tensor, same: Tensor) -> Tensor:
    """(N,) the rank, from 1, of the best hit of each query; `same` (N, M) says which columns are hits.

    Raises:
        BadArgument: a query without a hit.
    """
    if not bool(same.any(1).all()):
        raise BadArgument("a query has no hit among the candidates: each needs one at least.")
    best = cosines.masked_fill(~same, -2.0).max(1, keepdim=True).values
    # A wrong candidate that ties stands before.
    return ((cosines >= best) & ~same).sum(1) + 1


def found(cosines: Tensor, same: Tensor) -> Found:
    """The retrieval of queries (rows) among candidates (columns)."""
    rank = ranks(cosines, same)
    at = [float((rank <= k).double().mean()) for k in KS]
    return Found(at[0], at[1], at[2], float(rank.double().median()), len(rank))


def retrieval(text: Tensor, latents: Tensor, same: Tensor) -> tuple[Found, Found]:
    """Text to latent, and latent to text, of unit vectors (N, J) each; `same` (N, N)."""
    cosines = text @ latents.T
    return found(cosines, same), found(cosines.T, same.T)


def kept(one: Tensor, other: Tensor, *, k: int = 5, analogies: Sequence[tuple[int, int, int, int]] = ()) -> Kept:
    """What `other` (N, E) keeps of the order among `one` (N, D), rows being the same phrases.

    analogies: places (a, b, c, d) with b - a = d - c.

    Raises:
        BadArgument: other numbers of rows, or too few for k neighbours.
    """
    n = len(one)
    if len(other) != n or n < k + 2:
        raise BadArgument(f"two sets of the same {k + 2} rows or more were expected, got {n} and {len(other)}.")
    first, second = cosines_of(one), cosines_of(other)
    upper = torch.triu_indices(n, n, 1)
    pairs = first[upper[0], upper[1]], second[upper[0], upper[1]]
    near = [_nearest(c, k) for c in (first, second)]
    both = (near[0][:, :, None] == near[1][:, None, :]).any(2).double().mean()
    return Kept(
        spearman(*pairs), float(both), k / (n - 1), answered(other, analogies) if analogies else None, n, len(analogies)
    )


def answered(vectors: Tensor, analogies: Sequence[tuple[int, int, int, int]]) -> float:
    """The share of analogies (a, b, c, d) where, of all rows but a, b and c, d is nearest to b - a + c (3CosAdd)."""
    unit = functional.normalize(vectors - vectors.mean(0), dim=1)
    a, b, c, d = torch.tensor(analogies).T
    cosines = (unit[b] - unit[a] + unit[c]) @ unit.T
    for asked in (a, b, c):
        cosines[torch.arange(len(a)), asked] = -9.0
    return float((cosines.argmax(1) == d).double().mean())


def cosines_of(vectors: Tensor) -> Tensor:
    """(N, N) of rows around their mean: a shared component says nothing about order."""
    unit = functional.normalize(vectors - vectors.mean(0), dim=1)
    return unit @ unit.T


def spearman(one: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation of two vectors; equal values share their mean rank."""
    a, b = _ranked(one), _ranked(other)
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / (a.norm() * b.norm()).clamp(min=1e-12))


def _ranked(values: Tensor) -> Tensor:
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts.double() - 1) / 2)[inverse]


def _nearest(cosines: Tensor, k: int) -> Tensor:
    away = cosines.clone().fill_diagonal_(-9.0)
    return away.topk(k, dim=1).indices
