"""Targeted Auto-PGD: towards each of the likeliest other classes in turn, until the image is taken for any of them.

The loss is the targeted DLR, which needs four logits; with fewer it is the margin to the class in question, and with
one (a detector) there is nothing to choose between, so it is APGD on the margin.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
arXiv 2003.01690, section 4 and equation 7. Defaults are those of the authors' AutoAttack: 9 classes, 100 steps each.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import (
    Found,
    Problem,
    Towards,
    descend_adaptively,
    likeliest_rivals,
    random_start,
    with_objective,
    with_restarts,
)
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class APGDT:
    paper = "Croce & Hein 2020, arXiv 2003.01690"
    access = "white-box"
    goals = ("untargeted", "pass-as-real", "evade-identity")
    budgets = ("Linf", "L2", "L1")
    cost = "gradient"
    trial: ClassVar = {"steps": 50}

    budget: Budget
    steps: int = 100  # gradient steps a class
    candidates: int = 9  # classes tried, those with the highest logits of the original
    restarts: int = 1  # over all of them
    rho: float = 0.75  # share of the steps between two checkpoints that must lower the loss
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool
    # search a prepared copy of the network; the raw one judges
    fast: Literal["no", "float32", "bfloat16", "compiled", "compiled-bfloat16"] = "no"

    def __post_init__(self) -> None:
        if min(self.steps, self.candidates, self.restarts, self.samples) < 1:
            raise BadArgument(
                f"steps, candidates, restarts and samples of image/apgdt must be 1 or more, "
                f"got {self.steps}, {self.candidates}, {self.restarts} and {self.samples}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if goal.wanted is not None:
            raise BadArgument(
                f"image/apgdt chooses its classes itself, and the goal {goal.name!r} wants one; use image/apgd."
            )
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        if target.decision == "sign" or not len(images):
            problem = replace(problem, goal=with_objective(goal, "margin", target))
            found = with_restarts(problem, self._attempt, restarts=self.restarts)
        else:
            with torch.no_grad():
                clean = Counted(target, meter)(images, rng)
            rivals = likeliest_rivals(clean, goal, self.candidates)
            objective: Literal["dlr", "margin"] = "dlr" if clean.logits.shape[1] >= 4 else "margin"
            problem = replace(problem, goal=Towards(goal, rivals, 0, objective))
            found = with_restarts(problem, self._attempt, restarts=self.restarts * rivals.shape[1])
        return AttackResult(found.images, found.note())

    def _attempt(self, problem: Problem, r: int) -> Found:
        if isinstance(problem.goal, Towards):
            problem = replace(problem, goal=problem.goal.turned(r))
        return descend_adaptively(
            problem,
            steps=self.steps,
            start=random_start(problem),
            samples=self.samples,
            rho=self.rho,
            stop=self.stop,
            fast=self.fast,
        )
