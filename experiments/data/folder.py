"""Anybody's images: `folder:PATH`, a class or person per sub-folder.

Where the first level of sub-folders is called train, validation (val), calibration or test, those are the splits.
Elsewhere they are carved without looking at the pixels: `by="image"` deals the images of every sub-folder out, 6 of 10
to train, 1 to validation, 1 to calibration, 2 to test, in the order of a hash of their paths (splits share persons,
never files); `by="folder"` deals whole sub-folders in the same way (splits share no person); `by="none"` takes the
whole folder as the test split. Images without sub-folders are one class.

With `size`, the largest centred square is cut and scaled with antialiased bilinear filtering. Without it, all images
must have one shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple, final

import numpy as np
import torch

from advgen.core.errors import BadArgument, BadFile
from advgen.core.images import centre_square, image_files
from advgen.core.images import load as load_image
from advgen.core.types import Slice
from advgen.experiments.data import _table

# Every ten files, in this order, so that four already give an image to each split.
DEAL = ("train", "test", "calibration", "validation", "train", "train", "test", "train", "train", "train")
SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "calibration": "calibration",
    "test": "test",
}


class _File(NamedTuple):
    path: str  # relative to the folder
    split: str
    label: str  # the sub-folder


@final
@dataclass(frozen=True)
class Folder:
    """PNG, JPEG, WebP, BMP, GIF, TIFF and PPM files below `path`, in the order of their paths."""

    kind = "image"
    splits = ("train", "validation", "calibration", "test")

    path: str  # the folder
    by: Literal["image", "folder", "none"] = "image"  # what is dealt out to the splits
    channels: Literal[1, 3] = 3  # 3: RGB, 1: grey (luma)
    skip_unreadable: bool = False  # leave files out that cannot be read, instead of refusing the folder

    def load(self, split: str, count: int, size: int | None) -> Slice:
        """The first `count` images of `split` (0 = all), cut and scaled to `size` pixels if given."""
        folder = Path(self.path).expanduser()
        _table.check_split(f"folder:{self.path}", split)
        files = _assigned(image_files(folder), self.by)
        classes = sorted({file.label for file in files})
        wanted = [file for file in files if file.split == split]
        if not wanted:
            raise BadArgument(
                f"folder {self.path} has no image in the split {split!r}: its {len(files)} images are dealt out by "
                f"{self.by!r}; by='none' makes all of them the test split."
            )
        if count > len(wanted) or count < 0:
            _table.first(folder.name, split, count, range(len(wanted)))
        images, kept, unreadable = self._read(folder, wanted, count or len(wanted), size)
        if unreadable and not self.skip_unreadable:
            raise BadFile(_listed(folder, unreadable))
        if not kept:
            raise BadFile(f"none of the {len(wanted)} images of folder {self.path}, split {split!r}, can be read.")
        return _table.make_slice(
            folder.resolve().name,
            split,
            [file.path for file in kept],
            images,
            np.array([classes.index(file.label) for file in kept]),
            classes,
            preprocessing={"crop": "none" if size is None else "centre-square", "channels": self.channels},
            groups=[file.label for file in kept] if len(classes) > 1 else None,
        )

    def _read(
        self, folder: Path, wanted: Sequence[_File], count: int, size: int | None
    ) -> tuple[torch.Tensor, list[_File], list[str]]:
        images: list[torch.Tensor] = []
        kept: list[_File] = []
        unreadable: list[str] = []
        for file in wanted:
            if len(kept) == count:
                break
            try:
                image = load_image(folder / file.path, channels=self.channels)
            except BadFile as error:
                unreadable.append(str(error))
                continue
            image = image if size is None else centre_square(image, size)
            if images and image.shape != images[0].shape:
                raise BadFile(
                    f"folder {self.path} holds images of different sizes ({kept[0].path} is {_size(images[0])}, "
                    f"{file.path} is {_size(image)}); give a size to cut and scale them to."
                )
            images.append(image)
            kept.append(file)
        return torch.stack(images) if images else torch.empty(0), kept, unreadable


def _assigned(paths: Sequence[str], by: str) -> list[_File]:
    if by == "none":
        return [_File(path, "test", _sub_folder(path)) for path in paths]
    tops = {path.split("/")[0] for path in paths if "/" in path}
    if tops and tops <= set(SPLIT_FOLDERS) and all("/" in path for path in paths):
        parts = [path.partition("/") for path in paths]
        return [_File(path, SPLIT_FOLDERS[top], _sub_folder(rest)) for path, (top, _, rest) in zip(paths, parts)]
    if by == "folder":
        dealt = dict(_dealt(sorted({_sub_folder(path) for path in paths})))
        return [_File(path, dealt[_sub_folder(path)], _sub_folder(path)) for path in paths]
    split_of: dict[str, str] = {}
    for label in sorted({_sub_folder(path) for path in paths}):
        split_of.update(_dealt([path for path in paths if _sub_folder(path) == label]))
    return [_File(path, split_of[path], _sub_folder(path)) for path in paths]


def _dealt(names: Sequence[str]) -> list[tuple[str, str]]:
    order = sorted(names, key=lambda name: blake2b(name.encode(), digest_size=8).digest())
    return [(name, DEAL[position % len(DEAL)]) for position, name in enumerate(order)]


def _sub_folder(path: str) -> str:
    return path.split("/")[0] if "/" in path else "images"


def _listed(folder: Path, unreadable: Sequence[str]) -> str:
    shown = "; ".join(sentence.rstrip(".") for sentence in unreadable[:5])
    more = f"; and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
    return (
        f"{len(unreadable)} file(s) of {folder} cannot be used ({shown}{more}); mend them or set skip_unreadable=True."
    )


def _size(image: torch.Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
