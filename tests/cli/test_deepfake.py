"""`advgen deepfake` as a user runs it: two faces in, a fake that says what it is out."""

import csv
import json
from pathlib import Path

import pytest
import torch

from advgen.cli.main import main
from advgen.core import provenance
from advgen.core.files import sha256
from advgen.core.images import load, save_png
from advgen.experiments import avatars

FAST = ["--inversion", "encoder", "--net", "embedded"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    for k, name in enumerate(("anna", "ben", "carl")):
        pixels = avatars.render(avatars.sample(0, 3 * 10**8 + k, "plain", 128), 64).image
        save_png(torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), folder / f"{name}.png")
    frames = folder / "frames"
    for name in ("ben", "carl"):
        save_png(load(folder / f"{name}.png"), frames / f"{name}.png")
    return folder


def test_a_fake_says_what_it_is_and_what_it_was_made_from(faces, tmp_path, capsys):
    out = tmp_path / "out"
    argv = ["deepfake", "swap_latent", str(faces / "anna.png"), str(faces / "ben.png"), "--out", str(out), *FAST]
    assert main(argv) == 0
    file = out / "images" / "anna_in_ben.png"
    told = provenance.read(file.read_bytes())
    assert told.source_type == "compositeWithTrainedAlgorithmicMedia"
    assert told.maker == "advgen deepfake swap_latent"
    assert told.parameters["first"] == 1
    assert [s.sha256 for s in told.sources] == [sha256(faces / "anna.png"), sha256(faces / "ben.png")]
    assert provenance.read((out / "sheet.png").read_bytes()).maker == told.maker
    capsys.readouterr()
    assert main(["show", str(file)]) == 0
    assert "a real picture with parts made by a trained generative model" in capsys.readouterr().out


def test_the_same_pair_gives_the_same_file(faces, tmp_path):
    for out in ("one", "other"):
        argv = ["deepfake", "swap_latent", str(faces / "anna.png"), str(faces / "ben.png"), *FAST]
        assert main([*argv, "--out", str(tmp_path / out)]) == 0
    name = "images/anna_in_ben.png"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_one_face_goes_into_every_frame(faces, tmp_path, capsys):
    out = tmp_path / "out"
    argv = [
        "deepfake",
        "swap_latent",
        str(faces / "anna.png"),
        str(faces / "frames"),
        "--out",
        str(out),
        *FAST,
        "--json",
    ]
    assert main(argv) == 0
    rows = json.loads(capsys.readouterr().out)["images"]
    assert [row["image"] for row in rows] == ["anna_in_ben.png", "anna_in_carl.png"]
    assert len(list(csv.reader((out / "table.csv").read_text().splitlines()))) == 3
    border = load(out / "images" / "anna_in_ben.png")[:, 0]
    assert torch.equal(border, load(faces / "ben.png")[:, 0])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rows", "two"], "--rows are written 1-2"),
        (["--rows", "8-12"], "rows 0 to 9"),
        (["--mask", "nowhere.png"], "there is no image nowhere.png"),
        (["--limit", "0.0001"], "too far from the image"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(more, said, faces, tmp_path, capsys):
    argv = ["deepfake", "swap_latent", str(faces / "anna.png"), str(faces / "ben.png"), "--out", str(tmp_path), *FAST]
    assert main([*argv, *more]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_there_is_no_switch_to_leave_provenance_out(capsys):
    assert main(["deepfake", "--help"]) == 0
    assert not {"--no-provenance", "--strip", "--no-metadata"} & set(capsys.readouterr().out.split())
