"""What is shipped: every file has its recipe, every card is true to it, and the whole stays small."""

import pytest

from advgen.core import checkpoints, registry
from advgen.core.errors import UnknownName
from advgen.core.specs import DataSpec
from advgen.editing.joint_maps import encoder_of, load_map
from advgen.embeddings import formats
from advgen.embeddings.encoders.clip import CLIP
from advgen.experiments.data._load import load
from advgen.experiments.recipes import _prompts as prompts
from advgen.experiments.recipes._captions import attributes_of
from advgen.experiments.recipes._ship import SHIPPED, Shipped, ship
from advgen.zoo.load import shipped, zoo_load

FOLDER = checkpoints.places()[0]


def test_what_is_shipped_is_what_the_command_trains():
    assert set(shipped()) == set(SHIPPED)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_card_tells_the_recipe_and_the_arguments_of_the_command(name):
    card, entry = checkpoints.read_card(FOLDER / f"{name}.safetensors"), SHIPPED[name]
    assert (card.name, card.recipe, card.seed) == (name, entry.recipe, entry.seed)
    defaults = registry.defaults("recipes", entry.recipe)
    wanted = {**defaults, **entry.args}
    wanted.pop("attributes", None)  # the card lists them by name
    # an argument that came later stands on a card only where it is used
    assert {key: card.args.get(key, defaults[key]) for key in wanted} == wanted
    assert "limit" not in card.args
    assert card.cost["seconds"] > 0


VECTORS = {name for name, entry in SHIPPED.items() if entry.recipe == "word_vectors"}


CLIPS = {name for name, entry in SHIPPED.items() if entry.recipe == "clip_avatars"}
MAPS = {name for name, entry in SHIPPED.items() if entry.recipe == "text_to_latent"}


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - {"perceptual_embedded"} - VECTORS - CLIPS - MAPS))
def test_a_shipped_network_loads(name):
    network, card = zoo_load(name)
    assert sum(p.numel() for p in network.parameters()) == card.cost["parameters"]


@pytest.mark.parametrize("name", sorted(MAPS))
def test_a_shipped_map_loads_with_the_encoder_of_its_texts(name):
    loaded = load_map(name)
    assert sum(p.numel() for p in loaded.network.parameters()) == loaded.card.cost["parameters"]
    assert encoder_of(loaded.card).dim == loaded.network.mapper.text_dim


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_shipped_vectors_load_and_tell_their_text(name):
    vectors, card = formats.load(FOLDER / f"{name}.safetensors"), checkpoints.read_card(FOLDER / f"{name}.safetensors")
    assert vectors.matrix.size == card.cost["parameters"]
    assert vectors.counts.min() >= card.args["min_count"]
    assert card.metrics["tokens"] > 5_000_000
    assert "IL-6" in card.metrics["tokeniser"]
    assert {"n", "of", "value", "interval"} == set(card.metrics["MEN"])


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_a_shipped_clip_loads_by_name_and_tells_colours_of_hair_by_text(name):
    clip, card = CLIP(name), checkpoints.read_card(FOLDER / f"{name}.safetensors")
    assert card.stands_in_for == "published CLIP"
    assert sum(p.numel() for p in clip._towers.network.parameters()) == card.cost["parameters"]
    colours = ("black", "red", "blonde", "blue", "green")
    # Faces of calibration: neither training nor the card's numbers saw them.
    part = load(DataSpec("avatars", "calibration", 96, 64, (("identities", 1024), ("label", "glasses"))))
    seen = [prompts.seen(a)["hair colour"] for a in attributes_of(part)]
    rows = [k for k, colour in enumerate(seen) if colour in colours]
    told = clip.encode_images(part.images[rows]) @ clip.encode([f"{colour} hair" for colour in colours]).T
    right = [colours[int(k)] == seen[row] for k, row in zip(told.argmax(1), rows, strict=True)]
    assert sum(right) / len(right) > 0.85


def test_all_shipped_weights_stay_under_twenty_eight_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 28_000_000


def test_the_perceptual_stand_in_says_what_it_stands_in_for_and_how_well_it_ranks():
    card = checkpoints.read_card(FOLDER / "perceptual_embedded.safetensors")
    assert card.stands_in_for == "published LPIPS backbone"
    correlations = {name: value for name, value in card.metrics.items() if name.startswith("spearman")}
    assert len(correlations) == 6
    assert min(correlations.values()) > 0.9


def test_stages_are_one_training_whose_card_tells_them(tmp_path, monkeypatch):
    args = {"name": "toy", "size": 32, "count": 48, "images": 48, "batch_size": 8, "every": 24, "noise": "none"}
    small = {"channel_base": 128, "channel_max": 8}
    monkeypatch.setitem(SHIPPED, "toy", Shipped("stylegan2", args | small, before=({"images": 24, "noise": "random"},)))
    ship(["toy"], tmp_path)
    card = checkpoints.read_card(tmp_path / "toy.safetensors")
    assert [(images, how["noise"]) for images, how in card.cost["stages"]] == [(0, "random"), (24, "none")]
    assert card.cost["images"] == 48
    assert card.args["keep"] == "generator"
    assert not (tmp_path / "toy.state.safetensors").exists()


def test_a_name_that_is_not_shipped_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(UnknownName, match="dae_digits"):
        ship(["dae_digit"], tmp_path)
    assert not list(tmp_path.iterdir())
