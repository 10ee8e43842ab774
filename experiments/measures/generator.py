"""A StyleGAN2 by itself: distances to real images, path lengths, droplets, sticking details, and what training cost.

Generated images are drawn from seeds of their own and judged against the test split. `lpips nearest` is LPIPS to the
nearest of as many real images, found in the feature network. Droplets: largest over median magnitude of each layer's
features, the largest over the layers (arXiv 1912.04958, section 2). Sticking: see `advgen.metrics.sticking`; the face
is moved along the direction of w that moves it across the picture, and the number is how far details go per pixel that
the content goes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.images import grid, png_bytes
from advgen.core.meter import Meter
from advgen.core.specs import Card, DataSpec
from advgen.experiments.data._load import load
from advgen.experiments.measured import Measured, Picture, Reading
from advgen.experiments.measures._shift import moved_pairs
from advgen.experiments.recipes._gan_measure import generated
from advgen.generators.stylegan2 import StyleGAN2Generator
from advgen.generators.stylegan2.config import sizes
from advgen.generators.stylegan2.load import load_stylegan2

SHOWN = 32


@final
@dataclass(frozen=True)
class Generator:
    """The arguments of one measurement."""

    quantities: ClassVar = {
        "fid": {"means": "Fréchet distance of features to real images", "better": "lower"},
        "kid": {"means": "kernel distance of features to real images", "better": "lower"},
        "precision": {"means": "generated images among real ones", "unit": "share", "better": "higher"},
        "recall": {"means": "real images among generated ones", "unit": "share", "better": "higher"},
        "ppl_w": {"means": "perceptual path length in w, at the ends", "better": "lower"},
        "ppl_z": {"means": "perceptual path length in z, whole paths", "better": "lower"},
        "lpips_nearest": {"means": "LPIPS to the nearest real image", "better": "lower"},
        "droplets": {"means": "largest over median feature magnitude, worst layer", "better": "lower"},
        "following": {"means": "way of details over way of content", "better": "higher"},
        "moved": {"means": "images whose content moved as asked", "unit": "share", "better": "higher"},
        "seconds": {"means": "training time, for a thousand images", "unit": "s", "better": "lower", "timing": True},
        "images": {"means": "training images seen"},
    }
    plots = (("ppl_w", "fid"), ("seconds", "fid"))

    generator: str  # shipped name, path, or recipe:stylegan2:...,seed={seed}
    data: str = "avatars"  # what real images come from
    size: int | None = 32  # pixels, both sides; None = as the data set is
    count: int = 1024  # generated images, and the test split's real ones
    pairs: int = 512  # behind each path length
    shift: float = 0.0  # pixels that the face is moved for `following`; 0 = not measured

    def inputs(self) -> Mapping[str, str]:
        return {"data": load(DataSpec(self.data, "test", self.count, self.size, ())).hash}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Path) -> Measured:
        path = Path(self.generator)
        path = path if path.suffix else checkpoints.find(self.generator)
        net = load_stylegan2(path).generator.to(device)
        card = checkpoints.read_card(path)
        real = load(DataSpec(self.data, "test", self.count, self.size, ())).images_u8
        fake = generated(net, self.count, None, seed, "study")
        values, notes, stand_ins = self._distances(real, fake, seed)
        values |= self._paths(net, seed)
        values |= self._cost(card)
        readings = [Reading.of_arm(seed, name, value) for name, value in values.items()]
        readings += [Reading(f"image/{i}", "droplets", v) for i, v in enumerate(self._droplets(net, seed))]
        if self.shift:
            readings += self._following(net, seed)
        shown = Picture(png_bytes(grid(fake[:SHOWN], columns=8)), f"{card.name}, seed {seed}: {SHOWN} images, psi 1")
        return Measured(readings, (), (shown,), notes, stand_ins)

    def _distances(self, real: Tensor, fake: Tensor, seed: int) -> tuple[dict[str, float | None], list[str], Any]:
        from advgen.core.perceptual import LPIPS, default_net
        from advgen.metrics.copies import nearest
        from advgen.metrics.features import load as load_features
        from advgen.metrics.sets import compare_sets

        features = load_features("auto")
        report = compare_sets(real, fake, features=features, seed=seed)
        _, at = nearest(features.of(fake), features.of(real))
        chosen = default_net(real.shape[-1])
        lpips = LPIPS(chosen.net)
        with torch.no_grad():
            apart = torch.cat(
                [
                    lpips(a.float() / 255, b.float() / 255)
                    for a, b in zip(fake.split(64), real[at].split(64), strict=True)
                ]
            )
        values = {
            "fid": report.fid,
            "kid": report.kid,
            "precision": report.precision,
            "recall": report.recall,
            "lpips_nearest": float(apart.mean()),
        }
        stand_ins = {report.stands_in_for: report.features} if report.stands_in_for else {}
        return values, [f"features: {report.features}; LPIPS: {chosen.net}", *report.notes], stand_ins

    def _paths(self, net: StyleGAN2Generator, seed: int) -> dict[str, float]:
        from advgen.core.perceptual import LPIPS, default_net
        from advgen.metrics.path_length import perceptual_path_length

        lpips = LPIPS(default_net(net.resolution[0]).net)
        found = {}
        for space, sampling in (("w", "end"), ("z", "full")):
            paths = perceptual_path_length(net, lpips, space=space, sampling=sampling, count=self.pairs, seed=seed)
            found[f"ppl_{space}"] = paths.mean
        return found

    def _cost(self, card: Card) -> dict[str, float | None]:
        cost = card.cost if isinstance(card.cost, Mapping) else json.loads(card.cost)
        # On a CPU its own time: other work on the machine does not count.
        own = "cpu seconds" if cost.get("device") == "cpu" and "cpu seconds" in cost else "seconds"
        images, seconds = cost.get("images"), cost.get(own)
        return {"images": images, "seconds": 1000 * seconds / images if images and seconds else None}

    @torch.no_grad()
    def _droplets(self, net: StyleGAN2Generator, seed: int) -> list[float]:
        from advgen.metrics.droplets import feature_maps_of, peak_over_median

        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(64, net.z_dim, generator=generator).to(net.mean_w)
        layers = [f"synthesis.b{s}.conv{k}" for s in sizes(net.resolution[0]) for k in (0, 1) if s > 4 or k]
        maps = feature_maps_of(net, layers, lambda: net(z))
        return [float(v) for v in peak_over_median(maps).amax(0)]

    def _following(self, net: StyleGAN2Generator, seed: int) -> list[Reading]:
        from advgen.metrics.sticking import sticking

        still, moved = moved_pairs(net, pixels=self.shift, count=128, seed=seed)
        report = sticking(still, moved, (self.shift, 0.0), block=8)
        arrived = (report.content - 1).abs() < 0.5
        share = float(arrived.double().mean())
        followed = report.details / report.content
        rows = [
            Reading(f"pair/{i}", "following", float(v) if ok else None)
            for i, (v, ok) in enumerate(zip(followed, arrived, strict=True))
        ]
        return [*rows, Reading.of_arm(seed, "moved", share)]
