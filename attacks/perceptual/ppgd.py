"""PPGD: each step is the steepest within a perceptual ball, found by conjugate gradients, then projected.

To first order the best move of perceptual length eta solves (J^T J) move = slope, J being the features' Jacobian; five
iterations of conjugate gradients come near enough, and J^T J times a vector is a difference of two gradients of the
distance. What is returned has been projected and re-measured.

Laidlaw, Singla & Feizi 2021, "Perceptual Adversarial Robustness: Defense Against Unseen Threat Models",
arXiv 2006.12655, section 3.2 and Algorithm 1; 5 conjugate gradients a step and noise 0.01 are the authors' code's. The
authors' distance is a norm of features without learned weights, the lpips package's a weighted square: the budget's own
is used, and `squared` says which kind it is. Bisection takes the place of their Newton steps.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from advgen.attacks.engine import Best, FeatureNorm, Problem, ask, slope_of
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class PPGD:
    paper = "Laidlaw et al. 2021, arXiv 2006.12655"
    access = "white-box"
    budgets = ("Lpips",)
    cost = "gradient"
    trial: ClassVar = {"steps": 10, "squared": False}

    budget: Budget
    steps: int = 20  # gradients of the goal
    solves: int = 5  # iterations of conjugate gradients a step, a gradient of the distance each
    h: float = 0.001  # length of the move by which J^T J is measured
    noise: float = 0.01  # standard deviation of the start, units of [0, 1]
    squared: bool = True  # the budget's distance is a square of feature differences, as the lpips package's
    samples: int = 1  # draws of a random target averaged a step (EOT)

    def __post_init__(self) -> None:
        if min(self.steps, self.solves, self.samples) < 1:
            raise BadArgument(
                f"steps, solves and samples of perceptual/ppgd must be 1 or more, "
                f"got {self.steps}, {self.solves} and {self.samples}."
            )
        if not (self.h > 0 and self.noise > 0):
            raise BadArgument(f"h and noise of perceptual/ppgd must be above 0, got {self.h} and {self.noise}.")

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if not len(images):
            return AttackResult(images.clone())
        problem = Problem(Counted(target, meter), Pixels(), self.budget, goal, images, rng, meter)
        norm = FeatureNorm.of(self.budget, images, squared=self.squared, method="perceptual/ppgd")
        best, everyone = Best(problem, images), torch.arange(len(images), device=images.device)
        x = (images + self.noise * rng.normal(images.shape[1:]).to(images)).clamp(0.0, 1.0)
        x = norm.budget.project(x, images)
        eta = 2 * norm.radius / self.steps
        for t in range(self.steps + 1):
            x = x.detach().requires_grad_()
            loss, reached = ask(problem, x, self.samples)
            inside = norm.budget.contains(x.detach(), images)
            best.offer(everyone, x, x, loss, reached, inside, early=4 * t < 3 * self.steps)
            if t == self.steps:
                break
            slope, x = slope_of(loss, x), x.detach()
            best.watch(everyone, slope, first=t == 0)
            move = -self._solved(norm, x, slope.nan_to_num(0.0, 0.0, 0.0))
            with torch.no_grad():
                length = norm.between(x + self.h * move, x) / self.h
                reach = torch.where(length > 0, eta / length.clamp(min=1e-12), 0.0)
                x = (x + reach.reshape(-1, 1, 1, 1) * move).clamp(0.0, 1.0)
                x = norm.budget.project(x, images)
        with torch.no_grad():
            measured = self.budget.distance(best.images, images)
        return AttackResult(best.images, best.found().note() | {"perceptual": measured})

    def _solved(self, norm: FeatureNorm, x: Tensor, slope: Tensor) -> Tensor:
        """About (J^T J)^-1 slope, of length 1 (N, C, H, W): conjugate gradients, each sample for itself."""
        shape = (-1, *[1] * (x.dim() - 1))
        residual = _unit(slope)
        direction, solution = residual.clone(), torch.zeros_like(slope)
        square = residual.square().flatten(1).sum(1)
        for _ in range(self.solves):
            unit = direction.flatten(1).norm(dim=1).clamp(min=1e-30)
            curved = norm.curvature(x, direction / unit.reshape(shape), self.h) * unit.reshape(shape)
            along = (direction * curved).flatten(1).sum(1)
            # Where the features do not change along the direction, or all is solved, there is nothing to add.
            alpha = torch.where(along > 1e-20, square / along.clamp(min=1e-20), 0.0).reshape(shape)
            solution = solution + alpha * direction
            residual = residual - alpha * curved
            following = residual.square().flatten(1).sum(1)
            direction = residual + (following / square.clamp(min=1e-30)).reshape(shape) * direction
            square = following
        return _unit(solution)


def _unit(x: Tensor) -> Tensor:
    largest = x.flatten(1).abs().amax(1).clamp(min=1e-38).reshape(-1, 1, 1, 1)
    scaled = x / largest
    return scaled / scaled.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, 1, 1, 1)
