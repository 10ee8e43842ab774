"""Uniform random noise of the budget's size: the control that an attack must beat.

No gradient and no search: one draw a try, the best of `tries` kept. If it does as well as an attack, the attack found
nothing (Carlini et al. 2019, "On Evaluating Adversarial Robustness", arXiv 1902.06705, section 4).
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class Noise:
    paper = "Carlini et al. 2019, arXiv 1902.06705"
    access = "score"
    budgets = ("Linf", "L2", "L1", "L0")
    cost = "forward"
    waives: ClassVar = {
        "reaches_the_closed_form_optimum": "a control: it does not search",
        "unbounded_always_wins": "a control: it does not search",
    }

    budget: Budget
    tries: int = 1  # draws; the one with the lowest loss is returned

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        counted = Counted(target, meter)
        best = images.clone()
        lowest = torch.full((len(images),), torch.inf, device=images.device)
        for _ in range(self.tries):
            drawn = self.budget.random(images, rng).clamp(0.0, 1.0)
            with torch.no_grad():
                loss = goal.loss(counted(drawn, rng))
            better = loss < lowest
            best = torch.where(better.reshape(-1, *[1] * (images.dim() - 1)), drawn, best)
            lowest = torch.where(better, loss, lowest)
        return AttackResult(best)
