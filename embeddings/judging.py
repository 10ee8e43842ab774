"""How good vectors are: word similarity against people's judgement, and analogies.

What the vectors do not know is never scored: it is counted and named. A term of several words is the mean of its words'
unit vectors, and known when all of them are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from advgen.embeddings.vectors import Floats, Method, Vectors
from advgen.embeddings.wordsets import Pair, Question

Doubles = NDArray[np.float64]
_SCORES = 1 << 24  # at a time: questions by words


class Similarity(NamedTuple):
    """Spearman's rank correlation with people's scores over the n pairs that are known."""

    spearman: float | None  # None under three known pairs
    low: float | None  # 95% bootstrap interval over pairs
    high: float | None
    n: int
    pairs: int
    unknown: tuple[str, ...]  # terms without a vector
    left_out: tuple[tuple[str, str], ...]  # the pairs that hold one of them


class Difference(NamedTuple):
    """How much higher the rank correlation of one space is than that of another, over the n pairs that both know."""

    value: float | None  # None under three such pairs
    low: float | None  # 95% paired bootstrap interval: both on the same pairs
    high: float | None
    n: int


class Section(NamedTuple):
    """Analogies of one kind: right answers among the n questions all of whose words are known."""

    name: str
    right: int
    n: int
    questions: int

    @property
    def accuracy(self) -> float | None:
        """None where nothing was asked."""
        return self.right / self.n if self.n else None


class Analogies(NamedTuple):
    sections: tuple[Section, ...]
    total: Section
    unknown: tuple[str, ...]


def scores(
    vectors: Vectors,
    pair_sets: Mapping[str, Sequence[Pair]],
    question_sets: Mapping[str, Mapping[str, Sequence[Question]]],
) -> dict[str, dict[str, Any]]:
    """For a card: each set's value and interval, beside how many of its pairs or questions are known."""
    told: dict[str, dict[str, Any]] = {}
    for name, pairs in pair_sets.items():
        found = similarity(vectors, pairs)
        interval = None if found.low is None or found.high is None else [round(found.low, 3), round(found.high, 3)]
        value = None if found.spearman is None else round(found.spearman, 3)
        told[name] = {"value": value, "interval": interval, "n": found.n, "of": found.pairs}
    for name, sections in question_sets.items():
        total = analogies(vectors, sections).total
        value = None if total.accuracy is None else round(total.accuracy, 3)
        told[name] = {"value": value, "n": total.n, "of": total.questions}
    return told


def similarity(vectors: Vectors, pairs: Sequence[Pair], *, resamples: int = 1000, seed: int = 0) -> Similarity:
    """Spearman's rho of the cosines with the scores, with its bootstrap interval."""
    known = _known(vectors, pairs)
    used = [p for p in pairs if p.one in known and p.other in known]
    unknown = tuple(sorted({t for p in pairs for t in (p.one, p.other)} - set(known)))
    left_out = tuple((p.one, p.other) for p in pairs if p.one not in known or p.other not in known)
    rho = low = high = None
    if len(used) >= 3:
        rho, low, high = _with_interval(_rhos([_cosines(known, used)], used, resamples, seed)[0])
    return Similarity(rho, low, high, len(used), len(pairs), unknown, left_out)


def difference(
    one: Vectors, other: Vectors, pairs: Sequence[Pair], *, resamples: int = 1000, seed: int = 0
) -> Difference:
    """Spearman's rho of `one` less that of `other`, with the interval of a paired bootstrap over pairs."""
    spaces = [_known(vectors, pairs) for vectors in (one, other)]
    used = [p for p in pairs if all(p.one in known and p.other in known for known in spaces)]
    if len(used) < 3:
        return Difference(None, None, None, len(used))
    first, second = _rhos([_cosines(known, used) for known in spaces], used, resamples, seed)
    return Difference(*_with_interval(first - second), len(used))


def analogies(vectors: Vectors, sections: Mapping[str, Sequence[Question]], *, method: Method = "3CosAdd") -> Analogies:
    """Accuracy by section; the answer is the best word of all that is none of the question's three.

    A word of a question is looked up as written, else in lower case.
    """
    results, unknown = [], set()
    for name, questions in sections.items():
        rows = []
        for question in questions:
            found = [_row(vectors, w) for w in question]
            unknown |= {w for w, row in zip(question, found, strict=True) if row is None}
            if None not in found:
                rows.append(found)
        numbers = np.array(rows, dtype=np.int64).reshape(-1, 4)
        piece = max(_SCORES // len(vectors), 1)
        right = sum(_right(vectors, numbers[a : a + piece], method) for a in range(0, len(numbers), piece))
        results.append(Section(name, right, len(numbers), len(questions)))
    total = Section("all", *(sum(getattr(s, f) for s in results) for f in ("right", "n", "questions")))
    return Analogies(tuple(results), total, tuple(sorted(unknown)))


def _right(vectors: Vectors, questions: NDArray[np.int64], method: Method) -> int:
    if not len(questions):
        return 0
    scores = vectors.analogy_scores(questions[:, :3], method=method)
    np.put_along_axis(scores, questions[:, :3], -np.inf, axis=1)
    return int((scores.argmax(axis=1) == questions[:, 3]).sum())


def _known(vectors: Vectors, pairs: Sequence[Pair]) -> dict[str, Floats]:
    """The unit vectors of the terms that have one."""
    terms = dict.fromkeys(t for p in pairs for t in (p.one, p.other))
    return {t: v for t in terms if (v := _term(vectors, t)) is not None}


def _cosines(known: Mapping[str, Floats], pairs: Sequence[Pair]) -> Doubles:
    return np.array([known[p.one] @ known[p.other] for p in pairs], dtype=np.float64)


def _rhos(cosines: Sequence[Doubles], pairs: Sequence[Pair], resamples: int, seed: int) -> Doubles:
    """(spaces, 1 + resamples) rank correlations with the pairs' scores: first of all pairs, then of pairs drawn."""
    scores = np.array([p.score for p in pairs])
    every = np.arange(len(pairs))[None]
    drawn = np.random.default_rng(seed).integers(0, len(pairs), size=(resamples, len(pairs)))
    return np.array([[_spearman(c[row], scores[row]) for row in np.concatenate([every, drawn])] for c in cosines])


def _with_interval(values: Doubles) -> tuple[float, float, float] | tuple[None, None, None]:
    """The first value, and what 95% of the finite others lie between; None where it has none."""
    others = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(others):
        return None, None, None
    low, high = np.quantile(others, [0.025, 0.975])
    return float(values[0]), float(low), float(high)


def _spearman(one: Doubles, other: Doubles) -> float:
    a, b = rankdata(one), rankdata(other)
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / length if length else float("nan")


def _term(vectors: Vectors, term: str) -> Floats | None:
    rows = [_row(vectors, w) for w in term.split()]
    if not rows or None in rows:
        return None
    mean = vectors.unit_rows(rows).mean(axis=0)
    unit: Floats = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return unit


def _row(vectors: Vectors, word: str) -> int | None:
    row = vectors.row.get(word)
    return vectors.row.get(word.lower()) if row is None else row
