"""The toys are what they say: bit-equal rows, exact radii, the faults they were made for."""

import pytest
import torch

from advgen.contracts import toys
from advgen.contracts.parts import LeastSquares, LinearGenerator, Noisy, WordHash, for_needs
from advgen.core.budgets import Linf
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

KINDS = {"classes": toys.linear, "two classes": toys.two_class, "one logit": toys.one_logit}


def goal_of(target, labels):
    return make_goal("untargeted", labels, decision=target.decision, classes=len(target.classes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_boundary_images_are_as_far_as_they_say(kind, norm):
    target = KINDS[kind]()
    placed = toys.boundary_images(target, norm, 8)
    radii = toys.optimal_radius(target, placed.images, placed.labels, norm)
    torch.testing.assert_close(radii, torch.full((8,), toys.RADII[norm]), rtol=1e-4, atol=0)
    assert not goal_of(target, placed.labels).reached(target(placed.images)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_steepest_step_crosses_the_boundary_just_above_the_optimal_radius(kind):
    target = KINDS[kind]()
    placed = toys.boundary_images(target, "Linf", 8)
    goal = goal_of(target, placed.labels)
    images = placed.images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(goal.loss(target(images)).sum(), images)
    for share, crossed in ((0.999, False), (1.001, True)):
        moved = placed.images - share * toys.RADII["Linf"] * slope.sign()
        assert bool((goal.reached(target(moved)) == crossed).all())


def test_pixels_needed_agrees_with_trying_every_set_of_pixels():
    target = toys.one_logit(shape=(1, 2, 3))
    images = torch.full((2, 1, 2, 3), 0.5) + 0.1 * target.weights.sign() * torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    labels = (target(images).logits[:, 0] > 0).long()
    goal = goal_of(target, labels)
    masks = torch.tensor([[(m >> i) & 1 for i in range(6)] for m in range(64)]).reshape(64, 1, 2, 3).bool()
    for i in range(2):
        extreme = (target.weights * (1 - 2 * labels[i]) > 0).float()
        tried = torch.where(masks, extreme, images[i : i + 1])
        wins = goal.take(torch.full((64,), i)).reached(target(tried))
        fewest = masks.flatten(1).sum(1)[wins].min()
        assert toys.optimal_radius(target, images, labels, "L0")[i] == fewest


@pytest.mark.parametrize(
    "make",
    [toys.linear, toys.two_class, toys.one_logit, toys.matcher, toys.saturated, toys.masked, toys.stochastic]
    + [toys.all_negative, toys.times_100, toys.softmax_as_logits],
    ids=lambda make: make.__name__,
)
def test_rows_and_gradients_are_bit_equal_in_any_batch(make):
    target = make()
    images = torch.rand((7, *toys.SHAPE), generator=torch.Generator().manual_seed(0))
    ids = [str(i) for i in range(7)]

    def ask(which):
        x = images[which].clone().requires_grad_()
        logits = target(x, SampleRng.for_samples(0, "attack", [ids[i] for i in which])).logits
        (slope,) = torch.autograd.grad(logits.square().sum(), x)
        return logits.detach(), slope

    logits, slopes = ask(list(range(7)))
    for which in ([3], [6, 0, 3], [0, 1, 2, 3, 4]):
        some, some_slopes = ask(which)
        assert torch.equal(some, logits[which])
        assert torch.equal(some_slopes, slopes[which])


def test_masked_has_no_gradient_and_saturated_none_through_cross_entropy():
    images = toys.boundary_images(toys.linear(), "Linf", 4)
    for target in (toys.masked(), toys.saturated()):
        x = images.images.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(target(x).logits, images.labels, reduction="sum")
        assert torch.autograd.grad(loss, x)[0].abs().max() == 0


def test_raising_refuses_marked_images_alone():
    target = toys.raising()
    target(torch.full((2, *toys.SHAPE), 0.5))
    with pytest.raises(toys.Refused):
        target(torch.cat([torch.full((1, *toys.SHAPE), 0.5), torch.full((1, *toys.SHAPE), 0.95)]))


def test_the_training_network_is_left_in_train_mode_and_answers_like_its_linear_toy():
    target, toy = toys.training_network(), toys.linear(seed=4)
    images = torch.rand((3, *toys.SHAPE), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(target(images).logits, toy(images).logits, rtol=1e-3, atol=1e-3)
    assert target.network.training
    assert all(p.requires_grad for p in target.network.parameters())


def test_the_inverter_finds_what_the_generator_made():
    generator = LinearGenerator()
    w = generator.mapping(torch.randn((3, 8), generator=torch.Generator().manual_seed(0)))
    rng = SampleRng.for_samples(0, "attack", ["a", "b", "c"])
    found = LeastSquares(generator).invert(generator.synthesis(w), rng=rng, meter=Meter())
    torch.testing.assert_close(found.w, w, rtol=1e-4, atol=1e-5)
    assert found.distance.max() < 1e-6


def test_texts_are_unit_vectors_of_their_words():
    encoder = WordHash()
    vectors = encoder.encode(["red hair", "red hair", "glasses"])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    assert torch.equal(vectors[0], vectors[1])
    assert encoder.unknown("red h4ir") == ("h4ir",)


def test_the_noisy_purifier_draws_from_each_samples_stream():
    images = torch.full((2, *toys.SHAPE), 0.5)
    both = Noisy().purify(images, SampleRng.for_samples(0, "defense", ["a", "b"]))
    second = Noisy().purify(images[1:], SampleRng.for_samples(0, "defense", ["b"]))
    assert torch.equal(both[1:], second)
    assert not torch.equal(both[0], both[1])


def test_every_need_of_the_interfaces_has_a_toy():
    names = "target autoencoder generator inverter text_encoder image_text_encoder directions perceptual purifier"
    ours = {"gallery", "fakes"}  # beyond the list of the interfaces: other faces, and a generator's images
    assert set(for_needs(Linf(0.1))) == {*names.split(), "classifier", "attack", *ours}
