"""LPA: descent on the goal with a penalty for every bit of perceptual distance beyond the bound, then a projection.

Steps have a known perceptual length: the gradient's direction is measured by a small move along it. Where a sample ends
outside, its penalty is ten times larger in the next round. What is returned has been projected and re-measured.

Laidlaw, Singla & Feizi 2021, "Perceptual Adversarial Robustness: Defense Against Unseen Threat Models",
arXiv 2006.12655, section 3.2 and Algorithm 2; 5 rounds of 20 steps, first penalty 0.01, noise 0.01 and h = 0.1 are the
authors' code's. The authors' distance is a norm of features without learned weights, the lpips package's a weighted
square: the budget's own is used, and `squared` says which kind it is. Bisection takes the place of their Newton steps.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from advgen.attacks.engine import Best, FeatureNorm, Problem, ask, slope_of
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target

GROWTH = 10.0  # of the penalty of a sample that ended outside
DECAY = 0.1  # of the step's length over a round


@final
@dataclass(frozen=True)
class LPA:
    paper = "Laidlaw et al. 2021, arXiv 2006.12655"
    access = "white-box"
    budgets = ("Lpips",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20, "squared": False}
    waives: ClassVar = {
        "more_steps_never_lose": "with a penalty too weak for a target's logits more steps lead further out",
    }

    budget: Budget
    rounds: int = 5  # with an ever larger penalty for those outside
    steps: int = 20  # gradients a round
    penalty: float = 0.01  # first weight of the distance beyond the bound
    h: float = 0.1  # length of the move by which a direction's perceptual length is measured
    noise: float = 0.01  # standard deviation of the start, units of [0, 1]
    squared: bool = True  # the budget's distance is a square of feature differences, as the lpips package's
    samples: int = 1  # draws of a random target averaged a step (EOT)

    def __post_init__(self) -> None:
        if min(self.rounds, self.steps, self.samples) < 1:
            raise BadArgument(
                f"rounds, steps and samples of perceptual/lpa must be 1 or more, "
                f"got {self.rounds}, {self.steps} and {self.samples}."
            )
        if not (self.penalty > 0 and self.h > 0 and self.noise > 0):
            raise BadArgument(
                f"penalty, h and noise of perceptual/lpa must be above 0, "
                f"got {self.penalty}, {self.h} and {self.noise}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if not len(images):
            return AttackResult(images.clone())
        problem = Problem(Counted(target, meter), Pixels(), self.budget, goal, images, rng, meter)
        norm = FeatureNorm.of(self.budget, images, squared=self.squared, method="perceptual/lpa")
        best, everyone = Best(problem, images), torch.arange(len(images), device=images.device)
        weight = torch.full((len(images),), self.penalty, device=images.device)
        for r in range(self.rounds):
            x = self._round(problem, norm, weight, best, first=r == 0)
            outside = norm.to_originals(x) > norm.radius
            x = self.budget.project(x, images)
            with torch.no_grad():
                loss, reached = ask(problem, x, self.samples)
            best.offer(everyone, x, x, loss, reached, self.budget.contains(x, images), early=r + 1 < self.rounds)
            if not bool(outside.any()):
                break
            weight = torch.where(outside, weight * GROWTH, weight)
        with torch.no_grad():
            measured = self.budget.distance(best.images, images)
        return AttackResult(best.images, best.found().note() | {"perceptual": measured})

    def _round(self, problem: Problem, norm: FeatureNorm, weight: Tensor, best: Best, *, first: bool) -> Tensor:
        """Where a round ends; iterates that are inside on their way are offered to `best`."""
        originals, everyone = problem.originals, torch.arange(len(weight), device=weight.device)
        x = (originals + self.noise * problem.rng.normal(originals.shape[1:]).to(originals)).clamp(0.0, 1.0)
        for t in range(self.steps):
            x = x.detach().requires_grad_()
            loss, reached = ask(problem, x, self.samples)
            distance = norm.to_originals(x)
            inside = distance.detach() <= norm.radius
            best.offer(everyone, x, x, loss, reached, inside, early=4 * t < 3 * self.steps)
            slope = slope_of(loss + weight * (distance - norm.radius).clamp(min=0), x)
            best.watch(everyone, slope, first=first and t == 0)
            slope = slope.nan_to_num(0.0, 0.0, 0.0)
            direction = -slope / slope.flatten(1).norm(dim=1).clamp(min=1e-30).reshape(-1, 1, 1, 1)
            with torch.no_grad():
                x = x.detach()
                m = norm.between(x + self.h * direction, x) / self.h  # perceptual length of a unit of direction
                reach = norm.radius * DECAY ** (t / self.steps) / m.clamp(min=1e-12)
                reach = torch.where(m > 0, reach, 0.0)
                x = (x + reach.reshape(-1, 1, 1, 1) * direction).clamp(0.0, 1.0)
        return x.detach()
