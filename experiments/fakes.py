"""What surrounds a detector of generated images: leaks between its two sets, and controls made by the same pipeline.

A detector that calls everything fake that was inverted and saved again has seen the generator, not the attack; one
that calls real images fake once they were JPEG has seen the file. So beside the attacked images it scores real images
as they are, as JPEG, inverted and saved again without any attack, and samples of generators: its own, with seeds that
it was not trained on, and every other shipped one of that size.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from advgen.core import registry
from advgen.core.errors import MissingFile
from advgen.core.images import jpeg, png_bytes, to_float, to_uint8
from advgen.core.rng import SampleRng
from advgen.core.specs import GIVEN, Cell, Part
from advgen.core.types import Alarm, Slice
from advgen.experiments import latent_parts
from advgen.experiments.curves import auc
from advgen.experiments.edits import inverting
from advgen.experiments.judge import JPEG_QUALITY
from advgen.experiments.leaks import leak_audit
from advgen.experiments.stats import rate
from advgen.inversion.encoder import belonging

COUNT = 256  # images of each kind
BATCH = 64
REAL = "real"


def learns_fakes(part: Part) -> bool:
    """Whether a defense is a detector of generated images: it is given some, or the generator itself."""
    if part.name.startswith(GIVEN) or not part.name.startswith("detect/"):
        return False
    return bool({"fakes", "generator"} & set(registry.describe("defenses", part.name).literals.get("needs", ())))


def generator_of(part: Part, cell: Cell, assembly: Any) -> str | None:
    """The generator that a part of a cell is given; None where it is given none."""
    if part.name.startswith(GIVEN):
        return None
    kind = "attacks" if part == cell.attack else "defenses"
    needs = registry.describe(kind, part.name).literals.get("needs", ())
    if not {"fakes", "generator"} & set(needs):
        return None
    side = int(assembly.slice(cell.data).images_u8.shape[-1])
    return latent_parts.generator_name(dict(part.args).get("weights"), cell.data, side)


def audited(part: Part, cell: Cell, assembly: Any, alarm: Alarm | None = None) -> dict[str, Any]:
    """Of a detector of generated images in a cell's defense: its generator, its leaks, its controls (JSON).

    `alarm` is the fitted detector, where the caller has it.
    """
    ref = generator_of(part, cell, assembly)
    assert ref is not None, f"{part.name} is given no generator"
    if alarm is None:
        (alarm,) = assembly.defended(cell._replace(defense=(part,))).alarms
    real = assembly.first(cell.data._replace(split="train"), COUNT).images_u8
    fake = to_uint8(latent_parts.samples(assembly.generator(ref), COUNT, cell.seed, purpose="fakes")).cpu()
    leaks = leak_audit([png_bytes(image) for image in real], [png_bytes(image) for image in fake])
    sample = assembly.slice(cell.data)
    levels: dict[str, Tensor] = {}
    tested = [ref]
    for name, generator, images in _controls(ref, sample, cell, assembly):
        levels[name] = _levels(alarm, images, cell.seed, assembly.device)
        tested += [generator] if generator else []
    return {
        "trained": [ref],
        "tested": sorted(set(tested)),
        "leaks": {
            "real": leaks.real,
            "fake": leaks.fake,
            "together": _area(leaks.together),
            "features": {name: _area(area) for name, area in leaks.features.items()},
        },
        "controls": {name: _control(found, levels[REAL]) for name, found in levels.items()},
        "fpr": alarm.fpr,
    }


def _controls(ref: str, sample: Slice, cell: Cell, assembly: Any) -> Iterator[tuple[str, str, Tensor]]:
    """Name, generator ("" for real images) and bytes (N, C, H, W) of each control."""
    real = sample.images_u8[:COUNT]
    yield REAL, "", real
    yield f"real, as JPEG {JPEG_QUALITY}", "", jpeg(real, JPEG_QUALITY)
    try:
        encoder = assembly.network(belonging(ref))[0]
    except MissingFile:
        pass  # a generator without an encoder has no matched control, and the page shows none
    else:
        again = inverting.inverted(real.to(assembly.device), assembly.generator(ref), encoder).cpu()
        yield "real, inverted and saved again", ref, again
    for name in dict.fromkeys([ref, *latent_parts.generators(cell.data, int(real.shape[-1]))]):
        made = latent_parts.samples(assembly.generator(name), COUNT, cell.seed, purpose="fakes/held-out")
        yield f"samples of {name}" + (", its own" if name == ref else ""), name, to_uint8(made).cpu()


@torch.no_grad()
def _levels(alarm: Alarm, images_u8: Tensor, seed: int, device: torch.device) -> Tensor:
    """(N,) (score - threshold) / clean sigma; > 0 is called generated."""
    rows = []
    for at in torch.arange(len(images_u8)).split(BATCH):
        rng = SampleRng.for_samples(seed, "defense", [f"control/{int(i)}" for i in at])
        score = alarm.detector.score(to_float(images_u8[at].to(device)), rng)
        rows.append(((score - alarm.threshold) / alarm.sigma).double().cpu())
    return torch.cat(rows)


def _control(levels: Tensor, real: Tensor) -> dict[str, Any]:
    called = rate((levels > 0).numpy())
    told: dict[str, Any] = {
        "mean": round(float(levels.mean()), 4),
        "called generated": [called.value, called.low, called.high],
        "n": len(levels),
    }
    return told if levels is real else told | {"area": _area(auc(real.numpy(), levels.numpy()))}


def _area(area: Any) -> Mapping[str, Any]:
    return {"value": area.value, "low": area.low, "high": area.high}
