"""NES: projected descent on a gradient estimated from scores, by differences along random directions.

Each step asks the target at x + sigma u and x - sigma u for `pairs` directions u, and averages u times the difference;
a momentum over these estimates gives the sign step, which is halved on a plateau. Its loss is the margin.

Ilyas et al. 2018, "Black-box Adversarial Attacks with Limited Queries and Information", arXiv 1804.08598, section 2.1
and Algorithm 1; sigma 0.001, 50 queries a step, momentum 0.9, steps from 0.01 down to 0.001 are the authors' code's.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import Problem, Sign, ask, fools_on_bytes, with_objective
from advgen.core.errors import BadArgument
from advgen.core.goals import LogitGoal
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target

PLATEAU = 5  # steps over which the loss must have fallen


@final
@dataclass(frozen=True)
class NES:
    paper = "Ilyas et al. 2018, arXiv 1804.08598"
    access = "score"
    budgets = ("Linf",)
    cost = "query"
    trial: ClassVar = {"steps": 15, "pairs": 10, "sigma": 0.01}
    waives: ClassVar = {
        "reaches_the_closed_form_optimum": "signs of an estimated gradient come near the optimum, not to it",
    }

    budget: Budget
    steps: int = 200  # estimated gradients; a step costs 2 * pairs + 1 queries
    pairs: int = 25  # directions a step, each asked on both sides
    sigma: float = 0.001  # length of a direction in each value, units of [0, 1]
    step_size: float = 0.01  # first sign step
    least_step: float = 0.001  # last sign step
    momentum: float = 0.9  # share of the last estimates that is kept
    queries: int | None = None  # images shown to the target at most; None = what the steps need
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool

    def __post_init__(self) -> None:
        if self.steps < 1 or self.pairs < 1:
            raise BadArgument(f"steps and pairs of blackbox/nes must be 1 or more, got {self.steps} and {self.pairs}.")
        if self.queries is not None and self.queries < 1:
            raise BadArgument(f"queries of blackbox/nes must be 1 or more, got {self.queries}.")
        if not (self.sigma > 0 and 0 < self.least_step <= self.step_size and 0 <= self.momentum < 1):
            raise BadArgument(
                f"blackbox/nes needs sigma above 0, 0 < least_step <= step_size and momentum in [0, 1), "
                f"got {self.sigma}, {self.least_step}, {self.step_size} and {self.momentum}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if isinstance(goal, LogitGoal):
            goal = with_objective(goal, "margin", target)
        problem = Problem(Counted(target, meter), Pixels(), self.budget, goal, images, rng, meter)
        found, lowest = images.clone(), torch.full((len(images),), torch.inf, device=images.device)
        active, x = torch.arange(len(images), device=images.device), images.clone()
        slope, size = torch.zeros_like(x), torch.full_like(lowest, self.step_size)
        losses = torch.empty(len(images), 0, device=images.device)  # since the step was last halved
        leaves = self.stop == "success" and not target.stochastic
        asked = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        # An estimate and the image that it leads to; what is left over at the end buys no step.
        affordable = self.steps if self.queries is None else min(self.steps, (self.queries - 1) // (2 * self.pairs + 1))

        for k in range(affordable + 1):
            asked[active] += 1
            with torch.no_grad():
                loss, reached = ask(problem, x, 1)
            loss = loss.nan_to_num(torch.inf, torch.inf, torch.inf)
            better = loss < lowest[active]
            found[active[better]], lowest[active[better]] = x[better], loss[better]
            if k == affordable:
                break
            if leaves and bool(reached.any()):
                gone = fools_on_bytes(problem, x, reached)
                found[active[gone]] = x[gone]
                stay = (~gone).nonzero()[:, 0]
                active, problem, x, slope = active[stay], problem.take(stay), x[stay], slope[stay]
                size, losses, loss = size[stay], losses[stay], loss[stay]
                if not len(active):
                    break
            losses = torch.cat([losses, loss[:, None]], dim=1)[:, -PLATEAU:]
            if losses.shape[1] == PLATEAU:
                flat = losses[:, -1] >= losses[:, 0]
                size = torch.where(flat, (size / 2).clamp(min=self.least_step), size)
                losses = torch.where(flat[:, None], torch.inf, losses)  # a new plateau has to last as long
            asked[active] += 2 * self.pairs
            slope = self.momentum * slope + (1 - self.momentum) * self._estimated(problem, x)
            x = Sign(size).step(x, slope.clone(), k)
            x = problem.budget.project(x, problem.originals).clamp(0.0, 1.0)
        return AttackResult(found, {"queries": asked})

    def _estimated(self, problem: Problem, x: Tensor) -> Tensor:
        """The loss's slope from differences (equation 2, antithetic)."""
        slope = torch.zeros_like(x)
        for _ in range(self.pairs):
            u = problem.rng.normal(x.shape[1:]).to(x)
            with torch.no_grad():
                above, _ = ask(problem, (x + self.sigma * u).clamp(0.0, 1.0), 1)
                below, _ = ask(problem, (x - self.sigma * u).clamp(0.0, 1.0), 1)
            difference = (above - below).nan_to_num(0.0, 0.0, 0.0)
            slope += u * difference.reshape(-1, 1, 1, 1)
        return slope / (2 * self.sigma * self.pairs)
