"""Claims over measurements: a quantity of some arms, or how two quantities rank all arms. Standard library only.

`advgen.experiments.verdicts_readings` decides them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, get_args

from advgen.core.errors import BadArgument, UnknownName
from advgen.experiments.claims import Claim, Relation


@dataclass(frozen=True)
class QuantityClaim:
    """The mean of `quantity` over the arms `of` is `relation` than `margin`; with `versus`, the difference or ratio is.

    Raises:
        BadArgument: an empty statement or selector, a ratio of nothing, a margin that is no number.
    """

    statement: str
    quantity: str
    of: Mapping[str, object]  # measure, label, arm, seed or an argument of the measure -> value, or a list of values
    versus: Mapping[str, object] | None = None
    relation: Relation = ">"
    margin: float = 0.0  # in the quantity's unit; of a ratio, the ratio itself ("30% less" is < 0.7)
    ratio: bool = False
    at: Mapping[str, float] | None = None  # {"seconds": 1}: what a curve of the quantity had reached there

    def __post_init__(self) -> None:
        _check(self.statement, self.relation, self.margin)
        for name, selector in (("of", self.of), ("versus", self.versus)):
            if not isinstance(selector, Mapping) and not (name == "versus" and selector is None):
                raise BadArgument(f"a claim's `{name}` is a mapping such as {{arm: NAME}}, got {selector!r}.")
        if self.ratio and self.versus is None:
            raise BadArgument(f"a ratio needs something that it is a ratio to: give `versus` ({self.statement!r}).")
        if self.ratio and self.margin <= 0:
            raise BadArgument(f"the margin of a ratio is above 0; 30% less is < 0.7; got {self.margin}.")
        if self.at is not None and (not isinstance(self.at, Mapping) or len(self.at) != 1):
            raise BadArgument(f"a claim's `at` is one quantity and its value, such as {{seconds: 1}}, got {self.at!r}.")

    @property
    def nothing(self) -> float:
        """The value that says that there is no difference."""
        return 1.0 if self.ratio else 0.0

    @property
    def what(self) -> str:
        """What the number is, in words."""
        at = "".join(f" at {name.replace('_', ' ')} {value:g}" for name, value in (self.at or {}).items())
        difference = "" if self.versus is None else ", ratio" if self.ratio else ", difference"
        return self.quantity.replace("_", " ") + at + difference

    def canonical(self) -> dict[str, object]:
        """What the claim says, in plain values."""
        return {
            "statement": self.statement,
            "quantity": self.quantity,
            "of": dict(self.of),
            "versus": None if self.versus is None else dict(self.versus),
            "relation": self.relation,
            "margin": float(self.margin),
            "ratio": self.ratio,
            "at": None if self.at is None else {k: float(v) for k, v in self.at.items()},
        }


@dataclass(frozen=True)
class RankClaim:
    """Spearman's rank correlation of two quantities over arms is `relation` than `margin`.

    An arm is one point, the mean over its seeds and samples; both quantities count as they stand: where low is good
    for one and high for the other, agreement is a negative correlation.

    Raises:
        BadArgument: not two quantities, or a margin outside [-1, 1].
    """

    statement: str
    ranks: tuple[str, str]
    of: Mapping[str, object]  # as in `QuantityClaim`; {} = every arm
    relation: Relation = ">"
    margin: float = 0.0

    versus = None
    ratio = False
    nothing = 0.0

    def __post_init__(self) -> None:
        _check(self.statement, self.relation, self.margin)
        object.__setattr__(self, "ranks", tuple(self.ranks) if isinstance(self.ranks, list) else self.ranks)
        if not isinstance(self.ranks, tuple) or len(set(self.ranks)) != 2:
            raise BadArgument(f"`ranks` holds the two quantities to compare, got {self.ranks!r} ({self.statement!r}).")
        if not isinstance(self.of, Mapping):
            raise BadArgument(f"a claim's `of` is a mapping such as {{label: NAME}}, got {self.of!r}.")
        if abs(self.margin) >= 1:
            raise BadArgument(f"a rank correlation lies between -1 and 1, got a margin of {self.margin}.")

    @property
    def what(self) -> str:
        """What the number is, in words."""
        first, second = (name.replace("_", " ") for name in self.ranks)
        return f"rank correlation of {first} and {second} over arms"

    def canonical(self) -> dict[str, object]:
        """What the claim says, in plain values."""
        return {
            "statement": self.statement,
            "ranks": list(self.ranks),
            "of": dict(self.of),
            "relation": self.relation,
            "margin": float(self.margin),
        }


ReadingClaim = QuantityClaim | RankClaim
AnyClaim = Claim | QuantityClaim | RankClaim


def claim_of(value: AnyClaim | Mapping[str, Any]) -> AnyClaim:
    """A claim from plain values: `metric` is about attacks, `quantity` about measurements, `ranks` about all arms.

    Raises:
        BadArgument: none or several of the three, or a claim that cannot be tested.
        UnknownName: a key that such a claim does not have.
    """
    if isinstance(value, Claim | QuantityClaim | RankClaim):
        return value
    if not isinstance(value, Mapping):
        raise BadArgument(f"a claim is a mapping with a statement, got {value!r}.")
    kinds: Mapping[str, type[Any]] = {"metric": Claim, "quantity": QuantityClaim, "ranks": RankClaim}
    named = [k for k in kinds if k in value]
    if len(named) != 1:
        raise BadArgument(
            f"a claim names one of metric (of attacked images), quantity (of measurements) or ranks (two quantities), "
            f"got {', '.join(named) or 'none'} ({value.get('statement', '')!r})."
        )
    kind = kinds[named[0]]
    known = list(kind.__dataclass_fields__)
    for key in value:
        if key not in known:
            raise UnknownName.among(f"key of a claim with {named[0]}", str(key), known)
    missing = [f for f in ("statement", "of") if f not in value]
    if missing:
        raise BadArgument(f"a claim needs `{missing[0]}`; this one has {', '.join(value)}.")
    return kind(**value)  # type: ignore[no-any-return]


def require_answerable(
    claim: ReadingClaim, measurements: Iterable[Mapping[str, object]], quantities: Mapping[str, Iterable[str]]
) -> None:
    """One sentence when no measurement of the study can answer a claim.

    `measurements` are their columns, `quantities` the names by measure.

    Raises:
        UnknownName: a column, value or quantity that none of them has.
        BadArgument: nothing has all that a selector asks for.
    """
    table = list(measurements)
    where = f"(claim {claim.statement!r})"
    for selector in [claim.of, *([claim.versus] if isinstance(claim, QuantityClaim) and claim.versus else [])]:
        for column, value in selector.items():
            columns = {c for line in table for c in line}
            if column not in columns:
                raise UnknownName.among("column", str(column), columns, where)
            for one in wanted(value):
                known = {str(line[column]) for line in table if column in line}
                if not any(line.get(column) == one for line in table):
                    raise UnknownName.among(f"value of {column}", str(one), known, where)
        chosen = [line for line in table if matches(line, selector)]
        if not chosen:
            raise BadArgument(f"no measurement has all of {dict(selector)} {where}.")
        for name in _quantities(claim):
            known = {q for line in chosen for q in quantities[str(line["measure"])]}
            if name not in known:
                raise UnknownName.among("quantity", name, known, where)


def matches(columns: Mapping[str, object], selector: Mapping[str, object]) -> bool:
    """Whether a measurement has all that a selector asks for; a list of values means any of them."""
    return all(column in columns and columns[column] in wanted(value) for column, value in selector.items())


def wanted(value: object) -> list[object]:
    """The values that a selector's entry allows."""
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def _quantities(claim: ReadingClaim) -> tuple[str, ...]:
    return claim.ranks if isinstance(claim, RankClaim) else (claim.quantity, *(claim.at or {}))


def _check(statement: object, relation: object, margin: object) -> None:
    if not isinstance(statement, str) or not statement.strip():
        raise BadArgument("a claim needs a statement: the sentence that its test decides.")
    if relation not in get_args(Relation):
        raise BadArgument(f"a claim's relation is one of > < >= <=, got {relation!r} ({statement!r}).")
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not isfinite(margin):
        raise BadArgument(f"a claim's margin must be a finite number, got {margin!r} ({statement!r}).")
