"""Word vectors: a word a row, most frequent first; neighbours and analogies by cosine.

The numbers lie in memory or stay in their file, mapped. Both go through the same blocks of rows, so that they answer
alike to the last bit.
"""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument, UnknownName

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

Floats = NDArray[np.float32]
Method = Literal["3CosAdd", "3CosMul"]
_BLOCK_BYTES = 1 << 23  # of vectors at a time
_COMPARED = 50_000  # words in which the nearest spelling is looked for
_LET_GO: int | None = getattr(mmap, "MADV_DONTNEED", None)  # not everywhere


class Neighbour(NamedTuple):
    word: str
    score: float  # the cosine, or 3CosMul's ratio


@dataclass(frozen=True, eq=False)
class Vectors:
    """Words and their vectors. A word that is not there is refused by name; no vector is made up for it."""

    words: tuple[str, ...]
    matrix: NDArray[Any]  # (V, D) float32; in a mapped file also float16
    counts: NDArray[np.int64] | None = None  # (V,) occurrences in the corpus, where they are known
    mapping: mmap.mmap | None = field(default=None, repr=False)  # the file that the matrix lies in

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or len(self.matrix) != len(self.words) or not self.matrix.size:
            shape = " x ".join(map(str, self.matrix.shape))
            raise BadArgument(f"{len(self.words):,} words with a matrix of {shape}; one row a word was expected.")
        if len(self.row) != len(self.words):
            twice = next(w for i, w in enumerate(self.words) if self.row[w] != i)
            raise BadArgument(f"the word {twice!r} stands twice among the vectors; each word must have one.")
        if self.mapping is None:  # else `lengths` looks, so that opening a file does not read all of it
            self._refuse_not_finite(self.matrix, 0)

    @property
    def dim(self) -> int:
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.row

    def __getitem__(self, word: str) -> Floats:
        vector: Floats = self.matrix[self.number(word)].astype(np.float32, copy=False)
        return vector

    @cached_property
    def row(self) -> dict[str, int]:
        """The row of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @cached_property
    def lengths(self) -> Floats:
        """(V,) the vectors' lengths.

        Raises:
            BadArgument: a mapped vector holds NaN or infinity.
        """
        lengths = np.empty(len(self), dtype=np.float32)
        for begin, end in self._blocks():
            block = self.matrix[begin:end].astype(np.float32, copy=False)
            if self.mapping is not None:
                self._refuse_not_finite(block, begin)
            lengths[begin:end] = np.linalg.norm(block, axis=1)
            self._release()
        return lengths

    @cached_property
    def unit(self) -> Floats:
        """(V, D) rows of length one, in memory; a row of zeros stays zero."""
        return self.unit_rows(slice(None))

    def unit_rows(self, rows: Any) -> Floats:
        """(R, D) the rows of these numbers, of length one, in memory."""
        lengths = self.lengths[rows][..., None]
        unit: Floats = self.matrix[rows].astype(np.float32, copy=False) / np.where(lengths > 0, lengths, np.float32(1))
        return unit

    def cosines(self, wanted: Floats) -> Floats:
        """(Q, V) the cosine of every word with directions (Q, D) of length one."""
        cosines = np.empty((len(wanted), len(self)), dtype=np.float32)
        for begin, end in self._blocks():
            block = self.unit[begin:end] if self.mapping is None else self.unit_rows(slice(begin, end))
            cosines[:, begin:end] = wanted @ block.T
            self._release()
        return cosines

    def number(self, word: str) -> int:
        """The row of a word.

        Raises:
            UnknownName: it has no vector.
        """
        if word not in self.row:
            near = self.words[:_COMPARED]
            raise UnknownName.among("word", word, near, f"These vectors know {len(self):,} words.")
        return self.row[word]

    def similarity(self, one: str, other: str) -> float:
        """The cosine of two words."""
        first, second = self.unit_rows([self.number(one), self.number(other)])
        return float(first @ second)

    def nearest(self, word: str, n: int = 10) -> list[Neighbour]:
        """The `n` words of the highest cosine, without `word` itself."""
        number = self.number(word)
        return self._best(self.cosines(self.unit_rows([number]))[0], [number], n)

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
        a, b, c = (self.unit_rows(questions[:, k]) for k in range(3))
        if method == "3CosAdd":
            wanted = b - a + c
            return self.cosines(wanted / np.linalg.norm(wanted, axis=1, keepdims=True).clip(1e-12))
        of_a, of_b, of_c = np.split((1 + self.cosines(np.concatenate([a, b, c]))) / 2, 3)  # read once for all
        scores: Floats = of_b * of_c / (of_a + np.float32(0.001))
        return scores

    def most_frequent(self, n: int) -> "Vectors":
        """The first `n` words."""
        counts = None if self.counts is None else self.counts[:n]
        return Vectors(self.words[:n], self.matrix[:n], counts, self.mapping)

    def only(self, words: Iterable[str]) -> "Vectors":
        """These words, in this order, in memory."""
        kept = [self.number(w) for w in words]
        counts = None if self.counts is None else self.counts[kept]
        return Vectors(tuple(self.words[i] for i in kept), self.matrix[kept].astype(np.float32, copy=False), counts)

    def to_gensim(self) -> "KeyedVectors":
        """gensim's KeyedVectors over the same numbers, not over a copy."""
        from gensim.models import KeyedVectors

        keyed = KeyedVectors(self.dim, dtype=self.matrix.dtype)
        keyed.vectors, keyed.index_to_key, keyed.key_to_index = self.matrix, list(self.words), dict(self.row)
        if self.counts is not None:
            keyed.expandos["count"] = self.counts
        return keyed

    def _best(self, scores: Floats, without: Sequence[int], n: int) -> list[Neighbour]:
        if n < 1:
            raise BadArgument(f"the number of neighbours must be at least 1, got {n}.")
        scores = scores.copy()
        scores[list(without)] = -np.inf
        n = min(n, len(self) - len(set(without)))
        first = np.argpartition(-scores, max(n - 1, 0))[:n]
        return [Neighbour(self.words[i], float(scores[i])) for i in first[np.argsort(-scores[first], kind="stable")]]

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """First row and the row after the last, a block at a time."""
        rows = max(_BLOCK_BYTES // (4 * self.dim), 1)
        return ((begin, min(begin + rows, len(self))) for begin in range(0, len(self), rows))

    def _release(self) -> None:
        """Lets go of the pages of a mapped file that were read: they would count as this process's memory."""
        if self.mapping is not None and _LET_GO is not None:
            self.mapping.madvise(_LET_GO)

    def _refuse_not_finite(self, block: NDArray[Any], begin: int) -> None:
        # The sum of a row is not finite if any of its numbers is not.
        bad = np.flatnonzero(~np.isfinite(block.sum(axis=1, dtype=np.float64)))
        if len(bad):
            raise BadArgument(f"the vector of {self.words[begin + bad[0]]!r} holds NaN or infinity.")
