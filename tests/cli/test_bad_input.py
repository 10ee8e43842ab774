"""What a user gets wrong: one sentence, exit code 2, nothing half-written."""

import errno
import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advgen.cli.main import main

NETWORKS = """
import torch
from torch import nn


def _marked(network):
    network.classes = tuple("0123456789")
    network.image_shape = (1, 32, 32)
    return network


def logits():
    torch.manual_seed(0)
    return _marked(nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)))


def softmax():
    torch.manual_seed(0)
    return _marked(nn.Sequential(nn.Flatten(), nn.Linear(1024, 10), nn.Softmax(dim=1)))


def no_module():
    return 3


def raises():
    raise ValueError("no weights today")
"""


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    path = tmp_path / "networks.py"
    path.write_text(NETWORKS)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three grey pictures of 32 pixels."""
    place = tmp_path / "pictures"
    place.mkdir()
    for i in range(3):
        Image.fromarray(np.full((32, 32), 60 * i, dtype=np.uint8)).save(place / f"{i}.png")
    return place


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The sentence that a command ends with."""
    capsys.readouterr()
    code = main([str(a) for a in argv])
    told = capsys.readouterr()
    assert code == 2, told
    lines = told.err.strip().splitlines()
    assert lines[-1].startswith("advgen: "), told.err
    assert "Traceback" not in told.err
    assert told.out == ""
    return lines[-1]


def attack(networks: Path, *rest: object, name: str = "image/pgd", network: str = "logits") -> list[object]:
    return ["attack", name, *rest, "--target", f"{networks}:{network}"]


def test_a_misspelt_attack_is_said_with_the_nearest(capsys, networks, folder, tmp_path):
    out = tmp_path / "out"
    assert "image/pgd" in refused(capsys, *attack(networks, folder, name="image/pdg"), "--out", out)
    assert not out.exists()


def test_an_unknown_argument_is_said_with_the_nearest(capsys, networks, folder, tmp_path):
    sentence = refused(capsys, *attack(networks, folder, name="image/pgd,step=4"), "--out", tmp_path / "out")
    assert "steps" in sentence


@pytest.mark.parametrize(
    ("radius", "says"),
    [("-1", "0 or more"), ("8/0", "division by zero"), ("nan", "finite"), ("8", "for 8 grey levels write 8/255")],
)
def test_a_radius_that_is_none(capsys, networks, folder, tmp_path, radius, says):
    out = tmp_path / "out"
    assert says in refused(capsys, *attack(networks, folder), "--budget", f"Linf {radius}", "--out", out)
    assert not out.exists()


def test_a_study_with_a_yaml_error_names_line_and_column(capsys, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ngrids: [1, 2\n")
    assert "line" in refused(capsys, "run", path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def truncated_png(path: Path) -> None:
    whole = path.with_name("whole.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(whole)
    path.write_bytes(whole.read_bytes()[:-400])
    whole.unlink()


def huge_png(path: Path) -> None:
    """A PNG whose header claims 20000 x 20000 pixels; nobody may decode it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (20000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    rows = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def text_file(path: Path) -> None:
    path.write_text("this is no picture")


def one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1)).save(path)


@pytest.mark.parametrize(
    ("make", "says"),
    [(truncated_png, "bad.png"), (text_file, "bad.png"), (one_pixel, "1x1"), (huge_png, "400,000,000")],
)
def test_a_picture_that_is_none_is_named(capsys, networks, folder, tmp_path, make, says):
    make(folder / "bad.png")
    out = tmp_path / "out"
    assert says in refused(capsys, *attack(networks, folder), "--out", out)
    assert not out.exists()


def test_an_empty_folder_is_named(capsys, networks, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, *attack(networks, tmp_path / "empty"), "--out", tmp_path / "out")


def test_a_softmax_is_no_logits(capsys, networks, tmp_path, shared_data, monkeypatch):
    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    sentence = refused(capsys, *attack(networks, "digits", network="softmax"), "--count", 8, "--out", tmp_path / "out")
    assert "softmax" in sentence


@pytest.mark.parametrize(
    ("network", "says"), [("no_module", "torch.nn.Module"), ("raises", "no weights today"), ("logit", "logits")]
)
def test_a_function_that_gives_no_network(capsys, networks, folder, tmp_path, network, says):
    assert says in refused(capsys, *attack(networks, folder, network=network), "--out", tmp_path / "out")


def test_a_pickle_where_safetensors_is_meant_is_never_opened(capsys, folder, tmp_path):
    class Planted:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    path = tmp_path / "network.safetensors"
    path.write_bytes(pickle.dumps(Planted()))
    sentence = refused(capsys, "attack", "image/pgd", folder, "--target", path, "--out", tmp_path / "out")
    assert "network.safetensors" in sentence
    assert not (tmp_path / "executed").exists()


def test_a_run_folder_that_cannot_be_written(capsys, networks, folder, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, *attack(networks, folder), "--out", tmp_path / "file" / "run")


def test_a_full_disk_keeps_what_was_finished(capsys, networks, folder, tmp_path, monkeypatch):
    from advgen.core import files

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    sentence = refused(capsys, *attack(networks, folder), "--out", tmp_path / "out")
    assert "No space left" in sentence
    assert not list((tmp_path / "out").rglob("*.part"))


def test_images_that_have_no_partner(capsys, networks, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("0.png", "1.png"):
        (other / name).write_bytes((folder / name).read_bytes())
    sentence = refused(capsys, "judge", folder, other, "--target", f"{networks}:logits", "--out", tmp_path / "out")
    assert "2.png" in sentence


def test_labels_that_lack_an_image(capsys, networks, folder, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\n0.png,3\n1.png,4\n")
    sentence = refused(capsys, *attack(networks, folder), "--labels", labels, "--out", tmp_path / "out")
    assert "2.png" in sentence
    labels.write_text("file,label\n0.png,3\n1.png,4\n2.png,eleven\n")
    assert "eleven" in refused(capsys, *attack(networks, folder), "--labels", labels, "--out", tmp_path / "out")


def test_a_place_that_is_nothing(capsys, networks, tmp_path):
    assert "digits" in refused(capsys, *attack(networks, "diggits"), "--out", tmp_path / "out")


def test_a_report_of_no_run(capsys, tmp_path):
    assert "study.json" in refused(capsys, "report", tmp_path)


def test_transfer_needs_a_surrogate(capsys, networks, folder, tmp_path):
    sentence = refused(capsys, *attack(networks, folder), "--knowledge", "transfer", "--out", tmp_path / "out")
    assert "surrogate" in sentence


def test_images_outside_the_range_and_nans_are_refused_by_evaluate():
    import torch
    from torch import nn

    import advgen
    from advgen.core.errors import UserError

    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    for images, says in ((torch.full((2, 1, 8, 8), 255.0), "255"), (torch.full((2, 1, 8, 8), float("nan")), "NaN")):
        with pytest.raises(UserError, match=says):
            advgen.evaluate(network, images, [0, 1])
