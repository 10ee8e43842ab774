"""Claims: statements with a test, and the hash that shows when they were changed. Standard library only.

A claim compares a metric of one selection of rows with a number, or with the same metric of another selection; claims
over measurements stand in `claims_readings`. `advgen.experiments.verdicts` decides them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from advgen.core.errors import BadArgument, UnknownName
from advgen.experiments.columns import COLUMNS, OUTCOMES

if TYPE_CHECKING:
    from advgen.experiments.claims_readings import AnyClaim

Relation = Literal[">", "<", ">=", "<="]
Status = Literal["supported", "refuted", "undecided", "untestable"]
DISTANCES = ("linf", "l2", "l1", "l0", "lpips")
COSTS = ("forwards", "backwards", "generator_calls", "seconds")
METRICS: Mapping[str, str] = MappingProxyType(
    {
        "clean_accuracy": "share of originals answered right and accepted",
        "robust_accuracy": "share right and accepted before and after every selected attack",
        "joint": "share right, or adversarial and rejected, under every selected attack; clean rejections charged",
        "success": "share of all samples on which some selected attack succeeds",
        "success_on_correct": "share of the samples right before on which some selected attack succeeds",
        "rejected": "share of attacked images that raise the alarm",
        "clean_rejected": "share of originals that raise the alarm",
        "auc": "chance that an attacked image is more suspect than an original",
        "tpr_at_5": "share of attacked images above the threshold that 5% of the calibration originals exceed",
        "tpr_at_1": "share of attacked images above the threshold that 1% of the calibration originals exceed",
        **{name: f"mean {name} of the attacked images" for name in DISTANCES},
        **{f"median_{name}": f"median {name} of the attacked images" for name in DISTANCES},
        **{name: f"mean {name} a sample" for name in COSTS},
    }
)
SHARES = (*OUTCOMES, "auc", "tpr_at_5", "tpr_at_1")


@dataclass(frozen=True)
class Claim:
    """`metric` of the rows `of` is `relation` than `margin`, or than `margin` plus the metric of the rows `versus`.

    Raises:
        UnknownName: no such metric, column or relation.
        BadArgument: an empty statement, or a margin that no such metric can reach.
    """

    statement: str
    metric: str
    of: Mapping[str, object]  # column -> value, or a list of values
    versus: Mapping[str, object] | None = None
    relation: Relation = ">"
    margin: float = 0.0  # in the metric's unit; shares in [0, 1], not percent

    def __post_init__(self) -> None:
        if not isinstance(self.statement, str) or not self.statement.strip():
            raise BadArgument("a claim needs a statement: the sentence that its test decides.")
        if self.metric not in METRICS:
            raise UnknownName.among("metric", str(self.metric), METRICS, f"(claim {self.statement!r})")
        if self.relation not in get_args(Relation):
            raise BadArgument(f"a claim's relation is one of > < >= <=, got {self.relation!r} ({self.statement!r}).")
        for name, selector in (("of", self.of), ("versus", self.versus)):
            if name == "versus" and selector is None:
                continue
            if not isinstance(selector, Mapping):
                raise BadArgument(f"a claim's `{name}` is a mapping from column to value, got {selector!r}.")
            for column in selector:
                if column not in COLUMNS:
                    raise UnknownName.among("column", str(column), COLUMNS, f"(claim {self.statement!r})")
        if isinstance(self.margin, bool) or not isinstance(self.margin, int | float) or not isfinite(self.margin):
            raise BadArgument(f"a claim's margin must be a finite number, got {self.margin!r} ({self.statement!r}).")
        if self.metric in SHARES and abs(self.margin) > 1:
            raise BadArgument(
                f"{self.metric} is a share in [0, 1]: a margin of {self.margin} is out of reach; 5% is 0.05."
            )

    nothing = 0.0  # the value that says that there is no difference

    @property
    def what(self) -> str:
        """What the number is, in words."""
        name = "AUC" if self.metric == "auc" else self.metric.replace("_", " ")
        return name + (", difference" if self.versus is not None and self.metric != "auc" else "")

    def canonical(self) -> dict[str, object]:
        """What the claim says, in plain values."""
        versus = None if self.versus is None else dict(self.versus)
        return {
            "statement": self.statement,
            "metric": self.metric,
            "of": dict(self.of),
            "versus": versus,
            "relation": self.relation,
            "margin": float(self.margin),
        }


class Untestable(Exception):
    """Why a claim has no answer in these rows or readings; `verdicts.decide` turns it into a verdict."""


class Verdict(NamedTuple):
    """What the rows say of a claim; `value` and `interval` are the metric, or the difference or ratio of the two."""

    claim: "AnyClaim"
    status: Status
    value: float | None
    interval: tuple[float, float] | None
    n: int  # samples
    p: float | None  # two-sided, against the margin, Holm-corrected over the claims
    note: str
    post_hoc: bool = False  # question, claims or budgets changed after the first cell


def claims_hash(question: str, claims: "Sequence[AnyClaim]", budgets: Sequence[object]) -> str:
    """Hash of what a study promised (blake2b of canonical JSON): stored at its first cell.

    Order of claims and budgets does not count, wording does.
    """
    content = {
        "question": question,
        "claims": sorted(_canonical(c.canonical()) for c in claims),
        "budgets": sorted(_canonical(b) for b in budgets),
    }
    return blake2b(_canonical(content).encode(), digest_size=16).hexdigest()


def is_post_hoc(stored: str | None, question: str, claims: "Sequence[AnyClaim]", budgets: Sequence[object]) -> bool:
    """Whether question, claims or budgets differ from those hashed at the first cell (None: nothing was stored yet)."""
    return stored is not None and stored != claims_hash(question, claims, budgets)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
