"""Whole recipes, cut short: what they leave behind, and what may not influence it."""

import json
import os
import signal

import pytest
import torch
from PIL import Image

from advgen.core import checkpoints, registry
from advgen.core.errors import BadArgument, MissingFile, UnknownName
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.recipes import _classify, _make
from advgen.experiments.recipes._augment import augmented
from advgen.experiments.recipes._classify import correct
from advgen.experiments.recipes._make import load_splits
from advgen.zoo.load import zoo_load

LIMIT = 20  # steps, over one epoch of the digits


def train(out, recipe="digits_classifier", *, seed=0, resume=False, limit=LIMIT, meter=None, **args):
    built = registry.create("recipes", recipe, **{"width": 4, **args})
    return built.train(out, seed=seed, device="cpu", resume=resume, limit=limit, meter=meter or Meter())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    meter = Meter()
    return out, train(out, meter=meter), meter


def test_every_recipe_is_listed_with_a_summary_and_can_be_built():
    recipes = registry.listing("recipes")
    assert {
        "digits_classifier", "mnist_classifier", "fashion_classifier", "cifar10_classifier", "avatars_identity",
        "avatars_attributes", "dae", "perceptual_embedded", "classifier",
    } <= {recipe.name for recipe in recipes}  # fmt: skip
    for recipe in recipes:
        assert not recipe.broken, recipe
        assert recipe.summary
        needed = {"data": "folder:somewhere"} if recipe.name == "classifier" else {}
        assert hasattr(registry.create("recipes", recipe.name, **needed), "train")


def test_a_recipe_leaves_a_checkpoint_and_its_card_and_nothing_else(trained):
    out, card, _ = trained
    assert sorted(path.name for path in out.iterdir()) == ["digits_classifier.json", "digits_classifier.safetensors"]
    loaded = checkpoints.load(out / "digits_classifier.safetensors")
    assert loaded.card == Card(**json.loads(json.dumps(card._asdict())))


def test_the_card_says_what_was_done_with_what_and_how_well_it_went(trained):
    _, card, meter = trained
    assert (card.kind, card.recipe, card.seed, card.licence) == ("classifier", "digits_classifier", 0, "MIT")
    assert card.args["limit"] == LIMIT
    assert card.args["learning_rate"] == registry.defaults("recipes", "digits_classifier")["learning_rate"]
    splits = load_splits("digits", None)
    assert card.data_hash == splits.train.hash
    assert card.args["data.test"] == splits.test.hash
    accuracy = card.metrics["clean accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    assert accuracy["n"] == len(splits.test.ids)
    assert (card.cost["steps"], card.cost["samples_seen"]) == (LIMIT, LIMIT * 64)
    assert {"advgen", "torch", "python"} <= set(card.made_with)
    # 997 training images are 16 batches, the last of 37.
    assert meter.forwards == meter.backwards == 64 * LIMIT - 27


def test_the_accuracy_on_the_card_is_that_of_the_file(trained):
    out, card, _ = trained
    network, _ = zoo_load(str(out / "digits_classifier.safetensors"))
    test = load_splits("digits", None).test
    with torch.no_grad():
        assert correct(network, test) / len(test.ids) == pytest.approx(card.metrics["clean accuracy"]["value"])


def test_the_same_seed_gives_the_same_file_and_another_seed_another(trained, tmp_path):
    _, card, _ = trained
    assert train(tmp_path / "again").file_hash == card.file_hash
    assert train(tmp_path / "other", seed=1).file_hash != card.file_hash


def test_wrong_test_labels_do_not_change_the_chosen_weights(trained, tmp_path, monkeypatch):
    load = _make.load

    def poisoned(spec):
        part = load(spec)
        return part._replace(labels=(part.labels + 1) % 10) if spec.split == "test" else part

    monkeypatch.setattr(_make, "load", poisoned)
    card = train(tmp_path)
    assert card.file_hash == trained[1].file_hash
    assert card.metrics["clean accuracy"]["value"] < trained[1].metrics["clean accuracy"]["value"]


@pytest.mark.parametrize("step", [7, 16])
def test_an_interrupted_recipe_goes_on_to_the_same_file(trained, tmp_path, monkeypatch, step):
    calls = []

    def interrupting(images, how):
        calls.append(how)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return augmented(images, how)

    monkeypatch.setattr(_classify, "augmented", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["digits_classifier.state.safetensors"]
    assert train(tmp_path, resume=True).file_hash == trained[1].file_hash
    assert len(calls) == LIMIT


def test_a_finished_checkpoint_is_kept_when_resuming_and_made_anew_for_other_arguments(trained, tmp_path):
    _, card, _ = trained
    first = train(tmp_path)
    meter = Meter()
    assert train(tmp_path, resume=True, meter=meter) == first
    assert meter.forwards == 0
    assert train(tmp_path, resume=True, learning_rate=1e-3).file_hash != card.file_hash


def test_the_denoising_recipe_learns_to_remove_noise_and_leaves_a_network_that_loads(tmp_path):
    card = train(tmp_path, "dae", limit=100, data="digits", size=None, sigma=0.2, learning_rate=1e-2, name="toy_dae")
    assert card.kind == "autoencoder"
    assert card.metrics["psnr denoised dB"] > card.metrics["psnr noisy dB"] + 2
    network, _ = zoo_load(str(tmp_path / "toy_dae.safetensors"))
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 1, 32, 32)


def test_anybodys_folder_can_be_trained_on(tmp_path):
    for k, colour in enumerate([(200, 40, 40), (40, 40, 200)]):
        (tmp_path / "pictures" / f"kind{k}").mkdir(parents=True)
        for i in range(20):
            tone = tuple(c + i for c in colour)
            Image.new("RGB", (40, 30), tone).save(tmp_path / "pictures" / f"kind{k}" / f"{i}.png")
    card = train(tmp_path / "out", "classifier", limit=60, data=f"folder:{tmp_path / 'pictures'}", size=16)
    assert card.name == "pictures_classifier_16"
    assert json.loads(card.args["network.classes"]) == ["kind0", "kind1"]
    assert card.metrics["clean accuracy"]["value"] == 1.0


def test_a_folder_with_one_class_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "one").mkdir()
    for i in range(10):
        Image.new("RGB", (16, 16), (i, i, i)).save(tmp_path / "one" / f"{i}.png")
    with pytest.raises(BadArgument, match="one sub-folder each"):
        train(tmp_path / "out", "classifier", data=f"folder:{tmp_path / 'one'}", size=16)


def test_a_recipe_whose_data_must_be_brought_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path))
    monkeypatch.setenv("ADVGEN_CACHE", str(tmp_path))
    with pytest.raises(MissingFile, match="mnist"):
        train(tmp_path / "out", "mnist_classifier")


@pytest.mark.parametrize("sigma", [-0.1, float("inf")])
def test_noise_that_cannot_be_is_refused(tmp_path, sigma):
    with pytest.raises(BadArgument, match="sigma"):
        train(tmp_path, "dae", data="digits", size=None, sigma=sigma)


@pytest.mark.parametrize("recipe", ["mnist_classifier", "fashion_classifier", "cifar10_classifier"])
def test_recipes_on_real_data_run(tmp_path, shared_data, monkeypatch, recipe):
    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    card = train(tmp_path, recipe, limit=3)
    assert card.name == recipe
    assert card.metrics["clean accuracy"]["n"] >= 1000


@pytest.mark.slow
def test_recipes_on_avatars_run(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVGEN_CACHE", str(tmp_path))
    person = train(tmp_path, "avatars_identity", limit=2, images=128, identities=10, architecture="resnet-b")
    assert person.args["network.architecture"] == "resnet-b"
    worn = train(tmp_path, "avatars_attributes", limit=2, images=128, attributes=("glasses", "hat"))
    assert {"accuracy glasses", "accuracy hat"} <= set(worn.metrics)
    assert zoo_load(str(tmp_path / "avatars_attributes_32.safetensors"))[1].args["network.decision"] == "sign"


def test_an_attribute_that_avatars_do_not_have_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="glasses"):
        train(tmp_path, "avatars_attributes", attributes=("glases",))


def test_the_denoising_recipe_can_be_trained_on_perceptual_distance(tmp_path):
    card = train(tmp_path, "dae", limit=20, data="digits", size=None, loss="lpips", seed=2)
    assert card.name == "dae_digits_lpips_s0.1_w4_seed2"
    other = train(tmp_path, "dae", limit=20, data="digits", size=None, loss="mse", seed=2)
    assert other.file_hash != card.file_hash
