"""The recipe of matchers: margins by the papers' equations, thresholds by pairs of persons, splits without a person
in common."""

import math
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, MissingFile
from advgen.core.meter import Meter
from advgen.core.specs import DataSpec
from advgen.experiments.data._load import load
from advgen.experiments.recipes import _verify
from advgen.experiments.recipes.matcher import SPLITS, Matcher, ahead
from advgen.zoo.load import zoo_load

SMALL = {"size": 32, "border": 4, "width": 6, "dimensions": 16}


def places(persons, pictures, noise, seed=0):
    """Unit vectors of persons with pictures around each."""
    g = torch.Generator().manual_seed(seed)
    middle = torch.randn(persons, 1, 24, generator=g)
    spread = noise * torch.randn(persons, pictures, 24, generator=g)
    return F.normalize((middle + spread).flatten(0, 1), dim=1), torch.arange(persons).repeat_interleave(pictures)


@pytest.mark.parametrize("by", [0.0, 0.2, 0.5])
def test_the_margins_are_those_of_the_papers(by):
    angles = torch.tensor([0.1, 1.0, 2.0, 2.5])
    cosines = torch.stack([angles.cos(), torch.full((4,), 0.3)], 1)
    own = torch.zeros(4, dtype=torch.int64)
    torch.testing.assert_close(ahead(cosines, own, "arcface", by)[:, 0], (angles + by).cos(), atol=1e-5, rtol=0)
    torch.testing.assert_close(ahead(cosines, own, "cosface", by)[:, 0], cosines[:, 0] - by)
    assert torch.equal(ahead(cosines, own, "arcface", by)[:, 1], cosines[:, 1])


def test_the_angular_margin_never_makes_a_picture_easier():
    cosines = torch.linspace(-1, 1, 101)[:, None]
    harder = ahead(cosines, torch.zeros(101, dtype=torch.int64), "arcface", 0.5)[:, 0]
    assert bool((harder[2:-1] < cosines[2:-1, 0]).all())
    assert bool((harder.diff() > 0).all())


@pytest.mark.parametrize("far", [0.001, 0.01, 0.1])
def test_the_threshold_lets_no_more_impostors_pass_than_it_may(far):
    pairs = _verify.paired(*places(40, 4, 0.8))
    at = _verify.threshold(pairs, far)
    impostors = pairs.cosines[~pairs.genuine]
    assert (impostors > at).mean() <= far
    assert (impostors >= at).mean() > far * 0.9


def test_pairs_are_counted_once_and_know_their_persons():
    pairs = _verify.paired(*places(5, 3, 0.1))
    assert (len(pairs.cosines), int(pairs.genuine.sum())) == (15 * 14 // 2, 5 * 3)
    found = _verify.accepted(pairs, 0.9, genuine=True)
    assert (found["value"], found["n"], found["persons"]) == (1.0, 15, 5)


def test_intervals_are_over_persons_and_not_over_pairs():
    embedded, persons = places(12, 8, 0.9)
    pairs = _verify.paired(embedded, persons)
    at = float(np.median(pairs.cosines[pairs.genuine]))
    found = _verify.accepted(pairs, at, genuine=True)
    naive = 1.96 * math.sqrt(found["value"] * (1 - found["value"]) / found["n"])
    assert found["low"] < found["value"] < found["high"]
    assert found["high"] - found["low"] > 2 * naive  # 336 pairs of 12 persons
    low, high = _verify.threshold_interval(pairs, 0.01)
    assert low <= _verify.threshold(pairs, 0.01) <= high


def test_the_threshold_covers_that_of_a_whole_population():
    inside = 0
    whole = _verify.threshold(_verify.paired(*places(400, 3, 0.8, seed=99)), 0.05)
    for seed in range(20):
        low, high = _verify.threshold_interval(_verify.paired(*places(20, 3, 0.8, seed=seed)), 0.05)
        inside += low <= whole <= high
    assert inside >= 15


def test_too_few_pairs_for_the_rate_are_refused():
    with pytest.raises(BadArgument, match="make 5 pairs of one person and 40 of two"):
        _verify.threshold(_verify.paired(*places(5, 2, 0.1)), 0.001)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Twenty persons, three pictures each: a folder a person."""
    folder = tmp_path_factory.mktemp("faces")
    sample = load(DataSpec("avatars", "train", 256, 32, (("identities", 20),)))
    for person in range(20):
        (folder / f"p{person}").mkdir()
        for k in (sample.labels == person).nonzero()[:3, 0].tolist():
            Image.fromarray(sample.images_u8[k].permute(1, 2, 0).numpy()).save(folder / f"p{person}" / f"{k}.png")
    return folder


@pytest.mark.parametrize("architecture", ["face-cnn", "face-mixer"])
def test_a_matcher_of_ones_own_pictures_has_a_threshold_and_what_it_accepts_on_its_card(people, tmp_path, architecture):
    width = 6 if architecture == "face-cnn" else 16
    recipe = Matcher(f"folder:{people}", **{**SMALL, "width": width}, architecture=architecture, epochs=2, far=0.2)
    card = recipe.train(tmp_path, seed=0, device="cpu", resume=False, limit=4, meter=Meter())
    assert (card.kind, card.recipe) == ("matcher", "matcher")
    assert -1 <= card.metrics["threshold"] <= 1
    assert card.metrics["genuine pairs accepted"]["persons"] == 4
    network, _ = zoo_load(str(tmp_path / f"{card.name}.safetensors"))
    with torch.no_grad():
        made = network(torch.rand(2, 3, 32, 32))
    torch.testing.assert_close(made.norm(dim=1), torch.ones(2))
    again = Matcher(
        f"folder:{people}", **SMALL, epochs=1, far=0.2, name="two", start=str(tmp_path / f"{card.name}.safetensors")
    )
    if architecture == "face-mixer":
        with pytest.raises(BadArgument, match="is not a face-cnn of width 6"):
            again.train(tmp_path, seed=0, device="cpu", resume=False, limit=1, meter=Meter())
    else:
        begun = again.train(tmp_path, seed=0, device="cpu", resume=False, limit=1, meter=Meter())
        assert begun.args["start.sha256"] == checkpoints.read_card(tmp_path / f"{card.name}.safetensors").file_hash


def test_too_few_persons_are_refused_before_anything_is_trained(people, tmp_path):
    for k in range(10):
        shutil.copytree(people / f"p{k}", tmp_path / "few" / f"p{k}")
    recipe = Matcher(f"folder:{tmp_path / 'few'}", **SMALL, far=0.2)
    with pytest.raises(BadArgument, match=r"validation pictures of folder:.* make 3 pairs of one person and 0 of two"):
        recipe.train(tmp_path, seed=0, device="cpu", resume=False, limit=1, meter=Meter())


def test_no_split_of_avatars_shares_a_person_with_another():
    recipe = Matcher(size=32, images=16, persons=16)
    populations = [{g.split("/")[0] for g in recipe._part(split).table["group"].to_pylist()} for split in SPLITS]
    assert populations == [{"311"}, {"312"}, {"313"}, {"0"}]


def test_photographs_are_dealt_out_by_person(shared_data, monkeypatch):
    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    parts = {split: load(DataSpec("faces", split, 0, 32)) for split in SPLITS}
    assert [len(parts[s].classes) for s in SPLITS] == [40, 8, 16, 16]
    everyone = [person for part in parts.values() for person in part.classes]
    assert len(everyone) == len(set(everyone)) == 80
    enrolled, probes = (
        load(DataSpec("faces", "test", 0, 32, (("pictures", name),))) for name in ("enrolled", "probes")
    )
    assert (len(enrolled.ids), len(probes.ids)) == (16, 64)
    assert set(enrolled.ids) | set(probes.ids) == set(parts["test"].ids)
    assert set(probes.table["group"].to_pylist()) == set(enrolled.classes)


def test_without_photographs_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path))
    with pytest.raises(MissingFile, match="a folder for each person"):
        load(DataSpec("faces", "test", 0, 32))
