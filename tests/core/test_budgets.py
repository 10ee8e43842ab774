"""Budgets: projections are inside, once and nearest; bytes of what is inside are inside; draws belong to samples."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from advgen.core.budgets import L0, L1, L2, Latent, Linf, Perceptual
from advgen.core.rng import SampleRng

BALLS = {"Linf": Linf, "L2": L2, "L1": L1, "L0": L0}
ORDERS = {"Linf": np.inf, "L2": 2, "L1": 1}
SHAPE = (2, 2, 3)
# Hypothesis counts wall time, and the machine is shared.
settings.register_profile("shared", deadline=None, max_examples=30)
settings.load_profile("shared")


def tensors(low=-0.5, high=1.5, n=3):
    width = n * int(np.prod(SHAPE))
    # On a grid of 1/1024: a change of 1e-38 is lost when it is squared, and no image holds one.
    numbers = st.integers(int(1024 * low), int(1024 * high))
    return st.lists(numbers, min_size=width, max_size=width).map(lambda v: torch.tensor(v).reshape(n, *SHAPE) / 1024)


def radii(name):
    return st.integers(0, 7).map(float) if name == "L0" else st.floats(0, 2, allow_subnormal=False)


def exact(name, moved, origin):
    """(N,) distances in float64, by numpy."""
    change = (moved.double() - origin.double()).numpy()
    if name == "L0":
        return (change != 0).any(1).reshape(len(change), -1).sum(1)
    return np.linalg.norm(change.reshape(len(change), -1), ord=ORDERS[name], axis=1)


@pytest.mark.parametrize("name", BALLS)
@given(data=st.data())
def test_distance_is_the_norm(name, data):
    images, originals = data.draw(tensors()), data.draw(tensors(0, 1))
    measured = BALLS[name](1.0).distance(images, originals)
    np.testing.assert_allclose(measured, exact(name, images, originals), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BALLS)
@given(data=st.data())
def test_projection_is_inside_and_idempotent(name, data):
    images, originals, radius = data.draw(tensors()), data.draw(tensors(0, 1)), data.draw(radii(name))
    budget = BALLS[name](radius)
    once = budget.project(images, originals)
    assert (exact(name, once, originals) <= radius * (1 + 1e-5) + 1e-6).all()
    assert budget.contains(once, originals).all()
    torch.testing.assert_close(budget.project(once, originals), once, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", BALLS)
@given(data=st.data())
def test_what_is_inside_stays_to_the_bit(name, data):
    images, originals = data.draw(tensors()), data.draw(tensors(0, 1))
    radius = float(exact(name, images, originals).max()) * 1.01 + 1e-6
    assert torch.equal(BALLS[name](radius).project(images, originals), images)


@pytest.mark.parametrize("name", ["L1", "L2"])
@pytest.mark.parametrize("seed", range(6))
def test_projection_is_the_nearest_point_that_slsqp_finds(name, seed):
    generator = torch.Generator().manual_seed(seed)
    origin = torch.rand((1, 1, 1, 5), generator=generator)
    image = origin + torch.randn(origin.shape, generator=generator)
    radius = 0.6
    ours = BALLS[name](radius).project(image, origin)

    x, o = image.double().flatten().numpy(), origin.double().flatten().numpy()
    # |v|_1 <= r as p + q with v = p - q is smooth, as SLSQP needs.
    if name == "L1":
        constraint = {"type": "ineq", "fun": lambda s: radius - s.sum()}
        found = minimize(
            lambda s: ((o + s[:5] - s[5:] - x) ** 2).sum(),
            np.full(10, 0.01),
            bounds=[(0, None)] * 10,
            constraints=constraint,
            options={"ftol": 1e-12, "maxiter": 500},
        )
        nearest = o + found.x[:5] - found.x[5:]
    else:
        constraint = {"type": "ineq", "fun": lambda v: radius**2 - (v**2).sum()}
        found = minimize(
            lambda v: ((o + v - x) ** 2).sum(), np.zeros(5), constraints=constraint, options={"ftol": 1e-10}
        )
        nearest = o + found.x
    np.testing.assert_allclose(ours.flatten(), nearest, atol=5e-4)


@pytest.mark.parametrize("name", ["Linf", "L2", "L1"])
@given(data=st.data())
def test_no_point_of_the_ball_is_on_the_far_side_of_the_projection(name, data):
    """The nearest point p of a convex set: (x - p) . (y - p) <= 0 for every y of the set (its KKT conditions)."""
    images, originals, radius = data.draw(tensors()), data.draw(tensors(0, 1)), data.draw(radii(name))
    budget = BALLS[name](radius)
    nearest = budget.project(images, originals).double()
    others = budget.project(data.draw(tensors()), originals).double()
    product = ((images.double() - nearest) * (others - nearest)).flatten(1).sum(1)
    assert (product <= 1e-4).all()


@given(data=st.data())
def test_l0_projection_keeps_the_pixels_that_changed_most(data):
    images, originals, radius = data.draw(tensors()), data.draw(tensors(0, 1)), data.draw(st.integers(0, 6))
    kept = L0(radius).project(images, originals)
    cost = (images - kept).double().square().sum((1, 2, 3)).numpy()
    change = (images - originals).double().square().sum(1).flatten(1).sort(1).values.numpy()
    least = change[:, : 6 - radius].sum(1)
    np.testing.assert_allclose(cost, least, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", BALLS)
@given(data=st.data())
def test_a_radius_for_each_sample_equals_one_sample_at_a_time(name, data):
    images, originals = data.draw(tensors()), data.draw(tensors(0, 1))
    radius = [data.draw(radii(name)) for _ in range(3)]
    together = BALLS[name](torch.tensor(radius))
    rng = lambda: SampleRng.for_samples(0, "attack", ["a", "b", "c"])
    originals_u8 = (originals * 255).round().to(torch.uint8)
    projected, drawn = together.project(images, originals), together.random(originals, rng())
    saved, inside = together.to_uint8(images, originals_u8), together.contains(images, originals)
    for i in range(3):
        one = torch.tensor([i])
        alone = BALLS[name](radius[i])
        torch.testing.assert_close(alone.project(images[one], originals[one]), projected[one], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone.random(originals[one], rng().take(one)), drawn[one], rtol=0, atol=1e-6)
        assert torch.equal(together.take(one).project(images[one], originals[one]), projected[one])
        assert torch.equal(together.take(one).to_uint8(images[one], originals_u8[one]), saved[one])
        assert torch.equal(together.take(one).contains(images[one], originals[one]), inside[one])


@pytest.mark.parametrize("name", BALLS)
@given(data=st.data())
def test_draws_are_inside_and_of_the_sample_alone(name, data):
    originals, radius = data.draw(tensors(0, 1)), data.draw(radii(name))
    ids = ["a", "b", "c"]
    drawn = BALLS[name](radius).random(originals, SampleRng.for_samples(3, "attack", ids))
    assert (exact(name, drawn, originals) <= radius * (1 + 1e-4) + 1e-5).all()
    order = torch.tensor([2, 0, 1])
    again = BALLS[name](radius).random(originals[order], SampleRng.for_samples(3, "attack", ids).take(order))
    assert torch.equal(again, drawn[order])


@pytest.mark.parametrize(("name", "share"), [("Linf", 1 / 2), ("L2", (1 / 2) ** (1 / 12)), ("L1", 1 / 2)])
def test_draws_fill_the_ball(name, share):
    """Half the volume lies outside the radius share * r (L2: 12 dimensions); a coordinate is as often up as down."""
    n = 2000
    originals = torch.zeros(n, *SHAPE)
    drawn = BALLS[name](1.0).random(originals, SampleRng.for_samples(0, "attack", [str(i) for i in range(n)]))
    assert abs(float((drawn > 0).float().mean()) - 0.5) < 0.02
    if name == "L2":
        assert abs(float((drawn.flatten(1).norm(dim=1) > share).float().mean()) - 0.5) < 0.04
    elif name == "Linf":
        assert abs(float((drawn.abs() > share).float().mean()) - 0.5) < 0.02
    else:
        # In the L1 ball of d dimensions the mean of |x|_1 is d / (d + 1).
        assert abs(float(drawn.abs().flatten(1).sum(1).mean()) - 12 / 13) < 0.01


@pytest.mark.parametrize("name", ["Linf", "L2", "L1"])
def test_distance_has_a_finite_gradient_at_the_original(name):
    originals = torch.rand((3, *SHAPE), generator=torch.Generator().manual_seed(0))
    images = originals.clone().requires_grad_()
    (slope,) = torch.autograd.grad(BALLS[name](1.0).distance(images, originals).sum(), images)
    assert slope.isfinite().all()


@pytest.mark.parametrize("name", BALLS)
@given(data=st.data())
def test_bytes_of_what_is_inside_are_inside(name, data):
    originals_u8 = data.draw(
        st.lists(st.integers(0, 255), min_size=36, max_size=36).map(
            lambda v: torch.tensor(v, dtype=torch.uint8).reshape(3, *SHAPE)
        )
    )
    radius = data.draw(radii(name))
    budget = BALLS[name](radius)
    originals = originals_u8.float() / 255
    images = budget.project(data.draw(tensors()), originals).clamp(0, 1)
    saved = budget.to_uint8(images, originals_u8)
    assert saved.dtype == torch.uint8
    levels = saved.double() - originals_u8.double()
    assert (exact(name, levels / 255, torch.zeros_like(levels)) <= radius * (1 + 1e-5) + 1e-6).all()


@given(st.integers(0, 255), st.floats(0, 1, width=32), st.integers(0, 32))
def test_linf_bytes_are_the_nearest_inside_whole_levels(origin, value, levels):
    saved = Linf(levels / 255).to_uint8(
        torch.full((1, 1, 1, 1), value), torch.full((1, 1, 1, 1), origin).to(torch.uint8)
    )
    nearest = int(np.round(np.float32(value) * np.float32(255)))
    assert int(saved) == min(max(nearest, origin - levels, 0), origin + levels, 255)


@pytest.mark.parametrize(
    ("radius", "levels"), [(0.01, 2), (0.1, 25), (8 / 255, 8), (0.0392, 9), (1.0, 255), (3.0, 255)]
)
def test_the_effective_linf_radius_is_whole_grey_levels(radius, levels):
    saved = Linf(radius).to_uint8(torch.ones(1, 1, 1, 1), torch.zeros((1, 1, 1, 1), dtype=torch.uint8))
    assert int(saved) == levels


@pytest.mark.parametrize("name", ["L2", "L1"])
def test_pulling_back_costs_little(name):
    """Bytes stay within half a level a value of the nearest bytes, and use most of the radius."""
    generator = torch.Generator().manual_seed(0)
    originals_u8 = torch.randint(40, 210, (4, 3, 16, 16), generator=generator).to(torch.uint8)
    originals = originals_u8.float() / 255
    budget = BALLS[name]({"L2": 1.0, "L1": 20.0}[name])
    images = budget.project(originals + torch.randn(originals.shape, generator=generator), originals)
    images = images.clamp(0, 1)
    saved = budget.to_uint8(images, originals_u8)
    gap = (saved.float() - images * 255).abs()
    assert gap.max() <= 1.0
    assert (budget.distance(saved.float() / 255, originals) > 0.95 * budget.distance(images, originals)).all()


def mean_square(images, originals):
    return (images - originals).square().flatten(1).mean(1)


def test_a_learned_distance_is_searched_along_the_line():
    budget = Perceptual("Lpips", 0.04, mean_square)
    originals = torch.full((2, 1, 4, 4), 0.5)
    images = torch.cat([originals[:1] + 0.4, originals[1:] + 0.1])
    projected = budget.project(images, originals)
    assert budget.contains(projected, originals).all()
    torch.testing.assert_close(projected[0], originals[0] + 0.2, rtol=0, atol=1e-3)
    assert torch.equal(projected[1], images[1])
    assert not budget.closed_form


def test_bytes_of_a_learned_distance_come_closer_until_they_are_inside():
    budget = Perceptual("Lpips", 0.01, mean_square)
    originals_u8 = torch.full((1, 1, 4, 4), 128, dtype=torch.uint8)
    saved = budget.to_uint8(torch.full((1, 1, 4, 4), 0.61), originals_u8)
    assert budget.contains(saved.float() / 255, originals_u8.float() / 255).all()
    assert (saved > originals_u8).all()


@given(st.floats(0.1, 3), st.integers(1, 4))
def test_a_latent_ball_counts_the_root_mean_square_over_rows(radius, rows):
    origin, far = torch.zeros(2, rows, 5), torch.full((2, rows, 5), 9.0)
    moved = Latent(radius).project(far, origin)
    torch.testing.assert_close(moved.norm(dim=2), torch.full((2, rows), radius), rtol=1e-4, atol=1e-5)
