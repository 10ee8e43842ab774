"""A phrase is the SIF mean of its words, whatever file the vectors come from, and says what it lacks."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from advgen.core import checkpoints, registry
from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.core.specs import Card
from advgen.embeddings import formats
from advgen.embeddings.corpora.text import PlainText
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.corpora.tokens import tokenise
from advgen.embeddings.encoders.phrase import Phrase
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.word2vec import Word2Vec


def _saved(vectors: Vectors, path: Path, rule: str) -> Path:
    formats.save(path, vectors, Card(path.stem, "vectors", "glove", {}, 0, "", "", {"tokeniser": rule}, {}, "MIT"))
    return path


def _sif(vectors: Vectors, words: list[str], a: float) -> np.ndarray:
    """The paper's equation, in double precision, word by word."""
    total = float(vectors.counts.sum())
    mean = np.zeros(vectors.dim)
    for word in words:
        share = float(vectors.counts[vectors.row[word]]) / total
        mean += a / (a + share) * vectors[word].astype(np.float64) / len(words)
    return mean


@pytest.mark.parametrize("a", [1e-4, 1e-3, 0.1, 1e6])
def test_a_phrase_is_the_papers_weighted_mean_of_unit_length(vectors: Vectors, a: float) -> None:
    words = ["a", "person", "with", "red", "hair", "and", "red", "glasses"]
    expected = _sif(vectors, words, a)
    found = Phrase(vectors, a=a).encode([" ".join(words)])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0].numpy(), expected / np.linalg.norm(expected), atol=1e-6)


def test_with_a_large_a_all_words_weigh_the_same(vectors: Vectors) -> None:
    plain = vectors["the"] + vectors["hat"]
    found = Phrase(vectors, a=1e9).encode(["the hat"])[0].numpy()
    np.testing.assert_allclose(found, plain / np.linalg.norm(plain), atol=1e-5)


def test_a_frequent_word_hardly_moves_a_phrase(vectors: Vectors) -> None:
    encoder = Phrase(vectors, a=1e-4)
    one, other = encoder.encode(["hat", "the hat"])
    assert float(one @ other) > 0.97
    plain = Phrase(vectors, a=1e9).encode(["hat", "the hat"])
    assert float(plain[0] @ plain[1]) < 0.9


def test_the_common_component_is_the_first_singular_vector_and_leaves_nothing_along_it(vectors: Vectors) -> None:
    phrases = ["a person with red hair", "an old man", "a smiling woman with glasses", "the round hat"]
    means = np.stack([_sif(vectors, [w for w in p.split() if w in vectors], 1e-3) for p in phrases])
    values, axes = np.linalg.eigh(means.T @ means)  # another way to the first right singular vector
    axis = axes[:, values.argmax()]
    found = Phrase(vectors, common=phrases).encode([*phrases, "black hat"]).double().numpy()
    np.testing.assert_allclose(found @ axis, 0, atol=1e-6)
    mean = _sif(vectors, ["black", "hat"], 1e-3)
    rest = mean - axis * (axis @ mean)
    np.testing.assert_allclose(found[-1], rest / np.linalg.norm(rest), atol=1e-6)


def test_phrases_to_fit_on_may_stand_in_a_file(vectors: Vectors, tmp_path: Path) -> None:
    phrases = ["red hair", "black hat", "old man"]
    (tmp_path / "phrases.txt").write_text("red hair\n\nblack hat\n  old man \n")
    file, memory = Phrase(vectors, common=str(tmp_path / "phrases.txt")), Phrase(vectors, common=phrases)
    assert torch.equal(file.encode(["a woman"]), memory.encode(["a woman"]))
    assert file.hash == memory.hash


def test_a_row_does_not_depend_on_its_batch(vectors: Vectors) -> None:
    encoder = Phrase(vectors, common=["red hair", "black hat"])
    texts = ["a person with red hair", "hat", "old man, smiling"]
    whole = encoder.encode(texts)
    assert torch.equal(encoder.encode(texts[::-1]), whole.flip(0))
    assert torch.equal(torch.cat([encoder.encode([t]) for t in texts]), whole)
    assert encoder.encode([]).shape == (0, 12)


def test_words_without_a_vector_are_named_and_left_out(vectors: Vectors) -> None:
    encoder = Phrase(vectors)
    assert encoder.unknown("a Person with crimson hair and crimson moustache") == ("crimson", "moustache")
    assert torch.equal(*encoder.encode(["red hair", "crimson red zebra hair"]))


def test_words_that_hardly_occur_are_named(vectors: Vectors) -> None:
    assert Phrase(vectors).rare("the il-6 of a woman", under=600) == ("il-6", "woman")
    assert Phrase(Vectors(vectors.words, vectors.matrix)).rare("the il-6", under=600) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "the text '' is empty"), ("  ?! ", "is empty"), ("zebra crossing", "none of the words of 'zebra crossing'")],
)
def test_a_text_that_cannot_be_encoded_is_refused_in_a_sentence(vectors: Vectors, text: str, said: str) -> None:
    with pytest.raises(BadArgument, match=said) as error:
        Phrase(vectors).encode(["red hair", text])
    assert "\n" not in str(error.value)


def test_what_cannot_be_is_refused(vectors: Vectors, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="a of the phrase encoder must be above 0"):
        Phrase(vectors, a=0)
    with pytest.raises(BadArgument, match="a list of texts was expected, got one text"):
        Phrase(vectors).encode("red hair")  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="two phrases or more"):
        Phrase(vectors, common=["red hair"]).encode(["hat"])
    with pytest.raises(BadArgument, match="hold nothing but the common component"):
        Phrase(vectors, common=["hat", "hat"]).encode(["hat"])
    with pytest.raises(MissingFile, match="no file"):
        Phrase(str(tmp_path / "none.safetensors")).encode(["hat"])
    with pytest.raises(MissingFile, match="embed train"):
        Phrase("no_such_vectors").encode(["hat"])


def test_mapped_vectors_are_searched_for_nan_where_a_phrase_meets_them(vectors: Vectors, tmp_path: Path) -> None:
    moved = vectors.matrix.copy()
    path = _saved(vectors, tmp_path / "v.safetensors", Tokeniser().rule)
    moved[vectors.row["hat"], 0] = np.nan
    card = checkpoints.read_card(path)
    tensors = {**checkpoints.load_tensors(path), "matrix": torch.from_numpy(moved)}
    checkpoints.save(path, tensors, card)
    encoder = Phrase(formats.load(path, mapped=True))
    torch.testing.assert_close(encoder.encode(["red hair"]), Phrase(vectors).encode(["red hair"]))
    with pytest.raises(BadFile, match="the vectors of 'a red hat' hold NaN"):
        encoder.encode(["a red hat"])


def test_the_rule_stored_with_the_model_cuts_the_text(vectors: Vectors, tmp_path: Path) -> None:
    kept = Vectors(("Hat", "hat", "red"), vectors.matrix[:3], vectors.counts[:3])
    cased = Phrase(str(_saved(kept, tmp_path / "cased.safetensors", Tokeniser(lowercase=False).rule)))
    lower = Phrase(str(_saved(kept, tmp_path / "lower.safetensors", Tokeniser().rule)))
    assert cased.unknown("Red Hat") == ("Red",)
    assert lower.unknown("Red Hat") == ()
    assert not torch.equal(cased.encode(["Hat"]), lower.encode(["Hat"]))
    assert "the rule stored with them" in cased.came_from
    other = Phrase(str(_saved(kept, tmp_path / "other.safetensors", "split at spaces")))
    assert "of another version, is not known here" in other.came_from
    assert Phrase(vectors).unknown("IL-6 don't") == ()


def test_without_counts_zipfs_law_by_rank_weighs_and_is_said(vectors: Vectors, tmp_path: Path) -> None:
    formats.export(tmp_path / "v.vec", vectors, "word2vec-text")
    encoder = Phrase(str(tmp_path / "v.vec"))
    shares = 1 / np.arange(1, len(vectors) + 1)
    ranked = Vectors(vectors.words, vectors.matrix, np.round(1e12 * shares).astype(np.int64))
    torch.testing.assert_close(encoder.encode(["the red hat"]), Phrase(ranked).encode(["the red hat"]))
    assert "counts are not known, so Zipf's law by rank" in encoder.came_from
    assert "weighted by their counts" in Phrase(ranked).came_from


def test_the_hash_is_of_the_content(vectors: Vectors, tmp_path: Path) -> None:
    file = Phrase(str(_saved(vectors, tmp_path / "one.safetensors", Tokeniser().rule)))
    assert file.hash == Phrase(vectors).hash
    moved = vectors.matrix.copy()
    moved[3, 3] += 1e-6
    others = [
        Phrase(vectors, a=1e-4),
        Phrase(vectors, common=["red hair", "hat"]),
        Phrase(vectors, most_frequent=10),
        Phrase(Vectors(vectors.words, moved, vectors.counts)),
        Phrase(Vectors(vectors.words, vectors.matrix)),
    ]
    assert len({file.hash, *(other.hash for other in others)}) == 6


def test_another_process_gives_the_same_bits(vectors: Vectors, tmp_path: Path) -> None:
    path = _saved(vectors, tmp_path / "v.safetensors", Tokeniser().rule)
    text = "a smiling person with red hair"
    code = (
        "from advgen.core import registry; "
        f"e = registry.create('encoders', 'phrase', vectors={str(path)!r}); "
        f"print(e.hash, e.encode([{text!r}]).numpy().tobytes().hex())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    here = registry.create("encoders", "phrase", vectors=str(path))
    assert done.stdout.split() == [here.hash, here.encode([text]).numpy().tobytes().hex()]


def test_arguments_may_be_text_as_a_command_gives_them(vectors: Vectors, tmp_path: Path) -> None:
    path = _saved(vectors, tmp_path / "v.safetensors", Tokeniser().rule)
    (tmp_path / "phrases.txt").write_text("red hair\nblack hat\n")
    given = {"vectors": str(path), "a": "1e-2", "common": str(tmp_path / "phrases.txt"), "most_frequent": "15"}
    built = registry.create("encoders", "phrase", **given)
    expected = Phrase(str(path), a=0.01, common=["red hair", "black hat"], most_frequent=15)
    assert built.hash == expected.hash


def test_on_real_text_the_weights_set_phrases_of_one_topic_apart(shared_data: Path, tmp_path: Path) -> None:
    corpus = PlainText([shared_data / "text" / "pubmed" / "pubmedqa_labeled.txt.xz"])
    vectors = Word2Vec(dim=50).train(tokenise(corpus, Tokeniser(), tmp_path))
    ones = ["renal failure of the kidney", "carcinoma of the breast in women", "an operation by laparoscopic surgery"]
    others = ["dialysis", "mammography and breast cancer", "laparoscopic procedures"]

    def apart(a: float) -> float:
        encoder = Phrase(vectors, a=a)
        assert not any(encoder.unknown(text) for text in (*ones, *others))
        cosines = encoder.encode(ones) @ encoder.encode(others).T
        assert cosines.argmax(1).tolist() == [0, 1, 2]
        return float(cosines.diag().mean() - cosines.mean())

    assert apart(1e-3) > apart(1e9) + 0.02
