"""`advgen convert` and `advgen generate` as a user runs them."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from advgen.cli.main import main
from advgen.core.checkpoints import load_tensors
from advgen.generators.stylegan2.load import load_stylegan2


@pytest.fixture
def weights(little, official, write):
    """An official pickle with averaged and raw generator and a discriminator."""
    (net, judge), (raw, _) = little(0), little(1)
    return write(official({"G": raw, "D": judge, "G_ema": net}))


@pytest.mark.parametrize("name", ["there.safetensors", "there.pt"])
def test_conversion_there_and_back_keeps_the_images(weights, tmp_path, capsys, name):
    there, back = tmp_path / name, tmp_path / "back.safetensors"
    for source, target in ((weights, there), (there, back)):
        capsys.readouterr()
        assert main(["convert", str(source), str(target), "--json"]) == 0
        page = json.loads(capsys.readouterr().out)
        assert page["largest difference"] < 1e-5
    one, other = load_stylegan2(weights), load_stylegan2(back)
    for a, b in zip(
        (one.generator, one.raw_generator, one.discriminator),
        (other.generator, other.raw_generator, other.discriminator),
    ):
        assert all(torch.equal(b.state_dict()[k], v) for k, v in a.state_dict().items() if "w_avg" not in k)
    assert torch.equal(one.generator.mean_w, other.generator.mean_w)


def test_the_official_layout_is_a_file_a_network_with_plain_official_names(weights, tmp_path, capsys):
    there, back = tmp_path / "net.safetensors", tmp_path / "back.safetensors"
    assert main(["convert", str(weights), str(there), "--layout", "official", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["largest difference"] == 0
    assert "D stands in net-D.safetensors" in said.err
    names = {n: set(load_tensors(tmp_path / f"net{n}.safetensors")) for n in ("", "-G", "-D")}
    assert names[""] == names["-G"]
    # Written down from the official program's state dicts.
    assert {
        "mapping.w_avg", "mapping.fc1.bias", "synthesis.b4.const", "synthesis.b4.resample_filter",
        "synthesis.b4.conv1.resample_filter", "synthesis.b8.conv0.noise_const", "synthesis.b8.conv0.resample_filter",
        "synthesis.b16.torgb.affine.weight",
    } <= names[""]  # fmt: skip
    assert not any(n.endswith("torgb.resample_filter") for n in names[""])
    assert {
        "b16.resample_filter", "b16.fromrgb.resample_filter", "b16.skip.resample_filter", "b4.conv.resample_filter",
        "b4.fc.weight",
    } <= names["-D"]  # fmt: skip
    assert "b4.resample_filter" not in names["-D"]
    assert main(["convert", str(there), str(back)]) == 0
    one, other = load_stylegan2(weights), load_stylegan2(back)
    for a, b in zip(one[:3], other[:3]):
        assert all(torch.equal(b.state_dict()[k], v) for k, v in a.state_dict().items())


def test_a_discriminator_that_the_card_knows_of_and_nobody_finds_is_said(weights, tmp_path, capsys):
    assert main(["convert", str(weights), str(tmp_path / "net.safetensors"), "--layout", "official"]) == 0
    (tmp_path / "net-D.safetensors").unlink()
    assert main(["convert", str(tmp_path / "net.safetensors"), str(tmp_path / "net.pt")]) == 2
    assert "net-D.safetensors" in capsys.readouterr().err


def test_the_clamp_survives_in_the_card_and_its_loss_is_said(little, official, write, tmp_path, capsys):
    from advgen.generators.stylegan2.convert import _write_safetensors

    net, _ = little(conv_clamp=256.0)
    source = write(official({"G_ema": net}))
    loaded = load_stylegan2(source)
    _write_safetensors(loaded._replace(generator=net), source, tmp_path / "clamped.safetensors")
    assert load_stylegan2(tmp_path / "clamped.safetensors").generator.config.conv_clamp == 256.0
    assert main(["convert", str(tmp_path / "clamped.safetensors"), str(tmp_path / "lost.pt")]) == 0
    assert "the clamp of features at 256" in capsys.readouterr().err


def test_safetensors_without_a_card_say_what_is_assumed(weights, tmp_path):
    assert main(["convert", str(weights), str(tmp_path / "net.safetensors")]) == 0
    (tmp_path / "net.json").unlink()
    assert "no card" in load_stylegan2(tmp_path / "net.safetensors").info.notes[0]


def test_generate_writes_an_image_a_seed_and_a_sheet(weights, tmp_path):
    out = tmp_path / "out"
    words = ["generate", "--weights", str(weights), "--seeds", "0-2,7", "--psi", "0.7", "--out", str(out)]
    assert main(words) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "grid.png", "seed0000.png", "seed0001.png", "seed0002.png", "seed0007.png"
    ]  # fmt: skip
    net = load_stylegan2(weights).generator
    z = torch.from_numpy(np.random.RandomState(7).randn(1, 6)).float()
    with torch.no_grad():
        expected = (net(z, psi=0.7).clamp(0, 1) * 255).round()[0].permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(Image.open(out / "seed0007.png")).astype(float) - expected).max() <= 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seeds", "5-1"], "seeds go upwards"),
        (["--seeds", "x"], "seeds are written 0-15"),
        (["--seeds", "0-9999999"], "more than 100000"),
        (["--psi", "nan"], "must be a finite number"),
        (["--class", "2"], "this generator has none"),
    ],
)
def test_bad_input_to_generate_is_one_sentence(weights, tmp_path, capsys, words, sentence):
    assert main(["generate", "--weights", str(weights), "--out", str(tmp_path / "out"), *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


def test_a_class_must_be_chosen_where_there_are_some(little, official, write, tmp_path, capsys):
    path = write(official({"G_ema": little(c_dim=3)[0]}))
    words = ["generate", "--weights", str(path), "--seeds", "0", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "has 3 classes; say which with --class 0" in capsys.readouterr().err
    assert main([*words, "--class", "2"]) == 0


@pytest.mark.parametrize(
    ("target", "sentence"),
    [("net.onnx", "ends in .onnx; give a name that ends in .safetensors"), ("net.pkl", "ends in .pkl")],
)
def test_bad_targets_of_convert_are_one_sentence(weights, tmp_path, capsys, target, sentence):
    assert main(["convert", str(weights), str(tmp_path / target)]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("c_dim", [0, 3])
def test_an_exported_program_makes_the_same_images_for_any_number_of_z(
    little, official, write, tmp_path, capsys, c_dim
):
    net, _ = little(c_dim=c_dim)
    path = tmp_path / "net.pt2"
    assert main(["convert", str(write(official({"G_ema": net}))), str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["largest difference"] < 1e-5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about its own archive
        program = torch.export.load(path).module()
    for n in (1, 3):
        given = [torch.randn(n, 6), *([torch.eye(3)[:n]] if c_dim else [])]
        with torch.no_grad():
            expected = net.synthesis(net.mapping(*given, psi=0.5))
            torch.testing.assert_close(program(*given, torch.tensor(0.5)), expected, atol=1e-5, rtol=0)


def test_the_official_layout_is_no_pickle(weights, tmp_path, capsys):
    assert main(["convert", str(weights), str(tmp_path / "net.pt"), "--layout", "official"]) == 2
    assert "the official layout is written to .safetensors" in capsys.readouterr().err


def test_classes_do_not_fit_into_rosinalitys_format(little, official, write, tmp_path, capsys):
    path = write(official({"G_ema": little(c_dim=3)[0]}))
    assert main(["convert", str(path), str(tmp_path / "net.pt")]) == 2
    assert "no room for a condition" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["convert", "generate"])
def test_help_shows_two_examples(command, capsys):
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.count(f"advgen {command} ") >= 2
