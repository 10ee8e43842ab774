"""Word vectors: a word a row, most frequent first; neighbours and analogies by cosine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument, UnknownName

Floats = NDArray[np.float32]
Method = Literal["3CosAdd", "3CosMul"]


class Neighbour(NamedTuple):
    word: str
    score: float  # the cosine, or 3CosMul's ratio


@dataclass(frozen=True, eq=False)
class Vectors:
    """Words and their vectors. A word that is not there is refused by name; no vector is made up for it."""

    words: tuple[str, ...]
    matrix: Floats  # (V, D)
    counts: NDArray[np.int64] | None = None  # (V,) occurrences in the corpus, where they are known

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or len(self.matrix) != len(self.words) or not self.matrix.size:
            shape = " x ".join(map(str, self.matrix.shape))
            raise BadArgument(f"{len(self.words):,} words with a matrix of {shape}; one row a word was expected.")
        if len(self.row) != len(self.words):
            twice = next(w for i, w in enumerate(self.words) if self.row[w] != i)
            raise BadArgument(f"the word {twice!r} stands twice among the vectors; each word must have one.")
        # The sum of a row is not finite if any of its numbers is not.
        bad = np.flatnonzero(~np.isfinite(self.matrix.sum(axis=1, dtype=np.float64)))
        if len(bad):
            raise BadArgument(f"the vector of {self.words[bad[0]]!r} holds NaN or infinity, as {len(bad):,} in all do.")

    @property
    def dim(self) -> int:
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.row

    def __getitem__(self, word: str) -> Floats:
        return self.matrix[self.number(word)]

    @cached_property
    def row(self) -> dict[str, int]:
        """The row of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @cached_property
    def unit(self) -> Floats:
        """(V, D) rows of length one; a row of zeros stays zero."""
        lengths = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        return self.matrix / np.where(lengths > 0, lengths, 1)

    def number(self, word: str) -> int:
        """The row of a word.

        Raises:
            UnknownName: it has no vector.
        """
        if word not in self.row:
            raise UnknownName.among("word", word, self.words, f"These vectors know {len(self):,} words.")
        return self.row[word]

    def similarity(self, one: str, other: str) -> float:
        """The cosine of two words."""
        return float(self.unit[self.number(one)] @ self.unit[self.number(other)])

    def nearest(self, word: str, n: int = 10) -> list[Neighbour]:
        """The `n` words of the highest cosine, without `word` itself."""
        number = self.number(word)
        return self._best(self.unit @ self.unit[number], [number], n)

    def analogy(self, a: str, b: str, c: str, *, n: int = 10, method: Method = "3CosAdd") -> list[Neighbour]:
        """What is to `c` as `b` is to `a`, never one of the three.

        3CosAdd as in Mikolov et al. 2013, 3CosMul as in Levy and Goldberg 2014 (cosines in [0, 1], epsilon 0.001).
        """
        numbers = [self.number(w) for w in (a, b, c)]
        return self._best(self.analogy_scores(np.array([numbers]), method=method)[0], numbers, n)

    def analogy_scores(self, questions: NDArray[Any], *, method: Method = "3CosAdd") -> Floats:
        """(Q, V) the score of every word for questions (Q, 3) of rows a, b, c; higher is better."""
        if method not in ("3CosAdd", "3CosMul"):
            raise BadArgument(f"the method must be 3CosAdd or 3CosMul, got {method!r}.")
        a, b, c = (self.unit[questions[:, k]] for k in range(3))
        if method == "3CosAdd":
            wanted = b - a + c
            return (wanted / np.linalg.norm(wanted, axis=1, keepdims=True).clip(1e-12)) @ self.unit.T
        cosines = [(1 + x @ self.unit.T) / 2 for x in (a, b, c)]
        scores: Floats = cosines[1] * cosines[2] / (cosines[0] + np.float32(0.001))
        return scores

    def most_frequent(self, n: int) -> "Vectors":
        """The first `n` words."""
        return Vectors(self.words[:n], self.matrix[:n], None if self.counts is None else self.counts[:n])

    def only(self, words: Iterable[str]) -> "Vectors":
        """These words, in this order."""
        kept = [self.number(w) for w in words]
        counts = None if self.counts is None else self.counts[kept]
        return Vectors(tuple(self.words[i] for i in kept), self.matrix[kept], counts)

    def _best(self, scores: Floats, without: Sequence[int], n: int) -> list[Neighbour]:
        if n < 1:
            raise BadArgument(f"the number of neighbours must be at least 1, got {n}.")
        scores = scores.copy()
        scores[list(without)] = -np.inf
        n = min(n, len(self) - len(set(without)))
        first = np.argpartition(-scores, max(n - 1, 0))[:n]
        return [Neighbour(self.words[i], float(scores[i])) for i in first[np.argsort(-scores[first], kind="stable")]]
