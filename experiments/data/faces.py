"""Photographs of 80 persons, five each, RGB: ORL (grey, a studio) and Labeled Faces in the Wild (colour, the press).

The splits share no person: of ten persons of either source five are for training, one for validation, two for
calibration and two for testing, in the order of a hash of their names; a split's classes are its own persons. With
`pictures="enrolled"` a split is the first picture of each of its persons, with "probes" the others: a gallery and what
is compared with it. Samples come a picture of every person before a second one of any. Files lie in `images/faces` of
the data folder, `orl/PERSON/*.png` and `lfw/PERSON/*.jpg`; of the latter the middle 60% is cut out, which the face
fills.

Samaria & Harter 1994 (ORL, AT&T Laboratories Cambridge); Huang et al. 2007 and 2012 (Labeled Faces in the Wild).
"""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple, final

import numpy as np
import torch

from advgen.core.errors import BadArgument, MissingFile
from advgen.core.images import centre_square
from advgen.core.images import load as load_image
from advgen.core.types import Slice
from advgen.experiments.data import _files, _table

NAME = "faces"
SIZE = 64
SOURCES = {"lfw": 0.6, "orl": 1.0}  # share of the shorter side that is kept, in the middle
DEAL = ("train", "test", "calibration", "train", "train", "validation", "test", "train", "calibration", "train")


class _File(NamedTuple):
    person: str  # source/name
    number: int  # of the picture among the person's, from 0
    path: Path


@final
@dataclass(frozen=True)
class Faces:
    """`size` None is 64 pixels."""

    kind = "image"
    splits = ("train", "validation", "calibration", "test")
    licence = "ORL: free with credit; LFW: none stated, research only"

    pictures: Literal["all", "enrolled", "probes"] = "all"  # of each person: every one, the first, or the others
    source: Literal["both", "lfw", "orl"] = "both"

    def load(self, split: str, count: int, size: int | None) -> Slice:
        """The first `count` photographs of `split` (0 = all) at `size` pixels."""
        _table.check_split(NAME, split)
        sources = tuple(SOURCES) if self.source == "both" else (self.source,)
        files = [file for source in sources for file in _of_source(source, split)]
        files = [f for f in files if self.pictures == "all" or (f.number == 0) == (self.pictures == "enrolled")]
        files.sort(key=lambda f: f.number)
        chosen = [files[k] for k in _table.first(NAME, split, count, range(len(files)))]
        classes = sorted({file.person for file in files})
        images = torch.stack([_square(file, SIZE if size is None else size) for file in chosen])
        return _table.make_slice(
            NAME,
            split,
            [f"{file.person}/{file.path.name}" for file in chosen],
            images,
            np.array([classes.index(file.person) for file in chosen], np.int64),
            classes,
            preprocessing={"crop": {source: SOURCES[source] for source in sources}},
            groups=[file.person for file in chosen],
        )


def _of_source(source: str, split: str) -> list[_File]:
    home = _files.folder(NAME) / source
    persons = [p for p in home.iterdir() if p.is_dir()] if home.is_dir() else []
    if not persons:
        raise MissingFile(f"data set 'faces' needs photographs in {home}, a folder for each person.")
    persons.sort(key=lambda p: blake2b(p.name.encode(), digest_size=8).digest())
    dealt = [p for position, p in enumerate(persons) if DEAL[position % len(DEAL)] == split]
    if not dealt:
        raise BadArgument(f"{home} has {len(persons)} persons, too few for one in the split {split!r}; 6 are enough.")
    return [
        _File(f"{source}/{person.name}", number, path)
        for person in sorted(dealt)
        for number, path in enumerate(sorted(p for p in person.iterdir() if p.is_file()))
    ]


def _square(file: _File, size: int) -> torch.Tensor:
    image = load_image(file.path, channels=3)
    height, width = image.shape[-2:]
    side = round(SOURCES[file.person.split("/")[0]] * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    return centre_square(image[:, top : top + side, left : left + side], size)
