"""A learned distance as a norm of feature differences, which is what perceptual attacks take steps in."""

from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from advgen.core.budgets import Perceptual
from advgen.core.errors import BadArgument
from advgen.core.types import Budget, Index


@final
@dataclass(frozen=True)
class FeatureNorm:
    """|phi(x) - phi(y)| of a budget in a learned distance, bound to one batch of originals.

    `squared`: the budget's distance is a square, as the lpips package's is, so that its root is the norm; else it is
    the norm itself, as Laidlaw et al. 2021 define theirs. A radius in one is no radius in the other.
    """

    budget: Perceptual
    originals: Tensor
    squared: bool

    @staticmethod
    def of(budget: Budget, originals: Tensor, *, squared: bool, method: str) -> "FeatureNorm":
        if not isinstance(budget, Perceptual):
            raise BadArgument(f"{method} is bounded by a learned distance, and the budget is in {budget.name}.")
        return FeatureNorm(budget.bound(originals), originals, squared)

    def take(self, index: Index) -> Self:
        return replace(self, budget=self.budget.take(index), originals=self.originals[index])

    @property
    def radius(self) -> Tensor:
        """(N,), of the norm."""
        radius = torch.as_tensor(self.budget.radius, dtype=self.originals.dtype, device=self.originals.device)
        radius = radius.expand(len(self.originals))
        return radius.sqrt() if self.squared else radius

    def to_originals(self, images: Tensor) -> Tensor:
        """(N,) norms, differentiable; the slope at zero is zero."""
        return self._rooted(self.budget.distance(images, self.originals))

    def between(self, images: Tensor, others: Tensor) -> Tensor:
        return self._rooted(self.budget.metric(images, others))

    def curvature(self, images: Tensor, direction: Tensor, h: float) -> Tensor:
        """J^T J times the direction, J the features' Jacobian at the images, by one difference of size h."""
        with torch.enable_grad():
            moved = (images + h * direction).detach().requires_grad_()
            distance = self.budget.metric(moved, images)
            square = distance if self.squared else distance.square()
            (slope,) = torch.autograd.grad(square.sum(), moved)
        return slope / (2 * h)

    def _rooted(self, distance: Tensor) -> Tensor:
        if not self.squared:
            return distance
        positive = distance > 0
        return torch.where(positive, torch.where(positive, distance, 1.0).sqrt(), 0.0)
