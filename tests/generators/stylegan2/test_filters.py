"""FIR resampling against its plain statement in NumPy, and against scipy."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, upfirdn

from advgen.generators.stylegan2.filters import (
    binomial_filter,
    conv_down,
    conv_up,
    downsample2d,
    upfirdn2d,
    upsample2d,
)


def plainly(image, fir, up, down, padding, gain):
    """Zeros in, pad or crop, convolve, every `down`th out."""
    h, w = image.shape
    spread = np.zeros((h * up, w * up))
    spread[::up, ::up] = image
    before, after = padding
    spread = np.pad(spread, ((max(before, 0), max(after, 0)),) * 2)
    spread = spread[max(-before, 0) : len(spread) - max(-after, 0), max(-before, 0) : spread.shape[1] - max(-after, 0)]
    return convolve2d(spread, fir * gain, mode="valid")[::down, ::down]


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (1, 2), (6, 3)])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1), (1, 3), (-1, 2)])
def test_resampling_is_zeros_in_convolution_and_every_nth_out(shape, up, down, padding):
    rng = np.random.default_rng(0)
    image, fir = rng.normal(size=(2, 3, 7, 6)), rng.normal(size=shape)
    made = upfirdn2d(torch.tensor(image), torch.tensor(fir), up=up, down=down, padding=padding, gain=1.7)
    for i in range(2):
        for j in range(3):
            expected = plainly(image[i, j], fir, up, down, padding, 1.7)
            np.testing.assert_allclose(made[i, j].numpy(), expected, atol=1e-12)


def test_a_row_agrees_with_scipys_upfirdn():
    """scipy pads with nothing and returns the full convolution, which is our padding of the filter's length less 1."""
    taps, row = np.array([1.0, 2.0, -4.0, 0.5]), np.random.default_rng(1).normal(size=9)
    made = upfirdn2d(
        torch.tensor(row)[None, None, None], torch.tensor(taps)[None], up=2, padding=(0, 0)
    )  # the single row stands in row 0; no zeros are put above it
    full = upfirdn(taps, row, up=2)
    np.testing.assert_allclose(made[0, 0, 0].numpy(), full[3 : 3 + made.shape[-1]], atol=1e-12)


def test_up_and_down_keep_a_flat_image_away_from_the_border():
    flat = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    fir = binomial_filter().double()
    assert fir.sum() == 1
    up, down = upsample2d(flat, fir), downsample2d(flat, fir)
    assert up.shape[-1] == 16
    assert down.shape[-1] == 4
    torch.testing.assert_close(up[..., 2:-2, 2:-2], torch.ones(1, 1, 12, 12, dtype=torch.float64))
    torch.testing.assert_close(down[..., 1:-1, 1:-1], torch.ones(1, 1, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize("k", [1, 3])
def test_convolution_up_is_the_kernel_over_the_zero_filled_image_and_then_the_filter(k):
    rng = np.random.default_rng(2)
    image, kernel, fir = rng.normal(size=(5, 5)), rng.normal(size=(k, k)), rng.normal(size=(4, 4))
    made = conv_up(*(torch.tensor(a)[None, None] for a in (image, kernel)), torch.tensor(fir))
    spread = np.zeros((10, 10))
    spread[::2, ::2] = image
    expected = convolve2d(convolve2d(spread, kernel, mode="full"), fir * 4, mode="full")
    at = k // 2 + 1
    np.testing.assert_allclose(made[0, 0].numpy(), expected[at : at + 10, at : at + 10], atol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_convolution_down_is_the_filter_and_then_every_second_correlation(k):
    rng = np.random.default_rng(3)
    image, kernel, fir = rng.normal(size=(8, 8)), rng.normal(size=(k, k)), rng.normal(size=(4, 4))
    made = conv_down(*(torch.tensor(a)[None, None] for a in (image, kernel)), torch.tensor(fir))
    full = convolve2d(convolve2d(image, fir, mode="full"), kernel[::-1, ::-1], mode="full")
    at = 2 if k == 1 else 3
    expected = full[at : at + 8 : 2, at : at + 8 : 2]
    assert made.shape[-1] == 4
    np.testing.assert_allclose(made[0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_resampling_can_be_differentiated_twice(up, down):
    image = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    fir = torch.randn(3, 3, dtype=torch.float64)

    def squared(x):
        return upfirdn2d(x, fir, up=up, down=down, padding=(2, 1)).square()

    assert torch.autograd.gradcheck(squared, image)
    assert torch.autograd.gradgradcheck(squared, image)
