"""Small classifier of CIFAR-10; needs the files of the data set."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.recipes._classify import train_classifier
from advgen.experiments.recipes._make import Work, load_splits


@final
@dataclass(frozen=True)
class CIFAR10Classifier:
    width: int = 32  # channels of the first layer
    epochs: int = 30
    learning_rate: float = 3e-3  # of AdamW, at its peak

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        return train_classifier(
            Work(out, seed, device, resume, limit, meter),
            name="cifar10_classifier",
            recipe="cifar10_classifier",
            args=asdict(self),
            splits=load_splits("cifar10", None),
            width=self.width,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            augment="flip",
            licence="weights MIT; data: Krizhevsky 2009, no licence stated",
        )
