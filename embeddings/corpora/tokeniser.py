"""The rule that cuts text into words. Digits stay: `IL-6` is one word, and so are `HbA1c`, `COVID-19` and `3.5`."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

RULE = (
    "NFC{case}; a word is a run of letters, digits and combining marks; it goes on over a hyphen that touches a digit "
    "(IL-6, COVID-19, 5-HT), over a point or comma between digits (3.5, 1,000) and over an apostrophe between letters "
    "(don't) but for that of a final s (Darwin's is darwin and s); everything else separates words and is dropped"
)


@dataclass(frozen=True)
class Tokeniser:
    """Text to words."""

    lowercase: bool = True

    @property
    def rule(self) -> str:
        """The rule in words, as it is stored with a model."""
        return RULE.format(case=", lower case" if self.lowercase else "")

    def words(self, text: str) -> list[str]:
        """The words of `text`, in order."""
        text = unicodedata.normalize("NFC", text).replace("\u2019", "'").replace("\u2010", "-").replace("\u2011", "-")
        return _pattern().findall(text.lower() if self.lowercase else text)


@cache
def _pattern() -> re.Pattern[str]:
    # Python's \w leaves out combining marks, which are vowels in Indic scripts.
    marks = [c for c in range(0x300, 0x10000) if unicodedata.category(chr(c)) in ("Mn", "Mc")]
    ranges = "".join(f"{chr(first)}-{chr(last)}" for first, last in _ranges(marks))
    run = rf"(?:[^\W_]|[{ranges}])+"
    joined = r"(?:(?<=\d)-|-(?=\d))|(?<=\d)[.,](?=\d)|(?<=[^\W\d_])'(?![sS]\b)(?=[^\W\d_])"
    return re.compile(rf"{run}(?:(?:{joined}){run})*")


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Sorted numbers as closed ranges."""
    ranges: list[tuple[int, int]] = []
    for n in numbers:
        if ranges and ranges[-1][1] == n - 1:
            ranges[-1] = (ranges[-1][0], n)
        else:
            ranges.append((n, n))
    return ranges
