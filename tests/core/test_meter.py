"""The meter counts what a target is asked, image by image, in every way in which it can be asked."""

import pytest
import torch

from advgen.attacks.engine import Problem, Sign, descend, with_restarts
from advgen.attacks.image.fgsm import FGSM
from advgen.attacks.image.pgd import PGD
from advgen.contracts import toys
from advgen.contracts.attacks import Watched
from advgen.contracts.subjects import goal_of
from advgen.core.budgets import Linf
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels

N = 6


def setting(target=None, *, radius=0.04):
    target = target or toys.linear()
    placed = toys.boundary_images(toys.linear(), "Linf", N, radius=radius)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    return target, placed.images, goal_of(target, placed.labels), rng


def counts(attack, target=None, **kwargs):
    """What the meter and the target itself counted, an image."""
    target, images, goal, rng = setting(target, **kwargs)
    watched, meter = Watched(target), Meter()
    attack.run(watched, images, goal, rng=rng, meter=meter)
    assert (meter.forwards, meter.backwards) == (watched.count.forwards, watched.count.backwards)
    return meter.forwards / N, meter.backwards / N


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_pgd_costs_a_forward_more_than_it_has_steps(steps):
    assert counts(PGD(Linf(0.001), steps=steps)) == (steps + 1, steps)


def test_fgsm_costs_one_of_each():
    assert counts(FGSM(Linf(0.04))) == (1, 1)


def test_eot_costs_its_samples():
    assert counts(PGD(Linf(0.001), steps=5, samples=4), toys.stochastic()) == (4 * 6, 4 * 5)


def test_restarts_cost_those_who_have_not_been_won():
    assert counts(PGD(Linf(0.001), steps=5, restarts=3)) == (3 * 6, 3 * 5)
    assert counts(PGD(Linf(0.5), steps=5, restarts=3)) == (6, 5)


def test_who_has_left_costs_nothing():
    """Won at the first look, on the bytes: one forward in float, one for the bytes, no backward."""
    target, images, goal, rng = setting()
    goal = goal_of(target, (goal.labels + 1) % 4)
    watched, meter = Watched(target), Meter()
    PGD(Linf(0.04), steps=5, random_start=False, stop="success").run(watched, images, goal, rng=rng, meter=meter)
    assert (meter.forwards, meter.backwards) == (watched.count.forwards, watched.count.backwards) == (2 * N, 0)


def test_every_image_is_counted_while_some_leave():
    target, images, goal, rng = setting()
    radius = torch.tensor([0.01, 0.06] * (N // 2))
    watched, meter = Watched(target), Meter()
    problem = Problem(watched, Pixels(), Linf(radius), goal, images, rng, meter)
    found = descend(problem, steps=10, step_rule=Sign(radius / 4), stop="success")
    assert found.reached.tolist() == [False, True] * (N // 2)
    assert (meter.forwards, meter.backwards) == (watched.count.forwards, watched.count.backwards)
    assert N // 2 * 11 < meter.forwards < N * 11


def test_a_forward_without_a_gradient_is_no_backward():
    meter = Meter()
    target, images, _, rng = setting()
    counted = Counted(target, meter)
    with torch.no_grad():
        counted(images, rng)
    counted(images.clone().requires_grad_(), rng)
    assert (meter.forwards, meter.backwards) == (2 * N, 0)


def test_two_backwards_through_one_forward_are_two():
    meter = Meter()
    target, images, _, _ = setting()
    x = images.clone().requires_grad_()
    logits = Counted(target, meter)(x).logits
    torch.autograd.grad(logits[:, 0].sum(), x, retain_graph=True)
    torch.autograd.grad(logits[:, 1].sum(), x)
    assert (meter.forwards, meter.backwards) == (N, 2 * N)


def test_as_a_module_it_is_counted_too():
    meter = Meter()
    target, images, goal, _ = setting()
    x = images.clone().requires_grad_()
    torch.nn.functional.cross_entropy(Counted(target, meter).as_module()(x), goal.labels).backward()
    assert (meter.forwards, meter.backwards) == (N, N)


def test_counts_go_on_over_attempts_and_takes():
    target, images, goal, rng = setting()
    meter = Meter()
    problem = Problem(target, Pixels(), Linf(0.001), goal, images, rng, meter)
    with_restarts(problem, lambda p, r: descend(p, steps=2, step_rule=Sign(0.01)), restarts=2)
    assert meter.forwards == 2 * 3 * N
    Counted(target, meter).take(torch.tensor([0, 1]))(images[:2])
    assert meter.forwards == 2 * 3 * N + 2


def test_seconds_add_up_and_survive_an_error():
    meter = Meter()
    with meter.running():
        pass
    first = meter.seconds
    with pytest.raises(RuntimeError), meter.running():
        raise RuntimeError
    assert meter.seconds > first > 0
