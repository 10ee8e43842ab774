"""Fast gradient sign method: one step of the whole budget along the gradient's sign.

The method has no loop and keeps no best point, so it does not use the engine's: what it returns is the step, even
where the step made things worse.

Goodfellow et al. 2015, "Explaining and Harnessing Adversarial Examples", arXiv 1412.6572, section 4; the L2 version
takes the normalised gradient (Miyato et al. 2017, arXiv 1605.07725, equation 6).
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from advgen.attacks.engine import steepest
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Goal, Target


@final
@dataclass(frozen=True)
class FGSM:
    paper = "Goodfellow et al. 2015, arXiv 1412.6572"
    access = "white-box"
    budgets = ("Linf", "L2")
    cost = "gradient"

    budget: Budget

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        moved = images.detach().clone().requires_grad_()
        loss = goal.loss(Counted(target, meter)(moved, rng)).sum()
        slope = torch.autograd.grad(loss, moved)[0] if loss.requires_grad else torch.zeros_like(images)
        size = slope.flatten(1).abs().amax(1)
        note = {"zero_gradient": size == 0, "bad_gradient": ~size.isfinite()}
        step = steepest(self.budget, self.budget.radius, steps=1)
        stepped = step.step(images.detach().clone(), slope.nan_to_num(0.0, 0.0, 0.0), 0)
        return AttackResult(stepped.clamp(0.0, 1.0), note)
