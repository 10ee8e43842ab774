"""One space turned into another's axes, and how often a word's translation is then the nearest.

The rotation is fitted on some words and judged on others: of the pairs, a share is held out by seed. Two spaces of one
language are judged by each word finding itself. Rows are made of length one and centred first; without centring, the
direction that all words share is most of what is turned.

Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem" (Psychometrika 31); Artetxe, Labaka &
Agirre 2016 (EMNLP) for length and centre.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from advgen.core.errors import BadArgument
from advgen.embeddings.neighbours import shared_words
from advgen.embeddings.vectors import Floats, Vectors

Doubles = NDArray[np.float64]


class Accuracy(NamedTuple):
    """How often the translation stands among the first `k` of all words of the target."""

    k: int
    right: int
    n: int
    low: float  # 95% Wilson interval
    high: float

    @property
    def share(self) -> float:
        return self.right / self.n


class Alignment(NamedTuple):
    """A rotation of the source's axes into the target's, and what it is worth on words that it was not fitted on."""

    rotation: Doubles  # (D, D) orthogonal, for rows: (source - centre) @ rotation lies near target - centre
    centres: tuple[Doubles, Doubles]  # (D,) means of the fitted words' unit vectors in source and target
    fitted: int  # pairs
    candidates: int  # words that a translation is chosen from
    accuracy: tuple[Accuracy, ...]  # at k = 1, 5, 10
    unturned: Accuracy  # at k = 1 without any rotation
    cosine: float  # mean of held-out pairs, after the rotation

    def apply(self, source: Vectors) -> Vectors:
        """The source among the target's unit vectors."""
        turned = (source.unit - self.centres[0]) @ self.rotation + self.centres[1]
        return Vectors(source.words, turned.astype(np.float32), source.counts)


def rotation(source: Doubles, target: Doubles) -> Doubles:
    """(D, D) the orthogonal matrix R with the least |source R - target|, for rows (N, D)."""
    left, _, right = np.linalg.svd(source.T @ target)
    turn: Doubles = left @ right
    return turn


def align(
    source: Vectors,
    target: Vectors,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    words: int = 5000,
    held_out: float = 0.2,
    seed: int = 0,
) -> Alignment:
    """The rotation fitted on `pairs` but the share `held_out`, and its accuracy on these.

    Without pairs, each of the `words` most frequent words that both know is paired with itself.

    Raises:
        BadArgument: vectors of other dimensions, or too few pairs to determine a rotation.
    """
    if source.dim != target.dim:
        raise BadArgument(f"vectors of {source.dim} and of {target.dim} numbers; a rotation needs the same dimension.")
    if not 0 < held_out < 1:
        raise BadArgument(f"the share of pairs held out must lie between 0 and 1, got {held_out:g}.")
    chosen = pairs if pairs is not None else [(w, w) for w in shared_words(source, target, n=1)[:words]]
    rows = np.array([(source.number(a), target.number(b)) for a, b in chosen], dtype=np.int64).reshape(-1, 2)
    order = np.random.default_rng(seed).permutation(len(rows))
    asked, fitted = np.split(rows[order], [max(round(held_out * len(rows)), 1)])
    if len(fitted) < source.dim:
        raise BadArgument(
            f"{len(fitted)} pairs to fit a rotation of {source.dim} axes; at least {source.dim} are needed, so "
            f"{int(np.ceil(source.dim / (1 - held_out))):,} in all with those held out."
        )
    units = [space.unit_rows(fitted[:, k]).astype(np.float64) for k, space in enumerate((source, target))]
    centres = units[0].mean(axis=0), units[1].mean(axis=0)
    turn = rotation(units[0] - centres[0], units[1] - centres[1])
    candidates = Vectors(target.words, (target.unit - centres[1]).astype(np.float32))
    plain = source.unit_rows(asked[:, 0]) - centres[0]
    turned = _unit(plain @ turn)
    ranks = _ranks(turned, candidates, asked[:, 1])
    return Alignment(
        rotation=turn,
        centres=centres,
        fitted=len(fitted),
        candidates=len(target),
        accuracy=tuple(_accuracy(ranks, k) for k in (1, 5, 10)),
        unturned=_accuracy(_ranks(_unit(plain), candidates, asked[:, 1]), 1),
        cosine=float((turned * candidates.unit_rows(asked[:, 1])).sum(axis=1).mean()),
    )


def _unit(rows: Doubles) -> Floats:
    unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)).astype(np.float32)
    return unit


def _ranks(directions: Floats, target: Vectors, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) how many words of the target lie nearer than the wanted one."""
    ranks = []
    piece = max((1 << 24) // len(target), 1)
    for begin in range(0, len(wanted), piece):
        cosines = target.cosines(directions[begin : begin + piece])
        of_wanted = np.take_along_axis(cosines, wanted[begin : begin + piece, None], axis=1)
        ranks.append((cosines > of_wanted).sum(axis=1))
    return np.concatenate(ranks)


def _accuracy(ranks: NDArray[np.int64], k: int) -> Accuracy:
    right = int((ranks < k).sum())
    interval = binomtest(right, len(ranks)).proportion_ci(method="wilson")
    return Accuracy(k, right, len(ranks), float(interval.low), float(interval.high))
