import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from advgen.core.errors import BadArgument
from advgen.core.perceptual import pixel_distances, psnr, ssim

BATCHES = hnp.array_shapes(min_dims=4, max_dims=4, max_side=4).flatmap(
    lambda shape: st.tuples(hnp.arrays(np.uint8, shape), hnp.arrays(np.uint8, shape))
)


def random_pair(channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(3, channels, 20, 17, generator=generator)
    return a, (a + 0.1 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def test_each_norm_of_a_known_change() -> None:
    original = np.zeros((1, 3, 4, 4), np.uint8)
    image = original.copy()
    image[0, :, 0, 0] = 51  # one pixel, three channels, by 0.2
    image[0, 1, 2, 3] = 255  # another, one channel, by 1
    found = pixel_distances(image, original)
    assert {name: value.tolist() for name, value in found.items()} == {
        "linf": [1.0],
        "l2": [pytest.approx((3 * 0.04 + 1) ** 0.5, abs=1e-15)],
        "l1": [pytest.approx(1.6, abs=1e-15)],
        "l0": [2.0],
    }
    assert all(value.dtype == np.float64 for value in found.values())


@settings(max_examples=60, deadline=None)
@given(BATCHES)
def test_the_norms_are_symmetric_and_keep_their_inequalities(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    found, back = pixel_distances(a, b), pixel_distances(b, a)
    assert all((found[name] == back[name]).all() for name in found)
    values = found["l0"] * a.shape[1]  # of bytes that may have changed
    assert (found["linf"] <= found["l2"] + 1e-12).all()
    assert (found["l2"] <= found["l1"] + 1e-12).all()
    assert (found["l2"] <= np.sqrt(values) * found["linf"] + 1e-12).all()
    assert ((found["l0"] == 0) == (found["linf"] == 0)).all()
    assert all((value == 0).all() for value in pixel_distances(a, a).values())


def test_tensors_and_arrays_give_the_same_and_no_images_give_none() -> None:
    a = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = pixel_distances(a, a.flip(0))
    assert all((value == pixel_distances(a.numpy(), a.flip(0).numpy())[name]).all() for name, value in found.items())
    assert all(value.shape == (0,) for value in pixel_distances(a[:0], a[:0]).values())


def test_only_bytes_of_one_shape_are_measured() -> None:
    a = np.zeros((1, 3, 4, 4), np.uint8)
    with pytest.raises(BadArgument, match="on uint8 images, got float32 and uint8"):
        pixel_distances(a.astype(np.float32), a)
    with pytest.raises(BadArgument, match="both must be one"):
        pixel_distances(a, np.zeros((1, 3, 4, 5), np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_scikit_images(channels: int) -> None:
    a, b = random_pair(channels)
    for k in range(len(a)):
        x, y = a[k].double().numpy(), b[k].double().numpy()
        assert psnr(b, a)[k].item() == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1), rel=1e-9)
        expected = structural_similarity(
            x, y, data_range=1, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim(b, a)[k].item() == pytest.approx(expected, abs=1e-9)


def test_equal_images_have_infinite_psnr_and_ssim_one() -> None:
    a, _ = random_pair(3)
    assert psnr(a, a).tolist() == [float("inf")] * 3
    assert ssim(a, a).tolist() == pytest.approx([1.0] * 3, abs=1e-12)


def test_ssim_is_differentiable_and_needs_room_for_its_window() -> None:
    a, b = random_pair(3)
    (gradient,) = torch.autograd.grad(ssim(b.requires_grad_(), a).sum(), b)
    assert gradient.isfinite().all()
    assert gradient.any()
    with pytest.raises(BadArgument, match="SSIM needs images of at least 11x11, got 10x12"):
        ssim(torch.zeros(1, 3, 12, 10), torch.zeros(1, 3, 12, 10))
