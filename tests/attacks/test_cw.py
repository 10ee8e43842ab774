"""Carlini-Wagner against closed forms, and the invariants that other versions of it broke."""

import pytest
import torch
from torch import Tensor, nn

from advgen.attacks.minimum.cw import CW
from advgen.core.errors import BadArgument
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget
from advgen.core.types import Outputs

SHAPE = (1, 8, 8)


class Linear(nn.Module):
    """Per-row sums, so that a row is the same to the last bit in any batch."""

    def __init__(self, weights: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weights, self.bias = weights, bias

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1)[:, None, :] * self.weights[None]).sum(2) + self.bias


def linear_target(classes: int = 3, *, shift: float = 0.0, scale: float = 1.0) -> ModuleTarget:
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn(classes, 64, generator=draw) * scale
    bias = -weights.sum(1) / 2 + shift
    names = tuple(map(str, range(classes)))
    return ModuleTarget(Linear(weights, bias), names, SHAPE, decision="sign" if classes == 1 else "argmax")


def grey_images(n: int, low: int = 100, high: int = 156) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(low, high, (n, *SHAPE), generator=draw) / 255


def attacked(attack: CW, target: ModuleTarget, images: Tensor, goal_name: str = "untargeted", first: int = 0):
    logits = target(images).logits
    labels = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    wanted = (labels + 1) % logits.shape[1] if goal_name == "targeted" else None
    goal = make_goal(goal_name, labels, wanted, decision=target.decision, classes=logits.shape[1])
    rng = SampleRng.for_samples(0, "attack", [str(first + i) for i in range(len(images))])
    meter = Meter()
    return attack.run(target, images, goal, rng=rng, meter=meter), goal, meter


def closed_form(target: ModuleTarget, images: Tensor, goal) -> Tensor:
    """(N,) the nearest boundary in L2; targeted with three classes it is a lower bound."""
    weights, logits = target.network.weights, target(images).logits
    if logits.shape[1] == 1:
        return logits[:, 0].abs() / weights[0].norm()
    watched = goal.labels if goal.wanted is None else goal.wanted
    margins = (logits - logits.gather(1, watched[:, None])).abs()
    slopes = (weights[None] - weights[watched][:, None]).norm(dim=2)
    distances = (margins / slopes).scatter(1, watched[:, None], torch.inf)
    return distances.amin(1) if goal.wanted is None else distances.gather(1, goal.labels[:, None])[:, 0]


def lengths(images: Tensor, originals: Tensor) -> Tensor:
    return (images - originals).flatten(1).norm(dim=1)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_cw_reaches_the_closed_form_distance_of_a_linear_target(classes: int) -> None:
    target, images = linear_target(classes), grey_images(6)
    result, goal, _ = attacked(CW(steps=300, rounded=False), target, images)
    assert bool(goal.reached(target(result.images)).all())
    ratio = lengths(result.images, images) / closed_form(target, images, goal)
    assert float(ratio.min()) >= 0.999  # nothing is nearer than the boundary; the rest is float error
    assert float(ratio.max()) <= 1.05


def test_every_success_survives_rounding_and_is_on_bytes_already() -> None:
    target, images = linear_target(), grey_images(16)
    result, goal, _ = attacked(CW(steps=200), target, images)
    levels = result.images * 255
    assert torch.equal(levels.round() / 255, result.images)
    assert bool(goal.reached(target(result.images)).all())
    # One grey level in one of 64 pixels is what rounding may cost at most in length, a pixel.
    assert bool((lengths(result.images, images) <= closed_form(target, images, goal) * 1.25 + 2 / 255).all())


def test_pixels_that_are_exactly_black_or_white_move() -> None:
    target = linear_target(2)
    draw = torch.Generator().manual_seed(2)
    images = torch.randint(0, 2, (8, *SHAPE), generator=draw).float()
    result, goal, _ = attacked(CW(steps=300, initial_c=0.01), target, images)
    assert bool(goal.reached(target(result.images)).all())


def test_targeted_images_reach_the_wanted_class() -> None:
    target, images = linear_target(), grey_images(8)
    result, goal, _ = attacked(CW(steps=200), target, images, "targeted")
    assert torch.equal(target(result.images).logits.argmax(1), goal.wanted)


def test_all_negative_logits_change_nothing() -> None:
    images, attack = grey_images(6), CW(steps=100)
    near, _, _ = attacked(attack, linear_target(), images)
    shifted = linear_target(shift=-512.0)
    far, goal, _ = attacked(attack, shifted, images)
    assert bool(goal.reached(shifted(far.images)).all())
    # The shift costs float digits of the margin, so distances agree to rounding only.
    torch.testing.assert_close(lengths(far.images, images), lengths(near.images, images), rtol=0.05, atol=2 / 255)


@pytest.mark.parametrize("abort_early", [True, False])
def test_a_sample_does_not_depend_on_its_batch(abort_early: bool) -> None:
    target, images = linear_target(), grey_images(7)
    attack = CW(steps=60, searches=5, abort_early=abort_early)
    together, _, _ = attacked(attack, target, images)
    for i in range(len(images)):
        alone, _, _ = attacked(attack, target, images[i : i + 1], first=i)
        assert torch.equal(alone.images[0], together.images[i])


def test_kappa_is_kept_as_a_margin_on_the_bytes() -> None:
    target, images = linear_target(), grey_images(6)
    margins = []
    for kappa in (0.0, 2.0, 5.0):
        result, goal, _ = attacked(CW(steps=200, kappa=kappa), target, images)
        loss = goal.loss(target(result.images))
        assert float(loss.max()) <= -kappa
        margins.append(lengths(result.images, images).mean())
    assert margins[0] < margins[1] < margins[2]


def test_an_original_that_fools_already_is_returned_as_it_is() -> None:
    target, images = linear_target(), grey_images(4)
    wrong = (target(images).logits.argmax(1) + 1) % 3
    goal = make_goal("untargeted", wrong, decision="argmax", classes=3)
    rng = SampleRng.for_samples(0, "attack", ["a", "b", "c", "d"])
    meter = Meter()
    result = CW(steps=50, rounded=False).run(target, images, goal, rng=rng, meter=meter)
    assert torch.equal(result.images, images)


def test_stopping_early_costs_nothing_that_counts_and_saves_gradients() -> None:
    target, images = linear_target(), grey_images(6)
    short, _, cheap = attacked(CW(steps=200, abort_early=True), target, images)
    full, _, dear = attacked(CW(steps=200, abort_early=False), target, images)
    assert cheap.backwards < dear.backwards
    assert dear.forwards == 6 * 9 * 201
    torch.testing.assert_close(lengths(short.images, images), lengths(full.images, images), rtol=0.05, atol=1 / 255)


def test_no_images_give_no_images() -> None:
    result, _, _ = attacked(CW(steps=5), linear_target(), grey_images(0))
    assert result.images.shape == (0, *SHAPE)


class GuardedTarget:
    """A linear target with an alarm on the mean of the image."""

    decision, stochastic, differentiable, image_shape = "argmax", False, True, SHAPE

    def __init__(self) -> None:
        self.inner = linear_target()
        self.classes = self.inner.classes

    def __call__(self, images: Tensor, rng=None) -> Outputs:
        mean = images.flatten(1).mean(1)
        return Outputs(self.inner(images).logits, (mean - 0.51) / 0.01)

    def take(self, index: Tensor) -> "GuardedTarget":
        return self


def test_an_alarm_is_evaded_together_with_the_label() -> None:
    target, images = GuardedTarget(), grey_images(6, 110, 150)
    result, goal, _ = attacked(CW(steps=300), target, images)
    outputs = target(result.images)
    assert bool(goal.reached(outputs).all())
    assert float(outputs.alarm.max()) <= 0


def test_more_confidence_than_an_alarm_lets_the_loss_show_is_refused_in_a_sentence() -> None:
    with pytest.raises(BadArgument, match=r"kappa is 5\.0, and against a target with an alarm"):
        attacked(CW(kappa=5.0), GuardedTarget(), grey_images(2))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"kappa": -1.0}, {"initial_c": 0.0}, {"searches": 0}])
def test_arguments_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(BadArgument, match="minimum/cw must be"):
        CW(**wrong)
