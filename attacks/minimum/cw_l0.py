"""Carlini-Wagner in L0: L2 searches over ever fewer pixels; what a search did not need is fixed at the original.

After each search that was won, the pixels with the least |slope * change| go back to the original and may not move
again; c doubles where a search fails, and a sample is done when c is spent. Every sample has its own pixels and c. A
pixel is a position: all its channels move or none. The target is shown the image in bytes.

Carlini & Wagner 2017, "Towards Evaluating the Robustness of Neural Networks", arXiv 1608.04644, section VI-B; c from
1e-3 by twos, 1,000 steps of Adam with 0.01 at most are those of the authors' code, which also fixes several at a time.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from advgen.attacks.engine import (
    EDGE,
    Adam,
    Nearest,
    Problem,
    asked_on_bytes,
    free_ball,
    into_tanh,
    out_of_tanh,
)
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class CWL0:
    paper = "Carlini & Wagner 2017, arXiv 1608.04644"
    access = "white-box"
    budgets = ("L0",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20, "initial_c": 4.0, "largest_c": 16.0, "step_size": 0.2}
    waives: ClassVar = {
        "reaches_the_closed_form_optimum": "which pixels are needed is a search over sets, and greedy is a pixel off",
    }

    budget: Budget | None = None  # None = minimum norm; a radius is only judged against, never searched for
    steps: int = 1000  # Adam steps a search at most
    step_size: float = 0.01  # of Adam, in tanh space
    initial_c: float = 1e-3  # first weight of the goal's loss beside the squared L2 distance
    largest_c: float = 2e6  # beyond which a sample is done
    fixed_share: float = 0.2  # of the pixels still free that are fixed after a search, one at least
    rounded: bool = True  # the target is shown the image in bytes
    samples: int = 1  # draws of a random target averaged a step (EOT)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.samples < 1:
            raise BadArgument(
                f"steps and samples of minimum/cw_l0 must be 1 or more, got {self.steps} and {self.samples}."
            )
        if not (0 < self.initial_c <= self.largest_c and self.step_size > 0 and 0 <= self.fixed_share < 1):
            raise BadArgument(
                f"minimum/cw_l0 needs 0 < initial_c <= largest_c, step_size above 0 and fixed_share in [0, 1), "
                f"got {self.initial_c}, {self.largest_c}, {self.step_size} and {self.fixed_share}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(Counted(target, meter), Pixels(), free_ball("L0"), goal, images, rng, meter)
        best = Nearest(images, problem.budget.distance)
        n = len(images)
        free = torch.ones((n, 1, *images.shape[2:]), dtype=torch.bool, device=images.device)
        c = torch.full((n,), self.initial_c, device=images.device)
        start, active, first = into_tanh(images), torch.arange(n, device=images.device), True
        while len(active):
            few = problem.take(active)
            w, worth, won = self._search(few, start[active], free[active], c[active], best, active, first=first)
            first = False
            start[active[won]] = w[won]  # warm start of the next search
            free[active[won]] &= ~self._least(worth[won], free[active[won]])
            c[active[~won]] *= 2
            left = free[active].flatten(1).any(1) & (best.distance[active] > 0)
            active = active[(c[active] <= self.largest_c) & left]
        return AttackResult(best.images, best.note() | {"c": c})

    def _search(
        self, problem: Problem, w: Tensor, free: Tensor, c: Tensor, best: Nearest, where: Tensor, *, first: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The w with which each sample was won at its smallest L2, what each pixel is worth there, and who was won."""
        adam, smallest = Adam(self.step_size), torch.full_like(c, torch.inf)
        found, worth = w.clone(), torch.zeros_like(free, dtype=w.dtype)
        for k in range(self.steps):
            x, slope_of_tanh = out_of_tanh(w)
            x = torch.where(free, x.clamp(0.0, 1.0), problem.originals)
            shown, _, reached, slope = asked_on_bytes(problem, x, rounded=self.rounded, samples=self.samples)
            slope = slope.nan_to_num(0.0, 0.0, 0.0)
            best.watch(where, slope, first=first and k == 0)
            best.offer(where, shown, reached)
            change = x - problem.originals
            square = change.square().flatten(1).sum(1)
            better = reached & (square < smallest)
            each = better.reshape(-1, 1, 1, 1)
            smallest, found = torch.where(better, square, smallest), torch.where(each, w, found)
            worth = torch.where(each, (slope * change).abs().sum(1, keepdim=True), worth)
            pull = torch.where(reached.reshape(-1, 1, 1, 1), 0.0, slope) * c.reshape(-1, 1, 1, 1) + 2 * change
            w = adam.step(w, pull * slope_of_tanh * free, k).clamp_(-EDGE, EDGE)
        return found, worth, smallest.isfinite()

    def _least(self, worth: Tensor, free: Tensor) -> Tensor:
        """(N, 1, H, W) bool: the free pixels that are worth least, and all that were worth nothing."""
        ranked = torch.where(free, worth, torch.inf).flatten(1)
        count = (free.flatten(1).sum(1) * self.fixed_share).long().clamp(min=1)
        rank = ranked.argsort(dim=1, stable=True).argsort(dim=1)
        return ((rank < count[:, None]) | (ranked == 0)).reshape(free.shape) & free
