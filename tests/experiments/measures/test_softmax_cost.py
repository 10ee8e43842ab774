"""What the softmax costs: the same text for every arm, times that leave judging out, quality pair by pair."""

import heapq
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats as reference

from advgen.core.errors import BadArgument, MissingFile
from advgen.core.meter import Meter
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.wordsets import Pair
from advgen.experiments.measured import Measured, checked
from advgen.experiments.measurement import quantities_of
from advgen.experiments.measures._words import judged, pseudo_values, spearman, tokens_of
from advgen.experiments.measures.softmax_cost import SoftmaxCost, mean_code_length
from advgen.experiments.study import load

SMALL = {"tokens": 20_000, "words": 1_500, "dim": 16, "epochs": 2}


def run(tmp_path: Path, **args: object) -> Measured:
    measure = SoftmaxCost(**{**SMALL, **args})
    found = measure.run(seed=0, device=torch.device("cpu"), meter=Meter(), out=tmp_path)
    return checked(found, "softmax_cost", quantities_of("softmax_cost"))


def number(measured: Measured, quantity: str) -> float:
    (value,) = [r.value for r in measured.readings if r.quantity == quantity]
    return value


@pytest.mark.slow
def test_every_objective_is_read_on_the_same_pairs(tmp_path):
    arms = [run(tmp_path, objective=o) for o in ("full", "hierarchical", "negative")]
    asked = [[r.sample_id for r in arm.readings if r.quantity == "WordSim-353"] for arm in arms]
    assert asked[0] == asked[1] == asked[2]
    assert len(asked[0]) > 10
    touched = [number(arm, "outputs a pair") for arm in arms]
    assert touched[0] == 1_500
    assert 5 < touched[1] < np.log2(1_500)
    assert touched[2] == 6
    for arm in arms:
        (curve,) = [c for c in arm.curves if c.y == "WordSim-353"]
        assert [x for x, _ in curve.points] == sorted(x for x, _ in curve.points)
        assert len(curve.points) == 2
        assert curve.points[-1][0] == number(arm, "CPU time")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_quality(tmp_path):
    first, second = (run(tmp_path, objective="full") for _ in range(2))
    quality = [[r for r in one.readings if r.quantity == "WordSim-353"] for one in (first, second)]
    assert quality[0] == quality[1]


def test_judging_is_not_in_the_time(tmp_path, monkeypatch):
    from advgen.experiments.measures import softmax_cost

    def slow(vectors, pairs, name):
        time.sleep(0.4)
        return None, []

    monkeypatch.setattr(softmax_cost, "judged", slow)
    found = run(tmp_path, tokens=2_000, words=300, epochs=3)
    read = number(found, "CPU time") / number(found, "CPU time a token")
    assert number(found, "time a token") * read < 1.0  # three passes of it would be 1.2 s at least


def test_pseudo_values_are_those_of_leaving_each_pair_out():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 8, 40).astype(float), rng.normal(size=40)  # with ties
    whole = reference.spearmanr(first, second).statistic
    expected = [
        40 * whole - 39 * reference.spearmanr(np.delete(first, k), np.delete(second, k)).statistic for k in range(40)
    ]
    assert pseudo_values(first, second) == pytest.approx(expected)
    assert spearman(first, second) == pytest.approx(whole)


def test_the_mean_of_the_readings_is_the_correlation_and_their_spread_its_error():
    rng = np.random.default_rng(1)
    rhos, errors = [], []
    for _ in range(100):
        first = rng.normal(size=150)
        values = pseudo_values(first, first + rng.normal(size=150))
        rhos.append(values.mean())
        errors.append(values.std(ddof=1) / np.sqrt(150))
    assert np.mean(rhos) == pytest.approx(6 / np.pi * np.arcsin(np.sqrt(0.5) / 2), abs=0.02)
    assert np.mean(errors) == pytest.approx(np.std(rhos), rel=0.2)


def test_pairs_without_vectors_are_counted_and_not_scored():
    rng = np.random.default_rng(2)
    vectors = Vectors(tuple("abcdefghijkl"), rng.normal(size=(12, 4)).astype(np.float32))
    pairs = [Pair(x, y, float(k)) for k, (x, y) in enumerate(zip("abcdefghijk", "bcdefghijkl", strict=True))]
    rho, readings = judged(vectors, [*pairs, Pair("a", "unknown", 1.0), pairs[0]], "set")
    covered = [r for r in readings if r.quantity == "coverage of set"]
    assert [r.value for r in covered] == [1.0] * 11 + [0.0, 1.0]
    assert len({r.sample_id for r in covered}) == 13  # a pair that is asked twice is two samples
    assert sum(r.quantity == "set" for r in readings) == 12
    assert rho is not None


@pytest.mark.parametrize("counts", [[1, 1], [5, 2, 1, 1], list(range(1, 30))])
def test_code_lengths_are_huffmans(counts):
    heap = [(c, [k]) for k, c in enumerate(counts)]
    heapq.heapify(heap)
    depth = np.zeros(len(counts))
    while len(heap) > 1:
        (a, one), (b, other) = heapq.heappop(heap), heapq.heappop(heap)
        depth[one + other] += 1
        heapq.heappush(heap, (a + b, one + other))
    assert mean_code_length(counts) == pytest.approx(float(np.average(depth, weights=counts)))


def test_bad_arguments_and_missing_texts_are_one_sentence():
    with pytest.raises(BadArgument, match="k must be at least 1"):
        SoftmaxCost(k=0)
    with pytest.raises(BadArgument, match="tokens must be at least"):
        SoftmaxCost(tokens=10)
    with pytest.raises(MissingFile, match="take the text 'excerpt'"):
        tokens_of("nowhere.txt", 1_000)


def test_the_study_has_every_arm_at_three_seeds_on_two_texts():
    study = load("softmax_cost")
    assert len(study.every_measurement()) == 2 * 5 * 3
    assert len(study.claims) == 5
