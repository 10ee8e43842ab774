"""The judge of edits, its eyes: a portrait's attributes, the person's numbers and the face's points, at 64 pixels.

Trained apart from all that methods use: other persons, another seed, another architecture; on portraits as drawn and
mixed with what the shipped generator makes of them. The card holds the accuracy of each attribute on held-out avatars,
as drawn and inverted, and the error of each number of the person: the oracle that says whether a face has become
another's.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.recipes._make import Training, Work, make
from advgen.experiments.recipes._train import Plan
from advgen.zoo.load import Network


@final
@dataclass(frozen=True)
class JudgeAttributes:
    generator: str = "stylegan2_avatars_64"  # name of shipped weights, whose images are judged
    encoder: str = "stylegan2_avatars_64_encoder"  # of that generator
    images: int = 24_000  # portraits as drawn
    resynthesised: int = 8_000  # of them, also mixed with what the generator makes of them
    persons: int = 2_000  # none of them in a data set
    held_out: int = 512  # portraits that choose the weights
    width: int = 32  # channels of the first stage
    epochs: int = 5
    learning_rate: float = 2e-3  # of AdamW, at its peak
    name: str = "judge_attributes_64"  # of the checkpoint

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        from advgen.experiments.edits import errors, reading
        from advgen.experiments.recipes import _judging

        parts = _judging.parts(
            self.images, self.resynthesised, self.persons, self.held_out, self.generator, self.encoder
        )
        described = Network(
            "portrait-resnet",
            {"outputs": reading.OUTPUTS, "width": self.width},
            reading.output_names(),
            (3, 64, 64),
        )

        def loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
            images_u8, values, parameters, points = batch
            with torch.autocast(images_u8.device.type, torch.bfloat16):
                # A line of age is one pixel wide.
                made = network(_judging.seen(images_u8, share=0.25, blur=0.8))
            return reading.loss(made.float(), values, parameters, points)

        def score(network: nn.Module) -> float:
            v = parts.validation
            return -float(reading.loss(_judging.outputs(network, v.images), v.values, v.parameters, v.landmarks))

        train = parts.train
        training = Training(
            self.name, "judge", "judge_attributes", asdict(self), described, parts.hashes,
            (train.images, train.values, train.parameters, train.landmarks),
            Plan(loss, score, self.epochs, learning_rate=self.learning_rate, weight_decay=0.02, half_costs=0.02),
            lambda network: errors.of_attributes(network, self.generator, self.encoder),
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))
