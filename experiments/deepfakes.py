"""Deepfakes of image files: pictures, a table and a sheet; every picture says how it was made. `advgen deepfake`.

`OUT/images/NAME.png` a pair, `OUT/table.csv`, and `OUT/sheet.png` with source, driving face and fake. Of each fake the
table tells how far the inversions lay, the distance to the driving picture and, where a network of identities is
there, its cosine with either face: on the saved bytes.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advgen.core import images as pictures
from advgen.core.contact_sheets import ContactSheet
from advgen.core.errors import BadArgument
from advgen.core.files import sha256, write_atomically
from advgen.core.meter import Meter
from advgen.core.provenance import Provenance, Source
from advgen.core.rng import SampleRng

SHOWN = 24  # pairs in the sheet
BATCH = 8


class Row(NamedTuple):
    """One pair in the table; None where nobody was there to judge."""

    source: str
    driving: str
    image: str
    source_distance: float  # of the inversion from its picture
    driving_distance: float
    lpips: float | None  # of the fake to the driving picture
    net: str
    identity_source: float | None  # cosine of the fake with the source
    identity_driving: float | None


@dataclass(frozen=True)
class DeepfakeWork:
    """What is to be done with pairs of faces."""

    name: str  # of the maker, e.g. deepfake/swap_latent
    maker: Any  # with its generator and inverter
    weights: str  # what its generator is called
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = field(default=None, repr=False)
    net: str = "none"
    identity: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)  # images to unit rows
    mask: Path | None = None  # a grey image, white where the new face shows
    resize: bool = False  # cut the centre square and scale it, instead of refusing another size
    seed: int = 0


def deepfake_files(work: DeepfakeWork, source: Path, driving: Path, out: Path) -> list[Row]:
    """Makes a fake of each pair of files, or of each pair of images in two folders, by name's order; writes all.

    Raises:
        UserError: an image that cannot be read, folders of different lengths, an inversion beyond the limit.
    """
    faces, frames = _files(source), _files(driving)
    if len(faces) == 1:
        faces = faces * len(frames)
    if len(faces) != len(frames):
        raise BadArgument(
            f"{source} holds {len(faces)} images and {driving} {len(frames)}; give one source, or one for each."
        )
    names = [f"{one.stem}_in_{other.stem}.png" for one, other in zip(faces, frames, strict=True)]
    if len(set(names)) < len(names):
        raise BadArgument("two pairs have the same names of files; rename one of them.")
    read = {path: _image(work, path) for path in dict.fromkeys([*faces, *frames])}
    mask = None if work.mask is None else _mask(work)
    fakes, notes = [], []
    for at in torch.arange(len(names)).split(BATCH):
        some = [int(i) for i in at]
        rng = SampleRng.for_samples(work.seed, "deepfake", [names[i] for i in some])
        like = work.maker.generator.mean_w
        shown = [
            pictures.to_float(torch.stack([read[paths[i]] for i in some])).to(like.device) for paths in (faces, frames)
        ]
        made = work.maker.swap(*shown, rng=rng, meter=Meter(), mask=mask)
        fakes.append(pictures.to_uint8(made.images.cpu()))
        notes.append({key: column.cpu() for key, column in made.note.items()})
    images = torch.cat(fakes)
    note = {key: torch.cat([each[key] for each in notes]) for key in notes[0]}
    ours, theirs = (torch.stack([read[path] for path in paths]) for paths in (faces, frames))
    rows = _rows(work, faces, frames, names, note, (ours, theirs, images))
    _write(work, faces, frames, rows, (ours, theirs, images), out)
    return rows


def _rows(
    work: DeepfakeWork,
    faces: Sequence[Path],
    frames: Sequence[Path],
    names: Sequence[str],
    note: dict[str, Tensor],
    shown: tuple[Tensor, Tensor, Tensor],
) -> list[Row]:
    device = work.maker.generator.mean_w.device
    source, driving, fake = (pictures.to_float(images).to(device) for images in shown)
    distance = own = other = None
    with torch.no_grad():
        if work.perceptual is not None:
            distance = work.perceptual(fake, driving).tolist()
        if work.identity is not None:
            places = [work.identity(images) for images in (source, driving, fake)]
            own, other = ((places[2] * place).sum(1).tolist() for place in places[:2])
    return [
        Row(
            faces[i].name, frames[i].name, names[i], float(note["source_distance"][i]),
            float(note["inversion_distance"][i]), None if distance is None else distance[i], work.net,
            None if own is None else own[i], None if other is None else other[i],
        )
        for i in range(len(names))
    ]  # fmt: skip


def _write(
    work: DeepfakeWork,
    faces: Sequence[Path],
    frames: Sequence[Path],
    rows: Sequence[Row],
    shown: tuple[Tensor, Tensor, Tensor],
    out: Path,
) -> None:
    needs = set(getattr(type(work.maker), "needs", ()))
    settings = {f.name for f in fields(work.maker)} - needs - {"budget"}
    about = {name: getattr(work.maker, name) for name in sorted(settings)} | {
        "weights": work.weights, "mask": str(work.mask) if work.mask else work.maker.mask, "seed": work.seed,
    }  # fmt: skip
    sources = [tuple(Source(p.name, sha256(p)) for p in pair) for pair in zip(faces, frames, strict=True)]
    for i, row in enumerate(rows):
        provenance = Provenance(
            "compositeWithTrainedAlgorithmicMedia", f"advgen {work.name.replace('/', ' ')}", about, sources[i]
        )
        pictures.save_png(shown[2][i], out / "images" / row.image, provenance=provenance)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(Row._fields)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    write_atomically(out / "table.csv", text.getvalue().encode())
    few = range(min(SHOWN, len(rows)))
    ContactSheet(
        [[images[i] for images in shown] for i in few],
        rows=[rows[i].image[:28] for i in few],
        columns=("person of", "picture of", "fake"),
        footer=f"{work.name}, {len(rows)} fakes",
        facts=about,
        maker=f"advgen {work.name.replace('/', ' ')}",
        source_type="compositeWithTrainedAlgorithmicMedia",
        sources=tuple(dict.fromkeys(source for i in few for source in sources[i])),
    ).save(out / "sheet.png")


def _files(place: Path) -> list[Path]:
    return [place / name for name in pictures.image_files(place)] if place.is_dir() else [place]


def _image(work: DeepfakeWork, file: Path) -> Tensor:
    """uint8 (C, H, W) of the generator's size."""
    image = pictures.load(file)
    height, width = work.maker.generator.resolution
    if tuple(image.shape[-2:]) == (height, width):
        return image
    if not work.resize:
        raise BadArgument(
            f"{file} is {image.shape[2]}x{image.shape[1]}, and the generator makes {width}x{height}; give --resize to "
            "cut the centre square and scale it, or scale it yourself."
        )
    return pictures.centre_square(image, height)


def _mask(work: DeepfakeWork) -> Tensor:
    """(1, 1, H, W) in [0, 1]."""
    assert work.mask is not None
    mask = pictures.to_float(pictures.load(work.mask, channels=1))[None]
    height, width = work.maker.generator.resolution
    if tuple(mask.shape[-2:]) != (height, width):
        raise BadArgument(
            f"the mask {work.mask} is {mask.shape[3]}x{mask.shape[2]}, and the generator makes {width}x{height}; "
            "scale it."
        )
    if not bool(mask.any()):
        raise BadArgument(f"the mask {work.mask} is black everywhere; white is where the new face shows.")
    return mask
