"""A reference gives the network it names, with its normalisation and its classes, or one sentence."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.specs import Card, DataSpec
from advgen.zoo.load import Network, as_target, load, shipped, zoo_load
from advgen.zoo.networks import build
from advgen.zoo.published import PUBLISHED

# Share right of the first 256 test images, as published beside the files.
CLEAN_256 = {
    "mnist_lenet_standard": 99.6,
    "mnist_lenet_advtrained_eps03": 99.2,
    "mnist_small_certified_eps01": 98.8,
    "fashion_small_standard": 92.6,
    "fashion_small_certified_eps01": 80.9,
    "cifar10_resnet20_standard": 91.0,
    "cifar10_resnet4b_adv": 78.9,
    "cifar10_resnet2b_adv": 69.1,
    "cifar10_small_certified_2px": 64.1,
    "cifar10_small_certified_8px": 32.8,
}


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path


def _saved(folder: Path, **changes: object) -> Path:
    network = build("small-cnn", channels=1, classes=2, size=16, width=2)
    described = Network(
        "small-cnn", {"channels": 1, "classes": 2, "size": 16, "width": 2}, ("no", "yes"), (1, 16, 16), "argmax",
        (0.5,), (0.25,),
    )._replace(**changes)  # fmt: skip
    card = Card("mine", "classifier", "none", described.to_args(), 0, "", "", {}, {}, "MIT")
    path = folder / "mine.safetensors"
    checkpoints.save(path, network.state_dict(), card)
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_have_their_published_accuracy(
    name: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advgen.experiments.data._load import load as load_data

    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    data = load_data(DataSpec(PUBLISHED[name].data, "test", 256))
    target = as_target(name)
    network, card = zoo_load(name)
    with torch.no_grad():
        logits = target(data.images).logits
        # Both ways to the network hold its normalisation.
        assert torch.allclose(network(data.images), logits, atol=1e-4)
    assert round(100 * (logits.argmax(1) == data.labels).double().mean().item(), 1) == CLEAN_256[name]
    assert target.classes == data.classes
    assert card.file_hash.startswith(PUBLISHED[name].sha256)


def test_the_whole_fashion_test_set_agrees(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advgen.experiments.data._load import load as load_data

    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    data = load_data(DataSpec("fashion-mnist", "test"))
    with torch.no_grad():
        right = as_target("fashion_small_standard")(data.images).logits.argmax(1) == data.labels
    assert (int(right.sum()), len(right)) == (9084, 10_000)


def test_a_checkpoint_with_a_card_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    loaded = load(str(_saved(tmp_path)))
    assert (loaded.classes, loaded.image_shape, loaded.decision) == (("no", "yes"), (1, 16, 16), "argmax")
    assert (loaded.mean, loaded.std) == ((0.5,), (0.25,))
    assert not loaded.network.training


def test_a_name_in_the_data_folder_is_found(no_data: Path) -> None:
    _saved(no_data / "data" / "weights")
    assert load("mine").classes == ("no", "yes")


def test_everything_shipped_loads() -> None:
    for name in shipped():
        path = checkpoints.find(name)
        if checkpoints.read_card(path).kind in ("classifier", "detector", "autoencoder"):
            assert not load(name).network.training


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = _saved(tmp_path, kwargs={"channels": 1, "classes": 2, "size": 16, "width": 4})
    with pytest.raises(BadFile, match="does not fit"):
        load(str(path))


def test_a_card_without_its_network_is_refused(tmp_path: Path) -> None:
    card = Card("bare", "classifier", "none", {}, 0, "", "", {}, {}, "MIT")
    checkpoints.save(tmp_path / "bare.safetensors", {"x": torch.zeros(1)}, card)
    with pytest.raises(BadFile, match=r"network\.architecture"):
        load(str(tmp_path / "bare.safetensors"))


def test_another_file_under_a_published_name_is_refused(no_data: Path) -> None:
    from safetensors.torch import save_file

    weights = no_data / "data" / "weights"
    weights.mkdir(parents=True)
    save_file(build("lenet").state_dict(), weights / "mnist_lenet_standard.safetensors")
    with pytest.raises(BadFile, match="is not the published mnist_lenet_standard"):
        load("mnist_lenet_standard")


@pytest.mark.parametrize(
    ("ref", "error", "said"),
    [
        ("fashion_smal_standard", UnknownName, "fashion_small_standard"),
        ("fashion_small_standard", MissingFile, "put fashion_small_standard.safetensors into"),
        ("torchvision:resnet5", UnknownName, "resnet50"),
        ("torchvision:resnet50", MissingFile, "https://download.pytorch.org/models/resnet50-"),
        ("no_such_module:make", UnknownName, "no module 'no_such_module'"),
        ("json:dump_s", UnknownName, "'dumps'"),
        ("json:dumps", BadArgument, "TypeError"),
        ("no/such.safetensors", MissingFile, "no/such"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(
    ref: str, error: type[Exception], said: str, no_data: Path
) -> None:
    with pytest.raises(error, match=said):
        load(ref)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))

    for name in ("net.pth", "net.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(BadFile, match="pickle"):
            load(str(tmp_path / name))
    assert not (tmp_path / "sprung").exists()


def test_a_users_function_is_a_target_that_takes_the_datas_shape(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    file.write_text("from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, 2))\n")
    target = as_target(f"{file}:make", classes=("a", "b"), image_shape=(3, 2, 2))
    assert target(torch.rand(5, 3, 2, 2)).logits.shape == (5, 2)
    assert target.classes == ("a", "b")
    with pytest.raises(BadArgument, match="image_shape"):
        as_target(f"{file}:make")


def test_a_function_that_gives_no_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "not_nets.py"
    file.write_text("def make():\n    return 3\n")
    with pytest.raises(BadArgument, match="returned a int"):
        load(f"{file}:make")


def test_torchvisions_squeezenet_is_found_by_its_name(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    loaded = load("torchvision:squeezenet1_1")
    assert isinstance(loaded.network, nn.Module)
    assert (len(loaded.classes), loaded.image_shape, loaded.mean) == (1000, (3, 224, 224), (0.485, 0.456, 0.406))
