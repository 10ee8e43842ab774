"""Nesterov iterative method: momentum whose gradient is taken where the momentum alone would lead.

Lin et al. 2020, "Nesterov Accelerated Gradient and Scale Invariance for Adversarial Attacks", arXiv 1908.06281,
equations 6 and 7; decay 1.0 and 10 steps of a tenth of the radius, as in the paper.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from torch import Tensor

from advgen.attacks.engine import Problem, descend, steepest, transfer_rules
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class NIM:
    paper = "Lin et al. 2020, arXiv 1908.06281"
    access = "white-box"
    budgets = ("Linf",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20}

    budget: Budget
    steps: int = 10  # gradient steps
    step_size: float | None = None  # in the budget's unit; None = radius / steps
    decay: float = 1.0  # share of the accumulated gradient that is kept each step
    add: tuple[str, ...] = ()  # more of nim, dim, tim, sim, vmi, with their defaults
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        step_size = self.budget.radius / self.steps if self.step_size is None else self.step_size
        rules = transfer_rules(("nim", *self.add), problem, step_size=step_size, decay=self.decay)
        found = descend(
            problem,
            steps=self.steps,
            step_rule=steepest(self.budget, step_size, steps=self.steps),
            gradient=rules,
            samples=self.samples,
            stop=self.stop,
        )
        return AttackResult(found.images, found.note())
