"""Rates over judged rows: four denominators that are never mixed, worst case over attacks, robustness against budget.

`rows` has the columns of `advgen.experiments.columns`. A sample that ended in
an error is in no denominator and is counted apart. An outcome is a number in [0, 1] a line: a random defense
contributes its success probability over `repeats` judgings, never its first hit. A success outside the budget, or one
that became the target, is not a success.

Worst case and shares: Croce & Hein 2020 (arXiv 2003.01690, section 5), per sample. Right or rejected: Tramèr 2022
(arXiv 2107.11630, section 2), with the rejections of clean images charged.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from advgen.core.errors import BadArgument, UnknownName
from advgen.experiments.columns import CELL_COLUMNS, COLUMNS, OUTCOMES
from advgen.experiments.stats import Rate, rate

SAMPLE = ["sample_id", "training_seed", "seed"]  # what is judged once an attack
ATTACK = ["attack", "attack_args", "knowledge", "surrogate"]  # one way to attack
FRONT = ["data", "split", "target", "goal", "budget", "defense", "knowledge"]  # what a curve keeps fixed


class Rates(NamedTuple):
    """The rates of one selection, each with its own denominator, and what was left out of all of them."""

    clean_accuracy: Rate  # right and accepted, of all originals
    success_on_correct: Rate  # attacked with success, of those right and accepted before
    success: Rate  # attacked with success, of all
    robust_accuracy: Rate  # right and accepted, before and after, of all
    joint: Rate  # right, or adversarial and rejected, clean rejections charged, of all
    errors: int  # lines without a result
    outside: int  # lines whose saved image left the budget; no success
    became_target: int  # lines whose image became what it imitates; no success


class WorstCase(NamedTuple):
    """Robust iff robust under every attack of the group."""

    rate: Rate
    samples: pd.DataFrame  # sample_id training_seed seed cluster value broken_by
    shares: pd.DataFrame  # attack alone marginal unique: shares of all samples, strongest attack first
    incomplete: int  # samples that some attack has no result for: in no denominator


class ByAttack(NamedTuple):
    """Outcomes of the same samples under several attacks."""

    samples: pd.DataFrame  # sample_id training_seed seed cluster, a line a sample
    attacks: tuple[str, ...]
    values: list[np.ndarray]  # (samples, attacks), one an outcome


def require_columns(rows: pd.DataFrame, columns: Sequence[str]) -> None:
    """One sentence when the table lacks a column.

    Raises:
        BadArgument: a column is missing.
    """
    if missing := [c for c in columns if c not in rows.columns]:
        raise BadArgument(f"the table of rows lacks the column {missing[0]!r} ({COLUMNS.get(missing[0], 'unknown')}).")


def select(rows: pd.DataFrame, selector: Mapping[str, object]) -> pd.DataFrame:
    """The rows whose columns equal the selector's values; a list of values means any of them.

    Raises:
        UnknownName: no such column.
    """
    kept = np.ones(len(rows), dtype=bool)
    for column, value in selector.items():
        if column not in rows.columns:
            raise UnknownName.among("column", column, rows.columns)
        wanted = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        kept &= rows[column].isin(wanted).to_numpy()
    return rows[kept]


def numbers(rows: pd.DataFrame, column: str) -> np.ndarray:
    """A column (N,) as float64: None and NA become NaN, yes and no become 1 and 0."""
    series = rows[column]
    if series.dtype == object:
        return np.array([np.nan if v is None or v is pd.NA else float(v) for v in series], dtype=float)
    return series.to_numpy(dtype=float, na_value=np.nan)


def measured(rows: pd.DataFrame) -> np.ndarray:
    """Mask (N,) of the rows that have a result."""
    return (rows["error"].fillna("") == "").to_numpy()


def outcome(rows: pd.DataFrame, name: str) -> np.ndarray:
    """One of `OUTCOMES` a row (N,), in [0, 1]; NaN = not in its denominator.

    Raises:
        UnknownName: no such outcome.
    """
    if name not in OUTCOMES:
        raise UnknownName.among("outcome", name, OUTCOMES)
    done = measured(rows)
    if name in ("rejected", "clean_rejected"):
        return np.where(done, numbers(rows, name), np.nan)
    clean = _clean_right(rows)
    if name == "clean_accuracy":
        return np.where(done, clean, np.nan)
    success = _success(rows)
    if name == "success":
        return np.where(done, success, np.nan)
    if name == "success_on_correct":
        return np.where(done & (clean == 1), success, np.nan)
    return np.where(done, clean * (1 - _harm(rows, success, rejection_helps=name == "joint")), np.nan)


def rates(rows: pd.DataFrame) -> Rates:
    """All rates of one selection of rows (one attack; several attacks belong to `worst_case`)."""
    done = measured(rows)
    # every attack repeats the answer to the same original
    originals = rows.drop_duplicates([*SAMPLE, "target", "defense"])
    return Rates(
        rate(outcome(originals, "clean_accuracy")),
        *(rate(outcome(rows, name)) for name in ("success_on_correct", "success", "robust_accuracy", "joint")),
        errors=int((~done).sum()),
        outside=int((done & (numbers(rows, "inside") == 0)).sum()),
        became_target=int((done & (rows["validity"] == "became_target").to_numpy()).sum()),
    )


def worst_case(rows: pd.DataFrame, name: str = "joint") -> WorstCase:
    """The worst of several attacks, sample by sample: smallest robust outcome, or largest success.

    `marginal` is what an attack breaks beyond all stronger ones, `unique` what it alone breaks.
    """
    table = by_attack(rows[rows["attack"] != ""], (name, "joint", "clean_accuracy"))
    values, left, clean = table.values
    complete = ~np.isnan(left).any(1)
    samples = table.samples[complete].reset_index(drop=True)
    values, harm = values[complete], clean[complete] - left[complete]
    samples["value"] = worst_of(values, name)
    samples["broken_by"] = [", ".join(np.array(table.attacks, dtype=object)[line >= 0.5]) for line in harm]
    return WorstCase(rate(samples["value"]), samples, _shares(harm, table.attacks), int((~complete).sum()))


def worst_of(values: np.ndarray, name: str) -> np.ndarray:
    """The worst of each line of `values` (samples, attacks); NaN where the sample is in no attack's denominator."""
    falls = name in ("robust_accuracy", "joint", "clean_accuracy")
    filled = np.where(np.isnan(values), np.inf if falls else -np.inf, values)
    worst = filled.min(1, initial=np.inf) if falls else filled.max(1, initial=-np.inf)
    return np.where(np.isfinite(worst), worst, np.nan)


def by_attack(rows: pd.DataFrame, names: Sequence[str]) -> ByAttack:
    """Outcomes as matrices (samples, attacks), NaN where there is no row.

    Raises:
        BadArgument: two rows for one sample and attack, so that the selection mixes cells.
    """
    samples = rows.groupby(SAMPLE, sort=True, dropna=False).ngroup().to_numpy()
    attacks = rows.groupby(ATTACK, sort=True, dropna=False).ngroup().to_numpy()
    size = (int(samples.max(initial=-1)) + 1, int(attacks.max(initial=-1)) + 1)
    place = np.ravel_multi_index((samples, attacks), size) if len(rows) else np.zeros(0, dtype=int)
    if len(np.unique(place)) < len(rows):
        varied = [
            c for c in CELL_COLUMNS if c not in (*SAMPLE, *ATTACK, "cluster") and rows[c].nunique(dropna=False) > 1
        ]
        what = f"it mixes several values of {', '.join(varied)}" if varied else "the same cell is in it twice"
        raise BadArgument(f"a selection may hold each sample once an attack, but {what}; fix these columns.")
    values = []
    for name in names:
        matrix = np.full(size, np.nan)
        matrix.flat[place] = outcome(rows, name)
        values.append(matrix)
    first = np.unique(samples, return_index=True)[1]
    table = rows.iloc[first][[*SAMPLE, "cluster"]].reset_index(drop=True)
    labels = tuple(_label(line) for line in rows.iloc[np.unique(attacks, return_index=True)[1]][ATTACK].to_numpy())
    return ByAttack(table, labels, values)


def budget_curve(rows: pd.DataFrame, name: str = "joint") -> pd.DataFrame:
    """Robust outcome at each radius, a line for each attack and one for the worst of them ("worst case"), radius 0 =
    clean.
    """
    attacked = rows[rows["attack"] != ""]
    lines: list[dict[str, object]] = []
    for fixed, group in attacked.groupby(FRONT, sort=True, dropna=False):
        head = dict(zip(FRONT, fixed, strict=True))
        clean = rate(outcome(group.drop_duplicates(SAMPLE), "clean_accuracy"))
        lines.append({**head, "radius": "0", "radius_value": 0.0, "attack": "", **clean._asdict()})
        for (radius, value), at in group.groupby(["radius", "radius_value"], sort=True, dropna=False):
            place = {**head, "radius": radius, "radius_value": value}
            for attack, one in at.groupby("attack", sort=True):
                lines.append({**place, "attack": attack, **worst_case(one, name).rate._asdict()})
            if at["attack"].nunique() > 1:
                lines.append({**place, "attack": "worst case", **worst_case(at, name).rate._asdict()})
    columns = [*FRONT, "radius", "radius_value", "attack", *Rate._fields]
    return pd.DataFrame(lines, columns=columns).sort_values([*FRONT, "attack", "radius_value"], ignore_index=True)


def distance_curve(rows: pd.DataFrame, distance: str, radii: Sequence[float], name: str = "joint") -> pd.DataFrame:
    """Robust outcome against radius for minimum-norm attacks: a success counts from its distance on."""
    lines = []
    for radius in radii:
        inside = numbers(rows, distance) <= radius
        at = rows.assign(inside=np.where(inside, True, False))
        lines.append({"radius_value": radius, **rate(outcome(at, name))._asdict()})
    return pd.DataFrame(lines)


def _clean_right(rows: pd.DataFrame) -> np.ndarray:
    """1 where the original is answered right and accepted (N,)."""
    answer = numbers(rows, "clean_prediction")
    right = np.where(np.isnan(answer), np.nan, answer == numbers(rows, "label"))
    return right * (1 - np.nan_to_num(numbers(rows, "clean_rejected")))


def _success(rows: pd.DataFrame) -> np.ndarray:
    """Success (N,) as judged on the saved image, zero where it does not count."""
    once, often = numbers(rows, "success_saved"), numbers(rows, "success_probability")
    success = np.where((numbers(rows, "repeats") > 1) & ~np.isnan(often), often, once)
    return success * _counts(rows)


def _counts(rows: pd.DataFrame) -> np.ndarray:
    return (numbers(rows, "inside") != 0) & (rows["validity"] != "became_target").to_numpy()


def _harm(rows: pd.DataFrame, success: np.ndarray, *, rejection_helps: bool) -> np.ndarray:
    """How far the answer is lost (N,): a targeted attack that ends in a third class has failed, and so has the
    target.
    """
    answer, rejected = numbers(rows, "prediction"), np.nan_to_num(numbers(rows, "rejected"))
    once = ~(numbers(rows, "repeats") > 1) & ~np.isnan(answer)
    wrong = np.where(once, answer != numbers(rows, "label"), 0.0) * _counts(rows)
    harm = np.maximum(success, wrong * (1 - rejected))
    return harm if rejection_helps else np.maximum(harm, rejected)


def _shares(harm: np.ndarray, attacks: Sequence[str]) -> pd.DataFrame:
    n = max(len(harm), 1)
    so_far = np.zeros(len(harm))
    lines = []
    for k in np.argsort(-harm.sum(0), kind="stable"):
        others = np.delete(harm, k, axis=1).max(1, initial=0.0)
        together = np.maximum(so_far, harm[:, k])
        alone, marginal, unique = harm[:, k], together - so_far, np.maximum(harm[:, k] - others, 0)
        lines.append((attacks[k], alone.sum() / n, marginal.sum() / n, unique.sum() / n))
        so_far = together
    return pd.DataFrame(lines, columns=["attack", "alone", "marginal", "unique"])


def _label(key: Sequence[str]) -> str:
    attack, arguments, knowledge, surrogate = key
    shown = "" if arguments in ("", "{}") else f" {arguments}"
    return f"{attack}{shown} ({knowledge}{f' from {surrogate}' if surrogate else ''})"
