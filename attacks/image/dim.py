"""Diverse inputs: momentum over the gradient of a randomly resized and padded image, which transfers better.

Each image is enlarged to between its size and `rate` times it and put at random on black of the latter size, with
`probability`; what a network of a fixed input size sees of that is one bilinear step, and the gradient goes through it.

Xie et al. 2019, "Improving Transferability of Adversarial Examples with Input Diversity", arXiv 1803.06978, section
3.3 (M-DI2-FGSM): probability 0.5 and 299 to 330 pixels, a rate of 1.1.
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
class DIM:
    paper = "Xie et al. 2019, arXiv 1803.06978"
    access = "white-box"
    budgets = ("Linf",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20}

    budget: Budget
    steps: int = 10  # gradient steps
    step_size: float | None = None  # in the budget's unit; None = radius / steps
    decay: float = 1.0  # share of the accumulated gradient that is kept each step
    rate: float = 1.1  # the padded image's side beside the image's own
    probability: float = 0.5  # of resizing an image in a step
    add: tuple[str, ...] = ()  # more of nim, dim, tim, sim, vmi, with their defaults
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        step_size = self.budget.radius / self.steps if self.step_size is None else self.step_size
        rules = transfer_rules(
            ("dim", *self.add),
            problem,
            step_size=step_size,
            decay=self.decay,
            rate=self.rate,
            probability=self.probability,
        )
        found = descend(
            problem,
            steps=self.steps,
            step_rule=steepest(self.budget, step_size, steps=self.steps),
            gradient=rules,
            samples=self.samples,
            stop=self.stop,
        )
        return AttackResult(found.images, found.note())
