"""One sample's whole way: what each pipeline said of it clean, what each attack made of it, what was read of it."""

from typing import Any, NamedTuple

import pandas as pd

from advgen.core.errors import UnknownName
from advgen.experiments import rates
from advgen.experiments.report import words
from advgen.experiments.report.run import RunView
from advgen.experiments.tables import is_control


class Step(NamedTuple):
    """What one cell did to the sample; None = not measured."""

    cell_key: str
    data: str
    target: str
    defense: str
    attack: str  # with its arguments; "clean" = the baseline
    budget: str
    knowledge: str
    control: bool
    label: str
    clean_prediction: str
    clean_right: bool | None
    prediction: str
    success_float: bool | None
    success_saved: bool | None
    success_jpeg75: bool | None
    success_probability: float | None
    repeats: int | None
    rejected: bool | None
    alarm: float | None
    linf: float | None
    l2: float | None
    lpips: float | None
    inside: bool | None
    forwards: float | None
    backwards: float | None
    seconds: float | None
    note: str
    error: str


def way(view: RunView, sample_id: str) -> list[Step]:
    """Every attack cell's row of one sample, pipeline by pipeline, the baseline first; none where it was only read.

    Raises:
        UnknownName: no such sample; says the nearest.
    """
    rows = view.rows
    mine = rows[rows["sample_id"] == sample_id] if len(rows) else rows
    if not len(mine) and read(view, sample_id):
        return []
    if not len(mine):
        known = sorted({*(rows["sample_id"] if len(rows) else ()), *_readings(view)["sample_id"]})
        raise UnknownName.among("sample", sample_id, known, f"(of {len(known)} samples in {view.store.folder})")
    mine = mine.assign(_control=is_control(mine))
    order = ["data", "target", "defense", "attack", "_control", "knowledge", "attack_args", "budget", "radius_value"]
    mine = mine.sort_values(order, na_position="first")
    right = rates.outcome(mine, "clean_accuracy")
    return [_step(view, line, float(ok)) for (_, line), ok in zip(mine.iterrows(), right, strict=True)]


def read(view: RunView, sample_id: str) -> list[dict[str, Any]]:
    """What each measurement read of one sample: measure, label, arm, seed, and its quantities."""
    mine = _readings(view)
    mine = mine[mine["sample_id"] == sample_id]
    found = []
    for (measure, label, arm, seed), some in mine.groupby(["measure", "label", "arm", "seed"], sort=False):
        own = {"measure": measure, "label": label, "arm": arm, "seed": seed}
        found.append(own | {q: _plain(v) for q, v in zip(some["quantity"], some["value"], strict=True)})
    return found


def _readings(view: RunView) -> pd.DataFrame:
    return pd.DataFrame({"sample_id": []}) if view.observed is None else view.observed.read.readings


def _step(view: RunView, line: pd.Series, right: float) -> Step:
    classes = view.classes(str(line["cell_key"]))
    knows = line["attack"] and (line["defense"] or line["surrogate"])
    told = f"{line['knowledge']}{' from ' + line['surrogate'] if line['surrogate'] else ''}" if knows else ""
    plain = {name: _plain(line[name]) for name in Step._fields if name in line.index}
    return Step(
        **plain
        | {
            "attack": words.attack(line["attack"], line["attack_args"]),
            "budget": words.budget(line["budget"], line["radius"]) if line["attack"] else "",
            "knowledge": told,
            "control": bool(line["_control"]),
            "label": words.prediction(_plain(line["label"]), classes),
            "clean_prediction": words.prediction(_plain(line["clean_prediction"]), classes),
            "clean_right": None if right != right else bool(right),
            "prediction": words.prediction(_plain(line["prediction"]), classes),
            "note": line["note"] or "",
            "error": line["error"] or "",
        }
    )


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value != value:
        return None
    return value.item() if hasattr(value, "item") else value
