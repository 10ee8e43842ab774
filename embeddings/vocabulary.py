"""Which words a model knows, by falling frequency, and a tokenised corpus as their numbers."""

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument

BREAK = -1  # stands between sentences in a file of ids
HELD = 2_000_000  # different words in memory while they are counted, at most
LEAST_HELD = 10_000
BYTES_A_WORD = 200  # with its count, in a dict
_PIECE = 1 << 20


class Vocabulary(NamedTuple):
    """Words and how often they occur in the corpus, most frequent first; equal counts in alphabetical order."""

    words: tuple[str, ...]
    counts: NDArray[np.int64]


def count_words(
    tokens: Path,
    *,
    min_count: int = 5,
    max_words: int | None = None,
    keep: Collection[str] = (),
    memory_bytes: int | None = None,
) -> Vocabulary:
    """The words of a file of tokens that occur at least `min_count` times, at most `max_words` of them.

    Words of `keep` that occur `min_count` times are there besides, whatever their rank. While they are counted, words
    take an eighth of `memory_bytes`; the others wait on disk.

    Raises:
        BadArgument: no word is left.
    """
    if min_count < 1:
        raise BadArgument(f"min_count must be at least 1, got {min_count}.")
    different = most = 0
    held = HELD if memory_bytes is None else min(max(memory_bytes // 8 // BYTES_A_WORD, LEAST_HELD), HELD)
    asked, named = frozenset(keep), set[tuple[int, str]]()

    def kept() -> Iterator[tuple[int, str]]:
        nonlocal different, most
        for word, n in _counted(tokens, held):
            different, most = different + 1, max(most, n)
            if n >= min_count:
                if word in asked:
                    named.add((-n, word))
                yield -n, word

    falling = sorted(kept()) if max_words is None else sorted({*heapq.nsmallest(max_words, kept()), *named})
    if not falling:
        raise BadArgument(
            f"min_count {min_count} leaves no word of {different:,} in the vocabulary; "
            f"the most frequent one occurs {most:,} times, give --min-count {max(most // 2, 1)} or less."
        )
    return Vocabulary(tuple(w for _, w in falling), np.array([-n for n, _ in falling], dtype=np.int64))


def _counted(tokens: Path, held: int) -> Iterator[tuple[str, int]]:
    """Each word of a file once, with its count; about `held` are in memory, the others in sorted runs on disk."""
    counts: Counter[str] = Counter()
    runs: list[Path] = []
    with ExitStack() as folders:
        with tokens.open(encoding="utf-8") as lines:
            for line in lines:
                counts.update(line.split())
                if len(counts) > held:
                    folder = runs[0].parent if runs else folders.enter_context(TemporaryDirectory(dir=tokens.parent))
                    runs.append(Path(folder) / f"{len(runs)}")
                    with runs[-1].open("w", encoding="utf-8") as run:
                        run.writelines(f"{word} {counts[word]}\n" for word in sorted(counts))
                    counts.clear()
        if not runs:
            yield from counts.items()
            return
        streams = [*map(_run, runs), ((word, counts[word]) for word in sorted(counts))]
        for word, same in groupby(heapq.merge(*streams), key=itemgetter(0)):
            yield word, sum(n for _, n in same)


def _run(path: Path) -> Iterator[tuple[str, int]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, n = line.split()
            yield word, int(n)


def write_ids(tokens: Path, vocabulary: Vocabulary, out: Path) -> NDArray[np.int32]:
    """The corpus as numbers of words, BREAK after each sentence, in the file `out`, mapped; unknown words are left out.

    They do not keep their place: a window reaches over them, as it does in the reference program.
    """
    number = {word: i for i, word in enumerate(vocabulary.words)}
    piece: list[int] = []
    with tokens.open(encoding="utf-8") as lines, out.open("wb") as file:
        for line in lines:
            piece += [number[w] for w in line.split() if w in number]
            piece.append(BREAK)
            if len(piece) >= _PIECE:
                np.array(piece, dtype=np.int32).tofile(file)
                piece.clear()
        np.array(piece, dtype=np.int32).tofile(file)
    return np.memmap(out, dtype=np.int32, mode="r")
