"""Image2StyleGAN: the latents, in W or W+, whose image is nearest, by gradient descent; noise maps after them.

Abdal et al., "Image2StyleGAN", arXiv 1904.03189, section 4 (loss, Adam, start at the mean of w); "Image2StyleGAN++",
arXiv 1911.11544, section 3 (noise maps after the latents, masks, chosen rows of w, local style). All images of a call
are optimised at once, and each comes out as it would alone. The published schedule (5000 steps at 0.01) is `published`;
the default reaches the same in a tenth of the steps by a larger rate that falls at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self, final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Latents
from advgen.inversion.descent import Keep, Trace
from advgen.inversion.likeness import Likeness, Metric, Style
from advgen.inversion.noise import as_variables, moments_kept, starting_maps
from advgen.inversion.search import Around, LatentSpace, Plan, W, fitting, ramp, search, starting_w


@final
@dataclass(frozen=True)
class Image2StyleGAN:
    """Optimises latents of given images."""

    generator: Generator = field(repr=False, compare=False)
    perceptual: Metric | None = field(default=None, repr=False, compare=False)  # None = pixels alone
    space: LatentSpace = "w+"  # w = one row for all layers
    steps: int = 300  # of the latents
    lr: float = 0.1
    rampup: float = 0.05  # share of the steps over which the rate rises
    rampdown: float = 0.25  # share of the steps over which it falls to 0; 0 = constant
    opening: float = 0.3  # share of the steps, from the mean of w, in which the rows of w+ move as one
    perceptual_weight: float = 1.0
    pixel_weight: float = 1.0
    rows: tuple[int, int] | None = None  # of w+ that move, from, to (exclusive); None = all
    noise_steps: int = 0  # of the noise maps, after the latents
    noise_lr: float = 0.05
    noise_weight: float = 1e5  # against pictures in the noise; 0 = free maps, as in Image2StyleGAN++
    rounds: int = 1  # latents and noise take turns so many times, each with its share of the steps

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("noise_steps", 0), ("rounds", 1)):
            if getattr(self, name) < least:
                raise BadArgument(f"{name} must be {least} or more, got {getattr(self, name)}.")
        for name in ("lr", "noise_lr"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadArgument(f"{name} must be above 0, got {getattr(self, name)}.")
        for name in ("rampup", "rampdown", "opening"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadArgument(f"{name} is a share of the steps, 0 to 1, got {getattr(self, name)}.")
        if not 0 <= self.noise_weight < float("inf"):
            raise BadArgument(f"noise_weight must be 0 or more, got {self.noise_weight}.")
        if self.rows is not None:
            first, end = self.rows
            if self.space != "w+" or not 0 <= first < end <= self.generator.num_ws:
                raise BadArgument(
                    f"rows are a range of w+'s 0 to {self.generator.num_ws}, got {self.rows} in {self.space}."
                )

    @classmethod
    def published(cls, generator: Generator, perceptual: Metric | None, *, space: LatentSpace = "w+") -> Self:
        """Steps and rate of the paper: 5000 at a constant 0.01."""
        return cls(generator, perceptual, space=space, steps=5000, lr=0.01, rampup=0, rampdown=0, opening=0)

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
        """Latents of images (N, C, H, W); `start` None is the mean of w.

        `mask` (N or 1, 1, H, W) is 1 where the image counts and 0 where anything may come; `style` adds a texture.
        With `keep` the work is written down as it goes, and taken up again by the next call; `trace` is filled in.

        Raises:
            BadArgument: images, mask or start that do not fit the generator.
            BadFile: the kept state belongs to another inversion.
        """
        images = fitting(self.generator, images)
        w = starting_w(self.generator, len(images), self.space, start)
        variables = {W: w}
        if self.noise_steps:
            given = start.noise if isinstance(start, Latents) else None
            variables |= starting_maps(self.generator, len(images), None) if given is None else as_variables(given)
        plan = self._plan(variables, self.opening * self.steps if start is None and self.rows is None else 0)
        around = Around(images, rng, meter, mask, style, keep, trace)
        return search(self.generator, self._likeness(), variables, plan, around, settings=self)

    def _likeness(self) -> Likeness:
        return Likeness(self.perceptual, self.perceptual_weight, self.pixel_weight)

    def _plan(self, start: Mapping[str, Tensor], opening: float) -> Plan:
        maps = [name for name in start if name != W]
        turns = _turns(self.steps, self.noise_steps, self.rounds)
        fixed, as_noise = start[W].clone(), moments_kept(start)

        def rates(step: int) -> dict[str, float]:
            noisy, done = turns[step]
            if noisy:
                return dict.fromkeys(maps, self.noise_lr * self._ramp((done + 0.5) / self.noise_steps))
            return {W: self.lr * self._ramp((done + 0.5) / self.steps)}

        def together(step: int) -> bool:
            noisy, done = turns[step] if step < len(turns) else (True, 0)
            return not noisy and done < opening

        def afterwards(variables: dict[str, Tensor], moved: Mapping[str, float]) -> None:
            if self.rows is not None:
                first, end = self.rows
                variables[W] = torch.cat([fixed[:, :first], variables[W][:, first:end], fixed[:, end:]], 1)
            if self.noise_weight:
                as_noise(variables, moved)

        return Plan(len(turns), rates, together, correlation_weight=self.noise_weight, afterwards=afterwards)

    def _ramp(self, t: float) -> float:
        """At the middle of a step: at its begin the first one would not move."""
        return ramp(t, up=self.rampup, down=self.rampdown)


def _turns(steps: int, noise_steps: int, rounds: int) -> list[tuple[bool, int]]:
    """Whose turn each step is, True for the noise maps, and how many steps it has had before."""
    turns = []
    for turn in range(rounds):
        for noisy, total in ((False, steps), (True, noise_steps)):
            turns += [(noisy, k) for k in range(total * turn // rounds, total * (turn + 1) // rounds)]
    return turns
