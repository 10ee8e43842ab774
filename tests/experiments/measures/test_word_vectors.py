"""The study of word vectors: the same text for every arm, and what differs between texts beside what noise does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from advgen.core.errors import BadArgument, BadFile
from advgen.core.meter import Meter
from advgen.experiments.measured import Measured, checked
from advgen.experiments.measurement import quantities_of
from advgen.experiments.measures import word_vectors
from advgen.experiments.measures._words import tokens_of
from advgen.experiments.measures.word_vectors import WordVectors
from advgen.experiments.study import load

SMALL = {"text": "pubmed-excerpt", "other": "excerpt", "tokens": 60_000, "words": 800, "dim": 12, "epochs": 12}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Measured]:
    monkeypatch.setattr(word_vectors, "cache_folder", lambda: tmp_path)

    def measured(**args: object) -> Measured:
        measure = WordVectors(**{**SMALL, "seeds": 2, **args})
        found = measure.run(seed=0, device=torch.device("cpu"), meter=Meter(), out=tmp_path)
        return checked(found, "word_vectors", quantities_of("word_vectors"))

    return measured


def values(measured: Measured, quantity: str) -> list[float | None]:
    return [r.value for r in measured.readings if r.quantity == quantity]


@pytest.mark.slow
def test_neighbours_are_kept_by_another_seed_more_than_by_another_kind_of_text(run, tmp_path):
    found = run(method="glove")
    shares = {
        name: sum(values(found, name)) / len(values(found, name))
        for name in ("kept by another seed", "kept by other text", "shared with the other text")
    }
    assert shares["kept by another seed"] > shares["kept by other text"] > shares["shared with the other text"] > 0
    assert len(values(found, "coverage of WordSim-353")) == 353
    assert found.pictures[0].png.startswith(b"\x89PNG")
    trained = sorted(tmp_path.glob("word_vectors/*.safetensors"))
    assert len(trained) == 6  # two seeds and one further text of each kind
    times = [path.stat().st_mtime_ns for path in trained]
    assert values(run(method="glove"), "CPU time") == values(found, "CPU time")
    assert [path.stat().st_mtime_ns for path in trained] == times


def test_parts_of_a_text_follow_each_other():
    whole, first, second = (tokens_of("pubmed-excerpt", n, part=p) for n, p in ((20_000, 0), (10_000, 0), (10_000, 1)))
    words = whole.path.read_text(encoding="utf-8").split()
    assert words[:10_000] == first.path.read_text(encoding="utf-8").split()
    assert words[-second.words :] == second.path.read_text(encoding="utf-8").split()
    assert 9_500 < second.words <= 10_000  # the sentence that the border cuts is left out


def test_bad_arguments_are_one_sentence():
    with pytest.raises(BadArgument, match="one seed has no other"):
        WordVectors(seeds=1)
    with pytest.raises(BadArgument, match="must be another one"):
        WordVectors(other="wikipedia")
    with pytest.raises(BadFile, match="more than 300,000 were expected"):
        tokens_of("pubmed-excerpt", 300_000, part=1)


def test_the_study_has_every_method_at_three_seeds_on_two_texts():
    study = load("word_vectors")
    assert len(study.every_measurement()) == 2 * 4 * 3
    assert len(study.claims) == 12
