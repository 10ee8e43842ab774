"""Translation invariance: momentum over a blurred gradient, which is about the mean over shifts of the image.

Dong et al. 2019, "Evading Defenses to Transferable Adversarial Examples by Translation-Invariant Attacks",
arXiv 1904.02884, equation 7, with momentum; Gaussian kernel, its deviation a sixth of its size. The paper's 15 pixels
are for images of 299; TransferAttack (arXiv 2602.23117) takes 7 for 224, and so does this.
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
class TIM:
    paper = "Dong et al. 2019, arXiv 1904.02884"
    access = "white-box"
    budgets = ("Linf",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20, "kernel": 3}

    budget: Budget
    steps: int = 10  # gradient steps
    step_size: float | None = None  # in the budget's unit; None = radius / steps
    decay: float = 1.0  # share of the accumulated gradient that is kept each step
    kernel: int = 7  # pixels on a side, odd
    add: tuple[str, ...] = ()  # more of nim, dim, tim, sim, vmi, with their defaults
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        step_size = self.budget.radius / self.steps if self.step_size is None else self.step_size
        rules = transfer_rules(("tim", *self.add), problem, step_size=step_size, decay=self.decay, kernel=self.kernel)
        found = descend(
            problem,
            steps=self.steps,
            step_rule=steepest(self.budget, step_size, steps=self.steps),
            gradient=rules,
            samples=self.samples,
            stop=self.stop,
        )
        return AttackResult(found.images, found.note())
