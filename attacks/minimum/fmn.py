"""FMN: the radius of a ball adapts while a projected step goes on inside it; Linf, L2, L1 or L0, fast.

Until a sample has fooled once, its radius is what the linearised loss asks for; then it shrinks by gamma where the
image fools and grows where it does not. The target is shown the image in bytes, so that what is kept fools when saved.

Pintor et al. 2021, "Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints", arXiv 2102.12827,
Algorithm 1; step 1 to 0.01 and gamma 0.05 to 0.001, both by cosine, as in the authors' code. L0 counts pixels.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import Nearest, Normalised, Problem, asked_on_bytes, free_ball
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target

NORMS = ("Linf", "L2", "L1", "L0")


@final
@dataclass(frozen=True)
class FMN:
    paper = "Pintor et al. 2021, arXiv 2102.12827"
    access = "white-box"
    budgets = ("Linf", "L2", "L1", "L0")
    cost = "gradient"
    trial: ClassVar = {"steps": 80}
    waives: ClassVar = {
        "reaches_the_closed_form_optimum": "in L1 whole grey levels of many equal values end up to 1.3 times as far",
    }

    budget: Budget | None = None  # None = minimum norm; a radius is only judged against, its norm is the one minimised
    norm: Literal["Linf", "L2", "L1", "L0"] = "L2"  # what is minimised when there is no budget
    steps: int = 100  # gradients
    step_size: float = 1.0  # first L2 length of a step; the last is a hundredth of it
    gamma: float = 0.05  # first share by which the radius shrinks or grows; the last is a fiftieth of it
    rounded: bool = True  # the target is shown the image in bytes
    samples: int = 1  # draws of a random target averaged a step (EOT)

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget.name not in NORMS:
            raise BadArgument(f"minimum/fmn takes a budget in {', '.join(NORMS)}, got {self.budget.name}.")
        if self.steps < 1 or self.samples < 1:
            raise BadArgument(
                f"steps and samples of minimum/fmn must be 1 or more, got {self.steps} and {self.samples}."
            )
        if not (0 < self.gamma < 1 and self.step_size > 0):
            raise BadArgument(
                f"gamma of minimum/fmn must lie between 0 and 1 and step_size above 0, "
                f"got {self.gamma} and {self.step_size}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        norm = self.norm if self.budget is None else self.budget.name
        problem = Problem(Counted(target, meter), Pixels(), free_ball(norm), goal, images, rng, meter)
        best, active = Nearest(images, problem.budget.distance), torch.arange(len(images), device=images.device)
        radius = torch.full((len(images),), 1.0 if norm == "L0" else math.inf, device=images.device)
        x = images.clone()

        for k in range(self.steps + 1):
            last = k == self.steps
            shown, loss, reached, slope = asked_on_bytes(
                problem, x, rounded=self.rounded, samples=self.samples, slope=not last
            )
            best.offer(active, shown, reached)
            if last:
                break
            best.watch(active, slope, first=k == 0)
            slope = slope.nan_to_num(0.0, 0.0, 0.0)
            gamma = _cosine(self.gamma, self.gamma / 50, k, self.steps)
            # Before rounding: a radius that rounds down to whole levels would ask for itself again.
            distance = problem.budget.distance(x, images)
            wider = _adapted(radius, distance, loss, slope, reached, best.distance, gamma, norm)
            # Bytes that swallow the whole step show the original again, however often the radius is estimated.
            swallowed = (shown == images).flatten(1).all(1) & ~reached & radius.isfinite()
            radius = torch.where(swallowed, torch.maximum(wider, 2 * radius), wider)
            x = Normalised(_cosine(self.step_size, self.step_size / 100, k, self.steps)).step(x, slope, k)
            x = replace(problem.budget, radius=radius).project(x, images).clamp(0.0, 1.0)
        return AttackResult(best.images, best.note())


def _adapted(
    radius: Tensor,
    distance: Tensor,
    loss: Tensor,
    slope: Tensor,
    reached: Tensor,
    best: Tensor,
    gamma: float,
    norm: str,
) -> Tensor:
    """Algorithm 1, lines 5-11: the radius (N,) of the next step."""
    found = best.isfinite()
    if norm == "L0":  # whole pixels, one at least
        smaller = torch.minimum(torch.minimum(radius - 1, (radius * (1 - gamma)).floor()), best).clamp(min=1)
        return torch.where(reached, smaller, torch.maximum(radius + 1, (radius * (1 + gamma)).floor()))
    flat = slope.flatten(1)
    dual = {"Linf": flat.abs().sum(1), "L2": flat.norm(dim=1), "L1": flat.abs().amax(1)}[norm]
    estimated = distance + loss.nan_to_num(0.0, 0.0, 0.0).abs() / dual.clamp(min=1e-12)
    # The estimate knows nothing of the box: where pixels are black or white it may ask for the same radius for ever.
    larger = radius * (1 + gamma)
    grown = torch.where(found, larger, torch.where(radius.isfinite(), torch.maximum(estimated, larger), estimated))
    return torch.where(reached, torch.minimum(radius * (1 - gamma), best), grown)


def _cosine(first: float, last: float, k: int, steps: int) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * k / steps)) / 2
