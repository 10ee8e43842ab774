"""What is worn and shown: a yes/no network for the avatars' attributes (glasses, hat, beard, smile and so on).

Logit k > 0 says that attribute k is there. Persons of the test split were never seen in training. At 32 pixels some
attributes cannot be read (age lines, small earrings): the card gives each one's accuracy, and `classes` lists those
that were asked for.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import UnknownName
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.core.types import Slice
from advgen.experiments.recipes._augment import augmented
from advgen.experiments.recipes._classify import as_metric, logits_of
from advgen.experiments.recipes._make import Splits, Training, Work, load_splits, make
from advgen.experiments.recipes._train import Plan
from advgen.zoo.load import Network


@final
@dataclass(frozen=True)
class AvatarsAttributes:
    size: int = 32  # pixels, both sides: 32 or 64
    variety: Literal["plain", "full"] = "full"  # of the portraits
    population: int = 0  # its seed
    images: int = 0  # of the train split; 0 = the data set's own number
    attributes: tuple[str, ...] = ()  # which; empty = all that the avatars know
    width: int = 16  # channels of the first layer
    epochs: int = 16
    learning_rate: float = 4e-3  # of AdamW, at its peak
    name: str | None = None  # of the checkpoint; None = avatars_attributes_SIZE

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        from advgen.experiments.avatars import BINARY_LABELS

        for name in self.attributes:
            if name not in BINARY_LABELS:
                raise UnknownName.among("attribute of avatars", name, BINARY_LABELS)
        names = self.attributes or tuple(BINARY_LABELS)
        # Labelled by an attribute, the splits share no person.
        population = (("label", names[0]), ("seed", self.population), ("variety", self.variety))
        splits = load_splits("avatars", self.size, population, counts={"train": self.images})
        channels, height, side = splits.train.images_u8.shape[1:]
        described = Network(
            "attribute-cnn",
            {"channels": channels, "attributes": len(names), "size": side, "width": self.width},
            names,
            (channels, height, side),
            "sign",
        )

        def loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
            images, present = batch
            return F.binary_cross_entropy_with_logits(network(augmented(images.float() / 255.0, "light")), present)

        validation = presence(splits.validation, names)
        plan = Plan(
            loss,
            lambda network: -_error(network, splits.validation, validation),
            self.epochs,
            learning_rate=self.learning_rate,
        )
        training = Training(
            self.name or f"avatars_attributes_{self.size}", "classifier", "avatars_attributes",
            {**asdict(self), "attributes": ", ".join(names)}, described, splits.hashes(),
            (splits.train.images_u8, presence(splits.train, names)), plan,
            lambda network: _measured(network, splits, names),
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))


def presence(part: Slice, names: tuple[str, ...]) -> Tensor:
    """float32 (N, K): 1 where the picture has the attribute."""
    rows = [json.loads(row) for row in part.table["attributes"].to_pylist()]
    return torch.tensor([[float(row[name]) for name in names] for row in rows])


def _error(network: nn.Module, part: Slice, present: Tensor) -> float:
    return float(F.binary_cross_entropy_with_logits(logits_of(network, part.images_u8), present))


def _measured(network: nn.Module, splits: Splits, names: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy of each attribute, and how often it is there: 98% right says little where 98% have it not."""
    present = presence(splits.test, names)
    right = (logits_of(network, splits.test.images_u8) > 0) == (present > 0)
    n = len(present)
    each = {
        f"accuracy {name}": {**as_metric(int(right[:, k].sum()), n), "present": round(float(present[:, k].mean()), 4)}
        for k, name in enumerate(names)
    }
    return {"clean accuracy": as_metric(float(right.float().mean()) * n, n), **each}
