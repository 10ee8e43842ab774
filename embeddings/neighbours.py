"""Which words stand nearest to each word, and how much of that two spaces share."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument
from advgen.embeddings.vectors import Vectors

Rows = NDArray[np.int64]
Shares = NDArray[np.float64]
_SCORES = 1 << 24  # at a time: words asked by words


class Overlap(NamedTuple):
    """How many of its `n` nearest a word has in both of two spaces, as a share."""

    share: float  # mean over the words
    low: float  # 95% bootstrap interval over words
    high: float
    n: int
    words: int
    chance: float  # the share of two spaces that have nothing to do with each other


def overlap(one: Vectors, other: Vectors, *, words: int = 1000, n: int = 10) -> Overlap:
    """The overlap of the `words` most frequent words of `one` that both know; neighbours are shared words, too."""
    known = shared_words(one, other, n=n)
    asked = np.arange(min(words, len(known)))
    near = [nearest_rows(space.only(known), asked, n) for space in (one, other)]
    return summary(common(*near), n=n, candidates=len(known))


def shared_words(*spaces: Vectors, n: int) -> tuple[str, ...]:
    """The words that all spaces know, in the order of the first.

    Raises:
        BadArgument: they are too few to have `n` neighbours among themselves.
    """
    if n < 1:
        raise BadArgument(f"the number of neighbours must be at least 1, got {n}.")
    known = tuple(w for w in spaces[0].words if all(w in space for space in spaces[1:]))
    if len(known) <= n:
        raise BadArgument(f"the spaces share {len(known)} words; more than {n} are needed to compare neighbours.")
    return known


def nearest_rows(vectors: Vectors, rows: Rows, n: int) -> Rows:
    """(R, n) the rows of the `n` words of the highest cosine with each of `rows`, nearest first, never itself."""
    near = np.empty((len(rows), n), dtype=np.int64)
    piece = max(_SCORES // len(vectors), 1)
    for begin in range(0, len(rows), piece):
        asked = rows[begin : begin + piece]
        scores = -vectors.cosines(vectors.unit_rows(asked))
        scores[np.arange(len(asked)), asked] = np.inf
        best = np.argpartition(scores, n - 1, axis=1)[:, :n]
        order = np.take_along_axis(scores, best, axis=1).argsort(axis=1, kind="stable")
        near[begin : begin + piece] = np.take_along_axis(best, order, axis=1)
    return near


def common(one: Rows, other: Rows) -> Shares:
    """(R,) the share of the neighbours of each row (R, n) that stand in both."""
    n = one.shape[1]
    both = np.sort(np.concatenate([one, other], axis=1), axis=1)  # no row holds a neighbour twice
    shares: Shares = (both[:, 1:] == both[:, :-1]).sum(axis=1) / n
    return shares


def summary(shares: Shares, *, n: int, candidates: int, resamples: int = 1000, seed: int = 0) -> Overlap:
    """Mean and interval of the shares of words, each out of `candidates` words less itself."""
    drawn = np.random.default_rng(seed).integers(0, len(shares), size=(resamples, len(shares)))
    low, high = np.quantile(shares[drawn].mean(axis=1), [0.025, 0.975])
    return Overlap(float(shares.mean()), float(low), float(high), n, len(shares), n / (candidates - 1))
