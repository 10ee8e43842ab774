"""Flow: the space by itself, and both loops in it."""

import pytest
import torch

from advgen.attacks.image.flow import Flow, _Field
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of
from advgen.core.budgets import Latent, Linf
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

IMAGES = torch.rand((2, 3, 9, 11), generator=torch.Generator().manual_seed(0))
RNG = SampleRng.for_samples(0, "attack", ["a", "b"])


@pytest.mark.parametrize("spacing", [1, 3, 4])
def test_no_displacement_is_the_image_itself(spacing):
    field = _Field(IMAGES, spacing, 8.0)
    torch.testing.assert_close(field.decode(field.start(IMAGES, RNG)), IMAGES, rtol=0, atol=1e-5)


@pytest.mark.parametrize("spacing", [1, 3, 4])
def test_the_same_displacement_everywhere_is_a_shift(spacing):
    field = _Field(IMAGES, spacing, 8.0)
    moved = field.decode(field.start(IMAGES, RNG) + torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(moved[:, :, :-1, :-2], IMAGES[:, :, 1:, 2:], rtol=0, atol=1e-5)


def test_no_new_colour_is_made():
    field = _Field(IMAGES, 1, 8.0)
    coordinates = torch.randn(field.start(IMAGES, RNG).shape, generator=torch.Generator().manual_seed(1)) * 3
    moved = field.decode(coordinates)
    assert moved.amin() >= IMAGES.amin()
    assert moved.amax() <= IMAGES.amax()


@pytest.mark.parametrize("optimiser", ["pgd", "apgd"])
def test_both_loops_lower_the_loss_inside_the_budget(optimiser):
    target = toys.linear()
    placed = toys.boundary_images(target, "L2", 4)
    goal = goal_of(target, placed.labels)
    rng = SampleRng.for_samples(0, "attack", placed.ids)
    attack = Flow(Latent(0.5), optimiser, steps=15, spacing=1)
    result = attack.run(target, placed.images, goal, rng=rng, meter=Meter())
    assert (goal.loss(target(result.images)) < goal.loss(target(placed.images))).all()
    assert (result.note["displacement"] <= 0.5 * (1 + 1e-5)).all()
    assert (result.note["displacement"] > 0.3).all()


def test_a_budget_in_images_is_refused():
    with pytest.raises(BadArgument, match="Latent"):
        Flow(Linf(0.1))
