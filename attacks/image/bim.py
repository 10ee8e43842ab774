"""Basic iterative method: sign steps from the image itself, projected after each (I-FGSM).

Kurakin et al. 2017, "Adversarial examples in the physical world", arXiv 1607.02533, section 2.2. The paper stops at
the last iterate; the best point seen is returned here.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from torch import Tensor

from advgen.attacks.engine import Problem, Sign, descend
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class BIM:
    paper = "Kurakin et al. 2017, arXiv 1607.02533"
    access = "white-box"
    budgets = ("Linf",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20, "step_size": 0.02}

    budget: Budget
    steps: int = 10  # gradient steps
    step_size: float = 1 / 255  # grey levels a step, as in the paper
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        found = descend(problem, steps=self.steps, step_rule=Sign(self.step_size), stop=self.stop)
        return AttackResult(found.images, found.note())
