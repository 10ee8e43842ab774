"""Has a face become another's? The person's numbers, read from the picture, against those of known people.

What a picture leaves unread of a number is uncertainty about the person: with numbers r read, and the variance v left
over on calibration avatars as drawn, a person t lies at the mean of (t - r)^2 / v: about 1 for the person that was
drawn, more where an inversion has lost the person.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.experiments.avatars import Identity
from advgen.experiments.edits import reading
from advgen.experiments.edits.portraits import PARAMETERS, parameters_of, scales

NAME = "judge_attributes_64"


class OracleVerdict(NamedTuple):
    """(N,) each: distances, and whether the face is still its source's: nearer to it than to the target, and not
    further than all but one in a hundred of inverted avatars are from themselves."""

    to_source: Tensor
    to_target: Tensor
    nearer_source: Tensor
    within_limit: Tensor

    @property
    def still_source(self) -> Tensor:
        return self.nearer_source & self.within_limit


@final
class Oracle:
    """Reads persons by the network of the judge of edits, which no matcher and no method knows.

    Raises:
        BadArgument: the network's card holds no errors of an oracle.
    """

    def __init__(self, name: str = NAME) -> None:
        from advgen.zoo.load import zoo_load

        self.network, self.card = zoo_load(name)
        found = self.card.metrics.get("oracle")
        if found is None:
            raise BadArgument(f"the card of {name} holds no errors of an oracle; train it by judge_attributes.")
        self.left_over = torch.tensor([found["left over"][parameter] for parameter in PARAMETERS])
        self.limit = float(found["limit"])
        self.measured = found  # its own error, to stand beside every verdict

    def distances(self, images_u8: Tensor, people: Sequence[Identity]) -> Tensor:
        """(N, M) of portraits (N, 3, 64, 64) uint8 to people; 1 is usual for the right person."""
        return distances(reading.read(self.network, images_u8).parameters, standardised(people), self.left_over)

    def points(self, images_u8: Tensor) -> Tensor:
        """Landmarks (N, L, 2) in pixels."""
        return reading.read(self.network, images_u8).points

    def verdict(self, images_u8: Tensor, sources: Sequence[Identity], targets: Sequence[Identity]) -> OracleVerdict:
        """Whether each face is its source's still; a face nearer to its target has become the target.

        Raises:
            BadArgument: not one source and one target an image.
        """
        if not len(images_u8) == len(sources) == len(targets):
            raise BadArgument(
                f"{len(images_u8)} images need as many sources and targets, got {len(sources)} and {len(targets)}."
            )
        read = reading.read(self.network, images_u8).parameters
        source, target = (_own(read, standardised(people), self.left_over) for people in (sources, targets))
        return OracleVerdict(source, target, source < target, source <= self.limit)


def standardised(people: Sequence[Identity]) -> Tensor:
    """(M, P) numbers of people in standard deviations."""
    mean, deviation = scales()
    rows = torch.tensor([parameters_of(person) for person in people]).reshape(-1, len(PARAMETERS))
    return (rows - mean) / deviation


def distances(read: Tensor, people: Tensor, left_over: Tensor) -> Tensor:
    """(N, M) mean over the numbers of squared differences in units of what is left over."""
    scaled, known = read / left_over.sqrt(), people / left_over.sqrt()
    return torch.cdist(scaled, known).square() / len(left_over)


def _own(read: Tensor, people: Tensor, left_over: Tensor) -> Tensor:
    return ((read - people).square() / left_over).mean(1)
