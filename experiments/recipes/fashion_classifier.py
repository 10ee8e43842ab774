"""Small classifier of Fashion-MNIST; needs the files of the data set."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.recipes._classify import train_classifier
from advgen.experiments.recipes._make import Work, load_splits


@final
@dataclass(frozen=True)
class FashionClassifier:
    width: int = 16  # channels of the first layer
    epochs: int = 8
    learning_rate: float = 4e-3  # of AdamW, at its peak

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        return train_classifier(
            Work(out, seed, device, resume, limit, meter),
            name="fashion_classifier",
            recipe="fashion_classifier",
            args=asdict(self),
            splits=load_splits("fashion-mnist", None),
            width=self.width,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            augment="flip",
        )
