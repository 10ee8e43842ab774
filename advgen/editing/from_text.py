"""A sentence makes pictures: the best of many samples by CLIP, or latents that are optimised towards the text.

`best` needs no gradients and stays where the generator's samples lie. `latent` (StyleCLIP, arXiv 2103.17249, section 4)
goes on from the best of a few samples, held back by their distance. Scores are the guiding CLIP's own cosines, so they
flatter; another judge belongs beside them.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.contact_sheets import ContactSheet
from advgen.core.errors import BadArgument, UnknownName
from advgen.core.files import write_atomically
from advgen.core.images import save_png, to_float, to_uint8
from advgen.core.meter import Meter
from advgen.core.provenance import Provenance, Source
from advgen.core.types import Generator, ImageTextEncoder
from advgen.editing.baselines import best_of
from advgen.editing.latent import LatentOptimisation
from advgen.editing.prompts import TEMPLATES, ensembled
from advgen.inversion.latents import at_rest

METHODS = ("best", "latent")
_A_ROW = 4  # pictures on the sheet


@dataclass(frozen=True)
class FromText:
    """What is asked for."""

    text: str
    method: str = "best"
    calls: int = 64  # samples that a picture is chosen from
    steps: int = 100  # of the latent optimisation
    psi: float = 1.0  # truncation of the samples
    templates: tuple[str, ...] = TEMPLATES

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownName.among("method of making pictures from a text", self.method, METHODS)
        if self.calls < 1 or self.steps < 1:
            raise BadArgument(f"calls and steps must be 1 or more, got {self.calls} and {self.steps}.")


class Made(NamedTuple):
    """Pictures from a text, one a seed."""

    w: Tensor  # (N, L, D)
    images_u8: Tensor  # (N, C, H, W)
    first: Tensor  # (N,) cosine of the seed's first sample with the text
    score: Tensor  # (N,) cosine of the picture, as saved
    calls: int  # of the generator, a picture; a step of optimisation is one, with its gradient


def from_text(asked: FromText, generator: Generator, encoder: ImageTextEncoder, seeds: Sequence[int]) -> Made:
    """One picture a seed.

    Raises:
        BadArgument: a text that the encoder cannot take.
    """
    text = ensembled(encoder, asked.text, asked.templates)
    meter = Meter()

    def score(images: Tensor) -> Tensor:
        meter.generator_calls += len(images)
        return encoder.encode_images(images) @ text.to(images)

    first = best_of(generator, score, seeds, calls=1, psi=asked.psi).score
    meter = Meter()
    w = best_of(generator, score, seeds, calls=asked.calls, psi=asked.psi).w
    if asked.method == "latent":
        shift = LatentOptimisation(generator, encoder, steps=asked.steps).shift(w, text, meter=meter)
        assert shift.w is not None
        w = w + shift.w
    with torch.no_grad(), at_rest(generator):
        images = to_uint8(torch.cat([generator.synthesis(some) for some in w.split(32)]).clamp(0, 1).cpu())
        seen = encoder.encode_images(to_float(images).to(w)) @ text.to(w)
    return Made(w, images, first, seen, meter.generator_calls // max(len(seeds), 1))


def save(made: Made, asked: FromText, seeds: Sequence[int], out: Path, *, sources: tuple[Source, ...] = ()) -> Path:
    """`OUT/SEED.png`, `OUT/latents.safetensors`, `OUT/table.csv` and a sheet, whose path is returned.

    `sources` are the files that the generator came from, for the pictures' provenance.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    from safetensors.torch import save as serialised

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("seed", "text", "method", "score_first", "score", "generator_calls"))
    about = {"text": asked.text, "method": asked.method, "psi": asked.psi, "generator calls": made.calls}
    for i, seed in enumerate(seeds):
        provenance = Provenance("trainedAlgorithmicMedia", "advgen generate --text", {**about, "seed": seed}, sources)
        save_png(made.images_u8[i], out / f"seed{seed:04d}.png", provenance=provenance)
        writer.writerow((seed, asked.text, asked.method, float(made.first[i]), float(made.score[i]), made.calls))
    write_atomically(out / "table.csv", text.getvalue().encode())
    write_atomically(out / "latents.safetensors", serialised({"w": made.w.detach().cpu().contiguous().clone()}))
    places: list[int | None] = [*range(len(seeds))]
    places += [None] * (-len(places) % min(_A_ROW, len(places)))
    across = min(_A_ROW, len(seeds))
    rows = [places[k : k + across] for k in range(0, len(places), across)]
    ContactSheet(
        [[None if k is None else made.images_u8[k] for k in row] for row in rows],
        captions=[["" if k is None else f"seed {seeds[k]}  {made.score[k]:.3f}" for k in row] for row in rows],
        footer=f"{asked.text}; {asked.method}, {made.calls} generator calls a picture, cosine by the CLIP that chose",
        facts={"text": asked.text, "method": asked.method, "seeds": list(seeds)},
        maker="advgen generate --text",
        sources=sources,
    ).save(out / "sheet.png")
    return out / "sheet.png"
