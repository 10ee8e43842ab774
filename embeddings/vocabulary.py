"""Which words a model knows, by falling frequency, and a tokenised corpus as their numbers."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument

BREAK = -1  # stands between sentences in a file of ids
_PIECE = 1 << 20


class Vocabulary(NamedTuple):
    """Words and how often they occur in the corpus, most frequent first; equal counts in alphabetical order."""

    words: tuple[str, ...]
    counts: NDArray[np.int64]


def count_words(tokens: Path, *, min_count: int = 5, max_words: int | None = None) -> Vocabulary:
    """The words of a file of tokens that occur at least `min_count` times, at most `max_words` of them.

    Raises:
        BadArgument: no word is left.
    """
    if min_count < 1:
        raise BadArgument(f"min_count must be at least 1, got {min_count}.")
    counts: Counter[str] = Counter()
    with tokens.open(encoding="utf-8") as lines:
        for line in lines:
            counts.update(line.split())
    kept = sorted(((w, n) for w, n in counts.items() if n >= min_count), key=lambda pair: (-pair[1], pair[0]))
    kept = kept[:max_words]
    if not kept:
        most = max(counts.values(), default=0)
        raise BadArgument(
            f"min_count {min_count} leaves no word of {len(counts):,} in the vocabulary; "
            f"the most frequent one occurs {most:,} times, give --min-count {max(most // 2, 1)} or less."
        )
    return Vocabulary(tuple(w for w, _ in kept), np.array([n for _, n in kept], dtype=np.int64))


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
