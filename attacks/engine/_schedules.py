"""APGD's schedules: when a sample's step is halved and it goes back to its best point, and how it steps.

Croce & Hein 2020, arXiv 2003.01690, section 3.1 and Algorithm 1 (Linf, L2); 2021, arXiv 2103.01208, Algorithm 1 (L1).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol, Self, final

import torch
from torch import Tensor

from advgen.attacks.engine._steps import shaped, steepest
from advgen.core.types import Budget, Index


@dataclass
class Progress:
    """What is known of the samples still in; each tensor has N rows."""

    active: Tensor  # their positions in the whole batch
    origin: Tensor
    previous: Tensor  # x^(k-1)
    best: Tensor  # x_max
    best_slope: Tensor
    best_loss: Tensor
    loss: Tensor  # of the last iterate

    @staticmethod
    def before(x: Tensor, origin: Tensor) -> "Progress":
        infinite = torch.full((len(x),), torch.inf, device=x.device)
        active = torch.arange(len(x), device=x.device)
        return Progress(active, origin, x.clone(), x.clone(), torch.zeros_like(x), infinite, infinite.clone())

    def take(self, index: Index) -> "Progress":
        return Progress(*(getattr(self, f.name)[index] for f in fields(self)))

    def note(self, x: Tensor, loss: Tensor, slope: Tensor) -> Tensor:
        """(N,) bool, whether this iterate is better than the last one; keeps the best."""
        better, lowest = loss < self.loss, loss < self.best_loss
        self.best = torch.where(shaped(lowest, x), x, self.best)
        self.best_slope = torch.where(shaped(lowest, x), slope, self.best_slope)
        self.best_loss, self.loss = torch.where(lowest, loss, self.best_loss), loss
        return better


class Schedule(Protocol):
    def take(self, index: Index) -> Self: ...

    def look(self, k: int, better: Tensor, seen: Progress) -> Tensor:
        """(N,) bool, who goes back to the best point before step k + 1."""
        ...

    def step(self, x: Tensor, slope: Tensor, k: int, seen: Progress, inside: Callable[[Tensor], Tensor]) -> Tensor:
        """The next iterate; `inside` projects onto budget and box."""
        ...


def checkpoints(steps: int) -> list[int]:
    """Where progress is looked at: w_j = ceil(p_j N), p = 0, 0.22, then p + max(p - p_before - 0.03, 0.06)."""
    percent = [0, 22]
    while percent[-1] < 100:
        percent.append(percent[-1] + max(percent[-1] - percent[-2] - 3, 6))
    # In whole numbers, so that 0.22 * 100 is 22.
    return sorted({-(-p * steps // 100) for p in percent[1:] if p <= 100} - {0})


@final
class Halving:
    """Linf and L2: a step of twice the radius, halved at checkpoints; the last step is kept up with some weight."""

    def __init__(self, budget: Budget, x: Tensor, *, steps: int, momentum: float, rho: float) -> None:
        n, device = len(x), x.device
        self._looks = checkpoints(steps)
        self._budget = budget
        self._momentum, self._rho = momentum, rho
        self.size = 2 * torch.as_tensor(budget.radius, dtype=torch.float32, device=device).expand(n).clone()
        self._better = torch.zeros(n, device=device)  # steps since the last checkpoint that lowered the loss
        self._checked = torch.full((n,), torch.inf, device=device)  # the best loss at the last checkpoint
        self._halved = torch.zeros(n, dtype=torch.bool, device=device)  # there

    def take(self, index: Index) -> "Halving":
        taken = object.__new__(Halving)
        taken.__dict__ = {k: v[index] if isinstance(v, Tensor) else v for k, v in self.__dict__.items()}
        return taken

    def look(self, k: int, better: Tensor, seen: Progress) -> Tensor:
        if k == 0:
            self._checked = seen.best_loss.clone()
            return torch.zeros_like(better)
        self._better = self._better + better
        if k not in self._looks:
            return torch.zeros_like(better)
        since = k - [0, *self._looks][self._looks.index(k)]
        too_few = self._better < self._rho * since  # condition 1
        stuck = ~self._halved & (seen.best_loss >= self._checked)  # condition 2
        self._halved, self._checked = too_few | stuck, seen.best_loss.clone()
        self.size = torch.where(self._halved, self.size / 2, self.size)
        self._better = torch.zeros_like(self._better)
        return self._halved

    def step(self, x: Tensor, slope: Tensor, k: int, seen: Progress, inside: Callable[[Tensor], Tensor]) -> Tensor:
        z = inside(steepest(self._budget, self.size, steps=1).step(x.clone(), slope.clone(), k))
        if k == 0:
            return z
        a = self._momentum
        return inside(x + a * (z - x) + (1 - a) * (x - seen.previous))


@final
class Sparsity:
    """L1: a step shared by the steepest coordinates, as many as the best point's changes suggest; no momentum.

    Constants are the authors' code's: a look every 4% of the steps, a step that shrinks 1.5-fold down to a tenth.
    """

    SHRINK, LEAST, FIRST_SHARE, SETTLED = 1.5, 0.1, 0.2, 0.95

    def __init__(self, budget: Budget, x: Tensor, origin: Tensor, *, steps: int) -> None:
        self._every = max(int(0.04 * steps), 1)
        n, self._dimensions = len(x), float(x[0].numel()) if len(x) else 1.0
        self.radius = torch.as_tensor(budget.radius, dtype=torch.float32, device=x.device).expand(n).clone()
        self.size = self.radius.clone()
        changed = _changed(x, origin)
        self._share = torch.where(changed > 0, changed / self._dimensions / self.SHRINK, self.FIRST_SHARE)
        self._spread = torch.where(changed > 0, changed, self._dimensions)

    def take(self, index: Index) -> "Sparsity":
        taken = object.__new__(Sparsity)
        taken.__dict__ = {k: v[index] if isinstance(v, Tensor) else v for k, v in self.__dict__.items()}
        return taken

    def look(self, k: int, better: Tensor, seen: Progress) -> Tensor:
        if k == 0 or k % self._every:
            return torch.zeros_like(better)
        spread = _changed(seen.best, seen.origin)
        sparser = spread / self._spread < self.SETTLED
        self._share, self._spread = spread / self._dimensions / self.SHRINK, spread.clamp(min=1)
        shrunk = torch.maximum(self.size / self.SHRINK, self.radius * self.LEAST)
        self.size = torch.where(sparser, self.radius, shrunk)
        return sparser

    def step(self, x: Tensor, slope: Tensor, k: int, seen: Progress, inside: Callable[[Tensor], Tensor]) -> Tensor:
        size = slope.flatten(1).abs()
        count = (self._share * self._dimensions).long().clamp(min=1, max=size.shape[1])
        ordered = size.sort(dim=1, descending=True).values
        chosen = (size >= ordered.gather(1, count[:, None] - 1)) & (size > 0)
        direction = slope.flatten(1).sign() * chosen
        direction = direction / chosen.sum(1, keepdim=True).clamp(min=1)
        return inside(x - direction.reshape(x.shape) * shaped(self.size, x))


def _changed(x: Tensor, origin: Tensor) -> Tensor:
    return (x != origin).flatten(1).sum(1).to(torch.float32)
