"""The judge of edits, its memory for faces: pictures of one person to one place of a sphere, whatever the person wears.

Trained with an additive cosine margin (CosFace: Wang et al. 2018, arXiv 1801.09414, equation 4) on persons that no data
set holds; the place also has to tell the person's numbers, which orders the sphere within the first epoch. The card
holds the similarity above which two pictures are the same person, at one false acceptance in a hundred on calibration
avatars, as drawn and inverted, and how many genuine pairs of test avatars are above it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.recipes._make import Training, Work, make
from advgen.experiments.recipes._train import Plan
from advgen.zoo.load import Network
from advgen.zoo.networks import build


@final
@dataclass(frozen=True)
class JudgeIdentity:
    generator: str = "stylegan2_avatars_64"  # name of shipped weights, whose images are judged
    encoder: str = "stylegan2_avatars_64_encoder"  # of that generator
    images: int = 24_000  # portraits as drawn
    resynthesised: int = 8_000  # of them, also mixed with what the generator makes of them
    persons: int = 2_000  # none of them in a data set
    held_out: int = 768  # portraits that choose the weights
    width: int = 32  # channels of the first stage
    dimensions: int = 96  # of the sphere
    scale: float = 24.0  # of cosines in the softmax
    margin: float = 0.2  # that a person's own cosine must be ahead
    numbers_weight: float = 4.0  # of the squared error of the person's numbers
    epochs: int = 7
    learning_rate: float = 2e-3  # of AdamW, at its peak
    name: str = "judge_identity_64"  # of the checkpoint

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        from advgen.experiments.edits import errors, portraits
        from advgen.experiments.recipes import _judging

        # Few persons among the held-out: genuine pairs are there.
        few = self.held_out // 12
        parts = _judging.parts(
            self.images, self.resynthesised, self.persons, self.held_out, self.generator, self.encoder, others=few
        )
        kwargs = {"outputs": self.dimensions, "width": self.width, "unit": True}
        described = Network("portrait-resnet", kwargs, (), (3, 64, 64))

        mean, deviation = portraits.scales()

        def loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
            images_u8, person, numbers = batch
            with torch.autocast(images_u8.device.type, torch.bfloat16):
                made = network(_judging.seen(images_u8)).float()
            cosines, told = made.split([self.persons, numbers.shape[1]], 1)
            own = F.one_hot(person, self.persons).to(cosines.dtype)
            apart = F.cross_entropy(self.scale * (cosines - self.margin * own), person)
            return apart + self.numbers_weight * F.mse_loss(told, numbers)

        def score(network: nn.Module) -> float:
            v = parts.validation
            return errors.separation(_judging.outputs(network.get_submodule("network"), v.images), v.person)

        training = Training(
            self.name, "judge", "judge_identity", asdict(self), described, parts.hashes,
            (parts.train.images, parts.train.person, (parts.train.parameters - mean) / deviation),
            Plan(loss, score, self.epochs, learning_rate=self.learning_rate, weight_decay=0.02),
            lambda network: errors.of_identity(network, self.generator, self.encoder),
            create=lambda: _MarginHead(build("portrait-resnet", **kwargs), self.persons, self.dimensions, len(mean)),
            keep="network",
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))


class _MarginHead(nn.Module):
    """Cosines to one learned place a person, and the person's numbers told from the embedding; only for training."""

    def __init__(self, network: nn.Module, persons: int, dimensions: int, numbers: int) -> None:
        super().__init__()
        self.network = network
        self.places = nn.Parameter(torch.randn(persons, dimensions))
        self.numbers = nn.Linear(dimensions, numbers)
        self.length = dimensions**0.5

    def forward(self, images: Tensor) -> Tensor:
        embedded = self.network(images)
        cosines = embedded @ F.normalize(self.places, dim=1).T
        return torch.cat([cosines, self.numbers(self.length * embedded)], 1)
