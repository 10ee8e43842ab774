"""Pixels: coordinates are the image, and the box is its limit."""

import torch

from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels


def test_pixels_start_at_a_copy_of_the_image_and_stay_in_the_box():
    images = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    start = Pixels().start(images, SampleRng.for_samples(0, "attack", ["a", "b"]))
    assert torch.equal(start, images)
    start += 1
    assert images.max() <= 1
    assert Pixels().clip(start).max() == 1
    assert torch.equal(Pixels().decode(images), images)
