"""Avatars: procedural portraits, RGB, drawn from a seed; identity or a yes/no attribute as the label.

Labelled by identity, the splits share persons and never pictures. Labelled by an attribute, they share no person:
of every ten persons six are for training, one for validation, one for calibration and two for testing. Training and
validation leave out the held-out combinations of attributes, which test and calibration may show. Ids carry the index
of the sampler, and each split has its own range of it. `count` 0 is 8,192 images for training, 1,024 elsewhere; more
may be asked for. Rendered slices are kept in the platform's cache folder.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple, final

import numpy as np
import torch

from advgen.core.errors import BadArgument, BadFile, UnknownName, UserError
from advgen.core.files import write_atomically
from advgen.core.types import Slice
from advgen.experiments.data import _files, _table

NAME = "avatars"
SIZE = 64
ALL = {"train": 8192, "validation": 1024, "calibration": 1024, "test": 1024}
BEGIN = {"train": 0, "validation": 10**8, "calibration": 2 * 10**8, "test": 3 * 10**8}  # of the sampler's index
PERSONS = {"train": (0, 1, 2, 3, 4, 5), "validation": (6,), "calibration": (7,), "test": (8, 9)}  # last digits
PIECE = 1024  # pictures rendered at a time


class _Pictures(NamedTuple):
    images: np.ndarray  # (N, H, W, 3) uint8
    rows: list[dict[str, object]]  # index, identity, attributes, caption


@final
@dataclass(frozen=True)
class Avatars:
    """`size` None is 64 pixels; 32 to 256 can be drawn, each at its own size (nothing is scaled)."""

    kind = "image"
    splits = ("train", "validation", "calibration", "test")
    licence = "MIT"

    variety: Literal["plain", "full"] = "plain"  # plain: frontal, few styles, even light
    label: str = "identity"  # identity, or one of the yes/no attributes (glasses, smiling, ...)
    identities: int = 128  # persons in the population
    seed: int = 0  # of the population and of all draws

    def load(self, split: str, count: int, size: int | None) -> Slice:
        """The first `count` portraits of `split` (0 = its default number), drawn at `size` pixels."""
        from advgen.experiments.avatars import BINARY_LABELS, RENDERER_VERSION, SIZES

        _table.check_split(NAME, split)
        size = SIZE if size is None else size
        if size not in SIZES:
            raise BadArgument(f"avatars are drawn at {SIZES.start} to {SIZES.stop - 1} pixels, got {size}.")
        if self.label != "identity" and self.label not in BINARY_LABELS:
            raise UnknownName.among("label of avatars", self.label, ("identity", *BINARY_LABELS))
        if self.identities < 10:
            raise BadArgument(f"identities must be at least 10, so that each split has some, got {self.identities}.")
        if not 0 <= count < BEGIN["validation"]:
            raise BadArgument(f"the number of avatars must be 0 to {BEGIN['validation'] - 1:,}, got {count}.")
        count = count or ALL[split]
        key = self._key(split, count, size)
        pictures = _kept(key, count, size)
        if pictures is None:
            pictures = self._drawn(split, count, size)
            _keep(key, pictures)
        if self.label == "identity":
            classes = tuple(f"person {number}" for number in range(self.identities))
            labels = [row["identity"] for row in pictures.rows]
        else:
            classes = (f"not {self.label}", self.label)
            labels = [row["attributes"][self.label] for row in pictures.rows]
        return _table.make_slice(
            NAME,
            split,
            [row["index"] for row in pictures.rows],
            torch.from_numpy(pictures.images).permute(0, 3, 1, 2),
            np.array(labels, np.int64),
            classes,
            preprocessing={"renderer": RENDERER_VERSION, "variety": self.variety, "seed": self.seed},
            attributes=[row["attributes"] for row in pictures.rows],
            captions=[row["caption"] for row in pictures.rows],
            groups=[f"{self.seed}/{row['identity']}" for row in pictures.rows],
        )

    def _drawn(self, split: str, count: int, size: int) -> _Pictures:
        from advgen.experiments import avatars

        images = np.empty((count, size, size, 3), np.uint8)
        rows: list[dict[str, object]] = []
        some: list[avatars.Avatar] = []
        for index, avatar in self._sampled(split):
            some.append(avatar)
            known = {k: v for k, v in avatars.attribute_table(avatar).items() if not k.startswith("identity_")}
            number = avatar.identity.number
            rows.append(
                {"index": index, "identity": number, "attributes": known, "caption": avatars.caption(avatar, index)}
            )
            if len(some) == PIECE or len(rows) == count:
                images[len(rows) - len(some) : len(rows)] = avatars.render_batch(some, size)[0]
                some = []
            if len(rows) == count:
                break
        return _Pictures(images, rows)

    def _sampled(self, split: str) -> "Iterator[tuple[int, object]]":
        """(index, avatar) of a split, without end."""
        from advgen.experiments.avatars import sample

        index = BEGIN[split]
        while True:
            avatar = sample(
                self.seed, index, self.variety, self.identities, allow_held_out=split in ("calibration", "test")
            )
            if self.label == "identity" or avatar.identity.number % 10 in PERSONS[split]:
                yield index, avatar
            index += 1

    def _key(self, split: str, count: int, size: int) -> str:
        """What determines the pictures; the renderer's sources stand for its version while it is worked on."""
        from advgen.experiments import avatars

        by = "identity" if self.label == "identity" else "attribute"
        whole = blake2b(f"{split} {count} {size} {by} {self.variety} {self.identities} {self.seed}".encode())
        for source in sorted(Path(avatars.__file__).parent.glob("*.py")):
            whole.update(source.read_bytes())
        return whole.hexdigest()[:32]


def _kept(key: str, count: int, size: int) -> _Pictures | None:
    path = _files.cache_folder() / "avatars" / f"{key}.npz"
    if not path.is_file():
        return None
    try:
        images, text = _files.read_npz(path, ("images", "rows"))
        rows = [json.loads(line) for line in text.tobytes().decode().split("\n")]
    except (BadFile, ValueError):
        return None
    return _Pictures(images, rows) if images.shape == (count, size, size, 3) and len(rows) == count else None


def _keep(key: str, pictures: _Pictures) -> None:
    text = "\n".join(json.dumps(row) for row in pictures.rows)
    buffer = io.BytesIO()
    np.savez(buffer, images=pictures.images, rows=np.frombuffer(text.encode(), np.uint8))
    try:
        write_atomically(_files.cache_folder() / "avatars" / f"{key}.npz", buffer.getvalue())
    except UserError:
        # A cache that cannot be written costs time next time and changes nothing: the pictures are equal.
        return
