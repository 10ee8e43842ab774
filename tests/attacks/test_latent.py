"""Attacks on latents: the linear closed form in W+, the gate, and budgets that count from the image itself."""

import pytest
import torch

from advgen.attacks.latent.pgd import PGD
from advgen.contracts import toys
from advgen.contracts.parts import LeastSquares, LinearGenerator, root_mean_square
from advgen.core.budgets import Latent, Perceptual
from advgen.core.errors import BadArgument
from advgen.core.goals import make_goal
from advgen.core.latent_spaces import spread
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

GENERATOR = LinearGenerator()
TARGET = toys.two_class()


def placed(n=6):
    """Images that the generator makes, with what the target says of them."""
    torch.manual_seed(3)
    w = 0.2 * torch.randn(n, GENERATOR.num_ws, GENERATOR.w_dim)
    images = GENERATOR.synthesis(w)
    labels = TARGET(images).logits.argmax(1)
    return images, labels, tuple(f"toy/test/{i}" for i in range(n))


def attacked(images, labels, ids, **args):
    attack = PGD(**{"generator": GENERATOR, "inverter": LeastSquares(GENERATOR), "steps": 200, **args})
    goal = make_goal("untargeted", labels, None, decision="argmax", classes=2)
    meter = Meter()
    found = attack.run(TARGET, images, goal, rng=SampleRng.for_samples(0, "attack", ids), meter=meter)
    return found, goal.reached(TARGET(found.images)), meter


def smallest_radii(images, labels):
    """Of linear logits over a linear generator: margin over the length of its slope in coordinates."""
    w = torch.zeros(1, GENERATOR.num_ws, GENERATOR.w_dim, requires_grad=True)
    logits = TARGET(GENERATOR.synthesis(w)).logits[0]
    (slope,) = torch.autograd.grad(logits[0] - logits[1], w)
    margin = TARGET(images).logits
    margin = (margin[:, 0] - margin[:, 1]).abs()
    return margin / (slope.norm() * spread(GENERATOR) * GENERATOR.num_ws**0.5)


def test_the_closed_form_in_w_plus_is_reached_and_not_beaten():
    images, labels, ids = placed()
    assert images.min() >= 0
    assert images.max() <= 1
    for i, radius in enumerate(smallest_radii(images, labels).tolist()):
        one = (images[i : i + 1], labels[i : i + 1], ids[i : i + 1])
        _, reached, _ = attacked(*one, budget=Latent(1.05 * radius))
        assert reached.all()
        _, reached, _ = attacked(*one, budget=Latent(0.95 * radius))
        assert not reached.any()


def test_the_notes_say_how_far_it_went_and_the_meter_what_it_cost():
    images, labels, ids = placed()
    found, _, meter = attacked(images, labels, ids, budget=Latent(0.2), steps=10)
    assert (found.note["latent_distance"] <= 0.2 * (1 + 1e-5)).all()
    assert found.note["inversion_distance"].max() < 1e-5
    assert meter.generator_calls >= 11 * len(images)


def test_an_inversion_beyond_the_limit_is_refused_by_name():
    images, labels, ids = placed()
    images = images.clone()
    images[2] = 1 - images[2].round()
    with pytest.raises(BadArgument, match=f"the inversion of {ids[2]} is too far from the image to attack it"):
        attacked(images, labels, ids, budget=Latent(0.2), limit=0.1)


def test_an_image_whose_inversion_lies_outside_its_budget_comes_back_as_it_was():
    images, labels, ids = placed()
    images = images.clone()
    images[2] = 1 - images[2].round()
    budget = Perceptual("Lpips", 0.02, root_mean_square)
    found, _, _ = attacked(images, labels, ids, budget=budget)
    assert found.note["outside"].tolist() == [i == 2 for i in range(len(images))]
    assert torch.equal(found.images[2], images[2])
    assert budget.contains(found.images, images).all()


def test_a_learned_budget_is_used_up_where_that_wins():
    images, labels, ids = placed()
    budget = Perceptual("Lpips", 0.5, root_mean_square)
    found, reached, _ = attacked(images, labels, ids, budget=budget)
    assert reached.all()
    assert budget.contains(found.images, images).all()


def test_images_of_another_size_are_refused():
    images, labels, ids = placed()
    with pytest.raises(BadArgument, match="the generator makes images of"):
        attacked(images[..., :-1], labels, ids, budget=Latent(0.2))


def test_from_nothing_it_finds_samples_that_fool():
    images, labels, ids = placed()
    found, reached, _ = attacked(images, labels, ids, budget=Latent(100.0), space="z", inverter=None)
    assert reached.all()
    assert (found.images - images).abs().flatten(1).amax(1).min() > 0.01
