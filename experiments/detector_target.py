"""A detector of generated images as a target: `detect/NAME`, one logit, above 0 = called generated.

It learns from real images of the data that its generator was trained on (`real` names another set), takes its
threshold there as it would as a defense, and its logit is (score - threshold) / clean sigma. Images that are attacked
are generated ones (data `generated`), and the goal is `pass-as-real`. Arguments of the part: those of the detector,
`fpr`, and `real`.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from advgen.core import registry
from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.specs import Card, Cell, DataSpec, Part
from advgen.core.targets import ModuleTarget
from advgen.core.types import Alarm
from advgen.experiments.fakes import learns_fakes

PREFIX = "detect/"
FAKES = "generated"  # the data set that it is attacked on
CLASSES = ("generated",)
REAL_COUNT = 256  # real images that controls are shown


class Verdict(nn.Module):
    """Images (N, C, H, W) to (N, 1): how far above its threshold a detector's score is, in clean deviations."""

    def __init__(self, alarm: Alarm) -> None:
        super().__init__()
        self.alarm = alarm
        self.threshold = nn.Parameter(torch.tensor(alarm.threshold), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        rng = SampleRng.for_samples(0, "detector", [str(k) for k in range(len(images))])
        return ((self.alarm.detector.score(images, rng) - self.threshold) / self.alarm.sigma)[:, None]


def is_detector(part: Part) -> bool:
    return part.name.startswith(PREFIX)


def own_cell(part: Part, data: DataSpec, side: int, trained_on: Mapping[str, Any]) -> Cell:
    """The cell in which the detector of a target stands as a defense, on real images of this size.

    Raises:
        BadArgument: a detector of something else; a generator that does not say what it was trained on.
    """
    if not learns_fakes(Part(part.name)):
        raise BadArgument(
            f"{part.name} is a defense, and no detector of generated images; as a target take detect/spectrum, "
            "detect/clip_linear or detect/inversion."
        )
    args = dict(part.args)
    real = args.pop("real", None) or trained_on.get("data")
    if not real:
        raise BadArgument(f"{part.name} learns from real images; name their data set with real=NAME.")
    own = Part.of(part.name, args)
    return Cell(DataSpec(str(real), "test", REAL_COUNT, side), target=part, defense=(own,))


def target_of(part: Part, cell: Cell, alarm: Alarm, shape: tuple[int, int, int], hashes: Mapping[str, str]) -> Any:
    """The target of a fitted detector, and a card that hangs on all that it was made of."""
    network = Verdict(alarm).eval()
    about = json.dumps([str(part), registry.arguments("defenses", part.name, {}), alarm.threshold, dict(hashes)])
    card = Card(
        part.name, "detector", "user", {}, cell.seed, alarm.calibrated_on,
        blake2b(about.encode(), digest_size=32).hexdigest(), {}, {}, "MIT",
    )  # fmt: skip
    return ModuleTarget(network, CLASSES, shape, decision="sign"), card
