"""The shipped digits networks: strong perturbations score higher than clean images, and the purifiers undo some."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from advgen.core.rng import SampleRng
from advgen.core.specs import DataSpec
from advgen.core.targets import ModuleTarget
from advgen.defenses.detect.lpips import LPIPSResidual
from advgen.defenses.detect.magnet import MagNet
from advgen.defenses.purify.dae import DAE
from advgen.defenses.purify.jpeg import JPEG
from advgen.experiments.data._load import load
from advgen.zoo.load import load as load_network
from advgen.zoo.load import zoo_load

N, EPS = 64, 24 / 255


@pytest.fixture(scope="module")
def digits():
    part = load(DataSpec("digits", "test", N))
    loaded = load_network("digits_classifier")
    target = ModuleTarget(loaded.network, loaded.classes, loaded.image_shape)
    images = part.images.requires_grad_()
    losses = torch.nn.functional.cross_entropy(target(images).logits, part.labels, reduction="sum")
    (gradient,) = torch.autograd.grad(losses, images)
    adversarial = (images.detach() + EPS * gradient.sign()).clamp(0, 1)
    return target, images.detach(), adversarial, part.labels, SampleRng.for_samples(0, "defense", part.ids)


@pytest.fixture(scope="module")
def autoencoder():
    return zoo_load("dae_digits")[0]


def auc(detector, digits):
    _, clean, adversarial, _, rng = digits
    with torch.no_grad():
        scores = torch.cat([detector.score(clean, rng), detector.score(adversarial, rng)])
    return roc_auc_score([0] * N + [1] * N, scores.numpy())


@pytest.mark.parametrize("statistic", ["l1", "l2", "jsd"])
def test_magnet_tells_a_strong_perturbation_from_clean_images(digits, autoencoder, statistic):
    assert auc(MagNet(statistic, autoencoder=autoencoder, classifier=digits[0]), digits) > 0.9


@pytest.mark.parametrize("purifier", ["dae", "jpeg"])
def test_the_perceptual_distance_to_the_purified_image_tells_it_too(digits, autoencoder, purifier):
    from advgen.core.perceptual import LPIPS

    built = DAE(autoencoder=autoencoder) if purifier == "dae" else JPEG(30)
    assert auc(LPIPSResidual(perceptual=LPIPS("embedded"), purifier=built), digits) > 0.9


def test_the_autoencoder_keeps_clean_digits_right_and_mends_perturbed_ones(digits, autoencoder):
    target, clean, adversarial, labels, rng = digits

    def right(images):
        with torch.no_grad():
            return float((target(images).logits.argmax(1) == labels).float().mean())

    purifier = DAE(autoencoder=autoencoder)
    assert right(purifier.purify(clean, rng)) >= 0.95
    assert right(purifier.purify(adversarial, rng)) > right(adversarial) + 0.2
