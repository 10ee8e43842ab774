"""Each contract catches the fault it is there for, and waivers expire."""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from advgen.contracts import attacks, defenses, elsewhere, optimum, toys
from advgen.contracts.budgets import BUDGETS
from advgen.contracts.contract import Result, judged
from advgen.contracts.data import DATA
from advgen.contracts.goals import GOALS
from advgen.contracts.run import check_plugin, contracts_of
from advgen.contracts.subjects import goal_of
from advgen.contracts.targets import TARGETS
from advgen.core.errors import BadArgument
from advgen.core.registry import load_file
from advgen.core.types import Outputs

planted = load_file(Path(__file__).with_name("planted.py"))
SOUND = [planted.Sound, planted.SoundPurifier, planted.SoundDetector]
BROKEN = [c for _, c in inspect.getmembers(planted, inspect.isclass) if hasattr(c, "caught_by")]
ELSEWHERE = "gives_the_same_in_another_process"


@pytest.fixture(scope="module")
def digests():
    return elsewhere.digests([elsewhere.address_of(cls) for cls in [*SOUND, planted.HashOfAString]])


@pytest.mark.parametrize("cls", SOUND, ids=lambda cls: cls.__name__)
def test_a_sound_plug_in_passes_everything(cls, digests):
    assert [r for r in check_plugin(cls, digests=digests) if r.verdict in ("failed", "waived")] == []


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_a_planted_fault_is_caught(cls, request):
    digests = request.getfixturevalue("digests") if cls.caught_by == ELSEWHERE else {}
    contract = contracts_of(cls, digests=digests)[cls.caught_by]
    result = judged(cls.caught_by, contract, cls, {})
    assert result.verdict == "failed"
    assert result.detail.startswith("raised") == cls.__name__.endswith("NeedsAnImage"), result.detail


def test_every_contract_of_attacks_and_defenses_has_a_planted_fault():
    known = {*attacks.ATTACKS, *optimum.OPTIMUM, *defenses.DEFENSES, ELSEWHERE}
    assert known == {cls.caught_by for cls in BROKEN}


def test_a_waiver_excuses_a_failure_and_keeps_its_reason():
    result = judged("check", lambda subject: "it is broken", None, {"check": "by design"})
    assert result == Result("check", "waived", "by design (it is broken)")


def test_a_waiver_that_is_not_needed_fails():
    assert judged("check", lambda subject: "", None, {"check": "by design"}).verdict == "failed"


def test_a_waiver_of_nothing_fails_with_the_nearest_name():
    class Sound(planted.SoundPurifier):
        waives = {"takes_no_image": "a slip of the pen"}

    failed = [r for r in check_plugin(Sound, digests={}) if r.name == "takes_no_image"]
    assert failed[0].verdict == "failed"
    assert "takes_no_images" in failed[0].detail


def test_an_error_in_a_plug_in_is_a_failure_in_one_line():
    def contract(subject):
        raise ValueError("first line\nsecond line")

    assert judged("check", contract, None, {}) == Result("check", "failed", "raised ValueError: first line")


def test_a_class_that_lives_in_no_file_cannot_be_found_again():
    class Local(planted.SoundPurifier):
        pass

    result = next(r for r in check_plugin(Local) if r.name == ELSEWHERE)
    assert (result.verdict, "file of its own" in result.detail) == ("failed", True)


def test_what_is_no_plug_in_is_refused_with_a_sentence():
    with pytest.raises(BadArgument, match="none of run, purify"):
        check_plugin(dict)
    with pytest.raises(BadArgument, match="no target, budget, goal or encoder"):
        check_plugin(3)


class _Says:
    """A target with one answer changed."""

    def __init__(self, base, **changes):
        self._base, self._changes = base, changes

    def __getattr__(self, name):
        return self._changes.get(name, getattr(self._base, name))

    def __call__(self, images, rng=None):
        return self._changes.get("call", self._base)(images, rng)


def _coupled(images, rng=None):
    outputs = toys.linear()(images, rng)
    return Outputs(outputs.logits + outputs.logits.flip(0) if len(images) else outputs.logits)


def _module_of_another(rng=None):
    return toys.linear(seed=9).as_module(rng)


TARGET_FAULTS = {
    "returns_one_row_of_logits_an_image": _Says(
        toys.linear(), call=lambda x, rng=None: Outputs(torch.zeros(len(x), 2))
    ),
    "returns_logits_and_not_probabilities": toys.softmax_as_logits(),
    "answers_each_image_by_itself": _Says(toys.linear(), call=_coupled),
    "is_random_as_declared": _Says(toys.stochastic(), stochastic=False),
    "has_a_gradient_as_declared": replace(toys.masked(), differentiable=True),
    "its_module_agrees": _Says(toys.linear(), as_module=_module_of_another),
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_faulty_target_is_caught(name):
    assert TARGETS[name](TARGET_FAULTS[name])


class _Ball:
    """Linf 0.1 with one part changed."""

    closed_form = True
    of = "images"

    def __init__(self, **changes):
        from advgen.core.budgets import Linf

        self._base, self._changes = Linf(0.1), changes

    def __getattr__(self, name):
        return self._changes.get(name, getattr(self._base, name))


BUDGET_FAULTS = {
    "projects_inside_and_once": _Ball(project=lambda images, originals: images),
    "draws_inside": _Ball(random=lambda originals, rng: originals + 0.2 * rng.uniform(originals.shape[1:])),
    "measures_from_zero": _Ball(
        distance=lambda images, originals: (images - originals).square().flatten(1).sum(1).sqrt()
    ),
    "saves_inside": _Ball(to_uint8=lambda images, originals_u8: ((images + 0.02).clamp(0, 1) * 255).to(torch.uint8)),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_faulty_budget_is_caught(name):
    assert BUDGETS[name](BUDGET_FAULTS[name])


class _Goal:
    def __init__(self, **changes):
        self._base, self._changes = goal_of(toys.linear(), torch.arange(6) % 4), changes

    def __getattr__(self, name):
        return self._changes.get(name, getattr(self._base, name))


def _masked_margin(outputs):
    """The margin with the label's logit times 0."""
    mask = torch.nn.functional.one_hot(torch.arange(6) % 4, 4)
    return (mask * outputs.logits).sum(1) - ((1 - mask) * outputs.logits).amax(1)


def _ignores_alarms(outputs):
    return outputs.logits.argmax(1) != torch.arange(6) % 4


GOAL_FAULTS = {
    "is_reached_where_the_loss_is_below_zero": _Goal(loss=_masked_margin),
    "is_never_reached_by_what_is_not_finite": _Goal(reached=_ignores_alarms),
    "is_not_reached_where_rejected": _Goal(reached=_ignores_alarms),
    "takes_its_own_samples": _Goal(take=lambda index: goal_of(toys.linear(), (torch.arange(6) % 4)[: len(index)])),
}


@pytest.mark.parametrize("name", GOALS)
def test_a_faulty_goal_is_caught(name):
    assert GOALS[name](GOAL_FAULTS[name])


class _Data:
    """A data set of noise with one fault."""

    splits = ("train", "test")

    def __init__(self, fault=""):
        self.fault, self.asked = fault, 0

    def load(self, split, count, size):
        from advgen.core.types import Slice

        self.asked += 1
        n, side = count or 30, size or 8
        leak = "" if self.fault == "splits_share_no_image" else split
        seed = sum(map(ord, leak)) + (self.asked if self.fault == "loads_the_same_slice_again" else 0)
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (30, 3, side, side), generator=generator).to(torch.uint8)[:n]
        ids = tuple(f"noise/{split}/{0 if self.fault == 'slices_are_well_formed' else i}" for i in range(n))
        rows = type("Table", (), {"num_rows": n})()
        return Slice(ids, images, torch.zeros(n, dtype=torch.int64), rows, f"{seed}-{side}-{n}", ("one",))


@pytest.mark.parametrize("name", DATA)
def test_a_faulty_data_set_is_caught(name):
    assert DATA[name](_Data()) == ""
    assert DATA[name](_Data(name))
