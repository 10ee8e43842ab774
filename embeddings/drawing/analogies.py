"""Pairs of one relation on the plane of their words: are the ways from first to second parallel?

A plane of few words shows more order than there is, so the drawing tells what was measured among all words and in all
dimensions beside it.

Mikolov, Sutskever, Chen, Corrado & Dean 2013, arXiv 1310.4546, figure 2.
"""

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from advgen.core.errors import BadArgument
from advgen.embeddings import judging
from advgen.embeddings.drawing.maps import WordMap, draw
from advgen.embeddings.vectors import Vectors


class Relation(NamedTuple):
    """A map of pairs, with what holds outside of the plane."""

    map: WordMap
    arrows: tuple[tuple[int, int], ...]  # from and to, as numbers of the map's words
    parallel: float  # mean cosine of two pairs' differences, in all dimensions
    right: int  # of `asked` analogies that one pair asks about another, answered right among all words
    asked: int

    @property
    def told(self) -> str:
        """One sentence for the reader."""
        return (
            f"In all dimensions two arrows have a cosine of {self.parallel:.2f} on average (1 is parallel); among all "
            f"words 3CosAdd answers {self.right} of {self.asked} analogies between these pairs."
        )


def relation(vectors: Vectors, pairs: Sequence[tuple[str, str]]) -> Relation:
    """The plane of the principal components of all words of `pairs`.

    Raises:
        UnknownName: a word has no vector.
        BadArgument: fewer than two pairs, or a pair of one word.
    """
    pairs = list(dict.fromkeys(pairs))
    if len(pairs) < 2:
        raise BadArgument(f"{len(pairs)} pair of words; two or more are needed to compare where they point.")
    same = next((a for a, b in pairs if a == b), None)
    if same is not None:
        raise BadArgument(f"{same!r} stands on both sides of a pair; two words were expected.")
    words = tuple(dict.fromkeys(w for pair in pairs for w in pair))
    laid_out = draw(vectors, words, method="pca")
    number = {word: i for i, word in enumerate(words)}
    first, second = (vectors.unit_rows([vectors.number(pair[k]) for pair in pairs]) for k in (0, 1))
    ways = (second - first).astype(np.float64)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True).clip(1e-12)
    questions = [(*one, *other) for one, other in permutations(pairs, 2) if len({*one, *other}) == 4]
    total = judging.analogies(vectors, {"pairs": questions}).total
    cosines = (ways @ ways.T)[np.triu_indices(len(pairs), k=1)]
    arrows = tuple((number[a], number[b]) for a, b in pairs)
    return Relation(laid_out, arrows, float(cosines.mean()), total.right, total.n)
