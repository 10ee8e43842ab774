"""Radii: a number, or one a sample; what is no radius is refused with a sentence."""

import pytest
import torch

from advgen.core.budgets import L0, L1, L2, Latent, Linf, make_budget, require_reachable
from advgen.core.errors import BadArgument, UnknownName
from advgen.core.rng import SampleRng
from advgen.core.specs import BudgetSpec


def test_a_latent_ball_projects_and_draws():
    budget = Latent(0.5)
    origin = torch.zeros(3, 2, 8)
    far = torch.ones(3, 2, 8)
    torch.testing.assert_close(budget.distance(budget.project(far, origin), origin), torch.full((3,), 0.5))
    drawn = budget.random(origin, SampleRng.for_samples(0, "attack", ["a", "b", "c"]))
    assert budget.contains(drawn, origin).all()


@pytest.mark.parametrize("ball", [Linf, L2, L1, L0, Latent])
def test_a_negative_radius_is_refused(ball):
    for radius in (-1.0, torch.tensor([0.1, -0.1]), torch.tensor(-0.5), float("nan")):
        with pytest.raises(BadArgument, match="radius"):
            ball(radius)


def test_a_budget_is_made_from_its_spec():
    assert make_budget(BudgetSpec("Linf", "8/255")) == Linf(8 / 255)
    with pytest.raises(BadArgument, match="0 or more"):
        make_budget(BudgetSpec("L2", "-1"))
    with pytest.raises(BadArgument, match="division by zero"):
        make_budget(BudgetSpec("L2", "8/0"))
    with pytest.raises(UnknownName, match="Linf"):
        make_budget(BudgetSpec("linf", "0.1"))
    with pytest.raises(BadArgument, match="network"):
        make_budget(BudgetSpec("Lpips", "0.1"))


def test_a_linf_radius_in_grey_levels_is_recognised():
    with pytest.raises(BadArgument, match="where it bounds nothing; for 8 grey levels write 8/255"):
        make_budget(BudgetSpec("Linf", "8"))
    assert make_budget(BudgetSpec("Linf", "1")) == Linf(1.0)


@pytest.mark.parametrize(("name", "farthest"), [("L2", 48**0.5), ("L1", 48.0)])
def test_a_ball_that_holds_every_image_is_refused(name, farthest):
    require_reachable(BudgetSpec(name, str(farthest * 0.999)), (3, 4, 4))
    with pytest.raises(BadArgument, match=f"the radius of {name} is 128, and images of 3 x 4 x 4 .* write 128/255"):
        require_reachable(BudgetSpec(name, "128"), (3, 4, 4))
