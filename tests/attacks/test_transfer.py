"""Gradient rules of the transfer attacks, each against its formula, and nested."""

from dataclasses import replace

import pytest
import torch

from advgen.attacks.engine import Blurred, Momentum, Problem, Resized, Scaled, Sign, Variance, descend, transfer_rules
from advgen.attacks.image.mim import MIM
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of
from advgen.core.budgets import L2, Linf
from advgen.core.errors import BadArgument, UnknownName
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels

N = 3
X = torch.rand((N, 2, 6, 6), generator=torch.Generator().manual_seed(0))


def rng(purpose="rule"):
    return SampleRng.for_samples(0, purpose, [str(i) for i in range(N)])


def problem(budget=None):
    target = toys.linear()
    placed = toys.boundary_images(target, "Linf", N)
    streams = SampleRng.for_samples(0, "attack", placed.ids)
    return Problem(
        target, Pixels(), budget or Linf(0.05), goal_of(target, placed.labels), placed.images, streams, Meter()
    )


def square(x):
    """The slope of sum x^3 / 3."""
    return x.square()


def test_momentum_adds_up_slopes_of_mean_1():
    rule = Momentum(0.5)
    first = rule(square, X, k=0)
    second = rule(square, 2 * X, k=1)
    unit = square(X) / square(X).flatten(1).mean(1).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(first, unit)
    torch.testing.assert_close(second, 1.5 * unit)


def test_nesterov_looks_where_the_momentum_leads():
    rule, seen = Momentum(1.0, 0.1), []

    def slope_at(x):
        seen.append(x)
        return torch.ones_like(x)

    rule(slope_at, X, k=0)
    rule(slope_at, X, k=1)
    torch.testing.assert_close(seen[1], X - 0.1)


def test_scaled_copies_follow_the_chain_rule():
    """Of sum x^3 / 3: the mean over i of (x / 2^i)^2 / 2^i."""
    expected = sum(square(X / 2**i) / 2**i for i in range(3)) / 3
    torch.testing.assert_close(Scaled(3)(square, X, k=0), expected)


def test_a_blurred_slope_keeps_its_sum_inside_and_is_the_slope_for_one_pixel():
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1.0
    blurred = Blurred(5)(lambda x: point, torch.zeros_like(point), k=0)
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0))
    assert blurred.argmax() == point.argmax()
    torch.testing.assert_close(blurred, blurred.flip(2))
    assert torch.equal(Blurred(1)(square, X, k=0), square(X))


def test_variance_is_what_neighbours_slopes_differ_by():
    """Of a linear loss nothing; of a square one the first correction comes in the second step."""
    constant = torch.full_like(X, 3.0)
    rule = Variance(4, 0.1, 1.5, rng())
    torch.testing.assert_close(rule(lambda x: constant, X, k=0), constant)
    torch.testing.assert_close(rule(lambda x: constant, X, k=1), constant)
    rule = Variance(500, 0.1, 1.5, rng())
    torch.testing.assert_close(rule(square, X, k=0), square(X))
    # The mean of (x + r)^2 - x^2 over r uniform in [-0.15, 0.15] is 0.15^2 / 3.
    torch.testing.assert_close(rule(square, X, k=1) - square(X), torch.full_like(X, 0.0075), rtol=0, atol=0.03)


def test_resizing_never_happens_at_probability_0_and_shrinks_at_1():
    torch.testing.assert_close(Resized(1.5, 0.0, rng())(square, X, k=0), square(X), rtol=1e-4, atol=1e-5)
    seen = []

    def watched(x):
        seen.append(x)
        return torch.ones_like(x)

    slope = Resized(2.0, 1.0, rng())(watched, torch.ones_like(X), k=0)
    # White shrunk onto black: a share between a quarter and all of it stays, and the slope is what each pixel weighs.
    share = seen[0].flatten(1).mean(1)
    assert (share > 0.2).all()
    assert (share < 1.0).all()
    torch.testing.assert_close(slope.flatten(1).sum(1), seen[0].flatten(1).sum(1), rtol=1e-4, atol=1e-4)


def test_rules_nest_and_no_sample_feels_its_batch():
    p = problem()
    names = ("nim", "dim", "tim", "sim", "vmi")

    def found(p):
        rules = transfer_rules(names, p, step_size=0.01, decay=1.0, neighbours=2, kernel=3)
        return descend(p, steps=3, step_rule=Sign(0.01), gradient=rules).images

    index = torch.tensor([2, 0])
    few = SampleRng.for_samples(0, "attack", [p.rng.ids[int(i)] for i in index])
    assert torch.equal(found(p)[index], found(replace(p.take(index), rng=few)))


def test_rules_shrink_with_the_samples_that_stay():
    """Half of the samples leave at once; the others end where they end alone."""
    radius = torch.tensor([0.3, 0.01, 0.3])
    p = problem(Linf(radius))

    def found(p):
        rules = transfer_rules(("dim", "vmi"), p, step_size=0.02, decay=1.0, neighbours=2)
        return descend(p, steps=6, step_rule=Sign(0.02), gradient=rules, stop="success")

    both = found(p)
    stayed = torch.tensor([1])
    few = SampleRng.for_samples(0, "attack", [p.rng.ids[1]])
    assert torch.equal(both.images[stayed], found(replace(p.take(stayed), rng=few)).images)


def test_an_unknown_rule_is_named():
    with pytest.raises(UnknownName, match="dim"):
        transfer_rules(("dimm",), problem(), step_size=0.1, decay=1.0)
    with pytest.raises(BadArgument, match="Linf"):
        MIM(L2(0.5), add=("vmi",)).run(
            *(lambda p: (p.target, p.originals, p.goal))(problem(L2(0.5))), rng=rng(), meter=Meter()
        )
