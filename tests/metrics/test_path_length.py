"""Path lengths of generators whose image is an isometry of the latent space, in closed form."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.perceptual import LPIPS
from advgen.core.rng import SampleRng
from advgen.metrics.path_length import perceptual_path_length, slerp

Z = 192


class Isometry:
    """w = gain * z / |z| * sqrt(Z) + c, images = w laid out as 3x8x8; float64, so that steps of 1e-4 are exact."""

    z_dim = w_dim = Z
    num_ws = 1
    resolution = (8, 8)

    def __init__(self, *, gain: float = 1.0, c_dim: int = 0) -> None:
        self.gain = gain
        self.c_dim = c_dim
        self.mean_w = torch.zeros(Z, dtype=torch.float64)

    def mapping(self, z: Tensor, c: Tensor | None = None, *, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        w = self.gain * z / z.norm(dim=1, keepdim=True) * math.sqrt(Z)
        return (w if c is None else w * c.sum(1, keepdim=True)).unsqueeze(1)

    def synthesis(self, w: Tensor, *, noise: str = "const", rng: SampleRng | None = None) -> Tensor:
        images = w[:, 0].reshape(-1, 3, 8, 8)
        return images + 1000 * rng.normal((3, 8, 8)) if rng is not None else images


def squared_distance(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().flatten(1).sum(1)


def ends_of(seed: int, count: int) -> tuple[Tensor, Tensor]:
    rng = SampleRng.for_samples(seed, "path length", [str(k) for k in range(count)])
    first, second = rng.normal((2, Z)).double().unbind(1)
    return tuple(math.sqrt(Z) * x / x.norm(dim=1, keepdim=True) for x in (first, second))


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_in_z_the_path_is_a_great_circle_at_constant_speed(sampling: str) -> None:
    """Speed of an arc of angle a and radius r is a r, at every t."""
    first, second = ends_of(3, 40)
    angle = ((first * second).sum(1) / Z).acos()
    found = perceptual_path_length(Isometry(), squared_distance, space="z", sampling=sampling, count=40, seed=3)
    assert torch.allclose(found.lengths, angle.square() * Z, rtol=1e-5)


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_in_w_the_path_is_a_line_whose_speed_is_its_length(sampling: str) -> None:
    first, second = ends_of(0, 40)
    found = perceptual_path_length(Isometry(gain=2), squared_distance, space="w", sampling=sampling, count=40)
    assert torch.allclose(found.lengths, 4 * (first - second).square().sum(1), rtol=1e-6)


def test_the_mean_leaves_out_both_ends_and_lies_in_its_interval() -> None:
    found = perceptual_path_length(Isometry(), squared_distance, count=200, batch_size=64)
    inner = found.lengths.sort().values[1:-1]
    assert found.kept == 198
    assert found.mean == pytest.approx(float(inner.mean()))
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.stands_in_for is not None


def test_twice_the_gain_is_four_times_the_length_and_batches_change_nothing() -> None:
    short, long = (perceptual_path_length(Isometry(gain=g), squared_distance, count=30) for g in (1, 2))
    assert long.mean == pytest.approx(4 * short.mean)
    again = perceptual_path_length(Isometry(), squared_distance, count=30, batch_size=7)
    assert torch.allclose(again.lengths, short.lengths)


def test_a_path_has_one_condition_and_it_is_drawn_from_the_rows() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    found = perceptual_path_length(Isometry(c_dim=2), squared_distance, count=60, conditions=rows)
    plain = perceptual_path_length(Isometry(), squared_distance, count=60)
    ratio = (found.lengths / plain.lengths).round()
    assert set(ratio.tolist()) == {1.0, 9.0}


def test_slerp_stays_on_the_sphere_and_meets_both_ends() -> None:
    first, second = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in (0.0, 0.3, 1.0):
        assert torch.allclose(slerp(first, second, torch.full((5, 1), t)).norm(dim=1), torch.tensor(4.0).double())
    start, end = (slerp(first, second, torch.full((5, 1), t)) for t in (0.0, 1.0))
    assert torch.allclose(start, 4 * first / first.norm(dim=1, keepdim=True))
    assert torch.allclose(end, 4 * second / second.norm(dim=1, keepdim=True))


class Smooth(Isometry):
    """16x16 images that leave [0, 1], through float32 as a real generator's do."""

    resolution = (16, 16)

    def synthesis(self, w: Tensor, *, noise: str = "const", rng: SampleRng | None = None) -> Tensor:
        small = 0.5 + 0.3 * w[:, 0, :48].reshape(-1, 3, 4, 4).float()
        return torch.nn.functional.interpolate(small, size=(16, 16), mode="bicubic")


def test_lpips_of_images_outside_the_range_is_that_of_the_images_not_clamped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path))
    net = LPIPS("embedded")
    generator = Smooth()
    found = perceptual_path_length(generator, net, count=6, noise="none")
    assert "NOT the published LPIPS" in found.distance
    first, second = ends_of(0, 6)
    w = first.lerp(second, 1e-4).unsqueeze(1)
    images, others = (generator.synthesis(x) for x in (first.unsqueeze(1), w))
    assert images.max() > 1.2
    # In float64 and by the definition: unit vectors, squared, weighted, averaged over space, summed over layers.
    net64 = LPIPS("embedded").double()
    expected = torch.zeros(6, dtype=torch.float64)
    for one, other, weight in zip(net64.backbone(images.double()), net64.backbone(others.double()), net64.linear):
        unit, unit_other = (x / x.norm(dim=1, keepdim=True).clamp(min=1e-12) for x in (one, other))
        expected += ((unit - unit_other).square() * weight.view(1, -1, 1, 1)).sum(1).mean((1, 2))
    assert torch.allclose(found.lengths, expected / 1e-8, rtol=0.02)


def test_bad_questions_are_refused() -> None:
    with pytest.raises(UnknownName, match="latent space 'y'"):
        perceptual_path_length(Isometry(), squared_distance, space="y")
    with pytest.raises(BadArgument, match="at least 2 pairs"):
        perceptual_path_length(Isometry(), squared_distance, count=1)
    with pytest.raises(BadArgument, match="condition of 3 numbers"):
        perceptual_path_length(Isometry(c_dim=3), squared_distance)
    with pytest.raises(BadArgument, match="rows of 0 numbers"):
        perceptual_path_length(Isometry(), squared_distance, conditions=torch.ones(2, 3))
    with pytest.raises(BadArgument, match="16 pixels"):
        perceptual_path_length(Isometry(), LPIPS("embedded", trained=False), count=2)
