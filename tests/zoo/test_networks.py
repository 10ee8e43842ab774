"""Networks are built by name and take what they say they take."""

import pytest
import torch

from advgen.core.errors import BadArgument, UnknownName
from advgen.zoo.networks import ARCHITECTURES, Normalised, build

EXAMPLES = {
    "small": ({"channels": 3, "size": 32}, (3, 32, 32)),
    "lenet": ({}, (1, 28, 28)),
    "resnet20": ({}, (3, 32, 32)),
    "resnet-b": ({"planes": 8, "stages": 1}, (3, 32, 32)),
    "small-cnn": ({"channels": 3, "classes": 10, "size": 32}, (3, 32, 32)),
    "attribute-cnn": ({"channels": 3, "attributes": 10, "size": 64}, (3, 64, 64)),
}


@pytest.mark.parametrize("architecture", EXAMPLES)
def test_every_classifier_gives_one_row_of_logits_an_image(architecture: str) -> None:
    kwargs, shape = EXAMPLES[architecture]
    network = build(architecture, **kwargs).eval()
    assert network(torch.rand(2, *shape)).shape == (2, 10)


def test_every_architecture_is_tried_here() -> None:
    # Below, with what it inverts, with the judges, and with the matchers.
    elsewhere = {"denoising-autoencoder", "latent-encoder", "portrait-resnet", "face-cnn", "face-mixer"}
    assert set(EXAMPLES) | elsewhere == set(ARCHITECTURES)


@pytest.mark.parametrize("size", [16, 28, 32, 48, 100, 256])
def test_the_small_classifier_takes_any_size_from_16_pixels(size: int) -> None:
    network = build("small-cnn", channels=1, classes=3, size=size, width=4).eval()
    assert network(torch.rand(1, 1, size, size)).shape == (1, 3)


@pytest.mark.parametrize(("scale", "sides"), [(2, (28, 36)), (4, (32, 20))])
def test_the_autoencoder_keeps_shape_and_range_and_a_gradient_at_black_and_white(
    scale: int, sides: tuple[int, int]
) -> None:
    network = build("denoising-autoencoder", channels=3, width=8, scale=scale).eval()
    images = torch.rand(2, 3, *sides).round().requires_grad_(True)
    drawn = network(images)
    assert drawn.shape == images.shape
    assert 0 <= drawn.min() <= drawn.max() <= 1
    (gradient,) = torch.autograd.grad(drawn.sum(), images)
    assert (gradient != 0).float().mean() > 0.99


def test_the_autoencoder_has_no_path_around_its_code() -> None:
    network = build("denoising-autoencoder", channels=1, width=4).eval()
    with torch.no_grad():
        network.layers.code.weight.zero_()
        one, other = network(torch.rand(1, 1, 8, 8)), network(torch.rand(1, 1, 8, 8))
    assert torch.equal(one, other)


def test_normalisation_stands_inside() -> None:
    network = Normalised(torch.nn.Identity(), (0.5, 0.25), (0.5, 0.1))
    images = torch.tensor([1.0, 0.25]).view(1, 2, 1, 1)
    assert network(images).flatten().tolist() == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize(
    ("architecture", "kwargs", "error", "said"),
    [
        ("resnet-2b", {}, UnknownName, "'resnet20'|'resnet-b'"),
        ("small", {"chanels": 3}, UnknownName, "'channels'"),
        ("small-cnn", {"channels": 3}, BadArgument, "'classes'"),
        ("small-cnn", {"channels": 3, "classes": 2, "size": 8}, BadArgument, "at least 16"),
        ("denoising-autoencoder", {"channels": 3, "scale": 3}, BadArgument, "2 or 4"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(
    architecture: str, kwargs: dict[str, int], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        build(architecture, **kwargs)


def test_sides_that_the_autoencoder_cannot_halve_are_refused() -> None:
    with pytest.raises(BadArgument, match="divisible by 4"):
        build("denoising-autoencoder", channels=1, scale=4)(torch.rand(1, 1, 30, 32))
