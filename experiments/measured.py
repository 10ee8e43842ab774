"""What a measure is, and what it gives: readings, curves, pictures. No torch.

A measure is a plug-in of `experiments/measures`: a frozen dataclass of its arguments whose literal `quantities` says
what it reads. A reading is one number of one sample; the same sample id under the same seed pairs the arms of a study.
`docs/measures.md` shows how one is written.
"""

import base64
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from advgen.core.errors import BadFile, UnknownName
from advgen.core.files import write_atomically

if TYPE_CHECKING:
    from advgen.core.meter import Meter


class Quantity(NamedTuple):
    """What a measure reads, as its literal `quantities` says."""

    name: str
    means: str
    unit: str = ""  # "share" = in [0, 1], shown in percent
    better: str = ""  # lower | higher | "" = neither
    timing: bool = False  # seconds and memory: never repeats, and is no part of a row's identity
    log: bool = False  # axes are logarithmic


class Reading(NamedTuple):
    """One number of one sample."""

    sample_id: str  # `seed/0` for the one number of an arm trained with seed 0
    quantity: str
    value: float | None  # None = not measured
    cluster: str = ""  # what samples share (an identity, a latent); "" = the sample stands alone

    @classmethod
    def of_arm(cls, seed: int, quantity: str, value: float | None) -> "Reading":
        """The one number that an arm has under a seed."""
        return cls(f"seed/{seed}", quantity, value)


class Curve(NamedTuple):
    """One quantity against another for one sample, in the order in which it came to be."""

    sample_id: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]


class Picture(NamedTuple):
    """A picture for the page."""

    png: bytes
    caption: str


@dataclass(frozen=True)
class Measured:
    """Everything that one run of a measure found."""

    readings: Sequence[Reading]
    curves: Sequence[Curve] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()  # sentences for the page
    # the published thing -> what of ours stood in for it; raises warning 16
    stand_ins: Mapping[str, str] = field(default_factory=dict)


class Measure(Protocol):
    """Arguments of one measurement; `quantities` and `plots` are literals of the class."""

    def inputs(self) -> Mapping[str, str]:
        """Content hashes of the data and networks that the numbers rest on, by name; they are part of the key.

        An argument `recipe:NAME:key=value` need not be named: the platform trains it and hashes its checkpoint.
        """
        ...

    def run(self, *, seed: int, device: Any, meter: "Meter", out: Path) -> Measured:
        """Measures once. `device` is a `torch.device`; `out` is an empty folder that outlives a kill (see `kept`)."""
        ...


def checked(measured: Measured, name: str, quantities: Mapping[str, Quantity]) -> Measured:
    """`measured`, when it holds nothing but what the measure `name` declares, each number once.

    Raises:
        BadFile: no reading at all, the same number twice, or one that is not finite.
        UnknownName: a quantity that is not declared.
    """
    if not measured.readings:
        raise BadFile(f"the measure {name} gave no reading; a run gives at least one.")
    told = [r.quantity for r in measured.readings] + [q for c in measured.curves for q in (c.x, c.y)]
    for quantity in dict.fromkeys(told):
        if quantity not in quantities:
            raise UnknownName.among(f"quantity of the measure {name}", quantity, quantities)
    for what, count in Counter((r.sample_id, r.quantity) for r in measured.readings).items():
        if count > 1:
            raise BadFile(f"the measure {name} gave {count} readings of {what[1]} for the sample {what[0]}.")
    numbers = [r.value for r in measured.readings if r.value is not None]
    numbers += [v for c in measured.curves for point in c.points for v in point]
    if not all(math.isfinite(v) for v in numbers):
        raise BadFile(f"the measure {name} gave a number that is not finite; what was not measured is None.")
    return measured


def joined(parts: Sequence[Measured]) -> Measured:
    """Several parts as one; a note or stand-in that several have is told once."""
    return Measured(
        [r for p in parts for r in p.readings],
        [c for p in parts for c in p.curves],
        [x for p in parts for x in p.pictures],
        list(dict.fromkeys(n for p in parts for n in p.notes)),
        {k: v for p in parts for k, v in p.stand_ins.items()},
    )


def kept(out: Path, name: str, make: Callable[[], Measured], *, meter: "Meter") -> Measured:
    """A part of a long measurement: made, or read back when it was made before a kill, its seconds added to the meter.

    `name` is the part's own within `out`: "samples-0-15", say.
    """
    path = out / f"{name}.part.json"
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        for count, value in stored["meter"].items():
            setattr(meter, count, getattr(meter, count) + value)
        return from_json(stored["measured"])
    before = _counts(meter)
    made = make()
    spent = {count: value - before[count] for count, value in _counts(meter).items()}
    write_atomically(path, json.dumps({"measured": to_json(made), "meter": spent}).encode())
    return made


def to_json(measured: Measured) -> dict[str, Any]:
    """Plain values; floats keep every digit."""
    return {
        "readings": [list(r) for r in measured.readings],
        "curves": [[c.sample_id, c.x, c.y, [list(p) for p in c.points]] for c in measured.curves],
        "pictures": [[base64.b64encode(p.png).decode(), p.caption] for p in measured.pictures],
        "notes": list(measured.notes),
        "stand_ins": dict(measured.stand_ins),
    }


def from_json(value: Mapping[str, Any]) -> Measured:
    """What `to_json` wrote."""
    return Measured(
        [Reading(*r) for r in value["readings"]],
        [Curve(s, x, y, [(float(a), float(b)) for a, b in points]) for s, x, y, points in value["curves"]],
        [Picture(base64.b64decode(png), caption) for png, caption in value["pictures"]],
        value["notes"],
        value["stand_ins"],
    )


def _counts(meter: "Meter") -> dict[str, float]:
    return {name: getattr(meter, name) for name in ("forwards", "backwards", "generator_calls", "seconds")}
