"""Small classifier of anybody's images: a folder with a class per sub-folder, or any data set by name."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, final

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.specs import Card, Scalar
from advgen.experiments.recipes._classify import train_classifier
from advgen.experiments.recipes._make import Work, load_splits


@final
@dataclass(frozen=True)
class Classifier:
    data: str  # folder:PATH, or the name of a data set
    size: int = 64  # pixels, both sides; folders are cut to the centre square
    name: str | None = None  # of the checkpoint; None = from the data and the size
    by: Literal["image", "folder"] = (
        "image"  # how a folder without split folders is dealt out; folder = splits by person
    )
    width: int = 24  # channels of the first layer
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 3e-3  # of AdamW, at its peak
    augment: Literal["none", "affine", "flip", "light"] = "flip"  # random changes that keep the label

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        splits = load_splits(self.data, self.size)
        classes = splits.train.classes
        if len(classes) < 2:
            raise BadArgument(
                f"{self.data} holds one class ({classes[0]}); a classifier needs at least two: one sub-folder each."
            )
        args: dict[str, Scalar] = asdict(self)
        return train_classifier(
            Work(out, seed, device, resume, limit, meter),
            name=self.name or re.sub(r"[^a-z0-9]+", "_", f"{_last(self.data)} classifier {self.size}".lower()),
            recipe="classifier",
            args=args,
            splits=splits,
            width=self.width,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            augment=self.augment,
            licence="weights MIT; data: as its owner says",
        )


def _last(data: str) -> str:
    return Path(data.partition(":")[2]).expanduser().resolve().name if ":" in data else data
