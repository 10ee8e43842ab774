"""What is drawn for a batch of augmentations: one number a sample and operation, 0 where it is not applied.

Drawn on the CPU in float32, so that a seed gives the same transforms on every device, and in the order of the official
program of arXiv 2006.06676 (the value, then whether it is applied), so that on the CPU a seed gives the same as there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """Random numbers of the CPU, a row a sample, from `generator` or torch's own.

    Where several processes share a batch, each draws for all of it and keeps every `world`-th row from `rank` on, so
    that a sample gets the same numbers however many there are.
    """

    generator: torch.Generator | None = None
    rank: int = 0
    world: int = 1

    def uniform(self, count: int, *size: int) -> Tensor:
        """(count, *size) in [0, 1)."""
        return self._mine(torch.rand((count * self.world, *size), generator=self.generator))

    def normal(self, count: int, *size: int) -> Tensor:
        """(count, *size)."""
        return self._mine(torch.randn((count * self.world, *size), generator=self.generator))

    def between(self, low: int, high: int, count: int, *size: int) -> Tensor:
        """(count, *size) of low .. high - 1."""
        return self._mine(torch.randint(low, high, (count * self.world, *size), generator=self.generator))

    def _mine(self, rows: Tensor) -> Tensor:
        return rows[self.rank :: self.world]


@dataclass(frozen=True)
class Amounts:
    """Numbers for `count` samples, each applied with probability `p` times its multiplier.

    At a percentile of their distribution, all numbers are that percentile, and every operation whose multiplier is not
    0 is applied to every sample; the draws move on all the same, so that what is drawn next does not depend on it.
    """

    count: int
    p: float
    percentile: float | None = None
    draws: Draws = Draws()

    def steps(self, choices: int, multiplier: float) -> Tensor:
        """(N,) of 0, 1 .. choices - 1."""
        return self._applied_only(multiplier, lambda: (self.anywhere() * choices).floor())

    def uniform(self, multiplier: float, *size: int) -> Tensor:
        """(N, *size) in [-1, 1)."""
        return self._applied_only(multiplier, lambda: self.anywhere(*size) * 2 - 1, *size)

    def normal(self, multiplier: float, *size: int) -> Tensor:
        """(N, *size); at a percentile 1 / sqrt(2) of the true quantile, as the official program has it."""
        return self._applied_only(multiplier, lambda: self._normal(lambda q: (q * 2 - 1).erfinv(), *size), *size)

    def half_normal(self, multiplier: float) -> Tensor:
        """(N,), not negative; at a percentile again without the factor sqrt(2)."""
        return self._applied_only(multiplier, lambda: self._normal(torch.erfinv).abs())

    def anywhere(self, *size: int) -> Tensor:
        """(N, *size) in [0, 1), applied or not."""
        drawn = self.draws.uniform(self.count, *size)
        return drawn if self.percentile is None else torch.full_like(drawn, self.percentile)

    def applied(self, multiplier: float) -> Tensor:
        """(N,) bool."""
        applied = self.draws.uniform(self.count) < multiplier * self.p
        return applied if self.percentile is None else torch.full_like(applied, multiplier > 0)

    def _normal(self, quantile: Callable[[Tensor], Tensor], *size: int) -> Tensor:
        drawn = self.draws.normal(self.count, *size)
        if self.percentile is None:
            return drawn
        return quantile(torch.tensor(self.percentile)).expand_as(drawn)

    def _applied_only(self, multiplier: float, draw: Callable[[], Tensor], *size: int) -> Tensor:
        if not multiplier:
            return torch.zeros(self.count, *size)
        drawn = draw()
        applied = self.applied(multiplier).reshape(-1, *[1] * len(size))
        return torch.where(applied, drawn, torch.zeros_like(drawn))
