"""Drawings keep what they say they keep, label without overlap, and a page runs nothing but its own script."""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from advgen.core.errors import BadArgument, UnknownName
from advgen.embeddings.drawing import picture as pictures
from advgen.embeddings.drawing.analogies import relation
from advgen.embeddings.drawing.caption import Drawing
from advgen.embeddings.drawing.labels import place
from advgen.embeddings.drawing.maps import WordMap, draw, nearest_places
from advgen.embeddings.drawing.page import page
from advgen.embeddings.drawing.picture import picture
from advgen.embeddings.vectors import Vectors

WORDS = tuple(f"word{i}" for i in range(60))
HOSTILE = ("</script><script>alert(1)</script>", "<b>", "a&b", "$x^2$", '"quoted"', "naïve")


def space(matrix: np.ndarray, words: tuple[str, ...] = WORDS) -> Vectors:
    return Vectors(words, matrix.astype(np.float32))


@pytest.fixture(scope="module")
def bundles() -> Vectors:
    """Three bundles of 20 words in 12 dimensions."""
    rng = np.random.default_rng(0)
    return space(np.repeat(3 * rng.normal(size=(3, 12)), 20, axis=0) + rng.normal(size=(60, 12)))


@pytest.fixture(scope="module")
def laid_out(bundles: Vectors) -> WordMap:
    return draw(bundles, WORDS)


def test_a_plane_of_vectors_that_lie_in_one_keeps_every_neighbour() -> None:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0][:2]
    around = np.random.default_rng(2).uniform(0, 2 * np.pi, 60)
    flat = space(np.random.default_rng(3).uniform(1, 9, (60, 1)) * np.stack([np.cos(around), np.sin(around)], 1) @ turn)
    shown = draw(flat, WORDS, method="pca")
    assert (shown.share, shown.kept.min()) == (1, 1)
    assert "hold 100% of their variance" in shown.method


def test_random_places_keep_what_chance_does(bundles: Vectors) -> None:
    noise = np.random.default_rng(0).normal(size=(60, 2))
    shares = [
        WordMap(WORDS, p, "", *draw(bundles, WORDS, method="pca")[3:5], nearest_places(p, 10)).share
        for p in (noise * k for k in (1, 5))
    ]
    assert shares[0] == shares[1]  # scale says nothing
    chance = draw(bundles, WORDS, method="pca").chance
    assert chance == 10 / 59
    assert abs(shares[0] - chance) < 0.05


def test_t_sne_keeps_bundles_apart_and_repeats_itself(bundles: Vectors, laid_out: WordMap) -> None:
    assert laid_out.share > 2 * laid_out.chance
    assert all(i // 20 == j // 20 for i, row in enumerate(laid_out.here[:, :3]) for j in row)
    again = draw(bundles, WORDS)
    assert again.places.tobytes() == laid_out.places.tobytes()
    assert draw(bundles, WORDS, seed=1).method != laid_out.method


def test_the_true_neighbours_are_those_of_highest_cosine_among_the_drawn(bundles: Vectors) -> None:
    some = WORDS[::2]
    shown = draw(bundles, some, method="pca")
    expected = bundles.only(some).nearest("word4", 10)
    assert [some[i] for i in shown.near[2]] == [n.word for n in expected]
    np.testing.assert_allclose(shown.cosines[2], [n.score for n in expected], rtol=1e-5)


def test_words_of_one_place_have_as_many_neighbours_as_others() -> None:
    near = nearest_places(np.zeros((9, 2)), 4)
    assert near.shape == (9, 4)
    assert all(i not in row for i, row in enumerate(near))


@pytest.mark.parametrize(
    ("words", "given_", "sentence"),
    [
        (WORDS[:2], {}, "2 words make no map"),
        ((*WORDS, "word1"), {}, "stands twice"),
        (WORDS, {"perplexity": 30}, "perplexity 30 for 60 words; it must lie between 1 and a third of them, 20"),
        (WORDS, {"perplexity": 0.5}, "must lie between 1"),
        (WORDS, {"method": "umap"}, "must be t-sne or pca"),
    ],
)
def test_maps_that_cannot_be_are_refused(
    bundles: Vectors, words: tuple[str, ...], given_: dict[str, object], sentence: str
) -> None:
    with pytest.raises(BadArgument, match=sentence):
        draw(bundles, words, **given_)  # type: ignore[arg-type]


def test_words_without_a_vector_or_without_difference_are_refused(bundles: Vectors) -> None:
    with pytest.raises(UnknownName, match="'zebra'"):
        draw(bundles, ["word1", "word2", "zebra"])
    with pytest.raises(BadArgument, match="all have the same vector"):
        draw(space(np.ones((60, 3))), WORDS[:5], method="pca")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(0, 200), st.floats(5, 90)), min_size=1, max_size=40),
    st.floats(0, 8),
)
def test_labels_never_meet_nor_leave_the_page(drawn: list[tuple[float, float, float]], gap: float) -> None:
    points = np.array([(x, y) for x, y, _ in drawn])
    sizes = np.array([(width, 10.0) for *_, width in drawn])
    within = (0.0, 0.0, 300.0, 200.0)
    labels = place(points, sizes, within=within, gap=gap, lines=[(0, len(drawn) - 1)] if len(drawn) > 1 else [])
    assert len({label.point for label in labels}) == len(labels)
    for one, other in combinations(labels, 2):
        apart = one.right <= other.left or other.right <= one.left or one.top <= other.bottom or other.top <= one.bottom
        assert apart
    for label in labels:
        assert min(label.left, label.bottom) >= 0
        assert label.right <= 300
        assert label.top <= 200
        np.testing.assert_allclose((label.right - label.left, label.top - label.bottom), sizes[label.point], atol=1e-9)


def test_words_that_come_first_get_the_room() -> None:
    points, sizes = np.zeros((20, 2)) + 50, np.tile([30.0, 10.0], (20, 1))
    labels = place(points, sizes, within=(0, 0, 100, 100), gap=2, first=[17])
    assert labels[0].point == 17
    assert len(labels) < 20


def test_a_label_evades_the_arrow_that_ends_at_its_point() -> None:
    points = np.array([[50.0, 50.0], [95.0, 50.0]])
    free, evading = (
        place(points, np.tile([20.0, 8.0], (2, 1)), within=(0, 0, 100, 100), gap=3, lines=lines)[0]
        for lines in ([], [(0, 1)])
    )
    assert free.left > 50
    assert evading.right < 50


def boxes(figure: object) -> list[object]:
    """Where the labels stand, as the renderer draws them."""
    figure.canvas.draw()  # type: ignore[attr-defined]
    return [t.get_window_extent() for t in figure.axes[0].texts if t.get_gid() == "label"]  # type: ignore[attr-defined]


def test_drawn_labels_do_not_overlap_in_the_renderer(laid_out: WordMap) -> None:
    figure, labels = pictures._figure(Drawing(laid_out, "Title", "source"), pictures.PALETTES["light"])
    found = boxes(figure)
    assert len(found) == len(labels) > 40
    assert not any(a.overlaps(b) for a, b in combinations(found, 2))  # type: ignore[attr-defined]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_is_the_same_twice_and_says_what_it_keeps(theme: str, laid_out: WordMap, tmp_path: Path) -> None:
    drawing = Drawing(laid_out, "Three bundles", "toy vectors", groups=[i // 20 for i in range(60)], names=list("abc"))
    assert f"{laid_out.share:.0%} are also among its 10 nearest here (random places: 17%)" in drawing.caption
    for suffix in ("png", "svg"):
        paths = [tmp_path / f"{k}.{suffix}" for k in range(2)]
        drawn = [picture(path, drawing, theme=theme) for path in paths]  # type: ignore[arg-type]
        assert drawn[0].labelled > 40
        assert paths[0].read_bytes() == paths[1].read_bytes()
    image = Image.open(tmp_path / "0.png")
    assert image.info["Description"] == drawing.caption
    corner = image.convert("L").getpixel((0, 0))
    assert corner > 240 if theme == "light" else corner < 40
    assert drawing.caption in (tmp_path / "0.svg").read_text()


def test_letters_that_no_font_has_are_told_and_mathematics_is_not_read(bundles: Vectors, tmp_path: Path) -> None:
    odd = Vectors((*HOSTILE, "\U00013000"), bundles.matrix[:7])
    shown = draw(odd, odd.words, method="pca")
    assert picture(tmp_path / "x.png", Drawing(shown, "$odd$", "toy")).not_written == "\U00013000"


def test_a_name_that_is_no_drawing_is_refused(laid_out: WordMap, tmp_path: Path) -> None:
    for made in (picture, page):
        with pytest.raises(BadArgument, match="must end in"):
            made(tmp_path / "map.pdf", Drawing(laid_out, "", ""))
    with pytest.raises(BadArgument, match="light or dark"):
        picture(tmp_path / "map.png", Drawing(laid_out, "", ""), theme="blue")  # type: ignore[arg-type]


def hostile_page(path: Path, bundles: Vectors) -> Drawing:
    """A page whose words try to be markup."""
    shown = draw(Vectors(HOSTILE, bundles.matrix[:6]), HOSTILE, method="pca")
    drawing = Drawing(shown, "<i>title</i>", "toy & vectors", counts=range(6), arrows=[(0, 1)])
    page(path, drawing)
    return drawing


def test_a_page_holds_its_words_and_asks_nothing_of_the_network(bundles: Vectors, tmp_path: Path) -> None:
    drawing = hostile_page(tmp_path / "map.html", bundles)
    text = (tmp_path / "map.html").read_text()
    assert re.findall(r"(?:https?:)?//[\w.]+\.\w+|\bsrc=|\bhref=|@import|url\(", text) == []
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; style-src 'sha256-")
    assert "<i>title</i>" not in text
    assert text.count("</script>") == 2
    data = json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])
    assert tuple(data["words"]) == HOSTILE
    assert data["near"] == drawing.map.near.tolist()
    assert np.mean(data["kept"]) == pytest.approx(drawing.map.share)


@pytest.mark.slow
def test_a_browser_runs_the_page_and_searches_it(laid_out: WordMap, bundles: Vectors, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium or google-chrome")
    page(tmp_path / "map.html", Drawing(laid_out, "Three bundles", "toy"))
    hostile_page(tmp_path / "hostile.html", bundles)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]

    def shown(address: str) -> str:
        done = subprocess.run([browser, *options, address], capture_output=True, text=True, timeout=120)
        return done.stdout

    first = shown(f"{(tmp_path / 'map.html').as_uri()}#WORD7")
    assert "<h2>word7</h2>" in first
    named = re.findall(r"<li><button><span>(\w+)</span><small class=\"(\w+)\">", first)
    assert [w for w, _ in named] == [WORDS[i] for i in laid_out.near[7]]
    assert sum(how == "kept" for _, how in named) / 10 == laid_out.kept[7]
    assert "<h2>&lt;b&gt;</h2>" in shown(f"{(tmp_path / 'hostile.html').as_uri()}#%3Cb%3E")


def test_pairs_of_one_offset_are_parallel_and_answer_each_other() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(size=(8, 30))
    matrix = np.concatenate([first, first + 2 * np.eye(30)[0], rng.normal(size=(44, 30))])
    # Rows of one length, so that unit vectors keep the offset.
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    matrix = np.concatenate([matrix, np.sqrt(lengths.max() ** 2 - lengths**2)], axis=1)
    pairs = [(f"word{i}", f"word{i + 8}") for i in range(8)]
    found = relation(space(matrix), pairs)
    assert found.parallel > 0.8
    assert found.right == found.asked == 56
    assert found.arrows == tuple((2 * i, 2 * i + 1) for i in range(8))
    chance = relation(space(rng.normal(size=(60, 30))), pairs)
    assert abs(chance.parallel) < 0.2
    assert chance.right < 10
    assert "answers 56 of 56 analogies" in found.told


def test_relations_that_cannot_be_are_refused(bundles: Vectors) -> None:
    with pytest.raises(BadArgument, match="1 pair of words"):
        relation(bundles, [("word1", "word2")] * 2)
    with pytest.raises(BadArgument, match="'word3' stands on both sides"):
        relation(bundles, [("word1", "word2"), ("word3", "word3")])
