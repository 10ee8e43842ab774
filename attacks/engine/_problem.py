"""What the engine is handed and what it hands back, and how a target is asked."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol, final

import torch
from torch import Tensor

from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Budget, Goal, Index, Outputs, Space, Target

Stop = Literal["success", "never"]


@final
@dataclass(frozen=True)
class Problem:
    """What is attacked, in what space, under what budget, for what goal; one batch."""

    target: Target
    space: Space
    budget: Budget
    goal: Goal
    originals: Tensor
    rng: SampleRng
    meter: Meter

    def take(self, index: Index) -> "Problem":
        return replace(
            self,
            target=self.target.take(index),
            space=self.space.take(index),
            budget=self.budget.take(index),
            goal=self.goal.take(index),
            originals=self.originals[index],
            rng=self.rng.take(index),
        )


class Found(NamedTuple):
    """The best point of each sample, with what the search saw on its way."""

    images: Tensor  # (N, C, H, W)
    coordinates: Tensor
    loss: Tensor  # (N,)
    reached: Tensor  # (N,) bool
    inside: Tensor  # (N,) bool
    reached_early: Tensor  # (N,) bool, reached before the last quarter of the steps
    zero_gradient: Tensor  # (N,) bool, the first gradient was exactly zero
    bad_gradient: Tensor  # (N,) bool, some gradient was not finite

    def note(self) -> dict[str, Tensor]:
        """The per-sample columns that the checks read."""
        return {
            "reached_early": self.reached_early,
            "zero_gradient": self.zero_gradient,
            "bad_gradient": self.bad_gradient,
        }


class Attempt(Protocol):
    def __call__(self, problem: Problem, r: int) -> Found: ...


def ask(search: Problem, images: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Loss and verdict, over `samples` draws of a random target (mean loss, majority verdict)."""
    if samples == 1:
        outputs: Outputs = search.target(images, search.rng)
        return search.goal.loss(outputs), search.goal.reached(outputs)
    losses, verdicts = [], []
    for _ in range(samples):
        outputs = search.target(images, search.rng)
        losses.append(search.goal.loss(outputs))
        verdicts.append(search.goal.reached(outputs).to(torch.float32))
    return torch.stack(losses).mean(0), torch.stack(verdicts).mean(0) > 0.5


def slope_of(loss: Tensor, coordinates: Tensor) -> Tensor:
    """Gradient of the summed loss to the coordinates alone; zero where the target lets nothing through."""
    total = loss.sum()
    if not total.requires_grad:
        return torch.zeros_like(coordinates)
    (slope,) = torch.autograd.grad(total, coordinates, allow_unused=True)
    return torch.zeros_like(coordinates) if slope is None else slope
