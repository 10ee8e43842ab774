"""Pivotal tuning: the generator itself is tuned a little, for one image, around latents that can be edited.

Roich et al., "Pivotal tuning for latent-based editing of real images", arXiv 2106.05744: a pivot in W by optimisation,
then the synthesis network's weights by Adam on LPIPS + MSE (equation 4) until near enough, with an optional locality
regulariser (equations 5 to 8). Every image starts from the weights as given, which are never touched: what comes back
are changes to them, an image each (`latents.tuned` applies them).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from advgen.core.errors import BadArgument
from advgen.core.latent_spaces import spread
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Inverter, Latents
from advgen.inversion.descent import Keep, Trace, Variables, descend, identity_of
from advgen.inversion.gate import resemblance
from advgen.inversion.hybrid import Hybrid
from advgen.inversion.image2stylegan import Image2StyleGAN
from advgen.inversion.latents import at_rest, joined, synthesised, taken
from advgen.inversion.likeness import Likeness, Metric, Terms
from advgen.inversion.projector import Projector
from advgen.inversion.search import fitting, weights_of

_SYNTHESIS = "synthesis."

_STEPWISE = (Image2StyleGAN, Projector, Hybrid)  # what takes a mask, a file to keep its state in, and a trace


@final
@dataclass(frozen=True)
class PivotalTuning:
    """Tunes a copy of the generator for each image."""

    generator: Generator = field(repr=False, compare=False)
    perceptual: Metric | None = field(default=None, repr=False, compare=False)  # None = pixels alone
    first: Inverter | None = None  # finds the pivot; None = Image2StyleGAN in W
    steps: int = 350
    lr: float = 3e-4
    enough: float = 0.0  # stop at this perceptual distance (published: 0.06 of LPIPS-alex at 256 pixels); 0 = never
    perceptual_weight: float = 1.0
    pixel_weight: float = 1.0
    locality_weight: float = 0.0  # of the regulariser; published 0.1, and off by default
    reach: float | None = None  # how far from the pivot it looks, in distances of w; None = the spread of w

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise BadArgument(f"steps must be 0 or more, got {self.steps}.")
        if not 0 < self.lr < float("inf"):
            raise BadArgument(f"lr must be above 0, got {self.lr}.")
        for name in ("enough", "locality_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadArgument(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if not isinstance(self.generator, nn.Module):
            raise BadArgument(f"pivotal tuning changes weights, and a {type(self.generator).__name__} has none.")

    def invert(
        self,
        images: Tensor,
        *,
        rng: SampleRng,
        meter: Meter,
        mask: Tensor | None = None,
        keep: Keep | None = None,
        trace: Trace | None = None,
    ) -> Latents:
        """Pivots of images (N, C, H, W), and the changes of weights that belong to each.

        `mask` is that of `Image2StyleGAN.invert`. With `keep` the pivots and each image's tuning are written down as
        they go. A trace is of one image, pivot and tuning.

        Raises:
            BadArgument: images or mask that do not fit the generator, or a mask that `first` cannot heed.
            BadFile: a kept state belongs to another inversion.
        """
        images = fitting(self.generator, images)
        if trace is not None and len(images) != 1:
            raise BadArgument(f"images are tuned one after another, so a trace is of one image, got {len(images)}.")
        clock = time.perf_counter if trace is None else trace.clock
        begun = clock()
        pivots = self._pivots(images, rng=rng.fork("pivot"), meter=meter, mask=mask, keep=keep, trace=trace)
        spent = clock() - begun if trace is None or not trace.seconds else trace.seconds[-1]
        parts = []
        for i in range(len(images)):
            at = torch.tensor([i])
            own_mask = mask if mask is None or len(mask) == 1 else mask[i : i + 1]
            own_keep = None if keep is None else keep.named(f"tuning{i}")
            part = None if trace is None else trace.part()
            parts.append(
                self._tuned(taken(pivots, at), images[i : i + 1], rng.take(at), meter, own_mask, own_keep, part)
            )
            if trace is not None and part is not None:
                trace.extend(part, seconds=spent)
        return joined(parts) if parts else pivots._replace(tuned=[])

    def _pivots(
        self,
        images: Tensor,
        *,
        rng: SampleRng,
        meter: Meter,
        mask: Tensor | None,
        keep: Keep | None,
        trace: Trace | None,
    ) -> Latents:
        first = self.first or Image2StyleGAN(self.generator, self.perceptual, space="w")
        own_keep = None if keep is None else keep.named("pivot")
        if isinstance(first, _STEPWISE):
            return first.invert(images, rng=rng, meter=meter, mask=mask, keep=own_keep, trace=trace)
        if mask is not None:
            raise BadArgument(f"a {type(first).__name__} finds pivots without heeding a mask; leave the mask out.")
        return first.invert(images, rng=rng, meter=meter)

    def _tuned(
        self,
        pivot: Latents,
        image: Tensor,
        rng: SampleRng,
        meter: Meter,
        mask: Tensor | None,
        keep: Keep | None,
        trace: Trace | None,
    ) -> Latents:
        """One image's weights, from those of the generator."""
        assert isinstance(self.generator, nn.Module)
        network = self.generator.get_submodule("synthesis")
        noise: Any = "const" if pivot.noise is None else pivot.noise
        likeness = Likeness(self.perceptual, self.perceptual_weight, self.pixel_weight)
        terms = likeness.to(image, mask=mask)
        with at_rest(self.generator, self.perceptual):
            reach = self._reach() if self.locality_weight else 0.0
            given = {name: parameter.detach()[None] for name, parameter in network.named_parameters()}

            def made(weights: Variables, w: Tensor) -> Tensor:
                own = {name: value[0] for name, value in weights.items()}
                images: Tensor = functional_call(network, own, (w,), {"noise": noise})
                return images

            def evaluate(weights: Variables, step: int) -> Terms:
                found = terms(made(weights, pivot.w))
                if not self.locality_weight:
                    return found
                beside = self._beside(pivot.w, reach, rng.fork(f"locality/{step}"))
                with torch.no_grad():
                    before = self.generator.synthesis(beside).clamp(0, 1)
                moved = likeness.to(before)(made(weights, beside)).loss
                return found._replace(penalty=self.locality_weight * moved)

            ended = descend(
                given,
                evaluate,
                lambda step: dict.fromkeys(given, self.lr),
                steps=self.steps,
                stop=lambda found: bool(found.perceptual.max() <= self.enough) if self.enough else False,
                keep=keep,
                identity=None if keep is None else self._identity(pivot, image, mask, rng),
                trace=trace,
                meter=meter,
            )
            changes = {
                _SYNTHESIS + name: (value - given[name])[0]
                for name, value in ended.variables.items()
                if not torch.equal(value, given[name])
            }
            latents = pivot._replace(tuned=[changes])
            distance = resemblance(synthesised(self.generator, latents), image, self.perceptual, mask)
        return latents._replace(distance=distance)

    def _reach(self) -> float:
        return spread(self.generator) if self.reach is None else self.reach

    @torch.no_grad()
    def _beside(self, pivot: Tensor, reach: float, rng: SampleRng) -> Tensor:
        """w at the distance `reach` from the pivot, on the way to a random sample (equation 5)."""
        c = None
        if self.generator.c_dim:
            c = torch.eye(self.generator.c_dim)[rng.integers(0, self.generator.c_dim)].to(pivot)
        way = self.generator.mapping(rng.normal((self.generator.z_dim,)).to(pivot), c) - pivot
        moved: Tensor = pivot + reach * way / way.norm(dim=2, keepdim=True).clamp(min=1e-12)
        return moved

    def _identity(self, pivot: Latents, image: Tensor, mask: Tensor | None, rng: SampleRng) -> Mapping[str, str]:
        return {
            "images": identity_of("images", image),
            "masks": identity_of(None, *(() if mask is None else (mask,))),
            "generator": identity_of(type(self.generator).__name__, *weights_of(self.generator)),
            "settings": identity_of((replace(self, first=None), getattr(self.perceptual, "definition", None))),
            "start": identity_of("pivot", pivot.w, *(pivot.noise or ())),
            "samples": identity_of((rng.seed, rng.purpose, rng.ids)),
        }
