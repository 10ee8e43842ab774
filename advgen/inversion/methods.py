"""Inverters by name, with what a command line says of them."""

from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, cast

from torch import Tensor, nn

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Inverter, Latents
from advgen.generators.stylegan2.encoder import LatentEncoder
from advgen.inversion.descent import Keep, Trace
from advgen.inversion.encoder import EncoderInverter
from advgen.inversion.hybrid import Hybrid
from advgen.inversion.image2stylegan import Image2StyleGAN
from advgen.inversion.likeness import Metric
from advgen.inversion.pivotal import PivotalTuning
from advgen.inversion.projector import Projector

METHODS = ("image2stylegan", "projector", "pivotal", "encoder", "hybrid")
HYBRID_STEPS = 100
HYBRID_RAMPUP = 0.02  # from an encoder's answer the rate may rise sooner than from the mean of w
_Made = TypeVar("_Made", Image2StyleGAN, Projector, PivotalTuning)


class Stepwise(Protocol):
    """An inverter that works in steps: it takes a mask, can be interrupted and tells how it goes."""

    def invert(
        self,
        images: Tensor,
        *,
        rng: SampleRng,
        meter: Meter,
        mask: Tensor | None = None,
        keep: Keep | None = None,
        trace: Trace | None = None,
    ) -> Latents: ...


@dataclass(frozen=True)
class Method:
    """A method and its settings; what is None is the method's own default."""

    name: str = "image2stylegan"
    space: str | None = None  # w or w+
    steps: int | None = None
    lr: float | None = None
    noise_maps: bool | None = None  # optimise noise maps too

    def __post_init__(self) -> None:
        if self.name not in METHODS:
            raise UnknownName.among("inversion method", self.name, METHODS)
        if self.name == "encoder" and (self.space, self.steps, self.lr, self.noise_maps) != (None,) * 4:
            raise BadArgument("an encoder takes no space, steps, rate or noise maps: it answers at once; use hybrid.")
        if self.name == "pivotal" and self.noise_maps:
            raise BadArgument("pivotal tuning changes weights instead of noise maps; leave the noise maps out.")
        if self.name == "pivotal" and self.space == "w+":
            raise BadArgument("pivotal tuning keeps its pivot in w, which can be edited; leave the space out.")

    @property
    def stepwise(self) -> bool:
        return self.name != "encoder"

    def make(self, generator: Generator, perceptual: Metric | None, encoder: nn.Module | None = None) -> Inverter:
        """The inverter.

        Raises:
            BadArgument: an encoder is missing or was made for another generator, or a setting is out of range.
        """
        if self.name == "projector":
            return self._with(Projector(generator, perceptual, pixel_weight=0.0 if perceptual else 1.0), "noise_maps")
        if self.name == "pivotal":
            return self._with(PivotalTuning(generator, perceptual))
        optimiser = Image2StyleGAN(generator, perceptual)
        if self.name == "image2stylegan":
            return self._noisy(self._with(optimiser))
        if encoder is None:
            raise BadArgument(f"the method {self.name} needs an encoder; name one with --encoder.")
        if perceptual is None:
            raise BadArgument("an encoder's distance is measured by a perceptual network; choose one with --net.")
        first = EncoderInverter(cast(LatentEncoder, encoder), generator, perceptual)
        if self.name == "encoder":
            return first
        near = replace(optimiser, steps=HYBRID_STEPS, rampup=HYBRID_RAMPUP)
        return Hybrid(first, self._noisy(self._with(near)))

    def _with(self, inverter: _Made, *more: str) -> _Made:
        names = ("steps", "lr", *(("space",) if self.name != "pivotal" else ()), *more)
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        changed: Any = replace(inverter, **given)
        return cast(_Made, changed)

    def _noisy(self, inverter: Image2StyleGAN) -> Image2StyleGAN:
        """As many steps for the noise maps again as for the latents."""
        return replace(inverter, noise_steps=inverter.steps) if self.noise_maps else inverter
