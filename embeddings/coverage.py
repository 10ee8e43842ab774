"""How often words occur in a corpus: what may be claimed about them rests on it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from advgen.core.errors import BadFile, MissingFile
from advgen.embeddings.corpora.source import Account, opened
from advgen.embeddings.vectors import Vectors


class Occurrences(NamedTuple):
    """Of one word in one corpus; a word is looked for as it is written, else in lower case."""

    count: int | None  # None: not known
    under: int | None = None  # where the count is not known, what it lies below

    def __str__(self) -> str:
        if self.count is not None:
            return f"{self.count:,}"
        return "not kept" if self.under is None else f"under {self.under:,}"

    def below(self, number: int) -> bool:
        """Whether the word occurs fewer than `number` times, for all that is known; False where nothing is."""
        return (self.count is not None and self.count < number) or (self.under is not None and self.under <= number)


def in_vectors(vectors: Vectors, words: Sequence[str], *, least: int | None = None) -> dict[str, Occurrences]:
    """What vectors tell of the corpus they come from.

    `least` is how often a word had to occur to get a vector, where that alone decided; without it, all that is known of
    a word that has none is that it is no more frequent than the rarest that has one.
    """
    if vectors.counts is None:
        return dict.fromkeys(words, Occurrences(None))
    under = int(vectors.counts.min()) + 1 if least is None else least
    absent = Occurrences(0) if under == 1 else Occurrences(None, under)
    rows = {word: vectors.row.get(word, vectors.row.get(word.lower())) for word in words}
    return {word: absent if row is None else Occurrences(int(vectors.counts[row])) for word, row in rows.items()}


def in_tokens(path: Path, words: Sequence[str]) -> dict[str, Occurrences]:
    """Counted in a file of words apart by spaces, plain or compressed.

    Raises:
        MissingFile: there is no such file.
        BadFile: it is damaged, or holds no word.
    """
    if not path.is_file():
        raise MissingFile(f"there is no file of tokens {str(path)!r}.")
    wanted = {form.encode() for word in words for form in (word, word.lower())}
    counts: Counter[bytes] = Counter()
    account, total = Account(), 0
    with opened(path, account) as lines:
        for line in lines:
            found = line.split()
            total += len(found)
            counts.update(word for word in found if word in wanted)
    if account.lost or not total:
        raise BadFile(f"{path} {account.lost[0].what if account.lost else 'holds no word'}; tokens were expected.")
    return {word: Occurrences(counts[word.encode()] or counts[word.lower().encode()]) for word in words}
