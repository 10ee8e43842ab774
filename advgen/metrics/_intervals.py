"""Intervals of 95%: Wilson's for shares, a jackknife over groups for smooth numbers about two sets."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

GROUPS = 20
Z = 1.959964

Interval = tuple[float, float]


class Jackknife(NamedTuple):
    """How far a number moves with other samples, as many."""

    margin: float  # half the width of the 95% interval
    bias: float  # what of the number comes from having few samples


def wilson(share: float, count: int) -> Interval:
    """The interval of a share of `count` (Wilson 1927)."""
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    margin = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return max(0.0, middle - margin), min(1.0, middle + margin)


def jackknife(
    statistic: Callable[[Tensor, Tensor], float], first: Tensor, second: Tensor, *, value: float, seed: int
) -> Jackknife | None:
    """Of `statistic(first, second)` = `value`, by leaving out each twentieth of each set; None under 40 rows in either.

    Its variance is the sum of both sets' (G - 1) / G sum (leave-one-out - mean)^2, with Student's t of 2 (G - 1)
    degrees of freedom (Efron and Stein 1981; groups drawn by `seed`).
    """
    if min(len(first), len(second)) < 2 * GROUPS:
        return None
    rng = np.random.default_rng(seed)
    variance, bias = 0.0, 0.0
    for of_first in (True, False):
        rows = first if of_first else second
        without = []
        for group in np.array_split(rng.permutation(len(rows)), GROUPS):
            keep = torch.ones(len(rows), dtype=torch.bool)
            keep[torch.from_numpy(group)] = False
            without.append(statistic(rows[keep], second) if of_first else statistic(first, rows[keep]))
        spread = np.array(without)
        variance += (GROUPS - 1) / GROUPS * float(np.square(spread - spread.mean()).sum())
        bias += (GROUPS - 1) * (float(spread.mean()) - value)
    return Jackknife(float(stats.t.ppf(0.975, 2 * (GROUPS - 1))) * math.sqrt(variance), bias)
