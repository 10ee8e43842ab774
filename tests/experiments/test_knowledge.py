"""What each attacker sees of a defense, and where gradients go."""

import pytest
import torch
from torch import nn

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget
from advgen.core.types import Alarm, Defended
from advgen.experiments.knowledge import seen_by_attacker


class Rounded:
    """No gradient of its own; its surrogate triples."""

    stochastic = False
    differentiable = False

    def purify(self, images, rng):
        return (images * 4).round() / 4

    def surrogate(self):
        return lambda images: 3 * images


class Shifted:
    stochastic = True
    differentiable = True

    def purify(self, images, rng):
        return images + rng.uniform((1, 1, 1))

    def surrogate(self):
        return lambda images: images


class Steps:
    """A score without gradient, and its surrogate."""

    def fit(self, clean, *, rng):
        return self

    def score(self, images, rng):
        return (images.mean((1, 2, 3)) * 10).round()

    def surrogate(self):
        return Slope()


class Slope(Steps):
    def score(self, images, rng):
        return images.mean((1, 2, 3)) * 10


def target() -> ModuleTarget:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    return ModuleTarget(network, ("a", "b"), (1, 2, 2))


IMAGES = torch.tensor([[[[0.1, 0.4], [0.6, 0.9]]]])
STREAM = SampleRng.for_samples(0, "attack", ["toy/test/0"])


def test_the_oblivious_attacker_sees_the_bare_target():
    bare = target()
    assert seen_by_attacker(Defended(bare, (Rounded(),)), "oblivious", surrogate=None) is bare


def test_the_transfer_attacker_sees_the_surrogate_and_nothing_else():
    other = target()
    assert seen_by_attacker(Defended(target(), (Rounded(),)), "transfer", surrogate=other) is other
    with pytest.raises(BadArgument, match="surrogate"):
        seen_by_attacker(Defended(target()), "transfer", surrogate=None)


def test_an_unknown_knowledge_is_said_with_the_nearest():
    with pytest.raises(UnknownName, match="adaptive"):
        seen_by_attacker(Defended(target()), "adaptiv", surrogate=None)


def test_the_adaptive_attacker_sees_what_the_judge_sees_and_the_surrogates_gradient():
    bare = target()
    seen = seen_by_attacker(Defended(bare, (Rounded(),)), "adaptive", surrogate=None)
    images = IMAGES.clone().requires_grad_()
    logits = seen(images, STREAM).logits
    torch.testing.assert_close(logits, bare((IMAGES * 4).round() / 4).logits)
    (slope,) = torch.autograd.grad(logits[0, 0], images)
    torch.testing.assert_close(slope.flatten(), 3 * torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_where_the_defense_has_a_gradient_it_is_used():
    class Doubled(Rounded):
        differentiable = True

        def purify(self, images, rng):
            return 2 * images

    seen = seen_by_attacker(Defended(target(), (Doubled(),)), "adaptive", surrogate=None)
    images = IMAGES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(seen(images, STREAM).logits[0, 0], images)
    torch.testing.assert_close(slope.flatten(), 2 * torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_a_random_defense_is_drawn_afresh_at_each_look():
    seen = seen_by_attacker(Defended(target(), (Shifted(),)), "adaptive", surrogate=None)
    assert seen.stochastic
    stream = SampleRng.for_samples(0, "attack", ["toy/test/0"])
    assert not torch.equal(seen(IMAGES, stream).logits, seen(IMAGES, stream).logits)


def test_alarms_come_with_the_outputs_in_clean_sigmas_and_carry_a_gradient():
    alarm = Alarm(Steps(), threshold=4.0, sigma=2.0, fpr=0.05, calibrated_on="toy")
    seen = seen_by_attacker(Defended(target(), (), (alarm,)), "adaptive", surrogate=None)
    images = IMAGES.clone().requires_grad_()
    outputs = seen(images, STREAM)
    torch.testing.assert_close(outputs.alarm, torch.tensor([(5.0 - 4.0) / 2.0]))
    (slope,) = torch.autograd.grad(outputs.alarm.sum(), images)
    torch.testing.assert_close(slope, torch.full_like(images, 10 / 4 / 2))


def test_the_worst_of_several_alarms_counts():
    loud, quiet = (Alarm(Slope(), threshold=t, sigma=1.0, fpr=0.05, calibrated_on="toy") for t in (0.0, 100.0))
    seen = seen_by_attacker(Defended(target(), (), (quiet, loud)), "adaptive", surrogate=None)
    torch.testing.assert_close(seen(IMAGES, STREAM).alarm, torch.tensor([5.0]))
