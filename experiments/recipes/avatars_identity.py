"""Who is it: classifier of the persons among the avatars, for one population.

Pictures of one person differ in hair, clothes, glasses, expression and background; only the face tells.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, final

from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.recipes._classify import train_classifier
from advgen.experiments.recipes._make import Work, load_splits


@final
@dataclass(frozen=True)
class AvatarsIdentity:
    size: int = 32  # pixels, both sides: 32 or 64
    variety: Literal["plain", "full"] = "plain"  # of the portraits
    identities: int = 128  # persons in the population
    population: int = 0  # its seed
    images: int = 0  # of the train split; 0 = the data set's own number
    architecture: Literal["small-cnn", "resnet-b"] = "small-cnn"
    width: int = 16  # channels of the first layer
    epochs: int = 12
    learning_rate: float = 4e-3  # of AdamW, at its peak
    name: str | None = None  # of the checkpoint; None = avatars_identity_SIZE

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        population = (("identities", self.identities), ("seed", self.population), ("variety", self.variety))
        return train_classifier(
            Work(out, seed, device, resume, limit, meter),
            name=self.name or f"avatars_identity_{self.size}",
            recipe="avatars_identity",
            args=asdict(self),
            splits=load_splits("avatars", self.size, population, counts={"train": self.images}),
            width=self.width,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            augment="light",
            architecture=self.architecture,
        )
