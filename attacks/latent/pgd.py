"""Projected gradient descent in a generator's latent space, from an inverted image or from a sample.

Steps go down the goal's loss over w, w+, style channels, noise maps or z. A latent ball is projected onto; an LPIPS or
identity budget, measured against the original image and not against its inversion, enters the loss as a penalty, and
the best point inside is returned.

Song et al. 2018 (arXiv 1805.07894), unrestricted examples from a generative model; Madry et al. 2018 (arXiv
1706.06083) for the steps; Abdal et al. 2019 (arXiv 1904.03189) for W+.
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
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Generator, Goal, Inverter, Target


@final
@dataclass(frozen=True)
class PGD:
    paper = "Song et al. 2018, arXiv 1805.07894"
    access = "white-box"
    budgets = ("Latent", "Lpips", "Identity")
    needs = ("generator", "inverter")
    cost = "gradient"
    trial: ClassVar = {"steps": 60, "space": "w+"}
    waives: ClassVar = {
        "a_raising_target_is_not_silenced": "the image that makes the toy raise is one that no generator makes"
    }

    budget: Budget
    space: Literal["z", "w", "w+", "s", "noise"] = "w+"  # what moves; z begins at samples, the others at inversions
    steps: int = 40  # gradient steps a restart
    step_size: float | None = None  # in the space's unit; None = 2.5 radius / steps, or Adam's for learned distances
    restarts: int = 1  # each on the samples that have not been won yet
    random_start: bool = False  # begin at a point of the latent ball, else at the inversion itself
    samples: int = 1  # draws of a random target averaged a step (EOT)
    penalty: float = 10.0  # for each radius that a learned distance is too far
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
        problem = Problem(target, where.space, self.budget, goal, images, rng, meter)
        found = with_restarts(problem, self._attempt, restarts=self.restarts)
        return latent_result(found, problem, where)

    def _attempt(self, problem: Problem, r: int) -> Found:
        return descend(
            problem,
            steps=self.steps,
            step_rule=self._step_rule(problem),
            start=random_start(problem) if self.random_start or r > 0 else None,
            samples=self.samples,
            penalty=self.penalty,
            stop=self.stop,
        )

    def _step_rule(self, problem: Problem) -> StepRule:
        if problem.budget.of == "coordinates":
            return steepest(problem.budget, self.step_size, steps=self.steps)
        return Adam(0.03 if self.step_size is None else self.step_size)
