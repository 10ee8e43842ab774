"""Auto-PGD: projected descent with momentum that chooses its own steps; nothing to tune but their number.

The step starts at twice the radius and is halved, sample by sample, at checkpoints where too few steps lowered the
loss or the best point has not moved; then the search goes on from that point. In L1 it is the sparse variant, which
begins in balls of three and two times the radius. Cross-entropy, DLR or the margin, of which DLR is a rescaling: DLR
needs three logits (targeted four), the margin one.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
arXiv 2003.01690, Algorithm 1 and equation 6; for L1 Croce & Hein 2021, "Mind the box", arXiv 2103.01208, Algorithm 1.
Defaults are those of the authors' AutoAttack: 100 steps, rho 0.75, momentum 0.75, one restart, from a random point.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from torch import Tensor

from advgen.attacks.engine import Found, Problem, descend_adaptively, random_start, with_objective, with_restarts
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class APGD:
    paper = "Croce & Hein 2020, arXiv 2003.01690"
    access = "white-box"
    budgets = ("Linf", "L2", "L1")
    cost = "gradient"
    trial: ClassVar = {"steps": 50}

    budget: Budget
    steps: int = 100  # gradient steps a restart
    restarts: int = 1  # each on the samples that have not been won yet
    objective: Literal["cross_entropy", "dlr", "margin"] | None = None  # None = the goal's own
    rho: float = 0.75  # share of the steps between two checkpoints that must lower the loss
    momentum: float = 0.75  # weight of the new step; the last one's is 1 less it
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool
    # search a prepared copy of the network; the raw one judges
    fast: Literal["no", "float32", "bfloat16", "compiled", "compiled-bfloat16"] = "no"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1 or self.samples < 1:
            raise BadArgument(
                f"steps, restarts and samples of image/apgd must be 1 or more, "
                f"got {self.steps}, {self.restarts} and {self.samples}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        goal = with_objective(goal, self.objective, target)
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        found = with_restarts(problem, self._attempt, restarts=self.restarts)
        return AttackResult(found.images, found.note())

    def _attempt(self, problem: Problem, r: int) -> Found:
        return descend_adaptively(
            problem,
            steps=self.steps,
            start=random_start(problem),
            samples=self.samples,
            momentum=self.momentum,
            rho=self.rho,
            stop=self.stop,
            fast=self.fast,
        )
