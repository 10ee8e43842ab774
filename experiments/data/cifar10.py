"""CIFAR-10: small photographs, 32x32 RGB, 10 classes; from files that you bring.

Three packings are read: `.npz` parts (`images` uint8 (n, 32, 32, 3), `labels`), named `cifar10_test_<n>.npz` and
`cifar10_train_<n>.npz` with the first n images in the original order; the binary version (`cifar-10-batches-bin`);
and the python version that torchvision unpacks (`cifar-10-batches-py`), by a reader that builds nothing but arrays.
The largest `.npz` part wins. The last eighth of the training images is for calibration, the eighth before it for
validation. Ids carry the position in the official order.

Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np

from advgen.core.errors import BadFile
from advgen.core.types import Slice
from advgen.experiments.data import _files, _table

NAME = "cifar10"
TRAIN_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
TEST_BATCHES = ("test_batch",)


@final
@dataclass(frozen=True)
class CIFAR10:
    """Files in `images/cifar10` of the data folder."""

    kind = "image"
    splits = ("train", "validation", "calibration", "test")
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    licence = "none stated; research use with citation"

    def load(self, split: str, count: int, size: int | None) -> Slice:
        """The first `count` images of `split` (0 = all), scaled to `size` pixels if given."""
        _table.check_split(NAME, split)
        official: Literal["train", "test"] = "test" if split == "test" else "train"
        images, labels = _official(official)
        if images.shape[1:] != (32, 32, 3) or images.dtype != np.uint8 or len(images) != len(labels):
            raise BadFile(
                f"the {official} file of cifar10 holds {images.dtype} {images.shape}, not uint8 (n, 32, 32, 3)."
            )
        at = _table.span(NAME, split, count, official, len(images), len(images) // 8)
        chosen = slice(at.start, at.stop)
        return _table.make_slice(
            NAME,
            split,
            at,
            _table.resized(images[chosen], size),
            labels[chosen],
            self.classes,
            preprocessing={"resize": "none" if size in (None, 32) else "bilinear-antialias"},
        )


def _official(official: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
    batches = TEST_BATCHES if official == "test" else TRAIN_BATCHES
    home = _files.folder(NAME)
    parts = [(int(found[1]), path) for path in home.glob("*.npz") if (found := _part(official, path))]
    if parts:
        return _files.read_npz(max(parts)[1], ("images", "labels"))
    for inside, suffix, read in (
        ("cifar-10-batches-bin", ".bin", _files.read_cifar_binary),
        ("cifar-10-batches-py", "", _files.read_cifar_python),
    ):
        paths = [home / inside / f"{batch}{suffix}" for batch in batches]
        if all(path.is_file() for path in paths):
            return _joined(paths, read)
    remedy = "or unpack there the folder cifar-10-batches-py or cifar-10-batches-bin of the published archive"
    part = f"cifar10_{official}_{10_000 if official == 'test' else 50_000}.npz"
    return _files.read_npz(_files.locate(NAME, (part,), remedy), ("images", "labels"))


def _part(official: str, path: Path) -> re.Match[str] | None:
    return re.fullmatch(rf"cifar10_{official}_(\d+)\.npz", path.name)


def _joined(paths: list[Path], read: Callable[[Path], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    batches = [read(path) for path in paths]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])
