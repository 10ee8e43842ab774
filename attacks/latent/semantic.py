"""A few coefficients of named directions are searched: the fake differs from its image in those ways alone.

The coefficients of K directions of w (factors of the generator, or directions kept by `advgen edit`) start at 0 and go
down the goal's loss inside a ball, or under an LPIPS or identity budget; with K small the image stays what the
directions can say.

Joshi et al. 2019, "Semantic Adversarial Attacks", arXiv 1904.08489, equation 2; for the directions see SeFa, arXiv
2007.06600.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from torch import Tensor

from advgen.attacks.engine import (
    Adam,
    Found,
    Problem,
    StepRule,
    begin_in_latents,
    descend,
    latent_result,
    random_start,
    steepest,
    with_restarts,
)
from advgen.core.latent_spaces import AlongDirections
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Generator, Goal, Inverter, Target


@final
@dataclass(frozen=True)
class Semantic:
    paper = "Joshi et al. 2019, arXiv 1904.08489"
    access = "white-box"
    budgets = ("Latent", "Lpips", "Identity")
    needs = ("generator", "inverter", "directions")
    cost = "gradient"
    trial: ClassVar = {"steps": 60}
    waives: ClassVar = {
        "a_raising_target_is_not_silenced": "the image that makes the toy raise is one that no generator makes",
        "unbounded_always_wins": "a few directions do not lead from every image to every class",
    }

    budget: Budget
    along: str = "sefa:8"  # directions: the strongest so many of SeFa, or files of directions joined by +
    steps: int = 40  # gradient steps a restart
    step_size: float | None = None  # of coefficients; None = 2.5 radius / steps, or Adam's for learned distances
    restarts: int = 1  # each on the samples that have not been won yet
    samples: int = 1  # draws of a random target averaged a step (EOT)
    penalty: float = 10.0  # for each radius that a learned distance is too far
    limit: float | None = None  # of the inversion's distance; None = any
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool
    weights: str | None = None  # of the generator; None = the shipped one of the data
    inversion: Literal["encoder", "hybrid", "image2stylegan", "pivotal"] = "hybrid"  # how images get their latents
    inversion_steps: int | None = None  # of the optimiser; None = the method's
    generator: Generator | None = field(default=None, repr=False, compare=False)
    inverter: Inverter | None = field(default=None, repr=False, compare=False)
    directions: Tensor | None = field(default=None, repr=False, compare=False)  # (K, D) or (K, L, D)

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        assert self.generator is not None
        assert self.directions is not None
        where = begin_in_latents(
            self.generator, self.inverter, images, kind="w+", limit=self.limit, reach=None, rng=rng, meter=meter
        )
        space = AlongDirections.of(where.space, self.directions)
        problem = Problem(target, space, self.budget, goal, images, rng, meter)
        return latent_result(with_restarts(problem, self._attempt, restarts=self.restarts), problem, where)

    def _attempt(self, problem: Problem, r: int) -> Found:
        return descend(
            problem,
            steps=self.steps,
            step_rule=self._step_rule(problem),
            start=random_start(problem) if r > 0 else None,
            samples=self.samples,
            penalty=self.penalty,
            stop=self.stop,
        )

    def _step_rule(self, problem: Problem) -> StepRule:
        if problem.budget.of == "coordinates":
            return steepest(problem.budget, self.step_size, steps=self.steps)
        return Adam(0.05 if self.step_size is None else self.step_size)
