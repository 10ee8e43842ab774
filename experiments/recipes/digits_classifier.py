"""Small classifier of scikit-learn's digits at 32x32, trained and measured on different writers."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.recipes._classify import train_classifier
from advgen.experiments.recipes._make import Work, load_splits


@final
@dataclass(frozen=True)
class DigitsClassifier:
    width: int = 16  # channels of the first layer
    epochs: int = 30
    learning_rate: float = 4e-3  # of AdamW, at its peak

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        return train_classifier(
            Work(out, seed, device, resume, limit, meter),
            name="digits_classifier",
            recipe="digits_classifier",
            args=asdict(self),
            splits=load_splits("digits", None),
            width=self.width,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            augment="affine",
        )
