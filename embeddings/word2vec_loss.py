"""The loss of Word2Vec on pairs that are drawn once: what gensim's own counter, a 32-bit sum, cannot tell.

That counter stops growing at 2^27 and loses digits long before (piskvorky/gensim, issue 2617). Here the pairs, and the
noise words of each, stay the same in all epochs, so that the numbers of two epochs differ by what was learned alone.
Equations 1 and 4 of Mikolov et al. 2013 (arXiv 1310.4546).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument

PLACES = 500  # of the file, at each of which a line is read
WORDS = 20  # of such a line that are centres at most
_PIECE = 4096  # centres at a time
_NOISE = 0.75  # the power of a word's count that noise is drawn by

Ints = NDArray[np.int64]


class Drawn(NamedTuple):
    """What is predicted (`centres`), from what (`contexts`, of centre k from `starts[k]` on), and its noise words."""

    centres: Ints  # (P,) rows of gensim's tables
    contexts: Ints
    starts: Ints  # (P + 1,)
    noise: Ints  # (P, negative)


def draw(model: Any, path: Path, *, negative: int, seed: int) -> Drawn:
    """Pairs from the tokens in `path`, thinned out and with windows of random width as in training.

    Raises:
        BadArgument: there are none.
    """
    rng = np.random.default_rng([seed, 7])
    counts = np.array([model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key], dtype=np.float64)
    keep = _keep_chances(counts, model.sample)
    centres: list[int] = []
    groups: list[Ints] = []
    for words in _lines(path, model.wv.key_to_index, rng):
        kept = words[rng.random(len(words)) < keep[words]]
        for place in range(min(len(kept), WORDS)):
            width = int(rng.integers(1, model.window + 1))
            near = np.concatenate([kept[max(place - width, 0) : place], kept[place + 1 : place + 1 + width]])
            # Skip-gram predicts the centre from each of its neighbours, CBOW from their mean.
            own = [near] if not model.sg else list(near[:, None])
            groups += [group for group in own if len(group)]
            centres += [int(kept[place])] * sum(bool(len(group)) for group in own)
    if not centres:
        raise BadArgument(
            f"no two words of the vocabulary stand beside each other in the {PLACES} lines looked at: the corpus is "
            "too small for Word2Vec, or sub-sampling leaves nothing of it (subsample 0 keeps all words)."
        )
    starts = np.cumsum([0, *map(len, groups)])
    shares = counts**_NOISE
    noise = rng.choice(len(counts), size=(len(centres), negative), p=shares / shares.sum())
    return Drawn(np.array(centres, dtype=np.int64), np.concatenate(groups), starts, noise)


def mean_loss(model: Any, drawn: Drawn) -> float:
    """Nats a prediction; the sum of both where negative sampling and hierarchical softmax are used together."""
    total = 0.0
    for first in range(0, len(drawn.centres), _PIECE):
        last = min(first + _PIECE, len(drawn.centres))
        centres, starts = drawn.centres[first:last], drawn.starts[first : last + 1]
        vectors = model.wv.vectors[drawn.contexts[starts[0] : starts[-1]]]
        hidden = np.add.reduceat(vectors, starts[:-1] - starts[0], axis=0)
        hidden /= np.diff(starts)[:, None]
        if model.negative:
            total += _of_negatives(hidden, model.syn1neg, centres, drawn.noise[first:last])
        if model.hs:
            total += _of_paths(hidden, model, centres)
    return total / len(drawn.centres)


def _of_negatives(hidden: NDArray[np.float32], table: NDArray[np.float32], centres: Ints, noise: Ints) -> float:
    right = np.einsum("pd,pd->p", hidden, table[centres])
    wrong = np.einsum("pd,pnd->pn", hidden, table[noise])
    wrong[noise == centres[:, None]] = -np.inf  # as in training, the right word is no noise
    return _softplus(-right) + _softplus(wrong)


def _of_paths(hidden: NDArray[np.float32], model: Any, centres: Ints) -> float:
    total = 0.0
    for word in np.unique(centres).tolist():
        codes, points = (model.wv.get_vecattr(model.wv.index_to_key[word], name) for name in ("code", "point"))
        scores = hidden[centres == word] @ model.syn1[points].T
        total += _softplus(-scores * (1.0 - 2.0 * np.asarray(codes, dtype=np.float64)))
    return total


def _softplus(scores: NDArray[Any]) -> float:
    """The sum of -ln sigmoid(-s), in float64."""
    return float(np.logaddexp(0.0, scores.astype(np.float64)).sum())


def _keep_chances(counts: NDArray[np.float64], sample: float) -> NDArray[np.float64]:
    if sample <= 0:
        return np.ones(len(counts))
    share = counts / (sample * counts.sum())
    return np.minimum((np.sqrt(share) + 1) / share, 1.0)


def _lines(path: Path, number: dict[str, int], rng: np.random.Generator) -> list[Ints]:
    """Known words of the lines behind places drawn at random: a corpus of any size is not read through."""
    found = []
    with path.open("rb") as file:
        for place in np.sort(rng.integers(0, path.stat().st_size, PLACES)).tolist():
            file.seek(place)
            if place:
                file.readline()
            line = file.readline()
            if not line:
                file.seek(0)
                line = file.readline()
            words = line.decode().split()
            begin = int(rng.integers(0, max(len(words) - 2 * WORDS, 0) + 1))
            known = [number[word] for word in words[begin : begin + 4 * WORDS] if word in number]
            found.append(np.array(known, dtype=np.int64))
    return found
