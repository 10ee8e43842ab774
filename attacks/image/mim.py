"""Momentum iterative method: sign steps along an accumulated gradient; what transfers to other networks.

`add` puts more of the family around the same gradient: "nim" looks ahead, "dim" resizes at random, "tim" blurs the
gradient, "sim" averages over scaled copies, "vmi" over neighbours; so `add=("dim", "tim", "sim")` is SI-DI-TI-MIM.
These methods are made for images that go to another network: the best point by the network searched is returned, in
practice one of the last.

Dong et al. 2018, "Boosting Adversarial Attacks with Momentum", arXiv 1710.06081, Algorithm 1; decay 1.0 and 10 steps of
a tenth of the radius, as in the paper.
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
class MIM:
    paper = "Dong et al. 2018, arXiv 1710.06081"
    access = "white-box"
    budgets = ("Linf", "L2")
    cost = "gradient"
    trial: ClassVar = {"steps": 20}

    budget: Budget
    steps: int = 10  # gradient steps
    step_size: float | None = None  # in the budget's unit; None = radius / steps
    decay: float = 1.0  # share of the accumulated gradient that is kept each step
    add: tuple[str, ...] = ()  # nim, dim, tim, sim, vmi: more of the family, with their defaults
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        step_size = self.budget.radius / self.steps if self.step_size is None else self.step_size
        found = descend(
            problem,
            steps=self.steps,
            step_rule=steepest(self.budget, step_size, steps=self.steps),
            gradient=transfer_rules(self.add, problem, step_size=step_size, decay=self.decay),
            samples=self.samples,
            stop=self.stop,
        )
        return AttackResult(found.images, found.note())
