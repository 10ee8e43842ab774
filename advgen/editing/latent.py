"""Latent optimisation: the latents near the image's own whose picture is nearest to a text, by gradient descent.

Patashnik et al. 2021, "StyleCLIP", arXiv 2103.17249, section 4, equations 1 and 2; Adam, 300 steps at 0.1 with a ramp,
as in the published program. The text is encoded once, the generator and CLIP are frozen (gradients go to the latents
alone), and what stays the same from step to step is computed once. Every sample goes its own way: a batch ends where
single runs would.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.types import Generator, ImageTextEncoder
from advgen.editing.shifts import Shift
from advgen.inversion.descent import Trace, Variables, descend
from advgen.inversion.latents import at_rest
from advgen.inversion.likeness import ClampThrough, Terms
from advgen.inversion.search import ramp

Identity = Callable[[Tensor], Tensor]  # images (N, C, H, W) to unit rows (N, F)
_W = "w"


@final
@dataclass(frozen=True)
class LatentOptimisation:
    """The published defaults, but for the start at the image's own latents."""

    generator: Generator = field(repr=False, compare=False)
    encoder: ImageTextEncoder = field(repr=False, compare=False)
    identity: Identity | None = field(default=None, repr=False, compare=False)  # None where the domain has none
    steps: int = 300
    lr: float = 0.1
    rampup: float = 0.05  # share of the steps over which the rate rises
    rampdown: float = 0.25  # share of the steps over which it falls
    l2_weight: float = 0.008  # of the squared distance of w+, summed over its numbers
    identity_weight: float = 0.005

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.lr < float("inf"):
            raise BadArgument(f"steps must be 1 or more and lr above 0, got {self.steps} and {self.lr}.")
        if not (0 <= self.l2_weight < float("inf") and 0 <= self.identity_weight < float("inf")):
            raise BadArgument(f"weights must be 0 or more, got {self.l2_weight} and {self.identity_weight}.")

    def shift(
        self, w: Tensor, text: Tensor, *, noise: list[Tensor] | None = None, meter: Meter, trace: Trace | None = None
    ) -> Shift:
        """From w (N, L, D) towards the text (D,) of length one; the shift's strength 1 is the end of the way."""
        if not len(w):
            return Shift(w=w)
        maps = "const" if noise is None else noise
        wanted = text.to(w)
        with at_rest(self.generator, self.identity):
            with torch.no_grad():
                own = None
                if self.identity is not None and self.identity_weight:
                    own = self.identity(self.generator.synthesis(w, noise=maps).clamp(0, 1))  # type: ignore[arg-type]

            def evaluate(variables: Variables, step: int) -> Terms:
                made = self.generator.synthesis(variables[_W], noise=maps)  # type: ignore[arg-type]
                made = ClampThrough.apply(made)  # type: ignore[no-untyped-call]
                away = 1 - self.encoder.encode_images(made) @ wanted
                far = (variables[_W] - w).square().flatten(1).sum(1)
                loss = away + self.l2_weight * far
                if own is not None and self.identity is not None:
                    loss = loss + self.identity_weight * (1 - (self.identity(made) * own).sum(1))
                return Terms(loss, away.detach(), far.detach())

            found = descend(
                {_W: w.detach()},
                evaluate,
                lambda step: {_W: self.lr * ramp(step / self.steps, up=self.rampup, down=self.rampdown)},
                steps=self.steps,
                trace=trace,
                meter=meter,
            )
        return Shift(w=found.variables[_W] - w)
