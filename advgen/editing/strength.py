"""How strong an edit should be: the smallest step that does what was asked, inside a budget of likeness and identity.

Functions that judge are handed in. A strength is tried on the whole batch at once, smallest first; a sample leaves when
it is done, so that most samples pay for a few steps only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument

Score = Callable[[Tensor], Tensor]  # images (N, C, H, W) to (N,), higher = more of what the text says
Compared = Callable[[Tensor, Tensor], Tensor]  # images and originals to (N,)
Verdict = Callable[[Tensor], Tensor]  # images to (N,) bool: shows what was asked for
STEPS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 12.0, 15.0)


@dataclass(frozen=True)
class Wanted:
    """What an edit must reach, and what it may cost."""

    score: Score
    gain: float = 0.0  # of the score over the original, at least
    verdict: Verdict | None = None  # None = the gain alone decides
    distance: Compared | None = None  # perceptual distance to the original
    most_distance: float = float("inf")
    likeness: Compared | None = None  # of identities, higher = more alike
    least_likeness: float = -float("inf")


class Chosen(NamedTuple):
    """Each (N,)."""

    strength: Tensor  # the smallest that does it; else the largest inside the budget, which may be 0
    done: Tensor  # bool: gain and verdict hold there
    inside: Tensor  # bool: some step above 0 was inside the budget


@torch.no_grad()
def chosen(
    images_at: Callable[[float, Tensor], Tensor],
    originals: Tensor,
    wanted: Wanted,
    *,
    steps: Sequence[float] = STEPS,
) -> Chosen:
    """The strength for each of N originals; `images_at(strength, index)` makes the edited images of some of them.

    Raises:
        BadArgument: no steps, or not rising from above 0.
    """
    if not steps or list(steps) != sorted(set(steps)) or steps[0] <= 0:
        raise BadArgument(f"strengths to try must rise and be above 0, got {', '.join(f'{s:g}' for s in steps)}.")
    n = len(originals)
    before = wanted.score(originals)
    strength, done = torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    best = torch.zeros(n)
    waiting = torch.arange(n)
    for step in steps:
        if not len(waiting):
            break
        made, own = images_at(step, waiting), originals[waiting]
        inside = _inside(made, own, wanted)
        reached = (wanted.score(made) - before[waiting] >= wanted.gain).cpu()
        if wanted.verdict is not None:
            reached &= wanted.verdict(made).cpu()
        best[waiting[inside]] = step
        now = inside & reached
        strength[waiting[now]], done[waiting[now]] = step, True
        # Beyond its budget an edit seldom comes back into it.
        waiting = waiting[inside & ~reached]
    return Chosen(torch.where(done, strength, best), done, best > 0)


def _inside(made: Tensor, originals: Tensor, wanted: Wanted) -> Tensor:
    inside = torch.ones(len(made), dtype=torch.bool)
    if wanted.distance is not None:
        inside &= (wanted.distance(made, originals) <= wanted.most_distance).cpu()
    if wanted.likeness is not None:
        inside &= (wanted.likeness(made, originals) >= wanted.least_likeness).cpu()
    return inside
