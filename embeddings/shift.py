"""Which words' neighbours differ most between two corpora, beside what two seeds on one corpus differ by.

A word keeps a share of its n nearest from one corpus to the other. The floor is the share it keeps between trainings of
one corpus: a shift is claimed only where less is kept than by the word's own floor and than by all but one in a hundred
words of like frequency, in each corpus whose floor is known. Words are ranked by how much less than their own floor
they keep, so that words whose neighbours are chance everywhere come last.

Two seeds on one text are the least floor there is: it does not hold what other text of the same kind would change, and
nearly every word lies beyond it. Trainings on two parts of each corpus make a floor that does.

Gonen, Jawahar, Seddah & Goldberg 2020, "Simple, Interpretable and Stable Method for Detecting Words with Usage Change
across Corpora" (ACL): neighbours in common as the measure.
"""

from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument
from advgen.embeddings.neighbours import Overlap, Rows, Shares, common, nearest_rows, shared_words, summary
from advgen.embeddings.vectors import Vectors

RARE = 20  # occurrences; no claim should rest on a word with fewer
LEVEL = 0.01  # of words whose floor lies above the threshold
_ALIKE = 500  # words of like frequency


class Shift(NamedTuple):
    """One word in two corpora."""

    word: str
    kept: float  # share of its neighbours that are the same in both corpora, mean over seeds
    floors: tuple[float | None, float | None]  # the same share between seeds of the one and of the other corpus
    counts: tuple[int | None, int | None]
    near: tuple[tuple[str, ...], tuple[str, ...]]  # its nearest words in each
    claimed: bool


class DomainShift(NamedTuple):
    """Words by falling shift, and what they are measured against."""

    shifts: tuple[Shift, ...]
    between: Overlap  # of the two corpora
    floors: tuple[Overlap | None, Overlap | None]  # of two seeds on each
    rare: int  # shared words left out: under RARE occurrences
    by_noise: float  # claims to expect where nothing shifted, at most

    @property
    def claimed(self) -> int:
        return sum(s.claimed for s in self.shifts)


def domain_shift(
    one: Sequence[Vectors], other: Sequence[Vectors], *, words: int | None = None, n: int = 50, shown: int = 6
) -> DomainShift:
    """The shift of the `words` most frequent shared words (None: all) from corpus `one` to `other`.

    Each corpus is given as vectors of one or more seeds; `shown` nearest words are listed of the first of each.

    Raises:
        BadArgument: no corpus has two seeds, or two seeds of a corpus gave the same vectors: no floor is known.
    """
    if len(one) < 2 and len(other) < 2:
        raise BadArgument("no corpus has vectors of two seeds, so there is no noise floor to claim a shift above.")
    spaces = [*one, *other]
    known = shared_words(*spaces, n=n)
    frequent = tuple(w for w in known if all(_count(space, w) is None or _count(space, w) >= RARE for space in spaces))
    if len(frequent) <= n:
        raise BadArgument(
            f"{len(frequent)} of {len(known):,} shared words occur {RARE} times or more in each corpus; "
            f"more than {n} are needed to compare {n} neighbours."
        )
    asked = np.arange(min(words or len(frequent), len(frequent)))
    near = [nearest_rows(space.only(frequent), asked, n) for space in spaces]
    of_one, of_other = near[: len(one)], near[len(one) :]
    kept = np.mean([common(a, b) for a, b in product(of_one, of_other)], axis=0)
    floors = [_between_seeds(seeds, which) for seeds, which in ((of_one, "one"), (of_other, "other"))]
    above = np.ones(len(asked), dtype=bool)
    excess = np.full(len(asked), np.inf)
    for floor, first in zip(floors, (one[0], other[0]), strict=True):
        if floor is not None:
            own = floor.mean(axis=0)
            above &= (kept < own) & (kept < _threshold(floor, _order(first, frequent[: len(asked)])))
            excess = np.minimum(excess, own - kept)
    ranked = np.argsort(-excess, kind="stable")
    return DomainShift(
        tuple(
            Shift(
                frequent[i],
                float(kept[i]),
                (_mean(floors[0], i), _mean(floors[1], i)),
                (_count(one[0], frequent[i]), _count(other[0], frequent[i])),
                (_named(of_one[0][i], frequent, shown), _named(of_other[0][i], frequent, shown)),
                bool(above[i]),
            )
            for i in ranked
        ),
        summary(kept, n=n, candidates=len(frequent)),
        (_summary(floors[0], n, len(frequent)), _summary(floors[1], n, len(frequent))),
        len(known) - len(frequent),
        LEVEL * len(asked),
    )


def _between_seeds(near: Sequence[Rows], which: str) -> Shares | None:
    """(pairs of seeds, R) the share of neighbours kept; None of a single seed."""
    if len(near) < 2:
        return None
    kept = np.stack([common(a, b) for a, b in combinations(near, 2)])
    if (kept == 1).all(axis=1).any():
        raise BadArgument(
            f"two files of the {which} corpus hold the same vectors; give trainings of another seed, or the noise "
            "floor would be zero and everything above it."
        )
    return kept


def _threshold(floor: Shares, order: NDArray[np.int64]) -> Shares:
    """(R,) what all but LEVEL of the words of like frequency keep between seeds."""
    threshold = np.empty(floor.shape[1])
    for alike in np.array_split(order, max(len(order) // _ALIKE, 1)):
        threshold[alike] = np.quantile(floor[:, alike], LEVEL)
    return threshold


def _order(vectors: Vectors, words: Sequence[str]) -> NDArray[np.int64]:
    """By falling frequency, which is how vectors list their words."""
    return np.argsort([vectors.row[w] for w in words])


def _count(vectors: Vectors, word: str) -> int | None:
    return None if vectors.counts is None else int(vectors.counts[vectors.row[word]])


def _mean(floor: Shares | None, i: int) -> float | None:
    return None if floor is None else float(floor[:, i].mean())


def _summary(floor: Shares | None, n: int, candidates: int) -> Overlap | None:
    return None if floor is None else summary(floor.mean(axis=0), n=n, candidates=candidates)


def _named(rows: Rows, words: Sequence[str], shown: int) -> tuple[str, ...]:
    return tuple(words[row] for row in rows[:shown])
