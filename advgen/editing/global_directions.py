"""Global directions: a text as a shift of style channels, the same for every image.

Patashnik et al. 2021, "StyleCLIP", arXiv 2103.17249, section 6, equations 5 and 6: the relevance of a channel to the
text's direction, zero below beta, divided by the largest; alpha, the strength, counts in standard deviations of the
channels. `solved` is ours: the smallest shift (in standard deviations) whose mean effect on the embedding comes
nearest to the text's direction, by ridge regression on the mean derivatives, so that channels that pull the embedding
elsewhere cancel each other.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.editing.relevance import Relevance
from advgen.editing.shifts import Shift

BETA = 0.13
FEW = 20  # channels; fewer hardly change an image, by the authors' own account


class GlobalDirection(NamedTuple):
    """A text's direction in S."""

    shift: Shift  # at alpha = 1
    channels: int  # that move
    most: float  # the largest relevance


def global_direction(relevance: Relevance, text: Tensor, *, beta: float = BETA) -> GlobalDirection:
    """The published direction; `text` (D,) is a unit vector from the neutral prompt to the target.

    Raises:
        BadArgument: beta is out of range, or no channel reaches it.
    """
    _check(relevance, text)
    if not 0 <= beta < 1:
        raise BadArgument(f"beta must be at least 0 and under 1, got {beta}; 0.13 is the authors', 0.08 to 0.3 usual.")
    relevant = relevance.unit @ text.to(relevance.unit)
    most = float(relevant.abs().max())
    if most < beta or most == 0:
        raise BadArgument(
            f"no style channel reaches beta {beta:g}: the most relevant one has {most:.3f}; lower beta, or say it in "
            "other words."
        )
    kept = torch.where(relevant.abs() >= beta, relevant, 0.0)
    return GlobalDirection(Shift(s=(kept / most * relevance.std)[None]), int((kept != 0).sum()), most)


def solved(relevance: Relevance, text: Tensor, *, ridge: float = 0.1, top: int | None = None) -> GlobalDirection:
    """The ridge solution, at most `top` channels of it; alpha = 1 moves its largest channel by one deviation.

    `ridge` counts in the largest eigenvalue of the mean derivatives' Gram matrix.
    """
    _check(relevance, text)
    if not ridge > 0:
        raise BadArgument(f"ridge must be above 0, got {ridge}.")
    effects = relevance.mean.double()  # (S, D)
    wanted = text.to(effects)
    gram = effects.T @ effects
    level = ridge * torch.linalg.eigvalsh(gram)[-1]
    shift = effects @ torch.linalg.solve(gram + level * torch.eye(len(gram)).to(gram), wanted)
    if top is not None:
        least = shift.abs().topk(min(top, len(shift))).values[-1]
        shift = torch.where(shift.abs() >= least, shift, 0.0)
    shift = (shift / shift.abs().max()).to(relevance.std)
    most = float((relevance.unit @ text.to(relevance.unit)).abs().max())
    return GlobalDirection(Shift(s=(shift * relevance.std)[None]), int((shift != 0).sum()), most)


def _check(relevance: Relevance, text: Tensor) -> None:
    if text.ndim != 1 or len(text) != relevance.unit.shape[1]:
        raise BadArgument(
            f"the relevance was measured with an encoder of {relevance.unit.shape[1]} numbers, and the text has "
            f"{tuple(text.shape)}; take both from one encoder."
        )
