import io
import json
import warnings
from contextlib import redirect_stdout
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from advgen.core import checkpoints, images
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.perceptual import LPIPS, _LayerDistance, default_net
from advgen.core.perceptual_nets import NETS
from advgen.core.specs import Card


def random_images(n: int, side: int, seed: int = 0, channels: int = 3) -> Tensor:
    """Smooth blobs with some grain, so that features are neither all dead nor all alike."""
    generator = torch.Generator().manual_seed(seed)
    blobs = images.resize(torch.rand(n, channels, 6, 6, generator=generator), side)
    return (blobs + 0.05 * torch.randn(n, channels, side, side, generator=generator)).clamp(0, 1)


def package(net: str, *, random: bool) -> Any:
    """The lpips package's metric; it prints, warns and asks for gradients of its parameters."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import lpips

        return lpips.LPIPS(net=net, pnet_rand=random).requires_grad_(False)


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no weight file at all; `weights/` in the returned folder is the only place looked in."""
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path))
    monkeypatch.setattr(checkpoints, "places", lambda: (tmp_path / "weights",))
    (tmp_path / "weights").mkdir()
    return tmp_path


@pytest.fixture
def real_weights(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    return shared_data


@pytest.fixture
def squeeze(real_weights: Path) -> LPIPS:
    return LPIPS("squeeze")


@pytest.fixture(scope="module")
def embedded() -> LPIPS:
    torch.manual_seed(0)
    return LPIPS("embedded", trained=False)


def torchvision_weights(theirs: Any) -> dict[str, Tensor]:
    """The package's backbone under torchvision's names."""
    named = {}
    for name, tensor in theirs.net.state_dict().items():
        _slice, rest = name.split(".", 1)
        named[f"features.{rest}"] = tensor
    return named


@pytest.fixture(params=["squeeze", "alex", "vgg"])
def ours_and_theirs(request: pytest.FixtureRequest, empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both metrics on one file of random backbone weights, ours read from a folder as any user's would be."""
    torch.manual_seed(1)
    theirs = package(request.param, random=True)
    file = empty_home / "weights" / NETS[request.param].files[0]
    torch.save(torchvision_weights(theirs), file)
    monkeypatch.setitem(checkpoints.TORCH_FILES, file.name, (sha256(file.read_bytes()).hexdigest(),))
    return LPIPS(request.param), theirs


def test_values_and_gradients_are_the_packages_for_every_net(ours_and_theirs: Any) -> None:
    ours, theirs = ours_and_theirs
    a, b = random_images(3, 64, 1), random_images(3, 64, 2)
    assert (ours(a, b) - theirs(a, b, normalize=True).flatten()).abs().max() < 1e-6
    # In float64: in float32 a ReLU near 0 may open on one side only. What is left is the rounding of the constants.
    x, y = a.double().requires_grad_(), a.double().requires_grad_()
    ours.double()(x, b.double()).sum().backward()
    theirs.double()(y, b.double(), normalize=True).sum().backward()
    assert (x.grad - y.grad).norm() < 1e-5 * y.grad.norm()


def test_values_are_the_published_ones(squeeze: LPIPS, real_weights: Path) -> None:
    folder = real_weights / "images" / "lpips"
    published = json.loads((folder / "lpips_squeeze_values.json").read_text())["distance"]
    ref, p0, p1 = (images.to_float(images.load(folder / f"ex_{name}.png"))[None] for name in ("ref", "p0", "p1"))
    found = squeeze(torch.cat([ref, ref, p0, ref]), torch.cat([p0, p1, p1, ref])).tolist()
    assert found == pytest.approx([published[k] for k in ("ref_p0", "ref_p1", "p0_p1", "ref_ref")], abs=1e-6)
    assert found[:2] == pytest.approx([0.71105, 0.14790], abs=1e-5)


def test_values_are_the_packages_with_the_real_squeezenet(
    squeeze: LPIPS, real_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoints").mkdir()
    file = real_weights / "weights" / "squeezenet1_1-rebuilt.pth"
    (tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth").symlink_to(file)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    theirs = package("squeeze", random=False)
    for side in (17, 32, 45, 64):
        a, b = random_images(4, side, 3), random_images(4, side, 4)
        near = (a + 1e-3 * (b - a)).clamp(0, 1)
        for other in (b, near):
            assert (squeeze(a, other) - theirs(a, other, normalize=True).flatten()).abs().max() < 1e-6


@pytest.mark.parametrize("net", NETS)
def test_equal_images_are_at_exactly_zero_with_a_zero_gradient_and_the_distance_is_symmetric(net: str) -> None:
    torch.manual_seed(2)
    metric = LPIPS(net, trained=False)
    a, b = random_images(2, 32, 1), random_images(2, 32, 2)
    x = a.clone().requires_grad_()
    distance = metric(x, a)
    distance.sum().backward()
    assert distance.tolist() == [0, 0]
    assert not x.grad.any()
    assert metric(a, b) == pytest.approx(metric(b, a), rel=1e-5)
    assert (metric(a, b) > 0).all()


def test_a_reference_gives_the_same_distances_and_gradients_as_the_pair(squeeze: LPIPS) -> None:
    originals, x = random_images(5, 40, 1), random_images(5, 40, 2).requires_grad_()
    reference = squeeze.reference(originals)
    again = squeeze.distance_to(x, reference)
    pair = squeeze(x, originals)
    assert torch.equal(again, pair)
    assert torch.equal(torch.autograd.grad(again.sum(), x)[0], torch.autograd.grad(pair.sum(), x)[0])
    assert not any(feature.requires_grad for feature in reference.features)
    assert len(reference) == 5


@pytest.mark.parametrize("index", [torch.tensor([3, 0]), torch.tensor([True, False, False, True, False])])
def test_a_reference_shrinks_with_the_batch(embedded: LPIPS, index: Tensor) -> None:
    originals, x = random_images(5, 40, 1), random_images(5, 40, 2)
    reference = embedded.reference(originals).take(index)
    assert len(reference) == 2
    assert embedded.distance_to(x[index], reference) == pytest.approx(embedded(x, originals)[index], rel=1e-5)
    assert len(reference.take(torch.zeros(2, dtype=torch.bool))) == 0


def test_the_gradient_reaches_both_sides_and_the_linear_layers(embedded: LPIPS) -> None:
    a, b = random_images(2, 24, 1).requires_grad_(), random_images(2, 24, 2).requires_grad_()
    first, second = torch.autograd.grad(embedded(a, b).sum(), (a, b))
    assert first.abs().sum() > 0
    assert second.abs().sum() > 0
    torch.manual_seed(3)
    training = LPIPS("embedded", trained=False).requires_grad_(True)
    training(a, b).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in training.parameters())


def test_the_written_out_gradient_of_a_layer_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    features, reference = torch.randn(2, 2, 4, 3, 2, dtype=torch.float64, generator=generator)
    inputs = [features, reference, torch.rand(4, dtype=torch.float64, generator=generator)]
    assert torch.autograd.gradcheck(_LayerDistance.apply, [x.clone().requires_grad_() for x in inputs])


def test_a_dead_feature_vector_gives_a_finite_gradient(embedded: LPIPS) -> None:
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)
    reference = torch.rand(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    _LayerDistance.apply(features, reference, torch.ones(4)).sum().backward()
    assert features.grad.isfinite().all()
    black = torch.zeros(1, 3, 32, 32, requires_grad=True)
    embedded(random_images(1, 32), black).sum().backward()
    assert black.grad.isfinite().all()


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_evaluation_in_batches_gives_the_same_values(embedded: LPIPS, batch_size: int) -> None:
    a, b = random_images(5, 32, 1), random_images(5, 32, 2)
    # A convolution may sum in another order at another batch size.
    assert embedded(a, b, batch_size=batch_size) == pytest.approx(embedded(a, b), abs=1e-6)


def test_no_images_give_no_distances(embedded: LPIPS) -> None:
    assert embedded(torch.zeros(0, 3, 32, 32), torch.zeros(0, 3, 32, 32), batch_size=4).shape == (0,)


def test_grey_is_measured_as_grey_rgb(embedded: LPIPS) -> None:
    a, b = random_images(2, 32, 1, channels=1), random_images(2, 32, 2, channels=1)
    assert torch.equal(embedded(a, b), embedded(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1)))


def test_more_noise_is_farther(squeeze: LPIPS) -> None:
    original = random_images(1, 64).expand(4, -1, -1, -1)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([0.0, 0.02, 0.06, 0.2]).reshape(-1, 1, 1, 1)
    assert squeeze((original + levels * noise).clamp(0, 1), original).diff().min() > 0


@pytest.mark.parametrize("net", NETS)
def test_the_least_size_leaves_every_feature_map_a_pixel_and_one_less_is_a_sentence(net: str) -> None:
    torch.manual_seed(4)
    metric, least = LPIPS(net, trained=False), NETS[net].min_side
    smallest = random_images(1, least)
    assert all(min(feature.shape[-2:]) >= 1 for feature in metric.reference(smallest).features)
    assert metric(smallest, 1 - smallest) > 0
    smaller = random_images(1, least - 1)
    with pytest.raises(
        BadArgument, match=rf"{net!r} needs images of at least {least}x{least} pixels, got {least - 1}x"
    ):
        metric(smaller, smaller)
    with pytest.raises(RuntimeError):
        metric.backbone(smaller)


def test_features_have_the_channels_that_the_linear_layers_expect() -> None:
    for net, expected in NETS.items():
        features = LPIPS(net, trained=False).reference(random_images(1, 33)).features
        assert tuple(feature.shape[1] for feature in features) == expected.channels


def test_it_never_trains(squeeze: LPIPS) -> None:
    assert not any(parameter.requires_grad for parameter in squeeze.parameters())
    assert not torch.nn.Sequential(squeeze).train()[0].training
    assert not any(module.training for module in squeeze.modules())
    before = {name: tensor.clone() for name, tensor in squeeze.state_dict().items()}
    squeeze(random_images(2, 32, 1).requires_grad_(), random_images(2, 32, 2)).sum().backward()
    assert all(torch.equal(before[name], tensor) for name, tensor in squeeze.state_dict().items())


@pytest.mark.parametrize("net", ["squeeze", "alex", "vgg"])
def test_without_its_file_the_sentence_names_the_file_and_its_place(net: str, empty_home: Path) -> None:
    with pytest.raises(MissingFile) as caught:
        LPIPS(net)
    sentence = str(caught.value)
    assert NETS[net].files[0] in sentence
    assert f"looked in {empty_home / 'weights'}" in sentence
    assert sentence.endswith(
        f"Get https://download.pytorch.org/models/{NETS[net].files[0]} and put it into {empty_home / 'weights'}."
    )


def test_an_unknown_net_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="did you mean 'squeeze'"):
        LPIPS("squeezenet")


@pytest.mark.parametrize(
    ("originals", "sentence"),
    [
        (torch.zeros(2, 3, 32, 32) - 1, r"from -1 to -1; divide 0-255 images by 255, and undo a normalisation"),
        (torch.full((2, 3, 32, 32), float("nan")), "got NaN in 6144 of 6144 values"),
        (torch.zeros(2, 32, 32), r"must have the shape \(N, C, H, W\)"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "got uint8; divide bytes by 255"),
    ],
)
def test_originals_of_another_range_or_shape_are_refused(embedded: LPIPS, originals: Tensor, sentence: str) -> None:
    with pytest.raises(BadArgument, match=sentence):
        embedded.reference(originals)


def test_images_that_do_not_fit_their_reference_are_refused(embedded: LPIPS) -> None:
    reference = embedded.reference(random_images(3, 32))
    with pytest.raises(BadArgument, match=r"2 of 32x32 pixels \(net embedded\), their reference 3 of 32x32"):
        embedded.distance_to(random_images(2, 32), reference)
    with pytest.raises(BadArgument, match=r"their reference 3 of 32x32 pixels \(net embedded\)"):
        LPIPS("squeeze", trained=False).distance_to(random_images(3, 32), reference)
    with pytest.raises(BadArgument, match=r"C = 1 or 3, got \(3, 4, 32, 32\)"):
        embedded.distance_to(torch.zeros(3, 4, 32, 32), reference)
    with pytest.raises(BadArgument, match="they must agree"):
        embedded(random_images(3, 32), random_images(3, 48))


CARD = Card("perceptual_embedded", "perceptual", "r", {}, 0, "", "", {}, {}, "MIT", "published LPIPS backbone")


def test_the_embedded_network_is_read_from_its_file_and_says_that_it_is_not_lpips(
    empty_home: Path, embedded: LPIPS
) -> None:
    path = empty_home / "weights" / "perceptual_embedded.safetensors"
    checkpoints.save(path, {name: tensor.half() for name, tensor in embedded.state_dict().items()}, CARD)
    assert path.stat().st_size < 1_000_000
    loaded = LPIPS("embedded")
    a, b = random_images(2, 32, 1), random_images(2, 32, 2)
    assert loaded(a, b) == pytest.approx(embedded(a, b), rel=1e-2)  # its file is float16
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    assert "NOT the published LPIPS" in loaded.definition
    assert "NOT the published LPIPS" in (LPIPS.__doc__ or "")


def test_negative_linear_weights_and_foreign_tensors_are_refused(empty_home: Path, embedded: LPIPS) -> None:
    path = empty_home / "weights" / "perceptual_embedded.safetensors"
    tensors = {name: tensor.clone() for name, tensor in embedded.state_dict().items()}
    tensors["linear.2"][3] = -1
    checkpoints.save(path, tensors, CARD)
    with pytest.raises(BadFile, match="has negative linear weights"):
        LPIPS("embedded")
    checkpoints.save(path, {"other": torch.ones(1)}, CARD)
    with pytest.raises(BadFile, match="does not fit net 'embedded'"):
        LPIPS("embedded")


def test_squeeze_is_the_default_where_its_file_is_and_images_are_large_enough(real_weights: Path) -> None:
    assert default_net(32).net == "squeeze"
    assert str(default_net(16)) == (
        "LPIPS net embedded: images of 16 pixels are too small for squeeze, which needs 17; "
        "the distances are NOT the published LPIPS"
    )


def test_without_the_file_the_default_is_embedded_and_says_so(empty_home: Path) -> None:
    chosen = default_net(64)
    assert chosen.net == "embedded"
    assert chosen.reason == (
        f"squeezenet1_1-b8a52dc0.pth was not found (put it into {empty_home / 'weights'}); "
        "the distances are NOT the published LPIPS"
    )
