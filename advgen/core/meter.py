"""The meter: what an attack cost, in images through the target.

`Counted` is what the engine puts around a target or generator; nothing else counts.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from advgen.core.rng import SampleRng
    from advgen.core.types import Index, Outputs, Target


class Meter:
    """Counts, summed over the batch: divide by the number of samples for a per-sample cost."""

    def __init__(self) -> None:
        self.forwards = 0
        self.backwards = 0
        self.generator_calls = 0
        self.seconds = 0.0
        self.peak_bytes = 0

    @contextmanager
    def running(self, device: torch.device | None = None) -> Iterator[None]:
        """Adds the wall time of the block; on CUDA also its peak memory (bytes)."""
        cuda = device is not None and device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats(device)
        begun = time.perf_counter()
        try:
            yield
        finally:
            if cuda:
                torch.cuda.synchronize(device)
                self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated(device))
            self.seconds += time.perf_counter() - begun

    def counted_backward(self, outputs: Tensor, images: int) -> None:
        """Counts one backward of `images` images when a gradient reaches `outputs`."""
        if outputs.requires_grad:

            def hook(gradient: Tensor) -> None:
                self.backwards += images

            outputs.register_hook(hook)  # type: ignore[no-untyped-call]


class Counted:
    """A target whose forwards and backwards are added to a meter."""

    def __init__(self, target: "Target", meter: Meter) -> None:
        self._target = target
        self._meter = meter

    @property
    def decision(self) -> Literal["argmax", "sign"]:
        return self._target.decision

    @property
    def classes(self) -> tuple[str, ...]:
        return self._target.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._target.image_shape

    @property
    def stochastic(self) -> bool:
        return self._target.stochastic

    @property
    def differentiable(self) -> bool:
        return self._target.differentiable

    def __call__(self, images: Tensor, rng: "SampleRng | None" = None) -> "Outputs":
        outputs = self._target(images, rng)
        self._meter.forwards += len(images)
        self._meter.counted_backward(outputs.logits, len(images))
        return outputs

    def take(self, index: "Index") -> Self:
        return type(self)(self._target.take(index), self._meter)

    def as_module(self, rng: "SampleRng | None" = None) -> nn.Module:
        return _CountedModule(self._target.as_module(rng), self._meter)


class _CountedModule(nn.Module):
    def __init__(self, module: nn.Module, meter: Meter) -> None:
        super().__init__()
        self.module = module
        self.meter = meter

    def forward(self, images: Tensor, *args: Any) -> Tensor:
        logits: Tensor = self.module(images, *args)
        self.meter.forwards += len(images)
        self.meter.counted_backward(logits, len(images))
        return logits
