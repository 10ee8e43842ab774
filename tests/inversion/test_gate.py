"""The gate: distances on saved bytes, and what is let through."""

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from advgen.core.errors import BadArgument
from advgen.core.images import to_float, to_uint8
from advgen.core.latent_spaces import spread
from advgen.core.types import Latents
from advgen.inversion.gate import Gate, quality, resemblance
from advgen.inversion.latents import distance_to_mean


def latents(*distances):
    n = len(distances)
    return Latents(torch.arange(n * 4.0).reshape(n, 2, 2), None, torch.tensor(distances), None)


def test_what_is_near_passes_and_what_is_far_or_no_number_does_not():
    found = latents(0.1, 0.3, 0.2, math.nan)
    assert Gate(0.2).passes(found).tolist() == [True, False, True, False]
    assert torch.equal(Gate(0.2).through(found).w, found.w[[0, 2]])
    assert torch.allclose(Gate(0.2).through(found).distance, torch.tensor([0.1, 0.2]))


def test_a_sample_beyond_the_limit_is_told_in_a_sentence():
    Gate(0.3).require(latents(0.1, 0.3), ["a", "b"])
    with pytest.raises(BadArgument) as told:
        Gate(0.2).require(latents(0.1, 0.5, 0.3), ["a", "b", "c"])
    assert "the inversion of b is too far from the image to attack it (distance 0.500, limit 0.2)" in str(told.value)
    assert "and so is 1 more of 3" in str(told.value)


def test_a_limit_is_not_negative():
    with pytest.raises(BadArgument, match="must be 0 or more"):
        Gate(-1.0)


def test_numbers_are_those_of_scikit_image_on_bytes(generator, perceptual, own):
    made = (own + 0.1 * torch.randn(own.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    w = generator.mean_w.expand(8, generator.num_ws, -1)
    found = quality(made, own, perceptual=perceptual, generator=generator, w=w)
    for i in range(8):
        ours, theirs = (to_uint8(x[i]).permute(1, 2, 0).numpy() for x in (own, made))
        assert float(found.psnr[i]) == pytest.approx(peak_signal_noise_ratio(ours, theirs), abs=1e-6)
        expected = structural_similarity(
            ours, theirs, channel_axis=2, gaussian_weights=True, use_sample_covariance=False
        )
        # scikit-image reflects at the border and then leaves the outer five pixels out; ours never goes beyond it.
        assert float(found.ssim[i]) == pytest.approx(expected, abs=1e-6)
        assert float(found.mse[i]) == pytest.approx(((ours / 255 - theirs / 255) ** 2).mean(), rel=1e-5)
    saved = to_float(to_uint8(made))
    torch.testing.assert_close(found.distance, perceptual(saved, own))
    assert found.w_distance.tolist() == [0] * 8


def test_the_distance_from_the_mean_counts_in_spreads_of_samples(generator):
    """Fresh samples lie at a root mean square distance of 1."""
    w = generator.mapping(torch.randn((4000, 16), generator=torch.Generator().manual_seed(7)))
    away = distance_to_mean(generator, w.detach(), spread(generator))
    assert float(away.square().mean().sqrt()) == pytest.approx(1, abs=0.02)


def test_where_the_mask_is_black_nothing_is_compared(generator, perceptual, own):
    made = own.clone()
    made[..., 8:] = 0
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    w = generator.mean_w.expand(8, generator.num_ws, -1)
    found = quality(made, own, perceptual=perceptual, generator=generator, w=w, mask=mask)
    assert found.mse.tolist() == [0] * 8
    assert found.psnr.tolist() == [math.inf] * 8
    assert resemblance(made, own, perceptual, mask).tolist() == [0] * 8


def test_without_a_network_the_distance_is_the_root_mean_square_error(own):
    made = (own - 0.1).clamp(0, 1)
    expected = (made - own).square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(resemblance(made, own, None), expected)
