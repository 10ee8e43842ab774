"""Step rules: how coordinates follow a gradient, the steepest way in each norm, and Adam."""

from dataclasses import dataclass
from typing import Protocol, Self, final

import torch
from torch import Tensor

from advgen.core.types import Budget, Index


class StepRule(Protocol):
    """How coordinates follow a gradient: one step, in place where it can."""

    def take(self, index: Index) -> Self: ...
    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor: ...


@final
@dataclass(frozen=True)
class Sign:
    """Steepest descent in Linf: a step of `step_size` in every coordinate."""

    step_size: float | Tensor

    def take(self, index: Index) -> "Sign":
        return Sign(taken(self.step_size, index))

    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor:
        size = shaped(self.step_size, gradient)
        if isinstance(size, float):
            return coordinates.sub_(gradient.sign_(), alpha=size)
        return coordinates.sub_(gradient.sign_().mul_(size))


@final
@dataclass(frozen=True)
class Normalised:
    """Steepest descent in L2: a step of length `step_size` along the gradient; no step where it is zero.

    `by_rows` counts the length as `Latent` does: root mean square over the rows of coordinates (N, ..., D).
    """

    step_size: float | Tensor
    by_rows: bool = False

    def take(self, index: Index) -> "Normalised":
        return Normalised(taken(self.step_size, index), self.by_rows)

    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor:
        # Divided by the largest value first: tiny gradients of confident samples must not underflow when squared.
        largest = gradient.abs().flatten(1).amax(1).clamp(min=1e-38).reshape(-1, *[1] * (gradient.dim() - 1))
        scaled = gradient / largest
        length = scaled.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(largest.shape)
        if self.by_rows:
            length = length / (gradient.shape[1:-1].numel() ** 0.5)
        return coordinates.sub_(scaled / length * shaped(self.step_size, gradient))


@final
@dataclass(frozen=True)
class Sparse:
    """Descent in L1: a step of L1 length `step_size` shared by the `share` steepest coordinates that can still move.

    Tramer & Boneh 2019 (arXiv 1904.13000, section 3.2, "SLIDE"); coordinates already at the limit they are pushed
    towards are left out.
    """

    step_size: float | Tensor
    share: float = 0.01

    def take(self, index: Index) -> "Sparse":
        return Sparse(taken(self.step_size, index), self.share)

    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor:
        stuck = ((coordinates <= 0) & (gradient > 0)) | ((coordinates >= 1) & (gradient < 0))
        flat = gradient.masked_fill(stuck, 0.0).flatten(1)
        count = max(1, round(self.share * flat.shape[1]))
        steepest = flat.abs().topk(count, dim=1).values[:, -1:]
        chosen = (flat.abs() >= steepest.clamp(min=1e-38)).to(flat.dtype)
        direction = flat.sign() * chosen / chosen.sum(1, keepdim=True).clamp(min=1)
        return coordinates.sub_(direction.reshape(gradient.shape) * shaped(self.step_size, gradient))


@final
class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1) with a state of its own for every coordinate."""

    def __init__(self, step_size: float, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        self.step_size = step_size
        self.betas = betas
        self.epsilon = epsilon
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    def take(self, index: Index) -> "Adam":
        kept = Adam(self.step_size, self.betas, self.epsilon)
        kept._mean = None if self._mean is None else self._mean[index]
        kept._square = None if self._square is None else self._square[index]
        return kept

    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor:
        if self._mean is None or self._square is None:
            self._mean, self._square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        first, second = self.betas
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        mean = self._mean / (1 - first ** (k + 1))
        spread = (self._square / (1 - second ** (k + 1))).sqrt_().add_(self.epsilon)
        return coordinates.sub_(mean.div_(spread), alpha=self.step_size)


def steepest(budget: Budget, step_size: float | Tensor | None, *, steps: int) -> StepRule:
    """The steepest step in the budget's norm; `step_size` None = 2.5 radius / steps (Madry et al. 2018).

    L0 steps reach the whole range of values; budgets in a learned distance have no such scale: Adam with 0.01.
    """
    if budget.name not in ("Linf", "L2", "L1", "L0", "Latent"):
        return Adam(0.01 if step_size is None else float(step_size))
    if step_size is None:
        step_size = 1.0 if budget.name == "L0" else 2.5 * budget.radius / max(steps, 1)
    if budget.name == "Linf":
        return Sign(step_size)
    if budget.name == "L1":
        return Sparse(step_size)
    return Normalised(step_size, by_rows=budget.name == "Latent")


def taken(size: float | Tensor, index: Index) -> float | Tensor:
    return size[index] if isinstance(size, Tensor) and size.dim() else size


def shaped(size: float | Tensor, like: Tensor) -> float | Tensor:
    return size.reshape(-1, *[1] * (like.dim() - 1)) if isinstance(size, Tensor) and size.dim() else size
