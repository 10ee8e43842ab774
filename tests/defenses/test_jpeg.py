"""JPEG purifying: what Pillow does to the bytes, and nothing else."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.defenses.purify.jpeg import JPEG


def rng(n):
    return SampleRng.for_samples(0, "defense", [str(i) for i in range(n)])


@pytest.mark.parametrize(("channels", "quality"), [(1, 75), (3, 75), (3, 20)])
def test_purified_images_are_those_that_pillow_decodes(channels, quality):
    images = torch.rand(5, channels, 24, 31, generator=torch.Generator().manual_seed(0))
    purified = JPEG(quality).purify(images, rng(5))
    for image, got in zip(images, purified):
        pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(buffer, "JPEG", quality=quality)
        decoded = np.asarray(Image.open(buffer)).reshape(pixels.shape)
        np.testing.assert_array_equal((got.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), decoded)
    assert purified.dtype == torch.float32


def test_there_is_no_gradient_and_the_surrogate_is_the_identity():
    images = torch.rand(2, 3, 16, 16).requires_grad_()
    assert not JPEG().purify(images, rng(2)).requires_grad
    assert torch.equal(JPEG().surrogate()(images), images)


def test_it_is_deterministic_and_keeps_its_input():
    images = torch.rand(3, 3, 16, 16)
    before = images.clone()
    assert torch.equal(JPEG().purify(images, rng(3)), JPEG().purify(images, rng(3)))
    assert torch.equal(images, before)


def test_no_images_give_no_images():
    assert JPEG().purify(torch.zeros(0, 3, 16, 16), rng(0)).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("quality", [0, 96, -5])
def test_a_quality_that_pillow_does_not_have_is_refused(quality):
    with pytest.raises(BadArgument, match="1 to 95"):
        JPEG(quality)
