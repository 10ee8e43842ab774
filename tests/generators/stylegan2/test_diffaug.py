"""DiffAugment: every operation's closed form, a draw a sample, and two derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from advgen.core.errors import UnknownName
from advgen.generators.stylegan2.amounts import Draws
from advgen.generators.stylegan2.diffaug import (
    DiffAugment,
    brightened,
    contrasted,
    cut_out,
    saturated,
    translated,
)

IMAGES = torch.rand(64, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def close(made, expected, digits=1e-6):
    torch.testing.assert_close(made, expected, atol=digits, rtol=0)


def test_brightness_adds_one_number_an_image():
    added = brightened(IMAGES, Draws(seeded())) - IMAGES
    close(added, added[:, :1, :1, :1].expand_as(added))
    assert added.min() < -0.2
    assert added.max() > 0.2
    assert added.abs().max() <= 0.25 + 1e-6


def test_saturation_keeps_the_mean_of_the_channels_and_scales_the_rest():
    made, grey = saturated(IMAGES, Draws(seeded())), IMAGES.mean(1, keepdim=True)
    close(made.mean(1), IMAGES.mean(1))
    factor = (made - grey).flatten(1).norm(dim=1) / (IMAGES - grey).flatten(1).norm(dim=1)
    close(made, grey + factor[:, None, None, None] * (IMAGES - grey))
    assert factor.min() < 0.2
    assert 1.8 < factor.max() <= 2


def test_saturation_leaves_images_of_one_channel_alone():
    close(saturated(IMAGES[:, :1], Draws(seeded())), IMAGES[:, :1])


def test_contrast_keeps_an_images_mean_and_scales_the_rest():
    made, mean = contrasted(IMAGES, Draws(seeded())), IMAGES.mean((1, 2, 3), keepdim=True)
    close(made.mean((1, 2, 3)), IMAGES.mean((1, 2, 3)))
    factor = made.flatten(1).std(1) / IMAGES.flatten(1).std(1)
    close(made, mean + factor[:, None, None, None] * (IMAGES - mean))
    assert 0.5 - 1e-6 <= factor.min() < 0.6
    assert 1.4 < factor.max() <= 1.5 + 1e-6


def test_a_translation_is_a_shift_into_grey_by_up_to_an_eighth():
    padded = torch.nn.functional.pad(IMAGES, (3, 3, 2, 2), value=0.5)
    seen = set()
    for before, after in zip(padded, translated(IMAGES, Draws(seeded()))):
        (found,) = [(y, x) for y in range(5) for x in range(7) if torch.equal(after, before[:, y : y + 16, x : x + 24])]
        seen.add(found)
    assert {y for y, _ in seen} == set(range(5))
    assert {x for _, x in seen} == set(range(7))


def test_a_cut_is_a_grey_rectangle_of_half_the_side_or_what_is_left_of_it():
    made = cut_out(IMAGES, Draws(seeded()))
    cut = (made != IMAGES).any(1)
    assert (made.permute(0, 2, 3, 1)[cut] == 0.5).all()
    for mask in cut:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns)
        assert 4 <= int(rows.sum()) <= 8
        assert 6 <= int(columns.sum()) <= 12
    assert int(cut.sum((1, 2)).max()) == 8 * 12


def test_a_policy_is_its_operations_in_order_and_each_sample_has_its_own_draws():
    draws = Draws(seeded())
    expected = IMAGES
    for change in (translated, brightened, saturated, contrasted):
        expected = change(expected, draws)
    assert torch.equal(DiffAugment("translation, color")(IMAGES, generator=seeded()), expected)
    same = DiffAugment()(IMAGES[:1].expand(8, -1, -1, -1), generator=seeded())
    assert len({image.numpy().tobytes() for image in same}) == 8


def test_processes_that_share_a_batch_augment_as_one_that_has_all_of_it():
    whole = DiffAugment()(IMAGES, generator=seeded())
    shares = [DiffAugment(share=(rank, 2))(IMAGES[rank::2], generator=seeded()) for rank in (0, 1)]
    assert all(torch.equal(share, whole[rank::2]) for rank, share in enumerate(shares))


def test_the_global_seed_decides_unless_a_generator_is_given():
    augment = DiffAugment()
    torch.manual_seed(0)
    first = augment(IMAGES)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    augment(IMAGES, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(augment(IMAGES), first)


@pytest.mark.parametrize("policy", ["color", "translation", "cutout", "color,translation,cutout"])
def test_the_derivative_and_its_derivative_are_right(policy):
    augment = DiffAugment(policy)
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=seeded(), requires_grad=True)
    assert gradcheck(lambda x: augment(x, generator=seeded()), images, fast_mode=True)
    assert gradgradcheck(lambda x: augment(x, generator=seeded()), images, fast_mode=True)


def test_lower_precision_is_augmented_in_float32():
    made = DiffAugment()(IMAGES.bfloat16(), generator=seeded())
    assert torch.equal(made, DiffAugment()(IMAGES.bfloat16().float(), generator=seeded()))


def test_no_images_pass():
    assert DiffAugment()(torch.rand(0, 3, 8, 8)).shape == (0, 3, 8, 8)


def test_an_unknown_policy_is_named_with_the_nearest():
    with pytest.raises(UnknownName, match="'colour': did you mean 'color'"):
        DiffAugment("colour,cutout")
