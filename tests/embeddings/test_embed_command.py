"""`advgen embed` as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest

from advgen.cli.main import main
from advgen.core.checkpoints import read_card
from advgen.embeddings import formats
from advgen.embeddings.corpora.tokens import Tokens

SMALL = ["--dim", "8", "--epochs", "3", "--min-count", "1"]


@pytest.fixture(scope="module")
def trained(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "small.safetensors"
    assert main(["embed", "train", "text", str(tokens.path), "--out", str(out), *SMALL]) == 0
    return out


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> str:
    """What a command prints: its result, or with exit code 2 its one sentence."""
    assert main(["embed", *words]) == code
    out, err = capsys.readouterr()
    if code:
        assert out == ""
        assert len(err.strip().splitlines()) == 1, err
    return err if code else out


def test_the_card_tells_tokeniser_corpus_and_settings(trained: Path) -> None:
    card = read_card(trained)
    assert (card.kind, card.recipe, card.args["dim"]) == ("vectors", "glove", 8)
    assert "IL-6" in card.metrics["tokeniser"]
    assert card.metrics["tokens"] == 24_000
    assert card.metrics["x_max"] == 10
    assert card.metrics["account"]["lost"] == []


@pytest.mark.parametrize("suffix", [".vec", ".bin", ".txt"])
def test_vectors_are_written_in_the_format_of_the_name(suffix: str, tokens: Tokens, trained: Path) -> None:
    out = trained.with_suffix(suffix)
    assert main(["embed", "train", "text", str(tokens.path), "--out", str(out), *SMALL]) == 0
    np.testing.assert_array_equal(formats.load(out).matrix, formats.load(trained).matrix)


def test_evaluation_has_coverage_beside_every_number(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.txt").write_text("w0 w1 9\nw0 w50 2\nw1 w2 8\nw1 w90 1\nw0 zebra 3\n")
    (tmp_path / "questions.txt").write_text(": topics\nw0 w1 w2 w3\nw0 w1 w2 zebra\n")
    (tmp_path / "words.txt").write_text("w0\nzebra\n")
    given = [f"--{k}={tmp_path / v}.txt" for k, v in (("pairs", "pairs"), ("analogies", "questions"))]
    given.append(f"--vocabulary={tmp_path / 'words.txt'}")
    result = json.loads(said(capsys, "evaluate", str(trained), *given, "--json", code=0))[str(trained)]
    similar = result["similarity"]["pairs.txt"]
    assert (similar["n"], similar["pairs"], similar["unknown"]) == (4, 5, ["zebra"])
    assert (result["analogies"]["questions.txt"]["total"]["n"], result["tokens"]) == (1, 24_000)
    assert result["occurrences"]["zebra"] == 0
    text = said(capsys, "evaluate", str(trained), *given, code=0)
    assert "from 24,000 tokens" in text
    assert "4/5" in text
    assert "under 20 occurrences, too few for a claim: zebra" in text


def test_neighbours_and_analogies_are_asked(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "nearest", str(trained), "w0", "-n", "3", "--json", code=0))
    assert len(found["w0"]) == 3
    assert said(capsys, "analogy", str(trained), "w0", "w1", "w2", "-n", "2", code=0).count("w") == 2


def test_a_space_agrees_with_itself(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(said(capsys, "compare", str(trained), str(trained), "--json", code=0))
    assert result["neighbours"] == {"shared": 1.0, "n": 10, "words": 120}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "text", "{tokens}", "--out", "{tmp}/x.pkl"], "--out must end in"),
        (["train", "text", "{tokens}", "--out", "{tmp}/x.vec", "--dim", "0"], "dim must be at least 1, got 0"),
        (["train", "text", "{tmp}/none", "--out", "{tmp}/x.vec"], "no corpus file"),
        (["train", "text", "--out", "{tmp}/x.vec"], "no corpus file was given"),
        (["train", "excerpt", "{tokens}", "--out", "{tmp}/x.vec"], "excerpt takes no files"),
        (["train", "text", "{tokens}", "--out", "{tmp}/x.vec", "--negative", "3"], "--negative is no option of glove"),
        (["evaluate", "{trained}"], "nothing to judge by"),
        (["evaluate", "{trained}", "--pairs", "{tmp}/none"], "there is no file"),
        (["nearest", "{trained}", "zebra"], "unknown word 'zebra'"),
        (["nearest", "{tmp}/none", "w0"], "no file of vectors"),
        (["nearest", "{trained}", "w0", "-n", "0"], "-n"),
        (["wash"], "wash"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, trained: Path, tokens: Tokens, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"{trained}": trained, "{tokens}": tokens.path, "{tmp}": tmp_path}
    for name, place in places.items():
        words = [w.replace(name, str(place)) for w in words]
    assert sentence in said(capsys, *words, code=2)


def test_an_empty_corpus_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    assert main(["embed", "train", "text", str(tmp_path / "empty.txt"), "--out", str(tmp_path / "x.vec")]) == 2
    assert "the corpus is empty: no word was found" in capsys.readouterr().err
    assert main(["embed", "train", "text", str(tmp_path / "empty.txt"), "--out", str(tmp_path / "x.vec")]) == 2


@pytest.mark.parametrize("name", ["train", "evaluate", "nearest", "analogy", "compare"])
def test_help_shows_two_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, name, "--help", code=0)
    assert text.count(f"advgen embed {name}") >= 2
