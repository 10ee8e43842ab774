"""What the attacker knows: the one place that turns a defense into the target that an attack gets to see."""

from collections.abc import Callable
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.rng import SampleRng
from advgen.core.specs import KNOWLEDGE
from advgen.core.targets import TargetModule
from advgen.core.types import Alarm, Defended, Detector, Index, Outputs, Purifier, Target


def seen_by_attacker(defended: Defended, knowledge: str, *, surrogate: Target | None) -> Target:
    """The target that an attack with this knowledge searches on.

    oblivious: the bare target. transfer: the surrogate, bare. adaptive: the whole pipeline; gradients are exact where
    it has them and go through each part's surrogate where it has none (BPDA, Athalye et al. 2018, arXiv 1802.00420,
    section 4.1), randomness is drawn afresh at each call (EOT), and alarms come with the outputs.

    Raises:
        UnknownName: no such knowledge.
        BadArgument: transfer without a surrogate.
    """
    if knowledge == "oblivious":
        return defended.target
    if knowledge == "transfer":
        if surrogate is None:
            raise BadArgument("knowledge 'transfer' needs a surrogate network that the attack is made on.")
        return surrogate
    if knowledge != "adaptive":
        raise UnknownName.among("knowledge", knowledge, KNOWLEDGE)
    if not defended.purifiers and not defended.alarms:
        return defended.target
    return DefendedTarget(defended)


@final
class DefendedTarget:
    """The pipeline as an adaptive attacker has it: detectors see the image as submitted, the target the purified one.

    Where a purifier is random, one stream of the caller's rng serves all parts, in order.
    """

    def __init__(self, defended: Defended) -> None:
        self._defended = defended
        self.decision: Literal["argmax", "sign"] = defended.target.decision
        self.classes = defended.target.classes
        self.image_shape = defended.target.image_shape
        self.stochastic = defended.target.stochastic or any(p.stochastic for p in defended.purifiers)
        self.differentiable = defended.target.differentiable

    def __call__(self, images: Tensor, rng: SampleRng | None = None) -> Outputs:
        streams = rng if rng is not None else SampleRng.for_samples(0, "unseeded", [str(i) for i in range(len(images))])
        alarm = None
        for raised in self._defended.alarms:
            level = _alarm_level(raised, images, streams)
            alarm = level if alarm is None else torch.maximum(alarm, level)
        purified = images
        for purifier in self._defended.purifiers:
            purified = purified_with_gradient(purifier, purified, streams)
        return Outputs(self._defended.target(purified, rng).logits, alarm)

    def take(self, index: Index) -> "DefendedTarget":
        return self

    def as_module(self, rng: SampleRng | None = None) -> nn.Module:
        return TargetModule(self, rng)


def purified_with_gradient(purifier: Purifier, images: Tensor, rng: SampleRng) -> Tensor:
    """The purified images; where the purifier has no gradient, its surrogate's stands in on the way back."""
    if purifier.differentiable or not torch.is_grad_enabled() or not images.requires_grad:
        return purifier.purify(images, rng)
    purified: Tensor = _Backward.apply(images, lambda x: purifier.purify(x, rng), purifier.surrogate())
    return purified


def _alarm_level(alarm: Alarm, images: Tensor, rng: SampleRng) -> Tensor:
    """(score - threshold) / clean sigma; a score not declared differentiable gets its surrogate's on the way back."""
    detector: Detector = alarm.detector
    exact = getattr(type(detector), "differentiable", False)
    if exact or not (images.requires_grad and torch.is_grad_enabled()):
        score = detector.score(images, rng)
    else:
        score = _Backward.apply(images, lambda x: detector.score(x, rng), lambda x: detector.surrogate().score(x, rng))
    return (score - alarm.threshold) / alarm.sigma


class _Backward(torch.autograd.Function):
    """Forward through one function, backward through another."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor]
    ) -> Tensor:
        ctx.save_for_backward(images)
        ctx.surrogate = backward
        with torch.no_grad():
            return forward(images.detach())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        (images,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            stand_in = ctx.surrogate(leaf)
            if not stand_in.requires_grad:
                return torch.zeros_like(images), None, None
            (slope,) = torch.autograd.grad(stand_in, leaf, gradients[0])
        return slope, None, None
