"""Two spaces: neighbours in common, one turned into the other, words whose use differs; each against planted truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from advgen.core.errors import BadArgument, UnknownName
from advgen.embeddings.alignment import align, rotation
from advgen.embeddings.neighbours import common, nearest_rows, overlap
from advgen.embeddings.shift import RARE, domain_shift
from advgen.embeddings.vectors import Vectors

WORDS = tuple(f"word{i}" for i in range(400))


def space(matrix: np.ndarray, words: tuple[str, ...] = WORDS, counts: np.ndarray | None = None) -> Vectors:
    return Vectors(words, matrix.astype(np.float32), counts)


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    """40 bundles of 10 words."""
    rng = np.random.default_rng(0)
    return np.repeat(rng.normal(size=(40, 20)), 10, axis=0) + 0.5 * rng.normal(size=(400, 20))


@pytest.fixture(scope="module")
def planted() -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))[0]


def seeds(matrix: np.ndarray, *numbers: int, noise: float = 0.1) -> list[Vectors]:
    """Trainings of one corpus that differ by chance alone, in axes of their own."""
    made = []
    for number in numbers:
        rng = np.random.default_rng(number)
        turn = np.linalg.qr(rng.normal(size=(20, 20)))[0]
        made.append(space((matrix + noise * rng.normal(size=matrix.shape)) @ turn))
    return made


def test_neighbours_are_the_highest_cosines_without_itself(matrix: np.ndarray) -> None:
    vectors = space(matrix)
    rows = nearest_rows(vectors, np.array([3, 99]), 7)
    for row, near in zip((3, 99), rows, strict=True):
        assert [vectors.words[i] for i in near] == [n.word for n in vectors.nearest(f"word{row}", 7)]


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_what_is_common_is_the_intersection(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (np.stack([rng.permutation(12)[:n] for _ in range(5)]) for _ in range(2))
    assert common(one, other).tolist() == [len(set(a) & set(b)) / n for a, b in zip(one, other, strict=True)]


def test_a_space_overlaps_wholly_with_itself_and_with_itself_turned_and_scaled(
    matrix: np.ndarray, planted: np.ndarray
) -> None:
    same = overlap(space(matrix), space(matrix))
    assert (same.share, same.low, same.high, same.words) == (1, 1, 1, 400)
    assert overlap(space(matrix), space(3 * matrix @ planted)).share == 1


def test_spaces_that_have_nothing_in_common_overlap_by_chance(matrix: np.ndarray) -> None:
    other = space(np.random.default_rng(5).normal(size=(400, 20)))
    found = overlap(space(matrix), other)
    assert found.chance == pytest.approx(10 / 399)
    assert abs(found.share - found.chance) < 0.01
    assert found.low < found.share < found.high


def test_overlap_asks_for_shared_words_alone(matrix: np.ndarray) -> None:
    """What only one of them knows is nobody's neighbour."""
    strangers = tuple(f"stranger{i}" for i in range(400))
    both = space(np.concatenate([matrix, matrix]), WORDS + strangers)
    assert overlap(both, space(matrix)).share == 1
    with pytest.raises(BadArgument, match="share 0 words"):
        overlap(space(matrix), space(matrix, strangers))


def test_a_planted_rotation_is_recovered_exactly(matrix: np.ndarray, planted: np.ndarray) -> None:
    found = align(space(matrix), space(matrix @ planted))
    np.testing.assert_allclose(found.rotation, planted, atol=1e-6)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(20), atol=1e-12)
    assert [a.share for a in found.accuracy] == [1, 1, 1]
    assert (found.fitted, found.accuracy[0].n, found.candidates) == (320, 80, 400)
    assert found.cosine == pytest.approx(1, abs=1e-5)
    assert found.unturned.share < 0.1
    turned = found.apply(space(matrix))
    np.testing.assert_allclose(turned.matrix, space(matrix @ planted).unit, atol=1e-6)


def test_a_rotation_is_recovered_beside_words_that_only_one_space_knows(
    matrix: np.ndarray, planted: np.ndarray
) -> None:
    strangers = np.random.default_rng(7).normal(size=(100, 20)) + 3
    names = tuple(f"stranger{i}" for i in range(100))
    found = align(space(matrix), space(np.concatenate([matrix @ planted, strangers]), WORDS + names))
    np.testing.assert_allclose(found.rotation, planted, atol=1e-6)
    assert found.accuracy[0].share == 1


def test_the_rotation_is_scipys_also_with_noise(matrix: np.ndarray) -> None:
    other = matrix @ np.diag(np.linspace(1, 2, 20)) + np.random.default_rng(3).normal(size=matrix.shape)
    np.testing.assert_allclose(rotation(matrix, other), orthogonal_procrustes(matrix, other)[0], atol=1e-10)


def test_accuracy_is_measured_on_pairs_that_were_not_fitted(planted: np.ndarray) -> None:
    """Between spaces without relation every fitted pair comes nearer, no held-out one does."""
    one, other = (np.random.default_rng(seed).normal(size=(400, 20)) for seed in (1, 2))
    found = align(space(one), space(other))
    assert found.accuracy[0].share < 0.06
    assert found.accuracy[0].low < found.accuracy[0].share + 1e-9
    assert abs(found.cosine) < 0.15


def test_pairs_of_two_languages_are_taken_as_given(matrix: np.ndarray, planted: np.ndarray) -> None:
    foreign = tuple(f"wort{i}" for i in range(400))
    pairs = [(f"word{i}", f"wort{i}") for i in range(0, 400, 4)]
    found = align(space(matrix), space(matrix @ planted, foreign), pairs=pairs)
    assert found.accuracy[0].share == 1
    with pytest.raises(UnknownName, match="did you mean 'wort1"):
        align(space(matrix), space(matrix, foreign), pairs=[("word1", "wortt1")])


def test_an_alignment_that_cannot_be_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(BadArgument, match="vectors of 20 and of 19 numbers"):
        align(space(matrix), space(matrix[:, :19]))
    with pytest.raises(
        BadArgument, match="16 pairs to fit a rotation of 20 axes; at least 20 are needed, so 25 in all"
    ):
        align(space(matrix), space(matrix), words=20)
    with pytest.raises(BadArgument, match="between 0 and 1, got 1"):
        align(space(matrix), space(matrix), held_out=1.0)


@pytest.fixture(scope="module")
def moved(matrix: np.ndarray) -> np.ndarray:
    """word7 has gone to the bundle of word200."""
    moved = matrix.copy()
    moved[7] = matrix[200:210].mean(axis=0) + (matrix[7] - matrix[:10].mean(axis=0))
    return moved


def test_a_planted_shift_is_first_and_above_the_floor(matrix: np.ndarray, moved: np.ndarray) -> None:
    found = domain_shift(seeds(matrix, 1, 2), seeds(moved, 3, 4), n=8)
    first = found.shifts[0]
    assert first.word == "word7"
    assert first.claimed
    assert first.kept < 0.2 < 0.6 < min(f for f in first.floors if f is not None)
    assert {int(w[4:]) // 10 for w in first.near[0]} == {0}
    assert {int(w[4:]) // 10 for w in first.near[1]} == {20}
    assert found.claimed <= 1 + found.by_noise


def test_nothing_is_claimed_beyond_chance_where_nothing_shifted(matrix: np.ndarray) -> None:
    claims = [domain_shift(seeds(matrix, k, k + 1), seeds(matrix, k + 2, k + 3), n=8) for k in range(10, 50, 4)]
    assert sum(c.claimed for c in claims) <= sum(c.by_noise for c in claims)
    between, floor = claims[0].between, claims[0].floors[0]
    assert floor is not None
    assert between.low < floor.high
    assert floor.low < between.high


def test_one_corpus_with_two_seeds_is_floor_enough(matrix: np.ndarray, moved: np.ndarray) -> None:
    found = domain_shift(seeds(matrix, 1, 2), seeds(moved, 3), n=8)
    assert found.floors[1] is None
    assert found.shifts[0].word == "word7"
    assert found.shifts[0].floors[1] is None


def test_rare_words_are_left_out_and_counted(matrix: np.ndarray, moved: np.ndarray) -> None:
    often = np.arange(400, 0, -1) + RARE
    often[390:] = RARE - 1
    one, two, three, four = (Vectors(v.words, v.matrix, often) for v in [*seeds(matrix, 1, 2), *seeds(moved, 3, 4)])
    found = domain_shift([one, two], [three, four], n=8)
    assert (found.rare, len(found.shifts), found.between.words) == (10, 390, 390)
    assert found.shifts[0].counts == (393 + RARE, 393 + RARE)


def test_no_shift_is_claimed_without_a_floor(matrix: np.ndarray, moved: np.ndarray) -> None:
    (one,), (other,) = seeds(matrix, 1), seeds(moved, 2)
    with pytest.raises(BadArgument, match="no noise floor"):
        domain_shift([one], [other])
    with pytest.raises(BadArgument, match="the one corpus hold the same vectors"):
        domain_shift([one, one], [other])
