"""`advgen edit` as a user runs it: files in, files out, and what it refuses."""

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from advgen.cli.main import main
from advgen.core.contact_sheets import read_facts
from advgen.core.images import load, save_png, to_float, to_uint8
from advgen.editing.shifts import Shift, edited
from advgen.editing.stylespace import layout, sampled_w

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> tuple[Path, Path]:
    """Config and weights of a CLIP that has learned nothing."""
    import open_clip

    place = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.CLIP(**CONFIG).eval()
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.data.mul_(1.5)
    pixels = {"mean": [0.5] * 3, "std": [0.25] * 3}
    (place / "config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": pixels}))
    save_file({n: t.contiguous() for n, t in network.state_dict().items()}, place / "w.safetensors")
    return place / "config.json", place / "w.safetensors"


@pytest.fixture(scope="session")
def weights(generator, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    save_file({f"G_ema.{name}": tensor.contiguous() for name, tensor in generator.state_dict().items()}, path)
    return path


@pytest.fixture(scope="session")
def faces(generator, tmp_path_factory) -> Path:
    """Two images of the generator's own."""
    place = tmp_path_factory.mktemp("faces")
    with torch.no_grad():
        own = to_uint8(generator.synthesis(sampled_w(generator, 2, seed=5)).clamp(0, 1))
    save_png(own[0], place / "a.png")
    save_png(own[1], place / "deep" / "b.png")
    return place


@pytest.fixture
def run(capsys, weights, clip):
    def call(place, text, *more, code=0):
        capsys.readouterr()
        own = ["--weights", weights, "--clip", clip[0], "--clip-weights", clip[1], "--beta", 0.01, "--region", "all"]
        argv = [
            "edit",
            place,
            text,
            *own,
            "--inversion",
            "image2stylegan",
            "--inversion-steps",
            2,
            "--net",
            "none",
            "--limit",
            9,
            *more,
        ]
        assert main([str(a) for a in argv]) == code
        return capsys.readouterr()

    return call


def test_a_folder_is_edited_and_its_numbers_are_those_of_the_saved_pictures(generator, faces, tmp_path, run) -> None:
    out = tmp_path / "out"
    said = run(faces, "a red person", "--strength", 2, "--sweep", "1,4", "--out", out)
    rows = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == ["a.png", "deep/b.png"]
    assert {row["strength"] for row in rows} == {"2.0"}
    kept = load_file(out / "latents" / "deep" / "b.safetensors")
    with torch.no_grad():
        made = edited(generator, kept["w"], Shift(s=kept["s"])).clamp(0, 1)
    assert torch.equal(to_uint8(made)[0], load(out / "images" / "deep" / "b.png"))
    before, after = (to_float(load(out / where / "deep" / "b.png")) for where in ("inversion/images", "images"))
    error = (before - after).square().mean().sqrt()
    assert rows[1]["net"] == "none"  # 16 pixels are too few for a perceptual network
    assert float(rows[1]["lpips"]) == pytest.approx(float(error), rel=1e-4)
    assert read_facts(out / "sheet.png")["texts"] == ["a red person"]
    assert "direction.safetensors" in said.out + " ".join(p.name for p in out.iterdir())


def test_what_was_inverted_is_not_inverted_again(faces, tmp_path, run) -> None:
    out = tmp_path / "out"
    run(faces, "a red person", "--strength", 2, "--out", out)
    times = {p: p.stat().st_mtime_ns for p in (out / "inversion" / "latents").rglob("*.safetensors")}
    run(faces, "an old person", "--strength", 2, "--out", out)
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_a_kept_direction_makes_the_same_pictures(faces, tmp_path, run) -> None:
    out = tmp_path / "out"
    run(faces, "a red person", "--strength", 2, "--out", out)
    first = load(out / "images" / "a.png")
    run(faces, "x", "--method", "direction", "--file", out / "direction.safetensors", "--strength", 2, "--out", out)
    assert torch.equal(load(out / "images" / "a.png"), first)


def test_outside_the_mask_nothing_changes(faces, tmp_path, run) -> None:
    mask = torch.zeros(1, 16, 16, dtype=torch.uint8)
    mask[:, :4] = 255
    save_png(mask, tmp_path / "mask.png")
    out = tmp_path / "out"
    run(faces, "a red person", "--strength", 8, "--mask", tmp_path / "mask.png", "--out", out)
    before, after = (load(out / where / "a.png") for where in ("inversion/images", "images"))
    assert torch.equal(before[:, 8:], after[:, 8:])
    assert not torch.equal(before[:, :4], after[:, :4])


def test_outside_the_region_that_serves_the_text_nothing_changes(faces, tmp_path, run) -> None:
    out = tmp_path / "out"
    run(faces / "a.png", "a red person", "--strength", 8, "--region", "auto", "--out", out)
    before, after = (load(out / where / "a.png") for where in ("inversion/images", "images"))
    same = (before == after).all(0)
    assert 0 < same.sum() < same.numel()


@pytest.mark.parametrize("method", ["solved", "latent"])
def test_other_methods_write_the_same_files(faces, tmp_path, run, method) -> None:
    out = tmp_path / "out"
    run(faces / "a.png", "a red person", "--method", method, "--steps", 2, "--strength", 1, "--out", out)
    assert (out / "images" / "a.png").exists()
    assert (out / "direction.safetensors").exists() == (method == "solved")


def test_the_strength_is_found_and_said(faces, tmp_path, run) -> None:
    said = json.loads(run(faces, "a red person", "--most-lpips", 0.2, "--out", tmp_path / "out", "--json").out)
    assert all(row["done"] in (True, False) for row in said["images"])
    assert all(row["lpips"] <= 0.2 + 2 / 255 for row in said["images"])


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        (" ", [], "the prompt is empty"),
        ("very " * 40 + "long", [], "the context of"),
        ("a red person", ["--limit", 0], "too far from what the generator can make (distance"),
        ("a red person", ["--strength", "much"], "--strength must be a number or auto, got 'much'"),
        ("a red person", ["--method", "mapper"], "1 texts and 0 mappers"),
        ("a red person", ["--neutral", "a red person"], "no way between them"),
        ("a red person", ["--wants", "glasses"], "unknown attribute 'glasses'"),
        ("a red person", ["--templates", "none.txt"], "there is no file 'none.txt' of templates"),
        ("a red person", ["--weights", "nothing.pkl"], "nothing.pkl"),
    ],
)
def test_what_cannot_be_is_one_sentence(faces, tmp_path, run, text, more, said) -> None:
    heard = run(faces, text, "--out", tmp_path / "out", *more, code=2).err.strip().splitlines()
    assert said in heard[-1]
    assert heard[-1].count(". ") == 0
    assert "Traceback" not in "".join(heard)


def test_force_takes_what_is_too_far(faces, tmp_path, run) -> None:
    run(faces, "a red person", "--strength", 1, "--limit", 0, "--force", "--out", tmp_path / "out")


def test_a_direction_of_another_generator_is_refused(faces, other, tmp_path, run) -> None:
    from advgen.editing.directions import Direction, save_direction

    save_direction(tmp_path / "d.safetensors", Direction(Shift(s=torch.ones(1, layout(other).size)), {}), other)
    more = ("--method", "direction", "--file", tmp_path / "d.safetensors", "--out", tmp_path / "out")
    assert "made for another generator" in run(faces, "x", *more, code=2).err


def test_weights_that_do_not_fit_the_config_are_refused(faces, clip, tmp_path, run) -> None:
    config = json.loads(clip[0].read_text())
    config["model_cfg"]["vision_cfg"]["width"] = 64
    (tmp_path / "config.json").write_text(json.dumps(config))
    heard = run(faces, "a red person", "--clip", tmp_path / "config.json", "--out", tmp_path / "out", code=2).err
    assert "Traceback" not in heard
    assert str(clip[1].name) in heard


def generate(capsys, weights, clip, *more, code=0):
    capsys.readouterr()
    argv = ["generate", "--weights", weights, "--clip", clip[0], "--clip-weights", clip[1], *more]
    assert main([str(a) for a in argv]) == code
    return capsys.readouterr()


def test_a_sentence_makes_a_picture_a_seed(capsys, weights, clip, tmp_path) -> None:
    out = tmp_path / "out"
    said = generate(capsys, weights, clip, "--text", "a red person", "--calls", 2, "--seeds", "1,4", "--out", out)
    assert {p.name for p in out.iterdir()} == {
        "seed0001.png", "seed0004.png", "table.csv", "latents.safetensors", "sheet.png"
    }  # fmt: skip
    assert "2 generator calls each" in said.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--calls", 3], "--calls belongs to --text"),
        (["--text", "x", "--sheet", "grid"], "--text takes no --sheet"),
        (["--text", ""], "the prompt is empty"),
    ],
)
def test_pictures_from_nothing_are_refused(capsys, weights, clip, tmp_path, more, said) -> None:
    assert said in generate(capsys, weights, clip, *more, "--out", tmp_path / "out", code=2).err
