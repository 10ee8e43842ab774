"""Image files in; edited images, latents, a table and a contact sheet out. What `advgen edit` does.

`OUT/inversion` (what `advgen invert` writes), `OUT/images/NAME.png`, `OUT/latents/NAME.safetensors`, `OUT/table.csv`,
`OUT/sheet.png`, `OUT/edit.json`, and `OUT/direction.safetensors` where the edit is the same for every image. Every
number is measured on the saved bytes, against the inversion (an edit is not to blame for it).
"""

import csv
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from advgen.core import images as pngs
from advgen.core.contact_sheets import ContactSheet
from advgen.core.errors import BadArgument
from advgen.core.files import sha256, write_atomically
from advgen.core.meter import Meter
from advgen.core.provenance import Provenance, Source
from advgen.core.types import Generator, ImageTextEncoder, Latents
from advgen.editing import edits
from advgen.editing.directions import Direction, save_direction
from advgen.editing.edits import Edit, Judges
from advgen.editing.regions import kept_inside
from advgen.editing.shifts import Shift, pictures
from advgen.inversion.files import Row, Work, invert_files, png_of
from advgen.inversion.latents import joined, load_latents, synthesised, taken

SHOWN = 24  # images in the contact sheet
DIFFERENCE_GAIN = 4


@dataclass(frozen=True)
class EditWork:
    """What is to be done with image files."""

    inversion: Work  # with the generator, and the limit beyond which an image is refused
    encoder: ImageTextEncoder = field(repr=False)  # that guides
    edit: Edit
    judges: Judges = field(default=Judges(), repr=False)
    strength: float | None = None  # None = the smallest that does it
    sweep: tuple[float, ...] = ()  # strengths that the sheet shows beside the edit's own
    mask: Path | None = None  # a grey image, white where an edit may show
    force: bool = False  # images beyond the limit too
    most_distance: float = edits.MOST_LPIPS
    least_likeness: float = edits.LEAST_IDENTITY
    guide: str = ""  # what the guiding CLIP is called
    cache: Path | None = None  # where the relevance of channels is kept


class EditRow(NamedTuple):
    """One image in the table; None where nobody was there to judge."""

    image: str
    text: str
    method: str
    strength: float
    done: bool | None  # the strength that was found does what is asked; None = it was given
    score_before: float  # cosine with the text less cosine with the neutral one
    score_after: float
    scored_by: str  # second: a CLIP that did not guide; guide: the one that did
    lpips: float  # to the inversion
    net: str
    identity: float | None  # cosine to the inversion
    turned_on: str | None  # attributes
    turned_off: str | None
    inversion: float  # distance of the inversion from the image
    seconds: float  # of the edit alone, shared equally


class Edited(NamedTuple):
    rows: list[EditRow]
    refused: list[Row]  # images too far from what the generator can make


def edit_files(
    work: EditWork,
    place: Path,
    out: Path,
    *,
    say: Callable[[str], None] = lambda sentence: None,
    **following: Any,
) -> Edited:
    """Inverts and edits an image file or every image below a folder, and writes everything into `out`.

    Inversions that are in `out` already are taken as they are. `following` goes to `invert_files`.

    Raises:
        UserError: an image, text, file or setting that cannot be used.
        BadArgument: every image is beyond the limit.
    """
    _check_texts(work, say)
    generator = work.inversion.generator
    found = invert_files(work.inversion, place, out / "inversion", resume=True, **following)
    near = [row for row in found if work.force or row.passes is not False]
    refused = [row for row in found if row not in near]
    _refuse(refused, len(found), work, say)
    names = [row.image for row in near]
    folder = out / "inversion"
    latents = joined(
        [load_latents((folder / "latents" / png_of(n)).with_suffix(".safetensors")).latents for n in names]
    )
    latents = _on(latents, generator)
    begun = time.perf_counter()
    made = edits.prepared(
        work.edit, generator, work.encoder, latents, identity=work.judges.identity, cache=work.cache, meter=Meter(),
        say=say,
    )  # fmt: skip
    originals = pngs.to_float(pngs.to_uint8(synthesised(generator, latents))).to(latents.w)
    keep = _keeping(work, originals, latents, made.shift)
    if work.strength is None:
        chosen = edits.strengths(
            work.edit, generator, work.encoder, latents, made.shift, originals, work.judges,
            most_distance=work.most_distance, least_likeness=work.least_likeness, keep=keep,
        )  # fmt: skip
        strength, done = chosen.strength, chosen.done
    else:
        strength, done = torch.full((len(names),), work.strength), None
    everyone = torch.arange(len(names))
    images = pngs.to_uint8(keep(pictures(generator, latents, made.shift, strength), everyone).cpu())
    seconds = (time.perf_counter() - begun) / len(names)
    rows = _rows(work, near, originals, images, strength, done, seconds)
    about = {
        "texts": list(work.edit.prompts),
        "neutral": work.edit.neutral,
        "method": work.edit.method,
        "weights": work.inversion.weights,
        "guide": work.guide,
    }
    sources = [Source(name, sha256(place / name if place.is_dir() else place)) for name in names]
    for i, name in enumerate(names):
        provenance = Provenance(
            "trainedAlgorithmicMedia", "advgen edit", {**about, "strength": float(strength[i])}, (sources[i],)
        )
        pngs.save_png(images[i], out / "images" / png_of(name), provenance=provenance)
        _save_latents(
            out / "latents" / Path(png_of(name)).with_suffix(".safetensors"), latents, made.shift, strength, i
        )
    if work.edit.same_for_all:
        about = {"method": work.edit.method, "texts": list(work.edit.prompts), "neutral": work.edit.neutral}
        save_direction(out / "direction.safetensors", Direction(made.shift, {**about, **made.about}), generator)
    _write_table(out / "table.csv", rows)
    sweep = [pngs.to_uint8(keep(pictures(generator, latents, made.shift, s), everyone).cpu()) for s in work.sweep]
    _sheet(work, rows, sources, pngs.to_uint8(originals.cpu()), images, sweep).save(out / "sheet.png")
    told = {**asdict(work.edit), "strength": work.strength or "auto", "guide": work.guide, **made.about}
    write_atomically(out / "edit.json", (json.dumps(told, indent=2, ensure_ascii=False, default=str) + "\n").encode())
    return Edited(rows, refused)


def _check_texts(work: EditWork, say: Callable[[str], None]) -> None:
    """Before minutes are spent on an inversion."""
    edits.text_score(work.encoder, work.edit)
    for prompt in work.edit.prompts:
        if lacking := work.encoder.unknown(prompt):
            say(f"note: CLIP does not know {', '.join(map(repr, lacking))} of {prompt!r}; left out.")


def _refuse(refused: Sequence[Row], total: int, work: EditWork, say: Callable[[str], None]) -> None:
    if not refused:
        return
    worst = max(refused, key=lambda row: row.lpips)
    sentence = (
        f"{worst.image} is too far from what the generator can make (distance {worst.lpips:.3f} by {worst.net}, limit "
        f"{work.inversion.limit:g})"
    )
    if len(refused) == total:
        others = f", and so are the other {total - 1}" if total > 1 else ""
        raise BadArgument(
            f"{sentence}{others}; invert with more steps, take a generator of such images, or give --force."
        )
    say(f"note: {sentence}; {len(refused)} of {total} images are left out; --force takes them too.")


def _on(latents: Latents, generator: Generator) -> Latents:
    like = generator.mean_w
    maps = None if latents.noise is None else [each.to(like) for each in latents.noise]
    return latents._replace(w=latents.w.to(like), noise=maps)


def _keeping(work: EditWork, originals: Tensor, latents: Latents, shift: Shift) -> Callable[[Tensor, Tensor], Tensor]:
    """Edited images restricted to the mask or to the region that is found, if there is either."""
    if work.mask is None:
        region = edits.region(work.edit, work.inversion.generator, work.encoder, latents, shift)
        if region is None:
            return lambda images, index: images

        def inside(images: Tensor, index: Tensor) -> Tensor:
            index = index.to(originals.device)
            return kept_inside(images, originals[index], region if len(region) == 1 else region[index])

        return inside
    mask = pngs.to_float(pngs.load(work.mask, channels=1))[None].to(originals)
    if mask.shape[-2:] != originals.shape[-2:]:
        raise BadArgument(
            f"the mask {work.mask} is {mask.shape[3]}x{mask.shape[2]}, and the generator makes "
            f"{originals.shape[3]}x{originals.shape[2]}; scale it."
        )
    if not bool(mask.any()):
        raise BadArgument(f"the mask {work.mask} is black everywhere; white is where an edit may show.")
    return lambda images, index: kept_inside(images, originals[index.to(originals.device)], mask)


def _rows(
    work: EditWork,
    near: Sequence[Row],
    originals: Tensor,
    images: Tensor,
    strength: Tensor,
    done: Tensor | None,
    seconds: float,
) -> list[EditRow]:
    judges, after = work.judges, pngs.to_float(images).to(originals)
    score = edits.text_score(judges.second or work.encoder, work.edit)
    scored_by: Literal["second", "guide"] = "guide" if judges.second is None else "second"
    with torch.no_grad():
        before_score, after_score = score(originals), score(after)
        distance = judges.distance(after, originals)
        likeness = None if judges.identity is None else judges.likeness(after, originals)
        logits = None if judges.attributes is None else (judges.attributes(originals) > 0, judges.attributes(after) > 0)
    rows = []
    for i, row in enumerate(near):
        on = off = None
        if logits is not None:
            on = ", ".join(n for n, b, a in zip(judges.names, logits[0][i], logits[1][i], strict=True) if a and not b)
            off = ", ".join(n for n, b, a in zip(judges.names, logits[0][i], logits[1][i], strict=True) if b and not a)
        rows.append(
            EditRow(
                row.image, " + ".join(work.edit.prompts), work.edit.method, float(strength[i]),
                None if done is None else bool(done[i]), float(before_score[i]), float(after_score[i]), scored_by,
                float(distance[i]), judges.net, None if likeness is None else float(likeness[i]), on, off,
                row.lpips, seconds,
            )
        )  # fmt: skip
    return rows


def _save_latents(path: Path, latents: Latents, shift: Shift, strength: Tensor, i: int) -> None:
    """`w` after the edit, and `s`, what is added to the styles of w, where the edit moves them."""
    from safetensors.torch import save as serialised

    index = torch.tensor([i])
    own, one = shift.take(index).times(strength[index]), taken(latents, index)
    tensors = {"w": one.w if own.w is None else one.w + own.w}
    if own.s is not None:
        tensors["s"] = own.s
    tensors |= {f"noise.{k:02d}": each for k, each in enumerate(one.noise or ())}
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, serialised(plain))


def _write_table(path: Path, rows: Sequence[EditRow]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(EditRow._fields)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    write_atomically(path, text.getvalue().encode())


def _sheet(
    work: EditWork,
    rows: Sequence[EditRow],
    sources: Sequence[Source],
    before: Tensor,
    after: Tensor,
    sweep: Sequence[Tensor],
) -> ContactSheet:
    """Inversion, edit, difference, then the strengths of the sweep; the first `SHOWN` images."""
    shown = range(min(SHOWN, len(rows)))
    cells = [
        [before[i], after[i], pngs.difference(after[i], before[i], gain=DIFFERENCE_GAIN), *(s[i] for s in sweep)]
        for i in shown
    ]
    return ContactSheet(
        cells,
        rows=[f"{Path(rows[i].image).name[:20]}  strength {rows[i].strength:g}" for i in shown],
        columns=("inverted", "edited", f"difference x{DIFFERENCE_GAIN}", *(f"at {s:g}" for s in work.sweep)),
        footer=f"{rows[0].text}; {work.edit.method}, {len(rows)} images",
        facts={"texts": list(work.edit.prompts), "method": work.edit.method, "guide": work.guide},
        maker="advgen edit",
        sources=tuple(sources[:SHOWN]),
    )
