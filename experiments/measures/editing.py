"""How well a method edits inverted portraits by a text: asked for, exactly that, the person kept, how far, how long.

Avatars of the test split are inverted by the encoder, edited, saved as bytes and read by a judge that no method sees.
Settings and strength are chosen on avatars of the validation split, by the mean of the shares asked for and exact. An
original that shows what is asked for already counts neither way. The judge's own errors stand on its networks' cards.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, final

import torch
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.errors import UnknownName
from advgen.core.files import sha256
from advgen.core.images import grid, png_bytes, to_float, to_uint8
from advgen.core.meter import Meter
from advgen.editing import regions
from advgen.editing.baselines import along, best_of, from_labels, random_styles, sefa
from advgen.editing.global_directions import colour_gram, global_direction, solved
from advgen.editing.latent import LatentOptimisation
from advgen.editing.mapper import load_mapper
from advgen.editing.networks import sized
from advgen.editing.prompts import ensembled, text_direction
from advgen.editing.relevance import RelevanceOf
from advgen.editing.shifts import Shift, edited
from advgen.editing.stylespace import layout, sampled_w
from advgen.embeddings.encoders.clip import CLIP
from advgen.experiments.data._files import cache_folder
from advgen.experiments.edits import portraits
from advgen.experiments.edits.judge import EditJudge, EditReport
from advgen.experiments.measured import Curve, Measured, Picture, Reading
from advgen.experiments.measures._edits import Asked, named
from advgen.generators.stylegan2.load import load_stylegan2
from advgen.zoo.load import load, zoo_load

METHODS = ("global", "solved", "latent", "mapper", "sefa", "labels", "random", "best_of")
BETAS = (0.13, 0.25)  # of global directions, of which validation chooses
STEPS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0)  # of directions
WHOLE = (0.5, 0.75, 1.0, 1.5)  # strengths where 1 is the whole edit
LABELLED = 512  # samples that a boundary is fitted to
FACTORS = 16  # of SeFa, of which CLIP chooses
SHOWN = 8


class _Way(NamedTuple):
    """One setting of a method, for a batch of latents."""

    shift: Shift
    strengths: tuple[float, ...]


@final
@dataclass(frozen=True)
class Editing:
    """The arguments of one measurement."""

    quantities: ClassVar = {
        "asked_for": {"means": "what was asked for is there", "unit": "share", "better": "higher"},
        "exact": {"means": "it is there, and nothing else has changed", "unit": "share", "better": "higher"},
        "identity": {"means": "still the same person to the judge", "unit": "share", "better": "higher"},
        "lpips": {"means": "LPIPS to the inversion", "better": "lower"},
        "lpips_truth": {"means": "LPIPS to the renderer's true counterfactual", "better": "lower"},
        "strength": {"means": "strength of the edit"},
        "seconds": {"means": "wall time an image", "unit": "s", "better": "lower", "timing": True, "log": True},
    }
    plots = (("strength", "asked_for"), ("strength", "exact"))

    method: Literal["global", "solved", "latent", "mapper", "sefa", "labels", "random", "best_of"] = "global"
    region: float = 0.0  # share of the largest effect on CLIP, from which on pixels may change; 0 = all may
    edits: str = "hair colour, glasses, beard, hat, smile, age"
    generator: str = "stylegan2_avatars_64"
    encoder: str = "stylegan2_avatars_64_encoder"
    clip: str = "clip_avatars_64"
    mapper: str = ""  # of the method mapper, whose edits is then the one it was trained for
    count: int = 16  # avatars of the test split
    validation: int = 8  # avatars on which settings and strength are chosen
    steps: int = 40  # of the latent optimisation
    calls: int = 4  # of best_of

    def inputs(self) -> Mapping[str, str]:
        used = (self.generator, self.encoder, self.clip, "judge_attributes_64", "judge_identity_64")
        return {Path(name).stem: sha256(_file(name)) for name in used}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Path) -> Measured:
        if self.method not in METHODS:
            raise UnknownName.among("editing method", self.method, METHODS)
        generator: Any = load_stylegan2(self.generator).generator.eval().requires_grad_(False)
        clip, encoder, judge = CLIP(self.clip), zoo_load(self.encoder)[0], EditJudge()
        sets = {}
        for split, count in (("validation", self.validation), ("test", self.count)):
            some, avatars = portraits.of_data(split, count)
            with torch.no_grad():
                w = encoder(to_float(some.images))
                own = to_uint8(generator.synthesis(w).clamp(0, 1))
            sets[split] = (w, own, avatars)
        readings: list[Reading] = []
        curves, shown = [], []
        for name, asked in named(self.edits).items():
            ways = self._ways(asked, generator, clip, sets["validation"][0], meter, seed)
            chosen, strength, points = self._chosen(asked, ways, generator, clip, judge, sets["validation"])
            begun = time.perf_counter()
            w, own, avatars = sets["test"]
            way = self._ways(asked, generator, clip, w, meter, seed)[chosen]
            made = self._made(asked, way.shift, strength, generator, clip, w, own)
            seconds = (time.perf_counter() - begun) / len(w)
            report = judge.edits(own, made, asked.change, avatars=avatars)
            ids = [f"{name}/{i}" for i in range(len(w))]
            readings += _read(report, ids, [str(a.identity.number) for a in avatars], strength, seconds)
            curves += [Curve(name, "strength", what, [(s, p[k]) for s, p in points]) for k, what in enumerate(_RATES)]
            shown.append((name, strength, torch.stack([own[:SHOWN], made[:SHOWN]], 1).flatten(0, 1)))
        pictures = [
            Picture(png_bytes(grid(both, columns=2 * SHOWN)), f"{name}, strength {strength:g}: inverted, edited")
            for name, strength, both in shown
        ]
        notes = (f"judge: {judge.perceptual.definition}", f"{self.count} test and {self.validation} validation avatars")
        return Measured(readings, curves, pictures, notes, {"published CLIP": f"the embedded {self.clip}"})

    def _chosen(
        self, asked: Asked, ways: list[_Way], generator: Any, clip: CLIP, judge: EditJudge, there: tuple[Any, ...]
    ) -> tuple[int, float, list[tuple[float, tuple[float, float]]]]:
        """The way and the strength that are best on validation, and the rates (asked for, exact) of that way."""
        w, own, _ = there
        before = judge.read(own)
        found: list[tuple[float, int, float, tuple[float, float]]] = []
        for k, way in enumerate(ways):
            mask = self._region(asked, way, generator, clip, w)
            for strength in way.strengths:
                made = _bytes(generator, w, way.shift.times(strength), own, mask)
                rates = _rates(judge, before, made, asked)
                found.append((sum(rates), k, strength, rates))
        best = max(found, key=lambda row: row[0])
        return best[1], best[2], [(s, rates) for _, k, s, rates in found if k == best[1]]

    def _made(
        self, asked: Asked, shift: Shift, strength: float, generator: Any, clip: CLIP, w: Tensor, own: Tensor
    ) -> Tensor:
        mask = self._region(asked, _Way(shift, (strength,)), generator, clip, w)
        return _bytes(generator, w, shift.times(strength), own, mask)

    def _region(self, asked: Asked, way: _Way, generator: Any, clip: CLIP, w: Tensor) -> Tensor | None:
        if not self.region:
            return None
        text = text_direction(clip, asked.target, asked.neutral)
        each = len(_some(way.shift)) > 1
        at = way.shift if each else way.shift.times(way.strengths[len(way.strengths) // 2])
        where = w if each else sampled_w(generator, 16, seed=3)
        return regions.found(generator, clip, where, at, text, share=self.region, each=each)

    def _ways(self, asked: Asked, generator: Any, clip: CLIP, w: Tensor, meter: Meter, seed: int) -> list[_Way]:
        if self.method == "latent":
            work = LatentOptimisation(generator, clip, steps=self.steps)
            return [_Way(work.shift(w, ensembled(clip, asked.target), meter=meter), WHOLE)]
        if self.method == "mapper":
            return [_Way(load_mapper(self.mapper, generator).network.shift(w), WHOLE)]
        if self.method == "best_of":
            text = ensembled(clip, asked.target)
            seeds = range(1000 * (seed + 1), 1000 * (seed + 1) + len(w))
            best = best_of(generator, lambda images: clip.encode_images(images) @ text, seeds, calls=self.calls)
            return [_Way(Shift(w=best.w - w), (1.0,))]
        if self.method in ("sefa", "labels"):
            return _of_w(self.method, asked, generator, clip)
        text = text_direction(clip, asked.target, asked.neutral)
        relevance = RelevanceOf().of(generator, clip, cache=cache_folder())
        if self.method == "solved":
            colours = colour_gram(generator, relevance.std, cache=cache_folder())
            return [_Way(solved(relevance, text, colours).shift, STEPS)]
        most = float((relevance.unit @ text).abs().max())
        shifts = [global_direction(relevance, text, beta=beta).shift for beta in BETAS if beta <= most]
        if self.method == "random":
            return [_Way(random_styles(shifts[0], layout(generator), relevance.std, seed=seed), STEPS)]
        return [_Way(shift, STEPS) for shift in shifts]


_RATES = ("asked_for", "exact")


def _of_w(method: str, asked: Asked, generator: Any, clip: CLIP) -> list[_Way]:
    """Directions of w, a standard deviation of samples along them long."""
    w = sampled_w(generator, LABELLED, seed=6)
    if method == "labels":
        if not asked.label:
            return [_Way(Shift(w=torch.zeros(1, generator.num_ws, generator.w_dim)), (1.0,))]
        loaded = load("avatars_attributes_32")
        logits = sized(zoo_load("avatars_attributes_32")[0], loaded.image_shape)
        with torch.no_grad():
            seen = torch.cat([logits(generator.synthesis(some).clamp(0, 1)) for some in w.split(64)])
        normal = from_labels(w[:, 0], seen[:, loaded.classes.index(asked.label)] > 0)
        return [_Way(along(normal * (w[:, 0] @ normal).std(), generator), STEPS)]
    text, some = text_direction(clip, asked.target, asked.neutral), w[:12]
    ways: list[tuple[float, Shift]] = []
    for row in sefa(generator).directions[:FACTORS]:
        shift = along(row * (w[:, 0] @ row).std(), generator)
        with torch.no_grad():
            up, down = (clip.encode_images(edited(generator, some, shift.times(s)).clamp(0, 1)) for s in (2.0, -2.0))
        gain = float(((up - down) @ text).mean())
        ways.append((abs(gain), shift.times(1.0 if gain > 0 else -1.0)))
    return [_Way(max(ways, key=lambda way: way[0])[1], STEPS)]


@torch.no_grad()
def _bytes(generator: Any, w: Tensor, shift: Shift, own: Tensor, mask: Tensor | None) -> Tensor:
    rows = []
    for index in torch.arange(len(w)).split(32):
        made = edited(generator, w[index], shift.take(index)).clamp(0, 1)
        if mask is not None:
            made = regions.kept_inside(made, to_float(own[index]), mask if len(mask) == 1 else mask[index])
        rows.append(to_uint8(made))
    return torch.cat(rows)


def _rates(judge: EditJudge, before: Any, made: Tensor, asked: Asked) -> tuple[float, float]:
    from advgen.experiments.edits.verdicts import judged

    verdicts = judged(before, judge.read(made), [[asked.change]] * len(made))
    new = ~verdicts.already
    if not new.any():
        return 0.0, 0.0
    return float(verdicts.asked_for[new].mean()), float(verdicts.exact[new].mean())


def _read(report: EditReport, ids: list[str], persons: list[str], strength: float, seconds: float) -> list[Reading]:
    rows = []
    for i, name in enumerate(ids):
        if report.verdicts.already[i]:
            continue
        truth = report.distances.to_counterfactual
        values: dict[str, float | None] = {
            "asked_for": float(report.verdicts.asked_for[i]),
            "exact": float(report.verdicts.exact[i]),
            "identity": float(report.kept[i]),
            "lpips": float(report.distances.to_original[i]),
            "lpips_truth": None if truth is None else float(truth[i]),
            "strength": strength,
            "seconds": seconds,
        }
        rows += [Reading(name, what, value, persons[i]) for what, value in values.items()]
    return rows


def _some(shift: Shift) -> Tensor:
    part = shift.w if shift.s is None else shift.s
    assert part is not None
    return part


def _file(name: str) -> Path:
    return Path(name) if Path(name).suffix else checkpoints.find(name)
