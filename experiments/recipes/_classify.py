"""What the classifier recipes share: cross-entropy, accuracy on validation, accuracy with its interval on test."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.specs import Card, Scalar
from advgen.core.types import Slice
from advgen.experiments.recipes._augment import augmented
from advgen.experiments.recipes._make import Splits, Training, Work, make
from advgen.experiments.recipes._train import Plan
from advgen.experiments.stats import wilson
from advgen.zoo.load import Network

BATCH = 256


def train_classifier(
    work: Work,
    *,
    name: str,
    recipe: str,
    args: dict[str, Scalar],
    splits: Splits,
    width: int,
    epochs: int,
    learning_rate: float,
    augment: str,
    batch_size: int = 64,
    architecture: str = "small-cnn",
    licence: str = "MIT",
) -> Card:
    """A network that tells the classes of `splits` apart: `small-cnn`, or `resnet-b` (32x32 RGB, no batch norm)."""
    channels, height, side = splits.train.images_u8.shape[1:]
    classes = splits.train.classes
    kwargs: dict[str, Scalar] = {"channels": channels, "classes": len(classes), "size": side, "width": width}
    if architecture == "resnet-b":
        if (channels, height, side) != (3, 32, 32):
            raise BadArgument(f"resnet-b takes RGB images of 32x32, got {channels} channel(s) of {side}x{height}.")
        kwargs = {"planes": width, "stages": 1, "classes": len(classes)}
    described = Network(architecture, kwargs, classes, (channels, height, side))

    def loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        images, labels = batch
        logits = network(augmented(images.float() / 255.0, augment))
        return F.cross_entropy(logits, labels)

    plan = Plan(loss, lambda n: accuracy(n, splits.validation), epochs, batch_size, learning_rate)
    training = Training(
        name, "classifier", recipe, args, described, splits.hashes(),
        (splits.train.images_u8, splits.train.labels), plan,
        lambda n: {"clean accuracy": as_metric(correct(n, splits.test), len(splits.test.ids))}, licence,
    )  # fmt: skip
    return make(training, work)


def logits_of(network: nn.Module, images_u8: Tensor) -> Tensor:
    """Logits on the CPU, in batches of one size for every caller."""
    device = next(network.parameters()).device
    pieces = [network(piece.to(device).float() / 255.0) for piece in images_u8.split(BATCH)]
    return torch.cat(pieces).cpu()


def correct(network: nn.Module, part: Slice) -> int:
    """How many images of a slice get their own class."""
    return int((logits_of(network, part.images_u8).argmax(1) == part.labels).sum())


def accuracy(network: nn.Module, part: Slice) -> float:
    """The share of them, less at most 0.001 for cross-entropy, which decides between equal shares."""
    logits = logits_of(network, part.images_u8)
    share = float((logits.argmax(1) == part.labels).float().mean())
    return share - 1e-3 * min(1.0, float(F.cross_entropy(logits, part.labels)))


def as_metric(hits: float, n: int) -> dict[str, Any]:
    """A rate as it stands on a card: value, 95% Wilson interval, n."""
    found = wilson(hits, n)
    return {"value": round(found.value, 6), "low": round(found.low, 6), "high": round(found.high, 6), "n": n}
