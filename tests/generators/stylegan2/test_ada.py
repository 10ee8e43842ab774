"""Adaptive augmentation: every operation's closed form, when it is applied, and its derivatives."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.ada import PRESETS, AdaptiveAugmentation, AugmentationConfig
from advgen.generators.stylegan2.wavelets import SYM6

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(4, 3, 24, 24, generator=GENERATOR)
RAMP = (torch.arange(32.0) / 32).expand(1, 1, 32, 32)


def only(**multipliers):
    return AdaptiveAugmentation(AugmentationConfig(**multipliers), p=1.0)


def close(made, expected, digits=1e-6):
    torch.testing.assert_close(made, expected, atol=digits, rtol=0)


def quantile(share):
    """What the program takes for the normal quantile: it lacks a factor sqrt(2)."""
    return float(torch.erfinv(torch.tensor(2 * share - 1)))


# When it is applied


@pytest.mark.parametrize("preset", PRESETS)
def test_at_strength_zero_images_come_back_as_they_are(preset):
    before = torch.get_rng_state()
    assert AdaptiveAugmentation(PRESETS[preset])(IMAGES) is IMAGES
    assert torch.equal(torch.get_rng_state(), before)


def test_an_image_that_is_not_drawn_keeps_every_bit():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 8, 8)
    made = AdaptiveAugmentation(PRESETS["bgcfnc"], p=0.05)(images)
    kept = (made == images).flatten(1).all(1)
    # Some 17 chances of 5% each: 0.95^17 of 64 are 27.
    assert 15 <= int(kept.sum()) <= 45


@pytest.mark.parametrize(
    ("operation", "share"),
    [("xflip", 1 / 2), ("rotate90", 3 / 4), ("scale", 1), ("rotate", 1), ("aniso", 1), ("xfrac", 1), ("brightness", 1)]
    + [("contrast", 1), ("lumaflip", 1 / 2), ("hue", 1), ("saturation", 1), ("noise", 1), ("cutout", 1)],
)
def test_an_operation_changes_its_share_of_the_images(operation, share):
    """p times the share of its draws that do something; turns before and after stretching make p together."""
    n, p = 4000, 0.3
    images = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    made = AdaptiveAugmentation(AugmentationConfig(**{operation: 1.0}), p)(images)
    changed = int((made != images).flatten(1).any(1).sum())
    assert abs(changed - n * p * share) < 4 * math.sqrt(n * p * share * (1 - p * share))


def test_a_multiplier_scales_the_probability():
    images = torch.rand(4000, 1, 2, 2)
    torch.manual_seed(0)
    made = AdaptiveAugmentation(AugmentationConfig(brightness=0.5), 0.4)(images)
    changed = int((made != images).flatten(1).any(1).sum())
    assert abs(changed - 800) < 4 * math.sqrt(800 * 0.8)


def test_a_generator_repeats_itself_and_leaves_the_global_one_alone():
    augment = AdaptiveAugmentation(PRESETS["bgcfnc"], 0.7)
    before = torch.get_rng_state()
    first, second = (augment(IMAGES, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, augment(IMAGES, generator=torch.Generator().manual_seed(4)))


def test_the_global_seed_decides():
    augment = AdaptiveAugmentation(PRESETS["bgcfnc"], 0.7)
    made = []
    for _ in range(2):
        torch.manual_seed(5)
        made.append(augment(IMAGES))
    assert torch.equal(*made)


# Pixel blitting


def test_a_flip_is_a_flip_up_to_the_filters_uneven_centre():
    """sym6's centre of mass lies a tenth of a tap beside the middle one: a mirrored image is off by so many pixels."""
    made = only(xflip=1)(RAMP.double(), percentile=0.7)
    centre = sum(k * tap for k, tap in enumerate(SYM6)) / math.sqrt(2)
    inside = (..., slice(None), slice(8, -8))
    close(made[inside], RAMP.double().flip(3)[inside] - (centre - 5) / 32, 1e-6)
    close(only(xflip=1)(RAMP, percentile=0.3), RAMP, 1e-5)


@pytest.mark.parametrize(("percentile", "turns"), [(0.1, 0), (0.3, 1), (0.6, 2), (0.9, 3)])
def test_turns_by_90_degrees_are_rot90_up_to_the_filters_uneven_centre(percentile, turns):
    image = RAMP.double() + 0.5 * RAMP.double().mT
    made = only(rotate90=1)(image, percentile=percentile)
    error = (made - torch.rot90(image, turns, (2, 3)))[..., 8:-8, 8:-8]
    assert error.std() < 1e-6
    assert error.abs().max() < 0.15 / 32


@pytest.mark.parametrize("percentile", [0.1, 0.4, 0.9])
def test_integer_shifts_are_shifts_with_reflection(percentile):
    image = torch.rand(1, 3, 32, 24)
    x, y = round((2 * percentile - 1) * 0.125 * 24), round((2 * percentile - 1) * 0.125 * 32)
    padded = torch.nn.functional.pad(image, (8, 8, 8, 8), mode="reflect")
    close(only(xint=1)(image, percentile=percentile), padded[..., 8 - y : 40 - y, 8 - x : 32 - x], 1e-5)


# Colour


def test_brightness_adds():
    close(only(brightness=1)(IMAGES, percentile=0.8), IMAGES + 0.2 * quantile(0.8) / 2)


def test_contrast_multiplies_the_distance_to_middle_grey():
    close(only(contrast=1)(IMAGES, percentile=0.8), 0.5 + (IMAGES - 0.5) * 2 ** (0.5 * quantile(0.8)))


def test_a_luma_flip_mirrors_the_mean_of_the_channels_and_keeps_their_differences():
    made = only(lumaflip=1)(IMAGES, percentile=0.8)
    close(made.mean(1), 1 - IMAGES.mean(1))
    close(made - made.mean(1, keepdim=True), IMAGES - IMAGES.mean(1, keepdim=True))


def test_a_third_of_a_hue_turn_exchanges_the_channels():
    close(only(hue=1)(IMAGES, percentile=5 / 6), IMAGES.roll(1, 1))


@pytest.mark.parametrize("percentile", [0.1, 0.45, 0.8])
def test_hue_keeps_luma_and_saturation(percentile):
    made = only(hue=1)(IMAGES, percentile=percentile)
    close(made.mean(1), IMAGES.mean(1))
    close(made.var(1), IMAGES.var(1))


def test_saturation_multiplies_the_distance_to_the_grey_axis():
    grey = IMAGES.mean(1, keepdim=True)
    close(only(saturation=1)(IMAGES, percentile=0.8), grey + (IMAGES - grey) * 2 ** quantile(0.8))


def test_a_grey_image_of_one_channel_is_coloured_as_one_of_three():
    grey = torch.rand(16, 1, 6, 6)
    made = []
    for images in (grey, grey.expand(-1, 3, -1, -1)):
        torch.manual_seed(0)
        made.append(AdaptiveAugmentation(PRESETS["color"], 0.8)(images))
    close(made[0].expand(-1, 3, -1, -1), made[1])


# Filter, noise, cutout


def test_the_filter_keeps_the_power_of_a_spectrum_that_falls_as_one_over_f():
    """A flat image is the lowest band alone; that band's gain t, normalised, acts along rows and along columns."""
    config = AugmentationConfig(imgfilter=1, imgfilter_bands=(1.0, 0.0, 0.0, 0.0))
    t = 2 ** quantile(0.8)
    gain = t / math.sqrt(10 / 13 * t**2 + 3 / 13)
    made = AdaptiveAugmentation(config)(torch.full((1, 3, 20, 20), 0.9), percentile=0.8)
    close(made, torch.full((1, 3, 20, 20), 0.5 + 0.4 * gain**2))
    stripes = torch.tensor([0.2, 0.8]).repeat(32).expand(1, 1, 64, 64)  # the highest band's along rows
    high = AdaptiveAugmentation(AugmentationConfig(imgfilter=1, imgfilter_bands=(0.0, 0.0, 0.0, 1.0)))
    norm = math.sqrt(12 / 13 + t**2 / 13)
    close(high(stripes, percentile=0.8), 0.5 + (stripes - 0.5) * t / norm**2)


def test_noise_has_the_standard_deviation_of_its_percentile():
    torch.manual_seed(0)
    added = only(noise=1)(torch.full((2, 3, 128, 128), 0.5), percentile=0.8) - 0.5
    sigma = 0.1 / 2 * float(torch.erfinv(torch.tensor(0.8)))
    assert abs(added.std() / sigma - 1) < 5 / math.sqrt(2 * added.numel())


@pytest.mark.parametrize("size", [0.5, 0.25])
def test_a_cut_in_the_middle_takes_the_square_of_its_side(size):
    augment = AdaptiveAugmentation(AugmentationConfig(cutout=1, cutout_size=size))
    cut = (augment(IMAGES + 1, percentile=0.5) == 0.5).all(1)
    inside = slice(12 - int(12 * size), 12 + int(12 * size))
    assert cut[:, inside, inside].all()
    assert int(cut[0].sum()) == (24 * size) ** 2


def test_a_cut_of_no_size_takes_nothing():
    augment = AdaptiveAugmentation(AugmentationConfig(cutout=1, cutout_size=0.0), p=1.0)
    assert torch.equal(augment(IMAGES), IMAGES)


# Derivatives


@pytest.mark.parametrize("preset", ["bg", "bgcfnc"])
def test_the_derivative_and_its_derivative_are_right(preset):
    augment = AdaptiveAugmentation(PRESETS[preset], p=0.6)
    images = torch.rand(3, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def augmented(x):
        return augment(x, generator=torch.Generator().manual_seed(1))

    assert not torch.equal(augmented(images), images)
    assert gradcheck(augmented, images, fast_mode=True)
    assert gradgradcheck(augmented, images, fast_mode=True)


def test_r1_through_the_augmentation_is_what_its_matrix_says():
    """y = J x + c and D = sum y^4: grad = 4 J' y^3, and the gradient of |grad|^2 is 2 (12 J' y^2 J) grad."""
    augment = AdaptiveAugmentation(PRESETS["bgc"])
    x = torch.rand(1, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y = augment(x, percentile=0.3)
    (grad,) = torch.autograd.grad(y.pow(4).sum(), x, create_graph=True)
    (made,) = torch.autograd.grad(grad.square().sum(), x)
    matrix = torch.autograd.functional.jacobian(lambda x: augment(x, percentile=0.3), x.detach()).reshape(75, 75)
    y = y.detach().flatten()
    slope = 4 * matrix.T @ y**3
    torch.testing.assert_close(made.flatten(), 2 * 12 * matrix.T @ (y**2 * (matrix @ slope)))


# Borders


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channel_counts_are_moved_but_not_coloured(channels):
    images = torch.rand(2, channels, 8, 8)
    assert AdaptiveAugmentation(PRESETS["bg"], 1.0)(images).shape == images.shape
    with pytest.raises(BadArgument, match=f"1 or 3 channels, got {channels}; take the preset 'bg'"):
        AdaptiveAugmentation(PRESETS["bgc"], 1.0)(images)


def test_lower_precision_is_augmented_in_float32():
    augment = AdaptiveAugmentation(PRESETS["bgcfnc"])
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(0)
        inside = augment(IMAGES.bfloat16(), percentile=0.7)
    torch.manual_seed(0)
    assert torch.equal(inside, augment(IMAGES.bfloat16().float(), percentile=0.7))


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_strength_outside_zero_and_one_is_refused(p):
    augment = AdaptiveAugmentation(PRESETS["bg"])
    with pytest.raises(BadArgument, match=r"in \[0, 1\], got"):
        augment.p = p


@pytest.mark.parametrize("percentile", [0.0, 1.0, -0.5])
def test_a_percentile_outside_its_range_is_refused(percentile):
    with pytest.raises(BadArgument, match="between 0 and 1"):
        only(scale=1)(IMAGES, percentile=percentile)


def test_bad_numbers_of_a_configuration_are_refused():
    with pytest.raises(BadArgument, match="hue must be 0 or more, got -1"):
        AugmentationConfig(hue=-1)
    with pytest.raises(BadArgument, match="imgfilter_bands needs 4 numbers, got 2"):
        AugmentationConfig(imgfilter_bands=(1.0, 1.0))


def test_no_images_and_the_smallest_images_pass():
    augment = AdaptiveAugmentation(PRESETS["bgcfnc"], 1.0)
    assert augment(torch.rand(0, 3, 8, 8)).shape == (0, 3, 8, 8)
    assert augment(torch.rand(2, 3, 2, 3)).isfinite().all()


def test_processes_that_share_a_batch_augment_as_one_that_has_all_of_it():
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    config = PRESETS["bgcfnc"]

    def augmented(some, **share):
        return AdaptiveAugmentation(config, 0.8, **share)(some, generator=torch.Generator().manual_seed(4))

    whole = augmented(images)
    for rank in (0, 1):
        torch.testing.assert_close(augmented(images[rank::2], share=(rank, 2)), whole[rank::2], atol=1e-5, rtol=0)
