"""Anybody's images as a slice: files, folders, labels from a table, from sub-folders or from the target itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from advgen.core import images as pictures
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.specs import GIVEN
from advgen.core.types import Slice, Target
from advgen.experiments.csv_lines import read_csv
from advgen.experiments.data._table import make_slice

NAME = f"{GIVEN}images"


class Pictures(NamedTuple):
    """Images by their relative paths."""

    names: tuple[str, ...]
    images_u8: Tensor  # (N, C, H, W)


def read_pictures(path: str | Path, *, size: int | None, channels: int) -> Pictures:
    """One image file, or every image below a folder; `size` cuts the centre square and scales it.

    Raises:
        MissingFile: there is nothing there.
        BadFile: a file that is no image, an empty folder, or sizes that differ without `size`.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise MissingFile(f"there is no file or folder {str(path)!r}.")
    grey_or_colour = 1 if channels == 1 else 3
    if place.is_dir():
        folder = pictures.load_folder(place, size=size, channels=grey_or_colour)
        return Pictures(folder.ids, folder.images_u8)
    image = pictures.load(place, channels=grey_or_colour)
    image = image if size is None else pictures.centre_square(image, size)
    return Pictures((place.name,), image[None])


def read_labels(path: str | Path, names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The class number of each image, from a CSV with the columns `file` and `label` (a class name or number).

    Raises:
        BadFile: columns are missing, an image has no line, or a label is no class.
    """
    table = read_csv(path, ("file", "label"))
    by_file = {line["file"]: line["label"] for line in table}
    missing = [n for n in names if n not in by_file]
    if missing:
        raise BadFile(
            f"{path} has no line for {missing[0]!r}" + (f" and {len(missing) - 1} more images" if missing[1:] else "")
            + "; its column `file` holds paths relative to the folder of images."
        )  # fmt: skip
    return [class_number(by_file[n], classes, str(path)) for n in names]


def class_number(text: str, classes: Sequence[str], where: str) -> int:
    """A class by its name or number."""
    if text in classes:
        return list(classes).index(text)
    if text.isdigit() and int(text) < max(len(classes), 2):
        return int(text)
    raise UnknownName.among(f"class in {where}:", text, classes)


def labels_of_folders(names: Sequence[str], classes: Sequence[str]) -> list[int] | None:
    """Class numbers from sub-folders that are called as the classes are; None where they are not."""
    tops = [n.split("/")[0] if "/" in n else "" for n in names]
    if not all(top in classes for top in tops):
        return None
    return [list(classes).index(top) for top in tops]


def labels_of_target(target: Target, images_u8: Tensor, *, batch_size: int = 64) -> list[int]:
    """What the target itself says of the clean images."""
    said: list[int] = []
    with torch.no_grad():
        for part in images_u8.split(batch_size):
            logits = target(pictures.to_float(part)).logits
            best = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
            said += best.tolist()
    return said


def as_slice(
    found: Pictures, labels: Sequence[int], classes: Sequence[str], *, split: str = "test", by_person: bool = False
) -> Slice:
    """The pictures as a slice under the name that cells use for what a caller gives.

    by_person: the classes are persons, and pictures of one are not independent.
    """
    names = list(classes) if len(classes) > 1 else [f"not {classes[0]}", classes[0]] if classes else ["0", "1"]
    return make_slice(
        NAME,
        split,
        found.names,
        found.images_u8,
        np.array(labels, dtype=np.int64),
        names,
        preprocessing={"shape": list(found.images_u8.shape[1:])},
        groups=[names[label] for label in labels] if by_person else None,
    )


def matched(originals: Pictures, adversarials: Pictures) -> tuple[Pictures, Pictures]:
    """The two sets in one order, by relative path without its suffix.

    Raises:
        BadArgument: an image without its partner, or a pair of different sizes.
    """
    if len(originals.names) == len(adversarials.names) == 1:
        first, second = originals, adversarials._replace(names=originals.names)
    else:
        there = {Path(n).with_suffix("").as_posix(): i for i, n in enumerate(adversarials.names)}
        order = [there.get(Path(n).with_suffix("").as_posix()) for n in originals.names]
        lonely = [n for n, i in zip(originals.names, order, strict=True) if i is None]
        if not lonely:
            known = {Path(n).with_suffix("").as_posix() for n in originals.names}
            lonely = [n for n in adversarials.names if Path(n).with_suffix("").as_posix() not in known]
        if lonely:
            raise BadArgument(
                f"{lonely[0]!r} has no partner: originals and adversarials are matched by relative path "
                f"({len(originals.names)} and {len(adversarials.names)} images)."
            )
        positions = torch.tensor([i for i in order if i is not None])
        first, second = originals, Pictures(originals.names, adversarials.images_u8[positions])
    if first.images_u8.shape != second.images_u8.shape:
        raise BadArgument(
            f"originals are {tuple(first.images_u8.shape[1:])} and adversarials {tuple(second.images_u8.shape[1:])} "
            "(channels, height, width); distances need equal sizes, so give both with --size."
        )
    return first, second
