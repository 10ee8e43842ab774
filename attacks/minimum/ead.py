"""EAD: the smallest change in L1 (or in L1 and L2 together) that fools, by shrinkage and a binary search over c.

Minimises c * max(loss, -kappa) + |x - original|_2^2 + beta |x - original|_1: a gradient step on the first two, then
every change is shrunk by beta, so that most values stay exactly the original's. Every sample has its own c. The target
is shown the image in bytes, so that what is kept fools when saved.

Chen et al. 2018, "EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial Examples", arXiv 1709.04114,
Algorithm 1 (FISTA) and equation 7; beta 0.01, step 0.01, 9 searches of 1,000 steps from c = 0.001 are the authors'.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import Nearest, Problem, asked_on_bytes, free_ball
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class EAD:
    paper = "Chen et al. 2018, arXiv 1709.04114"
    access = "white-box"
    budgets = ("L1",)
    cost = "gradient"
    trial: ClassVar = {"steps": 25, "searches": 5, "step_size": 0.05, "initial_c": 0.1}

    budget: Budget | None = None  # None = minimum norm; a radius is only judged against, never searched for
    keep: Literal["L1", "elastic"] = "L1"  # what the kept image is smallest in; elastic = squared L2 + beta L1
    searches: int = 9  # rounds of the binary search over c
    steps: int = 1000  # gradients a round, each round from the original
    step_size: float = 0.01  # first step; it falls to 0 with the square root of the steps left
    beta: float = 0.01  # weight of the L1 norm, and what every change shrinks by in a step (units of [0, 1])
    initial_c: float = 1e-3  # first weight of the goal's loss
    kappa: float = 0.0  # confidence: how far below zero the goal's loss must be (logits, with the margin)
    rounded: bool = True  # the target is shown the image in bytes
    samples: int = 1  # draws of a random target averaged a step (EOT)

    def __post_init__(self) -> None:
        if min(self.searches, self.steps, self.samples) < 1:
            raise BadArgument(
                f"searches, steps and samples of minimum/ead must be 1 or more, "
                f"got {self.searches}, {self.steps} and {self.samples}."
            )
        if not (self.beta >= 0 and self.kappa >= 0 and self.initial_c > 0 and self.step_size > 0):
            raise BadArgument(
                f"beta and kappa of minimum/ead must be 0 or more, initial_c and step_size above 0, "
                f"got {self.beta}, {self.kappa}, {self.initial_c} and {self.step_size}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(Counted(target, meter), Pixels(), free_ball("L1"), goal, images, rng, meter)
        best = Nearest(images, problem.budget.distance if self.keep == "L1" else self._elastic)
        low, high = (torch.full((len(images),), edge, device=images.device) for edge in (0.0, torch.inf))
        c = torch.full_like(low, self.initial_c)
        for _ in range(self.searches):
            won = self._round(problem, c, best)
            high = torch.where(won, torch.minimum(high, c), high)
            low = torch.where(won, low, torch.maximum(low, c))
            c = torch.where(high.isfinite(), (low + high) / 2, c * 10)
        return AttackResult(best.images, best.note() | {"c": high})

    def _round(self, problem: Problem, c: Tensor, best: Nearest) -> Tensor:
        """(N,) bool, samples that were won with their `c` this time; improves `best` in place."""
        origin, active = problem.originals, torch.arange(len(c), device=c.device)
        weight = c.reshape(-1, 1, 1, 1)
        x, y = origin.clone(), origin.clone()  # the iterate, and the point ahead of it (line 3)
        ever_won = torch.zeros_like(c, dtype=torch.bool)
        for k in range(self.steps):
            _, loss, reached, slope = asked_on_bytes(problem, y, rounded=self.rounded, samples=self.samples)
            best.watch(active, slope, first=k == 0)
            won = reached & ((self.kappa == 0) | (loss <= -self.kappa))
            # The hinge: a goal that is won by kappa pulls no more.
            slope = torch.where(won.reshape(-1, 1, 1, 1), 0.0, slope.nan_to_num(0.0, 0.0, 0.0))
            size = self.step_size * (1 - k / self.steps) ** 0.5
            moved = _shrunk(y - size * (weight * slope + 2 * (y - origin)), origin, self.beta)
            y = moved + k / (k + 3) * (moved - x)
            x = moved
            shown, loss, reached, _ = asked_on_bytes(
                problem, x, rounded=self.rounded, samples=self.samples, slope=False
            )
            won = reached & ((self.kappa == 0) | (loss <= -self.kappa))
            best.offer(active, shown, won)
            ever_won |= won
            y = y.clamp(0.0, 1.0)
        return ever_won

    def _elastic(self, images: Tensor, originals: Tensor) -> Tensor:
        change = (images - originals).flatten(1)
        return change.square().sum(1) + self.beta * change.abs().sum(1)


def _shrunk(z: Tensor, origin: Tensor, beta: float) -> Tensor:
    """Equation 5: every change made smaller by beta, to nothing where it is not larger, and the box kept."""
    change = z - origin
    return (origin + change.sign() * (change.abs() - beta).clamp(min=0)).clamp(0.0, 1.0)
