"""Toy targets with known answers: linear over pixels, computed row by row, so results are bit-equal in any batch.

The smallest ball in which a linear decision changes has a closed form: margin / dual norm of the weights' difference
(`optimal_radius`). `boundary_images` places images at exactly that distance, far from 0 and 1, so that the box does
not bind.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self, final

import torch
from torch import Tensor, nn

from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget, TargetModule
from advgen.core.types import Index, Outputs

SHAPE = (3, 8, 8)
RADII = {"Linf": 0.04, "L2": 0.5, "L1": 0.25, "Lpips": 0.036, "Identity": 0.036}  # of `boundary_images`, inside the box
APART = 1.6  # how far the other rival classes are, the nearest being 1
MARK = 0.9  # `raising` refuses images whose mean is above


class Refused(RuntimeError):
    """What the raising toy raises."""


def _same(x: Tensor) -> Tensor:
    return x


@final
@dataclass(frozen=True, eq=False)
class Toy:
    """Logit k = scale * (sum(weights[k] * seen(images)) + bias[k]) + shift, then `said`."""

    weights: Tensor  # (K, C, H, W)
    bias: Tensor  # (K,)
    decision: Literal["argmax", "sign"] = "argmax"
    scale: float = 1.0
    shift: float = 0.0
    noise: float = 0.0  # standard deviation a pixel, drawn anew at each call
    seen: Callable[[Tensor], Tensor] = _same  # what becomes of images before the logits
    said: Callable[[Tensor], Tensor] = _same  # what becomes of logits
    differentiable: bool = True

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(f"class {k}" for k in range(len(self.weights)))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.weights.shape[1:]
        return channels, height, width

    @property
    def stochastic(self) -> bool:
        return self.noise > 0

    def take(self, index: Index) -> Self:
        return self

    def as_module(self, rng: SampleRng | None = None) -> nn.Module:
        return TargetModule(self, rng)

    def __call__(self, images: Tensor, rng: SampleRng | None = None) -> Outputs:
        if self.noise:
            assert rng is not None, "a random target is asked with the samples' own random numbers"
            images = images + self.noise * rng.normal(images.shape[1:]).to(images)
        flat = self.seen(images).flatten(1)
        # A column at a time: one product over all classes would sum in an order that depends on the batch.
        columns = [(flat * w.flatten()).sum(1) + b for w, b in zip(self.weights, self.bias, strict=True)]
        return Outputs(self.said(torch.stack(columns, dim=1) * self.scale + self.shift))


def linear(classes: int = 4, *, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Toy:
    """K classes that all say 0 of the grey image 0.5.

    A quarter of the pixels share the largest weight, so that the L1 optimum is reached by steps on one pixel or many.
    """
    generator = torch.Generator().manual_seed(seed)
    size = torch.rand(shape, generator=generator) * 0.5 + 0.5
    size[torch.rand(shape, generator=generator) < 0.25] = 1.0
    sign = torch.randint(0, 2, (classes, *shape), generator=generator) * 2.0 - 1
    weights = size * sign
    return Toy(weights, -0.5 * weights.flatten(1).sum(1))


def two_class(*, shape: tuple[int, int, int] = SHAPE, seed: int = 1) -> Toy:
    """Two logits, the second the first's negative: DLR and friends need more."""
    half = linear(1, shape=shape, seed=seed)
    return replace(half, weights=torch.cat([half.weights, -half.weights]), bias=torch.cat([half.bias, -half.bias]))


def one_logit(*, shape: tuple[int, int, int] = SHAPE, seed: int = 2) -> Toy:
    """A detector: the logit's sign decides, above 0 is class 1."""
    return replace(linear(1, shape=shape, seed=seed), decision="sign")


def matcher(classes: int = 4, *, shape: tuple[int, int, int] = SHAPE, seed: int = 3) -> Toy:
    """A logit each for several persons, each accepted where it is above 0."""
    return replace(linear(classes, shape=shape, seed=seed), decision="sign")


def saturated() -> Toy:
    """Logits of tens of thousands: a softmax in float32 has no gradient left."""
    return replace(linear(), scale=1e4)


def masked() -> Toy:
    """Sees images in steps of 1/16: the gradient is zero everywhere, and the decision is nearly the linear one."""
    return replace(linear(), seen=lambda x: (x * 16).round() / 16, differentiable=False)


def stochastic(noise: float = 0.02) -> Toy:
    """Noise on the pixels, drawn anew at each call from the samples' own streams."""
    return replace(linear(), noise=noise)


def all_negative() -> Toy:
    """Every logit far below 0: code that masks the label's logit with 0 finds that 0 as the best other one."""
    return replace(linear(), shift=-100.0)


def times_100() -> Toy:
    """Logits of the hundreds, as overconfident networks give."""
    return replace(linear(), scale=100.0)


def softmax_as_logits() -> Toy:
    """Probabilities where logits are meant."""
    return replace(linear(), said=lambda logits: logits.softmax(1))


def raising() -> Toy:
    """Refuses a batch that holds a marked image, one with a mean above `MARK`."""

    def refuse_marked(x: Tensor) -> Tensor:
        if bool((x.detach().flatten(1).mean(1) > MARK).any()):
            raise Refused("the toy target refuses this image")
        return x

    return replace(linear(), seen=refuse_marked)


def training_network(*, shape: tuple[int, int, int] = SHAPE, seed: int = 4) -> ModuleTarget:
    """A network with batch norm and dropout that was left in train mode, its parameters learning."""
    toy = linear(shape=shape, seed=seed)
    classify = nn.Linear(toy.weights[0].numel(), len(toy.weights))
    with torch.no_grad():
        classify.weight.copy_(toy.weights.flatten(1))
        classify.bias.copy_(toy.bias)
    network = nn.Sequential(nn.BatchNorm2d(shape[0]), nn.Flatten(), nn.Dropout(0.5), classify)
    return ModuleTarget(network.train(), toy.classes, shape)


class Placed(NamedTuple):
    """Images that a target gets right, at a known distance from its boundary."""

    images: Tensor  # (N, C, H, W)
    labels: Tensor  # (N,)
    ids: tuple[str, ...]
    nearest: Tensor | None = None  # (N,) the class behind the nearest boundary


def boundary_images(target: Toy, norm: str, n: int, *, radius: float | None = None, seed: int = 0) -> Placed:
    """Images whose nearest decision boundary is `radius` away in `norm` (default `RADII`), all labels in turn.

    The other classes are `APART` times as far: a search that follows the best rival at its start follows this one.
    """
    radius = RADII[norm] if radius is None else radius
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand((n, *target.image_shape), generator=generator, dtype=torch.float64) * 0.2 + 0.4
    labels = torch.arange(n) % max(2, len(target.weights))
    nearest = torch.zeros_like(labels)
    for i in range(n):
        rivals, bias = _rivals(target, int(labels[i])).double(), _rival_bias(target, int(labels[i])).double()
        reach = radius * (1 + (APART - 1) * torch.arange(len(rivals)).roll(i).clamp(max=1.0))
        nearest[i] = _rival_classes(target, int(labels[i]))[i % len(rivals)]
        short = reach * _dual(rivals, norm) - bias - (rivals * images[i]).flatten(1).sum(1)
        images[i] += (torch.linalg.pinv(rivals.flatten(1)) @ short).reshape(images[i].shape)
    assert n == 0 or 0.25 <= float(images.min()) <= float(images.max()) <= 0.75, "the box must not bind"
    return Placed(images.float(), labels, tuple(f"toy/test/{i}" for i in range(n)), nearest)


def optimal_radius(target: Toy, images: Tensor, labels: Tensor, norm: str) -> Tensor:
    """(N,) the smallest radius at which an untargeted attack wins, the box [0, 1] binding for L0 only."""
    best = []
    for image, label in zip(images, labels, strict=True):
        rivals = _rivals(target, int(label))
        margins = (rivals * image).flatten(1).sum(1) + _rival_bias(target, int(label))
        if norm == "L0":
            best.append(min(_pixels_needed(w, image, float(m)) for w, m in zip(rivals, margins, strict=True)))
        else:
            best.append(float((margins / _dual(rivals, norm)).min()))
    return torch.tensor(best)


def _rivals(target: Toy, label: int) -> Tensor:
    """(R, C, H, W): the label holds while all rival margins, linear in the image with these weights, are above 0."""
    if target.decision == "sign":
        return target.weights[:1] * (1.0 if label == 1 else -1.0)
    return target.weights[label] - target.weights[_rival_classes(target, label)]


def _rival_bias(target: Toy, label: int) -> Tensor:
    if target.decision == "sign":
        return target.bias[:1] * (1.0 if label == 1 else -1.0)
    return target.bias[label] - target.bias[_rival_classes(target, label)]


def _rival_classes(target: Toy, label: int) -> list[int]:
    kinds = 2 if target.decision == "sign" else len(target.weights)
    return [k for k in range(kinds) if k != label]


def _dual(weights: Tensor, norm: str) -> Tensor:
    """(R,) how fast a ball of radius 1 can bring each margin down."""
    flat = weights.flatten(1)
    if norm == "Linf":
        return flat.abs().sum(1)
    if norm == "L1":
        return flat.abs().amax(1)
    length = flat.norm(dim=1)
    # The toy's learned distance is the root mean square.
    return length if norm == "L2" else length * math.sqrt(flat.shape[1])


def _pixels_needed(weights: Tensor, image: Tensor, margin: float) -> int:
    """How many pixels must go to 0 or 1 for the margin to fall below 0."""
    gains = torch.where(weights > 0, weights * image, -weights * (1 - image)).sum(0).flatten()
    lost = gains.sort(descending=True).values.cumsum(0)
    return int((lost <= margin).sum()) + 1
