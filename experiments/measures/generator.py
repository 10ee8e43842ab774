"""A StyleGAN2 by itself: distances to real images, path lengths, droplets, sticking details, and what training cost.

Generated images are drawn from seeds of their own and judged against the test split. `lpips nearest` is LPIPS to the
nearest of as many real images, found in the feature network; `path rank` asks of single images what the paper shows of
them (arXiv 1912.04958, section 3): whether those on long paths are the bad ones.

Droplets (section 2): largest over median magnitude of a layer's features, and, whatever scale and shift a map has, how
far its highest point lies from its mean. Both are of the maps behind the activation, before AdaIN where there is one,
in the worst layer from 16 pixels up, since the learned constant has high points of its own.

Sticking: see `advgen.metrics.sticking`. The face is moved along the direction of w that moves it across the picture,
and the number is how far details go per pixel that the content goes. What it is between pictures of different persons,
whose details have nothing to do with each other, stands beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.errors import MissingFile
from advgen.core.files import sha256
from advgen.core.images import grid, png_bytes, to_uint8
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS, default_net
from advgen.core.rng import stream_seed
from advgen.core.specs import Card, DataSpec
from advgen.experiments.data._load import load
from advgen.experiments.measured import Measured, Picture, Reading
from advgen.experiments.measures._shift import moved_pairs
from advgen.experiments.recipes._gan_batches import shifted
from advgen.experiments.recipes._gan_measure import generated
from advgen.generators.stylegan2 import StyleGAN2Generator
from advgen.generators.stylegan2.config import sizes
from advgen.generators.stylegan2.load import load_stylegan2

SHOWN = 32
BATCH = 32
PAIRS = 128  # pictures whose face is moved
COARSEST = 16  # pixels of the coarsest feature maps in which droplets are looked for


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
        "path_rank": {"means": "rank correlation of images' path lengths and LPIPS to their nearest real images"},
        "droplets": {"means": "largest over median feature magnitude, worst layer", "better": "lower"},
        "spots": {"means": "highest point of a map in its standard deviations, worst layer", "better": "lower"},
        "following": {"means": "way of details over way of content", "better": "higher"},
        "following_by_chance": {"means": "the same between different persons"},
        "match": {"means": "correlation of details where they were found again", "better": "higher"},
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
    at: int = 0  # images seen: the averaged weights of that look, of a training that kept them; 0 = the chosen ones
    jitter: int = 0  # pixels by which real images are shifted at random, as they were in training
    shift: float = 0.0  # pixels that the face is moved for `following`; 0 = not measured

    def inputs(self) -> Mapping[str, str]:
        looked = {"weights": sha256(self._weights())} if self.at else {}
        return {"data": load(DataSpec(self.data, "test", self.count, self.size, ())).hash, **looked}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Path) -> Measured:
        net = load_stylegan2(self._weights()).generator.to(device)
        card = checkpoints.read_card(self._checkpoint())
        lpips = LPIPS(default_net(net.resolution[0]).net)
        real, fake = self._real(seed), generated(net, self.count, None, seed, "study")
        nearest = _Nearest(real, lpips)
        values, notes, stand_ins = self._distances(nearest, fake, seed)
        values |= self._paths(net, nearest, seed)
        values |= self._cost(card)
        readings = [Reading.of_arm(seed, name, value) for name, value in values.items()]
        readings += self._droplets(net, seed)
        if self.shift:
            readings += self._following(net, seed)
        where = f" at {self.at:,} images" if self.at else ""
        told = f"{card.name}{where}, seed {seed}: {SHOWN} images, psi 1"
        shown = Picture(png_bytes(grid(fake[:SHOWN], columns=8)), told)
        return Measured(readings, (), (shown,), notes, stand_ins)

    def _checkpoint(self) -> Path:
        path = Path(self.generator)
        return path if path.suffix else checkpoints.find(self.generator)

    def _weights(self) -> Path:
        path = self._checkpoint()
        if not self.at:
            return path
        folder = path.with_name(f"{path.stem}.progress")
        looked = folder / f"{self.at:08d}.safetensors"
        if not looked.is_file():
            there = ", ".join(str(int(p.stem)) for p in sorted(folder.glob("*.safetensors"))) or "none"
            raise MissingFile(
                f"{path.name} has no weights of the look at {self.at} images (kept: {there}); train it with keep=looks."
            )
        return looked

    def _real(self, seed: int) -> Tensor:
        """uint8 (count, C, R, R) of the test split."""
        images = load(DataSpec(self.data, "test", self.count, self.size, ())).images_u8
        if not self.jitter:
            return images
        draws = torch.Generator().manual_seed(stream_seed(seed, "measure/jitter", ""))
        corners = torch.randint(2 * self.jitter + 1, (len(images), 2), generator=draws)
        return shifted(images.float(), corners, self.jitter).to(torch.uint8)

    def _distances(
        self, nearest: "_Nearest", fake: Tensor, seed: int
    ) -> tuple[dict[str, float | None], list[str], Mapping[str, str]]:
        from advgen.metrics.sets import compare_sets

        report = compare_sets(nearest.real, fake, features=nearest.features, seed=seed)
        values = {
            "fid": report.fid,
            "kid": report.kid,
            "precision": report.precision,
            "recall": report.recall,
            "lpips_nearest": float(nearest.lpips_of(fake).mean()),
        }
        stand_ins = {report.stands_in_for: report.features} if report.stands_in_for else {}
        notes = [f"features: {report.features}; LPIPS: {nearest.lpips.net}", *report.notes]
        return values, notes, stand_ins

    def _paths(self, net: StyleGAN2Generator, nearest: "_Nearest", seed: int) -> dict[str, float]:
        from advgen.metrics.path_length import perceptual_path_length

        lpips = nearest.lpips
        in_z = perceptual_path_length(net, lpips, space="z", sampling="full", count=self.pairs, seed=seed)
        in_w = perceptual_path_length(net, lpips, space="w", sampling="end", count=self.pairs, seed=seed)
        with torch.no_grad():
            made = [to_uint8(net.synthesis(w).clamp(0, 1)) for w in in_w.starts.split(BATCH)]
        apart = nearest.lpips_of(torch.cat(made))
        ranked = np.corrcoef(rankdata(in_w.lengths.numpy()), rankdata(apart.numpy()))[0, 1]
        return {"ppl_w": in_w.mean, "ppl_z": in_z.mean, "path_rank": float(ranked)}

    def _cost(self, card: Card) -> dict[str, float | None]:
        cost = card.cost if isinstance(card.cost, Mapping) else json.loads(card.cost)
        images = cost.get("images")
        # On a CPU its own time, since other work on the machine does not count, without pictures and scores on the way.
        own = cost.get("device") == "cpu" and "cpu seconds" in cost
        seconds = cost["cpu seconds"] - cost.get("cpu seconds of looks", 0.0) if own else cost.get("seconds")
        return {"images": self.at or images, "seconds": 1000 * seconds / images if images and seconds else None}

    def _droplets(self, net: StyleGAN2Generator, seed: int) -> list[Reading]:
        from advgen.metrics.droplets import feature_maps_of, peak_over_deviation, peak_over_median

        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(64, net.z_dim, generator=generator).to(net.mean_w)
        layers = [f"synthesis.b{s}.conv{k}" for s in sizes(net.resolution[0]) for k in (0, 1) if s >= COARSEST]
        if net.config.normalisation == "adain":
            maps = feature_maps_of(net, [f"{name}.normalise" for name in layers], lambda: net(z), inputs=True)
        else:
            maps = feature_maps_of(net, layers, lambda: net(z))
        found = {"droplets": peak_over_median(maps).amax(0), "spots": peak_over_deviation(maps).amax(0)}
        return [Reading(f"image/{i}", name, float(v)) for name, values in found.items() for i, v in enumerate(values)]

    def _following(self, net: StyleGAN2Generator, seed: int) -> list[Reading]:
        from advgen.metrics.sticking import sticking

        still, moved = moved_pairs(net, pixels=self.shift, count=PAIRS, seed=seed)
        way = (self.shift, 0.0)
        report, by_chance = (sticking(some, moved, way, block=8) for some in (still, still.roll(1, 0)))
        arrived = (report.content - 1).abs() < 0.5
        found = {
            "following": report.details / report.content,
            "following_by_chance": by_chance.details / report.content,
            "match": report.details_match,
        }
        rows = [
            Reading(f"pair/{i}", name, float(v) if ok else None)
            for name, values in found.items()
            for i, (v, ok) in enumerate(zip(values, arrived, strict=True))
        ]
        return [*rows, Reading.of_arm(seed, "moved", float(arrived.double().mean()))]


class _Nearest:
    """Real images, and how far others are from the nearest of them."""

    def __init__(self, real: Tensor, lpips: LPIPS) -> None:
        from advgen.metrics.features import load as load_features

        self.real, self.lpips, self.features = real, lpips, load_features("auto")
        self._of_real = self.features.of(real)

    @torch.no_grad()
    def lpips_of(self, images: Tensor) -> Tensor:
        """(N,) LPIPS of uint8 images to the real image that is nearest in the features."""
        from advgen.metrics.copies import nearest

        _, at = nearest(self.features.of(images), self._of_real)
        pairs = zip(images.split(64), self.real[at].split(64), strict=True)
        return torch.cat([self.lpips(a.float() / 255, b.float() / 255) for a, b in pairs])
