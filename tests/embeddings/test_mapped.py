"""Vectors that stay in their file answer as loaded ones do, to the bit, in little memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from advgen.core.errors import BadArgument, BadFile
from advgen.core.specs import Card
from advgen.embeddings import formats, judging
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.wordsets import Pair

CARD = Card("v", "vectors", "glove", {}, 0, "hash", "", {}, {}, "MIT")
SMALLER_BLOCKS = 700 * 4 * 12  # bytes, so that 3,000 words of 12 numbers are five blocks


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> Vectors:
    monkeypatch.setattr("advgen.embeddings.vectors._BLOCK_BYTES", SMALLER_BLOCKS)
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3000, 12)).astype(np.float32)
    return Vectors(tuple(f"word{i}" for i in range(3000)), matrix, np.arange(3000, 0, -1))


@pytest.mark.parametrize("half", [False, True])
def test_mapped_vectors_answer_as_loaded_ones_to_the_bit(half: bool, vectors: Vectors, tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    formats.save(path, vectors, CARD, half=half)
    loaded, mapped = formats.load(path), formats.load(path, mapped=True)
    assert mapped.words == loaded.words
    assert mapped.counts.tolist() == loaded.counts.tolist()  # type: ignore[union-attr]
    assert mapped["word7"].tobytes() == loaded["word7"].tobytes()
    assert mapped.lengths.tobytes() == loaded.lengths.tobytes()
    assert mapped.nearest("word2500", 30) == loaded.nearest("word2500", 30)
    assert mapped.similarity("word1", "word2999") == loaded.similarity("word1", "word2999")
    for method in ("3CosAdd", "3CosMul"):
        asked = np.arange(90).reshape(-1, 3)
        scores = [v.analogy_scores(asked, method=method).tobytes() for v in (loaded, mapped)]  # type: ignore[arg-type]
        assert scores[0] == scores[1]
    pairs = [Pair(f"word{i}", f"word{3 * i}", float(i % 7)) for i in range(1, 200)]
    assert judging.similarity(mapped, pairs) == judging.similarity(loaded, pairs)
    some = mapped.most_frequent(50)
    assert some.nearest("word3") == loaded.most_frequent(50).nearest("word3")
    assert formats.load(path, mapped=True, most_frequent=50).nearest("word3") == some.nearest("word3")


def test_half_the_size_costs_three_digits(vectors: Vectors, tmp_path: Path) -> None:
    formats.save(tmp_path / "whole.safetensors", vectors, CARD)
    formats.save(tmp_path / "half.safetensors", vectors, CARD, half=True)
    back = formats.load(tmp_path / "half.safetensors").matrix
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, vectors.matrix, rtol=2**-11, atol=1e-7)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[1] - sizes[0] == pytest.approx(2 * vectors.matrix.size, abs=64)  # the header's filling
    with pytest.raises(BadArgument, match="does not fit 16 bits"):
        formats.save(tmp_path / "x.safetensors", Vectors(("a",), np.full((1, 1), 1e5, np.float32)), CARD, half=True)


def test_a_nan_in_a_mapped_file_is_named_when_it_is_met(vectors: Vectors, tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    formats.save(path, vectors, CARD)
    data = bytearray(path.read_bytes())
    begin = data.index(vectors.matrix[2000].tobytes())
    data[begin : begin + 4] = np.float32(np.nan).tobytes()
    path.write_bytes(data)
    with pytest.raises(BadArgument, match="vector of 'word2000' holds NaN"):
        formats.load(path, mapped=True).nearest("word1")


def test_what_cannot_be_mapped_is_refused(vectors: Vectors, tmp_path: Path) -> None:
    formats.export(tmp_path / "v.vec", vectors, "word2vec-text")
    with pytest.raises(BadFile, match=r"only \.safetensors can"):
        formats.load(tmp_path / "v.vec", mapped=True)
    path = tmp_path / "v.safetensors"
    formats.save(path, vectors, CARD)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadFile, match="holds no word vectors"):
        formats.load(path, mapped=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its memory from /proc")
def test_memory_does_not_grow_with_the_numbers(tmp_path: Path) -> None:
    """84 MB of numbers: loaded they stand in memory twice (with their unit rows), mapped a block of 8 MB at a time."""
    rng = np.random.default_rng(0)
    big = Vectors(tuple(map(str, range(30_000))), rng.normal(size=(30_000, 700)).astype(np.float32))
    formats.save(tmp_path / "big.safetensors", big, CARD)
    code = """
import json, re, sys
from pathlib import Path
import safetensors
from advgen.embeddings import formats
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3
before = peak()
vectors = formats.load(Path(sys.argv[1]), mapped=sys.argv[2] == "mapped")
near = [n.word for word in ("7", "29999") for n in vectors.nearest(word)]
answer = [n.word for n in vectors.analogy("1", "2", "3")]
print(json.dumps([peak() - before, near, answer]))
"""
    told = {}
    for how in ("loaded", "mapped"):
        argv = [sys.executable, "-c", code, str(tmp_path / "big.safetensors"), how]
        told[how] = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert told["mapped"][1:] == told["loaded"][1:]
    assert told["loaded"][0] > 160
    assert told["mapped"][0] < 50
