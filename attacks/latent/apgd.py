"""Auto-PGD in a generator's latent space: projected descent under a latent ball that chooses its own steps.

The loop is that of `image/apgd`; coordinates are offsets of w, w+, style channels, noise maps or z instead of pixels.
Learned distances have no projection: `latent/pgd` searches those.

Croce & Hein 2020 (arXiv 2003.01690, Algorithm 1) for the steps; Song et al. 2018 (arXiv 1805.07894) for the space.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from torch import Tensor

from advgen.attacks.engine import (
    Found,
    Problem,
    begin_in_latents,
    descend_adaptively,
    latent_result,
    random_start,
    with_objective,
    with_restarts,
)
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Generator, Goal, Inverter, Target


@final
@dataclass(frozen=True)
class APGD:
    paper = "Croce & Hein 2020, arXiv 2003.01690"
    access = "white-box"
    budgets = ("Latent",)
    needs = ("generator", "inverter")
    cost = "gradient"
    trial: ClassVar = {"steps": 50}
    waives: ClassVar = {
        "a_raising_target_is_not_silenced": "the image that makes the toy raise is one that no generator makes"
    }

    budget: Budget
    space: Literal["z", "w", "w+", "s", "noise"] = "w+"  # what moves; z begins at samples, the others at inversions
    steps: int = 100  # gradient steps a restart
    restarts: int = 1  # each on the samples that have not been won yet
    objective: Literal["cross_entropy", "dlr", "margin"] | None = None  # None = the goal's own
    rho: float = 0.75  # share of the steps between two checkpoints that must lower the loss
    momentum: float = 0.75  # weight of the new step; the last one's is 1 less it
    samples: int = 1  # draws of a random target averaged a step (EOT)
    limit: float | None = None  # of the inversion's distance; None = any
    reach: float | None = None  # keeps w within so many typical distances of its mean; None = anywhere
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool
    weights: str | None = None  # of the generator; None = the shipped one of the data
    inversion: Literal["encoder", "hybrid", "image2stylegan", "pivotal"] = "hybrid"  # how images get their latents
    inversion_steps: int | None = None  # of the optimiser; None = the method's
    generator: Generator | None = field(default=None, repr=False, compare=False)
    inverter: Inverter | None = field(default=None, repr=False, compare=False)

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        assert self.generator is not None
        where = begin_in_latents(
            self.generator, self.inverter, images, kind=self.space, limit=self.limit, reach=self.reach, rng=rng,
            meter=meter,
        )  # fmt: skip
        goal = with_objective(goal, self.objective, target)
        problem = Problem(target, where.space, self.budget, goal, images, rng, meter)
        return latent_result(with_restarts(problem, self._attempt, restarts=self.restarts), problem, where)

    def _attempt(self, problem: Problem, r: int) -> Found:
        return descend_adaptively(
            problem,
            steps=self.steps,
            start=random_start(problem) if r > 0 else None,
            samples=self.samples,
            momentum=self.momentum,
            rho=self.rho,
            stop=self.stop,
        )
