"""The best of so many draws around an inversion: what chance does with the queries that an attack spends.

Draws are offsets of w or w+ in random directions, of lengths evenly up to the radius of the ball, or up to `spread`
where the budget is a learned distance; the inversion itself is the first. No gradient: a latent attack that does not
beat it found nothing that luck would not have.

After best-of-N sampling as a baseline of latent edits; the ball of Song et al. 2018, arXiv 1805.07894.
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
class BestOf:
    paper = "Song et al. 2018, arXiv 1805.07894"
    access = "score"
    budgets = ("Latent", "Lpips", "Identity")
    needs = ("generator", "inverter")
    cost = "query"
    trial: ClassVar = {"draws": 40}
    waives: ClassVar = {
        "a_raising_target_is_not_silenced": "the image that makes the toy raise is one that no generator makes",
        "unbounded_always_wins": "under a learned distance it draws no farther than its spread",
    }

    budget: Budget
    draws: int = 40  # images shown to the target, the inversion among them
    spread: float = 0.5  # greatest length of a draw under a learned distance, in the space's unit
    space: Literal["w", "w+"] = "w+"  # what is drawn
    limit: float | None = None  # of the inversion's distance; None = any
    reach: float | None = None  # keeps w within so many typical distances of its mean; None = anywhere
    weights: str | None = None  # of the generator; None = the shipped one of the data
    inversion: Literal["encoder", "hybrid", "image2stylegan", "pivotal"] = "hybrid"  # how images get their latents
    inversion_steps: int | None = None  # of the optimiser; None = the method's
    generator: Generator | None = field(default=None, repr=False, compare=False)
    inverter: Inverter | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.draws < 1 or not self.spread > 0:
            raise BadArgument(
                f"latent/best_of needs draws of 1 or more and a spread above 0, got {self.draws} and {self.spread}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        assert self.generator is not None
        where = begin_in_latents(
            self.generator, self.inverter, images, kind=self.space, limit=self.limit, reach=self.reach, rng=rng,
            meter=meter,
        )  # fmt: skip
        budget = self.budget.bound(images) if isinstance(self.budget, Perceptual) else self.budget
        problem = Problem(Counted(target, meter), where.space, budget, goal, images, rng, meter)
        origin = where.space.start(images, rng)
        best, everyone = Best(problem, origin), torch.arange(len(images), device=images.device)
        for k in range(self.draws):
            with torch.no_grad():
                coordinates = where.space.clip(self._drawn(problem, origin)) if k else origin
                shown = where.space.decode(coordinates)
                loss, reached = ask(problem, shown, 1)
                inside = budget.contains(*((coordinates, origin) if budget.of == "coordinates" else (shown, images)))
            best.offer(everyone, shown, coordinates, loss, reached, inside, early=4 * k < 3 * self.draws)
        return latent_result(best.found(), problem, where)

    def _drawn(self, problem: Problem, origin: Tensor) -> Tensor:
        away = problem.rng.normal(origin.shape[1:]).to(origin)
        length = away.flatten(1).norm(dim=1) / origin.shape[1] ** 0.5  # root mean square over rows
        longest = torch.as_tensor(problem.budget.radius if problem.budget.of == "coordinates" else self.spread)
        share = longest.to(origin) * problem.rng.uniform(()).to(origin) / length
        return origin + away * share.reshape(-1, *[1] * (origin.dim() - 1))
