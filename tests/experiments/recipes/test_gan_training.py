"""Training a StyleGAN2: stopped, killed or cut into processes it comes to the same, and it tells what goes wrong."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from advgen.core.checkpoints import load_state
from advgen.core.errors import BadArgument, BadFile, UserError
from advgen.core.meter import Meter
from advgen.experiments.measures import text_to_latent
from advgen.experiments.recipes._gan_batches import Batches, shifted
from advgen.experiments.recipes._gan_phases import PHASES, Draws, Weights
from advgen.experiments.recipes._gan_train import GanPlan, GanRun
from advgen.experiments.recipes._gan_watch import Look
from advgen.experiments.recipes.stylegan2 import StyleGAN2
from advgen.generators.stylegan2 import DiscriminatorConfig, GeneratorConfig
from advgen.generators.stylegan2.load import load_stylegan2

STEPS = 10
GENERATOR = GeneratorConfig(16, (8, 8, 8), 3, 6, 6, 0, 2)
DISCRIMINATOR = DiscriminatorConfig(16, (8, 8, 8))


def pictures(count=24):
    generator = torch.Generator().manual_seed(5)
    return torch.randint(256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)


POLICIES = {"none": "", "ada": "bgc", "diffaug": "color,translation,cutout"}


def run(folder, *, augment="none", look=None, score=None, seed=0, steps=STEPS, conditions=None, every=32, **plan):
    made = GanPlan(
        steps * 8,
        Weights(0.1, 4, path_every=2),
        8,
        every=every,
        mirror=True,
        ema_images=100,
        augment=augment,
        augmentations=POLICIES[augment],
        **plan,
    )
    c_dim = 0 if conditions is None else conditions.shape[1]
    return GanRun(
        GENERATOR if not c_dim else GeneratorConfig(16, (8, 8, 8), 3, 6, 6, c_dim, 2),
        DISCRIMINATOR if not c_dim else DiscriminatorConfig(16, (8, 8, 8), 3, c_dim, 8, 2),
        pictures(), conditions, made, "toy", folder / "toy.state.safetensors", {"toy": augment}, seed, "cpu", None,
        score, look,
    )  # fmt: skip


def final_state(trained_run):
    """All that a later step could depend on."""
    trained_run._save()
    state = load_state(trained_run.state)
    state.pop("seconds")
    state.pop("cpu seconds")
    state.pop("looking")
    for row in state["log"]:
        row.pop("seconds")
    return state


def assert_same(one, other, where=""):
    if isinstance(one, torch.Tensor):
        assert one.equal(other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}/{place}")
    else:
        assert one == other, where


@pytest.mark.parametrize("augment", ["none", "ada", "diffaug"])
@pytest.mark.parametrize("gracefully", [True, False])
def test_a_training_that_was_stopped_and_resumed_ends_in_the_same_bits(tmp_path, augment, gracefully):
    whole = run(tmp_path / "whole", augment=augment)
    whole.train(resume=False, meter=Meter())
    cut = run(tmp_path / "cut", augment=augment)
    original, steps = cut._one_step, iter(range(STEPS))

    def stopped(meter):
        if next(steps) == 6:
            if not gracefully:
                raise RuntimeError("killed")
            os.kill(os.getpid(), signal.SIGINT)
        return original(meter)

    cut._one_step = stopped
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        cut.train(resume=False, meter=Meter())
    again = run(tmp_path / "cut", augment=augment)
    assert load_state(again.state)["step"] == (7 if gracefully else 4)
    again.train(resume=True, meter=Meter())
    assert_same(final_state(whole), final_state(again))


def test_an_epoch_shows_every_image_once_and_processes_share_it_out():
    data = torch.arange(24, dtype=torch.uint8)[:, None, None, None].expand(24, 1, 4, 4)
    batches = Batches(data, None, 8, 0)
    device = torch.device("cpu")
    seen = [batches.at(step, 0, 0, 1, device)[0][:, 0, 0, 0] * 255 for step in range(3)]
    assert sorted(torch.cat(seen).round().int().tolist()) == list(range(24))
    parts = [batches.at(1, 0, rank, 2, device)[0] for rank in (0, 1)]
    assert torch.stack(parts, 1).flatten(0, 1).equal(batches.at(1, 0, 0, 1, device)[0])


def test_a_shifted_image_repeats_its_edge():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    right = shifted(image, torch.tensor([[2, 1]]), 2)  # one pixel less from the left
    assert right[0, 0, 0].tolist() == [0, 0, 1, 2]
    assert shifted(image, torch.tensor([[2, 2]]), 2).equal(image)


def test_every_part_of_the_loss_reaches_its_own_network_alone(tmp_path):
    training = run(tmp_path)
    for phase in PHASES:
        net, _ = training._trained_by(phase)
        other = training.d if net is training.g else training.g
        for network in (training.g, training.d):
            network.zero_grad(set_to_none=True)
        images, c = training.batches.at(0, 0, 0, 1, training.at)
        training.step_of.run(phase, Draws(0, phase, "0", 0, 1, training.at), images, c)
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in net.parameters()), phase
        assert all(p.grad is None for p in other.parameters()), phase


def test_the_generator_learns_the_mean_colour_and_the_condition(tmp_path):
    """Dark pictures under one condition, bright ones under the other: seconds suffice to tell them apart."""
    conditions = torch.eye(2).repeat(12, 1)
    training = run(tmp_path, steps=150, conditions=conditions, every=10**6)
    level = torch.tensor([40, 210], dtype=torch.uint8).repeat(12)
    training.batches.data = level[:, None, None, None].expand(24, 3, 16, 16).contiguous()
    generator = training.train(resume=False, meter=Meter()).generator
    z = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        dark, bright = (float(generator(z, torch.eye(2)[[k] * 16]).mean()) for k in (0, 1))
    assert bright - dark > 0.1


def test_a_nan_is_told_with_its_layer_and_the_last_good_state_is_kept(tmp_path, capsys):
    training = run(tmp_path, rollbacks=1)
    original = training._one_step

    def poisoned(meter):
        if training.step == 6:
            training.d.b8.conv1.bias.data[0] = float("nan")
        return original(meter)

    training._one_step = poisoned
    with pytest.raises(UserError, match=r"step 7 of 10.*weights D\.b8\.conv1\.bias.*last good state is kept"):
        training.train(resume=False, meter=Meter())
    assert "back to step 4, with other draws (attempt 1 of 1)" in capsys.readouterr().err
    kept = load_state(training.state)
    assert kept["step"] == 4
    assert all(bool(torch.isfinite(t).all()) for net in kept["networks"].values() for t in net.values())


def test_an_overflow_is_told_with_the_layer_where_it_began(tmp_path):
    training = run(tmp_path, rollbacks=0)
    original = training._one_step

    def poisoned(meter):
        if training.step == 2:
            training.g.synthesis.b8.conv0.weight.data.fill_(1e38)
        return original(meter)

    training._one_step = poisoned
    with pytest.raises(UserError, match=r"first in the output of G\.synthesis\.b8\.conv0"):
        training.train(resume=False, meter=Meter())


def test_a_training_goes_on_with_other_draws_after_one_bad_step(tmp_path):
    training = run(tmp_path)
    original, bad = training._one_step, [5]

    def once(meter):
        if bad and training.step == bad[0]:
            bad.clear()
            training.g.mapping.fc0.weight.data[0, 0] = float("inf")
        return original(meter)

    training._one_step = once
    trained = training.train(resume=False, meter=Meter())
    assert trained.cost["rollbacks"] == 1
    assert trained.cost["steps"] == STEPS
    assert all(bool(torch.isfinite(t).all()) for t in trained.generator.state_dict().values())


def test_collapse_is_warned_of_and_pictures_are_written(tmp_path, capsys):
    data = pictures()
    training = run(tmp_path, look=Look(tmp_path / "progress", "toy", data, None, 0))
    original = training._take_look

    def collapsed():
        for net in (training.averaged, training.g):
            for layer in net.synthesis.convs():
                layer.affine.weight.data.zero_()
            for block in net.synthesis.blocks():
                block.torgb.affine.weight.data.zero_()
        original()

    training._take_look = collapsed
    training.train(resume=False, meter=Meter())
    assert "WARNING collapse: images vary 0.00 times as much as real ones" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "progress" / "log.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [32, 64, 80]
    assert {p.name for p in (tmp_path / "progress").glob("*.png")} >= {"reals.png", "00000032.png", "00000080.png"}


def test_the_weights_with_the_lowest_score_are_kept(tmp_path):
    scores = iter([3.0, 1.0, 2.0])
    snapshots = []

    def score(net):
        snapshots.append({k: v.clone() for k, v in net.state_dict().items()})
        return next(scores)

    trained = run(tmp_path, score=score).train(resume=False, meter=Meter())
    assert trained.chosen == {"images": 64, "score": 1.0}
    assert all(trained.generator.state_dict()[k].equal(v) for k, v in snapshots[1].items())


def test_another_trainings_state_is_refused(tmp_path):
    run(tmp_path).train(resume=False, meter=Meter())
    with pytest.raises(BadFile, match="is the state of another training"):
        run(tmp_path, augment="diffaug").train(resume=True, meter=Meter())


def test_a_training_goes_on_to_more_images_at_another_rate_and_precision_and_says_so(tmp_path):
    shorter = run(tmp_path, steps=6)
    shorter.train(resume=False, meter=Meter())
    shorter._save()
    longer = run(tmp_path, steps=STEPS, precision="bf16", learning_rate=1e-3)
    trained = longer.train(resume=True, meter=Meter())
    assert longer.optimizers["discriminator"].param_groups[0]["lr"] < 1e-3
    assert trained.cost["images"] == STEPS * 8
    stages = [
        (0, {"precision": "32", "learning_rate": 2.5e-3, "noise": "random"}),
        (48, {"precision": "bf16", "learning_rate": 1e-3, "noise": "random"}),
    ]
    assert [tuple(stage) for stage in trained.cost["stages"]] == stages
    assert all(p.isfinite().all() for p in trained.generator.parameters())


def test_a_training_goes_on_without_noise_and_forgets_what_noise_had_learnt(tmp_path):
    shorter = run(tmp_path, steps=6)
    shorter.train(resume=False, meter=Meter())
    assert any(float(layer.noise_strength) for layer in shorter.g.synthesis.convs())
    shorter._save()
    longer = run(tmp_path, steps=STEPS, noise="none")
    trained = longer.train(resume=True, meter=Meter())
    assert [stage["noise"] for _, stage in trained.cost["stages"]] == ["random", "none"]
    for net in (longer.g, trained.generator):
        assert all(float(layer.noise_strength) == 0 for layer in net.synthesis.convs())


def test_noise_for_the_last_layer_alone_is_learnt_by_it_alone(tmp_path):
    shorter = run(tmp_path, steps=2, noise="none")
    shorter.train(resume=False, meter=Meter())
    shorter._save()
    longer = run(tmp_path, steps=6, noise="last")
    trained = longer.train(resume=True, meter=Meter())
    assert [stage["noise"] for _, stage in trained.cost["stages"]] == ["none", "last"]
    *before, last = [float(layer.noise_strength) for layer in trained.generator.synthesis.convs()]
    assert last != 0
    assert not any(before)


def test_without_noise_nothing_is_learnt_of_it_and_images_hang_on_w_alone(tmp_path):
    trained = run(tmp_path, steps=2, noise="none").train(resume=False, meter=Meter())
    net = trained.generator
    assert all(float(layer.noise_strength) == 0 for layer in net.synthesis.convs())
    w = net.mapping(torch.randn(2, net.z_dim))
    assert torch.equal(net.synthesis(w), net.synthesis(w, noise="none"))


def test_bfloat16_losses_are_near_float32s(tmp_path):
    full, half = (
        run(tmp_path / name, steps=2, precision=name).train(resume=False, meter=Meter()).log[-1]
        for name in ("32", "bf16")
    )
    for name in PHASES:
        if name in full:
            assert half[name] == pytest.approx(full[name], rel=0.1, abs=0.05)


TWO = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_gan_training as toy
from advgen.core.meter import Meter
training = toy.run(Path({folder!r}), augment={augment!r})
training._save = lambda: None
training.train(resume=False, meter=Meter())
if training.rank == 0:
    assert training.world == 2
    del training.__dict__["_save"]
    training._save()
"""


@pytest.mark.parametrize("augment", ["none", "diffaug"])
def test_two_processes_compute_what_one_does_with_the_whole_batch(tmp_path, augment):
    alone = run(tmp_path / "one", augment=augment)
    alone.train(resume=False, meter=Meter())
    one = final_state(alone)
    script = tmp_path / "two.py"
    script.write_text(TWO.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "two"), augment=augment))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    two = load_state(tmp_path / "two" / "toy.state.safetensors")
    for mine, other in zip(one["log"], two["log"], strict=True):
        for name in ("generator", "discriminator", "R1", "path lengths", "path length"):
            if name in mine:
                assert mine[name] == pytest.approx(other[name], rel=2e-3, abs=2e-5), name
    for net, tensors in one["networks"].items():
        for name, tensor in tensors.items():
            assert torch.allclose(tensor, two["networks"][net][name], rtol=1e-2, atol=2e-3), f"{net}.{name}"


ARGS = {"size": 32, "count": 48, "images": 48, "batch_size": 8, "channel_base": 128, "channel_max": 8, "every": 24}


def test_the_recipe_leaves_a_checkpoint_that_loads_and_a_card_that_says_how_it_came_to_be(tmp_path):
    recipe = StyleGAN2(**ARGS, name="toy", keep="all")
    card = recipe.train(tmp_path, seed=3, device="cpu", resume=False, limit=None, meter=Meter())
    loaded = load_stylegan2(tmp_path / "toy.safetensors")
    assert loaded.generator.resolution == (32, 32)
    assert loaded.raw_generator is not None
    assert loaded.discriminator is not None
    assert (card.kind, card.seed, card.cost["images"], card.args["data"]) == ("generator", 3, 48, "avatars")
    assert not (tmp_path / "toy.state.safetensors").exists()
    again = recipe.train(tmp_path, seed=3, device="cpu", resume=True, limit=None, meter=Meter())
    assert again == card


def test_the_weights_of_each_look_are_kept_on_demand_and_looks_are_no_training_time(tmp_path):
    recipe = StyleGAN2(**{**ARGS, "images": 32, "every": 16}, name="toy", keep="looks")
    card = recipe.train(tmp_path, seed=3, device="cpu", resume=False, limit=None, meter=Meter())
    kept = {int(p.stem): load_stylegan2(p).generator for p in (tmp_path / "toy.progress").glob("*.safetensors")}
    assert sorted(kept) == [16, 32]
    chosen = load_stylegan2(tmp_path / "toy.safetensors").generator.mean_w
    same = {images: torch.equal(net.mean_w, chosen) for images, net in kept.items()}
    assert same == {images: images == card.metrics["chosen at images"] for images in (16, 32)}
    assert 0 < card.cost["cpu seconds of looks"] < card.cost["cpu seconds"]


def folder_of(sizes, folder):
    for split in ("train", "validation", "test"):
        (folder / split / "thing").mkdir(parents=True)
        for i, size in enumerate(sizes):
            Image.new("RGB", size, (10 * i, 80, 120)).save(folder / split / "thing" / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("change", "sizes", "sentence"),
    [
        ({"batch_size": 6}, [(16, 16)] * 8, "multiple of 4"),
        ({"learning_rate": -1.0}, [(16, 16)] * 8, "learning_rate must be a positive number"),
        ({"augment": "ada", "augmentations": "bgx"}, [(16, 16)] * 8, "unknown augmentations 'bgx'"),
        ({}, [(16, 24)] * 8, "square"),
        ({}, [(16, 16)] * 5 + [(24, 24)], "size"),
        ({"count": 1}, [(16, 16)] * 8, "one image alone"),
    ],
)
def test_bad_input_is_told_in_a_sentence(tmp_path, change, sizes, sentence):
    data = folder_of(sizes, tmp_path / "data")
    args = {**ARGS, "size": None, "count": 0, **change}
    recipe = StyleGAN2(**args, data=f"folder:{data}")
    with pytest.raises((BadArgument, BadFile, UserError), match=sentence):
        recipe.train(tmp_path / "out", seed=0, device="cpu", resume=False, limit=2, meter=Meter())


def test_a_growing_training_ends_at_the_full_size_in_the_original_architecture(tmp_path):
    recipe = StyleGAN2(**{**ARGS, "images": 96}, name="toy", judging="skip", grow=16, keep="all")
    recipe.train(tmp_path, seed=0, device="cpu", resume=False, limit=None, meter=Meter())
    loaded = load_stylegan2(tmp_path / "toy.safetensors")
    assert loaded.generator.config.architecture == "orig"
    assert loaded.discriminator.config.architecture == "orig"
    rows = [json.loads(line) for line in (tmp_path / "toy.progress" / "log.jsonl").read_text().splitlines()]
    assert [row["size"] for row in rows] == [16, 16, 32, 32]


def test_a_generator_is_conditioned_on_the_phrase_vectors_of_captions(tmp_path):
    from advgen.core.specs import DataSpec
    from advgen.experiments.data._load import load as load_data

    captions = load_data(DataSpec("avatars", "train", 48, 32, ())).table["caption"].to_pylist()
    words = sorted({word.strip(",.") for caption in captions for word in caption.lower().split()})
    numbers = torch.randn(len(words), 5, generator=torch.Generator().manual_seed(0))
    rows = [f"{word} {' '.join(f'{x:.4f}' for x in row)}" for word, row in zip(words, numbers.tolist(), strict=True)]
    vectors = tmp_path / "little.txt"
    vectors.write_text(f"{len(words)} 5\n" + "\n".join(rows) + "\n")
    recipe = StyleGAN2(**ARGS, name="toy", condition="captions", vectors=str(vectors))
    recipe.train(tmp_path, seed=0, device="cpu", resume=False, limit=2, meter=Meter())
    assert load_stylegan2(tmp_path / "toy.safetensors").generator.c_dim == 5
    together = text_to_latent._conditioned(str(tmp_path / "toy.safetensors"))
    assert together.card.args["vectors"] == str(vectors)
    z = torch.randn(1, text_to_latent._z_dim(together.network), generator=torch.Generator().manual_seed(0))
    one, other = (text_to_latent._latents(together.network, torch.eye(5)[k : k + 1], z) for k in (0, 1))
    assert not torch.equal(one, other)
    with pytest.raises(BadArgument, match="needs word vectors"):
        StyleGAN2(**ARGS, condition="captions").train(
            tmp_path, seed=0, device="cpu", resume=False, limit=2, meter=Meter()
        )


@pytest.mark.parametrize("normalisation", ["adain", "none"])
def test_a_generator_without_demodulation_is_read_back_as_what_it_is(tmp_path, normalisation):
    recipe = StyleGAN2(**ARGS, name="toy", normalisation=normalisation)
    recipe.train(tmp_path, seed=0, device="cpu", resume=False, limit=2, meter=Meter())
    assert load_stylegan2(tmp_path / "toy.safetensors").generator.config.normalisation == normalisation
