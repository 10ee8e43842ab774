"""Straight from one face's latent to another's: the best point of the way that the budget still allows.

The way leads from the image's inversion to that of a picture of the wanted class (of the nearest other class, where
none is wanted), in `steps` equal parts; no gradient is taken. What it finds is a mixture of two persons: the control
for latent attacks, which may have become the person that they imitate.

Interpolation in W+ after Abdal et al. 2019, "Image2StyleGAN", arXiv 1904.03189, section 4 (morphing); morphs against
face matchers after Ferrara et al. 2014, "The magic passport".
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import Best, Problem, ask, begin_in_latents, latent_result
from advgen.core.budgets import Perceptual
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Generator, Goal, Inverter, Target


@final
@dataclass(frozen=True)
class Interpolate:
    paper = "Abdal et al. 2019, arXiv 1904.03189"
    access = "score"
    budgets = ("Latent", "Lpips", "Identity")
    needs = ("generator", "inverter", "gallery")
    cost = "query"
    trial: ClassVar = {"steps": 20}
    waives: ClassVar = {
        "unbounded_always_wins": "the way to one picture of a class need not pass through what a target takes for it",
    }

    budget: Budget
    steps: int = 40  # equal parts of the way; a query each
    limit: float | None = None  # of the inversion's distance; None = any
    weights: str | None = None  # of the generator; None = the shipped one of the data
    inversion: Literal["encoder", "hybrid", "image2stylegan", "pivotal"] = "hybrid"  # how images get their latents
    inversion_steps: int | None = None  # of the optimiser; None = the method's
    generator: Generator | None = field(default=None, repr=False, compare=False)
    inverter: Inverter | None = field(default=None, repr=False, compare=False)
    gallery: Tensor | None = field(default=None, repr=False, compare=False)  # (K, C, H, W), a picture of each class

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadArgument(f"steps of latent/interpolate must be 1 or more, got {self.steps}.")

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        assert self.generator is not None
        assert self.gallery is not None
        where = begin_in_latents(
            self.generator, self.inverter, images, kind="w+", limit=self.limit, reach=None, rng=rng, meter=meter
        )
        asked = Counted(target, meter)
        others = self.gallery.to(images)[self._other(asked, images, goal, rng)]
        there = begin_in_latents(
            self.generator, self.inverter, others, kind="w+", limit=None, reach=None, rng=rng.fork("other"),
            meter=meter,
        )  # fmt: skip
        away = (there.space.w - where.space.w) / where.space.spread
        budget = self.budget.bound(images) if isinstance(self.budget, Perceptual) else self.budget
        problem = Problem(asked, where.space, budget, goal, images, rng, meter)
        origin = where.space.start(images, rng)
        best, everyone = Best(problem, origin), torch.arange(len(images), device=images.device)
        for k in range(self.steps + 1):
            with torch.no_grad():
                coordinates = origin + (k / self.steps) * away
                shown = where.space.decode(coordinates)
                loss, reached = ask(problem, shown, 1)
                inside = budget.contains(*((coordinates, origin) if budget.of == "coordinates" else (shown, images)))
            best.offer(everyone, shown, coordinates, loss, reached, inside, early=4 * k < 3 * self.steps)
        return latent_result(best.found(), problem, where)

    def _other(self, target: Target, images: Tensor, goal: Goal, rng: SampleRng) -> Tensor:
        """(N,) classes to go to."""
        if goal.wanted is not None:
            return goal.wanted
        with torch.no_grad():
            logits = target(images, rng).logits
        if logits.shape[1] == 1:
            return 1 - goal.labels
        return logits.scatter(1, goal.labels[:, None], -torch.inf).argmax(1)
