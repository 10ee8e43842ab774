"""The distortions that the embedded perceptual distance learns from and is measured on."""

import pytest
import torch

from advgen.experiments.recipes._augment import AUGMENTS, augmented
from advgen.experiments.recipes._distort import TRAINED, UNSEEN, distorted

ALL = {**TRAINED, **UNSEEN}


def pictures(n=6, size=32):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_distortion_changes_more_the_stronger_it_is_and_nothing_at_strength_zero(name):
    images = pictures()

    def change(strength):
        torch.manual_seed(1)
        changed = ALL[name](images, torch.full((len(images), 1, 1, 1), strength)).clamp(0, 1)
        assert changed.shape == images.shape
        return float((changed - images).abs().mean())

    # Quality 95 and 25 levels a channel are the weakest of their kind.
    floor = 0.02 if name in ("compress", "levels") else 1e-5
    assert change(0.0) <= floor
    assert change(0.0) < change(0.4) < change(1.0)


def test_no_distortion_of_the_measurement_is_one_of_the_training():
    assert not set(TRAINED) & set(UNSEEN)


def test_distorted_images_stay_images_and_follow_the_seed():
    def draw(seed):
        torch.manual_seed(seed)
        return distorted(pictures(40), TRAINED, twice=0.5)

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))
    assert 0 <= float(draw(3).min()) <= float(draw(3).max()) <= 1


@pytest.mark.parametrize("how", AUGMENTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_images_keep_shape_and_range(how, channels):
    images = pictures()[:, :channels]
    changed = augmented(images, how)
    assert changed.shape == images.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert torch.equal(changed, images) == (how == "none")
