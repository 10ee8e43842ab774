"""The encoder recipe: it learns what the generator knows, in its order, and resumes to the same bits."""

import json
import os
import signal
from itertools import pairwise

import pytest
import torch

from advgen.core import checkpoints, registry
from advgen.core.errors import BadArgument, MissingFile
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.recipes import _encode
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths
from advgen.generators.stylegan2.load import load_stylegan2
from advgen.inversion.encoder import EncoderInverter
from advgen.zoo.load import zoo_load

L, D = 6, 6
SMALL = {"data": "digits", "size": 16, "images": 64, "held_out": 32, "width": 8, "hidden": 32}  # four steps an epoch


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A generator of 16x16 grey images, not trained, but of pictures that differ with w."""
    torch.manual_seed(0)
    maps = widths(16, channel_base=64, channel_max=8)
    net = StyleGAN2Generator(GeneratorConfig(16, maps, 1, z_dim=D, w_dim=D, mapping_layers=2))
    net.mapping.w_avg.copy_(net.mapping.measured_mean())
    path = tmp_path_factory.mktemp("weights") / "little.safetensors"
    tensors = {f"G_ema.{name}": tensor for name, tensor in net.state_dict().items()}
    checkpoints.save(path, tensors, Card("little", "generator", "none", {}, 0, "", "", {}, {}, "MIT"))
    return path


def train(weights, out, *, resume=False, limit=None, seed=0, **args):
    recipe = registry.create("recipes", "stylegan2_encoder", generator=str(weights), **{**SMALL, **args})
    return recipe.train(out, seed=seed, device="cpu", resume=resume, limit=limit, meter=Meter())


@pytest.fixture(scope="module")
def trained(weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    return out, train(weights, out, epochs=8, images=192, learning_rate=5e-3, latent_weight=1.0, name="encoder")


def test_it_recovers_w_of_own_samples_far_better_than_the_mean_does(trained):
    _, card = trained
    assert card.metrics["error of w of own samples"] < 0.25  # the mean of w has 1


def test_its_resynthesis_is_nearer_than_the_mean_image_on_own_samples_and_on_images_never_seen(trained):
    own, real, mean = (trained[1].metrics[of] for of in ("own samples", "real images", "real images by the mean of w"))
    assert own["distance embedded"] < 0.5 * mean["distance embedded"]
    assert real["mse"] < mean["mse"]


def test_the_checkpoint_is_the_encoder_alone_and_inverts(trained, weights):
    out, card = trained
    assert sorted(path.name for path in out.iterdir()) == ["encoder.json", "encoder.safetensors"]
    network, again = zoo_load(str(out / "encoder.safetensors"))
    assert again == Card(**json.loads(json.dumps(card._asdict())))
    assert (again.kind, again.recipe, again.args["generator"]) == ("encoder", "stylegan2_encoder", "little")
    EncoderInverter(network, load_stylegan2(weights).generator, None)


def test_the_card_gives_no_path_of_this_machine(trained, weights):
    assert str(weights.parent) not in json.dumps(trained[1]._asdict())


@pytest.mark.parametrize("extra", [{}, {"critic": True}, {"space": "w"}, {"progressive": False, "images_from": 0.0}])
def test_interrupted_and_resumed_it_ends_in_the_same_bits(weights, tmp_path, monkeypatch, extra):
    short = {"epochs": 3, "name": "encoder", **extra}
    train(weights, tmp_path / "whole", **short)
    call, calls = _encode.Objective.__call__, []

    def interrupted(self, network, batch):
        calls.append(1)
        if len(calls) in (4, 9):  # of 12 steps
            os.kill(os.getpid(), signal.SIGINT)
        return call(self, network, batch)

    monkeypatch.setattr(_encode.Objective, "__call__", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(weights, tmp_path / "cut", resume=True, **short)
    train(weights, tmp_path / "cut", resume=True, **short)
    assert len(calls) == 12
    whole, cut = ((tmp_path / name / "encoder.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_rows_are_freed_one_after_another():
    schedule = _encode.Schedule(0.2, 0.3, 0.7)
    rows = [schedule.rows(step / 1000, L) for step in range(1000)]
    assert rows[299] == 1
    assert rows[300] == 1
    assert rows[700:] == [L] * 300
    assert set(rows) == set(range(1, L + 1))
    assert all(after - before in (0, 1) for before, after in pairwise(rows))


def test_without_progress_all_rows_are_free_from_the_start():
    assert _encode.Schedule(0.2, 0.0, 0.0).rows(0.0, L) == L


def test_the_critics_sides_reach_their_own_weights_only():
    torch.manual_seed(0)
    critic = _encode.LatentCritic(D)
    w = torch.randn(4, L, D, requires_grad=True)
    _encode.fooling(critic, w).backward()
    assert w.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in critic.parameters())
    w.grad = None
    _encode.telling(critic, w, torch.randn(4, L, D)).backward()
    assert w.grad is None
    assert all(parameter.grad is not None for parameter in critic.parameters())


def test_the_critic_learns_to_tell_rows_apart_and_w_learns_to_fool_it():
    torch.manual_seed(0)
    critic, known = _encode.LatentCritic(D), torch.randn(64, L, D)
    optimizer = torch.optim.Adam(critic.parameters(), 5e-2)
    for _ in range(50):
        optimizer.zero_grad()
        _encode.telling(critic, torch.randn(64, L, D) + 4, known).backward()
        optimizer.step()
    made = (torch.randn(64, L, D) + 4).requires_grad_(True)
    assert float(critic(known[:, 0]).mean().detach()) > float(critic(made.flatten(0, 1)).mean().detach())
    _encode.fooling(critic, made).backward()
    assert float(made.grad.sum()) > 0  # downwards, to where known rows lie


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"size": 32}, "are 32x32 with 1 channel.s., the generator's 16x16 with 1: give size=16"),
        ({"data": "avatars", "size": 32}, "with 3 channel.s., the generator's 16x16 with 1"),
        ({"own": 0}, "set critic=False, images_from=0"),
        ({"images_from": 1.0}, "from 0 to less than 1, got 1"),
        ({"delta_weight": -1.0}, "delta_weight must be 0 or more, got -1"),
        ({"held_out": 0}, "held_out 1 or more, got 16 and 0"),
    ],
)
def test_bad_arguments_are_one_sentence(weights, tmp_path, args, sentence):
    with pytest.raises(BadArgument, match=sentence):
        train(weights, tmp_path, **args)


def test_a_generator_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"nowhere\.safetensors"):
        train("nowhere", tmp_path)
