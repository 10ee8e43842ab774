"""Vectors, their files, and their judging, against gensim and scipy where these do the same."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from scipy.stats import spearmanr

from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.specs import Card
from advgen.embeddings import formats, judging, wordsets
from advgen.embeddings.corpora.tokens import Tokens
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.word2vec import Word2Vec

CARD = Card("v", "vectors", "glove", {}, 0, "hash", "", {}, {}, "MIT")


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    rng = np.random.default_rng(0)
    words = tuple(f"word{i}" for i in range(60))
    return Vectors(words, rng.normal(size=(60, 8)).astype(np.float32), np.arange(60, 0, -1))


@pytest.fixture(scope="module")
def peer(vectors: Vectors) -> KeyedVectors:
    keyed = KeyedVectors(vectors.dim)
    keyed.add_vectors(list(vectors.words), vectors.matrix)
    return keyed


def test_neighbours_are_gensims(vectors: Vectors, peer: KeyedVectors) -> None:
    ours, theirs = vectors.nearest("word3", 5), peer.most_similar("word3", topn=5)
    assert [n.word for n in ours] == [w for w, _ in theirs]
    np.testing.assert_allclose([n.score for n in ours], [s for _, s in theirs], rtol=1e-5)


def test_3cosadd_is_gensims(vectors: Vectors, peer: KeyedVectors) -> None:
    for a, b, c in (("word1", "word2", "word3"), ("word10", "word20", "word30")):
        ours = vectors.analogy(a, b, c, n=4)
        theirs = peer.most_similar(positive=[b, c], negative=[a], topn=4)
        assert [n.word for n in ours] == [w for w, _ in theirs]
        assert not {n.word for n in ours} & {a, b, c}


def test_3cosmul_is_the_papers_ratio(vectors: Vectors) -> None:
    best = vectors.analogy("word1", "word2", "word3", n=57, method="3CosMul")
    assert [n.score for n in best] == sorted((n.score for n in best), reverse=True)
    for word, score in best:
        a, b, c = ((1 + vectors.similarity(w, word)) / 2 for w in ("word1", "word2", "word3"))
        assert score == pytest.approx(b * c / (a + 0.001), rel=1e-4)


def test_gensim_answers_over_the_same_numbers(vectors: Vectors, peer: KeyedVectors) -> None:
    keyed = vectors.to_gensim()
    assert np.shares_memory(keyed.vectors, vectors.matrix)
    assert keyed.most_similar("word3", topn=5) == peer.most_similar("word3", topn=5)
    assert keyed.get_vecattr("word3", "count") == 57


def test_an_unknown_word_is_refused_with_the_nearest(vectors: Vectors) -> None:
    with pytest.raises(UnknownName, match="'wrod3': did you mean 'word3'"):
        vectors.nearest("wrod3")


def test_vectors_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadArgument, match="'a' stands twice"):
        Vectors(("a", "a"), np.ones((2, 2), np.float32))
    with pytest.raises(BadArgument, match="vector of 'b' holds NaN"):
        Vectors(("a", "b"), np.array([[1, 2], [np.nan, 1]], np.float32))


@pytest.mark.parametrize("format", ["word2vec-text", "word2vec-binary", "glove"])
def test_files_go_there_and_back_to_the_bit(format: formats.Format, vectors: Vectors, tmp_path: Path) -> None:
    formats.export(tmp_path / "v", vectors, format)
    back = formats.load(tmp_path / "v")
    assert back.words == vectors.words
    assert back.matrix.tobytes() == vectors.matrix.tobytes()
    assert formats.load(tmp_path / "v", most_frequent=7).words == vectors.words[:7]


def test_a_word_that_would_break_its_file_is_not_written(tmp_path: Path) -> None:
    def of(word: str) -> Vectors:
        return Vectors((word,), np.ones((1, 2), np.float32))

    with pytest.raises(BadArgument, match="'new york' holds what separates words"):
        formats.export(tmp_path / "v.vec", of("new york"), "glove")
    with pytest.raises(BadArgument, match="holds what separates words"):
        formats.save(tmp_path / "v.safetensors", of("a\nb"), CARD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("binary", [False, True])
def test_gensims_files_are_read_and_ours_by_gensim(
    binary: bool, vectors: Vectors, peer: KeyedVectors, tmp_path: Path
) -> None:
    peer.save_word2vec_format(str(tmp_path / "theirs"), binary=binary)
    np.testing.assert_allclose(formats.load(tmp_path / "theirs").matrix, vectors.matrix, rtol=1e-6)
    formats.export(tmp_path / "ours", vectors, "word2vec-binary" if binary else "word2vec-text")
    read = KeyedVectors.load_word2vec_format(str(tmp_path / "ours"), binary=binary)
    np.testing.assert_array_equal(read.vectors, vectors.matrix)


def test_our_file_keeps_counts_and_notices_damage(vectors: Vectors, tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    formats.save(path, vectors, CARD)
    back = formats.load(path)
    assert (back.words, back.counts.tolist()) == (vectors.words, vectors.counts.tolist())  # type: ignore[union-attr]
    assert back.matrix.tobytes() == vectors.matrix.tobytes()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadFile, match="damaged or replaced"):
        formats.load(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"3 2\na 1 2\nb 3 4\n", "header says 3 words, the file holds 2"),
        (b"2 2\na 1 2\nnew york 3 4\n", "line 3: 3 numbers after the word 'new'.*no space"),
        (b"2 2\nnew york 1 2\nb 3 4\n", "line 2: 3 numbers after the word 'new'.*no space"),
        (b"a 1 2\nb 3\n", "line 2: 1 numbers after the word 'b', expected 2 as in the first line"),
        (b"a 1 2\nb 3 x\n", "line 2: could not convert"),
        (b"a 1 2\nb nan 1\n", "vector of 'b' holds NaN"),
        (b"a 1 2\na 3 4\n", "'a' stands twice"),
        (b"2 0\na\nb\n", "dimension 0"),
        (b"9 4\na \x00\x01\x02\xff", "header says 9 words of 4 numbers; it has"),
        (pickle.dumps([1, 2, 3]), "is a pickle"),
    ],
)
def test_a_bad_file_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.vec"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=sentence):
        formats.load(path)
    with pytest.raises(MissingFile):
        formats.load(tmp_path / "none")


def test_similarity_is_spearmans_rho_over_known_pairs(vectors: Vectors) -> None:
    rng = np.random.default_rng(1)
    pairs = [wordsets.Pair(f"word{a}", f"Word{b}", float(s)) for a, b, s in rng.integers(0, 60, (40, 3))]
    result = judging.similarity(vectors, [*pairs, wordsets.Pair("word1", "zebra", 3.0)])
    expected = spearmanr([vectors.similarity(p.one, p.other.lower()) for p in pairs], [p.score for p in pairs])
    assert result.spearman == pytest.approx(expected.statistic)
    assert (result.n, result.pairs, result.unknown) == (40, 41, ("zebra",))
    assert result.left_out == (("word1", "zebra"),)
    assert result.low < result.spearman < result.high  # type: ignore[operator]


def test_similarity_of_too_few_known_pairs_is_empty(vectors: Vectors) -> None:
    result = judging.similarity(vectors, [wordsets.Pair("x", "y", 1.0)] * 5)
    assert (result.spearman, result.n, result.pairs) == (None, 0, 5)


def test_a_term_of_several_words_is_known_when_all_are(vectors: Vectors) -> None:
    pairs = [wordsets.Pair("word1 word2", f"word{k}", float(k)) for k in range(5)]
    assert judging.similarity(vectors, pairs).n == 5
    assert judging.similarity(vectors, [p._replace(one="word1 zebra") for p in pairs]).n == 0


def test_analogies_are_counted_by_section(tmp_path: Path) -> None:
    """Vectors whose offsets are exact answer every question; a section of unknown words has no accuracy."""
    grid = {f"{a}{b}": [a == "x", a == "y", b == "1", b == "2", b == "3"] for a in "xy" for b in "123"}
    vectors = Vectors(tuple(grid), np.array(list(grid.values()), dtype=np.float32))
    path = tmp_path / "questions.txt"
    path.write_text(": rows\nx1 y1 x2 y2\nx1 y1 X3 y3\nx1 x2 y1 y3\n: none\na b c d\n")
    result = judging.analogies(vectors, wordsets.read_analogies(path))
    assert [(s.name, s.right, s.n, s.questions) for s in result.sections] == [("rows", 2, 3, 3), ("none", 0, 0, 1)]
    assert result.sections[1].accuracy is None
    assert (result.total.right, result.total.n) == (2, 3)
    assert result.unknown == ("a", "b", "c", "d")


def test_every_shipped_pair_list_is_read(shared_data: Path) -> None:
    sets = shared_data / "text" / "wordsets"
    sizes = {
        p.name: len(wordsets.read_pairs(p))
        for p in [
            *sets.glob("general/EN-*.txt"), sets / "general" / "wordsim353.tsv", sets / "general" / "simlex999.txt",
            sets / "biomedical" / "UMNSRS-sim.txt", sets / "biomedical" / "UMNSRS_similarity.csv",
            sets / "biomedical" / "MayoSRS.txt", sets / "biomedical" / "Bio-SimLex.txt",
        ]
    }  # fmt: skip
    assert (sizes["EN-WS-353-ALL.txt"], sizes["wordsim353.tsv"], sizes["simlex999.txt"]) == (353, 353, 999)
    assert (sizes["EN-MEN-TR-3k.txt"], sizes["UMNSRS-sim.txt"], sizes["UMNSRS_similarity.csv"]) == (3000, 566, 566)
    assert (sizes["MayoSRS.txt"], sizes["Bio-SimLex.txt"]) == (101, 988)
    sections = wordsets.read_analogies(sets / "general" / "questions-words.txt")
    assert (len(sections), sum(map(len, sections.values()))) == (14, 19544)


@pytest.mark.parametrize(
    "method",
    [
        Word2Vec(dim=10, min_count=1, epochs=8),
        Word2Vec(architecture="cbow", dim=10, min_count=1, epochs=8, rate=0.1),
        Word2Vec(negative=0, hierarchical=True, dim=10, min_count=1, epochs=8),
    ],
)
def test_word2vec_learns_topics_and_repeats_itself(method: Word2Vec, tokens: Tokens) -> None:
    one, two = method.train(tokens), method.train(tokens)
    assert one.matrix.tobytes() == two.matrix.tobytes()
    assert sum(int(n.word[1:]) < 40 for n in one.nearest("w0", 10)) >= 9


def test_word2vec_refuses_what_cannot_train() -> None:
    with pytest.raises(BadArgument, match="negative samples"):
        Word2Vec(negative=0)
    with pytest.raises(BadArgument, match="dim must be at least 1"):
        Word2Vec(dim=0)
