"""Data sets in the four idx files of MNIST: one reader for the sets that are packed like it."""

from typing import Literal

from advgen.core.errors import BadFile
from advgen.core.types import Slice
from advgen.experiments.data import _files, _table

HELD_OUT = 5_000  # images of the training file for validation, and as many for calibration


def load_idx(
    name: str, torchvision_name: str, classes: tuple[str, ...], split: str, count: int, size: int | None
) -> Slice:
    """A slice of 28x28 grey images; keys are positions in the official file."""
    _table.check_split(name, split)
    official: Literal["train", "test"] = "test" if split == "test" else "train"
    prefix = "t10k" if official == "test" else "train"
    remedy = (
        f"torchvision fetches it with torchvision.datasets.{torchvision_name}(FOLDER, download=True), "
        f"where FOLDER is that folder"
    )
    found = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        file = f"{prefix}-{kind}"
        found.append(_files.locate(name, (file, f"{torchvision_name}/raw/{file}", f"raw/{file}"), remedy))
    images_path, labels_path = found
    length = _files.idx_length(images_path, _files.IDX_IMAGES)
    if _files.idx_length(labels_path, _files.IDX_LABELS) != length:
        raise BadFile(f"{images_path} holds {length:,} images and {labels_path} another number of labels.")
    at = _table.span(name, split, count, official, length, min(HELD_OUT, length // 4))
    images = _files.read_idx(images_path, _files.IDX_IMAGES, at.start, at.stop)
    labels = _files.read_idx(labels_path, _files.IDX_LABELS, at.start, at.stop)
    if len(labels) and labels.max() >= len(classes):
        raise BadFile(f"{labels_path} holds the label {labels.max()}; {name} has {len(classes)} classes.")
    return _table.make_slice(
        name,
        split,
        at,
        _table.resized(images, size),
        labels,
        classes,
        preprocessing={"resize": "none" if size in (None, images.shape[-1]) else "bilinear-antialias"},
    )
