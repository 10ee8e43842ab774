"""The state of a training: given back exactly, so that a resumed run goes on as an undisturbed one."""

import math
import random
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from advgen.core import checkpoints
from advgen.core.errors import BadFile, MissingFile

KEYS = st.one_of(st.text(max_size=4), st.integers(-3, 3), st.just("~kind"), st.just("a/'b'"))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**130), 2**130),
    st.floats(),
    st.text(max_size=5),
    st.builds(lambda v: torch.tensor(v, dtype=torch.float64), st.lists(st.floats(), max_size=3)),
    st.builds(lambda v: np.array(v, dtype=np.uint32), st.lists(st.integers(0, 2**32 - 1), max_size=3)),
    st.builds(np.float32, st.floats(width=32)),
)
STATES = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(KEYS, inner, max_size=3),
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def same(a: Any, b: Any) -> bool:
    """Equal in value to the bit and in type, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and bool(torch.equal(a.isnan(), b.isnan()))
            and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
        )
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


@settings(max_examples=150, deadline=None)
@given(STATES)
def test_any_nest_of_values_comes_back_equal_in_value_and_type(
    tmp_path_factory: pytest.TempPathFactory, state: dict[Any, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "state.safetensors"
    checkpoints.save_state(path, state)
    assert same(checkpoints.load_state(path), state)


def test_dicts_keep_their_kind(tmp_path: Path) -> None:
    state = {"milestones": Counter({30: 1, 60: 2}), "model": OrderedDict(b=torch.ones(2), a=torch.zeros(0, 3))}
    checkpoints.save_state(tmp_path / "s", state)
    assert same(checkpoints.load_state(tmp_path / "s"), state)


def optimisers(network: nn.Module) -> dict[str, torch.optim.Optimizer]:
    groups = [{"params": [p], "lr": 0.05 / (k + 1)} for k, p in enumerate(network.parameters())]
    return {
        "sgd": torch.optim.SGD(groups, momentum=0.9, nesterov=True),
        "adam": torch.optim.Adam(groups, amsgrad=True),
        "adamw": torch.optim.AdamW(network.parameters(), betas=(0.8, 0.95)),
        "rmsprop": torch.optim.RMSprop(network.parameters(), momentum=0.5),
    }


def schedulers(optimiser: torch.optim.Optimizer) -> list[Any]:
    lr = torch.optim.lr_scheduler
    return [
        lr.MultiStepLR(optimiser, [2, 5, 5]),
        lr.CosineAnnealingLR(optimiser, 20),
        lr.ReduceLROnPlateau(optimiser, patience=1),
    ]


class Training:
    """A few steps with dropout, noise from a generator of its own and from NumPy, and an average of the weights."""

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.3), nn.Linear(7, 2))
        self.average = torch.optim.swa_utils.AveragedModel(self.network, use_buffers=True)
        self.optimiser = optimisers(self.network)[kind]
        self.schedulers = schedulers(self.optimiser)
        self.generator = torch.Generator().manual_seed(4)
        self.numbers = np.random.default_rng(9)

    def steps(self, count: int) -> None:
        for _ in range(count):
            batch = torch.randn(6, 5, generator=self.generator) + self.numbers.normal() + np.random.rand()
            loss = self.network(batch).square().sum() * random.uniform(0.9, 1.1)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.average.update_parameters(self.network)
            for scheduler in self.schedulers[:2]:
                scheduler.step()
            self.schedulers[2].step(loss.item())

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "generator": self.generator.get_state(),
            "numbers": self.numbers.bit_generator.state,
            "random": checkpoints.random_states(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        self.numbers.bit_generator.state = state["numbers"]
        checkpoints.restore_random_states(state["random"])


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_resumed_training_ends_at_the_same_bits_as_an_undisturbed_one(tmp_path: Path, kind: str) -> None:
    undisturbed = Training(kind)
    undisturbed.steps(4)
    checkpoints.save_state(tmp_path / "state", undisturbed.state())
    undisturbed.steps(5)
    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    resumed = Training(kind)
    resumed.restore(checkpoints.load_state(tmp_path / "state"))
    resumed.steps(5)
    assert same(resumed.state(), undisturbed.state())


def test_a_state_that_was_cut_off_is_refused_and_a_missing_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state"
    checkpoints.save_state(path, {"a": torch.arange(9), "b": 1})
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BadFile, match="is damaged"):
        checkpoints.load_state(path)
    with pytest.raises(MissingFile, match="there is no file"):
        checkpoints.load_state(tmp_path / "none")


def test_plain_tensors_are_no_training_state(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(BadFile, match="holds tensors but no training state"):
        checkpoints.load_state(tmp_path / "x.safetensors")


def test_what_cannot_be_saved_is_told_by_its_place_and_the_old_state_stays(tmp_path: Path) -> None:
    path = tmp_path / "state"
    checkpoints.save_state(path, {"a": 1})
    with pytest.raises(TypeError, match=r"cannot hold the function at /'hook'/0"):
        checkpoints.save_state(path, {"hook": [lambda: None]})
    assert checkpoints.load_state(path) == {"a": 1}
