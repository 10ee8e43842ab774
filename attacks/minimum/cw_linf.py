"""Carlini-Wagner in Linf: every change above a threshold is pushed down, and the threshold falls while that is won.

Minimises c * max(loss, -kappa) + sum max(|change| - tau, 0) in the tanh space. A sample's c doubles until it is won;
then tau falls to 0.9 of its largest change, and the search goes on from there. It ends when c is spent or tau is below
one grey level. Every sample has its own c, tau and stop. The target is shown the image in bytes.

Carlini & Wagner 2017, "Towards Evaluating the Robustness of Neural Networks", arXiv 1608.04644, section VI-C; c from
1e-5 by twos to 20, tau from 1 by 0.9, 1,000 steps of Adam with 0.005 at most are those of the authors' code.
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

LEAST_TAU = 1 / 256
LOWERED = 0.9
# A round is over when its objective is below this share of c and the goal is won (the authors' code).
NOTHING_LEFT = 1e-4


@final
@dataclass(frozen=True)
class CWLinf:
    paper = "Carlini & Wagner 2017, arXiv 1608.04644"
    access = "white-box"
    budgets = ("Linf",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20, "initial_c": 0.5, "largest_c": 1.0, "step_size": 0.02}

    budget: Budget | None = None  # None = minimum norm; a radius is only judged against, never searched for
    steps: int = 1000  # Adam steps a round at most
    step_size: float = 0.005  # of Adam, in tanh space
    initial_c: float = 1e-5  # first weight of the goal's loss
    largest_c: float = 20.0  # beyond which a sample is given up
    kappa: float = 0.0  # confidence: how far below zero the goal's loss must be (logits, with the margin)
    rounded: bool = True  # the target is shown the image in bytes
    samples: int = 1  # draws of a random target averaged a step (EOT)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.samples < 1:
            raise BadArgument(
                f"steps and samples of minimum/cw_linf must be 1 or more, got {self.steps} and {self.samples}."
            )
        if not (0 < self.initial_c <= self.largest_c and self.step_size > 0 and self.kappa >= 0):
            raise BadArgument(
                f"minimum/cw_linf needs 0 < initial_c <= largest_c, step_size above 0 and kappa 0 or more, "
                f"got {self.initial_c}, {self.largest_c}, {self.step_size} and {self.kappa}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        problem = Problem(Counted(target, meter), Pixels(), free_ball("Linf"), goal, images, rng, meter)
        best = Nearest(images, problem.budget.distance)
        c, tau = torch.full((len(images),), self.initial_c, device=images.device), torch.ones(len(images)).to(images)
        w = into_tanh(images)
        active, first = torch.arange(len(images), device=images.device), True
        while len(active):
            few = problem.take(active)
            found, change, won = self._round(few, w[active], c[active], tau[active], best, active, first=first)
            first = False
            w[active[won]] = found[won]  # the next round goes on from what was won, else from where it was
            tau[active] = torch.where(won, torch.minimum(tau[active], change) * LOWERED, tau[active])
            c[active] = torch.where(won, c[active], c[active] * 2)
            active = active[(c[active] <= self.largest_c) & (tau[active] > LEAST_TAU)]
        return AttackResult(best.images, best.note() | {"c": c})

    def _round(
        self, problem: Problem, w: Tensor, c: Tensor, tau: Tensor, best: Nearest, where: Tensor, *, first: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The w (N, ...) that was won last, its largest change (N,), and who was won."""
        found, largest = w.clone(), torch.full_like(c, torch.inf)
        ever_won = torch.zeros_like(c, dtype=torch.bool)
        active, adam = torch.arange(len(c), device=c.device), Adam(self.step_size)
        for k in range(self.steps):
            x, slope_of_tanh = out_of_tanh(w)
            x = x.clamp(0.0, 1.0)
            shown, loss, reached, slope = asked_on_bytes(problem, x, rounded=self.rounded, samples=self.samples)
            won = reached & ((self.kappa == 0) | (loss <= -self.kappa))
            best.watch(where[active], slope, first=first and k == 0)
            moved = best.offer(where[active], shown, won)
            nearer = won & (moved < largest[active])
            found[active[nearer]], largest[active[nearer]] = w[nearer], moved[nearer]
            ever_won[active] |= won

            change = x - problem.originals
            beyond = (change.abs() - tau.reshape(-1, 1, 1, 1)).clamp(min=0)
            done = won & (beyond.flatten(1).sum(1) <= NOTHING_LEFT * c)
            slope = torch.where(won.reshape(-1, 1, 1, 1), 0.0, slope.nan_to_num(0.0, 0.0, 0.0))
            slope = slope * c.reshape(-1, 1, 1, 1) + change.sign() * (beyond > 0)
            w = adam.step(w, slope * slope_of_tanh, k).clamp_(-EDGE, EDGE)
            if bool(done.any()):
                stays = (~done).nonzero()[:, 0]
                if not len(stays):
                    break
                active, problem, adam = active[stays], problem.take(stays), adam.take(stays)
                w, c, tau = w[stays], c[stays], tau[stays]
        return found, largest, ever_won
