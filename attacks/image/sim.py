"""Scale invariance: momentum over the mean gradient of the image at brightness 1, 1/2, 1/4, ...

Lin et al. 2020, "Nesterov Accelerated Gradient and Scale Invariance for Adversarial Attacks", arXiv 1908.06281,
equation 8 and Algorithm 1 without the look ahead (`add=("nim",)` puts it back); 5 copies, as in the paper.
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
class SIM:
    paper = "Lin et al. 2020, arXiv 1908.06281"
    access = "white-box"
    budgets = ("Linf",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20}

    budget: Budget
    steps: int = 10  # gradient steps
    step_size: float | None = None  # in the budget's unit; None = radius / steps
    decay: float = 1.0  # share of the accumulated gradient that is kept each step
    copies: int = 5  # gradients a step
    add: tuple[str, ...] = ()  # more of nim, dim, tim, sim, vmi, with their defaults
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        step_size = self.budget.radius / self.steps if self.step_size is None else self.step_size
        rules = transfer_rules(("sim", *self.add), problem, step_size=step_size, decay=self.decay, copies=self.copies)
        found = descend(
            problem,
            steps=self.steps,
            step_rule=steepest(self.budget, step_size, steps=self.steps),
            gradient=rules,
            samples=self.samples,
            stop=self.stop,
        )
        return AttackResult(found.images, found.note())
