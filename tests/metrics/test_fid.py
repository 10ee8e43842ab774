"""FID against closed forms, scipy's matrix root and torch-fidelity."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.metrics.features import Features, from_module, load
from advgen.metrics.fid import FidProbe, frechet_distance


def features_of(seed: int, count: int, dim: int, *, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    drawn = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return drawn * scale * torch.linspace(0.1, 2.0, dim) + shift


def images_of(seed: int, count: int, *, side: int = 32, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8)


class Pixels(nn.Module):
    """The first numbers of the image: features whose statistics are known."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :12]


@pytest.fixture
def pixels() -> Features:
    return from_module(Pixels(), "pixels")


def by_scipy(first: Tensor, second: Tensor) -> float:
    """Equation 6 with a matrix root by Schur decomposition."""
    a, b = first.double().numpy(), second.double().numpy()
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(c @ d)
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c + d - 2 * root.real))


def test_fid_is_the_closed_form_of_two_gaussians() -> None:
    """Rows made to have exactly mean 0 and covariance I; then scaled by s and moved by m: |m|^2 + D (s - 1)^2."""
    drawn = features_of(0, 400, 8).double()
    centred = drawn - drawn.mean(0)
    white = centred @ torch.linalg.inv(torch.linalg.cholesky(centred.T.cov())).T
    assert frechet_distance(white, 3 * white + 2) == pytest.approx(8 * 2**2 + 8 * (3 - 1) ** 2, rel=1e-9)


@given(seed=st.integers(0, 1000), dim=st.integers(1, 24), scale=st.floats(0.2, 3))
@settings(max_examples=20, deadline=None)
def test_fid_agrees_with_scipys_matrix_root(seed: int, dim: int, scale: float) -> None:
    a, b = features_of(seed, 60, dim), features_of(seed + 1, 50, dim, shift=0.3, scale=scale)
    if dim == 1:
        spread = float(a.double().std() - b.double().std()) ** 2
        assert frechet_distance(a, b) == pytest.approx(float(a.double().mean() - b.double().mean()) ** 2 + spread)
    else:
        assert frechet_distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-6)


@pytest.mark.parametrize(("count", "dim"), [(500, 32), (40, 100)])
def test_fid_agrees_with_torch_fidelity_with_and_without_full_rank(count: int, dim: int) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = features_of(1, count, dim), features_of(2, count + 5, dim, shift=0.5, scale=1.4)
    statistics = [fid_features_to_statistics(x) for x in (a, b)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-4)


def test_fid_is_symmetric_zero_on_equal_sets_and_blind_to_rotation() -> None:
    a, b = features_of(3, 100, 10), features_of(4, 80, 10, shift=1.0)
    turn = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(5)).double())[0]
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a) < 1e-6
    assert frechet_distance(a.double() @ turn, b.double() @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-5)


def test_the_probe_gives_the_distance_of_the_sets_whole_or_in_batches(pixels: Features) -> None:
    real, fake = images_of(0, 90), images_of(1, 70) // 2
    probe = FidProbe(real, pixels)
    assert probe.of(fake) == pytest.approx(frechet_distance(pixels.of(real), pixels.of(fake)), rel=1e-9)
    assert probe.of(fake.split(32)) == pytest.approx(probe.of(fake), rel=1e-9)
    assert (probe.n_real, probe.dim) == (90, 12)


def test_the_probe_orders_degrees_of_noise_with_the_embedded_network() -> None:
    smooth = torch.nn.functional.interpolate(images_of(2, 300, side=4).float(), size=(32, 32), mode="bicubic")
    noise = torch.randn(smooth.shape, generator=torch.Generator().manual_seed(3))
    degrees = [(smooth + sigma * noise).clamp(0, 255).round().byte() for sigma in (0, 5, 20, 60)]
    probe = FidProbe(degrees[0][:150], load("embedded"))
    values = [probe.of(images[150:]) for images in degrees]
    assert values == sorted(values)
    assert values[-1] > 5 * values[0]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(count: int, pixels: Features) -> None:
    with pytest.raises(BadArgument, match=r"no images|at least 2"):
        FidProbe(images_of(0, count), pixels)
    with pytest.raises(BadArgument, match=r"no images|at least 2"):
        FidProbe(images_of(0, 5), pixels).of(images_of(0, count))


def test_images_that_are_not_bytes_are_refused(pixels: Features) -> None:
    with pytest.raises(BadArgument, match="to_uint8"):
        FidProbe(images_of(0, 5).float() / 255, pixels)
