"""Image files in; re-synthesised images, latents and a table out. What `advgen invert` does.

`OUT/images/NAME.png` and `OUT/latents/NAME.safetensors` an image, `OUT/table.csv`, `OUT/before_after.png`, and
`OUT/inversion.json`, which says what was asked for. Every number is measured on the saved bytes. The work can be
interrupted at any moment: finished images are not made again, and the batch at hand goes on from its state.
"""

import csv
import io
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from advgen.core import images as pictures
from advgen.core.contact_sheets import ContactSheet
from advgen.core.errors import BadArgument, RunFolder
from advgen.core.files import sha256, write_atomically
from advgen.core.latent_spaces import spread
from advgen.core.meter import Meter
from advgen.core.provenance import Provenance, Source
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Inverter
from advgen.inversion.descent import Keep, Trace, identity_of
from advgen.inversion.gate import Quality, quality
from advgen.inversion.latents import load_latents, save_latents, synthesised
from advgen.inversion.likeness import Metric, Terms
from advgen.inversion.methods import Method, Stepwise
from advgen.inversion.search import weights_of

SHOWN = 24  # images in the before/after picture
DIFFERENCE_GAIN = 4


class Row(NamedTuple):
    """One image in the table."""

    image: str
    method: str
    lpips: float  # distance by `net`; root mean square error where that is "none"
    net: str
    mse: float
    psnr: float  # dB
    ssim: float
    w_distance: float  # of w from the mean, 1 = as samples lie
    passes: bool | None  # the gate; None = no limit was given
    seconds: float  # of the batch, shared equally


class Progress(NamedTuple):
    """Where a work stands."""

    done: int  # images
    total: int
    step: int | None  # of the batch at hand; None = a batch is done
    seconds: float = 0.0  # since it began
    loss: float = 0.0  # mean over it


@dataclass(frozen=True)
class Work:
    """What is to be done with image files."""

    generator: Generator
    method: Method
    perceptual: Metric | None = None
    net: str = "none"  # name of the perceptual network, for tables
    weights: str = ""  # what the generator is called
    encoder: nn.Module | None = None
    limit: float | None = None  # of the distance, for the gate
    mask: Path | None = None  # a grey image, white where images must match
    resize: bool = False  # cut the centre square and scale it, instead of refusing another size
    batch: int = 8
    seed: int = 0
    keep_every: int = 50  # steps

    def __post_init__(self) -> None:
        if self.batch < 1 or self.keep_every < 1:
            raise BadArgument(f"batch and keep_every must be 1 or more, got {self.batch} and {self.keep_every}.")
        if self.limit is not None and not 0 <= self.limit < float("inf"):
            raise BadArgument(f"the limit must be 0 or more, got {self.limit}.")
        if self.mask is not None and not self.method.stepwise:
            raise BadArgument("an encoder takes no mask; use the method hybrid.")

    @property
    def at_once(self) -> int:
        """Images in a batch; pivotal tuning keeps a state as large as the weights for each, so it has one."""
        return 1 if self.method.name == "pivotal" else self.batch


def invert_files(
    work: Work,
    place: Path,
    out: Path,
    *,
    resume: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> list[Row]:
    """Inverts an image file or every image below a folder, and writes everything into `out`.

    Raises:
        MissingFile, BadFile: an image, mask or folder cannot be read or used.
        BadArgument: an image of another size while `resize` is off, or settings that do not fit the generator.
        RunFolder: `out` holds another work, or this one while `resume` is off.
    """
    inverter = work.method.make(work.generator, work.perceptual, work.encoder)
    names = _names(place)
    files = {name: place / name if place.is_dir() else place for name in names}
    channels = _channels(work.generator)
    hashes = [identity_of("", _image(work, files[name], channels)) for name in names]
    mask = None if work.mask is None else _mask(work)
    _claim(out, _asked(work, inverter, names, hashes, mask), resume=resume)
    unit = spread(work.generator)
    rows: list[Row] = []
    for at in range(0, len(names), work.at_once):
        some = names[at : at + work.at_once]
        finished = [_finished(out, name, work) for name in some]
        if all(row is not None for row in finished):
            rows += [row for row in finished if row is not None]
            continue
        images = torch.stack([pictures.to_float(_image(work, files[name], channels)) for name in some])
        keep = Keep(out / "state" / f"{at:06d}.safetensors", work.keep_every)
        trace = Trace(tell=_following(tell, at, len(names)))
        sources = [Source(name, sha256(files[name])) for name in some]
        rows += _inverted(work, inverter, sources, images, mask, unit, out, keep, trace)
        shutil.rmtree(keep.path.parent, ignore_errors=True)
        tell(Progress(at + len(some), len(names), None))
    _write_table(out / "table.csv", rows)
    _write_sheet(out / "before_after.png", work, rows, files, channels)
    if work.limit is not None:
        far = sum(not row.passes for row in rows)
        say(f"{far} of {len(rows)} inversions are too far from the image to attack it (limit {work.limit:g}).")
    return rows


def png_of(name: str) -> str:
    """The name of an image's PNG in `OUT/images`, that of its latents but for the suffix."""
    return f"{Path(name).with_suffix('').as_posix()}.png"


def _inverted(
    work: Work,
    inverter: Inverter,
    sources: Sequence[Source],
    images: Tensor,
    mask: Tensor | None,
    unit: float,
    out: Path,
    keep: Keep,
    trace: Trace,
) -> list[Row]:
    """One batch, its files written."""
    names = [source.name for source in sources]
    images = images.to(work.generator.mean_w)
    rng, meter = SampleRng.for_samples(work.seed, "invert", names), Meter()
    begun = time.perf_counter()
    if work.method.stepwise:
        stepwise = cast(Stepwise, inverter)
        latents = stepwise.invert(images, rng=rng, meter=meter, mask=mask, keep=keep, trace=trace)
    else:
        latents = inverter.invert(images, rng=rng, meter=meter)
    # A state that was taken up brings the seconds of its first run along.
    seconds = max(meter.seconds, time.perf_counter() - begun) / len(names)
    made = synthesised(work.generator, latents)
    found = quality(
        made, images, perceptual=work.perceptual, generator=work.generator, w=latents.w, mask=mask, unit=unit
    )
    latents = latents._replace(distance=found.distance)
    rows = []
    about = {"weights": work.weights, "method": asdict(work.method), "net": work.net, "seed": work.seed}
    for i, name in enumerate(names):
        rows.append(_row(work, name, found, i, seconds))
        provenance = Provenance("trainedAlgorithmicMedia", "advgen invert", about, (sources[i],))
        pictures.save_png(pictures.to_uint8(made[i].cpu()), out / "images" / png_of(name), provenance=provenance)
        # Written last: an image is finished when its latents are there.
        save_latents(_latents_file(out, name), latents, i, {"weights": work.weights, "row": rows[-1]._asdict()})
    return rows


def _row(work: Work, name: str, found: Quality, i: int, seconds: float) -> Row:
    distance = float(found.distance[i])
    passes = None if work.limit is None else distance <= work.limit
    mse, psnr, ssim, away = (float(values[i]) for values in found[1:])
    return Row(name, work.method.name, distance, work.net, mse, psnr, ssim, away, passes, seconds)


def _names(place: Path) -> list[str]:
    names = list(pictures.image_files(place)) if place.is_dir() else [place.name]
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(png_of(name), name)
        if other != name:
            raise BadArgument(f"{other} and {name} would both be written as {png_of(name)}; rename one of them.")
    return names


def _channels(generator: Generator) -> Any:
    channels = getattr(getattr(generator, "config", None), "channels", 3)
    if channels not in (1, 3):
        raise BadArgument(f"the generator makes images of {channels} channels; grey or RGB is expected.")
    return channels


def _image(work: Work, file: Path, channels: Any) -> Tensor:
    """uint8 (C, H, W) of the generator's size."""
    image = pictures.load(file, channels=channels)
    height, width = work.generator.resolution
    if tuple(image.shape[-2:]) == (height, width):
        return image
    if not work.resize:
        raise BadArgument(
            f"{file} is {image.shape[2]}x{image.shape[1]}, and the generator makes {width}x{height}; give --resize to "
            "cut the centre square and scale it, or scale it yourself."
        )
    if height != width:
        return pictures.resize(image, (height, width))
    return pictures.centre_square(image, height)


def _mask(work: Work) -> Tensor:
    """(1, 1, H, W) in [0, 1]."""
    assert work.mask is not None
    mask = pictures.to_float(_image(work, work.mask, 1))[None]
    if not bool(mask.any()):
        raise BadArgument(f"the mask {work.mask} is black everywhere; white is where images must match.")
    return mask.to(work.generator.mean_w)


def _asked(
    work: Work, inverter: Inverter, names: Sequence[str], hashes: Sequence[str], mask: Tensor | None
) -> dict[str, Any]:
    """What decides the results, for a later call to be held against."""
    return {
        "method": asdict(work.method),
        "settings": repr(inverter) if work.method.stepwise and work.method.name != "hybrid" else work.method.name,
        "generator": identity_of(type(work.generator).__name__, *weights_of(work.generator)),
        "encoder": None if work.encoder is None else identity_of("", *work.encoder.state_dict().values()),
        "net": work.net,
        "mask": None if mask is None else identity_of("", mask),
        "resize": work.resize,
        "batch": work.at_once,
        "seed": work.seed,
        "images": dict(zip(names, hashes, strict=True)),
    }


def _claim(out: Path, asked: dict[str, Any], *, resume: bool) -> None:
    """Makes `out` ours, or finds it to be."""
    file = out / "inversion.json"
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunFolder(f"{out} is there and holds something else; give another --out.")
        write_atomically(file, (json.dumps(asked, indent=2, ensure_ascii=False) + "\n").encode())
        return
    if not resume:
        raise RunFolder(f"{out} holds an inversion already; give --resume to go on with it, or another --out.")
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolder(f"{file} cannot be read ({error}); give another --out.") from None
    other = [name for name, value in asked.items() if not isinstance(there, dict) or there.get(name) != value]
    if other:
        raise RunFolder(
            f"{out} holds another inversion: its {' and '.join(other)} differ; ask for the same, or give another --out."
        )


def _latents_file(out: Path, name: str) -> Path:
    return out / "latents" / Path(png_of(name)).with_suffix(".safetensors")


def _finished(out: Path, name: str, work: Work) -> Row | None:
    """The row of an image that a former run finished; the limit may have changed since."""
    file = _latents_file(out, name)
    if not file.exists() or not (out / "images" / png_of(name)).exists():
        return None
    row = Row(**load_latents(file).about["row"])
    return row._replace(passes=None if work.limit is None else row.lpips <= work.limit)


def _following(tell: Callable[[Progress], None], done: int, total: int) -> Callable[[int, float, Terms], None]:
    def follow(step: int, seconds: float, terms: Terms) -> None:
        tell(Progress(done, total, step, seconds, float(terms.loss.detach().mean())))

    return follow


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(Row._fields)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    write_atomically(path, text.getvalue().encode())


def _write_sheet(path: Path, work: Work, rows: Sequence[Row], files: dict[str, Path], channels: Any) -> None:
    """Image, re-synthesis and difference, a row an image; of many images the nearest, the median and the furthest."""
    ordered = sorted(rows, key=lambda row: row.lpips)
    if len(ordered) > SHOWN:
        ordered = [ordered[round(k * (len(ordered) - 1) / (SHOWN - 1))] for k in range(SHOWN)]
    cells = []
    for row in ordered:
        before = _image(work, files[row.image], channels)
        after = pictures.load(path.parent / "images" / png_of(row.image), channels=channels)
        cells.append([before, after, pictures.difference(after, before, gain=DIFFERENCE_GAIN)])
    total = f"{len(rows)} images" if len(rows) <= SHOWN else f"{SHOWN} of {len(rows)} images, evenly by distance"
    ContactSheet(
        cells,
        rows=[f"{Path(row.image).name[:24]}  {row.psnr:.1f} dB  {row.lpips:.3f}" for row in ordered],
        columns=("image", "inverted", f"difference x{DIFFERENCE_GAIN}"),
        footer=f"{work.method.name}, {total}; PSNR and distance by net {work.net} at the left",
        facts={"weights": work.weights, "method": asdict(work.method), "net": work.net},
        maker="advgen invert",
        source_type="compositeWithTrainedAlgorithmicMedia",
        sources=tuple(Source(row.image, sha256(files[row.image])) for row in ordered),
    ).save(path)
