"""MagNet's statistics against hand-made autoencoders and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from torch import nn

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget
from advgen.defenses.detect.magnet import MagNet

SHAPE = (3, 8, 8)


class Dimmed(nn.Module):
    def forward(self, images):
        return 0.5 * images


def classifier(classes=4, decision="argmax", scale=1.0):
    generator = torch.Generator().manual_seed(3)
    linear = nn.Linear(math.prod(SHAPE), classes)
    with torch.no_grad():
        linear.weight.copy_(scale * torch.randn(linear.weight.shape, generator=generator))
        linear.bias.zero_()
    names = tuple(str(k) for k in range(classes))
    return ModuleTarget(nn.Sequential(nn.Flatten(), linear), names, SHAPE, decision=decision)


def images(n=6):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def rng(n=6):
    return SampleRng.for_samples(0, "defense", [str(i) for i in range(n)])


@pytest.mark.parametrize(("statistic", "p"), [("l1", 1), ("l2", 2)])
def test_the_reconstruction_error_is_the_mean_over_pixels(statistic, p):
    x = images()
    expected = (0.5 * x).pow(p).mean((1, 2, 3))
    torch.testing.assert_close(MagNet(statistic, autoencoder=Dimmed()).score(x, rng()), expected)


@pytest.mark.parametrize("temperature", [1.0, 10.0, 40.0])
def test_the_divergence_is_scipys(temperature):
    x, target = images(), classifier()
    score = MagNet("jsd", temperature, autoencoder=Dimmed(), classifier=target).score(x, rng())
    p, q = (softmax(target(y).logits.double().detach().numpy() / temperature, axis=1) for y in (x, 0.5 * x))
    np.testing.assert_allclose(score.numpy(), jensenshannon(p, q, axis=1) ** 2, rtol=1e-3, atol=1e-7)


def test_a_perfect_autoencoder_raises_no_suspicion():
    for statistic in ("l1", "l2", "jsd"):
        score = MagNet(statistic, autoencoder=nn.Identity(), classifier=classifier()).score(images(), rng())
        assert float(score.abs().max()) < 1e-7


def test_the_divergence_and_its_gradient_stay_finite_for_saturated_logits():
    x = images().requires_grad_()
    score = MagNet("jsd", 1.0, autoencoder=Dimmed(), classifier=classifier(scale=1e3)).score(x, rng())
    assert float(score.detach().max()) <= math.log(2) + 1e-6
    assert bool(torch.isfinite(torch.autograd.grad(score.sum(), x)[0]).all())


@pytest.mark.parametrize("classes", [1, 3])
def test_decisions_by_sign_are_compared_one_by_one(classes):
    x, target = images(), classifier(classes, "sign")
    score = MagNet("jsd", 2.0, autoencoder=Dimmed(), classifier=target).score(x, rng())
    p, q = (torch.sigmoid(target(y).logits.double() / 2).detach().numpy() for y in (x, 0.5 * x))
    each = jensenshannon(np.stack([p, 1 - p]), np.stack([q, 1 - q]), axis=0) ** 2
    np.testing.assert_allclose(score.numpy(), each.mean(1), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("statistic", ["l1", "l2", "jsd"])
def test_the_score_has_the_gradient_that_finite_differences_find(statistic):
    autoencoder = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Sigmoid()).double()
    target = classifier(scale=0.1)
    target.network.double()
    detector = MagNet(statistic, autoencoder=autoencoder, classifier=target)
    x = images(2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: detector.score(y, rng(2)), x)


def test_fitting_gives_a_new_detector_that_scores_alike():
    detector = MagNet(autoencoder=Dimmed())
    fitted = detector.fit(images(), rng=rng())
    assert fitted is not detector
    assert torch.equal(fitted.score(images(), rng()), detector.score(images(), rng()))


def test_what_is_missing_or_wrong_is_said():
    with pytest.raises(BadArgument, match="needs an autoencoder"):
        MagNet().score(images(), rng())
    with pytest.raises(BadArgument, match="needs the classifier"):
        MagNet("jsd", autoencoder=Dimmed()).score(images(), rng())
    with pytest.raises(BadArgument, match="l1, l2 or jsd"):
        MagNet("l3")
    with pytest.raises(BadArgument, match="temperature"):
        MagNet("jsd", 0.0)
