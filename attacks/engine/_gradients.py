"""Gradient rules: where and how the gradient is taken before the step; they nest in any order and number.

A rule turns `slope_at` (coordinates to gradient) into another. So momentum over a variance-tuned, translation-invariant
gradient of five scaled copies of a resized image is `(Momentum, Variance, Blurred, Scaled, Resized)`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor

from advgen.attacks.engine._problem import Problem
from advgen.attacks.engine._steps import shaped, taken
from advgen.core.errors import BadArgument, UnknownName
from advgen.core.rng import SampleRng
from advgen.core.types import Index

FAMILY = ("nim", "dim", "tim", "sim", "vmi")

SlopeAt = Callable[[Tensor], Tensor]  # coordinates (N, ...) to the gradient of the summed loss there


class GradientRule(Protocol):
    """Rules with a memory belong to one batch, and shrink with it."""

    def take(self, index: Index) -> Self: ...
    def __call__(self, slope_at: SlopeAt, coordinates: Tensor, *, k: int) -> Tensor: ...


def nested(rules: Sequence[GradientRule], slope_at: SlopeAt, k: int) -> SlopeAt:
    """`slope_at` inside the last rule, that inside the one before, and so on."""
    for rule in reversed(rules):
        slope_at = partial(rule, slope_at, k=k)
    return slope_at


@final
class Momentum:
    """g <- decay * g + slope / mean|slope| (Dong et al. 2018, arXiv 1710.06081, equation 6, with the code's mean).

    With `lookahead` (the step's size) the slope is taken where g alone would lead, x - lookahead * decay * g
    (Nesterov; Lin et al. 2020, arXiv 1908.06281, equation 6).
    """

    def __init__(self, decay: float, lookahead: float | Tensor = 0.0) -> None:
        self.decay = decay
        self.lookahead = lookahead
        self._momentum: Tensor | None = None

    def take(self, index: Index) -> "Momentum":
        kept = Momentum(self.decay, taken(self.lookahead, index))
        kept._momentum = None if self._momentum is None else self._momentum[index]
        return kept

    def __call__(self, slope_at: SlopeAt, coordinates: Tensor, *, k: int) -> Tensor:
        at = coordinates
        looks_ahead = isinstance(self.lookahead, Tensor) or self.lookahead != 0
        if self._momentum is not None and looks_ahead:
            at = coordinates - self._momentum * shaped(self.lookahead, coordinates) * self.decay
        slope = slope_at(at).nan_to_num(0.0, 0.0, 0.0)
        mean = slope.abs().flatten(1).mean(1).clamp(min=1e-38).reshape(-1, *[1] * (slope.dim() - 1))
        slope = slope / mean
        self._momentum = slope if self._momentum is None else self._momentum * self.decay + slope
        return self._momentum.clone()


@final
class Variance:
    """slope + v, v being how the mean slope of `neighbours` near the last iterate differed from the slope at it.

    Wang & He 2021, arXiv 2103.15571, equation 5 and Algorithm 1; neighbours are uniform within `reach` radii in Linf.
    """

    def __init__(self, neighbours: int, radius: float | Tensor, reach: float, rng: SampleRng) -> None:
        self.neighbours = neighbours
        self.radius = radius
        self.reach = reach
        self.rng = rng
        self._variance: Tensor | None = None

    def take(self, index: Index) -> "Variance":
        kept = Variance(self.neighbours, taken(self.radius, index), self.reach, self.rng.take(index))
        kept._variance = None if self._variance is None else self._variance[index]
        return kept

    def __call__(self, slope_at: SlopeAt, coordinates: Tensor, *, k: int) -> Tensor:
        slope = slope_at(coordinates).clone()
        tuned = slope if self._variance is None else slope + self._variance
        mean = torch.zeros_like(slope)
        for _ in range(self.neighbours):
            offset = self.rng.uniform(coordinates.shape[1:], -self.reach, self.reach).to(coordinates)
            mean += slope_at(coordinates + offset * shaped(self.radius, coordinates)) / self.neighbours
        self._variance = mean - slope
        return tuned


@final
class Blurred:
    """The slope convolved with a Gaussian: about the mean slope over shifts of the image.

    Dong et al. 2019, arXiv 1904.02884, equation 7; `size` pixels on a side, its standard deviation size / 6 as in the
    authors' code (three deviations reach the kernel's edge).
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def take(self, index: Index) -> "Blurred":
        return self

    def __call__(self, slope_at: SlopeAt, coordinates: Tensor, *, k: int) -> Tensor:
        slope = slope_at(coordinates)
        offsets = torch.linspace(-3, 3, self.size, dtype=slope.dtype, device=slope.device)
        bell = torch.exp(-offsets.square() / 2) if self.size > 1 else torch.ones_like(offsets)
        bell = (bell / bell.sum()).expand(slope.shape[1], 1, 1, -1)
        pad, channels = self.size // 2, slope.shape[1]
        rows = F.conv2d(slope, bell, padding=(0, pad), groups=channels)
        return F.conv2d(rows, bell.transpose(2, 3), padding=(pad, 0), groups=channels)


@final
class Scaled:
    """The mean slope of the loss of x, x / 2, x / 4, ... (Lin et al. 2020, arXiv 1908.06281, equation 8)."""

    def __init__(self, copies: int) -> None:
        self.copies = copies

    def take(self, index: Index) -> "Scaled":
        return self

    def __call__(self, slope_at: SlopeAt, coordinates: Tensor, *, k: int) -> Tensor:
        total = slope_at(coordinates).clone()
        for i in range(1, self.copies):
            total += slope_at(coordinates / 2**i) / 2**i  # the chain rule's factor
        return total / self.copies


@final
class Resized:
    """The slope through a random shrinking, with `probability`: the input diversity of Xie et al. 2019.

    arXiv 1803.06978, section 3.3: the image is enlarged to between its size and `rate` times it, and put at random on
    black of the latter size. Networks of a fixed input size then see that shrunk back, which is what is done here in
    one bilinear step: a share in [1 / rate, 1) of the side, anywhere.
    """

    def __init__(self, rate: float, probability: float, rng: SampleRng) -> None:
        self.rate = rate
        self.probability = probability
        self.rng = rng

    def take(self, index: Index) -> "Resized":
        return Resized(self.rate, self.probability, self.rng.take(index))

    def __call__(self, slope_at: SlopeAt, coordinates: Tensor, *, k: int) -> Tensor:
        if not len(coordinates):
            return slope_at(coordinates)
        with torch.enable_grad():
            at = coordinates.detach().requires_grad_()
            seen = self._seen(at)
        (slope,) = torch.autograd.grad(seen, at, slope_at(seen.detach()))
        return slope

    def _seen(self, images: Tensor) -> Tensor:
        drawn = self.rng.uniform((4,)).to(images)
        share = 1 / self.rate + (1 - 1 / self.rate) * drawn[:, 0]
        grid = F.affine_grid(_shrinking(share, drawn[:, 1:3] * 2 - 1), list(images.shape), align_corners=False)
        seen = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return torch.where((drawn[:, 3] < self.probability).reshape(-1, 1, 1, 1), seen, images)


def _shrinking(share: Tensor, place: Tensor) -> Tensor:
    """(N, 2, 3) maps of the output onto the input for a picture of `share` of the side at `place` in [-1, 1]^2."""
    zero = torch.zeros_like(share)
    middle = place * (1 - share)[:, None]
    x = torch.stack([1 / share, zero, -middle[:, 0] / share], dim=1)
    y = torch.stack([zero, 1 / share, -middle[:, 1] / share], dim=1)
    return torch.stack([x, y], dim=1)


def transfer_rules(
    names: Sequence[str],
    problem: Problem,
    *,
    step_size: float | Tensor,
    decay: float,
    kernel: int = 7,
    copies: int = 5,
    rate: float = 1.1,
    probability: float = 0.5,
    neighbours: int = 20,
    reach: float = 1.5,
) -> list[GradientRule]:
    """Momentum around the rules named, nested as in the papers: variance, translation, scale, then diversity.

    `kernel` and `copies` are of "tim" and "sim", `rate` and `probability` of "dim", `neighbours` and `reach` (in radii
    of the budget) of "vmi".

    Raises:
        UnknownName: a name that is not of the family.
        BadArgument: a rule for Linf under another budget.
    """
    for name in names:
        if name not in FAMILY:
            raise UnknownName.among("gradient rule", name, FAMILY)
        if name in ("nim", "vmi") and problem.budget.name != "Linf":
            raise BadArgument(f"{name!r} looks about in Linf, and the budget is in {problem.budget.name}.")
    rules: list[GradientRule] = [Momentum(decay, step_size if "nim" in names else 0.0)]
    if "vmi" in names:
        rules.append(Variance(neighbours, problem.budget.radius, reach, problem.rng.fork("vmi")))
    if "tim" in names:
        rules.append(Blurred(kernel))
    if "sim" in names:
        rules.append(Scaled(copies))
    if "dim" in names:
        rules.append(Resized(rate, probability, problem.rng.fork("dim")))
    return rules
