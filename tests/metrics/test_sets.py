"""Set metrics against torch-fidelity's own way and closed forms; coverage of the intervals; feature networks."""

import math
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, MissingFile, UnknownName
from advgen.metrics import features as nets
from advgen.metrics._intervals import wilson
from advgen.metrics.features import Features, from_module, load
from advgen.metrics.fid import FidProbe
from advgen.metrics.sets import compare_sets


def images_of(seed: int, count: int, *, side: int = 2, channels: int = 3, top: int = 256) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, top, (count, channels, side, side), generator=generator, dtype=torch.uint8)


class Pixels(nn.Module):
    """Features are the pixels; logits say which third of the grey levels the first pixel is in."""

    def __init__(self) -> None:
        super().__init__()
        self.tap = nn.Flatten()

    def forward(self, images: Tensor) -> Tensor:
        first = self.tap(images)[:, :1]
        return -2000 * (first - torch.tensor([[0.1, 0.5, 0.9]])).square()


@pytest.fixture
def pixels() -> Features:
    return from_module(Pixels(), "pixels", layer="tap")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no weights but the shipped ones."""
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path))
    monkeypatch.setattr(checkpoints, "_hub", lambda: tmp_path / "hub")
    return tmp_path


def test_numbers_are_those_of_torch_fidelity_on_images(home: Path) -> None:
    """Its own way from uint8 images through an extractor of its kind; rounding of batches is all that differs."""
    from torch.utils.data import Dataset
    from torch_fidelity import FeatureExtractorBase, calculate_metrics, register_feature_extractor

    network = load("embedded")

    class Extractor(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **_: object) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("all",)

        @staticmethod
        def get_default_feature_layer_for_metric(_: str) -> str:
            return "all"

        def forward(self, images: Tensor) -> tuple[Tensor]:
            return (network.of(images),)

    class Images(Dataset[Tensor]):
        def __init__(self, images: Tensor) -> None:
            self.images = images

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, place: int) -> Tensor:
            return self.images[place]

    register_feature_extractor("test-embedded", Extractor)
    real, fake = images_of(0, 60, side=32), images_of(1, 50, side=32, top=200)
    theirs = calculate_metrics(
        input1=Images(fake), input2=Images(real), feature_extractor="test-embedded", fid=True, kid=True, prc=True,
        kid_subset_size=50, rng_seed=3, cuda=False, cache=False, save_cpu_ram=True, verbose=False, batch_size=7,
    )  # fmt: skip
    ours = compare_sets(real, fake, features=network, seed=3)
    assert ours.fid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert ours.kid == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert (ours.precision, ours.recall) == pytest.approx((theirs["precision"], theirs["recall"]))


def test_the_probe_of_training_agrees_with_the_report(pixels: Features) -> None:
    real, fake = images_of(0, 300), images_of(1, 250, top=180)
    assert FidProbe(real, pixels).of(fake) == pytest.approx(compare_sets(real, fake, features=pixels).fid, rel=1e-3)


def test_kid_is_the_unbiased_mmd_by_a_double_loop(pixels: Features) -> None:
    real, fake = images_of(0, 12), images_of(1, 12, top=128)
    x, y = pixels.of(real).double().numpy(), pixels.of(fake).double().numpy()

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    n = len(x)
    within = sum(k(z[i], z[j]) for z in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    between = sum(k(a, b) for a in x for b in y) / n**2
    assert compare_sets(real, fake, features=pixels).kid == pytest.approx(within - 2 * between, rel=1e-5)


def test_precision_and_recall_tell_missing_modes_from_stray_images(pixels: Features) -> None:
    """Two far clusters: a set that shows one of them is precise without recall; one with strays, the reverse."""
    low, high = images_of(0, 100, top=40), images_of(1, 100, top=40) + 200
    both = torch.cat([low, high])
    missing = compare_sets(both, images_of(2, 200, top=40), features=pixels)
    strays = compare_sets(both, torch.cat([both, images_of(3, 200, top=10) + 120]), features=pixels)
    assert missing.precision > 0.8
    assert missing.recall < 0.51
    assert strays.precision == pytest.approx(0.5)
    assert strays.recall == 1.0


def test_inception_score_is_the_number_of_classes_shown_in_equal_shares(pixels: Features) -> None:
    sure = torch.tensor([26, 128, 230], dtype=torch.uint8).repeat(100)[:, None, None, None].expand(-1, 3, 2, 2)
    one = sure[sure[:, 0, 0, 0] == 26].repeat(3, 1, 1, 1)
    noisy = sure.clone()
    noisy[:, 1:] = images_of(0, 300)[:, 1:]
    three = compare_sets(images_of(1, 40), noisy, features=pixels)
    assert three.inception_score == pytest.approx(3, rel=0.05)  # ten splits of 30, whose shares are not quite equal
    assert three.inception_score_interval[0] < 3.001
    assert compare_sets(images_of(1, 40), one, features=pixels).inception_score == pytest.approx(1, abs=1e-6)


def test_intervals_hold_the_mean_of_repeated_comparisons_and_the_bias_is_found(pixels: Features) -> None:
    """Forty comparisons of two known distributions, of which 95% should hold the mean; n = 40 hardly gives under 33."""
    reports = [
        compare_sets(images_of(2 * k, 80), images_of(2 * k + 1, 80, top=230), features=pixels) for k in range(40)
    ]
    for value in ("fid", "kid"):
        mean = np.mean([getattr(report, value) for report in reports])
        held = [low <= mean <= high for low, high in (getattr(report, f"{value}_interval") for report in reports)]
        assert sum(held) >= 33, value
    # Pixels are independent and uniform: the moments of the pixels over 255 give the distance of endless sets.
    mean_gap = (255 - 229) / 2 / 255
    root_gap = math.sqrt((256**2 - 1) / 12) / 255 - math.sqrt((230**2 - 1) / 12) / 255
    endless = 12 * (mean_gap**2 + root_gap**2)
    corrected = np.mean([report.fid - report.fid_bias for report in reports])
    plain = np.mean([report.fid for report in reports])
    assert abs(corrected - endless) < 0.25 * abs(plain - endless)


def test_wilsons_interval_is_scipys() -> None:
    from scipy.stats import binomtest

    for hits, count in ((0, 10), (7, 50), (50, 50)):
        theirs = binomtest(hits, count).proportion_ci(method="wilson")
        assert wilson(hits / count, count) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_the_same_seed_gives_the_same_report(pixels: Features) -> None:
    real, fake = images_of(0, 60), images_of(1, 50)
    assert compare_sets(real, fake, features=pixels, seed=5) == compare_sets(real, fake, features=pixels, seed=5)


def test_the_report_says_what_makes_its_numbers_weak(home: Path) -> None:
    report = compare_sets(images_of(0, 50, side=32), images_of(1, 45, side=32), features="embedded")
    told = " ".join(report.notes)
    for part in ("stand in for", "45 images for 256 feature dimensions", "subsets hold 45", "no logits", "equal sizes"):
        assert part in told
    assert report.stands_in_for == "published Inception-v3 features"
    assert (report.features, report.n_real, report.n_fake, report.dim) == ("embedded", 50, 45, 256)
    assert len(report.features_hash) == 16


def test_repeated_images_are_told(pixels: Features) -> None:
    few = images_of(1, 10)
    report = compare_sets(images_of(0, 50), few.repeat(5, 1, 1, 1), features=pixels)
    assert any(note.startswith("40 generated images repeat another one") for note in report.notes)
    assert report.recall == 0
    assert not any("real images repeat" in note for note in report.notes)


def test_small_sets_leave_out_what_they_cannot_tell(pixels: Features) -> None:
    report = compare_sets(images_of(0, 3), images_of(1, 2), features=pixels)
    assert (report.precision, report.fid_interval, report.kid_interval, report.inception_score) == (None,) * 4
    assert math.isfinite(report.fid)
    assert math.isfinite(report.kid)


def test_one_image_and_two_sizes_are_refused(pixels: Features) -> None:
    with pytest.raises(BadArgument, match="from 2 images up, got 1 generated"):
        compare_sets(images_of(0, 5), images_of(1, 1), features=pixels)
    with pytest.raises(BadArgument, match="one size"):
        compare_sets(images_of(0, 5, side=2), images_of(1, 5, side=4), features=pixels)


def test_auto_is_embedded_without_the_inception_file_and_says_so(home: Path) -> None:
    assert load("auto").name == "embedded"
    assert load("auto").stands_in_for == "published Inception-v3 features"
    with pytest.raises(MissingFile, match=r"Get https://.*weights-inception-2015-12-05"):
        load("inception")
    with pytest.raises(UnknownName, match="did you mean 'inception'"):
        load("inceptio")


def test_inception_is_torch_fidelitys_on_the_same_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of random weights, read by both; ours never unpickles it freely, and asks for no download."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    torch.manual_seed(0)
    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: pytest.fail("a download was tried"))
    monkeypatch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    monkeypatch.setattr(theirs.torch, "load", lambda *_, **__: None)
    drawn = theirs.FeatureExtractorInceptionV3("drawn", ["2048", "logits_unbiased"], "nowhere")
    monkeypatch.undo()
    monkeypatch.setenv("ADVGEN_DATA", str(home))
    file = home / "weights" / nets.INCEPTION_FILES[1]
    torch.save(drawn.state_dict(), file)
    monkeypatch.setitem(checkpoints.TORCH_FILES, file.name, (sha256(file.read_bytes()).hexdigest(),))
    ours = load("auto")
    assert (ours.name, ours.stands_in_for) == ("inception", None)
    images = images_of(0, 2, side=16, channels=1)
    features, logits = ours.with_logits(images)
    expected = drawn(images.expand(-1, 3, -1, -1))
    assert torch.equal(features, expected[0])
    assert torch.equal(logits, expected[1])
    assert features.shape == (2, 2048)


def test_squeeze_is_torchvisions_network(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models

    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    network = models.squeezenet1_1(weights=None)
    weights = torch.load(shared_data / "weights" / "squeezenet1_1-rebuilt.pth", weights_only=True)
    network.load_state_dict(weights)
    network.eval()
    images = images_of(0, 3, side=64)
    features, logits = load("squeeze").with_logits(images)
    # The constants with which LPIPS normalises differ from torchvision's in their third digit; these are its own.
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    with torch.no_grad():
        normalised = (2 * images.float() / 255 - 1 - shift[:, None, None]) / scale[:, None, None]
        fire8 = network.features[:12](normalised)
        assert torch.allclose(logits, network(normalised), atol=1e-4)
    assert torch.allclose(features, (fire8 / fire8.square().mean(1, keepdim=True).sqrt()).mean((2, 3)), atol=1e-5)


def test_features_do_not_depend_on_the_batch_and_grey_is_repeated(home: Path) -> None:
    network = load("embedded")
    images = images_of(0, 9, side=28, channels=1)
    assert torch.allclose(network.of(images), network.of(images, batch_size=2), atol=1e-5)
    assert torch.allclose(network.of(images), network.of(images.expand(-1, 3, -1, -1)), atol=1e-5)


def test_a_module_is_left_as_it_was_and_its_hash_follows_its_weights() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 2))
    module.train()
    module[2].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    network = from_module(module, "small", layer="1")
    features, logits = network.with_logits(images_of(0, 6))
    assert (features.shape, logits.shape) == ((6, 4), (6, 2))
    assert torch.equal(features, network.of(images_of(0, 6)))
    assert [part.training for part in module.modules()] == [True, True, True, False, True, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert from_module(module, "small").hash == network.hash
    with torch.no_grad():
        module[4].weight += 1
    assert from_module(module, "small").hash != network.hash
    with pytest.raises(UnknownName, match="layer of small"):
        from_module(module, "small", layer="9")


def test_features_that_are_not_finite_are_refused() -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1) / 0 * 0

    with pytest.raises(BadArgument, match="not finite"):
        from_module(Broken(), "broken").of(images_of(0, 3))
