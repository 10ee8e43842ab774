"""Measurements of a study: which measure, which arms, which seeds; names and numbers only, no torch.

A measurement is a study's second kind of cell: an attack cell judges images, a measurement reads what was trained.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from advgen.core import registry
from advgen.core.errors import BadArgument, BadFile
from advgen.core.specs import Part, Scalar
from advgen.experiments.measured import Quantity
from advgen.experiments.trained import PREFIX, parsed

SEED = "{seed}"  # in the reference of a recipe: the measurement's own seed
# What a claim may select measurements by, beside the measure's own arguments.
OWN_COLUMNS = ("measure", "label", "arm", "seed")


class Measurement(NamedTuple):
    """One arm of one measure at one seed."""

    measure: Part  # the arguments as given; defaults are filled in by the key
    arm: str
    label: str = ""  # of the entry, where a study measures the same thing in several places
    seed: int = 0

    def __str__(self) -> str:
        where = f" on {self.label}" if self.label else ""
        return f"{self.measure.name}{where}: {self.arm}, seed {self.seed}"


class ArmEntry(BaseModel):
    """One of the things compared, with the arguments that make it so; bare arguments will do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: str = ""
    args: dict[str, Scalar] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_arguments(cls, value: Any) -> Any:
        bare = isinstance(value, dict) and not {"arm", "args"} & set(value)
        return {"args": value} if bare else value

    def name(self) -> str:
        return self.arm or ", ".join(f"{k} {v}" for k, v in self.args.items()) or "as it is"


class MeasurementEntry(BaseModel):
    """One measure over arms and seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    arms: tuple[ArmEntry, ...] = (ArmEntry(),)
    args: dict[str, Scalar] = {}  # of every arm, unless it has its own
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    label: str = ""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.arms:
            raise BadArgument(f"the measurement {self.measure} has no arm: give at least one, or leave `arms` out.")
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise BadArgument(f"seeds are whole numbers from 0 on, each once, got {list(self.seeds)}.")
        quantities_of(self.measure)
        seen: dict[str, str] = {}
        for arm in self.arms:
            made = registry.arguments("measures", self.measure, self.args | arm.args)
            for value in made.values():
                if isinstance(value, str) and value.startswith(PREFIX):
                    name, _, args = parsed(value.replace(SEED, "0"))
                    registry.arguments("recipes", name, args)
            written = json.dumps(made, sort_keys=True, default=str)
            if written in seen or arm.name() in seen.values():
                other = seen.get(written, arm.name())
                raise BadArgument(f"two arms of {self.measure} are the same: {arm.name()!r} and {other!r}.")
            seen[written] = arm.name()
        return self

    def measurements(self) -> Iterator[Measurement]:
        """Seed by seed, so that what is stopped half-way has every arm, and a slow hour slows all arms."""
        for seed in self.seeds:
            for arm in self.arms:
                yield Measurement(Part.of(self.measure, self.args | arm.args), arm.name(), self.label, seed)


def quantities_of(measure: str) -> dict[str, Quantity]:
    """What a measure reads, by name, from its literal.

    Raises:
        UnknownName: no such measure.
        BadFile: it cannot be used, or declares no quantity.
    """
    plugin = registry.describe("measures", measure)
    if plugin.broken:
        raise BadFile(f"the measure {measure!r} is broken: {plugin.broken} ({plugin.file}, line {plugin.line}).")
    declared: Mapping[str, Mapping[str, Any]] = plugin.literals.get("quantities", {})
    if not declared:
        raise BadFile(f"the measure {measure!r} declares no quantity: give its class a literal `quantities`.")
    return {name: Quantity(name, **about) for name, about in declared.items()}


def plots_of(measure: str) -> tuple[tuple[str, str], ...]:
    """The pairs of quantities (x, y) that a measure wants drawn."""
    return tuple(registry.describe("measures", measure).literals.get("plots", ()))


def written_arguments(measurement: Measurement) -> dict[str, Scalar]:
    """All arguments, defaults filled in, as the study and the measure write them: equal under every seed."""
    return registry.arguments("measures", measurement.measure.name, dict(measurement.measure.args))


def arguments(measurement: Measurement) -> dict[str, Scalar]:
    """All arguments, the seed put into the recipes that ask for it."""
    return {k: _seeded(v, measurement.seed) for k, v in written_arguments(measurement).items()}


def columns_of(measurement: Measurement) -> dict[str, Scalar]:
    """What a claim may select this measurement by: its own columns and every argument of its measure."""
    own = (measurement.measure.name, measurement.label, measurement.arm, measurement.seed)
    return {**written_arguments(measurement), **dict(zip(OWN_COLUMNS, own, strict=True))}


def to_plain(measurement: Measurement) -> Any:
    return json.loads(json.dumps(measurement))


def from_plain(value: Any) -> Measurement:
    (name, args), arm, label, seed = value
    return Measurement(Part(name, tuple((k, v) for k, v in args)), arm, label, seed)


def _seeded(value: Scalar, seed: int) -> Scalar:
    return value.replace(SEED, str(seed)) if isinstance(value, str) and value.startswith(PREFIX) else value
