"""A batch size by measurement: one that fits, chosen once, said, and kept by the run."""

import pytest
import torch

from advgen.core.device import choose
from advgen.core.types import Outputs
from advgen.experiments import batching
from advgen.experiments.assemble import Assembly
from advgen.experiments.run import run
from advgen.experiments.study import parse


def sized(monkeypatch, seconds):
    """Batches cost what `seconds` says of their size."""
    monkeypatch.setattr(batching, "_seconds", lambda target, images: seconds(len(images)))


def chosen(small_study):
    study = parse(small_study, "here")
    heard = []
    size = batching.measured_batch_size(study.cells(), Assembly(choose("cpu")), say=heard.append)
    assert f"batches of {size} images" in heard[0]
    return size


def many(small_study):
    for grid in small_study["grids"]:
        grid["data"][0]["count"] = 300
    return small_study


@pytest.mark.parametrize(
    ("seconds", "size"),
    [
        (lambda n: n, 16),  # the same an image at any size: a larger one is not worth its memory
        (lambda n: 40 + n, 256),
        (lambda n: max(n, 60.0), 64),
    ],
)
def test_the_largest_size_that_still_gains_is_chosen(small_study, monkeypatch, seconds, size):
    sized(monkeypatch, seconds)
    assert chosen(many(small_study)) == size


@pytest.mark.parametrize("error", [MemoryError, torch.cuda.OutOfMemoryError])
def test_what_does_not_fit_is_left(small_study, monkeypatch, error):
    def seconds(n):
        if n > 32:
            raise error
        return 1.0

    sized(monkeypatch, seconds)
    assert chosen(many(small_study)) == 32


def test_a_run_keeps_the_size_that_it_began_with(small_study, monkeypatch, tmp_path):
    sized(monkeypatch, lambda n: 1.0)
    store = run(parse(small_study, "here"), tmp_path, device="cpu", batch_size=None)
    began = store.plan["batch_size"]
    sized(monkeypatch, lambda n: float(n**2))
    heard = []
    again = run(parse(small_study, "here"), tmp_path, device="cpu", batch_size=None, say=heard.append)
    assert again.plan["batch_size"] == began
    assert not any("batches of" in line for line in heard)


def test_a_target_without_a_gradient_is_measured_by_its_forward():
    assert batching._seconds(lambda images: Outputs(torch.zeros(len(images), 2)), torch.zeros(2, 1, 8, 8)) >= 0
