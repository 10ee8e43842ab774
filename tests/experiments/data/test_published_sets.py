"""MNIST-like and CIFAR-like files, made here, come out as the table that was promised."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.specs import SPLITS, DataSpec
from advgen.core.types import Slice
from advgen.experiments.data._load import load, overlap

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
LABELS = (np.arange(40) % 10).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


def packed(data: bytes) -> bytes:
    """Without the time, so that the names of tests do not change from second to second."""
    return gzip.compress(data, mtime=0)


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path))
    folder = tmp_path / "images" / "mnist"
    folder.mkdir(parents=True)
    for prefix, wanted in (("train", slice(0, 40)), ("t10k", slice(0, 12))):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(packed(_idx(IMAGES[wanted] ^ (prefix == "t10k"))))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(packed(_idx(LABELS[wanted])))
    return tmp_path


def _cifar(home: Path) -> Path:
    folder = home / "images" / "cifar10"
    folder.mkdir(parents=True)
    return folder


def test_the_first_of_test_are_the_first_of_the_official_file(home: Path) -> None:
    data = load(DataSpec("mnist", "test", 3))
    assert data.ids == ("mnist/test/0", "mnist/test/1", "mnist/test/2")
    assert np.array_equal(data.images_u8[:, 0].numpy(), IMAGES[:3] ^ 1)
    assert (data.labels.tolist(), data.labels.dtype) == ([0, 1, 2], torch.int64)


def test_the_splits_of_the_training_file_are_all_of_it_once(home: Path) -> None:
    slices = [load(DataSpec("mnist", split)) for split in SPLITS]
    positions = [int(i.rsplit("/", 1)[1]) for data in slices[:3] for i in data.ids]
    assert sorted(positions) == list(range(40))
    for data in slices[:3]:
        for sample_id, image in zip(data.ids, data.images_u8):
            assert np.array_equal(image[0].numpy(), IMAGES[int(sample_id.rsplit("/", 1)[1])])
    assert not any(overlap(a, b) for a in slices for b in slices if a is not b)


def test_a_smaller_slice_is_the_beginning_of_a_larger_one(home: Path) -> None:
    few, many = load(DataSpec("mnist", "train", 4)), load(DataSpec("mnist", "train", 9))
    assert few.table.equals(many.table.slice(0, 4))
    assert few.hash != many.hash


def test_the_table_says_what_it_promises(home: Path) -> None:
    row = load(DataSpec("mnist", "calibration", 1)).table.to_pylist()[0]
    assert list(row) == ["id", "split", "label", "class", "group", "attributes", "caption", "hash"]
    assert (row["split"], row["class"], row["group"]) == ("calibration", str(row["label"]), row["id"])


def test_the_hash_covers_pixels_labels_and_preprocessing(home: Path) -> None:
    spec = DataSpec("mnist", "test", 5)
    first = load(spec)
    assert load(spec).hash == first.hash
    assert load(spec._replace(size=28)).hash == first.hash
    resized = load(spec._replace(size=32))
    assert resized.images_u8.shape == (5, 1, 32, 32)
    labels = home / "images" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(packed(_idx(LABELS[:12][::-1])))
    assert len({first.hash, resized.hash, load(spec).hash}) == 3


def test_a_duplicate_between_splits_is_found(home: Path) -> None:
    images = home / "images" / "mnist" / "t10k-images-idx3-ubyte.gz"
    leaked = IMAGES[:12] ^ 1
    leaked[5] = IMAGES[2]
    images.write_bytes(packed(_idx(leaked)))
    assert overlap(load(DataSpec("mnist", "train")), load(DataSpec("mnist", "test"))) == [
        ("mnist/train/2", "mnist/test/5")
    ]


def test_unpacked_files_where_torchvision_leaves_them_are_read_too(home: Path) -> None:
    expected = load(DataSpec("mnist", "test"))
    folder = home / "images" / "mnist"
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in list(folder.glob("*.gz")):
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    assert load(DataSpec("mnist", "test")).hash == expected.hash


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        (DataSpec("mnits"), UnknownName, "'mnist'"),
        (DataSpec("mnist", "tset"), UnknownName, "'test'"),
        (DataSpec("mnist", "test", 13), BadArgument, "has 12 images, and 13"),
        (DataSpec("mnist", "test", -1), BadArgument, "0 .all. or more"),
        (DataSpec("mnist", "test", 1, 4), BadArgument, "8 to 4096"),
        (DataSpec("mnist", args=(("shuffle", True),)), UnknownName, "'shuffle'"),
        (DataSpec("fashion_mnist"), MissingFile, "t10k-images-idx3-ubyte.*images/fashion-mnist.*torchvision"),
        (DataSpec("cifar10"), MissingFile, "cifar10_test_10000.npz"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(
    spec: DataSpec, error: type[Exception], said: str, home: Path
) -> None:
    with pytest.raises(error, match=said):
        load(spec)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cut off"),
        (packed(_idx(IMAGES[:12]))[:900], "cannot be read"),
        (packed(_idx(IMAGES[:12])[:-1]), "cut off"),
        (packed(_idx(LABELS)), "magic"),
        (b"not a gzip at all", "cannot be read"),
        (packed(struct.pack(">4I", 0x803, 2**31, 2**31, 2**31)), "labels|claims"),
    ],
)
def test_a_damaged_file_is_named(content: bytes, said: str, home: Path) -> None:
    (home / "images" / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(BadFile, match=f"t10k-images.*({said})|({said})"):
        load(DataSpec("mnist", "test"))


def test_cifar_reads_the_largest_npz_part(home: Path) -> None:
    folder = _cifar(home)
    np.savez(folder / "cifar10_test_4.npz", images=COLOUR[:4], labels=LABELS[:4].astype(np.int64))
    np.savez(folder / "cifar10_test_12.npz", images=COLOUR[:12], labels=LABELS[:12].astype(np.int64))
    data = load(DataSpec("cifar10", "test"))
    assert data.ids[-1] == "cifar10/test/11"
    assert np.array_equal(data.images_u8.permute(0, 2, 3, 1).numpy(), COLOUR[:12])


def test_all_packings_of_cifar_are_the_same_data(home: Path) -> None:
    folder = _cifar(home)
    rows = COLOUR.transpose(0, 3, 1, 2).reshape(40, -1)
    packings: list[Slice] = []
    npz = folder / "cifar10_train_40.npz"
    np.savez(npz, images=COLOUR, labels=LABELS.astype(np.int64))
    packings.append(load(DataSpec("cifar10", "train")))
    npz.unlink()
    for inside, suffix in (("cifar-10-batches-bin", ".bin"), ("cifar-10-batches-py", "")):
        (folder / inside).mkdir()
        for k in range(5):
            some = slice(8 * k, 8 * k + 8)
            plain = np.concatenate([LABELS[some, None], rows[some]], axis=1).tobytes()
            # Protocol 2, as the published pickles are.
            pickled = pickle.dumps({"data": rows[some], "labels": LABELS[some].tolist()}, protocol=2)
            (folder / inside / f"data_batch_{k + 1}{suffix}").write_bytes(plain if suffix else pickled)
        packings.append(load(DataSpec("cifar10", "train")))
        for file in (folder / inside).iterdir():
            file.unlink()
    assert len({data.hash for data in packings}) == 1
    assert len(packings[0].ids) == 30


def test_a_pickle_that_is_more_than_arrays_is_refused_unrun(home: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (home / "sprung",))

    folder = _cifar(home)
    (folder / "cifar-10-batches-py").mkdir()
    (folder / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps({"data": Trap()}))
    with pytest.raises(BadFile, match="asks for"):
        load(DataSpec("cifar10", "test"))
    np.savez(folder / "cifar10_test_1.npz", images=np.array([Trap()], dtype=object), labels=np.zeros(1))
    with pytest.raises(BadFile, match="plain arrays"):
        load(DataSpec("cifar10", "test"))
    assert not (home / "sprung").exists()


def test_the_real_sets_share_no_image_between_splits(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    for name, held_out, tested in (("cifar10", 500, 1000), ("fashion-mnist", 5000, 10_000)):
        calibration, validation, test = (load(DataSpec(name, s)) for s in ("calibration", "validation", "test"))
        assert [len(data.ids) for data in (calibration, validation, test)] == [held_out, held_out, tested]
        assert not overlap(calibration, validation)
        assert not overlap(validation, test)
        assert not overlap(calibration, test)
