import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile, MissingFile, UserError
from advgen.core.specs import Card

CARD = Card(
    name="toy",
    kind="classifier",
    recipe="toy_recipe",
    args={"width": 8, "rate": 1e-3, "name": "α", "none": None},
    seed=3,
    data_hash="d" * 64,
    file_hash="",
    metrics={"accuracy": 0.98, "n": 1000},
    cost={"seconds": 1.5},
    licence="MIT",
    made_with={"torch": "2"},
)


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(4, 6, generator=generator)
    return {"weight": weight, "half": weight.half(), "turned": weight.T, "tied": weight, "count": torch.tensor(7)}


def test_a_checkpoint_gives_back_its_tensors_and_its_card(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "deep" / "toy.safetensors"
    card = checkpoints.save(path, tensors, CARD)
    loaded = checkpoints.load(path)
    assert loaded.card == card == CARD._replace(file_hash=card.file_hash)
    assert loaded.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)
        assert loaded.tensors[name].dtype == tensor.dtype
    assert sorted(os.listdir(path.parent)) == ["toy.json", "toy.safetensors"]


def test_the_same_tensors_give_the_same_file(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    first = checkpoints.save(tmp_path / "a.safetensors", tensors, CARD)
    second = checkpoints.save(tmp_path / "b.safetensors", dict(reversed(tensors.items())), CARD)
    assert first.file_hash == second.file_hash


def test_a_changed_or_cut_file_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "toy.safetensors"
    checkpoints.save(path, tensors, CARD)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadFile, match="is not the file its card was written for"):
        checkpoints.load(path)
    for length in (0, 1, 8, 9, 60, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BadFile, match=r"is damaged or no safetensors file"):
            checkpoints.load_tensors(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".safetensors", ""])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_under_any_name_and_never_run(tmp_path: Path, suffix: str, zipped: bool) -> None:
    path, trap = tmp_path / f"net{suffix}", tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trap),)

    if zipped:
        torch.save({"weight": Trap()}, path)
    else:
        path.write_bytes(pickle.dumps(Trap()))
    for read in (checkpoints.load, checkpoints.load_tensors, checkpoints.load_state):
        with pytest.raises(BadFile, match=r"is a pickle, which can run code .* expected safetensors: .* convert it"):
            read(path)
    assert not trap.exists()


def test_a_header_whose_length_looks_like_a_pickle_is_still_safetensors(tmp_path: Path) -> None:
    # Lengths 0x280, 0x380, … are the first two bytes of a pickle of protocol 2, 3, …
    for length in (0x280, 0x380, 0x480, 0x580):
        header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.ljust(length)
        path = tmp_path / f"{length}.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + header + b"\x05")
        assert checkpoints.load_tensors(path)["a"].tolist() == [5]


def test_what_is_not_there_is_named(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(MissingFile, match=r"there is no file .*toy\.safetensors"):
        checkpoints.load(tmp_path / "toy.safetensors")
    with pytest.raises(BadFile, match="is a folder; a weight file was expected"):
        checkpoints.load(tmp_path)
    checkpoints.save(tmp_path / "toy.safetensors", tensors, CARD)
    (tmp_path / "toy.json").unlink()
    with pytest.raises(MissingFile, match=r"has no card; toy\.json was expected beside it"):
        checkpoints.load(tmp_path / "toy.safetensors")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cannot be read"),
        ("[]", "holds a list; a JSON object was expected"),
        ('{"name": "toy", "colour": 1}', r"lacks args, .*seed and has the unknown colour; write it with"),
    ],
)
def test_a_card_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(BadFile, match=sentence):
        checkpoints.read_card(tmp_path / "toy.safetensors")


def test_a_checkpoint_has_one_suffix_and_an_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"must end in \.safetensors, got net\.pth"):
        checkpoints.save(tmp_path / "net.pth", {}, CARD)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        checkpoints.save(tmp_path / "file" / "net.safetensors", {}, CARD)


def test_weights_are_looked_for_in_the_data_folder_then_the_hub_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    hub = tmp_path / "hub" / "checkpoints" / "some.pth"
    hub.parent.mkdir(parents=True)
    hub.touch()
    assert checkpoints.find("some.pth") == hub
    ours = tmp_path / "data" / "weights" / "some.pth"
    ours.parent.mkdir(parents=True)
    ours.touch()
    assert checkpoints.find("some.pth") == ours
    (ours.parent / "net.safetensors").touch()
    assert checkpoints.find("net") == ours.parent / "net.safetensors"
    assert checkpoints.find("none.pth", "some.pth") == ours


def test_weights_that_are_nowhere_say_where_was_looked_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path))
    with pytest.raises(MissingFile) as caught:
        checkpoints.find("none", "other.pth")
    sentence = str(caught.value)
    assert "none.safetensors, or other.pth were not found" in sentence
    assert all(str(place) in sentence for place in checkpoints.places())
    assert sentence.endswith(f"Get it and put it into {tmp_path / 'weights'}.")
    with pytest.raises(BadArgument, match="is a path; the plain name"):
        checkpoints.find("../none")


def test_the_data_folder_is_the_environments_else_the_platforms_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVGEN_DATA", "~/sets")
    assert checkpoints.data_home() == Path.home() / "sets"
    monkeypatch.delenv("ADVGEN_DATA")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert checkpoints.data_home() == Path("/caches/advgen")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert checkpoints.data_home() == Path.home() / ".cache" / "advgen"


def test_torch_files_are_read_only_when_they_are_the_published_ones(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "mine.pth")
    with pytest.raises(BadFile, match=r"in torch's own format, of which only squeezenet1_1-rebuilt\.pth"):
        checkpoints.torch_weights(tmp_path / "mine.pth")
    torch.save({"a": torch.ones(1)}, tmp_path / "squeezenet1_1-b8a52dc0.pth")
    with pytest.raises(BadFile, match=r"is not the published file \(SHA-256 \w{16}…, expected b8a52dc0…\)"):
        checkpoints.torch_weights(tmp_path / "squeezenet1_1-b8a52dc0.pth")
    with pytest.raises(MissingFile, match="there is no file"):
        checkpoints.torch_weights(tmp_path / "vgg16-397923af.pth")


def test_the_real_squeezenet_file_is_read_under_both_of_its_names(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "weights" / "squeezenet1_1-rebuilt.pth"
    tensors = checkpoints.torch_weights(path)
    assert tensors["features.0.weight"].shape == (64, 3, 3, 3)
    (tmp_path / "squeezenet1_1-b8a52dc0.pth").symlink_to(path)
    assert checkpoints.torch_weights(tmp_path / "squeezenet1_1-b8a52dc0.pth").keys() == tensors.keys()


@pytest.mark.parametrize("net", ["squeeze", "alex", "vgg"])
def test_the_linear_layers_are_found_inside_the_lpips_package(net: str) -> None:
    tensors = checkpoints.torch_weights(checkpoints.lpips_linear_layers(net))
    assert all((weight >= 0).all() for weight in tensors.values())  # LPIPS constrains them


def test_looking_for_weights_imports_no_torch_and_no_zoo() -> None:
    code = (
        "import sys, json; from advgen.core import checkpoints as c; c.places(); c.lpips_linear_layers('alex');"
        "print(json.dumps([m for m in ('torch', 'numpy', 'lpips', 'safetensors', 'advgen.zoo') if m in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
