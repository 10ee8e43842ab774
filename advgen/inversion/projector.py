"""The projector of StyleGAN2: W under decaying noise, so that the search does not end in the nearest local minimum.

Karras et al., arXiv 1912.04958, appendix D: Adam from the mean of w, the rate rising over the first 5% and falling
over the last quarter, noise on w that decays over the first three quarters, and noise maps optimised beside it, kept
noise by normalisation and a regulariser. Only steps without noise on w count as results.
"""

from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.latent_spaces import spread
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Latents
from advgen.inversion.descent import Keep, Trace
from advgen.inversion.likeness import Likeness, Metric, Style
from advgen.inversion.noise import moments_kept, normalised, starting_maps
from advgen.inversion.search import Around, LatentSpace, Plan, W, fitting, ramp, search, starting_w


@final
@dataclass(frozen=True)
class Projector:
    """Optimises w under noise."""

    generator: Generator = field(repr=False, compare=False)
    perceptual: Metric | None = field(default=None, repr=False, compare=False)  # None = pixels alone
    space: LatentSpace = "w"
    steps: int = 1000
    lr: float = 0.1
    rampup: float = 0.05  # share of the steps over which the rate rises
    rampdown: float = 0.25  # share of the steps over which it falls to 0
    wander: float = 0.05  # standard deviation of the noise on w at the first step, in spreads of w
    wandering: float = 0.75  # share of the steps over which it decays to 0
    noise_maps: bool = True  # False = the generator's own maps, left alone
    noise_weight: float = 1e5  # against pictures in the noise
    perceptual_weight: float = 1.0
    pixel_weight: float = 0.0  # 0 as published; with no perceptual network give 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadArgument(f"steps must be 1 or more, got {self.steps}.")
        if not 0 < self.lr < float("inf"):
            raise BadArgument(f"lr must be above 0, got {self.lr}.")
        for name in ("rampup", "rampdown", "wandering"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadArgument(f"{name} is a share of the steps, 0 to 1, got {getattr(self, name)}.")
        for name in ("wander", "noise_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadArgument(f"{name} must be 0 or more, got {getattr(self, name)}.")

    def invert(
        self,
        images: Tensor,
        *,
        rng: SampleRng,
        meter: Meter,
        start: Latents | Tensor | None = None,
        mask: Tensor | None = None,
        style: Style | None = None,
        keep: Keep | None = None,
        trace: Trace | None = None,
    ) -> Latents:
        """Latents of images (N, C, H, W); the arguments are those of `Image2StyleGAN.invert`.

        Raises:
            BadArgument: images, mask or start that do not fit the generator.
            BadFile: the kept state belongs to another inversion.
        """
        images = fitting(self.generator, images)
        variables = {W: starting_w(self.generator, len(images), self.space, start)}
        if self.noise_maps:
            variables |= normalised(starting_maps(self.generator, len(images), rng.fork("noise")))
        sigma = spread(self.generator) * self.wander if self.wander and len(images) else 0.0

        def rates(step: int) -> dict[str, float]:
            return dict.fromkeys(variables, self.lr * ramp(step / self.steps, up=self.rampup, down=self.rampdown))

        def wander(step: int) -> float:
            left = 1 - step / self.steps / self.wandering if self.wandering else 0.0
            return sigma * max(0.0, left) ** 2

        plan = Plan(
            self.steps, rates, wander=wander, correlation_weight=self.noise_weight, afterwards=moments_kept(variables)
        )
        likeness = Likeness(self.perceptual, self.perceptual_weight, self.pixel_weight)
        around = Around(images, rng, meter, mask, style, keep, trace)
        return search(self.generator, likeness, variables, plan, around, settings=self)
