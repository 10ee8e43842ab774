"""`advgen invert` as a user runs it: files in, files out, interrupted, resumed, and what it refuses."""

import csv
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from advgen.cli import invert as command
from advgen.cli.main import main
from advgen.core.images import load, save_png, to_float, to_uint8
from advgen.core.perceptual import LPIPS, psnr
from advgen.generators.stylegan2.encoder import LatentEncoder
from advgen.inversion import files, pivotal
from advgen.inversion.latents import load_latents, synthesised
from advgen.inversion.methods import METHODS


@pytest.fixture
def weights(generator, tmp_path) -> Path:
    path = tmp_path / "net.safetensors"
    save_file({f"G_ema.{name}": tensor.contiguous() for name, tensor in generator.state_dict().items()}, path)
    return path


@pytest.fixture
def folder(own, tmp_path) -> Path:
    """Three images of the generator's own, one of them deeper."""
    place = tmp_path / "pictures"
    for name, image in zip(("a.png", "b.png", "deep/c.png"), to_uint8(own), strict=False):
        save_png(image, place / name)
    return place


@pytest.fixture
def run(capsys, weights):
    def call(place, out, *more, code=0):
        capsys.readouterr()
        argv = ["invert", str(place), "--weights", str(weights), "--out", str(out), "--net", "embedded"]
        assert main([*argv, *(str(m) for m in more)]) == code
        return capsys.readouterr()

    return call


def results(out: Path) -> dict[str, bytes]:
    """Everything but the table, whose seconds differ, and what is made from it."""
    wanted = [p for p in sorted(out.rglob("*")) if p.is_file() and p.parent.name not in ("", out.name)]
    return {p.relative_to(out).as_posix(): _without_seconds(p) for p in wanted}


def _without_seconds(path: Path) -> bytes:
    if path.suffix == ".png":
        return load(path).numpy().tobytes()  # the pixels alone: two copies of a picture are two sources
    if path.suffix != ".safetensors":
        return path.read_bytes()
    latents = load_latents(path).latents
    return latents.w.numpy().tobytes() + latents.distance.numpy().tobytes()


def test_a_folder_gives_images_latents_and_a_table_that_agree(generator, folder, tmp_path, run):
    out = tmp_path / "out"
    page = json.loads(run(folder, out, "--steps", 12, "--json").out)
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a.png", "b.png", "deep/c.png"]
    assert [row["image"] for row in page["images"]] == ["a.png", "b.png", "deep/c.png"]
    net = LPIPS("embedded")
    for row in rows:
        image, made = (to_float(load(place / row["image"]))[None] for place in (folder, out / "images"))
        assert float(row["psnr"]) == pytest.approx(float(psnr(made, image)))
        assert float(row["lpips"]) == pytest.approx(float(net(made, image)), rel=1e-4)
        assert float(row["seconds"]) > 0
        saved = load_latents((out / "latents" / row["image"]).with_suffix(".safetensors"))
        assert torch.equal(to_uint8(synthesised(generator, saved.latents)), to_uint8(made))
        assert float(saved.latents.distance) == pytest.approx(float(row["lpips"]))
    with Image.open(out / "before_after.png") as sheet:
        assert sheet.width > sheet.height / 2
    assert not (out / "state").exists()


@pytest.mark.parametrize("name", ["image2stylegan", "projector", "pivotal"])
def test_every_method_works_on_one_image(folder, tmp_path, run, name, monkeypatch):
    monkeypatch.setattr(pivotal, "Image2StyleGAN", partial(pivotal.Image2StyleGAN, steps=4))
    out = tmp_path / "out"
    told = run(folder / "a.png", out, "--method", name, "--steps", 3)
    assert "a.png" in told.out
    latents = load_latents(out / "latents" / "a.safetensors").latents
    assert (latents.tuned is not None) == (name == "pivotal")
    assert (latents.noise is not None) == (name == "projector")


@pytest.mark.parametrize("name", ["encoder", "hybrid"])
def test_an_encoder_can_answer_or_begin(generator, folder, tmp_path, run, name, monkeypatch):
    torch.manual_seed(0)
    network = LatentEncoder(16, generator.num_ws, generator.w_dim, width=4, hidden=8).eval()
    network.mean_w.copy_(generator.mean_w)
    asked = []
    monkeypatch.setattr("advgen.zoo.load.zoo_load", lambda ref: (asked.append(ref), (network, None))[1])
    beside = tmp_path / "net_encoder.safetensors"  # of net.safetensors
    beside.touch()
    steps = ["--steps", 3] if name == "hybrid" else []
    run(folder, tmp_path / "out", "--method", name, *steps)
    run(folder, tmp_path / "other", "--method", name, *steps, "--encoder", "mine")
    assert asked == [str(beside), "mine"]


def test_interrupted_at_any_step_it_goes_on_to_the_same_bytes(folder, tmp_path, run, monkeypatch):
    options = ("--steps", 9, "--batch", 2)
    run(folder, tmp_path / "whole", *options)
    monkeypatch.setattr(files.Work, "keep_every", 2)
    for step in (0, 3, 8):
        for batch in (0, 2):
            out = tmp_path / f"out{step}.{batch}"

            def killed(progress, *, step=step, batch=batch):
                if (progress.done, progress.step) == (batch, step):
                    raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(command, "_follow", killed)
                assert "interrupted" in run(folder, out, *options, code=130).err
            run(folder, out, *options, "--resume")
            assert results(out) == results(tmp_path / "whole")


def test_what_is_finished_is_not_made_again(folder, tmp_path, run, monkeypatch):
    out = tmp_path / "out"
    run(folder, out, "--steps", 2)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    monkeypatch.setattr(files, "_inverted", None)
    told = run(folder, out, "--steps", 2, "--resume", "--limit", 0.0)
    assert "3 of 3 inversions are too far from the image to attack it (limit 0)" in told.err
    assert told.out.count("too far") == 3
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == before


def test_the_gate_says_which_pass(folder, tmp_path, run):
    page = json.loads(run(folder, tmp_path / "out", "--steps", 2, "--limit", 1e9, "--json").out)
    assert [row["passes"] for row in page["images"]] == [True] * 3


def test_a_mask_leaves_black_free(own, folder, tmp_path, run):
    mask = torch.full((1, 16, 16), 255, dtype=torch.uint8)
    mask[..., 8:] = 0
    save_png(mask, tmp_path / "mask.png")
    hidden = tmp_path / "hidden"
    for name, image in zip(("a.png", "b.png", "deep/c.png"), to_uint8(own), strict=False):
        save_png(torch.where(mask > 0, image, 7), hidden / name)
    for place, out in ((folder, "one"), (hidden, "other")):
        run(place, tmp_path / out, "--steps", 5, "--mask", tmp_path / "mask.png", "--net", "none")
    assert results(tmp_path / "one") == results(tmp_path / "other")


def test_other_sizes_are_refused_or_resized(own, tmp_path, run):
    save_png(to_uint8(own[0]).repeat_interleave(2, 1).repeat_interleave(2, 2), tmp_path / "large.png")
    told = run(tmp_path / "large.png", tmp_path / "out", code=2).err
    assert "large.png is 32x32, and the generator makes 16x16; give --resize" in told
    assert not (tmp_path / "out").exists()
    run(tmp_path / "large.png", tmp_path / "out", "--resize", "--steps", 2)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--method", "encoder", "--steps", 5), "an encoder takes no space, steps"),
        (("--method", "hybrid"), "no encoder net_encoder was found"),
        (("--method", "pivotal", "--noise-maps"), "leave the noise maps out"),
        (("--limit", "-1"), "the limit must be 0 or more"),
        (("--lr", "0"), "lr must be above 0"),
        (("--mask", "nowhere.png"), "there is no image nowhere.png"),
        (("--weights", "nothing"), "the weights nothing.safetensors were not found"),
        (("--space", "z"), "Invalid value for '--space'"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(folder, tmp_path, run, more, says):
    told = run(folder, tmp_path / "out", *more, code=2)
    assert says in told.err.splitlines()[-1]
    assert "Traceback" not in told.err
    assert told.out == ""
    assert not (tmp_path / "out").exists()


def test_places_that_hold_no_image_are_one_sentence(tmp_path, run):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    for place, says in (("empty", "holds nothing"), ("text.png", "not an image"), ("none", "there is no image")):
        assert says in run(tmp_path / place, tmp_path / "out", code=2).err
        assert not (tmp_path / "out").exists()


def test_two_images_with_one_name_are_refused(own, tmp_path, run):
    for name in ("a.png", "a.bmp"):
        Image.fromarray(to_uint8(own[0]).permute(1, 2, 0).numpy()).save(tmp_path / name)
    assert "would both be written as a.png" in run(tmp_path, tmp_path / "out", code=2).err


def test_a_folder_that_holds_something_else_is_left_alone(folder, tmp_path, run):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    assert "holds something else" in run(folder, tmp_path / "mine", code=2).err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_another_work_is_not_gone_on_with(folder, tmp_path, run):
    out = tmp_path / "out"
    run(folder, out, "--steps", 2)
    assert "holds an inversion already; give --resume" in run(folder, out, "--steps", 2, code=2).err
    assert "its method and settings differ" in run(folder, out, "--steps", 3, "--resume", code=2).err
    (folder / "a.png").write_bytes((folder / "b.png").read_bytes())
    assert "its images differ" in run(folder, out, "--steps", 2, "--resume", code=2).err


def test_the_command_offers_every_method():
    assert command.METHODS == METHODS
