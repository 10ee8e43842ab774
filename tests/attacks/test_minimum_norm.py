"""FAB, FMN, DDN, EAD and Carlini-Wagner in Linf and L0 against closed forms; FAB's projections against solvers."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from advgen.attacks.engine import onto_hyperplane_and_box
from advgen.attacks.minimum.cw_l0 import CWL0
from advgen.attacks.minimum.cw_linf import CWLinf
from advgen.attacks.minimum.ddn import DDN
from advgen.attacks.minimum.ead import EAD
from advgen.attacks.minimum.fab import FAB
from advgen.attacks.minimum.fmn import FMN
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of, make_ball
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

N = 4
KINDS = {"classes": toys.linear, "two classes": toys.two_class, "one logit": toys.one_logit}


def far(attack, target, placed, norm):
    """How many times the closed-form distance the images lie away; infinite where they do not fool."""
    goal = goal_of(target, placed.labels)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    images = attack.run(target, placed.images, goal, rng=rng, meter=Meter()).images
    moved = make_ball(norm, 1.0).distance(images, placed.images)
    optimum = toys.optimal_radius(target, placed.images, placed.labels, norm)
    return torch.where(goal.reached(target(images)), moved / optimum, torch.inf)


def hyperplane(seed, d=12):
    """A point of the box, a slope, and a margin that can be brought to zero inside the box."""
    generator = np.random.default_rng(seed)
    x, w = generator.random(d), generator.normal(size=d)
    reachable = np.where(w > 0, w * x, -w * (1 - x)).sum()
    return x, w, 0.6 * reachable


def projected(x, w, margin, norm):
    shape = (1, 1, 3, 4)
    ours = onto_hyperplane_and_box(
        torch.tensor(x).reshape(shape), torch.tensor(w).reshape(shape), torch.tensor([margin]), norm
    )
    return ours.flatten().numpy()


@pytest.mark.parametrize("norm", ["Linf", "L1"])
@pytest.mark.parametrize("seed", range(3))
def test_the_projection_onto_hyperplane_and_box_solves_the_linear_programme(norm, seed):
    """Variables: where each value goes, and how far at most (Linf) or how far each (L1)."""
    x, w, margin = hyperplane(seed)
    d = len(x)
    eye = np.eye(d)
    if norm == "Linf":
        cost, far_column = np.r_[np.zeros(d), 1], -np.ones((d, 1))
        bounds = [(0, 1)] * d + [(0, None)]
    else:
        cost, far_column = np.r_[np.zeros(d), np.ones(d)], -eye
        bounds = [(0, 1)] * d + [(0, None)] * d
    limits = np.block([[eye, far_column], [-eye, far_column]])
    equal = np.r_[w, np.zeros(len(cost) - d)][None]
    best = linprog(cost, limits, np.r_[x, -x], equal, [w @ x - margin], bounds)
    ours = projected(x, w, margin, norm)
    change = np.abs(ours - x)
    assert ours.min() >= 0
    assert ours.max() <= 1
    np.testing.assert_allclose(w @ (ours - x), -margin, atol=1e-6)
    np.testing.assert_allclose(change.max() if norm == "Linf" else change.sum(), best.fun, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_projection_in_l2_is_the_nearest_point(seed):
    x, w, margin = hyperplane(seed)
    best = minimize(
        lambda z: ((z - x) ** 2).sum(),
        x,
        method="SLSQP",
        bounds=[(0, 1)] * len(x),
        constraints={"type": "eq", "fun": lambda z: w @ (z - x) + margin},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(projected(x, w, margin, "L2"), best.x, atol=1e-5)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_without_a_point_on_the_hyperplane_the_projection_goes_to_the_corner(norm):
    x, w, _ = hyperplane(0)
    np.testing.assert_allclose(projected(x, w, 100.0, norm), (w < 0).astype(float), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_fab_finds_the_closed_form_distance(kind, norm):
    """Within 1% in float, and never below it; all classes at every step or one after another."""
    target = KINDS[kind]()
    placed = toys.boundary_images(target, norm, N)
    for one_at_a_time in (False, True):
        attack = FAB(norm=norm, steps=25, one_at_a_time=one_at_a_time, rounded=False)
        ratio = far(attack, target, placed, norm)
        assert 0.999 <= float(ratio.min()) <= float(ratio.max()) <= 1.01


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_fmn_finds_the_closed_form_distance(norm):
    target = toys.one_logit()
    placed = toys.boundary_images(target, norm, N)
    ratio = far(FMN(norm=norm, steps=150, rounded=False), target, placed, norm)
    assert 0.999 <= float(ratio.min()) <= float(ratio.max()) <= 1.05


def test_ddn_finds_the_closed_form_distance():
    target = toys.linear()
    placed = toys.boundary_images(target, "L2", N)
    ratio = far(DDN(steps=120, rounded=False), target, placed, "L2")
    assert 0.999 <= float(ratio.min()) <= float(ratio.max()) <= 1.05


def test_what_is_kept_fools_on_its_bytes():
    target = toys.two_class()
    placed = toys.boundary_images(target, "L2", N)
    placed = placed._replace(images=(placed.images * 255).round() / 255)
    goal = goal_of(target, placed.labels)
    for attack in (DDN(steps=40), FMN(steps=40), FAB(norm="L2", steps=10), EAD(steps=30, searches=4, initial_c=1.0)):
        rng = SampleRng.for_samples(0, "attack", placed.ids)
        images = attack.run(target, placed.images, goal, rng=rng, meter=Meter()).images
        assert torch.equal((images * 255).round() / 255, images), type(attack).__name__
        assert goal.reached(target(images)).all(), type(attack).__name__


@pytest.mark.parametrize("attack", [FAB, FMN, DDN, CWLinf, CWL0, EAD])
def test_an_image_that_fools_already_is_left_alone(attack):
    target = toys.two_class()
    placed = toys.boundary_images(target, "L2", 2)
    on_bytes = (placed.images * 255).round() / 255
    goal = goal_of(target, 1 - target(on_bytes).logits.argmax(1))
    small = {"steps": 2} | ({"searches": 1} if attack is EAD else {})
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    images = attack(**small).run(target, on_bytes, goal, rng=rng, meter=Meter()).images
    assert torch.equal(images, on_bytes)


def test_a_norm_that_fab_cannot_minimise_is_refused():
    with pytest.raises(BadArgument, match="got L0"):
        FAB(make_ball("L0", 3.0))


def test_a_goal_that_wants_a_class_is_refused_with_another_attack_named():
    target = toys.linear()
    placed = toys.boundary_images(target, "L2", 2)
    goal = goal_of(target, placed.labels, "targeted", placed.nearest)
    with pytest.raises(BadArgument, match="minimum/fmn"):
        FAB().run(target, placed.images, goal, rng=SampleRng.for_samples(0, "attack", placed.ids), meter=Meter())


def test_fmn_takes_the_radius_that_the_linearised_loss_asks_for_until_it_has_won():
    """Algorithm 1, line 6, on a detector: one step suffices, as the estimate is exact there."""
    target = toys.one_logit()
    placed = toys.boundary_images(target, "L2", N)
    asked = []

    class Watched:
        def __getattr__(self, name):
            return getattr(target, name)

        def take(self, index):
            return self

        def __call__(self, images, rng=None):
            asked.append(images.detach().clone())
            return target(images, rng)

    goal = goal_of(target, placed.labels)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    FMN(steps=1, rounded=False).run(Watched(), placed.images, goal, rng=rng, meter=Meter())
    moved = (asked[1] - placed.images).flatten(1).norm(dim=1)
    torch.testing.assert_close(moved, torch.full((N,), toys.RADII["L2"]), rtol=1e-3, atol=0)
    assert math.isclose(toys.RADII["L2"], 0.5)
