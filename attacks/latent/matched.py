"""Pixel PGD with the very distances that latent PGD used, image by image, and with as many gradient calls.

The fair control for a search in latents: each image is first attacked in w+ inside the budget, and then, from the
original, in pixels, with the first attack's distance as its own radius. What is returned is the pixel attack's image;
what the latent attack cost is on no meter, and its distance is a note. Where the latent attack found nothing inside,
the radius is 0 and the image comes back as it was.

Madry et al. 2018 (arXiv 1706.06083) for the pixels; Song et al. 2018 (arXiv 1805.07894) for the latents.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import Adam, Problem, begin_in_latents, descend, latent_result, steepest
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Generator, Goal, Inverter, Target

LEAST = 1e-6  # a radius: none would divide by zero


@final
@dataclass(frozen=True)
class Matched:
    paper = "Madry et al. 2018, arXiv 1706.06083"
    access = "white-box"
    budgets = ("Lpips", "Identity")
    needs = ("generator", "inverter")
    cost = "gradient"
    trial: ClassVar = {"steps": 60}
    waives: ClassVar = {
        "counts_every_forward_and_backward": "the latent attack that sets the distance is not part of its cost",
    }

    budget: Budget
    steps: int = 40  # gradient steps of either attack
    step_size: float | None = None  # of the latent attack; None = as latent/pgd
    penalty: float = 10.0  # for each radius that an image is too far
    limit: float | None = None  # of the inversion's distance; None = any
    reach: float | None = None  # of the latent attack: keeps w within so many typical distances of its mean
    weights: str | None = None  # of the generator; None = the shipped one of the data
    inversion: Literal["encoder", "hybrid", "image2stylegan", "pivotal"] = "hybrid"  # how images get their latents
    inversion_steps: int | None = None  # of the optimiser; None = the method's
    generator: Generator | None = field(default=None, repr=False, compare=False)
    inverter: Inverter | None = field(default=None, repr=False, compare=False)

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        distance = self._used(target, images, goal, rng)
        budget = replace(self.budget, radius=distance.clamp(min=LEAST))  # type: ignore[type-var]
        problem = Problem(target, Pixels(), budget, goal, images, rng, meter)
        found = descend(
            problem, steps=self.steps, step_rule=steepest(budget, None, steps=self.steps), penalty=self.penalty
        )
        kept = found.inside & (distance > 0)
        chosen = torch.where(kept.reshape(-1, *[1] * (images.dim() - 1)), found.images, images)
        return AttackResult(chosen, {**found.note(), "latent_lpips": distance, "outside": ~kept})

    def _used(self, target: Target, images: Tensor, goal: Goal, rng: SampleRng) -> Tensor:
        """(N,) the budget's distance of what latent PGD finds inside; 0 where it finds nothing."""
        assert self.generator is not None
        where = begin_in_latents(
            self.generator,
            self.inverter,
            images,
            kind="w+",
            limit=self.limit,
            reach=self.reach,
            rng=rng,
            meter=Meter(),
        )
        problem = Problem(target, where.space, self.budget, goal, images, rng, Meter())
        rule = Adam(0.03 if self.step_size is None else self.step_size)
        found = descend(problem, steps=self.steps, step_rule=rule, penalty=self.penalty)
        with torch.no_grad():
            return self.budget.distance(latent_result(found, problem, where).images, images).detach()
