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


@pytest.fixture(scope="module")
def seeds(tokens: Tokens, trained: Path) -> list[Path]:
    """Another method's vectors of two seeds and, as if of another corpus, `trained`."""
    paths = [trained.parent / f"seed{k}.safetensors" for k in (0, 1)]
    for k, out in enumerate(paths):
        words = ["embed", "train", "text", str(tokens.path), "--method", "skip-gram", "--seed", str(k)]
        assert main([*words, "--out", str(out), *SMALL]) == 0
    return [*paths, trained]


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> str:
    """What a command prints: its result, or with exit code 2 its one sentence."""
    assert main(["embed", *words]) == code
    out, err = capsys.readouterr()
    if code:
        assert out == ""
        assert [line.startswith("advgen: ") for line in err.splitlines()].count(True) == 1, err
        assert err.splitlines()[-1].startswith("advgen: "), err
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


def test_training_judges_and_draws_in_one_command(
    tokens: Tokens, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keep.txt").write_text("W5\nzebra\n")
    out, page = tmp_path / "half.safetensors", tmp_path / "map.html"
    given = ["--out", str(out), "--half", "--evaluate", "--plot", str(page), "--plot", str(tmp_path / "map.png")]
    given += ["--max-words", "30", "--keep", str(tmp_path / "keep.txt")]
    printed = said(capsys, "train", "text", str(tokens.path), *SMALL, *given, code=0)
    result = json.loads(printed[printed.index("{") :])
    # The vocabulary is of w0 to w119: no word of the sets, which is said and not scored.
    assert result["scores"]["WordSim-353"] == {"value": None, "interval": None, "n": 0, "of": 353}
    assert result["scores"]["Google analogies"] == {"value": None, "n": 0, "of": 19_544}
    vectors, card = formats.load(out), read_card(out)
    assert "w5" in vectors
    assert len(vectors) in (30, 31)
    assert card.args["keep"] == "w5 zebra"
    assert card.metrics["scores"] == result["scores"]
    assert out.stat().st_size < 4 * vectors.matrix.size + 3000
    (tmp_path / "asked.txt").write_text("zebra\n")
    judged = said(capsys, "evaluate", str(out), "--vocabulary", str(tmp_path / "asked.txt"), "--json", code=0)
    # A kept word may be rarer than one that was left out: the count at the limit is what is known.
    assert json.loads(judged)[str(out)]["occurrences"]["zebra"] == {"count": None, "under": vectors.counts[29] + 1}
    assert "from 24,000 tokens" in page.read_text(encoding="utf-8")
    assert (tmp_path / "map.png").stat().st_size > 1000


def test_shipped_vectors_answer_to_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "nearest", "wikipedia_glove", "lipstick", "green", "-n", "3", "--json", code=0))
    assert {len(near) for near in found.values()} == {3}
    assert {"blue", "red", "yellow"} & {n["word"] for n in found["green"]}


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
    assert result["occurrences"]["zebra"] == {"count": 0, "under": None}
    text = said(capsys, "evaluate", str(trained), *given, code=0)
    assert "from 24,000 tokens" in text
    assert "4/5" in text
    assert "under 20 occurrences in small.safetensors, too few for a claim: zebra" in text


def test_neighbours_and_analogies_are_asked(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "nearest", str(trained), "w0", "-n", "3", "--json", code=0))
    assert len(found["w0"]) == 3
    assert said(capsys, "analogy", str(trained), "w0", "w1", "w2", "-n", "2", code=0).count("w") == 2


def test_a_space_agrees_with_itself(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(said(capsys, "compare", str(trained), str(trained), "--json", code=0))
    assert (result["neighbours"]["share"], result["neighbours"]["words"]) == (1, 120)
    assert result["alignment"]["accuracy"][0]["share"] == 1
    assert result["shift"] is None
    assert "no shift is claimed" in said(capsys, "compare", str(trained), str(trained), code=0)


def test_seeds_of_one_corpus_are_the_floor_of_a_comparison(
    seeds: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.txt").write_text("w0 w1 9\nw0 w50 2\nw1 w2 8\nw1 w90 1\nw0 zebra 3\n")
    one, again, other = map(str, seeds)
    given = [one, other, "--one-again", again, "--pairs", str(tmp_path / "pairs.txt"), "--shift-neighbours", "10"]
    result = json.loads(said(capsys, "compare", *given, "--json", code=0))
    assert [f["of"] for f in result["floors"]] == [Path(one).name]
    assert len(result["shift"]["shifts"]) == 120
    assert result["similarity"]["pairs.txt"]["difference"]["n"] == 4
    text = said(capsys, "compare", *given, code=0)
    assert "held-out words" in text
    assert f"{Path(one).name} trained again" in text
    assert "of 120 words (noise alone: at most 1)" in text
    assert "4/5" in text


def test_two_languages_are_aligned_by_their_translations(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("\n".join(f"w{i} w{i}" for i in range(60)) + "\nzebra w1\n")
    given = [str(trained), str(trained), "--translations", str(tmp_path / "words.txt")]
    result = json.loads(said(capsys, "compare", *given, "--json", code=0))
    assert (result["alignment"]["accuracy"][0]["share"], result["unknown"]) == (1, ["zebra"])
    assert "1: zebra" in said(capsys, "compare", *given, code=0)


def test_words_are_counted_in_each_corpus_and_the_rare_ones_named(
    tokens: Tokens, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("w0\nW1\nzebra\n")
    (tmp_path / "other.txt").write_text("zebra w0 zebra\n" * 10)
    given = ["--vocabulary", str(tmp_path / "words.txt"), "--tokens", str(tokens.path)]
    given += ["--tokens", str(tmp_path / "other.txt")]
    result = json.loads(said(capsys, "evaluate", str(trained), *given, "--json", code=0))
    exact = result[str(tokens.path)]["occurrences"]
    assert result[str(trained)]["occurrences"] == exact
    assert exact["W1"]["count"] == tokens.path.read_text().split().count("w1")
    assert result[str(tmp_path / "other.txt")]["occurrences"]["zebra"]["count"] == 20
    text = said(capsys, "evaluate", str(trained), *given, code=0)
    assert "under 20 occurrences in other.txt, too few for a claim: w0, W1" in text
    assert f"under 20 occurrences in {trained.name}, too few for a claim: zebra" in text


def test_vectors_are_converted_there_and_back(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, back, half = tmp_path / "v.txt", tmp_path / "back.safetensors", tmp_path / "half.safetensors"
    said(capsys, "convert", str(trained), str(text), code=0)
    said(capsys, "convert", str(text), str(back), code=0)
    said(capsys, "convert", str(trained), str(half), "--half", "--most-frequent", "50", code=0)
    assert formats.load(back, mapped=True).matrix.tobytes() == formats.load(trained).matrix.tobytes()
    assert (read_card(back).recipe, read_card(back).args) == ("converted", {"from": "v.txt"})
    kept = read_card(half)
    assert (kept.recipe, kept.metrics["tokens"], kept.metrics["words"]) == ("glove", 24_000, 50)
    assert half.stat().st_size < trained.stat().st_size / 2


def test_words_are_drawn_as_pictures_and_as_a_page(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text(": a\nw0\nW1\nzebra\n: b\n" + "\n".join(f"w{i}" for i in range(40, 60)))
    (tmp_path / "asked.txt").write_text("w0 w1 w2 w3\nw0 w1 zebra w5\n")
    ways = {
        "most": ["--frequent", "60", "--skip", "10", "--mapped"],
        "words": ["--words", str(tmp_path / "words.txt"), "--method", "pca"],
        "around": ["--around", "w0", "--around", "w50", "--each", "12", "--theme", "dark", "--title", "Two"],
        "pairs": ["--analogies", str(tmp_path / "asked.txt")],
        "arrows": ["--analogy", "w0", "w1", "w2", "w3"],
    }
    told = {}
    for name, given in ways.items():
        outs = [tmp_path / f"{name}.{suffix}" for suffix in ("png", "svg", "html")]
        assert main(["embed", "plot", str(trained), *given, *(a for o in outs for a in ("--out", str(o)))]) == 0
        out, told[name] = capsys.readouterr()
        assert out.split() == list(map(str, outs))
        assert all(path.stat().st_size > 2000 for path in outs)
        assert "120 words, from 24,000 tokens; " in told[name]
        assert "nearest here (random places: " in told[name]
    assert "left out, as they have no vector: 1: zebra" in told["words"]
    assert "1 asked words have no vector" in told["words"]
    assert "left out, as they have no vector: 1: zebra" in told["pairs"]
    assert "of 2 analogies between these pairs" in told["arrows"]
    assert "<h1>Two</h1>" in (tmp_path / "around.html").read_text()


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
        (["nearest", "{tokens}", "w0", "--mapped"], "only .safetensors can"),
        (["evaluate", "--vocabulary", "{tokens}"], "no file of vectors"),
        (["evaluate", "{trained}", "--pairs", "{tokens}", "--tokens", "{tokens}"], "name them by --vocabulary"),
        (["evaluate", "{trained}", "--vocabulary", "{word}", "--tokens", "{tmp}/none"], "no file of tokens"),
        (["compare", "{trained}", "{trained}", "--translations", "{tokens}"], "line 1: 20 words"),
        (["compare", "{trained}", "{trained}", "--one-again", "{trained}"], "hold the same vectors"),
        (["compare", "{trained}", "{trained}", "-n", "500"], "share 120 words; more than 500 are needed"),
        (["convert", "{trained}", "{tmp}/x.npy"], "OUT must end in"),
        (["convert", "{trained}", "{tmp}/x.vec", "--half"], "--half belongs to .safetensors"),
        (["plot", "{trained}", "--out", "{tmp}/x.pdf"], "must end in .html, .png or .svg"),
        (["train", "excerpt", "--out", "{tmp}/x.bin", "--half"], "--half belongs to .safetensors"),
        (["train", "excerpt", "--out", "{tmp}/x.bin", "--plot", "{tmp}/x.pdf"], "must end in .html, .png or .svg"),
        (["train", "excerpt", "--out", "{tmp}/x.bin", "--keep", "{word}"], "give both, or neither"),
        (["nearest", "wikipedia_glov", "king"], "advgen list weights"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--around", "zebra"], "unknown word 'zebra'"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--around", "w0", "--words", "{word}"], "give one of them"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--words", "{word}"], "1 words make no map"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--skip", "500"], "--skip 500 leaves 0 of 120 words"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--perplexity", "99"], "perplexity 99 for 120 words"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--method", "pca", "--perplexity", "9"], "belongs to t-sne"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--section", "x"], "--section belongs to --analogies"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--analogies", "{asked}"], "has 2 sections; choose one"),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--analogies", "{asked}", "--section", "tw"], "'two'?"),
        (
            ["plot", "{trained}", "--out", "{tmp}/x.png", "--analogies", "{asked}", "--method", "t-sne"],
            "t-SNE keeps no directions",
        ),
        (["plot", "{trained}", "--out", "{tmp}/x.png", "--analogy", "w0", "w1", "w0", "w1"], "1 pair of words"),
        (["wash"], "wash"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, trained: Path, tokens: Tokens, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "word.txt").write_text("w0\n")
    (tmp_path / "asked.txt").write_text(": one\nw0 w1 w2 w3\n: two\nw4 w5 w6 w7\n")
    places = {"{asked}": tmp_path / "asked.txt", "{trained}": trained, "{tokens}": tokens.path}
    places |= {"{word}": tmp_path / "word.txt", "{tmp}": tmp_path}
    for name, place in places.items():
        words = [w.replace(name, str(place)) for w in words]
    assert sentence in said(capsys, *words, code=2)


def test_an_empty_corpus_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    assert main(["embed", "train", "text", str(tmp_path / "empty.txt"), "--out", str(tmp_path / "x.vec")]) == 2
    assert "the corpus is empty: no word was found" in capsys.readouterr().err
    assert main(["embed", "train", "text", str(tmp_path / "empty.txt"), "--out", str(tmp_path / "x.vec")]) == 2


@pytest.mark.parametrize("name", ["train", "evaluate", "plot", "nearest", "analogy", "compare", "convert"])
def test_help_shows_two_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, name, "--help", code=0)
    assert text.count(f"advgen embed {name}") >= 2
