"""The tables of a run: a line for every cell, the worst case over attacks, and the knowledge matrix. No torch.

Controls (random noise, and an attack without a bound) show that the machinery works; they stand apart and are in no
worst case. Intervals are Wilson's where samples are independent; where an identity or a training seed comes several
times, whole groups are resampled.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from advgen.core.specs import GIVEN, KNOWLEDGE
from advgen.experiments import rates
from advgen.experiments.evidence import NOISE, UNBOUNDED
from advgen.experiments.stats import Rate, bootstrap_mean, rate

WORST_CASE = "worst case"
SETTING = ["data", "split", "target", "goal", "defense", "budget", "radius", "radius_value"]
LINE = [*SETTING, "attack", "attack_args", "knowledge", "surrogate", "seed", "training_seed"]
RATES = ("clean_accuracy", "robust_accuracy", "success", "success_on_correct", "joint")
FLAGS = ("success_float", "success_jpeg75", "rejected", "clean_rejected")
MEDIANS = ("linf", "l2", "lpips")
COSTS = ("forwards", "backwards", "generator_calls", "seconds")
ABSENT = Rate(None, None, None, 0, 0)


class Standing(NamedTuple):
    """How a defense stands against attackers of one knowledge, the worst over their attacks a sample."""

    joint: Rate = ABSENT  # right, or adversarial and rejected; clean rejections charged
    robust: Rate = ABSENT  # right and accepted
    attacks: tuple[str, ...] = ()  # the portfolio, in words
    shares: tuple[tuple[str, float, float], ...] = ()  # attack, share it breaks alone, share only it breaks
    incomplete: int = 0  # samples that some attack of the portfolio has no result for
    missing: str = ""  # why there is no number


class MatrixLine(NamedTuple):
    """One defense at one budget, seen by the three kinds of attackers."""

    data: str
    split: str
    target: str
    goal: str
    defense: str
    budget: str
    radius: str
    radius_value: float
    clean: Rate
    oblivious: Standing
    transfer: Standing
    adaptive: Standing
    rejects: bool  # a detector is part of it: joint and robust accuracy differ

    @property
    def non_adaptive(self) -> bool:
        """No attacker who knew the defense has tried."""
        return bool(self.defense) and bool(self.adaptive.missing)


def is_control(rows: pd.DataFrame) -> np.ndarray:
    """Mask (N,) of the lines that are there to test the machinery: random noise, and attacks without a bound."""
    unbounded = (rows["budget"] == "Linf") & (rows["radius_value"] >= UNBOUNDED)
    return (rows["attack"].isin(NOISE) | unbounded).to_numpy(dtype=bool)


def rate_of(values: np.ndarray, rows: pd.DataFrame) -> Rate:
    """The mean of outcomes (N,) in [0, 1] with its interval; NaN = not measured.

    Rows of one cluster (a person; one image under several seeds) are not independent and are resampled together.
    """
    kept = ~np.isnan(values)
    clusters = rows["cluster"].to_numpy()[kept]
    if len(set(clusters)) == int(kept.sum()):
        return rate(values[kept])
    training = rows["training_seed"].to_numpy()[kept]
    found = bootstrap_mean(values[kept], training, clusters, resamples=2000, bounds=(0.0, 1.0))
    return Rate(found.value, found.low, found.high, found.n, float(values[kept].sum()))


def rates_table(rows: pd.DataFrame) -> pd.DataFrame:
    """A line for each attack in its setting, and for the worst case over the attacks of a setting.

    Each rate stands with `_low` and `_high` (95%); `n` is the number of samples with a result, `n_correct` those that
    were right and accepted before. Distances are medians, costs means a sample.
    """
    lines = [
        {**dict(zip(LINE, key, strict=True)), **_measured(cell)}
        for key, cell in rows.groupby(LINE, sort=False, dropna=False)
    ]
    same = [*SETTING, "knowledge", "seed", "training_seed"]
    attacked = rows[(rows["attack"] != "").to_numpy() & ~is_control(rows)]
    for key, group in attacked.groupby(same, sort=False, dropna=False):
        if len(group.drop_duplicates(rates.ATTACK)) > 1:
            head = dict(zip(same, key, strict=True)) | {"attack": WORST_CASE, "attack_args": "", "surrogate": ""}
            lines.append(head | _worst(group))
    columns = [*LINE, "control", "n", "n_correct", "errors"]
    columns += [f"{name}{end}" for name in (*RATES, *FLAGS) for end in ("", "_low", "_high")]
    columns += [f"median_{name}" for name in MEDIANS] + list(COSTS)
    table = pd.DataFrame(lines, columns=columns)
    table["control"] = is_control(table)
    order = [c for c in LINE if c not in ("radius", "attack")]
    last = (table["attack"] == WORST_CASE).astype(int)
    return (
        table.assign(_last=last)
        .sort_values(
            [*order[:5], "budget", "radius_value", "knowledge", "control", "_last", *LINE[8:]], na_position="first"
        )
        .drop(columns="_last")
        .reset_index(drop=True)
    )


def knowledge_matrix(rows: pd.DataFrame) -> list[MatrixLine]:
    """Every defense at every budget against oblivious, transfer and adaptive attackers, undefended first.

    The adaptive column is the worst, per sample, of a portfolio: what knew the defense, and what did not, all judged
    on the whole pipeline.
    """
    attacked = rows[(rows["attack"] != "").to_numpy() & ~is_control(rows)]
    lines = []
    for key, group in attacked.groupby(SETTING, sort=False, dropna=False):
        lines.append(_matrix_line(dict(zip(SETTING, key, strict=True)), group))
    met = {line[:5] for line in lines}
    among = {line[:4] for line in lines}
    for key, group in rows.groupby(SETTING[:5], sort=False, dropna=False):
        # a defense that nothing has attacked is a gap to be seen, not a line to be left out
        if key not in met and (key[:4] in among or not among):
            head = dict(zip(SETTING, (*key, "", "", float("nan")), strict=True))
            lines.append(_matrix_line(head, group))
    return sorted(lines, key=lambda line: (*line[:4], line.budget, line.defense != "", line.defense, line.radius_value))


def _matrix_line(setting: Mapping[str, Any], group: pd.DataFrame) -> MatrixLine:
    group = group[(group["attack"] != "").to_numpy()] if (group["attack"] != "").any() else group
    originals = group.drop_duplicates(rates.SAMPLE)
    known = {name: group[((group["knowledge"] == name) & (group["attack"] != "")).to_numpy()] for name in KNOWLEDGE}
    ours = ~group["attack"].str.startswith(GIVEN).to_numpy()
    if setting["defense"]:
        has_adaptive, reason = len(known["adaptive"]) > 0, "not run"
    else:
        # with no defense there is nothing to know: who attacks the network itself knows all
        has_adaptive, reason = bool((ours & (group["knowledge"] != "transfer")).any()), "no attack saw this network"
    if not ours.all():
        reason = "what the maker of the given images knew is not recorded"
    attacked = group[(group["attack"] != "").to_numpy()]
    return MatrixLine(
        *setting.values(),
        clean=rate_of(rates.outcome(originals, "clean_accuracy"), originals),
        oblivious=_standing(known["oblivious"], "not run"),
        transfer=_standing(known["transfer"], "not run"),
        adaptive=_standing(attacked, reason) if has_adaptive and len(attacked) else Standing(missing=reason),
        rejects=bool(group["clean_rejected"].notna().any()),
    )  # fmt: skip


def _standing(rows: pd.DataFrame, reason: str) -> Standing:
    if len(rows) == 0:
        return Standing(missing=reason)
    joint = rates.worst_case(rows, "joint")
    # where nothing can be rejected the two are one
    rejects = bool(rows["rejected"].notna().any() or rows["clean_rejected"].notna().any())
    robust = rates.worst_case(rows, "robust_accuracy") if rejects else joint
    if joint.rate.n == 0:
        return Standing(missing="no sample has a result under every attack", incomplete=joint.incomplete)
    return Standing(
        rate_of(joint.samples["value"].to_numpy(float), joint.samples),
        rate_of(robust.samples["value"].to_numpy(float), robust.samples),
        tuple(joint.shares["attack"]),
        tuple((str(a), float(alone), float(unique)) for a, alone, _, unique in joint.shares.to_numpy()),
        joint.incomplete,
    )


def _measured(cell: pd.DataFrame) -> dict[str, Any]:
    """The numbers of one cell."""
    done = rates.measured(cell)
    attacked = cell["attack"].iloc[0] != ""
    line: dict[str, Any] = {"n": int(done.sum()), "errors": int((~done).sum())}
    clean = rates.outcome(cell, "clean_accuracy")
    line["n_correct"] = float(np.nansum(clean))
    for name in RATES if attacked else ("clean_accuracy",):
        line |= _three(name, rate_of(rates.outcome(cell, name), cell))
    for name in FLAGS if attacked else ("clean_rejected",):
        line |= _three(name, rate_of(np.where(done, rates.numbers(cell, name), np.nan), cell))
    if attacked:
        line |= {f"median_{name}": _median(np.where(done, rates.numbers(cell, name), np.nan)) for name in MEDIANS}
        line |= {name: float(rates.numbers(cell, name)[done].mean()) if done.any() else float("nan") for name in COSTS}
    return line


def _worst(group: pd.DataFrame) -> dict[str, Any]:
    """The numbers of the worst case over several attacks; its cost is that of all of them."""
    table = rates.by_attack(group, RATES)
    complete = ~np.isnan(table.values[RATES.index("joint")]).any(1)
    samples = table.samples[complete]
    worst = {name: rates.worst_of(v[complete], name) for name, v in zip(RATES, table.values, strict=True)}
    line: dict[str, Any] = {"n": int(complete.sum()), "errors": int((~complete).sum())}
    line["n_correct"] = float(np.nansum(worst["clean_accuracy"]))
    for name, values in worst.items():
        line |= _three(name, rate_of(values, samples))
    for name in COSTS:
        line[name] = float(sum(rates.numbers(one, name).mean() for _, one in group.groupby("cell_key")))
    return line


def _three(name: str, found: Rate) -> dict[str, float]:
    values = (found.value, found.low, found.high)
    return {
        f"{name}{end}": float("nan") if v is None else v for end, v in zip(("", "_low", "_high"), values, strict=True)
    }


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
