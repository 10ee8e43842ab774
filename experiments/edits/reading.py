"""What the judge's network says of a portrait: a value of each attribute, the person's numbers, the face's points."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.images import to_float
from advgen.experiments.avatars import LANDMARKS
from advgen.experiments.edits.attributes import ATTRIBUTES, UNSEEN, VALUES
from advgen.experiments.edits.portraits import PARAMETERS, SIZE, scales

_SIZES = [len(values) for values in VALUES.values()]
_READ = sum(_SIZES)
OUTPUTS = _READ + len(PARAMETERS) + 2 * len(LANDMARKS)
_POINT_UNIT = 0.1  # of the side; points lie within about one of it around the middle
_WEIGHT = 2.0  # of the oracle's squared errors beside one attribute's cross-entropy
_FAINT = {"age": 3.0, "earrings": 2.0}  # a pixel or two tell these: more weight for them
BATCH = 128


class Reading(NamedTuple):
    """probabilities: of each attribute (N, V); parameters (N, P) of PARAMETERS, in standard deviations over people;
    points (N, L, 2) of LANDMARKS, (x, y) in pixels."""

    probabilities: dict[str, Tensor]
    parameters: Tensor
    points: Tensor

    @property
    def values(self) -> Tensor:
        """The most probable value of each attribute: its place, (N, A) of ATTRIBUTES."""
        return torch.stack([self.probabilities[name].argmax(1) for name in ATTRIBUTES], 1)

    def said(self, row: int) -> dict[str, str]:
        """The values of one portrait in words."""
        return {name: VALUES[name][int(self.probabilities[name][row].argmax())] for name in ATTRIBUTES}


@torch.no_grad()
def read(network: nn.Module, images_u8: Tensor) -> Reading:
    """Reads portraits (N, 3, 64, 64) uint8.

    Raises:
        BadArgument: other images.
    """
    check(images_u8)
    device = next(network.parameters()).device
    rows = [network(to_float(some.to(device))).float().cpu() for some in images_u8.split(BATCH)]
    made = torch.cat(rows) if rows else torch.empty(0, OUTPUTS)
    logits, parameters, points = made.split([_READ, len(PARAMETERS), 2 * len(LANDMARKS)], 1)
    named = zip(ATTRIBUTES, logits.split(_SIZES, 1))
    return Reading(
        {name: part.softmax(1) for name, part in named},
        parameters,
        SIZE * (0.5 + _POINT_UNIT * points.reshape(-1, len(LANDMARKS), 2)),
    )


def loss(made: Tensor, values: Tensor, parameters: Tensor, landmarks: Tensor) -> Tensor:
    """What training minimises: cross-entropy of each attribute where it can be seen, squared errors of all numbers."""
    logits, numbers, points = made.split([_READ, len(PARAMETERS), 2 * len(LANDMARKS)], 1)
    mean, deviation = (part.to(made) for part in scales())
    total = _WEIGHT * F.mse_loss(numbers, (parameters - mean) / deviation)
    total = total + _WEIGHT * F.mse_loss(points, (landmarks.flatten(1) - 0.5) / _POINT_UNIT)
    for name, part, truth in zip(ATTRIBUTES, logits.split(_SIZES, 1), values.unbind(1)):
        # A batch may show no row of an attribute: a sum over none, not a mean.
        seen = (truth != UNSEEN).sum().clamp(min=1)
        wrong = F.cross_entropy(part, truth, ignore_index=UNSEEN, reduction="sum") / seen
        total = total + _FAINT.get(name, 1.0) * wrong
    return total


def output_names() -> tuple[str, ...]:
    """What each output of the network is."""
    read_out = [f"{name}: {value}" for name, values in VALUES.items() for value in values]
    return (*read_out, *PARAMETERS, *(f"{point} {axis}" for point in LANDMARKS for axis in "xy"))


def check(images_u8: Tensor) -> None:
    """Refuses what is no batch of portraits.

    Raises:
        BadArgument: not (N, 3, 64, 64) uint8.
    """
    if images_u8.dtype != torch.uint8 or images_u8.ndim != 4 or tuple(images_u8.shape[1:]) != (3, SIZE, SIZE):
        raise BadArgument(
            f"the judge reads saved bytes: uint8 portraits (N, 3, {SIZE}, {SIZE}), got {images_u8.dtype} "
            f"{tuple(images_u8.shape)}; core.images.to_uint8 turns [0, 1] into bytes."
        )
