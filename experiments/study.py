"""Studies: a question, grids of attack cells or measurements, and claims; names and numbers only, no torch.

A study is read from a Python file with a function `study()`, from YAML, or by the name of a shipped one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from advgen.core import registry
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName, UserError
from advgen.core.specs import (
    BUDGETS,
    GIVEN,
    GOALS,
    KNOWLEDGE,
    SPLITS,
    BudgetSpec,
    Cell,
    DataSpec,
    Part,
    Scalar,
    radius_of,
)
from advgen.experiments.claims import Claim
from advgen.experiments.claims_readings import AnyClaim, claim_of, require_answerable
from advgen.experiments.measurement import ArmEntry, Measurement, MeasurementEntry, columns_of, quantities_of

# What `assemble` reads from a defense's arguments beside the plug-in's own.
DETECTOR_ARGS = ("fpr",)
# And from an attack's: the backbone of LPIPS that its budget and its inversions are measured through.
ATTACK_ARGS = ("net",)
CONTROL_NOISE = "image/noise"
CONTROL_ATTACK = "image/pgd"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class DataEntry(_Model):
    """A slice of a data set."""

    name: str
    split: str = "test"
    count: int = Field(default=0, ge=0)
    size: int | None = Field(default=None, ge=8, le=4096)
    args: dict[str, Scalar] = {}

    @field_validator("split")
    @classmethod
    def _known_split(cls, split: str) -> str:
        if split not in SPLITS:
            raise UnknownName.among("split", split, SPLITS)
        return split

    def spec(self) -> DataSpec:
        return DataSpec(self.name, self.split, self.count, self.size, tuple(sorted(self.args.items())))


class PartEntry(_Model):
    """A plug-in or network by name, with arguments and a label for tables; a bare name will do."""

    name: str
    args: dict[str, Scalar] = {}
    label: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def part(self) -> Part:
        return Part.of(self.name, self.args)


class BudgetEntry(_Model):
    """A norm and a radius as written, e.g. "8/255"."""

    name: str
    radius: str

    @field_validator("radius", mode="before")
    @classmethod
    def _as_written(cls, radius: Any) -> str:
        return str(radius)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BUDGETS:
            raise UnknownName.among("budget", name, BUDGETS)
        return name

    @model_validator(mode="after")
    def _in_units_of_one(self) -> Self:
        radius_of(self.name, self.radius)
        return self

    def spec(self) -> BudgetSpec:
        return BudgetSpec(self.name, self.radius)


class DefenseEntry(_Model):
    """Purifiers and detectors in order; none = undefended."""

    parts: tuple[PartEntry, ...] = ()
    label: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        if value in (None, "none", "", []):
            return {}
        if isinstance(value, str):
            return {"parts": [value]}
        if isinstance(value, list | tuple):
            return {"parts": list(value)}
        if isinstance(value, dict) and "name" in value:
            return {"parts": [{k: v for k, v in value.items() if k != "label"}], "label": value.get("label")}
        return value


class Grid(_Model):
    """A product of choices; each combination that makes sense is a cell, and every pipeline gets its clean baseline.

    `controls` adds random noise at each budget and an unbounded attack on the undefended target, which the checks
    need.
    """

    data: tuple[DataEntry, ...]
    targets: tuple[PartEntry, ...]
    goals: tuple[PartEntry, ...] = (PartEntry(name="untargeted"),)
    attacks: tuple[PartEntry, ...] = ()
    budgets: tuple[BudgetEntry, ...] = ()
    defenses: tuple[DefenseEntry, ...] = (DefenseEntry(),)
    knowledge: tuple[str, ...] = ("oblivious",)
    surrogate: PartEntry | None = None
    seeds: tuple[int, ...] = (0,)
    repeats: int = Field(default=1, ge=1)
    controls: bool = True

    @field_validator("knowledge")
    @classmethod
    def _known_knowledge(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value not in KNOWLEDGE:
                raise UnknownName.among("knowledge", value, KNOWLEDGE)
        return values

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if "transfer" in self.knowledge and self.surrogate is None:
            raise BadArgument("knowledge 'transfer' needs a surrogate: name the network that the attack is made on.")
        for goal in self.goals:
            if goal.name not in GOALS:
                raise UnknownName.among("goal", goal.name, GOALS)
        for attack in self.attacks:
            check_part("attacks", attack.part())
            norms = _norms(attack.name)
            if norms and not any(b.name in norms for b in self.budgets):
                raise BadArgument(
                    f"{attack.name} needs a budget in {', '.join(norms)}, and this grid has none of them."
                )
        for defense in self.defenses:
            for part in defense.parts:
                check_part("defenses", part.part())
        return self

    def cells(self) -> Iterator[Cell]:
        for data, target, goal, defense, seed in product(
            self.data, self.targets, self.goals, self.defenses, self.seeds
        ):
            parts = tuple(p.part() for p in defense.parts)
            base = Cell(data.spec(), target.part(), goal.part(), defense=parts, seed=seed, repeats=self.repeats)
            yield base
            for knowledge in self.knowledge:
                # Without a defense there is nothing to know: the adaptive attacker is the oblivious one.
                if knowledge == "adaptive" and not parts:
                    if "oblivious" in self.knowledge:
                        continue
                    knowledge = "oblivious"
                surrogate = self.surrogate.part() if knowledge == "transfer" and self.surrogate else None
                told = base._replace(knowledge=knowledge, surrogate=surrogate)
                for attack in self.attacks:
                    yield from (told._replace(attack=attack.part(), budget=b) for b in self._budgets_of(attack.name))
            if self.controls and self.attacks:
                yield from self._control_cells(base)

    def _budgets_of(self, attack: str) -> list[BudgetSpec | None]:
        norms = _norms(attack)
        return [b.spec() for b in self.budgets if b.name in norms] if norms else [None]

    def _control_cells(self, base: Cell) -> Iterator[Cell]:
        for budget in self._budgets_of(CONTROL_NOISE):
            yield base._replace(attack=Part(CONTROL_NOISE), budget=budget)
        if not base.defense and any(b.name == "Linf" for b in self.budgets):
            yield base._replace(attack=Part.of(CONTROL_ATTACK, {"steps": 20}), budget=BudgetSpec("Linf", "1"))


class Study(_Model):
    """A question, what is done to answer it, and what is claimed of the answer."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    question: str
    grids: tuple[Grid, ...] = ()
    measurements: tuple[MeasurementEntry, ...] = ()
    claims: tuple[AnyClaim, ...] = ()
    description: str = ""

    @field_validator("claims", mode="before")
    @classmethod
    def _claims(cls, claims: Any) -> Any:
        return tuple(claim_of(c) for c in claims or ())

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        """A claim that no cell can answer is refused before hours are spent."""
        columns = [columns_of(m) for m in self.every_measurement()]
        quantities = {entry.measure: tuple(quantities_of(entry.measure)) for entry in self.measurements}
        for claim in self.claims:
            if not isinstance(claim, Claim):
                if not columns:
                    raise BadArgument(f"the claim {claim.statement!r} is over measurements, and the study has none.")
                require_answerable(claim, columns, quantities)
        return self

    def cells(self) -> tuple[Cell, ...]:
        """Every attack cell once, in order: baselines before what is compared with them."""
        return tuple(dict.fromkeys(cell for grid in self.grids for cell in grid.cells()))

    def every_measurement(self) -> tuple[Measurement, ...]:
        """The measurements of all entries, seed by seed."""
        return tuple(dict.fromkeys(m for entry in self.measurements for m in entry.measurements()))

    def labels(self) -> dict[str, str]:
        """What tables call a part or a defense, by its written form."""
        named: dict[str, str] = {}
        for grid in self.grids:
            entries = [*grid.targets, *grid.attacks, *(p for d in grid.defenses for p in d.parts)]
            if grid.surrogate:
                entries.append(grid.surrogate)
            named |= {str(e.part()): e.label for e in entries if e.label}
            named |= {written(tuple(p.part() for p in d.parts)): d.label for d in grid.defenses if d.label}
        return named

    def budgets(self) -> list[str]:
        """Every budget as written, for the hash that fixes a study before it is run."""
        return sorted({str(b.spec()) for grid in self.grids for b in grid.budgets})


def written(defense: Sequence[Part]) -> str:
    """A defense as one text; "" = none."""
    return "+".join(str(part) for part in defense)


def load(reference: str) -> Study:
    """A shipped study by name, or a `.py` (with `study()`) or `.yaml` file.

    Raises:
        UnknownName: no shipped study of that name.
        MissingFile: no such file.
        BadFile: the file is not a study; says where and why.
    """
    path = Path(reference)
    if path.suffix in (".py", ".yaml", ".yml") or "/" in reference:
        if not path.is_file():
            raise MissingFile(f"there is no study file {reference!r}.")
        return _from_python(path) if path.suffix == ".py" else _from_yaml(path)
    found = registry.describe("studies", reference)
    if found.broken:
        raise BadFile(f"the study {reference!r} cannot be read: {found.broken}")
    return _from_python(Path(found.file)) if found.file.endswith(".py") else _from_yaml(Path(found.file))


def parse(text: Mapping[str, Any], origin: str) -> Study:
    """A study from plain values; `origin` names them in a complaint."""
    if not {"grids", "measurements"} & set(text):
        raise BadFile(f"{origin}: it has neither grids (of attacks) nor measurements.")
    try:
        return Study(**text)
    except ValidationError as error:
        raise BadFile(f"{origin}: {_sentence(error)}") from None
    except UserError as error:
        raise type(error)(f"{origin}: {error}") from None
    except TypeError as error:
        raise BadFile(f"{origin}: {error}.") from None


def _from_python(path: Path) -> Study:
    module = registry.load_file(path)
    make = getattr(module, "study", None)
    if not callable(make):
        raise BadFile(f"{path} is not a study: it has no function study() that returns one.")
    try:
        made = make()
    except ValidationError as error:
        raise BadFile(f"{path}: {_sentence(error)}") from None
    if not isinstance(made, Study):
        raise BadFile(f"{path}: study() must return an advgen.experiments.study.Study, got {type(made).__name__}.")
    return made


def _from_yaml(path: Path) -> Study:
    try:
        text = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BadFile(
            f"{path} is not YAML{where}: {getattr(error, 'problem', None) or 'it cannot be parsed'}."
        ) from None
    except UnicodeDecodeError:
        raise BadFile(f"{path} is not a text file in UTF-8.") from None
    if not isinstance(text, dict):
        raise BadFile(f"{path} is not a study: expected keys name, question, grids or measurements, claims.")
    text.setdefault("name", path.stem)
    return parse(text, str(path))


def _sentence(error: ValidationError) -> str:
    """The first complaint of pydantic in one sentence, with its place and the nearest known key."""
    first = error.errors()[0]
    place = ".".join(str(p) for p in first["loc"]) or "the study"
    if first["type"] == "extra_forbidden":
        known = {
            name
            for model in (Study, Grid, DataEntry, PartEntry, BudgetEntry, DefenseEntry, MeasurementEntry, ArmEntry)
            for name in model.model_fields
        }
        return (
            str(UnknownName.among("key", place, known))
            if "." not in place
            else str(UnknownName.among(f"key at {place}:", str(first["loc"][-1]), known))
        )
    if first["type"] == "missing":
        return f"{place} is missing."
    cause = first.get("ctx", {}).get("error")
    text = str(cause) if cause else first["msg"]
    return f"{place}: {text}".rstrip(".") + f" (got {json.dumps(first['input'], default=str)[:80]})."


def _norms(attack: str) -> tuple[str, ...]:
    """The budgets of an attack; none = it looks for the smallest change."""
    if attack.startswith(GIVEN):
        return ()
    plugin = registry.describe("attacks", attack)
    optional = any(f.name == "budget" and f.default == "None" for f in plugin.fields)
    return () if optional else tuple(plugin.literals.get("budgets", ()))


def check_part(kind: str, part: Part) -> None:
    """Refuses a name or argument that the plug-in does not have.

    Raises:
        UnknownName: no such plug-in or argument; says the nearest.
        BadArgument: a value of the wrong kind.
    """
    if not part.name.startswith(GIVEN):
        registry.arguments(kind, part.name, {k: v for k, v in part.args if k not in joined_args(kind)})


def joined_args(kind: str) -> tuple[str, ...]:
    """Arguments of a plug-in of this kind that are not its own."""
    return {"attacks": ATTACK_ARGS, "defenses": DETECTOR_ARGS}.get(kind, ())
