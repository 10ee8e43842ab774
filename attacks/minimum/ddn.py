"""DDN: direction and norm apart; a step along the gradient, then a sphere that shrinks while the image fools.

The radius shrinks by gamma where the image fools and grows by it where it does not, so that the search walks along the
boundary. The target is shown the image in bytes, as in the paper (its quantisation), so that what is kept still fools
when saved.

Rony et al. 2019, "Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial Attacks and Defenses",
arXiv 1811.09600, Algorithm 1; gamma 0.05, first radius 1, and a step from 1 to 0.01 by cosine are the authors'.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from advgen.attacks.engine import Nearest, Normalised, Problem, asked_on_bytes, free_ball
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target

LAST_STEP = 0.01


@final
@dataclass(frozen=True)
class DDN:
    paper = "Rony et al. 2019, arXiv 1811.09600"
    access = "white-box"
    budgets = ("L2",)
    cost = "gradient"
    trial: ClassVar = {"steps": 60}

    budget: Budget | None = None  # None = minimum norm; a radius is only judged against, never searched for
    steps: int = 100  # gradients
    gamma: float = 0.05  # share by which the radius shrinks or grows a step
    first_radius: float = 1.0  # of the sphere, L2
    rounded: bool = True  # the target is shown the image in bytes
    samples: int = 1  # draws of a random target averaged a step (EOT)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.samples < 1:
            raise BadArgument(
                f"steps and samples of minimum/ddn must be 1 or more, got {self.steps} and {self.samples}."
            )
        if not (0 < self.gamma < 1 and self.first_radius > 0):
            raise BadArgument(
                f"gamma of minimum/ddn must lie between 0 and 1 and first_radius above 0, "
                f"got {self.gamma} and {self.first_radius}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(Counted(target, meter), Pixels(), free_ball("L2"), goal, images, rng, meter)
        best, active = Nearest(images, problem.budget.distance), torch.arange(len(images), device=images.device)
        radius = torch.full((len(images),), self.first_radius, device=images.device)
        x = images.clone()

        for k in range(self.steps + 1):
            last = k == self.steps
            shown, _, reached, slope = asked_on_bytes(
                problem, x, rounded=self.rounded, samples=self.samples, slope=not last
            )
            best.offer(active, shown, reached)
            if last:
                break
            best.watch(active, slope, first=k == 0)
            size = LAST_STEP + (1 - LAST_STEP) * (1 + math.cos(math.pi * k / self.steps)) / 2
            stepped = Normalised(size).step(x, slope.nan_to_num(0.0, 0.0, 0.0), k)
            if k > 0:
                radius = radius * torch.where(reached, 1 - self.gamma, 1 + self.gamma)
            change = stepped - images
            length = change.flatten(1).norm(dim=1).clamp(min=1e-12)
            x = (images + change * (radius / length).reshape(-1, 1, 1, 1)).clamp(0.0, 1.0)
        return AttackResult(best.images, best.note())
