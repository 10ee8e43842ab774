"""Budgets: how far an image may move, measured against its original.

Every budget measures (`distance`), and those with a closed form also `project` onto their ball and draw from it.
The box [0, 1] belongs to the space (`Space.clip`), not to the ball. Radii are in units of [0, 1].
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self, final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.rng import SampleRng
from advgen.core.specs import BUDGETS, BudgetSpec, radius_of
from advgen.core.types import Budget, Index

# Float arithmetic may leave a point this far outside its ball, relative to the radius.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class _Ball:
    radius: float | Tensor  # a number, or (N,) for binary searches

    closed_form = True
    of: Literal["images", "coordinates"] = "images"

    def __post_init__(self) -> None:
        smallest = float(self.radius.min()) if isinstance(self.radius, Tensor) and self.radius.numel() else self.radius
        if not isinstance(smallest, Tensor) and not smallest >= 0:
            raise BadArgument(f"the radius of a budget must be 0 or more, got {smallest}; write one such as 8/255.")

    @property
    def name(self) -> str:
        return type(self).__name__

    def take(self, index: Index) -> Self:
        if not isinstance(self.radius, Tensor) or self.radius.dim() == 0:
            return self
        return replace(self, radius=self.radius[index])

    def distance(self, images: Tensor, originals: Tensor) -> Tensor:
        raise AssertionError("each ball measures in its own norm")

    def project(self, images: Tensor, originals: Tensor) -> Tensor:
        raise AssertionError("each ball projects in its own norm")

    def random(self, originals: Tensor, rng: SampleRng) -> Tensor:
        raise AssertionError("each ball draws in its own norm")

    def to_uint8(self, images: Tensor, originals_u8: Tensor) -> Tensor:
        raise AssertionError("each ball rounds in its own norm")

    def contains(self, images: Tensor, originals: Tensor) -> Tensor:
        """(N,) bool, up to the float tolerance."""
        radius = torch.as_tensor(self.radius, dtype=images.dtype, device=images.device)
        with torch.no_grad():
            return self.distance(images, originals) <= radius * (1 + TOLERANCE) + 1e-6

    def _radius(self, like: Tensor) -> Tensor:
        """The radius, shaped to broadcast over images: () or (N, 1, ...)."""
        radius = torch.as_tensor(self.radius, dtype=like.dtype, device=like.device)
        return radius.reshape(-1, *[1] * (like.dim() - 1)) if radius.dim() else radius


@final
@dataclass(frozen=True)
class Linf(_Ball):
    """The largest change of any value."""

    def distance(self, images: Tensor, originals: Tensor) -> Tensor:
        return (images - originals).abs().flatten(1).amax(1)

    def project(self, images: Tensor, originals: Tensor) -> Tensor:
        radius = self._radius(images)
        return torch.minimum(torch.maximum(images, originals - radius), originals + radius)

    def random(self, originals: Tensor, rng: SampleRng) -> Tensor:
        """Uniform in the ball."""
        noise = rng.uniform(originals.shape[1:], -1.0, 1.0).to(originals)
        return originals + noise * self._radius(originals)

    def to_uint8(self, images: Tensor, originals_u8: Tensor) -> Tensor:
        """Nearest bytes, clipped to floor(255 radius + 1e-4) grey levels around the original's bytes."""
        levels = torch.floor(torch.as_tensor(self.radius, dtype=torch.float64) * 255 + 1e-4).clamp(max=255)
        levels = levels.to(torch.int16).to(originals_u8.device)
        levels = levels.reshape(-1, *[1] * (images.dim() - 1)) if levels.dim() else levels
        origin = originals_u8.to(torch.int16)
        nearest = _nearest(images).to(torch.int16)
        return torch.minimum(torch.maximum(nearest, origin - levels), origin + levels).clamp(0, 255).to(torch.uint8)


@final
@dataclass(frozen=True)
class L2(_Ball):
    """The Euclidean length of the change, over all channels and pixels."""

    def distance(self, images: Tensor, originals: Tensor) -> Tensor:
        return _length((images - originals).flatten(1))

    def project(self, images: Tensor, originals: Tensor) -> Tensor:
        change = images - originals
        length = _length(change.flatten(1)).reshape(-1, *[1] * (images.dim() - 1))
        scale = (self._radius(images) / length.clamp(min=1e-12)).clamp(max=1.0)
        return torch.where(scale < 1.0, originals + change * scale, images)

    def random(self, originals: Tensor, rng: SampleRng) -> Tensor:
        """Uniform in the ball."""
        direction = rng.normal(originals.shape[1:]).to(originals)
        length = _length(direction.flatten(1))
        reach = rng.uniform(()).to(originals) ** (1.0 / direction[0].numel()) if len(direction) else length
        shape = (-1, *[1] * (originals.dim() - 1))
        return originals + direction * (reach / length.clamp(min=1e-12)).reshape(shape) * self._radius(originals)

    def to_uint8(self, images: Tensor, originals_u8: Tensor) -> Tensor:
        """Nearest bytes; values that rounding pushed outwards go back, those nearest to a tie first, until inside."""
        return _pulled_back(images, originals_u8, self.radius, power=2)


@final
@dataclass(frozen=True)
class L1(_Ball):
    """The sum of absolute changes."""

    def distance(self, images: Tensor, originals: Tensor) -> Tensor:
        return (images - originals).abs().flatten(1).sum(1)

    def project(self, images: Tensor, originals: Tensor) -> Tensor:
        """The nearest point: soft thresholding (Duchi et al. 2008, Figure 1)."""
        change = (images - originals).flatten(1)
        radius = torch.as_tensor(self.radius, dtype=images.dtype, device=images.device).reshape(-1, 1)
        size = change.abs()
        order = size.sort(dim=1, descending=True).values
        running = order.cumsum(1) - radius
        count = torch.arange(1, order.shape[1] + 1, device=images.device, dtype=images.dtype)
        last = ((order * count > running).sum(1, keepdim=True) - 1).clamp(min=0)
        threshold = (running.gather(1, last) / (last + 1)).clamp(min=0)
        moved = change.sign() * (size - threshold).clamp(min=0)
        return torch.where(size.sum(1, keepdim=True) > radius, originals.flatten(1) + moved, images.flatten(1)).reshape(
            images.shape
        )

    def random(self, originals: Tensor, rng: SampleRng) -> Tensor:
        """Uniform in the ball: signed exponential spacings (one spare takes up the rest)."""
        flat = originals.flatten(1)
        spacings = -torch.log(1 - rng.uniform((flat.shape[1] + 1,)).to(originals))
        share = spacings[:, :-1] / spacings.sum(1, keepdim=True)
        sign = rng.integers(0, 2, (flat.shape[1],)).to(originals) * 2 - 1
        return originals + (share * sign).reshape(originals.shape) * self._radius(originals)

    def to_uint8(self, images: Tensor, originals_u8: Tensor) -> Tensor:
        """As for L2, with the sum of grey levels."""
        return _pulled_back(images, originals_u8, self.radius, power=1)


@final
@dataclass(frozen=True)
class L0(_Ball):
    """The number of pixels (positions) at which any channel changed."""

    def distance(self, images: Tensor, originals: Tensor) -> Tensor:
        return ((images - originals).abs() > 0).any(1).flatten(1).sum(1).to(images.dtype)

    def project(self, images: Tensor, originals: Tensor) -> Tensor:
        """The nearest point: the pixels with the largest change stay, the others go back."""
        change = images - originals
        size = change.square().sum(1).flatten(1)
        rank = size.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        limit = torch.as_tensor(self.radius, device=images.device).floor().reshape(-1, 1)
        keep = (rank < limit).reshape(len(images), 1, *images.shape[2:])
        return torch.where(keep, images, originals)

    def random(self, originals: Tensor, rng: SampleRng) -> Tensor:
        """New uniform values at pixels drawn without replacement."""
        positions = originals[0, 0].numel() if len(originals) else 0
        rank = rng.permutation(positions).to(originals.device)
        limit = torch.as_tensor(self.radius, device=originals.device).floor().reshape(-1, 1)
        chosen = (rank < limit).reshape(len(originals), 1, *originals.shape[2:])
        return torch.where(chosen, rng.uniform(originals.shape[1:]).to(originals), originals)

    def to_uint8(self, images: Tensor, originals_u8: Tensor) -> Tensor:
        """Nearest bytes, then the pixels with the largest change up to the limit."""
        nearest = _nearest(images).to(torch.float32)
        return self.project(nearest, originals_u8.to(torch.float32)).to(torch.uint8)


@final
@dataclass(frozen=True)
class Latent(_Ball):
    """The Euclidean distance of coordinates, root mean square over rows, in the unit of the space."""

    of: Literal["images", "coordinates"] = "coordinates"

    def distance(self, images: Tensor, originals: Tensor) -> Tensor:
        return _length((images - originals).flatten(1)) / _rows(images)

    def project(self, images: Tensor, originals: Tensor) -> Tensor:
        return L2(self._l2_radius(images)).project(images, originals)

    def random(self, originals: Tensor, rng: SampleRng) -> Tensor:
        return L2(self._l2_radius(originals)).random(originals, rng)

    def to_uint8(self, images: Tensor, originals_u8: Tensor) -> Tensor:
        """Nearest bytes: the ball lies in coordinates, which saving does not touch."""
        return _nearest(images)

    def _l2_radius(self, like: Tensor) -> Tensor:
        return torch.as_tensor(self.radius, dtype=like.dtype, device=like.device) * _rows(like)


class Reference(Protocol):
    """What a metric keeps of a batch of originals."""

    def take(self, index: Index) -> "Reference": ...


@final
@dataclass(frozen=True)
class Perceptual:
    """A budget in a learned distance (LPIPS, identity): no closed form, so it is searched with a penalty.

    `metric(images, originals)` is a differentiable distance (N,).
    """

    name: str
    radius: float | Tensor
    metric: Callable[[Tensor, Tensor], Tensor]
    reference: Reference | None = None  # features of the originals of one batch, computed once by `bound`

    closed_form = False
    of: Literal["images", "coordinates"] = "images"

    def bound(self, originals: Tensor) -> "Perceptual":
        """The budget of one batch, for a loop: where the metric can, it keeps the originals' features."""
        make = getattr(self.metric, "reference", None)
        return self if make is None else replace(self, reference=make(originals))

    def take(self, index: Index) -> "Perceptual":
        radius = self.radius[index] if isinstance(self.radius, Tensor) else self.radius
        return replace(self, radius=radius, reference=None if self.reference is None else self.reference.take(index))

    def distance(self, images: Tensor, originals: Tensor) -> Tensor:
        if self.reference is None:
            return self.metric(images, originals)
        measured: Tensor = self.metric.distance_to(images, self.reference)  # type: ignore[attr-defined]
        return measured

    def contains(self, images: Tensor, originals: Tensor) -> Tensor:
        with torch.no_grad():
            radius = torch.as_tensor(self.radius, dtype=images.dtype, device=images.device)
            return self.distance(images, originals) <= radius

    def project(self, images: Tensor, originals: Tensor) -> Tensor:
        """The farthest point on the straight line to the original that is inside (bisection; not the nearest)."""
        low = torch.zeros(len(images), device=images.device, dtype=images.dtype)
        high = torch.ones_like(low)
        shape = (-1, *[1] * (images.dim() - 1))
        inside = self.contains(images, originals)
        for _ in range(12):
            middle = (low + high) / 2
            fits = self.contains(originals + (images - originals) * middle.reshape(shape), originals)
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        line = originals + (images - originals) * low.reshape(shape)
        return torch.where(inside.reshape(shape), images, line)

    def random(self, originals: Tensor, rng: SampleRng) -> Tensor:
        """Small uniform noise, at most one grey level: a ball in a learned distance has no shape to draw from."""
        return originals + rng.uniform(originals.shape[1:], -1.0, 1.0).to(originals) / 255

    def to_uint8(self, images: Tensor, originals_u8: Tensor) -> Tensor:
        """Nearest bytes; where they are outside, bytes of points ever closer to the original, down to it."""
        originals = originals_u8.to(torch.float32) / 255
        saved = _nearest(images)
        shape = (-1, *[1] * (images.dim() - 1))
        for share in (0.98, 0.95, 0.9, 0.8, 0.6, 0.3, 0.0):
            outside = ~self.contains(saved.to(torch.float32) / 255, originals)
            if not bool(outside.any()):
                break
            closer = _nearest(originals + (images - originals) * share)
            saved = torch.where(outside.reshape(shape), closer, saved)
        return saved


def require_reachable(spec: BudgetSpec, shape: Sequence[int]) -> None:
    """L2 and L1 in grey levels are told by balls that hold every image of `shape` (C, H, W).

    Raises:
        BadArgument: no two images are as far apart.
    """
    values = math.prod(shape)
    farthest = {"L2": math.sqrt(values), "L1": float(values)}.get(spec.name, math.inf)
    if spec.value > farthest:
        raise BadArgument(
            f"the radius of {spec.name} is {spec.radius}, and images of {' x '.join(map(str, shape))} in [0, 1] are at "
            f"most {farthest:.4g} apart; if it is meant in grey levels, write {spec.radius}/255."
        )


def make_budget(spec: BudgetSpec, metric: Callable[[Tensor, Tensor], Tensor] | None = None) -> Budget:
    """The budget of a spec; `metric` is needed by those with a learned distance.

    Raises:
        UnknownName: no such budget.
        BadArgument: a radius that is no number, negative or in grey levels, or a missing metric.
    """
    balls: dict[str, type[_Ball]] = {"Linf": Linf, "L2": L2, "L1": L1, "L0": L0, "Latent": Latent}
    radius = radius_of(spec.name, spec.radius)
    if spec.name in balls:
        return balls[spec.name](radius)
    if spec.name not in BUDGETS:
        raise UnknownName.among("budget", spec.name, BUDGETS)
    if metric is None:
        raise BadArgument(f"a budget in {spec.name} needs a network that measures it, and none was given.")
    return Perceptual(spec.name, radius, metric)


def _nearest(images: Tensor) -> Tensor:
    return (images.clamp(0.0, 1.0) * 255).round().to(torch.uint8)


def _length(flat: Tensor) -> Tensor:
    """Euclidean length of rows; its gradient at zero is zero, not nan."""
    square = flat.square().sum(1)
    safe = torch.where(square > 0, square, torch.ones_like(square))
    return torch.where(square > 0, safe.sqrt(), torch.zeros_like(square))


def _rows(coordinates: Tensor) -> float:
    """Square root of the number of latent rows: 1 for (N, D), sqrt(L) for (N, L, D)."""
    rows = coordinates[0].numel() // coordinates.shape[-1] if len(coordinates) else 1
    return math.sqrt(rows)


def _pulled_back(images: Tensor, originals_u8: Tensor, radius: float | Tensor, power: int) -> Tensor:
    """Nearest bytes, then values rounded outwards step back one level, smallest fraction first, until inside.

    Rounding everything towards the original always ends inside a ball that the float image was in; if the float
    image was outside itself, so may the result be, and the judge says so.
    """
    origin = originals_u8.to(torch.float64).flatten(1)
    wanted = images.to(torch.float64).clamp(0, 1).flatten(1) * 255 - origin
    nearest = wanted.round()
    limit = torch.as_tensor(radius, dtype=torch.float64, device=images.device).reshape(-1, 1) * 255
    limit = limit**power * (1 + 1e-9)
    outwards = nearest.abs() > wanted.abs()
    fraction = torch.where(outwards, wanted.abs().frac(), torch.full_like(wanted, torch.inf))
    order = fraction.argsort(dim=1)
    gain = torch.where(outwards, nearest.abs() ** power - (nearest.abs() - 1) ** power, torch.zeros_like(wanted))
    saved_up = gain.gather(1, order).cumsum(1)
    excess = (nearest.abs() ** power).sum(1, keepdim=True) - limit
    needed = torch.cat([torch.zeros_like(saved_up[:, :1]), saved_up[:, :-1]], 1) < excess
    back = torch.zeros_like(outwards).scatter(1, order, needed) & outwards
    levels = nearest - torch.where(back, nearest.sign(), torch.zeros_like(nearest))
    return (origin + levels).clamp(0, 255).to(torch.uint8).reshape(images.shape)
