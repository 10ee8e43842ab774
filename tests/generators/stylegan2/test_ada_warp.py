"""The warp and the filters of adaptive augmentation, against their plain statement in NumPy and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d, map_coordinates
from torch.autograd import gradcheck, gradgradcheck

from advgen.generators.stylegan2.ada import AdaptiveAugmentation, AugmentationConfig
from advgen.generators.stylegan2.warp import rotation, sample_bilinear, scaling, shift, warp
from advgen.generators.stylegan2.wavelets import SYM2, SYM6, band_matrices, doubling, octaves


def plain_warp(image, inverse):
    """Reflect far beyond what is seen, double, look up, halve; `image` (H, W), `inverse` (3, 3), pixels from centre."""
    taps = np.array(SYM6) / np.sqrt(2)
    (h, w), room, reach = image.shape, len(image) - 1, 3
    padded = np.pad(image, room, mode="reflect")
    fine = np.zeros([2 * side for side in padded.shape])
    fine[::2, ::2] = padded
    for axis in (0, 1):
        fine = 2 * convolve1d(fine, taps, axis, mode="constant", origin=-1)  # out[j] = sum_k taps[k] in[j + 5 - k]
    ys, xs = np.mgrid[: 2 * (h + 2 * reach), : 2 * (w + 2 * reach)].astype(float)
    # Fine pixel j shows the place (j - 1/2) / 2; half a fine pixel aside, as the filter is even.
    x = (xs - (2 * (w + 2 * reach) - 1) / 2 + 0.5) / 2
    y = (ys - (2 * (h + 2 * reach) - 1) / 2 + 0.5) / 2
    x, y, _ = np.einsum("ij,jkl->ikl", inverse, np.stack([x, y, np.ones_like(x)]))
    at = [2 * y - 0.5 + (fine.shape[0] - 1) / 2, 2 * x - 0.5 + (fine.shape[1] - 1) / 2]
    seen = map_coordinates(fine, at, order=1, mode="grid-constant")
    for axis in (0, 1):
        seen = convolve1d(seen, taps[::-1], axis, mode="constant", origin=0)
    return seen[6:-6:2, 6:-6:2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: shift(*torch.tensor([[0.0], [0.0]])),
        lambda: shift(*torch.tensor([[3.0], [-2.0]])),
        lambda: rotation(torch.tensor([0.4])),
        lambda: scaling(*torch.tensor([[1.3], [0.8]])),
        lambda: shift(*torch.tensor([[0.7], [2.2]])) @ rotation(torch.tensor([-2.0])),
    ],
)
def test_a_warp_is_reflect_double_look_up_and_halve(make):
    image = np.random.default_rng(0).normal(size=(20, 20))
    inverse = make().double()
    made = warp(torch.tensor(image)[None, None], inverse)[0, 0].numpy()
    np.testing.assert_allclose(
        made, plain_warp(image, inverse[0].numpy()), atol=1e-6
    )  # sym6's digits are good to 1e-10


def test_the_geometric_operations_are_composed_in_the_papers_order():
    """Scaled, turned, stretched, then moved: the inverse is the product of the inverses from left to right."""
    quantile = math.sqrt(0.5) * torch.distributions.Normal(0, 1).icdf(torch.tensor(0.7)).double()
    size, stretch = 2 ** (0.2 * quantile), 2 ** (0.2 * quantile)
    angle, move = 0.4 * math.pi * torch.ones(()), -0.125 * 20 * quantile
    inverse = scaling(1 / size, 1 / size) @ rotation(angle.double()) @ scaling(1 / stretch, stretch) @ shift(move, move)
    image = np.random.default_rng(1).uniform(size=(20, 20))
    geom = AdaptiveAugmentation(AugmentationConfig(scale=1, rotate=1, aniso=1, xfrac=1))
    made = geom(torch.tensor(image)[None, None], percentile=0.7)[0, 0].numpy()
    np.testing.assert_allclose(made, plain_warp(image - 0.5, inverse.numpy()) + 0.5, atol=3e-6)  # angles are float32


def test_what_lies_beyond_one_reflection_is_zero():
    far = warp(torch.ones(1, 1, 16, 16), shift(*torch.tensor([[60.0], [0.0]])))
    assert far.abs().max() == 0
    smaller = warp(torch.ones(1, 1, 16, 16, dtype=torch.float64), scaling(*torch.tensor([[6.0], [1.0]])).double())
    # 16 columns and 15 mirrored on each side are 46 / 6 = 8 wide; the filter rings 3 columns beyond.
    torch.testing.assert_close(smaller[0, 0, :, 7:9], torch.ones(16, 2, dtype=torch.float64), atol=1e-3, rtol=0)
    assert smaller[0, 0, :, 0].abs().max() < 1e-6
    assert smaller[0, 0, :, 15].abs().max() < 1e-6


def test_sym6_and_sym2_are_orthonormal_with_all_their_vanishing_moments():
    for taps, digits in ((np.array(SYM6), 1e-9), (np.array(SYM2), 1e-12)):
        order = len(taps) // 2
        assert abs(taps.sum() - np.sqrt(2)) < digits
        for lag in range(order):
            assert abs(taps[2 * lag :] @ taps[: len(taps) - 2 * lag] - (lag == 0)) < digits
        k = np.arange(len(taps))
        for moment in range(order):
            # Of numbers up to 11^5, the digits shrink by as much.
            assert abs(((-1.0) ** k * k**moment) @ taps) < digits * 12.0**moment
    closed = np.array([1 - np.sqrt(3), 3 - np.sqrt(3), 3 + np.sqrt(3), 1 + np.sqrt(3)]) / (4 * np.sqrt(2))
    np.testing.assert_allclose(SYM2, closed, atol=1e-12)


def test_halving_undoes_doubling():
    up = doubling(12, 0, 0, like=torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close((up.T @ up / 2)[3:-3], torch.eye(12, dtype=torch.float64)[3:-3], atol=1e-9, rtol=0)


def test_the_bands_add_up_to_the_image_and_are_octaves():
    like = torch.zeros(1, dtype=torch.float64)
    for size in (5, 16, 64):
        whole = band_matrices(size, like=like).sum(0)
        torch.testing.assert_close(whole, torch.eye(size, dtype=torch.float64), atol=1e-11, rtol=0)
    response = torch.fft.rfft(octaves(), n=1024).abs()  # 0 .. Nyquist in 513 steps
    middles = [0, 96, 192, 512]  # of [0, 1/8], [1/8, 1/4], [1/4, 1/2], [1/2, 1] Nyquist: the bands overlap broadly
    assert [int(response[:, at].argmax()) for at in middles] == [0, 1, 2, 3]
    np.testing.assert_allclose(response[1:, 0], 0, atol=1e-11)


def test_sampling_is_torchs_and_so_is_its_gradient():
    torch.manual_seed(0)
    images, grid = torch.randn(2, 3, 7, 9, requires_grad=True), torch.rand(2, 5, 4, 2) * 2.4 - 1.2
    weights = torch.randn(2, 3, 5, 4)
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    made = sample_bilinear(images, grid)
    assert torch.equal(made, expected)
    (ours,) = torch.autograd.grad((made * weights).sum(), images)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), images)
    assert torch.equal(ours, theirs)


def test_sampling_has_first_and_second_derivatives():
    torch.manual_seed(0)
    images = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    grid = torch.rand(2, 3, 6, 2, dtype=torch.float64) * 2.4 - 1.2
    assert gradcheck(lambda x: sample_bilinear(x, grid), images)
    assert gradgradcheck(lambda x: sample_bilinear(x, grid), images)
