"""Targets own their size and normalisation, and leave their network as it was."""

import pytest
import torch
from torch import nn

from advgen.contracts import toys
from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget, TargetModule
from advgen.core.types import Outputs


class Alarmed:
    """A toy with an alarm."""

    def __init__(self, alarm):
        self.alarm = alarm

    def __call__(self, images, rng=None):
        return Outputs(toys.linear()(images).logits, self.alarm)


def images(n=4, shape=toys.SHAPE):
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("training", [True, False])
def test_mode_statistics_and_gradients_come_back_as_they_were(training):
    target = toys.training_network()
    network = target.network.train(training)
    network[3].bias.requires_grad_(False)
    state = {k: v.clone() for k, v in network.state_dict().items()}
    x = images().requires_grad_()
    target(x).logits.sum().backward()
    assert [m.training for m in network.modules()] == [training] * 5
    assert [p.requires_grad for p in network.parameters()] == [True, True, True, False]
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())
    assert x.grad is not None


def test_they_come_back_after_an_error_too():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            raise RuntimeError("broken")

    network = Breaks().train()
    with pytest.raises(RuntimeError, match="broken"):
        ModuleTarget(network, ("a", "b"), toys.SHAPE)(images())
    assert network.training
    assert network.norm.training
    assert all(p.requires_grad for p in network.parameters())


def test_normalisation_belongs_to_the_target():
    network = nn.Flatten()
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    target = ModuleTarget(network, ("a",) * 192, toys.SHAPE, mean=mean, std=std)
    x = images()
    shaped = [torch.tensor(v).reshape(1, 3, 1, 1) for v in (mean, std)]
    torch.testing.assert_close(target(x).logits, ((x - shaped[0]) / shaped[1]).flatten(1))


def test_other_sizes_and_grey_images_are_fitted():
    target = ModuleTarget(nn.Flatten(), ("a",) * 192, toys.SHAPE)
    flat = torch.full((2, 1, 20, 12), 0.25)
    torch.testing.assert_close(target(flat).logits, torch.full((2, 192), 0.25))


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (3, 8, 8), (2, 4, 8, 8)])
def test_images_of_other_channels_are_refused_in_a_sentence(shape):
    with pytest.raises(BadArgument, match=r"takes images \(N, 3, 8, 8\)"):
        ModuleTarget(nn.Flatten(), ("a",) * 192, toys.SHAPE)(torch.zeros(shape))


def test_what_is_no_target_is_refused_in_a_sentence():
    with pytest.raises(BadArgument, match="'argmax' or 'sign'"):
        ModuleTarget(nn.Flatten(), ("a",), toys.SHAPE, decision="max")
    with pytest.raises(BadArgument, match="both mean and std"):
        ModuleTarget(nn.Flatten(), ("a",), toys.SHAPE, mean=(0.0, 0.0, 0.0))
    with pytest.raises(BadArgument, match=r"shape \(N, K\)"):
        ModuleTarget(nn.Identity(), ("a",), toys.SHAPE)(images())


def test_one_logit_becomes_two_that_decide_alike():
    target = toys.one_logit()
    two = TargetModule(target, None)(images())
    one = target(images()).logits
    assert two.shape == (4, 2)
    assert torch.equal(two.argmax(1), (one[:, 0] > 0).long())
    torch.testing.assert_close(two[:, 1:] - two[:, :1], one)


def test_an_alarm_becomes_a_class_that_wins_exactly_where_the_image_is_rejected():
    alarm = torch.tensor([-1.0, 0.5, -0.01, 2.0])
    logits = TargetModule(Alarmed(alarm), None)(images())
    assert logits.shape == (4, 5)
    assert ((logits.argmax(1) == 4) == (alarm > 0)).all()


def test_a_random_target_as_a_module_draws_from_its_samples():
    target = toys.stochastic()
    rng = lambda: SampleRng.for_samples(0, "attack", list("abcd"))
    assert torch.equal(target.as_module(rng())(images()), target(images(), rng()).logits)
    # A library that drops images still gets an answer, the same for the same streams.
    assert torch.equal(target.as_module(rng())(images(3)), target.as_module(rng())(images(3)))
