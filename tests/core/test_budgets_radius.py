"""Radii: a number, or one a sample; what is no radius is refused with a sentence."""

import pytest
import torch

from advgen.core.budgets import L0, L1, L2, Latent, Linf, make_budget
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
