"""What latent attacks are compared with: the inversion alone, draws, the way to another face, pixels moved as far."""

import pytest
import torch

from advgen.attacks.latent.best_of import BestOf
from advgen.attacks.latent.interpolate import Interpolate
from advgen.attacks.latent.inversion import Inversion
from advgen.attacks.latent.matched import Matched
from advgen.attacks.latent.pgd import PGD
from advgen.contracts import toys
from advgen.contracts.parts import LeastSquares, LinearGenerator, root_mean_square
from advgen.core.budgets import Latent, Perceptual
from advgen.core.errors import BadArgument
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

GENERATOR = LinearGenerator()
TARGET = toys.linear()
PARTS = {"generator": GENERATOR, "inverter": LeastSquares(GENERATOR)}


@pytest.fixture(scope="module")
def placed():
    """Images that the generator makes, what the target says of them, and a picture of every class it knows."""
    g = torch.Generator().manual_seed(3)
    w = 0.2 * torch.randn(300, GENERATOR.num_ws, GENERATOR.w_dim, generator=g)
    images = GENERATOR.synthesis(w).clamp(0, 1)
    labels = TARGET(images).logits.argmax(1)
    gallery = torch.stack([images[(labels == k).nonzero()[-1, 0]] for k in range(4)])
    return images[:6], labels[:6], gallery


def run(attack, placed, wanted=None):
    images, labels, _ = placed
    goal = make_goal("untargeted" if wanted is None else "targeted", labels, wanted, decision="argmax", classes=4)
    rng, meter = SampleRng.for_samples(0, "attack", [str(i) for i in range(len(images))]), Meter()
    found = attack.run(TARGET, images, goal, rng=rng, meter=meter)
    return found, goal.loss(TARGET(found.images)), meter


def test_the_inversion_alone_searches_nothing(placed):
    found, _, meter = run(Inversion(Latent(0.1), **PARTS), placed)
    torch.testing.assert_close(found.images, placed[0], atol=1e-5, rtol=0)
    assert (meter.forwards, meter.backwards) == (6, 0)


def test_draws_are_never_worse_than_the_inversion_and_more_of_them_never_than_fewer(placed):
    budget = Perceptual("Lpips", 0.2, root_mean_square)
    losses = [run(BestOf(budget, draws=n, **PARTS), placed)[1] for n in (1, 10, 40)]
    assert bool((losses[1] <= losses[0] + 1e-6).all())
    assert bool((losses[2] <= losses[1] + 1e-6).all())


def test_draws_lie_in_the_latent_ball(placed):
    found, _, meter = run(BestOf(Latent(0.3), draws=20, **PARTS), placed)
    assert float(found.note["latent_distance"].max()) <= 0.3 * (1 + 1e-5)
    assert meter.forwards == 6 * 20


def test_the_way_leads_to_the_other_picture_where_the_budget_lets_it(placed):
    images, labels, gallery = placed
    wanted = (labels + 1) % 4
    found, loss, _ = run(Interpolate(Latent(100.0), steps=10, gallery=gallery, **PARTS), placed, wanted)
    assert bool((loss < 0).all())
    ends = gallery[wanted]
    along = ((found.images - images) * (ends - images)).flatten(1).sum(1)
    lengths = (found.images - images).flatten(1).norm(dim=1) * (ends - images).flatten(1).norm(dim=1)
    torch.testing.assert_close(along, lengths, rtol=1e-3, atol=1e-4)  # on the straight line


def test_pixels_move_no_farther_than_latents_did_image_by_image(placed):
    budget = Perceptual("Lpips", 0.1, root_mean_square)
    latent, _, _ = run(PGD(budget, steps=30, **PARTS), placed)
    pixels, _, meter = run(Matched(budget, steps=30, **PARTS), placed)
    used = root_mean_square(latent.images, placed[0])
    torch.testing.assert_close(pixels.note["latent_lpips"], used)
    assert bool((root_mean_square(pixels.images, placed[0]) <= used * (1 + 1e-4)).all())
    assert meter.backwards == 30 * 6


def test_numbers_that_say_nothing_are_refused():
    with pytest.raises(BadArgument, match="draws of 1 or more"):
        BestOf(Latent(0.1), draws=0)
    with pytest.raises(BadArgument, match="must be 1 or more, got 0"):
        Interpolate(Latent(0.1), steps=0)
