"""Protocols of everything that can be plugged in.

Shapes, everywhere: N samples, C H W, K classes, L w-layers, D features. Images are float32 (N, C, H, W), RGB, in
[0, 1]; a target owns its normalisation, range and size, and returns logits, never a softmax.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

if TYPE_CHECKING:
    import pyarrow as pa

Index = Tensor  # a bool mask (N,) or int64 positions


class Outputs(NamedTuple):
    """What a target says of N images."""

    logits: Tensor  # (N, K)
    alarm: Tensor | None = None  # (N,) worst (score - threshold) / clean sigma; > 0 is rejected


class Taken(Protocol):
    """Everything that shrinks when samples leave the batch."""

    def take(self, index: Index) -> Self: ...


@runtime_checkable
class Target(Taken, Protocol):
    """Images in, logits out. In "sign" decisions logit k > 0 means suspect, accepted or present."""

    @property
    def decision(self) -> Literal["argmax", "sign"]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...
    @property
    def stochastic(self) -> bool: ...
    @property
    def differentiable(self) -> bool: ...
    def __call__(self, images: Tensor, rng: SampleRng | None = None) -> Outputs: ...
    def as_module(self, rng: SampleRng | None = None) -> nn.Module: ...


@runtime_checkable
class Goal(Taken, Protocol):
    """When an attack has succeeded, made for one batch."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Tensor: ...
    @property
    def wanted(self) -> Tensor | None: ...
    def loss(self, outputs: Outputs) -> Tensor: ...
    def reached(self, outputs: Outputs) -> Tensor: ...


@runtime_checkable
class Budget(Taken, Protocol):
    """How far an image may move from its original."""

    @property
    def name(self) -> str: ...
    @property
    def radius(self) -> float | Tensor: ...
    @property
    def closed_form(self) -> bool: ...
    @property
    def of(self) -> Literal["images", "coordinates"]: ...
    def distance(self, images: Tensor, originals: Tensor) -> Tensor: ...
    def contains(self, images: Tensor, originals: Tensor) -> Tensor: ...
    def project(self, images: Tensor, originals: Tensor) -> Tensor: ...
    def random(self, originals: Tensor, rng: SampleRng) -> Tensor: ...
    def to_uint8(self, images: Tensor, originals_u8: Tensor) -> Tensor: ...


@runtime_checkable
class Space(Taken, Protocol):
    """What the search moves in, built for one batch; decodes to images."""

    @property
    def unit(self) -> float | Tensor: ...
    @property
    def pixels(self) -> bool: ...
    def start(self, originals: Tensor, rng: SampleRng) -> Tensor: ...
    def decode(self, coordinates: Tensor) -> Tensor: ...
    def clip(self, coordinates: Tensor) -> Tensor: ...


class AttackResult(NamedTuple):
    images: Tensor  # (N, C, H, W) in [0, 1]
    note: Mapping[str, Tensor] = {}  # per-sample columns, each (N,)


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass of its arguments; `budget` None = minimum norm."""

    @property
    def budget(self) -> Budget | None: ...
    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult: ...


@runtime_checkable
class Purifier(Protocol):
    """A defense from images to images."""

    @property
    def stochastic(self) -> bool: ...
    @property
    def differentiable(self) -> bool: ...
    def purify(self, images: Tensor, rng: SampleRng) -> Tensor: ...
    def surrogate(self) -> Callable[[Tensor], Tensor]: ...


@runtime_checkable
class Detector(Protocol):
    """A defense from images to a score (N,); higher is more suspect."""

    def fit(self, clean: Tensor, *, rng: SampleRng) -> "Detector": ...
    def score(self, images: Tensor, rng: SampleRng) -> Tensor: ...
    def surrogate(self) -> "Detector": ...


class Alarm(NamedTuple):
    """A fitted detector with its threshold, from the calibration split."""

    detector: Detector
    threshold: float
    sigma: float  # standard deviation of the clean scores; alarms count in it
    fpr: float
    calibrated_on: str  # hash of the slice


class Defended(NamedTuple):
    """A target behind purifiers, in order, and alarms; detectors see the image as submitted."""

    target: Target
    purifiers: tuple[Purifier, ...] = ()
    alarms: tuple[Alarm, ...] = ()


class Hardening(Protocol):
    """Training that gives a new target."""

    def fit(self, network: nn.Module, data: Iterable[Any], attack: Attack, *, seed: int, meter: Meter) -> Target: ...


class Generator(Protocol):
    """A StyleGAN2-like generator."""

    @property
    def z_dim(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def num_ws(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def resolution(self) -> tuple[int, int]: ...
    @property
    def mean_w(self) -> Tensor: ...
    def mapping(self, z: Tensor, c: Tensor | None = None, *, psi: float = 1.0, cutoff: int | None = None) -> Tensor: ...
    def synthesis(self, w: Tensor, *, noise: str = "const", rng: SampleRng | None = None) -> Tensor: ...
    def styles(self, w: Tensor) -> list[Tensor]: ...


class Latents(NamedTuple):
    w: Tensor
    noise: list[Tensor] | None
    distance: Tensor
    tuned: list[dict[str, Tensor]] | None


class Inverter(Protocol):
    def invert(self, images: Tensor, *, rng: SampleRng, meter: Meter) -> Latents: ...


class TextEncoder(Protocol):
    @property
    def dim(self) -> int: ...
    @property
    def hash(self) -> str: ...
    def unknown(self, text: str) -> Sequence[str]: ...
    def encode(self, texts: list[str]) -> Tensor: ...


class ImageTextEncoder(TextEncoder, Protocol):
    @property
    def logit_scale(self) -> float: ...
    def encode_images(self, images: Tensor) -> Tensor: ...


class Slice(NamedTuple):
    """Part of a data set, in memory."""

    ids: tuple[str, ...]
    images_u8: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64
    table: "pa.Table"  # id, split, label, attributes, caption, hash
    hash: str
    classes: tuple[str, ...] = ()

    @property
    def images(self) -> Tensor:
        """float32 in [0, 1]."""
        return self.images_u8.to(torch.float32) / 255.0
