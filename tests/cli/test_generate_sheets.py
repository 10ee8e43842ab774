"""`advgen generate --sheet` as a user runs it."""

import pytest
import torch

from advgen.cli.main import main
from advgen.core import checkpoints
from advgen.core.contact_sheets import read_facts
from advgen.core.files import sha256
from advgen.core.specs import Card
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    maps = widths(16, channel_base=64, channel_max=8)
    net = StyleGAN2Generator(GeneratorConfig(16, maps, z_dim=6, w_dim=6, mapping_layers=2))
    path = tmp_path_factory.mktemp("weights") / "little.safetensors"
    tensors = {f"G_ema.{name}": tensor for name, tensor in net.state_dict().items()}
    checkpoints.save(path, tensors, Card("little", "generator", "none", {}, 0, "", "", {}, {}, "MIT"))
    return path


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["grid", "--seeds", "0-4"], {"seeds": [0, 1, 2, 3, 4]}),
        (["interpolation", "--seeds", "3,1", "--steps", "3"], {"seeds": [3, 1], "steps": 3}),
        (["truncation", "--seeds", "0-1", "--psis", "1, 0.5"], {"seeds": [0, 1], "psis": [1.0, 0.5]}),
        (["mixing", "--rows", "0-1", "--cols", "5,7", "--layers", "0,3-4"], {"columns": [5, 7], "layers": [0, 3, 4]}),
    ],
)
def test_a_sheet_is_one_picture_that_says_how_it_was_made(weights, tmp_path, capsys, words, facts):
    assert main(["generate", "--weights", str(weights), "--out", str(tmp_path), "--sheet", *words]) == 0
    path = tmp_path / f"{words[0]}.png"
    assert list(tmp_path.iterdir()) == [path]
    assert capsys.readouterr().out == f"sheet: {path}\n"
    found = read_facts(path)
    assert facts.items() <= found.items()
    assert (found["weights"], found["sha256"]) == ("little.safetensors", sha256(weights))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rows", "0-3"], "--rows belongs to --sheet mixing, got no --sheet"),
        (["--sheet", "grid", "--psis", "1"], "--psis belongs to --sheet truncation, got --sheet grid"),
        (["--sheet", "mixing", "--seeds", "1"], "give --rows and --cols instead of --seeds"),
        (["--sheet", "mixing", "--layers", "9"], "row 9 was asked for; these latents have rows 0 to 5"),
        (["--sheet", "mixing", "--layers", "a"], "layers are written 0-15"),
        (["--sheet", "interpolation", "--seeds", "4"], "needs two or more, got 1"),
        (["--sheet", "truncation", "--psis", "1,b"], "--psis must be a number"),
        (["--sheet", "grid", "--seeds", "0-9999"], "at most 2500"),
    ],
)
def test_bad_input_is_one_sentence(weights, tmp_path, capsys, words, sentence):
    assert main(["generate", "--weights", str(weights), "--out", str(tmp_path / "out"), *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()
