"""From another inverter's latents, a few steps of optimisation: an encoder's speed with an optimiser's nearness.

Zhu et al., "In-domain GAN inversion", arXiv 2004.00049, section 3.2, and before them iGAN (arXiv 1609.03552, section
3.2). The start counts as a result too, so that the end is never further by the loss than where it began.
"""

import time
from dataclasses import dataclass
from typing import final

from torch import Tensor

from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Inverter, Latents
from advgen.inversion.descent import Keep, Trace
from advgen.inversion.image2stylegan import Image2StyleGAN
from advgen.inversion.likeness import Style


@final
@dataclass(frozen=True)
class Hybrid:
    """`first` proposes, `then` refines."""

    first: Inverter
    then: Image2StyleGAN

    def invert(
        self,
        images: Tensor,
        *,
        rng: SampleRng,
        meter: Meter,
        mask: Tensor | None = None,
        style: Style | None = None,
        keep: Keep | None = None,
        trace: Trace | None = None,
    ) -> Latents:
        """Latents of images (N, C, H, W); the arguments are those of `Image2StyleGAN.invert`.

        `first` is asked again when a kept work is taken up; the trace's seconds count it too, and its answer is there
        before the first step of `then`.
        """
        clock = time.perf_counter if trace is None else trace.clock
        begun = clock()
        start = self.first.invert(images, rng=rng.fork("first"), meter=meter)
        spent = clock() - begun
        part = None if trace is None else trace.part()
        found = self.then.invert(
            images, rng=rng, meter=meter, start=start, mask=mask, style=style, keep=keep, trace=part
        )
        if trace is not None and part is not None:
            if self.then.perceptual is not None and mask is None:
                trace.answered(spent, start.distance)
            trace.extend(part, seconds=spent)
        return found
