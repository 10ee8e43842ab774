"""What a portrait shows, aspect by aspect, so that a generator's own samples can be captioned.

Nine answers an image (colour and style of the hair, beard, glasses, hat and its colour, earrings, mood, age), each a
softmax over its values; what a picture hides teaches nothing. No judge of edits or texts is made of it: what captions
the training may not judge.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.core.types import Slice
from advgen.experiments.recipes._augment import augmented
from advgen.experiments.recipes._captions import attributes_of
from advgen.experiments.recipes._classify import as_metric, logits_of
from advgen.experiments.recipes._make import Training, Work, load_splits, make
from advgen.experiments.recipes._prompts import ASPECTS, codes
from advgen.experiments.recipes._train import Plan
from advgen.zoo.load import Network

HIDDEN = -100  # what cross-entropy passes over
SURE = 0.8  # probability from which an answer counts


@final
@dataclass(frozen=True)
class TextToLatentCaptioner:
    size: int = 64  # pixels, both sides
    variety: Literal["plain", "full"] = "plain"  # of the portraits; as the generator's training had it
    population: int = 0  # its seed
    images: int = 8192  # of the train split
    width: int = 16  # channels of the first layer
    epochs: int = 12
    learning_rate: float = 4e-3  # of AdamW, at its peak

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        # Labelled by an attribute, the splits share no person.
        population = (("label", "glasses"), ("seed", self.population), ("variety", self.variety))
        splits = load_splits("avatars", self.size, population, counts={"train": self.images})
        channels, height, side = splits.train.images_u8.shape[1:]
        described = Network(
            "attribute-cnn",
            {"channels": channels, "attributes": sum(map(len, ASPECTS.values())), "size": side, "width": self.width},
            tuple(f"{aspect} {value}" for aspect, values in ASPECTS.items() for value in values),
            (channels, height, side),
            "sign",
        )
        validation = values_of(splits.validation)
        plan = Plan(
            lambda network, batch: _loss(network(augmented(batch[0].float() / 255.0, "light")), batch[1]),
            lambda network: -float(_loss(logits_of(network, splits.validation.images_u8), validation)),
            self.epochs,
            learning_rate=self.learning_rate,
        )
        training = Training(
            f"text_to_latent_captioner_{self.size}_{self.variety}", "classifier", "text_to_latent_captioner",
            asdict(self), described, splits.hashes(), (splits.train.images_u8, values_of(splits.train)), plan,
            lambda network: _measured(network, splits.test),
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))


def values_of(part: Slice) -> Tensor:
    """(N, A) int64: the place of each aspect's value, HIDDEN where the picture does not show it."""
    shown = codes(attributes_of(part)).long()
    return torch.where(shown == 0, HIDDEN, shown.clamp(min=1).double().log2().round().long())


def parted(logits: Tensor) -> Iterator[Tensor]:
    """The logits (N, values) of each aspect in turn."""
    return iter(logits.split([len(values) for values in ASPECTS.values()], dim=1))


@torch.no_grad()
def read(captioner: nn.Module, images: Tensor, *, sure: float = SURE) -> Tensor:
    """(N, A) int32 codes (see `_prompts`): what the captioner sees on images (N, C, H, W) in [0, 1], 0 where it is not
    sure."""
    found = []
    for logits in parted(captioner(images)):
        share, value = logits.softmax(1).max(1)
        found.append(torch.where(share >= sure, 1 << value, 0))
    codes_ = dict(zip(ASPECTS, found, strict=True))
    # Of what is not there nothing else is asked, whatever the network says.
    bare = 1 << ASPECTS["hat"].index("none"), 1 << ASPECTS["hair style"].index("bald")
    for what, of, none in (("hat colour", "hat", bare[0]), ("hair colour", "hair style", bare[1])):
        codes_[what] = torch.where((codes_[of] == none) | (codes_[of] == 0), 0, codes_[what])
    return torch.stack(list(codes_.values()), 1).to(torch.int32)


def _loss(logits: Tensor, values: Tensor) -> Tensor:
    each = [
        # Not the mean of those seen: where a batch shows none, that is 0 / 0.
        F.cross_entropy(own, values[:, k], ignore_index=HIDDEN, reduction="sum") / len(values)
        for k, own in enumerate(parted(logits))
    ]
    return torch.stack(each).mean()


def _measured(network: nn.Module, test: Slice) -> dict[str, Any]:
    values, found = values_of(test), {}
    for k, (name, logits) in enumerate(zip(ASPECTS, parted(logits_of(network, test.images_u8)), strict=True)):
        seen = values[:, k] != HIDDEN
        right = logits.argmax(1)[seen] == values[seen, k]
        found[f"accuracy {name}"] = as_metric(int(right.sum()), len(right))
    return found
