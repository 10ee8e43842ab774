"""The autoencoder as a purifier, and the distance of an image to its purified self."""

import pytest
import torch
from torch import nn

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.defenses.detect.lpips import LPIPSResidual
from advgen.defenses.purify.dae import DAE
from advgen.defenses.purify.jpeg import JPEG


class Dimmed(nn.Module):
    def forward(self, images):
        return 0.5 * images


def mean_square(images, originals):
    return (images - originals).square().flatten(1).mean(1)


def rng(n):
    return SampleRng.for_samples(0, "defense", [str(i) for i in range(n)])


def test_the_autoencoders_gradient_is_exact():
    images = torch.rand(2, 3, 8, 8).requires_grad_()
    purified = DAE(autoencoder=Dimmed()).purify(images, rng(2))
    assert torch.equal(purified, 0.5 * images)
    assert torch.equal(torch.autograd.grad(purified.sum(), images)[0], torch.full_like(images, 0.5))
    assert torch.equal(DAE(autoencoder=Dimmed()).surrogate()(images), images)


def test_the_score_is_the_distance_to_the_purified_image():
    images = torch.rand(4, 3, 8, 8)
    detector = LPIPSResidual(perceptual=mean_square, purifier=DAE(autoencoder=Dimmed()))
    torch.testing.assert_close(detector.score(images, rng(4)), (0.5 * images).square().mean((1, 2, 3)))
    assert detector.differentiable


def test_through_jpeg_the_score_is_true_and_the_gradient_that_of_the_identity():
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weighted = lambda a, b: ((a - b).square() + b).flatten(1).sum(1)
    score = LPIPSResidual(perceptual=weighted, purifier=JPEG()).score(images, rng(3))
    torch.testing.assert_close(score, weighted(images, JPEG().purify(images, rng(3))))
    # With d purified / d image = 1 the squares cancel and b is left.
    (gradient,) = torch.autograd.grad(score.sum(), images)
    torch.testing.assert_close(gradient, torch.ones_like(images), atol=1e-5, rtol=0)


def test_what_is_missing_is_said():
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(BadArgument, match="needs an autoencoder"):
        DAE().purify(images, rng(1))
    with pytest.raises(BadArgument, match="needs a perceptual distance"):
        LPIPSResidual(purifier=JPEG()).score(images, rng(1))
    with pytest.raises(BadArgument, match="needs a purifier"):
        LPIPSResidual(perceptual=mean_square).score(images, rng(1))
