"""Carlini-Wagner in L2: the smallest change that fools, by Adam and a binary search over the weight of the goal.

Minimises |x - original|^2 + c * max(loss, -kappa) in a tanh space. Every sample has its own c, its own Adam state and
its own stop, so a batch never couples them. Pixels that are exactly 0 or 1 can move, because the tanh reaches a little
beyond the box (and w is held where the pixel lies inside); without that its slope there is zero.
A try counts only when the image rounded to bytes fools: the target is shown the rounded image and its gradient is
passed straight through to the unrounded one, which costs no further forward.

Carlini & Wagner 2017, "Towards Evaluating the Robustness of Neural Networks", arXiv 1608.04644, section VI-A with
objective f6; defaults (9 searches of 1,000 steps, c from 1e-3, Adam 0.01, kappa 0) are those of the authors' code.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import EDGE, Adam, Problem, ask, into_tanh, out_of_tanh, prepare
from advgen.core.budgets import L2
from advgen.core.errors import BadArgument
from advgen.core.goals import MARGIN_FLOOR
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target

# A tenth of the steps must gain this share of the objective, or the sample's round is over (the authors' code).
LEAST_GAIN = 1e-4


@final
@dataclass(frozen=True)
class CW:
    paper = "Carlini & Wagner 2017, arXiv 1608.04644"
    access = "white-box"
    budgets = ("L2",)
    cost = "gradient"
    trial: ClassVar = {"steps": 40, "searches": 7}

    budget: Budget | None = None  # None = minimum norm; a radius is only judged against, never searched for
    searches: int = 9  # rounds of the binary search over c
    steps: int = 1000  # Adam steps a round, each round from the original
    step_size: float = 0.01  # of Adam, in tanh space
    initial_c: float = 1e-3  # first weight of the goal's loss beside the squared distance
    kappa: float = 0.0  # confidence: how far below zero the goal's loss must be (logits, with the margin)
    abort_early: bool = True  # end a sample's round when a tenth of the steps gains under 0.01%
    rounded: bool = True  # count a success only if the image rounded to bytes fools
    samples: int = 1  # draws of a random target averaged a step (EOT)
    # search a prepared copy of the network; the raw one judges
    fast: Literal["no", "float32", "bfloat16", "compiled", "compiled-bfloat16"] = "no"

    def __post_init__(self) -> None:
        if self.searches < 1 or self.steps < 1 or self.samples < 1:
            raise BadArgument(
                f"searches, steps and samples of minimum/cw must be 1 or more, "
                f"got {self.searches}, {self.steps} and {self.samples}."
            )
        if not self.kappa >= 0:
            raise BadArgument(f"kappa of minimum/cw must be 0 or more, got {self.kappa}.")
        if not (self.initial_c > 0 and self.step_size > 0):
            raise BadArgument(
                f"initial_c and step_size of minimum/cw must be above 0, got {self.initial_c} and {self.step_size}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        budget = L2(math.inf) if self.budget is None else self.budget
        problem = Problem(Counted(target, meter), Pixels(), budget, goal, images, rng, meter)
        self._check_alarm(problem)
        best = _Best(images)
        prepared = Counted(prepare(target, self.fast), meter)
        low, high = torch.zeros_like(best.square), torch.full_like(best.square, torch.inf)
        c = torch.full_like(best.square, self.initial_c)

        for search in range(self.searches):
            if self.searches >= 10 and search == self.searches - 1:
                c = torch.where(high.isfinite(), high, c)  # the authors' last round repeats the smallest c that won
            won = self._round(problem, prepared, c, best)
            high = torch.where(won, torch.minimum(high, c), high)
            low = torch.where(won, low, torch.maximum(low, c))
            c = torch.where(high.isfinite(), (low + high) / 2, c * 10)
        return AttackResult(best.images, {"zero_gradient": best.zero, "bad_gradient": best.bad, "c": best.c})

    def _check_alarm(self, problem: Problem) -> None:
        if self.kappa <= MARGIN_FLOOR or not len(problem.originals):
            return
        first = problem.take(torch.arange(1, device=problem.originals.device))
        with torch.no_grad():
            outputs = first.target(first.originals, first.rng.fork("alarm"))
        if outputs.alarm is not None:
            raise BadArgument(
                f"kappa is {self.kappa}, and against a target with an alarm the margin counts up to {MARGIN_FLOOR} "
                f"beyond the boundary only; use a kappa of at most {MARGIN_FLOOR}."
            )

    def _round(self, problem: Problem, prepared: Target, c: Tensor, best: "_Best") -> Tensor:
        """(N,) bool, samples that were won with their `c` this time; improves `best` in place."""
        ever_won = best.square == 0  # an original that fools already has nothing to gain
        active = (~ever_won).nonzero()[:, 0]
        problem, c = problem.take(active), c[active]
        search = replace(problem, target=prepared.take(active))
        w = into_tanh(problem.originals)
        origin, _ = out_of_tanh(w)  # not quite the original in float: the distance must start at exactly 0
        adam = Adam(self.step_size)
        previous = torch.full_like(c, torch.inf)

        for k in range(self.steps + 1):
            if len(active) == 0:
                break
            x, slope_of_tanh = out_of_tanh(w)
            shown, loss, won, slope = self._ask(search, x, last=k == self.steps)
            square = (shown - problem.originals).square().flatten(1).sum(1)
            if self.fast != "no":
                tells = won & ((square < best.square[active]) | ~ever_won[active])
                won = won & ~tells | self._confirmed(problem, shown, tells)
            best.offer(active, shown, square, won, c)
            best.watch(active, slope, first=k == 0)
            ever_won[active] |= won
            if k == self.steps:
                break

            change = x - origin
            slope = slope.nan_to_num(0.0, 0.0, 0.0) * c.reshape(-1, 1, 1, 1) + 2 * change
            w = adam.step(w, slope * slope_of_tanh, k).clamp_(-EDGE, EDGE)

            if self.abort_early and k % max(1, self.steps // 10) == 0:
                objective = change.square().flatten(1).sum(1) + c * torch.where(won, -self.kappa, loss)
                stays = ~(objective > previous * (1 - LEAST_GAIN))
                if not bool(stays.all()):
                    active, c, adam = active[stays], c[stays], adam.take(stays)
                    problem, search = problem.take(stays), search.take(stays)
                    w, origin, objective = w[stays], origin[stays], objective[stays]
                previous = objective
        return ever_won

    def _confirmed(self, problem: Problem, shown: Tensor, asked: Tensor) -> Tensor:
        """(N,) bool, who among `asked` has won by the raw network."""
        won = torch.zeros_like(asked)
        where = asked.nonzero()[:, 0]
        if len(where):
            with torch.no_grad():
                loss, reached = ask(problem.take(where), shown[where], self.samples)
            won[where] = reached if self.kappa == 0 else reached & (loss <= -self.kappa)
        return won

    def _ask(self, problem: Problem, x: Tensor, *, last: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the target is shown, the goal's loss, whether it is won with kappa, and max(loss, -kappa)'s slope."""
        shown = x.clamp(0.0, 1.0)
        if self.rounded:
            shown = (shown * 255).round() / 255
        shown.requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            loss, reached = ask(problem, shown, self.samples)
            won = reached if self.kappa == 0 else reached & (loss <= -self.kappa)
            # Where an alarm still rejects, the loss may be negative: it goes on falling until the goal is reached.
            total = torch.where(won, 0.0, loss).sum()
        slope = torch.zeros_like(x)
        if total.requires_grad:
            (found,) = torch.autograd.grad(total, shown, allow_unused=True)
            slope = slope if found is None else found
        return shown.detach(), loss.detach(), won, slope


class _Best:
    """The nearest image of each sample that won; the original until there is one."""

    def __init__(self, originals: Tensor) -> None:
        n, device = len(originals), originals.device
        self.images = originals.clone()
        self.square = torch.full((n,), torch.inf, device=device)  # squared L2 distance
        self.c = torch.full((n,), torch.nan, device=device)  # with which it was found
        self.zero, self.bad = (torch.zeros(n, dtype=torch.bool, device=device) for _ in range(2))

    def offer(self, active: Tensor, images: Tensor, square: Tensor, won: Tensor, c: Tensor) -> None:
        better = won & (square < self.square[active])
        where = active[better]
        self.images[where], self.square[where], self.c[where] = images[better], square[better], c[better]

    def watch(self, active: Tensor, slope: Tensor, *, first: bool) -> None:
        size = slope.flatten(1).abs().amax(1)
        self.bad[active] |= ~size.isfinite()
        if first:
            self.zero[active] = (size == 0) & self.square[active].isinf()
