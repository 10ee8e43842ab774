"""APGD: its checkpoints, its halvings and its projections, by the papers; and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from advgen.attacks.engine import Problem, checkpoints, descend_adaptively, onto_l1_and_box
from advgen.attacks.engine._schedules import Halving, Progress
from advgen.attacks.image.apgd import APGD
from advgen.attacks.image.apgdt import APGDT
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of, make_ball
from advgen.core.budgets import Linf
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels

N = 8
KINDS = {"classes": toys.linear, "two classes": toys.two_class, "one logit": toys.one_logit}


def run(attack, target, placed, goal=None):
    goal = goal or goal_of(target, placed.labels)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    return attack.run(target, placed.images, goal, rng=rng, meter=Meter()), goal


def test_checkpoints_are_those_of_the_paper():
    """Section 3.1, for the 100 steps of AutoAttack."""
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1) == [1]


@pytest.mark.parametrize("steps", [7, 20, 50, 100, 1000])
def test_checkpoints_follow_the_recurrence(steps):
    p, w = [0.0, 0.22], []
    while p[-1] <= 1:
        w.append(int(np.ceil(round(p[-1] * steps, 6))))
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    assert checkpoints(steps) == sorted(set(w))


def halvings(losses, *, steps=10, rho=0.75):
    """The steps after which a sample with these losses is sent back to its best point."""
    x = torch.zeros(1, 1, 1, 1)
    schedule, seen = Halving(Linf(1.0), x, steps=steps, momentum=0.75, rho=rho), Progress.before(x, x)
    back = []
    for k, loss in enumerate(losses):
        better = seen.note(x + k, torch.tensor([float(loss)]), x)
        if bool(schedule.look(k, better, seen)[0]):
            back.append(k)
    return back, float(schedule.size)


def test_who_gets_better_at_every_step_keeps_the_step():
    assert halvings([-k for k in range(10)]) == ([], 2.0)


def test_condition_1_halves_where_too_few_steps_got_better():
    """Checkpoints of 10 steps: 3, 5, 6, ... 2 of the first 3 got better, which is under 0.75; then all do."""
    assert checkpoints(10)[:3] == [3, 5, 6]
    assert halvings([0, -1, -2, 5, 4, 3]) == ([3], 1.0)
    assert halvings([0, -1, -2, 5, 4, 3], rho=0.6) == ([5], 1.0)


def test_condition_2_halves_where_the_best_stays_though_steps_get_better():
    """From 3 to 5 half of the steps get better, which is enough here, and none reaches the best so far."""
    assert halvings([0, -9, -10, -11, -5, -6], rho=0.5) == ([5], 1.0)
    assert halvings([0, -9, -10, -11, -5, -12], rho=0.5) == ([], 2.0)


def test_after_a_halving_condition_2_waits_for_a_whole_interval():
    """Step by step: the halving at 3 excuses the interval to 5, not the one after it."""
    losses = [0, 9, 8, 9, 8, 7, 6]
    assert halvings(losses) == ([3, 6], 0.5)


def test_a_step_is_the_papers_update():
    """x2 = x1 + a (z - x1) + (1 - a) (x1 - x0), each inside the ball: on one pixel, by hand."""
    images = torch.full((1, 1, 1, 1), 0.5)
    weights = torch.tensor([[[[1.0]]], [[[-1.0]]]])
    target = toys.Toy(weights, torch.zeros(2))
    visited = []

    class Watched:
        def __getattr__(self, name):
            return getattr(target, name)

        def take(self, index):
            return self

        def __call__(self, x, rng=None):
            visited.append(round(float(x.detach()), 6))
            return target(x, rng)

    rng = SampleRng.for_samples(0, "attack", ["a"])
    goal = goal_of(target, torch.zeros(1, dtype=torch.int64))
    problem = Problem(Watched(), Pixels(), Linf(0.1), goal, images, rng, Meter())
    descend_adaptively(problem, steps=2, start=images + 0.1)
    # A first step of 2 * 0.1 down from 0.6 ends at the ball's other side, and stays there.
    assert visited == [0.6, 0.4, 0.4]
    visited.clear()
    descend_adaptively(replace(problem, budget=Linf(0.4)), steps=2, start=images + 0.4)
    assert visited == [0.9, 0.1, 0.1]


@pytest.mark.parametrize("seed", range(4))
def test_the_projection_onto_l1_and_box_is_the_nearest_point(seed):
    """Against a general solver on nine pixels, some of which leave the box."""
    generator = np.random.default_rng(seed)
    x, u = generator.random(9), generator.random(9) * 2 - 0.5
    radius = 0.7
    ours = onto_l1_and_box(torch.tensor(u).reshape(1, 1, 3, 3), torch.tensor(x).reshape(1, 1, 3, 3), radius).flatten()
    # The change is split into what goes up and what goes down, so that the norm is a sum.
    best = minimize(
        lambda s: float(((x + s[:9] - s[9:] - u) ** 2).sum()),
        np.zeros(18),
        method="SLSQP",
        bounds=[(0, 1 - a) for a in x] + [(0, a) for a in x],
        constraints={"type": "ineq", "fun": lambda s: radius - s.sum()},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    np.testing.assert_allclose(ours.numpy(), x + best.x[:9] - best.x[9:], atol=1e-5)


def test_points_inside_l1_and_box_are_left_alone():
    x = torch.full((2, 1, 4, 4), 0.5)
    points = x + 0.01
    torch.testing.assert_close(onto_l1_and_box(points, x, 0.2), points, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("attack", [APGD, APGDT])
def test_apgd_reaches_the_closed_form_optimum_and_no_less(kind, norm, attack):
    target = KINDS[kind]()
    placed = toys.boundary_images(target, norm, N)
    for share, wins in ((1.02, True), (0.98, False)):
        result, goal = run(attack(make_ball(norm, share * toys.RADII[norm]), steps=50), target, placed)
        assert bool((goal.reached(target(result.images)) == wins).all())


def test_the_margin_of_a_linear_detector_falls_by_all_that_the_radius_allows():
    target = toys.one_logit()
    placed = toys.boundary_images(target, "Linf", N)
    result, goal = run(APGD(make_ball("Linf", 0.03), steps=30), target, placed)
    fallen = goal.loss(target(placed.images)) - goal.loss(target(result.images))
    torch.testing.assert_close(fallen, torch.full((N,), 0.03 * float(target.weights.abs().sum())), rtol=1e-4, atol=0)


@pytest.mark.parametrize("scale", [1 / 128, 128.0])
def test_dlr_takes_the_same_way_whatever_the_scale_of_the_logits(scale):
    """Powers of two, so that rounding is the same."""
    target = toys.linear()
    placed = toys.boundary_images(target, "Linf", N)
    attack = APGD(make_ball("Linf", 0.03), steps=20, objective="dlr")
    plain, _ = run(attack, target, placed)
    scaled, _ = run(attack, replace(target, scale=scale), placed)
    torch.testing.assert_close(plain.images, scaled.images, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["two classes", "one logit"])
def test_dlr_without_three_logits_is_refused_and_the_margin_named(kind):
    target = KINDS[kind]()
    placed = toys.boundary_images(target, "Linf", 2)
    with pytest.raises(BadArgument, match="use 'margin'"):
        run(APGD(make_ball("Linf", 0.03), objective="dlr"), target, placed)


def test_samples_leave_when_their_bytes_fool():
    target = toys.linear()
    placed = toys.boundary_images(target, "Linf", N)
    goal, meter = goal_of(target, placed.labels), Meter()
    originals = (placed.images * 255).round() / 255
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    budget = Linf(16 / 255)
    result = APGD(budget, stop="success").run(target, originals, goal, rng=rng, meter=meter)
    saved = budget.to_uint8(result.images, (originals * 255).round().to(torch.uint8)).float() / 255
    assert goal.reached(target(saved)).all()
    assert meter.forwards < N * 20
