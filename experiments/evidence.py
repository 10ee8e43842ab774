"""What the checks need: the rows seen as cells, what the rows do not hold, and the level that all checks share.

Any warning at all may be raised in at most 5% of honest runs. The checks that rest on chance divide this level
between them, and each divides its part between the cells that it looks at (Bonferroni).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from advgen.experiments import rates
from advgen.experiments.claims import Verdict
from advgen.experiments.stats import discordant_p

FAMILY_LEVEL = 0.05
RANDOM_CHECKS = 14  # those that rest on chance: 1-8, 10, 12, 15, 17, 19, 20
LEVEL = FAMILY_LEVEL / RANDOM_CHECKS
SETTING = ["data", "split", "target", "goal", "budget", "radius", "defense", "training_seed"]
UNBOUNDED = 1.0  # an Linf radius that reaches every image
ONE_STEP = ("image/fgsm",)
NOISE = ("image/noise",)


class Count(NamedTuple):
    """`hits` of `n` samples."""

    hits: int
    n: int


class Audit(NamedTuple):
    """Area under the ROC curve of a classifier that sees only format, size, JPEG grid, border and metadata."""

    auc: float
    low: float  # 95% interval
    high: float


class Calibration(NamedTuple):
    """Content hashes of the slices that a detector's threshold came from and that it is tested on."""

    detector: str
    calibrated_on: str
    tested_on: str


class Nets(NamedTuple):
    """The networks that a perceptual bound was kept by and is judged by."""

    attack: str
    judge: str


class Generators(NamedTuple):
    """The generators whose images a fake detector has seen in training and is tested on."""

    trained: frozenset[str]
    tested: frozenset[str]


@dataclass(frozen=True)
class Evidence:
    """All that the warnings need beside the rows; None = not gathered, and the check is then listed as not run.

    Keys are cell keys unless they say otherwise; counts are over samples.
    """

    late_gain: Mapping[str, Count] | None = None  # first success in the last quarter of the steps
    restart_gain: Mapping[str, Count] | None = None  # success only with ten times the restarts
    zero_gradients: Mapping[str, Count] | None = None  # samples whose gradient was zero at the start
    nonfinite_gradients: Mapping[str, Count] | None = None
    saturated_logits: Mapping[str, Count] | None = (
        None  # by target: float32 softmax of the clean image is exactly one-hot
    )
    softmax_logits: Mapping[str, bool] | None = None  # by target: all outputs in [0, 1] and summing to 1
    answers_differ: Mapping[str, bool] | None = None  # by "target" or "target + defense", for one image
    plain_baseline: Mapping[str, float] | None = None  # by data set: accuracy of its plain baseline
    shared_images: Mapping[str, int] | None = None  # by data set: images in both train and test
    calibrations: Sequence[Calibration] | None = None
    nets: Mapping[str, Nets] | None = None
    stand_ins: Sequence[str] | None = None  # embedded networks used where the published ones are meant
    generators: Mapping[str, Generators] | None = None  # by detector
    leak_audits: Mapping[str, Audit] | None = None  # by data set
    far_inversions: Mapping[str, Count] | None = None  # inverted beyond the gate before any attack
    certified: Mapping[str, frozenset[str]] | None = None  # ids that no attack within the cell's budget can change
    verdicts: Sequence[Verdict] | None = None


class CheckWarning(NamedTuple):
    """Why an evaluation looks too good, or too bad, to be believed."""

    number: int
    title: str
    detail: str  # one or two sentences with the numbers
    cells: tuple[str, ...]  # cell keys; or the names of data sets, targets, detectors


class NotRun(NamedTuple):
    """What a check would have needed."""

    reason: str


class Suspicion(NamedTuple):
    """One place where a check found something, and how likely that is by chance."""

    p: float
    detail: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Cells:
    """Rows as matrices (cells, samples), NaN where a cell has no result for a sample."""

    rows: pd.DataFrame
    _matrices: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A line for each cell, in the matrices' order."""
        table = self.rows.iloc[self._first].reset_index(drop=True)
        attacked = table["attack"] != ""
        one = table["attack"].isin(ONE_STEP) | table["attack_args"].str.contains(r'"steps": 1\b|"FGSM"', na=False)
        noise, unbounded = (
            table["attack"].isin(NOISE),
            (table["budget"] == "Linf") & (table["radius_value"] >= UNBOUNDED),
        )
        return table.assign(
            attacked=attacked,
            one_step=one,
            noise=noise,
            unbounded=unbounded,
            # knows all that there is to know
            white_box=attacked
            & ~noise
            & (table["access"] == "white-box")
            & ((table["defense"] == "") | (table["knowledge"] == "adaptive")),
            black_box=attacked & ~noise & (table["access"].isin(["score", "decision", "transfer"])),
        )

    @cached_property
    def _codes(self) -> tuple[np.ndarray, np.ndarray]:
        return pd.factorize(self.rows["cell_key"])[0], pd.factorize(self.rows["sample_id"])[0]

    @cached_property
    def _first(self) -> np.ndarray:
        return np.unique(self._codes[0], return_index=True)[1]

    @cached_property
    def samples(self) -> pd.Index:
        """The samples' ids, in the matrices' order."""
        return pd.Index(pd.factorize(self.rows["sample_id"])[1])

    @cached_property
    def clusters(self) -> np.ndarray:
        """Cluster code of each sample (N,)."""
        first = np.unique(self._codes[1], return_index=True)[1]
        return pd.factorize(self.rows["cluster"].iloc[first])[0]

    def matrix(self, name: str) -> np.ndarray:
        """An outcome or a numeric column as (cells, samples)."""
        if name not in self._matrices:
            if name in rates.OUTCOMES:
                values = rates.outcome(self.rows, name)
            else:
                values = np.where(rates.measured(self.rows), rates.numbers(self.rows, name), np.nan)
            cells, samples = self._codes
            filled = np.full((len(self.table), int(samples.max(initial=-1)) + 1), np.nan)
            filled[cells, samples] = values
            self._matrices[name] = filled
        return self._matrices[name]

    def success(self, cell: int) -> np.ndarray:
        """Success (N,) of one cell on the samples that were right before."""
        return self.matrix("success_on_correct")[cell]

    def strongest(self, cells: Sequence[int]) -> int:
        """The cell with the highest success among these."""
        return max(cells, key=lambda c: mean(self.success(c)))

    def worst(self, cells: Sequence[int]) -> np.ndarray:
        """Success (N,) of the best of several cells, sample by sample."""
        values = self.matrix("success_on_correct")[list(cells)]
        found = np.nanmax(np.where(np.isnan(values), -1, values), axis=0)
        return np.where(found < 0, np.nan, found)

    @cached_property
    def _names(self) -> list[str]:
        columns = ("attack", "budget", "radius", "target", "defense", "knowledge")
        names = []
        for attack, budget, radius, target, defense, knowledge in zip(*(self.table[c] for c in columns), strict=True):
            where = f" at {budget} {radius}" if budget else ""
            behind = f" behind {defense} ({knowledge})" if defense else ""
            names.append(f"{attack or 'clean'}{where} on {target}{behind}")
        return names

    def name(self, cell: int) -> str:
        """A cell in words."""
        return self._names[cell]

    def keys(self, *cells: int) -> tuple[str, ...]:
        """The cells' keys."""
        return tuple(str(self.table["cell_key"].iloc[c]) for c in cells)

    def groups(self, columns: Sequence[str], mask: pd.Series) -> list[np.ndarray]:
        """Places of the masked cells that agree in these columns."""
        table = self.table[mask]
        return [table.index[g].to_numpy() for g in table.groupby(list(columns), dropna=False).indices.values()]

    def more(self, first: np.ndarray, second: np.ndarray) -> float:
        """One-sided exact p-value that `first` (N,) is larger than `second`: McNemar's, over clusters where they have
        several samples.
        """
        difference = first - second
        kept = ~np.isnan(difference)
        by_cluster = np.bincount(self.clusters[kept], difference[kept], minlength=1)
        return discordant_p(int((by_cluster > 1e-9).sum()), int((by_cluster < -1e-9).sum()), relation="greater")


def mean(values: np.ndarray) -> float:
    """Mean of what was measured; 0 of nothing, for ranking only."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else 0.0


def more_than(share: float, count: Count) -> float:
    """p-value of at least this many hits when the true share is `share`."""
    return float(binom.sf(count.hits - 1, count.n, share)) if count.n else 1.0


def fewer_than(share: float, count: Count) -> float:
    """p-value of at most this many hits when the true share is `share`."""
    return float(binom.cdf(count.hits, count.n, share)) if count.n else 1.0


def count(values: np.ndarray) -> Count:
    """Hits among what was measured (a probability counts as a hit from one half on)."""
    values = values[~np.isnan(values)]
    return Count(int((values >= 0.5).sum()), len(values))


def shown(counted: Count) -> str:
    """A count in words."""
    return f"{counted.hits} of {counted.n}"


def strongest_suspicion(number: int, title: str, found: Sequence[Suspicion]) -> CheckWarning | None:
    """The warning of a check that looked at all of `found`, when some stay significant among so many."""
    raised = sorted((s for s in found if s.p * len(found) <= LEVEL), key=lambda s: s.p)
    if not raised:
        return None
    more = f" {len(raised) - 1} more like it." if len(raised) > 1 else ""
    return CheckWarning(
        number, title, raised[0].detail + more, tuple(dict.fromkeys(k for s in raised for k in s.cells))
    )


def certain(number: int, title: str, found: Sequence[tuple[str, tuple[str, ...]]]) -> CheckWarning | None:
    """The warning of a check that rests on facts, not on chance."""
    if not found:
        return None
    more = f" {len(found) - 1} more like it." if len(found) > 1 else ""
    return CheckWarning(number, title, found[0][0] + more, tuple(dict.fromkeys(k for _, keys in found for k in keys)))
