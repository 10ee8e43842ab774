"""What is known of how often a word occurs, and no more than that."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from advgen.core.errors import BadFile, MissingFile
from advgen.embeddings import coverage
from advgen.embeddings.coverage import Occurrences
from advgen.embeddings.vectors import Vectors

VECTORS = Vectors(("the", "cat", "hat"), np.eye(3, dtype=np.float32), np.array([900, 20, 5]))


def test_a_word_below_the_vocabularys_limit_is_told_as_under_it() -> None:
    found = coverage.in_vectors(VECTORS, ["The", "cat", "dog"], least=5)
    assert found == {"The": Occurrences(900), "cat": Occurrences(20), "dog": Occurrences(None, 5)}
    assert [str(f) for f in found.values()] == ["900", "20", "under 5"]
    assert [f.below(20) for f in found.values()] == [False, False, True]


def test_a_vocabulary_that_was_cut_shorter_says_no_more_than_its_rarest_word() -> None:
    (cut,) = coverage.in_vectors(VECTORS.most_frequent(2), ["dog"]).values()
    assert (cut, cut.below(20), str(cut)) == (Occurrences(None, 21), False, "under 21")


def test_a_vocabulary_of_every_word_knows_what_never_occurs() -> None:
    every = Vectors(("the", "cat"), np.eye(2, dtype=np.float32), np.array([9, 1]))
    assert coverage.in_vectors(every, ["dog"], least=1) == {"dog": Occurrences(0)}


def test_without_counts_nothing_is_known() -> None:
    (found,) = coverage.in_vectors(Vectors(("the",), np.ones((1, 2), np.float32)), ["dog"]).values()
    assert (str(found), found.below(20)) == ("not kept", False)


def test_tokens_are_counted_exactly(tmp_path: Path) -> None:
    path = tmp_path / "tokens.gz"
    path.write_bytes(gzip.compress("the cat the\n\nhät IL-6 il-6\n".encode()))
    found = coverage.in_tokens(path, ["the", "Cat", "hät", "IL-6", "dog"])
    assert [f.count for f in found.values()] == [2, 1, 1, 1, 0]


def test_tokens_that_cannot_be_counted_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no file of tokens"):
        coverage.in_tokens(tmp_path / "none", ["the"])
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(BadFile, match="holds no word"):
        coverage.in_tokens(tmp_path / "empty", ["the"])
    (tmp_path / "cut.gz").write_bytes(gzip.compress(bytes(range(256)) * 300)[:-50])
    with pytest.raises(BadFile, match="cut off"):
        coverage.in_tokens(tmp_path / "cut.gz", ["the"])
