"""From arrays to a `Slice`: the table, the hashes, and the carving of an official training set into three splits."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.images import resize
from advgen.core.specs import SPLITS
from advgen.core.types import Slice

SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # <data>/<split>/<index or relative path>
        ("split", pa.string()),
        ("label", pa.int64()),
        ("class", pa.string()),
        ("group", pa.string()),  # what varies together: the identity where there is one, else the sample itself
        ("attributes", pa.string()),  # JSON, {} where none are known
        ("caption", pa.string()),
        ("hash", pa.string()),  # of the pixels, after preprocessing
    ]
)


def make_slice(
    name: str,
    split: str,
    keys: Sequence[object],
    images_u8: np.ndarray | torch.Tensor,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    preprocessing: Mapping[str, Any],
    attributes: Sequence[Mapping[str, Any]] | None = None,
    captions: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
) -> Slice:
    """A slice of images uint8 (N, C, H, W), one `key` (index or relative path) and one label an image.

    The hash of the slice covers its name, its ids, labels, classes and pixels, and `preprocessing`: what was done to
    the source (size, renderer version), so that two slices of one hash are the same data made in the same way.
    """
    images = torch.from_numpy(np.array(images_u8, order="C")) if isinstance(images_u8, np.ndarray) else images_u8
    images = images.contiguous()
    assert images.dtype == torch.uint8, f"images of {name} are {images.dtype}"
    assert images.ndim == 4, f"images of {name} have the shape {tuple(images.shape)}"
    ids = tuple(f"{name}/{split}/{key}" for key in keys)
    assert len(ids) == len(images) == len(labels), f"{name}: {len(ids)} ids, {len(images)} images, {len(labels)} labels"
    pixel_hashes = [_pixel_hash(image) for image in images.numpy()]
    table = pa.table(
        {
            "id": ids,
            "split": [split] * len(ids),
            "label": [int(label) for label in labels],
            "class": [classes[int(label)] for label in labels],
            "group": ids if groups is None else [str(group) for group in groups],
            "attributes": ["{}"] * len(ids) if attributes is None else [_json(row) for row in attributes],
            "caption": [""] * len(ids) if captions is None else list(captions),
            "hash": pixel_hashes,
        },
        schema=SCHEMA,
    )
    described = _json(
        {"data": name, "split": split, "classes": list(classes), "shape": list(images.shape[1:]), **preprocessing}
    )
    whole = blake2b(described.encode(), digest_size=16)
    for sample_id, label, pixels in zip(ids, table["label"].to_pylist(), pixel_hashes):
        whole.update(f"\x1e{sample_id}\x1f{label}\x1f{pixels}".encode())
    return Slice(
        ids,
        images,
        torch.tensor(table["label"].to_pylist(), dtype=torch.int64),
        table,
        whole.hexdigest(),
        tuple(classes),
    )


def overlap(a: Slice, b: Slice) -> list[tuple[str, str]]:
    """Pairs of ids, one of each slice, whose pixels are equal, in the order of `a`; none in honest splits."""
    held: dict[str, list[str]] = {}
    for sample_id, pixels in zip(b.ids, b.table["hash"].to_pylist()):
        held.setdefault(pixels, []).append(sample_id)
    return [
        (sample_id, other)
        for sample_id, pixels in zip(a.ids, a.table["hash"].to_pylist())
        for other in held.get(pixels, ())
        if other != sample_id
    ]


def check_split(name: str, split: str, splits: Sequence[str] = SPLITS) -> None:
    """Refuses a split that the data set does not have."""
    if split not in splits:
        raise UnknownName.among(f"split of {name}", split, splits)


def span(name: str, split: str, count: int, official: Literal["train", "test"], length: int, held_out: int) -> range:
    """Positions in an official file of the first `count` samples of `split` (0 = all).

    The official test file is the test split. The training file is carved by position: its last `held_out` samples are
    calibration, the `held_out` before them validation, the rest train.
    """
    if official == "test":
        whole = range(length)
    else:
        calibration, validation = length - held_out, length - 2 * held_out
        whole = {
            "train": range(validation),
            "validation": range(validation, calibration),
            "calibration": range(calibration, length),
        }[split]
    return first(name, split, count, whole)


def first(name: str, split: str, count: int, positions: range) -> range:
    """The first `count` of `positions`, 0 = all.

    Raises:
        BadArgument: a negative count, or more than there are.
    """
    if count < 0:
        raise BadArgument(f"the number of images must be 0 (all) or more, got {count}.")
    if count > len(positions):
        raise BadArgument(f"{name}/{split} has {len(positions):,} images, and {count:,} were asked for; ask for fewer.")
    return positions[:count] if count else positions


def resized(images_u8: np.ndarray, size: int | None) -> torch.Tensor:
    """Square uint8 images (N, H, W) or (N, H, W, C) as (N, C, size, size): antialiased bilinear, rounded to bytes."""
    if images_u8.ndim == 3:
        images_u8 = images_u8[..., None]
    images = torch.from_numpy(np.array(images_u8.transpose(0, 3, 1, 2), order="C"))
    if size is None or size == images.shape[-1]:
        return images
    if size < 8:
        raise BadArgument(f"the size must be at least 8 pixels, got {size}.")
    if not len(images):
        return images.new_empty((0, images.shape[1], size, size))
    # In pieces: 60,000 images as floats would not fit beside a training run.
    return torch.cat([resize(piece, size) for piece in images.split(1024)])


def _pixel_hash(image: np.ndarray) -> str:
    shape = "x".join(str(side) for side in image.shape)
    return blake2b(image.tobytes(), digest_size=16, person=shape.encode()[:16]).hexdigest()


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
