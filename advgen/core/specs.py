"""Names and numbers of an experiment: parts, cells, rows. Standard library only, so that listing stays light."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from advgen.core.errors import BadArgument

Scalar = str | int | float | bool | None
Args = tuple[tuple[str, Scalar], ...]

KNOWLEDGE = ("oblivious", "transfer", "adaptive")
GOALS = ("untargeted", "targeted", "pass-as-real", "impersonate", "evade-identity")
BUDGETS = ("Linf", "L2", "L1", "L0", "Lpips", "Latent", "Identity")
SPLITS = ("train", "validation", "calibration", "test")


GIVEN = "given:"  # before a name: something that a caller has in memory or made elsewhere, and no plug-in


class Part(NamedTuple):
    """A plug-in or network by name, with the arguments that differ from its defaults, sorted by name."""

    name: str
    args: Args = ()

    @classmethod
    def of(cls, name: str, args: Mapping[str, Scalar] | None = None) -> "Part":
        return cls(name, tuple(sorted((args or {}).items())))

    def __str__(self) -> str:
        return self.name + ("(" + ", ".join(f"{k}={v}" for k, v in self.args) + ")" if self.args else "")


class DataSpec(NamedTuple):
    """A slice of a data set: the first `count` rows of `split` (0 = all), at `size` pixels (None = as it is)."""

    name: str
    split: str = "test"
    count: int = 0  # type: ignore[assignment]  # tuple.count is hidden on purpose
    size: int | None = None
    args: Args = ()

    def __str__(self) -> str:
        size = f"@{self.size}" if self.size else ""
        return f"{self.name}/{self.split}" + (f"[:{self.count}]" if self.count else "") + size


class BudgetSpec(NamedTuple):
    """A budget by name, its radius kept as written ("8/255")."""

    name: str
    radius: str

    @property
    def value(self) -> float:
        return number(self.radius, "radius")

    def __str__(self) -> str:
        return f"{self.name} {self.radius}"


class Cell(NamedTuple):
    """One square of a study's grid. No attack = the clean baseline."""

    data: DataSpec
    target: Part
    goal: Part = Part("untargeted")
    attack: Part | None = None
    budget: BudgetSpec | None = None
    defense: tuple[Part, ...] = ()
    knowledge: str = "oblivious"
    surrogate: Part | None = None
    seed: int = 0
    repeats: int = 1


class Row(NamedTuple):
    """What the judge found for one sample of one cell; a column each in `rows.parquet`.

    Rates are over rows; None = not measured. Distances are measured on the saved uint8 image in units of [0, 1]
    (Linf 8/255 is 0.03137; L2 and L1 sum over channels and pixels; L0 counts pixels that changed in any channel).
    """

    sample_id: str
    cell_key: str
    label: int
    wanted: int | None = None
    clean_prediction: int | None = None  # of the whole defended pipeline on the original
    clean_rejected: bool | None = None  # the original itself raised the alarm
    clean_alarm: float | None = None  # the original's alarm, as `alarm`
    prediction: int | None = None
    success_float: bool | None = None  # the float image fools (and is not rejected)
    success_saved: bool | None = None  # the saved PNG, read back, fools (and is not rejected): the result
    success_jpeg75: bool | None = None  # the same image as JPEG quality 75
    success_probability: float | None = None  # share of `repeats` judgings in which the saved image succeeds
    repeats: int = 1
    rejected: bool | None = None  # the saved image raised the alarm
    alarm: float | None = None  # worst (score - threshold) / clean sigma over the detectors; > 0 is rejected
    linf: float | None = None
    l2: float | None = None
    l1: float | None = None
    l0: float | None = None
    lpips: float | None = None
    lpips_net: str | None = None
    inside: bool | None = None  # the saved image lies inside the budget
    validity: str = "not_applicable"  # valid | became_target | not_applicable
    forwards: float = 0.0  # images through the target, per sample
    backwards: float = 0.0
    generator_calls: float = 0.0
    seconds: float = 0.0
    peak_bytes: int = 0
    note: str = ""  # JSON of the attack's per-sample columns
    error: str = ""  # one sentence when this sample could not be done; its success is then None


class Card(NamedTuple):
    """What stands beside every checkpoint (`NAME.json` beside `NAME.safetensors`)."""

    name: str
    kind: str  # classifier | detector | autoencoder | perceptual | generator | encoder | vectors | judge
    recipe: str
    args: Mapping[str, Scalar]
    seed: int
    data_hash: str
    file_hash: str
    metrics: Mapping[str, Any]
    cost: Mapping[str, Any]  # seconds, device, samples seen
    licence: str
    stands_in_for: str | None = None  # e.g. "published LPIPS backbone"; such use raises warning 16
    made_with: Mapping[str, str] = {}  # library versions


def number(text: object, name: str) -> float:
    """A finite number from 3, 0.1, "1e-8" or "8/255"; one sentence when it is none.

    Raises:
        BadArgument: not a number, a division by zero, or not finite.
    """
    if isinstance(text, bool):
        raise BadArgument(f"{name} must be a number, got {text!r}.")
    if isinstance(text, int | float):
        value = float(text)
    else:
        written = str(text).strip()
        try:
            if "/" in written:
                above, _, below = written.partition("/")
                value = float(Fraction(above.strip()) / Fraction(below.strip()))
            else:
                value = float(written)
        except ZeroDivisionError:
            raise BadArgument(f"{name} is {written!r}: a division by zero; write a number such as 8/255.") from None
        except ValueError:
            raise BadArgument(f"{name} must be a number such as 0.03, 1e-3 or 8/255, got {written!r}.") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise BadArgument(f"{name} must be finite, got {text!r}.")
    return value


def radius_of(name: str, text: object) -> float:
    """The radius of a budget as a number, in units of [0, 1].

    Raises:
        BadArgument: no number, below 0, or a Linf beyond 1, which bounds nothing: grey levels are written 8/255.
    """
    value = number(text, f"the radius of {name}")
    if value < 0:
        raise BadArgument(f"the radius of {name} must be 0 or more, got {text}; write one such as 8/255.")
    if name == "Linf" and value > 1:
        raise BadArgument(
            f"the radius of Linf is {text}, and images lie in [0, 1], where it bounds nothing; "
            f"for {value:g} grey levels write {value:g}/255."
        )
    return value
