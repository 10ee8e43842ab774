"""Skip-gram with the full softmax (Mikolov et al. 2013, arXiv 1310.4546, equation 2), which the others approximate.

Every step touches every word of the vocabulary, which is why nobody trains so; here it is the reference that
hierarchical softmax and negative sampling are held against. Windows, sub-sampling and rate are those of `word2vec`. All
contexts of a centre share one softmax, and a batch of centres one matrix product: the cheapest form that is still
exact. The gradient is that of the batch, summed.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from advgen.core.errors import BadArgument
from advgen.embeddings.corpora.tokens import Tokens
from advgen.embeddings.vectors import Floats, Vectors
from advgen.embeddings.vocabulary import BREAK, count_words, write_ids

LAST_RATE = 0.0001  # gensim's
PIECE = 100_000  # tokens whose windows are drawn at a time

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class FullSoftmax:
    """The method's arguments, as of `word2vec.Word2Vec`; the same seed gives the same vectors on one machine."""

    dim: int = 100
    window: int = 5  # words to each side at most; each place draws its own width up to it
    epochs: int = 5
    rate: float = 0.025  # falls linearly to 0.0001
    subsample: float = 1e-3  # words more frequent than this are thinned out; 0 = never
    min_count: int = 5
    max_words: int | None = None
    batch: int = 64  # centres whose gradients are summed before the weights move
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("dim", "window", "epochs", "batch", "threads"):
            if getattr(self, name) < 1:
                raise BadArgument(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not self.rate > 0:
            raise BadArgument(f"rate must be above 0, got {self.rate}.")

    def train(
        self,
        tokens: Tokens,
        *,
        tell: Callable[[str], None] = lambda _: None,
        each_epoch: Callable[[Vectors], None] = lambda _: None,
    ) -> Vectors:
        """Vectors from `tokens`; `each_epoch` is called with those at the end of each pass."""
        vocabulary = count_words(tokens.path, min_count=self.min_count, max_words=self.max_words)
        tell(f"vocabulary: {len(vocabulary.words):,} words")
        rng = np.random.default_rng(self.seed)
        size = (len(vocabulary.words), self.dim)
        inputs = ((rng.random(size, dtype=np.float32) - 0.5) / self.dim).astype(np.float32)
        outputs = np.zeros(size, dtype=np.float32)
        keep = keep_chances(vocabulary.counts, self.subsample)
        space = Space(np.empty((self.batch, size[0]), dtype=np.float32), np.empty(size, dtype=np.float32))
        with tempfile.TemporaryDirectory() as folder, threadpool_limits(self.threads, user_api="blas"):
            ids = write_ids(tokens.path, vocabulary, Path(folder) / "ids")
            for epoch in range(self.epochs):
                loss, n = 0.0, 0
                for begin, end in _pieces(ids):
                    centres, starts, contexts = windows(
                        np.asarray(ids[begin:end]), keep, self.window, int(rng.integers(2**31))
                    )
                    rate = max(LAST_RATE, self.rate * (1 - (epoch + begin / len(ids)) / self.epochs))
                    for first in range(0, len(centres), self.batch):
                        last = min(first + self.batch, len(centres))
                        here = contexts[starts[first] : starts[last]]
                        rows = np.repeat(np.arange(last - first), np.diff(starts[first : last + 1]))
                        loss += step(inputs, outputs, centres[first:last], rows, here, rate, space)
                        n += len(here)
                tell(f"epoch {epoch + 1} of {self.epochs}: {loss / max(n, 1):.4f} nats a context word")
                each_epoch(Vectors(vocabulary.words, inputs, vocabulary.counts))
        return Vectors(vocabulary.words, inputs, vocabulary.counts)


class Space(NamedTuple):
    """Where a step writes: fresh pages for each would take as long as the products."""

    scores: Floats  # (B, V)
    of_outputs: Floats  # (V, D)


def step(
    inputs: Floats,
    outputs: Floats,
    centres: Ints,
    rows: NDArray[np.int64],
    contexts: Ints,
    rate: float,
    space: Space,
) -> float:
    """One descent step on `inputs` and `outputs`, in place; returns the loss before it."""
    loss, of_hidden, of_outputs = gradients(inputs[centres], outputs, rows, contexts, space)
    of_outputs *= rate
    outputs -= of_outputs
    np.subtract.at(inputs, centres, rate * of_hidden)  # a word may be the centre twice
    return loss


def gradients(
    hidden: Floats, outputs: Floats, rows: NDArray[np.int64], contexts: Ints, space: Space
) -> tuple[float, Floats, Floats]:
    """Loss, and its gradients by hidden (B, D) and outputs (V, D), the latter in `space`.

    The loss is the sum of -log softmax(outputs hidden[r])[c] over the pairs (r, c) of `rows` and `contexts`.
    """
    scores = np.matmul(hidden, outputs.T, out=space.scores[: len(hidden)])
    scores -= scores.max(axis=1, keepdims=True)
    at_contexts = scores[rows, contexts]
    np.exp(scores, out=scores)
    totals = scores.sum(axis=1, keepdims=True)
    loss = float(np.log(totals[rows, 0]).sum() - at_contexts.sum())
    scores *= np.bincount(rows, minlength=len(hidden))[:, None].astype(np.float32) / totals
    np.subtract.at(scores, (rows, contexts), 1)
    return loss, scores @ outputs, np.matmul(scores.T, hidden, out=space.of_outputs)


def keep_chances(counts: NDArray[np.int64], subsample: float) -> NDArray[np.float64]:
    """The chance of each word to stay, as in word2vec: (sqrt(f / t) + 1) t / f, for a share f of the corpus."""
    if subsample <= 0:
        return np.ones(len(counts))
    share = counts / counts.sum() / subsample
    return np.minimum((np.sqrt(share) + 1) / share, 1.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def windows(ids: Ints, keep: NDArray[np.float64], window: int, seed: int) -> tuple[Ints, NDArray[np.int64], Ints]:
    """Centres, where each one's contexts start, and the contexts: words are thinned out, then each draws its width."""
    np.random.seed(seed)
    kept = np.empty(len(ids), dtype=np.int32)
    n = 0
    for word in ids:
        if word == BREAK or np.random.random() < keep[word]:
            kept[n] = word
            n += 1
    centres = np.empty(n, dtype=np.int32)
    starts = np.zeros(n + 1, dtype=np.int64)
    contexts = np.empty(2 * window * n, dtype=np.int32)
    found = filled = 0
    for place in range(n):
        if kept[place] == BREAK:
            continue
        width = np.random.randint(1, window + 1)
        before = filled
        for direction in (-1, 1):
            for distance in range(1, width + 1):
                other = place + direction * distance
                if other < 0 or other >= n or kept[other] == BREAK:
                    break
                contexts[filled] = kept[other]
                filled += 1
        if filled > before:
            centres[found] = kept[place]
            found += 1
            starts[found] = filled
    return centres[:found], starts[: found + 1], contexts[:filled]


def _pieces(ids: Ints) -> list[tuple[int, int]]:
    """Ranges of about PIECE tokens that end where a sentence does."""
    borders = [0]
    for wanted in range(PIECE, len(ids), PIECE):
        after = np.flatnonzero(np.asarray(ids[wanted : wanted + 20_000]) == BREAK)
        border = wanted + int(after[0]) + 1 if len(after) else wanted
        if border > borders[-1]:
            borders.append(border)
    return [(a, b) for a, b in zip(borders, [*borders[1:], len(ids)], strict=True) if b > a]
