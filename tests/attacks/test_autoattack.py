"""AutoAttack: the closed form with few logits, worst case image by image, random targets, and going on after a kill."""

from dataclasses import dataclass, replace

import pytest
import torch

from advgen.attacks.ensemble import autoattack
from advgen.attacks.ensemble.autoattack import AutoAttack
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of, make_ball
from advgen.core.errors import BadArgument, BadFile, UnknownName
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

N = 4
KINDS = {"two classes": toys.two_class, "one logit": toys.one_logit, "a matcher": toys.matcher}
SMALL = {"steps": 10, "queries": 20, "samples": 2, "judged": 6}


def run(attack, target, placed, meter=None):
    goal = goal_of(target, placed.labels)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    return attack.run(target, placed.images, goal, rng=rng, meter=meter or Meter()), goal


@pytest.mark.parametrize("kind", ["two classes", "one logit"])
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_with_few_logits_it_reaches_the_closed_form_optimum_and_no_less(kind, norm):
    target = KINDS[kind]()
    placed = toys.boundary_images(target, norm, N)
    attack = AutoAttack(make_ball(norm, 1.05 * toys.RADII[norm]), **SMALL | {"steps": 30})
    result, goal = run(attack, target, placed)
    assert goal.reached(target(result.images)).all()
    attack = AutoAttack(make_ball(norm, 0.98 * toys.RADII[norm]), **SMALL)
    result, goal = run(attack, target, placed)
    assert not goal.reached(target(result.images)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_few_logits_take_the_margin(kind):
    assert AutoAttack(make_ball("Linf", 0.1))._names(KINDS[kind]()) == ("apgd-margin", "fab", "square")


def test_the_standard_version_is_the_authors():
    names = AutoAttack(make_ball("Linf", 0.1))._names(toys.linear())
    assert names == ("apgd-ce", "apgd-t", "fab-t", "square")


def test_square_is_left_out_where_it_has_no_ball():
    assert "square" not in AutoAttack(make_ball("L1", 0.1))._names(toys.linear())


@dataclass(frozen=True)
class Wins:
    """A part that wins the samples whose id ends so, and leaves the others a little nearer the boundary."""

    digit: str
    seen: list

    def run(self, target, images, goal, *, rng, meter):
        from advgen.core.types import AttackResult

        self.seen.append(rng.ids)
        weights = torch.stack([target.weights[int(k)] for k in goal.labels])
        size = torch.tensor([0.2 if i.endswith(self.digit) else 0.001 for i in rng.ids]).reshape(-1, 1, 1, 1)
        return AttackResult((images - size * weights.sign()).clamp(0, 1))


def test_each_part_sees_the_survivors_and_says_whom_it_won(monkeypatch):
    seen = []
    digits = {"apgd-ce": "0", "apgd-t": "2"}
    monkeypatch.setattr(AutoAttack, "_attack", lambda self, name, stochastic: Wins(digits[name], seen))
    target = toys.linear()
    placed = toys.boundary_images(target, "Linf", N)
    attack = AutoAttack(make_ball("Linf", 0.2), "custom", ("apgd-ce", "apgd-t"))
    result, goal = run(attack, target, placed)
    assert [len(ids) for ids in seen] == [4, 3]
    assert result.note["part"].tolist() == [0, -1, 1, -1]
    assert goal.reached(target(result.images)).tolist() == [True, False, True, False]
    # Those that stand are returned at the lowest loss seen.
    assert (goal.loss(target(result.images)) < goal.loss(target(placed.images))).all()


def test_nothing_outside_the_budget_is_returned(monkeypatch):
    monkeypatch.setattr(AutoAttack, "_attack", lambda self, name, stochastic: Wins("0", []))
    target = toys.linear()
    placed = toys.boundary_images(target, "Linf", N)
    result, _ = run(AutoAttack(make_ball("Linf", 0.1), "custom", ("fab",)), target, placed)
    assert make_ball("Linf", 0.1).contains(result.images, placed.images).all()
    assert torch.equal(result.images[0], placed.images[0])


def test_on_a_random_target_all_samples_go_through_all_parts(monkeypatch):
    seen = []
    monkeypatch.setattr(AutoAttack, "_attack", lambda self, name, stochastic: Wins("0", seen))
    target = toys.stochastic()
    placed = toys.boundary_images(toys.linear(), "Linf", N)
    result, _ = run(AutoAttack(make_ball("Linf", 0.2), judged=20), target, placed)
    assert [len(ids) for ids in seen] == [4, 4]
    assert result.note["success"][0] == 1
    assert result.note["success"][1:].max() < 0.9


def test_an_interrupted_run_goes_on_to_the_same_images(monkeypatch, tmp_path):
    target = toys.linear()
    placed = toys.boundary_images(target, "Linf", N)
    attack = AutoAttack(make_ball("Linf", 0.03), resume=str(tmp_path), **SMALL)
    whole, _ = run(replace(attack, resume=""), target, placed)
    plain = AutoAttack._attack

    def killed(self, name, stochastic):
        if name == "fab-t":
            raise KeyboardInterrupt
        return plain(self, name, stochastic)

    monkeypatch.setattr(AutoAttack, "_attack", killed)
    with pytest.raises(KeyboardInterrupt):
        run(attack, target, placed)
    monkeypatch.undo()
    made = []
    monkeypatch.setattr(AutoAttack, "_attack", lambda self, n, s: (made.append(n), plain(self, n, s))[1])
    resumed, _ = run(attack, target, placed)
    assert made == ["fab-t", "square"]
    assert torch.equal(resumed.images, whole.images)
    assert torch.equal(resumed.note["part"], whole.note["part"])
    run(attack, target, placed)
    assert made == ["fab-t", "square"]


def test_another_run_does_not_take_up_what_is_not_its_own(tmp_path):
    target = toys.two_class()
    placed = toys.boundary_images(target, "Linf", N)
    attack = AutoAttack(make_ball("Linf", 0.03), "custom", ("apgd-margin",), steps=3, resume=str(tmp_path))
    for other in (attack, replace(attack, steps=4), replace(attack, budget=make_ball("Linf", 0.02))):
        run(other, target, placed)
    run(attack, replace(target, scale=2.0), placed)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_state_is_refused_with_what_to_do(tmp_path):
    target = toys.two_class()
    placed = toys.boundary_images(target, "Linf", N)
    attack = AutoAttack(make_ball("Linf", 0.03), "custom", ("apgd-margin",), steps=3, resume=str(tmp_path))
    run(attack, target, placed)
    next(tmp_path.iterdir()).write_bytes(b"not a state")
    with pytest.raises(BadFile, match="remove it"):
        run(attack, target, placed)


def test_an_unknown_part_is_named():
    with pytest.raises(UnknownName, match="apgd-ce"):
        AutoAttack(make_ball("Linf", 0.1), "custom", ("apgd-c",))
    with pytest.raises(BadArgument, match="custom"):
        AutoAttack(make_ball("Linf", 0.1), parts=("fab",))


def test_every_part_of_every_version_can_be_made():
    assert {name for names in autoattack.VERSIONS.values() for name in names} <= set(autoattack.PARTS)
    for version in ("standard", "plus", "rand"):
        attack = AutoAttack(make_ball("Linf", 0.1), version)
        for name in autoattack.PARTS:
            assert attack._attack(name, stochastic=False).budget is attack.budget
