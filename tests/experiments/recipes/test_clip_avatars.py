"""A small CLIP from captions: what it may see, what is measured of it, and that it loads by name."""

import json
import os
import signal

import pytest
import torch

from advgen.core import checkpoints, registry
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.embeddings.encoders.clip import CLIP
from advgen.experiments.avatars import HELD_OUT_SYNONYMS, held_out
from advgen.experiments.avatars.avatar import Attributes
from advgen.experiments.recipes import _captions as captions
from advgen.experiments.recipes import _clip_scores as scores
from advgen.experiments.recipes import _clip_train as clip_train
from advgen.experiments.recipes import _prompts as prompts
from advgen.experiments.recipes import clip_avatars
from advgen.experiments.recipes._make import load_splits

SMALL = {
    "size": 32,
    "seen_at": 32,
    "images": 48,
    "full": 16,
    "identities": 128,
    "measured": 48,
    "width": 8,
    "text_width": 16,
    "dim": 16,
    "batch_size": 16,
    "epochs": 2,
}


def splits(variety):
    population = (("identities", 128), ("label", "glasses"), ("seed", 0), ("variety", variety))
    return load_splits("avatars", 32, population, counts={"train": 48, "validation": 48, "test": 48})


@pytest.fixture(scope="module")
def part():
    return splits("full").train


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Splits of 48 pictures and 9 captions beside the right one."""
    whole = clip_avatars.load_splits

    def small(data, size, args, *, counts):
        return whole(data, size, args, counts={**counts, "validation": 48})

    monkeypatch.setattr(clip_avatars, "load_splits", small)
    monkeypatch.setattr(scores, "HARD", 9)


def train(out, *, seed=0, resume=False, **args):
    recipe = registry.create("recipes", "clip_avatars", **{**SMALL, **args})
    return recipe.train(out, seed=seed, device="cpu", resume=resume, limit=None, meter=Meter())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("clip")
    with pytest.MonkeyPatch.context() as patch:
        few.__wrapped__(patch)
        return out, train(out)


def test_the_tables_attributes_give_the_tables_captions(part):
    rows = zip(part.table["id"].to_pylist(), captions.attributes_of(part), part.table["caption"].to_pylist())
    for name, attributes, caption in rows:
        assert captions.said(attributes, int(name.rsplit("/", 1)[-1])) == caption


def test_training_captions_hold_no_held_out_word_and_turn_through_all_others(part):
    shown = captions.attributes_of(part)
    texts = {captions.said(a, p) for a in shown for p in captions.SEEN}
    assert not any(f" {word} " in f" {text.replace(',', '')} " for word in HELD_OUT_SYNONYMS for text in texts)
    more = {captions.said(a, p + 16) for a in shown for p in captions.SEEN}
    assert more == texts
    assert {p % 8 for p in captions.SEEN} | set(captions.UNSEEN) == set(range(8))


def test_captions_that_are_nearly_right_differ_in_one_thing(part):
    for place, attributes in enumerate(captions.attributes_of(part)):
        others = captions.nearly_right(attributes, 99, seed=0, key=str(place))
        assert len(others) >= 40
        texts = [captions.said(other) for other in others]
        assert len(set(texts)) == len(texts)
        assert captions.said(attributes) not in texts
        assert not any(held_out(other) for other in others)
        for other in others:
            changed = [name for name, value in vars(other).items() if value != getattr(attributes, name)]
            assert len(changed) == 1 or set(changed) in ({"hat", "hat_colour"}, {"hair_colour", "hat_colour"})
        assert captions.nearly_right(attributes, 5, seed=0, key=str(place)) == others[:5]
    also = [captions.nearly_right(a, 99, seed=0, key="", unseen=True) for a in captions.attributes_of(part)]
    assert any(held_out(other) for others in also for other in others)


def test_a_caption_that_says_the_same_is_a_hit():
    images = torch.eye(4)
    texts = images[[1, 0, 3, 2]]  # each image finds its neighbour's caption first
    assert scores.retrieval(images, texts, [0, 0, 1, 1])["R@1 image to text"]["value"] == 1
    apart = scores.retrieval(images, texts, [0, 1, 2, 3])
    assert apart["R@1 image to text"]["value"] == 0
    assert apart["R@5 text to image"] == {**apart["R@5 text to image"], "value": 1.0, "n": 4}


def test_values_of_the_variety_are_changed_first_and_attributes_take_turns():
    plain = Attributes(hair_style="short", hair_colour="brown")
    others = captions.nearly_right(plain, 99, seed=0, key="", variety="plain")
    changed = [{name for name, v in vars(o).items() if v != getattr(plain, name)} for o in others]
    assert len(others) == 99
    assert len({frozenset(c) for c in changed[:7]}) >= 6
    usual = [all(getattr(o, name) in values for name, values in captions.PLAIN.items()) for o in others]
    assert usual == sorted(usual, reverse=True)


def test_a_question_is_answered_by_the_nearest_text_and_every_value_counts_alike(part):
    shown = [prompts.seen(a) for a in captions.attributes_of(part)]
    values = [row["age"] for row in shown]
    assert len(set(values)) > 1
    basis = dict(zip(prompts.AGES, torch.eye(3), strict=True))

    def texts(several):
        return torch.stack([basis[next((a for a in prompts.AGES if a in t), "young")] for t in several])

    asked = {"age": [s for s in prompts.questions()["age"] if s.values[0] in values]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "occurring", lambda shown: asked)
        patch.setattr(prompts, "phrased", lambda said: [f"a {said.values[0]} person"])
        right = scores.zero_shot(torch.stack([basis[v] for v in values]), shown, texts)
        all_young = scores.zero_shot(basis["young"].expand(len(values), -1), shown, texts)
    assert right["age"] == (len(asked["age"]), 1.0, len(values))
    assert all_young["age"].balanced == pytest.approx(1 / len(asked["age"]))


def test_a_linear_probe_finds_what_is_linearly_there(part):
    shown = [prompts.seen(a) for a in captions.attributes_of(part)]
    which = torch.tensor([prompts.AGES.index(str(row["age"])) for row in shown])
    features = torch.nn.functional.one_hot(which, 3).float() + 0.01 * torch.randn(len(shown), 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "FEWEST", 1)
        assert scores.probe(features, shown, features, shown)["age"].balanced > 0.99


def test_it_learns_leaves_a_small_checkpoint_and_loads_by_name(trained, monkeypatch):
    out, card = trained
    path = out / "clip_avatars_32.safetensors"
    assert path.stat().st_size < 1_000_000  # all rows of the vocabulary alone would be 1.6 MB
    assert (card.kind, card.stands_in_for) == ("encoder", "published CLIP")
    monkeypatch.setattr(checkpoints, "places", lambda: (out,))
    encoder = CLIP("clip_avatars_32")
    assert encoder.dim == 16
    assert encoder.unknown("a person with crimson hair and a zebra") == ("crimson", "zebra")
    assert encoder.encode_images(torch.rand(2, 3, 32, 32)).shape == (2, 16)
    assert card.metrics["R@1 image to text"]["n"] == 48
    assert card.metrics["R@1 of 10"]["n"] == 48
    assert 0 <= card.metrics["attributes, worst"] <= card.metrics["attributes, mean"] <= 1
    assert card.metrics["full variety: R@1 image to text"]["n"] == 48


def test_the_cards_numbers_are_those_of_the_file(trained, monkeypatch):
    out, card = trained
    encoder = CLIP(str(out / "clip_avatars_32.safetensors"))
    test = splits("plain").test
    shown = captions.attributes_of(test)
    texts = [captions.said(a, captions.SEEN[i % len(captions.SEEN)]) for i, a in enumerate(shown)]
    found = scores.retrieval(encoder.encode_images(test.images), encoder.encode(texts), captions.contents(shown))
    for name, value in found.items():
        assert value == card.metrics[name]


def test_an_interrupted_training_goes_on_to_the_same_file(trained, tmp_path, monkeypatch):
    calls = []
    whole = clip_train.spoilt

    def interrupting(images):
        calls.append(len(images))
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(images)

    monkeypatch.setattr(clip_train, "spoilt", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    assert train(tmp_path, resume=True).file_hash == trained[1].file_hash


def test_a_training_goes_on_from_another_and_leaves_texts_where_they_are(trained, tmp_path):
    start = str(trained[0] / "clip_avatars_32.safetensors")
    card = train(tmp_path, start=start, name="further")
    before, after = CLIP(start), CLIP(str(tmp_path / "further.safetensors"))
    texts = ["round glasses", "a smiling person with red hair"]
    torch.testing.assert_close(before.encode(texts), after.encode(texts), atol=1e-3, rtol=0)
    images = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(before.encode_images(images), after.encode_images(images), atol=1e-2)
    assert (card.args["start"], card.args["start.hash"]) == (start, before.hash)
    with pytest.raises(BadArgument, match="has other sizes than seen_at, width, text_width and dim say"):
        train(tmp_path, start=start, dim=24)


def test_numbers_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(BadArgument, match="images and nearly_right must be 1 or more"):
        train(tmp_path, nearly_right=0)
    with pytest.raises(BadArgument, match="made again by a generator and the encoder"):
        train(tmp_path, generator="stylegan2_avatars_64")


def test_the_card_is_json(trained):
    json.dumps(trained[1]._asdict(), allow_nan=False)
