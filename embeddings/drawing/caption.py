"""What is written under a drawing: how it was made and what share of the truth it keeps."""

from collections.abc import Sequence
from typing import NamedTuple

from advgen.embeddings.drawing.maps import WordMap


class Drawing(NamedTuple):
    """All that a picture or a page shows."""

    map: WordMap
    title: str
    source: str  # which vectors, of how many tokens
    groups: Sequence[int] = ()  # (N,) of each word, as a number of `names`; none = all alike
    names: Sequence[str] = ()
    counts: Sequence[int] = ()  # (N,) occurrences of each word in the corpus, where they are known
    arrows: Sequence[tuple[int, int]] = ()  # numbers of words, from and to
    first: Sequence[int] = ()  # words that are labelled before the others
    note: str = ""  # a further sentence

    @property
    def caption(self) -> str:
        """Two or three sentences."""
        n, drawn = self.map.near.shape[1], len(self.map.words)
        kept = (
            f"Of each word's {n} nearest by cosine among the {drawn:,} drawn, {_percent(self.map.share)} are also "
            f"among its {n} nearest here (random places: {_percent(self.map.chance)})."
        )
        return " ".join(filter(None, (f"{self.source}; {self.map.method}.", kept, self.note)))


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"
