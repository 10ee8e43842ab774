"""The engine: who leaves, what is kept, and that no sample feels another."""

from dataclasses import dataclass, replace

import pytest
import torch

from advgen.attacks.engine import Adam, Normalised, Problem, Sign, Sparse, descend, random_start, with_restarts
from advgen.attacks.image.pgd import PGD
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of, make_ball
from advgen.core.budgets import Linf
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels

N = 6


def problem(target=None, budget=None, *, norm="Linf", n=N):
    target = target or toys.linear()
    placed = toys.boundary_images(toys.linear(), norm, n)
    on_bytes = (placed.images * 255).round() / 255
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    budget = budget or Linf(0.06)
    return Problem(target, Pixels(), budget, goal_of(target, placed.labels), on_bytes, rng, Meter())


def saved_reached(found, p):
    saved = p.budget.to_uint8(found.images, (p.originals * 255).round().to(torch.uint8)).float() / 255
    return p.goal.reached(p.target(saved))


def test_samples_leave_only_when_their_bytes_fool():
    p = problem()
    found = descend(p, steps=30, step_rule=Sign(0.004), stop="success")
    assert found.reached.all()
    assert saved_reached(found, p).all()
    assert p.meter.forwards < N * 31


def test_nobody_leaves_who_fools_in_float_alone():
    """At 10.3 grey levels the linear optimum is won in float; the bytes keep to 10 and do not fool."""
    p = problem(budget=Linf(10.3 / 255))
    p = replace(p, originals=toys.boundary_images(toys.linear(), "Linf", N, radius=10.2 / 255).images)
    p = replace(p, originals=(p.originals * 255).round() / 255)
    stays = descend(p, steps=40, step_rule=Sign(0.002), stop="success")
    left = saved_reached(stays, p)
    fooled_in_float = p.goal.reached(p.target(stays.images))
    assert bool((fooled_in_float & ~left).any())
    never = descend(p, steps=40, step_rule=Sign(0.002), stop="never")
    rows = ~left
    assert torch.equal(stays.images[rows], never.images[rows])


def test_on_a_random_target_nobody_leaves():
    p = problem(toys.stochastic(), Linf(0.2))
    descend(p, steps=7, step_rule=Sign(0.05), stop="success")
    assert (p.meter.forwards, p.meter.backwards) == (8 * N, 7 * N)


def test_leaving_does_not_touch_those_who_stay():
    radius = torch.tensor([0.02, 0.3] * (N // 2))
    p = problem(budget=Linf(radius))
    both = descend(p, steps=20, step_rule=Sign(radius / 8), stop="success")
    stayed = torch.tensor([0, 2, 4])
    alone = descend(p.take(stayed), steps=20, step_rule=Sign(radius[stayed] / 8), stop="success")
    assert torch.equal(both.images[stayed], alone.images)


@pytest.mark.parametrize(
    "rule", [Sign(0.01), Normalised(0.05), Sparse(0.3), Adam(0.01)], ids=lambda r: type(r).__name__
)
def test_a_sample_does_not_feel_its_batch(rule):
    fresh = lambda: Adam(0.01) if isinstance(rule, Adam) else rule
    p = problem(toys.stochastic())
    index = torch.tensor([4, 1])
    few = SampleRng.for_samples(0, "attack", [p.rng.ids[i] for i in index])
    found = descend(p, steps=6, step_rule=fresh())
    alone = descend(replace(p.take(index), rng=few), steps=6, step_rule=fresh())
    assert torch.equal(found.images[index], alone.images)


@pytest.mark.parametrize("rule", [Sign, Normalised, Sparse])
def test_a_step_has_its_length_in_its_norm(rule):
    norm = {Sign: "Linf", Normalised: "L2", Sparse: "L1"}[rule]
    originals = torch.full((3, 3, 8, 8), 0.5)
    slope = torch.randn(originals.shape, generator=torch.Generator().manual_seed(0))
    size = torch.tensor([0.1, 0.2, 1e-3])
    moved = rule(size).step(originals.clone(), slope.clone(), 0)
    torch.testing.assert_close(make_ball(norm, 1.0).distance(moved, originals), size, rtol=1e-4, atol=0)
    assert ((moved - originals) * slope <= 0).all()


@pytest.mark.parametrize("rule", [Sign(0.1), Normalised(0.1), Sparse(0.1)], ids=lambda r: type(r).__name__)
def test_a_zero_gradient_is_no_step(rule):
    originals = torch.full((2, 3, 4, 4), 0.5)
    assert torch.equal(rule.step(originals.clone(), torch.zeros_like(originals), 0), originals)


def test_tiny_gradients_of_confident_samples_give_a_whole_step():
    originals = torch.full((1, 3, 4, 4), 0.5)
    moved = Normalised(0.1).step(originals.clone(), torch.full_like(originals, 1e-30), 0)
    torch.testing.assert_close((moved - originals).norm(), torch.tensor(0.1), rtol=1e-4, atol=0)


def test_adam_is_torchs_adam():
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn((2, 3), generator=generator)
    theirs = ours.clone().requires_grad_()
    reference, rule = torch.optim.Adam([theirs], lr=0.03), Adam(0.03)
    for k in range(5):
        slope = torch.randn((2, 3), generator=generator)
        theirs.grad = slope.clone()
        reference.step()
        ours = rule.step(ours, slope, k)
    torch.testing.assert_close(ours, theirs.detach())


@dataclass(frozen=True)
class Wander:
    """Good once, then worse: only best-so-far keeps the good point."""

    at: int

    def take(self, index):
        return self

    def step(self, coordinates, gradient, k):
        return coordinates + (-0.2 if k == self.at else 0.2) * gradient.sign()


def test_the_best_point_is_kept_and_not_the_last():
    p = problem()
    found = descend(p, steps=4, step_rule=Wander(0))
    assert p.goal.reached(p.target(found.images)).all()
    torch.testing.assert_close(p.goal.loss(p.target(found.images)), found.loss)


def test_what_was_won_in_the_last_quarter_is_not_early():
    early = descend(problem(), steps=8, step_rule=Wander(0))
    assert early.reached_early.all()
    late = descend(problem(), steps=8, step_rule=Wander(7))
    assert late.reached.all()
    assert not late.reached_early.any()


def test_a_learned_budget_is_kept_without_a_projection():
    p = problem(budget=make_ball("Lpips", 0.03), norm="Lpips")
    found = descend(p, steps=40, step_rule=Adam(0.01))
    assert found.inside.all()
    assert p.budget.contains(found.images, p.originals).all()
    assert not found.reached.any()


def test_restarts_go_to_those_who_have_not_been_won():
    p = problem(budget=Linf(torch.tensor([0.2, 0.01] * (N // 2))))
    asked = []

    def attempt(few, r):
        asked.append(few.rng.ids)
        return descend(few, steps=5, step_rule=Sign(0.05), start=random_start(few))

    found = with_restarts(p, attempt, restarts=3)
    assert found.reached.tolist() == [True, False] * (N // 2)
    assert [len(ids) for ids in asked] == [N, N // 2, N // 2]
    assert asked[1] == p.rng.ids[1::2]


def test_on_a_random_target_everybody_is_tried_again():
    p = problem(toys.stochastic(), Linf(0.3))
    asked = []

    def attempt(few, r):
        asked.append(len(few.rng))
        return descend(few, steps=2, step_rule=Sign(0.2))

    with_restarts(p, attempt, restarts=2)
    assert asked == [N, N]


def test_gradients_that_are_not_finite_are_noted_and_do_no_harm():
    class Bad:
        def __init__(self, toy):
            self.toy = toy

        def __getattr__(self, name):
            return getattr(self.toy, name)

        def take(self, index):
            return self

        def __call__(self, images, rng=None):
            outputs = self.toy(images, rng)
            # The square root of exactly 0 has an infinite slope, times 0 = nan.
            return outputs._replace(
                logits=outputs.logits + (images - images).abs().sqrt().flatten(1).sum(1, keepdim=True)
            )

    p = problem()
    found = descend(replace(p, target=Bad(p.target)), steps=3, step_rule=Sign(0.01))
    assert found.bad_gradient.all()
    assert found.images.isfinite().all()


def test_eot_ranks_by_the_mean_of_fresh_draws():
    """With many draws a step the loss that is kept is near the noiseless one, with one it is a lucky one."""
    gaps = {}
    for samples in (1, 32):
        p = problem(toys.stochastic(0.05), Linf(0.02), n=24)
        found = descend(p, steps=20, step_rule=Sign(0.003), samples=samples)
        gaps[samples] = float((p.goal.loss(toys.linear()(found.images)) - found.loss).mean())
    assert 0 <= gaps[32] < gaps[1]


def test_pgd_without_images_asks_nothing_wrong():
    p = problem().take(torch.zeros(0, dtype=torch.int64))
    result = PGD(Linf(0.1), stop="success").run(p.target, p.originals, p.goal, rng=p.rng, meter=p.meter)
    assert result.images.shape == (0, *toys.SHAPE)
