"""Digits, avatars and anybody's folders: splits that keep persons or files apart, and the same bytes every time."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.images import save_png
from advgen.core.specs import SPLITS, DataSpec
from advgen.experiments.data._load import load, overlap

# The renderer is compiled at its first use on a machine.
needs_renderer = pytest.mark.slow


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr("advgen.experiments.data._files.cache_folder", lambda: folder)
    return folder


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six people, ten pictures each, of two sizes."""
    rng = np.random.default_rng(0)
    for person in range(6):
        (tmp_path / "people" / f"p{person}").mkdir(parents=True)
        for picture in range(10):
            pixels = rng.integers(0, 256, (3, 20 + picture % 2, 24), dtype=np.uint8)
            save_png(torch.from_numpy(pixels), tmp_path / "people" / f"p{person}" / f"{picture}.png")
    return tmp_path / "people"


def _of(folder: Path, split: str = "test", count: int = 0, size: int | None = 16, **args: str) -> DataSpec:
    return DataSpec(f"folder:{folder}", split, count, size, tuple(sorted(args.items())))


def test_digits_are_all_there_once_in_writers_order() -> None:
    slices = [load(DataSpec("digits", split)) for split in SPLITS]
    assert [len(data.ids) for data in slices] == [997, 200, 200, 400]
    assert slices[3].images_u8.shape == (400, 1, 32, 32)
    assert slices[3].ids[0] == "digits/test/1397"
    assert not any(overlap(a, b) for a in slices for b in slices if a is not b)
    assert all(set(data.labels.tolist()) == set(range(10)) for data in slices)


def test_pictures_are_dealt_out_so_that_every_person_is_in_every_split(people: Path) -> None:
    slices = [load(_of(people, split)) for split in SPLITS]
    assert [len(data.ids) for data in slices] == [36, 6, 6, 12]
    assert len({i.split("/", 2)[2] for data in slices for i in data.ids}) == 60
    assert all(set(data.table["group"].to_pylist()) == {f"p{k}" for k in range(6)} for data in slices)


def test_persons_are_dealt_out_so_that_no_two_splits_share_one(people: Path) -> None:
    groups = [set(load(_of(people, split, by="folder")).table["group"].to_pylist()) for split in SPLITS]
    assert sorted(len(group) for group in groups) == [1, 1, 1, 3]
    assert sum(len(group) for group in groups) == len(set().union(*groups))


def test_folders_called_after_splits_are_the_splits(tmp_path: Path) -> None:
    for split, label in (("train", "cat"), ("train", "dog"), ("val", "dog"), ("test", "cat")):
        save_png(torch.zeros(3, 16, 16, dtype=torch.uint8), tmp_path / "pets" / split / label / "1.png")
    data = load(_of(tmp_path / "pets", "validation"))
    assert data.ids == ("pets/validation/val/dog/1.png",)
    assert (data.classes, data.labels.tolist()) == (("cat", "dog"), [1])
    assert load(_of(tmp_path / "pets", "train")).table["class"].to_pylist() == ["cat", "dog"]


def test_a_flat_folder_is_one_class_and_may_be_tested_whole(tmp_path: Path) -> None:
    for k in range(3):
        save_png(torch.full((3, 16, 16), k, dtype=torch.uint8), tmp_path / "flat" / f"{k}.png")
    data = load(_of(tmp_path / "flat", by="none"))
    assert (data.classes, data.ids[0], len(data.ids)) == (("images",), "flat/test/0.png", 3)
    with pytest.raises(BadArgument, match="by='none'"):
        load(_of(tmp_path / "flat", "train", by="none"))


def test_the_folders_place_does_not_change_ids_or_hash(people: Path, tmp_path: Path) -> None:
    before = load(_of(people))
    (tmp_path / "elsewhere").mkdir()
    os.rename(people, tmp_path / "elsewhere" / "people")
    after = load(_of(tmp_path / "elsewhere" / "people"))
    assert (before.ids, before.hash) == (after.ids, after.hash)


def test_unreadable_files_are_listed_and_may_be_left_out(people: Path) -> None:
    names = [i.split("/", 2)[2] for i in load(_of(people)).ids]
    (people / names[0]).write_text("not an image")
    whole = (people / names[1]).read_bytes()
    (people / names[1]).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadFile, match=rf"2 file\(s\).*{names[0]}.*{names[1]}.*skip_unreadable"):
        load(_of(people))
    assert [i.split("/", 2)[2] for i in load(_of(people, skip_unreadable="true")).ids] == names[2:]


@pytest.mark.parametrize(
    ("name", "size", "error", "said"),
    [
        ("people", None, BadFile, "different sizes.*give a size"),
        ("nowhere", 16, MissingFile, "there is no folder"),
        ("empty", 16, BadFile, "nothing"),
    ],
)
def test_a_folder_that_cannot_be_used_is_said_in_a_sentence(
    name: str, size: int | None, error: type[Exception], said: str, people: Path
) -> None:
    (people.parent / "empty").mkdir()
    with pytest.raises(error, match=said):
        load(_of(people.parent / name, size=size))


@needs_renderer
def test_avatars_by_identity_share_persons_and_no_picture(cache: Path) -> None:
    slices = [load(DataSpec("avatars", split, 40, 32, (("identities", 10),))) for split in SPLITS]
    assert len({frozenset(data.classes) for data in slices}) == 1
    assert set(slices[0].table["group"].to_pylist()) & set(slices[3].table["group"].to_pylist())
    assert not any(overlap(a, b) for a in slices for b in slices if a is not b)


@needs_renderer
def test_avatars_by_attribute_share_no_person(cache: Path) -> None:
    args = (("identities", 40), ("label", "smiling"))
    slices = [load(DataSpec("avatars", split, 40, 32, args)) for split in SPLITS]
    groups = [set(data.table["group"].to_pylist()) for data in slices]
    assert sum(len(group) for group in groups) == len(set().union(*groups))
    for data in slices:
        assert data.classes == ("not smiling", "smiling")
        known = [json.loads(row)["smiling"] for row in data.table["attributes"].to_pylist()]
        assert data.labels.tolist() == [int(smiling) for smiling in known]


@needs_renderer
def test_a_kept_slice_equals_a_drawn_one(cache: Path) -> None:
    spec = DataSpec("avatars", "test", 6, 32, (("variety", "full"),))
    drawn = load(spec)
    assert len(list(cache.rglob("*.npz"))) == 1
    kept = load(spec)
    assert kept.hash == drawn.hash
    assert kept.table.equals(drawn.table)
    next(cache.rglob("*.npz")).write_bytes(b"damaged")
    assert load(spec).hash == drawn.hash


@needs_renderer
def test_a_cache_that_cannot_be_written_changes_nothing(cache: Path) -> None:
    spec = DataSpec("avatars", "test", 2, 32)
    expected = load(spec).hash
    for file in cache.rglob("*.npz"):
        file.unlink()
    (cache / "avatars").rmdir()
    (cache / "avatars").write_text("a file where the folder would be")
    assert load(spec).hash == expected


@needs_renderer
def test_a_smaller_slice_of_avatars_is_the_beginning_of_a_larger_one(cache: Path) -> None:
    few, many = (load(DataSpec("avatars", "test", n, 32, (("label", "glasses"),))) for n in (3, 7))
    assert few.table.equals(many.table.slice(0, 3))


@pytest.mark.parametrize(
    ("size", "args", "error", "said"),
    [
        (16, (), BadArgument, "32 to 256 pixels, got 16"),
        (32, (("label", "smile"),), UnknownName, "'smiling'"),
        (32, (("variety", "ful"),), BadArgument, "'full'"),
        (32, (("identities", 3),), BadArgument, "at least 10"),
    ],
)
def test_avatars_that_cannot_be_drawn_are_said_in_a_sentence(
    size: int, args: tuple[tuple[str, str | int], ...], error: type[Exception], said: str, cache: Path
) -> None:
    with pytest.raises(error, match=said):
        load(DataSpec("avatars", "test", 1, size, args))
