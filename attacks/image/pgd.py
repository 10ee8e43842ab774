"""Projected gradient descent: the standard white-box attack with a fixed budget.

Steps are steepest in the budget's norm (sign for Linf, normalised for L2, sparse for L1), from a random point of the
ball; the best point seen is returned, ranked by (inside, fooled, loss).

Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv 1706.06083.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from torch import Tensor

from advgen.attacks.engine import Found, Problem, descend, random_start, steepest, with_restarts
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class PGD:
    paper = "Madry et al. 2018, arXiv 1706.06083"
    access = "white-box"
    budgets = ("Linf", "L2", "L1", "L0", "Lpips", "Identity")
    cost = "gradient"
    trial: ClassVar = {"steps": 50}

    budget: Budget
    steps: int = 40  # gradient steps a restart
    step_size: float | None = None  # in the budget's unit; None = 2.5 radius / steps
    restarts: int = 1  # each on the samples that have not been won yet
    random_start: bool = True  # begin at a uniform point of the ball, else at the image
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool
    # search a prepared copy of the network; the raw one judges
    fast: Literal["no", "float32", "bfloat16", "compiled", "compiled-bfloat16"] = "no"

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        found = with_restarts(problem, self._attempt, restarts=self.restarts)
        return AttackResult(found.images, found.note())

    def _attempt(self, problem: Problem, r: int) -> Found:
        return descend(
            problem,
            steps=self.steps,
            step_rule=steepest(problem.budget, self.step_size, steps=self.steps),
            # A second try from the same point would find the same image.
            start=random_start(problem) if self.random_start or r > 0 else None,
            samples=self.samples,
            stop=self.stop,
            fast=self.fast,
        )
