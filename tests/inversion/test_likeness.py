"""The loss: its terms a sample, its masks, its style, its clamp."""

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.core.perceptual import LPIPS
from advgen.inversion.likeness import ClampThrough, Likeness, Style


@pytest.fixture
def pair():
    random = torch.Generator().manual_seed(0)
    return torch.rand((3, 3, 24, 24), generator=random), torch.rand((3, 3, 24, 24), generator=random)


def test_the_loss_is_the_weighted_sum_of_both_distances(pair, perceptual):
    made, images = pair
    terms = Likeness(perceptual, 0.7, 3.0).to(images)(made)
    torch.testing.assert_close(terms.perceptual, perceptual(made, images))
    torch.testing.assert_close(terms.mse, (made - images).square().mean((1, 2, 3)))
    torch.testing.assert_close(terms.loss, 0.7 * terms.perceptual + 3.0 * terms.mse)


def test_equal_images_are_at_zero(pair, perceptual):
    assert Likeness(perceptual).to(pair[0])(pair[0]).loss.tolist() == [0, 0, 0]


def test_any_function_of_two_images_can_be_the_perceptual_one(pair):
    made, images = pair
    terms = Likeness(lambda a, b: (a - b).abs().amax((1, 2, 3)), pixel_weight=0.0).to(images)(made)
    assert torch.equal(terms.loss, (made - images).abs().amax((1, 2, 3)))


def test_a_sample_does_not_depend_on_its_batch(pair, perceptual):
    made, images = pair
    alone = torch.cat([Likeness(perceptual).to(images[i : i + 1])(made[i : i + 1]).loss for i in range(3)])
    torch.testing.assert_close(Likeness(perceptual).to(images)(made).loss, alone, rtol=1e-5, atol=1e-7)


def test_what_the_mask_leaves_free_counts_nothing(pair, perceptual):
    made, images = pair
    mask = torch.zeros(1, 1, 24, 24)
    mask[..., :12] = 1
    other = made.clone()
    other[..., 12:] = torch.rand(3, 3, 24, 12)
    loss = Likeness(perceptual).to(images, mask=mask)
    assert torch.equal(loss(made).loss, loss(other).loss)
    assert (loss(made).loss > 0).all()


def test_a_mask_of_ones_is_no_mask(pair, perceptual):
    made, images = pair
    whole = Likeness(perceptual).to(images, mask=torch.ones(3, 1, 24, 24))(made).loss
    torch.testing.assert_close(whole, Likeness(perceptual).to(images)(made).loss)


@pytest.mark.parametrize("shape", [(2, 1, 24, 24), (1, 3, 24, 24), (1, 1, 12, 24), (24, 24)])
def test_a_mask_of_another_shape_is_refused(pair, shape):
    with pytest.raises(BadArgument, match="a mask for these images must have the shape"):
        Likeness().to(pair[1], mask=torch.ones(shape))


def test_grey_and_colour_are_not_compared(pair):
    with pytest.raises(BadArgument, match="makes 24x24 grey images, and these are 24x24 RGB"):
        Likeness().to(pair[1])(pair[0][:, :1])


def test_a_style_is_zero_for_its_own_texture_wherever_it_stands(perceptual):
    """Gram matrices know no places: a shifted periodic texture is the same one."""
    tile = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(2))
    texture, shifted = tile.repeat(1, 1, 4, 4), tile.roll((4, 8), (2, 3)).repeat(1, 1, 4, 4)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    other = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(3))
    loss = Likeness(perceptual).to(texture, style=Style(texture, mask))
    plain = Likeness(perceptual).to(texture)

    def style_alone(images):
        return float(loss(images).loss - plain(images).loss)

    assert style_alone(texture) == pytest.approx(0, abs=1e-6)
    assert style_alone(shifted) < 0.1 * style_alone(other)


def test_a_style_needs_features(pair):
    with pytest.raises(BadArgument, match="a style needs a perceptual network"):
        Likeness().to(pair[0], style=Style(pair[1], torch.ones(1, 1, 24, 24)))


def test_a_saturated_pixel_is_judged_as_saved_and_can_come_back():
    made = torch.tensor([[[[1.5, 1.5, -0.5, 0.5]]]], requires_grad=True)
    images = torch.tensor([[[[1.0, 0.5, 0.5, 0.5]]]])
    terms = Likeness().to(images)(made)
    assert terms.mse.item() == pytest.approx(0.125)
    (slope,) = torch.autograd.grad(terms.loss.sum(), made)
    assert slope.flatten().sign().tolist() == [0, 1, -1, 0]


def test_the_clamp_lets_every_gradient_through():
    made = torch.linspace(-1, 2, 7).requires_grad_()
    (slope,) = torch.autograd.grad(ClampThrough.apply(made).sum(), made)
    assert torch.equal(slope, torch.ones(7))


def test_large_images_are_seen_at_256_pixels(perceptual: LPIPS):
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(4))
    made = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(5))
    large = [x.repeat_interleave(8, 2).repeat_interleave(8, 3) for x in (made, images)]
    small = [x.repeat_interleave(4, 2).repeat_interleave(4, 3) for x in (made, images)]
    seen = Likeness(perceptual).to(large[1])(large[0]).perceptual
    torch.testing.assert_close(seen, perceptual(*small))


@pytest.mark.parametrize(
    ("weights", "says"),
    [((-1.0, 1.0), "perceptual_weight must be 0 or more"), ((1.0, 0.0), "nothing is left of the loss")],
)
def test_a_loss_of_nothing_is_refused(weights, says):
    with pytest.raises(BadArgument, match=says):
        Likeness(None, *weights)
