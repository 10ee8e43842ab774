"""PGD, BIM and FGSM against closed forms."""

import pytest
import torch

from advgen.attacks.image.bim import BIM
from advgen.attacks.image.fgsm import FGSM
from advgen.attacks.image.pgd import PGD
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of, make_ball
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

N = 8
KINDS = {"classes": toys.linear, "two classes": toys.two_class, "one logit": toys.one_logit}


def reached(attack, target, placed, goal=None):
    goal = goal or goal_of(target, placed.labels)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    images = attack.run(target, placed.images, goal, rng=rng, meter=Meter()).images
    return goal.reached(target(images)), images


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize(("share", "wins"), [(1.05, True), (0.95, False)])
def test_pgd_reaches_the_closed_form_optimum_and_no_less(kind, norm, share, wins):
    target = KINDS[kind]()
    placed = toys.boundary_images(target, norm, N)
    won, _ = reached(PGD(make_ball(norm, share * toys.RADII[norm]), steps=50), target, placed)
    assert bool((won == wins).all())


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("attack", [FGSM, BIM])
def test_one_step_and_many_small_ones_are_optimal_on_a_linear_target(attack, norm):
    if attack is BIM and norm == "L2":
        pytest.skip("BIM is an Linf attack")
    target = toys.two_class()
    placed = toys.boundary_images(target, norm, N)
    for share, wins in ((1.001, True), (0.999, False)):
        won, _ = reached(attack(make_ball(norm, share * toys.RADII[norm])), target, placed)
        # Ten steps of a grey level end short of 0.04 by 0.0008.
        assert bool((won == wins).all()) or attack is BIM
    if attack is BIM:
        won, _ = reached(BIM(make_ball(norm, 1.001 * toys.RADII[norm]), steps=11), target, placed)
        assert won.all()


def test_the_margin_of_a_linear_detector_falls_by_radius_times_the_l1_norm_of_its_weights():
    """One logit, as a detector has: the optimum of any Linf attack is radius * |w|_1, and PGD takes all of it."""
    target = toys.one_logit()
    placed = toys.boundary_images(target, "Linf", N)
    goal = goal_of(target, placed.labels)
    radius = 0.03
    _, images = reached(PGD(make_ball("Linf", radius), steps=40), target, placed, goal)
    before, after = goal.loss(target(placed.images)), goal.loss(target(images))
    torch.testing.assert_close(
        before - after, torch.full((N,), radius * float(target.weights.abs().sum())), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("logits", [toys.all_negative, toys.times_100, toys.saturated])
def test_the_margin_does_not_care_how_large_or_low_logits_are(logits):
    target = logits()
    placed = toys.boundary_images(toys.linear(), "Linf", N)
    won, _ = reached(PGD(make_ball("Linf", 1.05 * toys.RADII["Linf"]), steps=50), target, placed)
    assert won.all()


def test_cross_entropy_gives_up_where_the_softmax_saturates():
    target = toys.saturated()
    placed = toys.boundary_images(toys.linear(), "Linf", N)
    goal = make_goal("untargeted", placed.labels, decision="argmax", classes=4, objective="cross_entropy")
    attack = PGD(make_ball("Linf", 1.05 * toys.RADII["Linf"]), steps=50, random_start=False)
    result = attack.run(target, placed.images, goal, rng=SampleRng.for_samples(0, "attack", placed.ids), meter=Meter())
    assert not goal.reached(target(result.images)).any()
    assert result.note["zero_gradient"].all()


def test_a_targeted_attack_reaches_the_wanted_class_at_its_own_radius():
    target = toys.linear()
    placed = toys.boundary_images(target, "L2", N)
    goal = goal_of(target, placed.labels, "targeted", placed.nearest)
    for share, wins in ((1.05, True), (0.95, False)):
        won, _ = reached(PGD(make_ball("L2", share * toys.RADII["L2"]), steps=50), target, placed, goal)
        assert bool((won == wins).all())


def test_masked_gradients_are_noted():
    target = toys.masked()
    placed = toys.boundary_images(toys.linear(), "Linf", N)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    note = (
        PGD(make_ball("Linf", 0.05))
        .run(target, placed.images, goal_of(target, placed.labels), rng=rng, meter=Meter())
        .note
    )
    assert note["zero_gradient"].all()
    assert not note["bad_gradient"].any()


def test_more_radius_and_more_restarts_never_lose():
    target = toys.stochastic(0.001)
    placed = toys.boundary_images(toys.linear(), "Linf", 24)
    goal = goal_of(target, placed.labels)
    plain = toys.linear()
    won = []
    for radius in (0.02, 0.038, 0.042, 0.06):
        rng = SampleRng.for_samples(0, "attack", placed.ids)
        images = (
            PGD(make_ball("Linf", radius), steps=20).run(target, placed.images, goal, rng=rng, meter=Meter()).images
        )
        won.append(int(goal.reached(plain(images)).sum()))
    assert won == sorted(won)
    assert (won[0], won[-1]) == (0, 24)
