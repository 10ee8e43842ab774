"""How near an inversion method comes to images, and in how many seconds: one image at a time, as a user waits for it.

Distances are measured on the re-synthesis rounded to bytes. A curve is LPIPS of each image's best iterate against the
seconds spent on it; an encoder is one point. Methods that go on after a perfect start (hybrid) begin their curve with
it. Seconds are wall time of one thread on the machine named on the page.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.files import sha256
from advgen.core.images import grid, png_bytes, to_uint8
from advgen.core.latent_spaces import spread
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS, default_net
from advgen.core.rng import SampleRng
from advgen.core.specs import DataSpec
from advgen.core.types import Generator as Generates
from advgen.core.types import Latents, Slice
from advgen.experiments.data._load import load
from advgen.experiments.measured import Curve, Measured, Picture, Reading, joined, kept
from advgen.inversion.descent import Trace
from advgen.inversion.gate import quality
from advgen.inversion.latents import synthesised
from advgen.inversion.methods import Method
from advgen.zoo.load import zoo_load

SHOWN = 12
READ = {"lpips": "distance", "mse": "mse", "psnr": "psnr", "ssim": "ssim", "w_distance": "w_distance"}


@final
@dataclass(frozen=True)
class Inversion:
    """The arguments of one measurement."""

    quantities: ClassVar = {
        "lpips": {"means": "LPIPS to the image", "better": "lower"},
        "mse": {"means": "mean squared error", "better": "lower"},
        "psnr": {"means": "peak signal to noise", "unit": "dB", "better": "higher"},
        "ssim": {"means": "structural similarity", "better": "higher"},
        "w_distance": {"means": "w from its mean, in samples' distances"},
        "seconds": {
            "means": "time an image: the processor's own on a CPU, so that other work does not count",
            "unit": "s",
            "better": "lower",
            "timing": True,
            "log": True,
        },
    }
    plots = (("seconds", "lpips"),)

    method: str = "image2stylegan"  # image2stylegan, projector, pivotal, encoder or hybrid
    space: str | None = None  # w or w+; None = the method's own
    steps: int | None = None  # None = the method's own
    generator: str = "stylegan2_avatars_64"  # shipped name, path or recipe:...
    encoder: str = "stylegan2_avatars_64_encoder"  # of encoder and hybrid
    data: str = "avatars"  # name of a data set, or folder:PATH
    split: str = "test"
    count: int = 64  # images
    size: int | None = 64  # pixels; None = as the data set is

    def inputs(self) -> Mapping[str, str]:
        used = [self.generator, *([self.encoder] if self.method in ("encoder", "hybrid") else [])]
        return {"data": self._images().hash, **{Path(name).stem: sha256(_file(name)) for name in used}}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Path) -> Measured:
        sample = self._images()
        generator: Any = zoo_load(self.generator)[0].to(device)
        net = default_net(sample.images.shape[-1])
        perceptual = LPIPS(net.net).to(device)
        encoder = zoo_load(self.encoder)[0].to(device) if self.method in ("encoder", "hybrid") else None
        method = Method(self.method, space=self.space, steps=self.steps)
        clock = time.process_time if device.type == "cpu" else time.perf_counter
        unit = spread(generator)

        def one(i: int) -> Measured:
            inverter = method.make(generator, perceptual, encoder)
            image, name = sample.images[i : i + 1].to(device), sample.ids[i]
            rng, trace = SampleRng.for_samples(seed, "invert", [name]), Trace(clock=clock)
            begun = clock()
            more: dict[str, Any] = {"trace": trace} if method.stepwise else {}
            latents = inverter.invert(image, rng=rng, meter=meter, **more)
            spent = clock() - begun
            return _read(generator, latents, image, perceptual, unit, name, spent, trace)

        # What a first call costs is no image's.
        short = replace(method, steps=2) if method.stepwise else method
        warm = short.make(generator, perceptual, encoder)
        warm.invert(sample.images[:1].to(device), rng=SampleRng.for_samples(0, "", [""]), meter=Meter())
        parts = [kept(out, f"image-{i}", lambda i=i: one(i), meter=meter) for i in range(len(sample.ids))]
        whole = joined(parts)
        stand_ins = {} if net.net == "squeeze" else {"published LPIPS": net.reason}
        # Before and after, of a few images: pictures of real persons are measured and never shown.
        pictures = self._pictures(whole.pictures, sample)
        return Measured(whole.readings, whole.curves, pictures, (f"LPIPS: {net}",), stand_ins)

    def _images(self) -> Slice:
        return load(DataSpec(self.data, self.split, self.count, self.size, ()))

    def _pictures(self, made: Any, sample: Slice) -> tuple[Picture, ...]:
        if self.data != "avatars":
            return ()
        from io import BytesIO

        import numpy as np
        from PIL import Image

        after = [torch.from_numpy(np.array(Image.open(BytesIO(p.png)))).permute(2, 0, 1) for p in made[:SHOWN]]
        both = [*sample.images_u8[: len(after)], *after]
        where = f" in {self.space}" if self.space else ""
        return (Picture(png_bytes(grid(both, columns=len(after))), f"{self.method}{where}: images, their inversions"),)


def _read(
    generator: Generates,
    latents: Latents,
    image: Tensor,
    perceptual: LPIPS,
    unit: float,
    name: str,
    spent: float,
    trace: Trace,
) -> Measured:
    with torch.no_grad():
        made = synthesised(generator, latents)
    found = quality(made, image, perceptual=perceptual, generator=generator, w=latents.w, unit=unit)
    numbers = {what: float(getattr(found, where)) for what, where in READ.items()}
    readings = [Reading(name, what, value if value == value else None) for what, value in numbers.items()]
    readings.append(Reading(name, "seconds", spent))
    points: list[tuple[float, float]] = []
    for seconds in trace.seconds:
        best = trace.at(seconds)
        if best is not None:
            points.append((seconds, float(best.perceptual)))
    curve = Curve(name, "seconds", "lpips", tuple(_thinned(points)) or ((spent, numbers["lpips"]),))
    return Measured(readings, (curve,), (Picture(png_bytes(to_uint8(made.clamp(0, 1))[0]), name),))


def _thinned(points: list[tuple[float, float]], most: int = 40) -> list[tuple[float, float]]:
    """At most so many points, evenly along the logarithm of seconds, the last one among them."""
    if len(points) <= most:
        return points
    first, last = max(points[0][0], 1e-3), points[-1][0]
    marks = [first * (last / first) ** (k / (most - 1)) for k in range(most)]
    kept_points = [max((p for p in points if p[0] <= mark * (1 + 1e-9)), default=points[0]) for mark in marks]
    return list(dict.fromkeys(kept_points))


def _file(name: str) -> Path:
    return Path(name) if Path(name).suffix else checkpoints.find(name)
