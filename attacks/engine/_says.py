"""A prompt as a condition on pictures: what says it, a target that rejects what does not, a goal that is it alone."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.core.goals import ALARM_FLOOR
from advgen.core.rng import SampleRng
from advgen.core.targets import TargetModule
from advgen.core.types import Generator, Goal, ImageTextEncoder, Index, Outputs, Target

SAMPLES = 64  # of the generator, over which the prompt's score is spread
_SAME = 1e-4  # length of a difference of two unit vectors that is rounding


@dataclass(frozen=True)
class Says:
    """How much pictures say a prompt: their cosine with the way from the neutral text to it."""

    encoder: ImageTextEncoder
    direction: Tensor  # (D,) of length one
    sigma: float  # of the score over the generator's samples

    @classmethod
    def of(cls, encoder: ImageTextEncoder, prompt: str, neutral: str, generator: Generator) -> "Says":
        """Texts are encoded once.

        Raises:
            BadArgument: an empty prompt, or one that says no more than the neutral text.
        """
        if not prompt.strip():
            raise BadArgument("the prompt is empty; words that say what the picture should show were expected.")
        with torch.no_grad():
            there, here = encoder.encode([prompt, neutral])
            away = there - here
            if float(away.norm()) < _SAME:
                raise BadArgument(
                    f"{prompt!r} and the neutral {neutral!r} are the same to the encoder, so the prompt changes "
                    "nothing; use words that it knows."
                )
            says = cls(encoder, functional.normalize(away, dim=0), 1.0)
            z = torch.randn(SAMPLES, generator.z_dim, generator=torch.Generator().manual_seed(0)).to(generator.mean_w)
            scores = says.score(generator.synthesis(generator.mapping(z)).clamp(0, 1))
        return replace(says, sigma=max(float(scores.std()), 1e-6))

    def score(self, images: Tensor) -> Tensor:
        """(N,)"""
        return self.encoder.encode_images(images) @ self.direction.to(images)


@dataclass(frozen=True)
class WithText:
    """A target that also rejects pictures that do not say the prompt: its alarm counts in standard deviations."""

    target: Target
    says: Says
    needed: Tensor  # (N,) score

    @property
    def decision(self) -> Literal["argmax", "sign"]:
        return self.target.decision

    @property
    def classes(self) -> tuple[str, ...]:
        return self.target.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.target.image_shape

    @property
    def stochastic(self) -> bool:
        return self.target.stochastic

    @property
    def differentiable(self) -> bool:
        return self.target.differentiable

    def __call__(self, images: Tensor, rng: SampleRng | None = None) -> Outputs:
        outputs = self.target(images, rng)
        short = (self.needed.to(images) - self.says.score(images)) / self.says.sigma
        return outputs._replace(alarm=short if outputs.alarm is None else both(outputs.alarm, short))

    def take(self, index: Index) -> Self:
        return replace(self, target=self.target.take(index), needed=self.needed[index])

    def as_module(self, rng: SampleRng | None = None) -> nn.Module:
        return TargetModule(self, rng)


def both(alarm: Tensor, other: Tensor) -> Tensor:
    """(N,) at most 0 where both are; above, their sum, so that neither hides the other."""
    return alarm.clamp(min=0) + other.clamp(min=0) + torch.maximum(alarm, other).clamp(max=0)


@dataclass(frozen=True)
class TextAlone:
    """The prompt as the only goal: the edit without the attack."""

    goal: Goal

    @property
    def name(self) -> str:
        return self.goal.name

    @property
    def labels(self) -> Tensor:
        return self.goal.labels

    @property
    def wanted(self) -> Tensor | None:
        return self.goal.wanted

    def take(self, index: Index) -> Self:
        return replace(self, goal=self.goal.take(index))

    def loss(self, outputs: Outputs) -> Tensor:
        """(N,)"""
        assert outputs.alarm is not None
        return outputs.alarm.clamp(min=-ALARM_FLOOR)

    def reached(self, outputs: Outputs) -> Tensor:
        """(N,) bool"""
        assert outputs.alarm is not None
        return outputs.alarm <= 0
