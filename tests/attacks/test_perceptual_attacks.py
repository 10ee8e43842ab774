"""LPA and PPGD: the bound is kept as re-measured, and the closed form of a quadratic distance is reached."""

from dataclasses import replace

import pytest
import torch

from advgen.attacks.engine import FeatureNorm
from advgen.attacks.perceptual.lpa import LPA
from advgen.attacks.perceptual.ppgd import PPGD
from advgen.contracts import toys
from advgen.contracts.parts import root_mean_square
from advgen.contracts.subjects import goal_of
from advgen.core.budgets import Linf, Perceptual
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

N = 4


def mean_square(images, originals):
    return (images - originals).square().flatten(1).mean(1)


METRICS = {False: root_mean_square, True: mean_square}


def run(attack, target, placed):
    goal = goal_of(target, placed.labels)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    return attack.run(target, placed.images, goal, rng=rng, meter=Meter()), goal


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("attack", [LPA, PPGD])
@pytest.mark.parametrize(("share", "wins"), [(1.25, True), (0.98, False)])
def test_the_optimum_of_a_quadratic_distance_is_reached_and_no_less(attack, squared, share, wins):
    """A root mean square and its square: the same ball, so the radius is squared too."""
    target = toys.linear()
    placed = toys.boundary_images(target, "Lpips", N)
    radius = share * toys.RADII["Lpips"]
    budget = Perceptual("Lpips", radius**2 if squared else radius, METRICS[squared])
    result, goal = run(attack(budget, steps=20, squared=squared), target, placed)
    assert bool((goal.reached(target(result.images)) == wins).all())
    assert budget.contains(result.images, placed.images).all()
    torch.testing.assert_close(result.note["perceptual"], budget.distance(result.images, placed.images))


@pytest.mark.parametrize("squared", [False, True])
def test_the_curvature_of_a_quadratic_distance_is_the_identity(squared):
    x = torch.full((2, 3, 4, 4), 0.5)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    norm = FeatureNorm(Perceptual("Lpips", 1.0, METRICS[squared]), x, squared)
    expected = direction / x[0].numel()
    torch.testing.assert_close(norm.curvature(x, direction, 1e-2), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("attack", [LPA, PPGD])
def test_a_budget_in_pixels_is_refused(attack):
    target = toys.linear()
    placed = toys.boundary_images(target, "L2", 2)
    with pytest.raises(BadArgument, match="learned distance"):
        run(attack(Linf(0.1)), target, placed)


def test_features_of_the_originals_shrink_with_the_batch():
    x = torch.full((4, 3, 4, 4), 0.5)
    norm = FeatureNorm(Perceptual("Lpips", torch.tensor([0.1, 0.2, 0.3, 0.4]), root_mean_square), x, squared=False)
    few = norm.take(torch.tensor([3, 1]))
    torch.testing.assert_close(few.radius, torch.tensor([0.4, 0.2]))
    torch.testing.assert_close(replace(few, squared=True).radius, torch.tensor([0.4, 0.2]).sqrt())
