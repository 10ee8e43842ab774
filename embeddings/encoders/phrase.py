"""A phrase as the weighted mean of its word vectors, frequent words weighing less (SIF).

weight(w) = a / (a + p(w)), p the word's share of the corpus. p comes from the counts kept with the vectors; a file that
keeps none is taken to list its words by falling frequency, and Zipf's law stands in for the counts (`came_from` says
so). With `common`, the first principal component of the given phrases is taken away from every phrase.
A mean knows no order: negation, counting and who wears what are lost. Words without a vector are left out, and
`unknown` names them; nothing is made up for them.

Arora, Liang & Ma 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings" (ICLR), algorithm 1.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from math import isfinite
from pathlib import Path
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.embeddings import formats
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.encoders._texts import listed, shown
from advgen.embeddings.vectors import Vectors

Doubles = NDArray[np.float64]
NOTHING_LEFT = 1e-6  # of a phrase's length: what is under it is rounding
HASHED = 1 << 14  # rows at a time: the matrix may be larger than the memory


class _Words(NamedTuple):
    """Vectors, how text is cut for them, and where both came from."""

    vectors: Vectors
    tokeniser: Tokeniser
    told: str


@final
@dataclass(frozen=True, eq=False)
class Phrase:
    paper = "Arora, Liang & Ma 2017, ICLR"
    cost = "forward"

    vectors: str | Vectors  # name of shipped vectors, or a file (safetensors, word2vec text or binary, GloVe text)
    a: float = 1e-3  # words of a larger share of the corpus than this count less than half
    common: str | Sequence[str] | None = None  # phrases, or a file of one a line, to lose the first component of
    most_frequent: int | None = None  # use only the first so many words

    def __post_init__(self) -> None:
        if not (self.a > 0 and isfinite(self.a)):
            raise BadArgument(f"a of the phrase encoder must be above 0 and finite, got {self.a:g}.")

    @property
    def dim(self) -> int:
        return self._words.vectors.dim

    @cached_property
    def hash(self) -> str:
        """Of what determines the result: words, vectors, counts, the rule that cuts text, `a` and `common`."""
        vectors, tokeniser, _ = self._words
        digest = blake2b(json.dumps(["phrase 1", tokeniser.rule, self.a]).encode(), digest_size=16)
        digest.update("\n".join(vectors.words).encode())
        for begin in range(0, len(vectors), HASHED):
            digest.update(np.ascontiguousarray(vectors.matrix[begin : begin + HASHED], dtype="<f4"))
        if vectors.counts is not None:
            digest.update(vectors.counts.astype("<i8").tobytes())
        for phrase in self._phrases:
            digest.update(b"\0" + phrase.encode())
        return digest.hexdigest()

    @property
    def came_from(self) -> str:
        """One phrase for the reader: which vectors, cut by which rule, weighted by which counts."""
        return self._words.told

    def words(self, text: str) -> list[str]:
        """The words of `text`, as the model's own rule cuts it."""
        return self._words.tokeniser.words(text)

    def unknown(self, text: str) -> Sequence[str]:
        """The words of `text` without a vector, each once; they are left out of its mean."""
        return tuple(dict.fromkeys(w for w in self.words(text) if w not in self._words.vectors))

    def rare(self, text: str, *, under: int = 20) -> Sequence[str]:
        """The known words of `text` that occur fewer than `under` times in the corpus; () where no counts are kept."""
        vectors = self._words.vectors
        if vectors.counts is None:
            return ()
        known = dict.fromkeys(w for w in self.words(text) if w in vectors)
        return tuple(w for w in known if vectors.counts[vectors.row[w]] < under)

    def encode(self, texts: list[str]) -> Tensor:
        """(N, D) rows of length one, float32; a row does not depend on the others.

        Raises:
            BadArgument: a text is empty, holds no known word, or nothing is left of it.
        """
        rows = [self._unit(text) for text in listed(texts)]
        return torch.from_numpy(np.stack(rows) if rows else np.empty((0, self.dim), dtype=np.float32))

    @cached_property
    def _words(self) -> _Words:
        if isinstance(self.vectors, Vectors):
            vectors = self.vectors if self.most_frequent is None else self.vectors.most_frequent(self.most_frequent)
            where, rule = "vectors in memory", None
        else:
            path = formats.find(self.vectors)
            vectors = formats.load(path, most_frequent=self.most_frequent)
            where, rule = str(path), _stored_rule(path)
        tokeniser, cut = _tokeniser(vectors, rule)
        if vectors.counts is None:
            weighted = "their counts are not known, so Zipf's law by rank stands in for them"
        elif vectors.counts.min() < 1:
            raise BadFile(f"{where}: a word's count is {vectors.counts.min()}; counts of 1 or more were expected.")
        else:
            weighted = f"weighted by their counts, {int(vectors.counts.sum()):,} in all"
        told = f"{where}: {len(vectors):,} words of {vectors.dim} numbers, {cut}; {weighted}"
        return _Words(vectors, tokeniser, told)

    @cached_property
    def _weights(self) -> Doubles:
        """(V,) of each word."""
        vectors = self._words.vectors
        if vectors.counts is None:
            often = 1 / np.arange(1, len(vectors) + 1)
        else:
            often = vectors.counts.astype(np.float64)
        weights: Doubles = self.a / (self.a + often / often.sum())
        return weights

    @cached_property
    def _component(self) -> Doubles | None:
        """(D,) the first right singular vector of the means of `common`, not centred, as in the paper."""
        if not self._phrases:
            return None
        means = np.stack([self._mean(phrase) for phrase in self._phrases])
        component: Doubles = np.linalg.svd(means, full_matrices=False)[2][0]
        return component

    @cached_property
    def _phrases(self) -> tuple[str, ...]:
        """What the component is fitted on; none, where there is none."""
        if self.common is None:
            return ()
        phrases = _lines(Path(self.common)) if isinstance(self.common, str) else listed(self.common)
        if len(phrases) < 2:
            raise BadArgument(f"a common component needs two phrases or more to be fitted on, got {len(phrases)}.")
        return tuple(phrases)

    def _mean(self, text: str) -> Doubles:
        vectors = self._words.vectors
        words = self.words(text)
        rows = [vectors.row[w] for w in words if w in vectors]
        if not rows:
            raise BadArgument(
                f"the text {shown(text)} is empty; words were expected." if not words else
                f"none of the words of {shown(text)} has a vector in {self._words.told.partition(': ')[0]}; "
                "use other words, or vectors of a corpus that has them."
            )  # fmt: skip
        mean: Doubles = (self._weights[rows, None] * vectors.matrix[rows]).sum(axis=0) / len(rows)
        return mean

    def _unit(self, text: str) -> NDArray[np.float32]:
        mean = self._mean(text)
        whole = np.linalg.norm(mean)
        if self._component is not None:
            mean = mean - self._component * (self._component @ mean)
        length = np.linalg.norm(mean)
        if not np.isfinite(whole):
            raise BadFile(f"the vectors of {shown(text)} hold NaN or infinity; get the file again.")
        if length <= NOTHING_LEFT * whole:
            what = "are zero or cancel out" if self._component is None else "hold nothing but the common component"
            raise BadArgument(f"the vectors of {shown(text)} {what}; use other words.")
        unit: NDArray[np.float32] = (mean / length).astype(np.float32)
        return unit


def _stored_rule(path: Path) -> str | None:
    """The tokeniser's rule on the card of our own files; None where the file has no card."""
    if path.suffix != ".safetensors":
        return None
    rule = checkpoints.read_card(path).metrics.get("tokeniser")
    return rule if isinstance(rule, str) else None


def _tokeniser(vectors: Vectors, rule: str | None) -> tuple[Tokeniser, str]:
    """The tokeniser of the stored rule; without one, case is kept where the words keep it."""
    for known in (Tokeniser(lowercase=True), Tokeniser(lowercase=False)):
        if rule == known.rule:
            return known, "cut by the rule stored with them"
    lowercase = all(w == w.lower() for w in vectors.words)
    cut = f"cut by advgen's rule, {'lower case as all of them are' if lowercase else 'case kept'}"
    return Tokeniser(lowercase), cut if rule is None else f"{cut} (their own, of another version, is not known here)"


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        raise MissingFile(f"there is no file {str(path)!r} of phrases to fit the common component on.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as phrases, one a line: {error}.") from None
