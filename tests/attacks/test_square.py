"""Square: its schedule, its windows, and that it stays on the edge of the budget."""

import pytest
import torch

from advgen.attacks.blackbox.square import HALVED_AFTER, Square, _bump, window_side
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of, make_ball
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

N = 4


def run(attack, target, placed, meter=None):
    goal = goal_of(target, placed.labels)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    result = attack.run(target, placed.images, goal, rng=rng, meter=meter or Meter())
    return result, goal


def test_the_share_is_halved_where_the_paper_says():
    """At 10,000 queries, after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000; the side is its root."""
    sides = [window_side(k, 10_000, 0.8, (1, 1, 1000, 1000)) for k in range(10_000)]
    steps = [k for k in range(1, 10_000) if sides[k] != sides[k - 1]]
    assert steps == [limit + 1 for limit in HALVED_AFTER]
    assert sides[0] == round(0.8**0.5 * 1000)
    assert sides[-1] == round((0.8 / 512) ** 0.5 * 1000)


def test_the_schedule_is_scaled_to_the_queries():
    assert [window_side(k, 100, 0.8, (1, 1, 100, 100)) for k in (0, 1, 99)] == [89, 45, 4]


def test_a_window_is_a_pixel_at_least_and_the_image_at_most():
    assert window_side(9_999, 10_000, 0.8, (1, 3, 8, 8)) == 1
    assert window_side(0, 10_000, 1.0, (1, 3, 8, 12)) == 8


@pytest.mark.parametrize("side", [1, 2, 3, 7, 8])
def test_a_bump_has_length_1_and_two_signs(side):
    bump = _bump(side)
    assert bump.shape == (side, side)
    torch.testing.assert_close(bump.norm(), torch.tensor(1.0))
    if side > 1:
        assert (bump[: side // 2] >= 0).all()
        assert (bump[side // 2 :] <= 0).all()


def test_every_value_is_at_the_edge_of_the_linf_ball():
    target = toys.linear()
    placed = toys.boundary_images(target, "Linf", N)
    result, _ = run(Square(make_ball("Linf", 0.02), queries=30), target, placed)
    torch.testing.assert_close((result.images - placed.images).abs(), torch.full_like(result.images, 0.02))


def test_the_l2_ball_is_used_up_where_the_box_does_not_bind():
    target = toys.linear()
    placed = toys.boundary_images(target, "L2", N)
    result, _ = run(Square(make_ball("L2", 0.4), queries=60), target, placed)
    length = (result.images - placed.images).flatten(1).norm(dim=1)
    torch.testing.assert_close(length, torch.full((N,), 0.4), rtol=1e-3, atol=0)


def test_more_queries_never_raise_the_loss():
    target = toys.two_class()
    placed = toys.boundary_images(target, "Linf", N)
    losses = []
    for queries in (1, 5, 20, 60):
        result, goal = run(Square(make_ball("Linf", 0.03), queries=queries, share=0.05), target, placed)
        losses.append(goal.loss(target(result.images)))
    assert losses[0].mean() > losses[-1].mean()


def test_it_wins_at_twice_the_optimal_radius():
    target = toys.one_logit()
    placed = toys.boundary_images(target, "Linf", N)
    result, goal = run(Square(make_ball("Linf", 2 * toys.RADII["Linf"]), queries=400), target, placed)
    assert goal.reached(target(result.images)).all()


def test_queries_are_counted_and_saved_by_those_who_leave():
    target = toys.one_logit()
    placed = toys.boundary_images(target, "Linf", N)
    attack = Square(make_ball("Linf", 102 / 255), queries=300, stop="success")
    meter = Meter()
    result, goal = run(attack, target, placed._replace(images=(placed.images * 255).round() / 255), meter)
    assert goal.reached(target(result.images)).all()
    assert int(result.note["queries"].max()) < 300
    # Their bytes were asked for too.
    assert int(result.note["queries"].sum()) <= meter.forwards < N * 300


def test_a_norm_without_squares_is_refused():
    with pytest.raises(BadArgument, match="Linf or L2"):
        Square(make_ball("L1", 1.0))
