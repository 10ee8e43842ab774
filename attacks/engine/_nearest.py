"""What searches for the smallest change share: the nearest image that won, on bytes where that is wanted."""

import math
from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine._problem import Problem, ask
from advgen.core.budgets import L0, L1, L2, Linf
from advgen.core.types import Budget

Norm = Literal["Linf", "L2", "L1", "L0"]


def free_ball(norm: str) -> Budget:
    """The ball of a norm without a limit: its distance is what is minimised."""
    balls: dict[str, type[Linf | L2 | L1 | L0]] = {"Linf": Linf, "L2": L2, "L1": L1, "L0": L0}
    return balls[norm](math.inf)


@final
class Nearest:
    """The nearest image of each sample that won; the original until there is one."""

    def __init__(self, originals: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> None:
        n, device = len(originals), originals.device
        self.images = originals.clone()
        self.distance = torch.full((n,), torch.inf, device=device)
        self.zero, self.bad = (torch.zeros(n, dtype=torch.bool, device=device) for _ in range(2))
        self._originals, self._measured = originals, distance

    def offer(self, active: Tensor, images: Tensor, won: Tensor) -> Tensor:
        """Distances (n,) of the images of samples `active`; keeps those that won and are nearer."""
        distance = self._measured(images, self._originals[active])
        better = won & (distance < self.distance[active])
        where = active[better]
        self.images[where], self.distance[where] = images[better], distance[better]
        return distance

    def watch(self, active: Tensor, slope: Tensor, *, first: bool) -> None:
        size = slope.flatten(1).abs().amax(1)
        self.bad[active] |= ~size.isfinite()
        if first:
            self.zero[active] = (size == 0) & self.distance[active].isinf()

    def note(self) -> dict[str, Tensor]:
        return {"zero_gradient": self.zero, "bad_gradient": self.bad}


def on_bytes(images: Tensor, originals: Tensor) -> Tensor:
    """Images as saved: every change rounded to whole grey levels.

    For originals that came from bytes this is rounding the image; others keep the values that did not change.
    """
    base, levels = originals * 255, ((images - originals) * 255).round()
    from_bytes = (base - base.round()).abs() < 1e-3
    return (torch.where(from_bytes, base.round(), base) + levels).clamp(0.0, 255.0) / 255


def asked_on_bytes(
    problem: Problem, x: Tensor, *, rounded: bool, samples: int = 1, slope: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the target is shown, the goal's loss there, whether it is reached, and the loss's slope (zeros without).

    With `rounded` the target is shown the image in bytes and its slope is passed straight through to the unrounded one.
    """
    shown = on_bytes(x, problem.originals) if rounded else x.clone()
    shown = shown.detach().requires_grad_(slope)
    with torch.set_grad_enabled(slope):
        loss, reached = ask(problem, shown, samples)
        total = loss.sum()
    found = torch.zeros_like(x)
    if total.requires_grad:
        (given,) = torch.autograd.grad(total, shown, allow_unused=True)
        found = found if given is None else given
    return shown.detach(), loss.detach(), reached, found
