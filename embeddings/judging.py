"""How good vectors are: word similarity against people's judgement, and analogies.

What the vectors do not know is never scored: it is counted and named. A term of several words is the mean of its words'
unit vectors, and known when all of them are.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.embeddings.vectors import Method, Vectors

_PIECE = 256  # questions at a time


class Pair(NamedTuple):
    one: str
    other: str
    score: float


class Similarity(NamedTuple):
    """Spearman's rank correlation with people's scores over the n pairs that are known."""

    spearman: float | None  # None under three known pairs
    low: float | None  # 95% bootstrap interval over pairs
    high: float | None
    n: int
    pairs: int
    unknown: tuple[str, ...]  # terms without a vector


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


def read_pairs(path: Path) -> list[Pair]:
    """Pairs with a score, a line each: TAB, comma or spaces between; headings and lines with # are left out.

    Raises:
        BadFile: a line that is no pair.
    """
    pairs = []
    lines = _read(path)
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t") if "\t" in line else next(csv.reader([line])) if "," in line else line.split()
        pair = _pair([f.strip() for f in fields])
        if pair is None and pairs:
            raise BadFile(
                f"{path}, line {number}: {line.strip()[:60]!r} is no pair; two terms and a score were expected."
            )
        if pair:
            pairs.append(pair)
    if len(pairs) < 3:
        raise BadFile(f"{path} holds {len(pairs)} pairs; a line each with two terms and a score was expected.")
    return pairs


def read_analogies(path: Path) -> dict[str, list[tuple[str, str, str, str]]]:
    """Questions of four words a line, under section lines that begin with a colon (the Google set's format).

    Raises:
        BadFile: a line that is neither.
    """
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    name = "all"
    for number, line in enumerate(_read(path), start=1):
        fields = line.split()
        if not fields or line.startswith("//"):
            continue
        if fields[0] == ":":
            name = " ".join(fields[1:])
        elif len(fields) == 4:
            sections.setdefault(name, []).append((fields[0], fields[1], fields[2], fields[3]))
        else:
            raise BadFile(f"{path}, line {number}: {len(fields)} words, expected a section `: name` or four words.")
    if not sections:
        raise BadFile(f"{path} holds no question of four words.")
    return sections


def read_words(path: Path) -> list[str]:
    """Words, one a line.

    Raises:
        BadFile: a line of several words, or none at all.
    """
    words = [line.strip() for line in _read(path) if line.strip()]
    several = next((w for w in words if len(w.split()) > 1), None)
    if several or not words:
        raise BadFile(
            f"{path} holds {f'the line {several[:60]!r}' if several else 'no word'}; one word a line, please."
        )
    return words


def similarity(vectors: Vectors, pairs: Sequence[Pair], *, resamples: int = 1000, seed: int = 0) -> Similarity:
    """Spearman's rho of the cosines with the scores, with its bootstrap interval."""
    terms = {t for p in pairs for t in (p.one, p.other)}
    known = {t: v for t in terms if (v := _term(vectors, t)) is not None}
    used = [p for p in pairs if p.one in known and p.other in known]
    unknown = tuple(sorted(terms - set(known)))
    if len(used) < 3:
        return Similarity(None, None, None, len(used), len(pairs), unknown)
    cosines = np.array([known[p.one] @ known[p.other] for p in used])
    scores = np.array([p.score for p in used])
    drawn = np.random.default_rng(seed).integers(0, len(used), size=(resamples, len(used)))
    rhos = [r for row in drawn if np.isfinite(r := _spearman(cosines[row], scores[row]))]
    rho = _spearman(cosines, scores)
    if not np.isfinite(rho) or not rhos:
        return Similarity(None, None, None, len(used), len(pairs), unknown)
    low, high = np.quantile(rhos, [0.025, 0.975])
    return Similarity(rho, float(low), float(high), len(used), len(pairs), unknown)


def analogies(
    vectors: Vectors, sections: dict[str, list[tuple[str, str, str, str]]], *, method: Method = "3CosAdd"
) -> Analogies:
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
        right = sum(_right(vectors, numbers[a : a + _PIECE], method) for a in range(0, len(numbers), _PIECE))
        results.append(Section(name, right, len(numbers), len(questions)))
    total = Section("all", *(sum(getattr(s, f) for s in results) for f in ("right", "n", "questions")))
    return Analogies(tuple(results), total, tuple(sorted(unknown)))


def overlap(one: Vectors, other: Vectors, *, words: int = 1000, n: int = 10) -> tuple[float, int]:
    """The share of its `n` nearest neighbours that a word has in both spaces, among the words they share.

    Returns the mean over the `words` most frequent shared words of `one`, and how many these are.
    """
    shared = [w for w in one.words if w in other]
    if len(shared) <= n:
        raise BadArgument(f"the two spaces share {len(shared)} words; more than {n} are needed to compare neighbours.")
    first, second = one.only(shared), other.only(shared)
    asked = min(words, len(shared))
    common = 0
    for begin in range(0, asked, _PIECE):
        here = np.arange(begin, min(begin + _PIECE, asked))
        sets = [_nearest_rows(v, here, n) for v in (first, second)]
        common += sum(len(np.intersect1d(a, b)) for a, b in zip(*sets, strict=True))
    return common / (asked * n), asked


def _nearest_rows(vectors: Vectors, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    scores = vectors.unit[rows] @ vectors.unit.T
    scores[np.arange(len(rows)), rows] = -np.inf
    return np.argpartition(-scores, n - 1, axis=1)[:, :n]


def _right(vectors: Vectors, questions: NDArray[np.int64], method: Method) -> int:
    if not len(questions):
        return 0
    scores = vectors.analogy_scores(questions[:, :3], method=method)
    np.put_along_axis(scores, questions[:, :3], -np.inf, axis=1)
    return int((scores.argmax(axis=1) == questions[:, 3]).sum())


def _spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    a, b = rankdata(one), rankdata(other)
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / length if length else float("nan")


def _term(vectors: Vectors, term: str) -> NDArray[np.float32] | None:
    rows = [_row(vectors, w) for w in term.split()]
    if not rows or None in rows:
        return None
    mean = vectors.unit[rows].mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _row(vectors: Vectors, word: str) -> int | None:
    row = vectors.row.get(word)
    return vectors.row.get(word.lower()) if row is None else row


def _pair(fields: list[str]) -> Pair | None:
    """Term, term, score, in this order or, as in the UMNSRS tables, score, deviation, term, term."""
    if len(fields) >= 3 and _number(fields[2]) is not None:
        return Pair(fields[0], fields[1], float(fields[2]))
    if len(fields) >= 4 and _number(fields[0]) is not None and _number(fields[1]) is not None:
        return Pair(fields[2], fields[3], float(fields[0]))
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(path: Path) -> list[str]:
    if not path.is_file():
        raise MissingFile(f"there is no file {str(path)!r}.")
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadFile(f"{path} is not UTF-8 text; a list of word pairs or analogies was expected.") from None
