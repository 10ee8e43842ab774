"""The vocabulary is exact, whatever the memory."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from advgen.core.errors import BadArgument
from advgen.embeddings import vocabulary
from advgen.embeddings.vocabulary import count_words


@pytest.mark.parametrize("held", [1, 7, 1000])
@pytest.mark.parametrize("max_words", [None, 25])
def test_counts_are_exact_whatever_is_held(
    held: int, max_words: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "HELD", held)
    drawn = np.random.default_rng(0).zipf(1.5, size=2000) % 300
    words = [f"wörd{n}" for n in drawn]
    file = tmp_path / "tokens"
    file.write_text("".join(" ".join(words[k : k + 20]) + "\n" for k in range(0, 2000, 20)), encoding="utf-8")
    expected = sorted(((-n, w) for w, n in Counter(words).items() if n >= 2))[:max_words]
    found = count_words(file, min_count=2, max_words=max_words)
    assert list(zip((-found.counts).tolist(), found.words)) == expected
    assert [p.name for p in tmp_path.iterdir()] == ["tokens"]


def test_named_words_stay_beside_the_most_frequent(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("a a a a b b b c c d d e\n")
    found = count_words(tmp_path / "tokens", min_count=2, max_words=2, keep=("d", "a", "e", "z"))
    assert list(zip(found.words, found.counts.tolist())) == [("a", 4), ("b", 3), ("d", 2)]


def test_a_count_that_leaves_nothing_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("a a a b\n")
    with pytest.raises(BadArgument, match=r"min_count 9 leaves no word of 2 .* occurs 3 times, give --min-count 1 or"):
        count_words(tmp_path / "tokens", min_count=9)


def test_the_same_words_are_counted_in_less_memory(tmp_path):
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("".join(f"w{k % 30_000} w{k % 7} \n" for k in range(60_000)), encoding="utf-8")
    whole = count_words(tokens, min_count=1)
    bounded = count_words(tokens, min_count=1, memory_bytes=1 << 24)  # 10,485 words at once
    assert bounded.words == whole.words
    assert bounded.counts.tolist() == whole.counts.tolist()
    assert len(whole.words) == 30_000
