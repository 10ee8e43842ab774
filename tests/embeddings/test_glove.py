"""GloVe against naive counts in fractions and equation 8 of the paper in float64."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from advgen.core.errors import BadArgument
from advgen.embeddings.corpora.tokens import Tokens
from advgen.embeddings.glove import descent
from advgen.embeddings.glove.cooccurrence import Cells, count_pairs
from advgen.embeddings.glove.model import GloVe
from advgen.embeddings.vocabulary import BREAK, count_words, write_ids

X_MAX, RATE = 10.0, 0.05
Array = np.ndarray


def naive(ids: list[int], window: int) -> Counter[tuple[int, int]]:
    """X over (left word, right word), in fractions."""
    counts: Counter[tuple[int, int]] = Counter()
    for right, word in enumerate(ids):
        for distance in range(1, window + 1):
            left = right - distance
            if word == BREAK or left < 0 or ids[left] == BREAK:
                break
            counts[ids[left], word] += Fraction(1, distance)
    return counts


def as_dict(cells: Cells) -> dict[tuple[int, int], np.float32]:
    return {(int(i), int(j)): x for i, j, x in zip(cells.rows, cells.columns, cells.values, strict=True)}


def random_ids(seed: int, words: int = 50, length: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ids = (rng.zipf(1.3, length) % words).astype(np.int32)
    ids[rng.random(length) < 0.05] = BREAK
    return ids


@pytest.mark.parametrize("window", [1, 4, 10])
@pytest.mark.parametrize("memory_bytes", [1 << 24, 12_000, 2_000])
def test_counts_are_exact_whatever_is_spilled(window: int, memory_bytes: int, tmp_path: Path) -> None:
    ids = random_ids(window)
    both: Counter[tuple[int, int]] = Counter()
    for (i, j), x in naive(ids.tolist(), window).items():
        both[i, j] += x
        both[j, i] += x
    cells = count_pairs(ids, 50, tmp_path, window=window, memory_bytes=memory_bytes)
    assert as_dict(cells) == {(i, j): np.float32(float(x)) for (i, j), x in both.items() if i <= j}
    assert cells.entries == len(both)
    assert (cells.runs > 1) == (memory_bytes < 1 << 24)
    assert not list(tmp_path.glob("run-*"))


def test_one_sided_counts_keep_left_and_right_apart(tmp_path: Path) -> None:
    ids = random_ids(1)
    cells = count_pairs(ids, 50, tmp_path, window=5, symmetric=False)
    assert as_dict(cells) == {key: np.float32(float(x)) for key, x in naive(ids.tolist(), 5).items()}


def test_unknown_words_leave_no_gap_and_a_line_ends_the_window(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("a rare b\na b\n")
    vocabulary = count_words(path, min_count=2)
    ids = write_ids(path, vocabulary, tmp_path / "ids")
    assert ids.tolist() == [0, 1, BREAK, 0, 1, BREAK]
    assert as_dict(count_pairs(ids, 2, tmp_path)) == {(0, 1): np.float32(2.0)}


def test_a_word_beside_itself_counts_for_both_directions(tmp_path: Path) -> None:
    cells = count_pairs(np.array([0, 0, BREAK], dtype=np.int32), 1, tmp_path)
    assert as_dict(cells) == {(0, 0): np.float32(2.0)}


@pytest.fixture(scope="module")
def arranged(tmp_path_factory: pytest.TempPathFactory) -> descent.Arranged:
    folder = tmp_path_factory.mktemp("cells")
    return descent.arrange(count_pairs(random_ids(3), 50, folder), folder, x_max=X_MAX, seed=0)


def equation_8(
    cells: dict[tuple[int, int], float], w: np.ndarray, c: np.ndarray, b: np.ndarray, d: np.ndarray
) -> float:
    """J in float64."""
    total = 0.0
    for (i, j), x in cells.items():
        f = min(1.0, (x / X_MAX) ** 0.75)
        total += f * (w[i] @ c[j] + b[i] + d[j] - np.log(x)) ** 2
    return total


def test_the_loss_is_equation_8(tmp_path: Path) -> None:
    cells = count_pairs(random_ids(3), 50, tmp_path)
    whole = {}
    for (i, j), x in as_dict(cells).items():
        whole[i, j] = whole[j, i] = float(x)
    p = descent.start(50, 20, seed=1)
    expected = equation_8(whole, *(np.float64(x) for x in p[:4])) / len(whole)
    arranged = descent.arrange(cells, tmp_path, x_max=X_MAX, seed=0)
    # A rate of 1e-20 moves nothing in float32, so each cell is measured at the same parameters.
    loss = descent.epoch(arranged, p, 0, seed=0, rate=1e-20, threads=1, program_bias=False)
    assert loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("program_bias", [False, True])
@pytest.mark.parametrize("x", [0.3, 3.0, 40.0])
def test_a_step_follows_the_gradient_of_equation_8(x: float, program_bias: bool, tmp_path: Path) -> None:
    """One cell: with accumulators of 1 the first step is rate times the gradient of J / 2."""
    cells = Cells(np.array([0], np.int32), np.array([1], np.int32), np.array([x], np.float32), 2, False, 0)
    arranged = descent.arrange(cells, tmp_path, x_max=X_MAX, seed=0)
    p = descent.start(2, 8, seed=2)
    before = [np.float64(q) for q in p]
    descent.epoch(arranged, p, 0, seed=0, rate=RATE, threads=1, program_bias=program_bias)

    def loss(values: list[np.ndarray]) -> float:
        return equation_8({(0, 1): float(np.float32(x))}, *values)

    for k, (old, new) in enumerate(zip(before[:4], p[:4], strict=True)):
        rate = 1.0 if program_bias and k >= 2 else RATE
        for at in np.ndindex(old.shape):
            up, down = ([q.copy() for q in before[:4]] for _ in range(2))
            up[k][at] += 1e-5
            down[k][at] -= 1e-5
            gradient = (loss(up) - loss(down)) / 2e-5
            assert old[at] - new[at] == pytest.approx(rate * gradient / 2, abs=3e-7)
            assert p[4 + k][at] - 1 == pytest.approx((rate * gradient / 2) ** 2, abs=3e-7)


def test_components_of_a_gradient_are_clipped_at_100(tmp_path: Path) -> None:
    cells = Cells(np.array([0], np.int32), np.array([0], np.int32), np.array([1.0], np.float32), 1, False, 0)
    arranged = descent.arrange(cells, tmp_path, x_max=1.0, seed=0)
    p = descent.start(1, 2, seed=0)
    p.rows[:], p.columns[:], p.row_bias[:], p.column_bias[:] = 30, 30, 0, 0
    descent.epoch(arranged, p, 0, seed=0, rate=RATE, threads=1, program_bias=False)
    np.testing.assert_allclose(p.rows, 30 - RATE * 100, rtol=1e-6)
    np.testing.assert_allclose(p.row_bias, -RATE * 100, rtol=1e-6)
    p.rows[:], p.columns[:], p.row_bias[:], p.row_bias_squares[:] = 30, 30, 0, 1
    p.column_bias[:] = 0
    descent.epoch(arranged, p, 0, seed=0, rate=RATE, threads=1, program_bias=True)
    np.testing.assert_allclose(p.row_bias, -1800, rtol=1e-6)  # neither rate nor clipping


def test_every_cell_is_dealt_once_in_both_directions(arranged: descent.Arranged, tmp_path: Path) -> None:
    cells = as_dict(count_pairs(random_ids(3), 50, tmp_path))
    dealt = Counter(zip(arranged.rows.tolist(), arranged.columns.tolist(), strict=True))
    assert set(dealt.values()) == {1}
    assert set(dealt) == set(cells) | {(j, i) for i, j in cells}


def test_the_number_of_threads_does_not_change_a_bit(arranged: descent.Arranged) -> None:
    results = []
    for threads in (1, 2, 5):
        p = descent.start(50, 12, seed=4)
        losses = [
            descent.epoch(arranged, p, n, seed=4, rate=RATE, threads=threads, program_bias=False) for n in range(4)
        ]
        results.append((losses, [q.tobytes() for q in p]))
    assert results[0] == results[1] == results[2]
    assert results[0][0][-1] < results[0][0][0] / 2


def test_a_killed_training_ends_in_the_same_vectors(tokens: Tokens, tmp_path: Path) -> None:
    whole = GloVe(dim=8, epochs=5, min_count=1).train(tokens, tmp_path / "whole")

    def kill(line: str) -> None:
        if line.startswith("epoch 2 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GloVe(dim=8, epochs=5, min_count=1).train(tokens, tmp_path / "killed", tell=kill)
    lines: list[str] = []
    resumed = GloVe(dim=8, epochs=5, min_count=1, threads=2).train(tokens, tmp_path / "killed", tell=lines.append)
    assert next(line for line in lines if line.startswith("epoch")).startswith("epoch 3 ")
    assert resumed.losses == whole.losses
    assert resumed.vectors.matrix.tobytes() == whole.vectors.matrix.tobytes()
    assert list((tmp_path / "killed").iterdir()) == []


def test_words_of_one_topic_come_out_near_each_other(tokens: Tokens, tmp_path: Path) -> None:
    vectors = GloVe(dim=10, epochs=25, min_count=1).train(tokens, tmp_path).vectors
    assert sum(int(n.word[1:]) < 40 for n in vectors.nearest("w0", 10)) >= 9


def test_x_max_follows_the_corpus_unless_given() -> None:
    assert GloVe().chosen_x_max(8_000_000) == 10
    assert GloVe().chosen_x_max(6_000_000_000) == 100
    assert GloVe(x_max=30).chosen_x_max(8_000_000) == 30


def test_bad_arguments_are_one_sentence(tokens: Tokens, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="dim must be at least 1, got 0"):
        GloVe(dim=0)
    with pytest.raises(BadArgument, match="leaves no word"):
        GloVe(min_count=100_000).train(tokens, tmp_path)
    with pytest.raises(BadArgument, match="window must be from 1 to 20"):
        GloVe(window=21).train(tokens, tmp_path)
    with pytest.raises(BadArgument, match="too high"):
        GloVe(rate=1e30, epochs=3).train(tokens, tmp_path)
