"""From a run to what its checks need: evidence gathered from rows, notes, metas and probes. No torch."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from advgen.core import registry
from advgen.core.specs import Cell, Part
from advgen.experiments import store_readings
from advgen.experiments.checks import Checked, run_checks
from advgen.experiments.claims import Verdict, is_post_hoc
from advgen.experiments.columns import COLUMNS
from advgen.experiments.evidence import Audit, Calibration, CheckWarning, Count, Evidence, Generators, Nets
from advgen.experiments.store import Store, cell_columns
from advgen.experiments.study import written
from advgen.experiments.verdicts import Read, decide


class Observed(NamedTuple):
    """Everything that a report tells of a run."""

    rows: pd.DataFrame
    read: Read
    verdicts: list[Verdict]
    checks: Checked


def observe(store: Store) -> Observed:
    """Rows, readings, verdicts on the claims and checks of a run."""
    wanted = store.read_json("cells.json")
    attacked = any(wanted is None or key in wanted for key, _, _ in store.cells())
    rows = store.rows(wanted) if attacked else pd.DataFrame(columns=list(COLUMNS))
    units = {name: q.unit for one in store_readings.measurements(store) for name, q in one.quantities.items()}
    read = Read(store_readings.readings(store), store_readings.curves(store), units)
    claims = store.claims()
    study = store.read_json("study.json")
    registered = store.read_json("registered.json") or {}
    post_hoc = is_post_hoc(registered.get("hash"), study["question"], claims, store.budgets())
    verdicts = decide(rows, claims, read=read, post_hoc=post_hoc)
    attacks = attacked or bool(study["study"].get("grids"))
    return Observed(rows, read, verdicts, run_checks(rows, evidence_of(store, rows, verdicts), attacks=attacks))


def evidence_of(store: Store, rows: pd.DataFrame, verdicts: list[Verdict]) -> Evidence:
    """What the rows do not hold."""
    probes = store.read_json("probes.json") or {}
    labels: Mapping[str, str] = (store.read_json("study.json") or {}).get("labels", {})
    cells = {key: (cell, meta) for key, cell, meta in store.cells() if key in set(rows["cell_key"])}
    notes = _notes(rows)
    return Evidence(
        late_gain=_late(notes),
        restart_gain=_restarts(rows, cells),
        zero_gradients=_counts(notes, "zero_gradient"),
        nonfinite_gradients=_counts(notes, "bad_gradient"),
        saturated_logits=_by_target(cells, probes, labels, lambda p: Count(p["saturated"], p["n"])),
        softmax_logits=_by_target(cells, probes, labels, lambda p: bool(p["softmax"])),
        answers_differ=_pipelines(cells, probes, labels),
        plain_baseline=_by_data(cells, probes, "baseline", max),
        shared_images=_by_data(cells, probes, "shared", sum),
        calibrations=_calibrations(cells),
        nets=_nets(cells),
        stand_ins=[f"{new} for {old}" for old, new in sorted(store.stand_ins().items())],
        generators=_generators(cells, probes),
        leak_audits=_leak_audits(cells, probes),
        certified=_certified(cells, probes),
        verdicts=verdicts,
    )


def warnings_of(store: Store) -> list[CheckWarning]:
    """The warnings that a run raises."""
    return list(observe(store).checks.warnings)


Cells = Mapping[str, tuple[Cell, Mapping[str, Any]]]


def _notes(rows: pd.DataFrame) -> pd.DataFrame:
    """The attacks' own columns, a line a row that has them, beside its cell and its success."""
    noted = rows[rows["note"].fillna("") != ""]
    table = pd.DataFrame([json.loads(n) for n in noted["note"]], index=noted.index)
    table["cell_key"] = noted["cell_key"]
    table["success"] = noted["success_saved"].fillna(False).astype(bool)
    return table


def _late(notes: pd.DataFrame) -> dict[str, Count] | None:
    """Samples that were first won in the last quarter of the steps."""
    if "reached_early" not in notes:
        return None
    told = notes[notes["reached_early"].notna()]
    late = told["success"] & ~told["reached_early"].astype(bool)
    return {str(key): Count(int(one.sum()), len(one)) for key, one in late.groupby(told["cell_key"])}


def _counts(notes: pd.DataFrame, column: str) -> dict[str, Count] | None:
    if column not in notes:
        return None
    told = notes[notes[column].notna()]
    return {
        str(key): Count(int(one.astype(bool).sum()), len(one)) for key, one in told[column].groupby(told["cell_key"])
    }


def _restarts(rows: pd.DataFrame, cells: Cells) -> dict[str, Count] | None:
    """Samples won with ten times the restarts only, wherever a study has both cells."""
    groups: dict[Any, list[tuple[int, str]]] = defaultdict(list)
    for key, (cell, _) in cells.items():
        if cell.attack is not None:
            args = dict(cell.attack.args)
            restarts = args.pop("restarts", 1)
            without = cell._replace(attack=Part.of(cell.attack.name, args))
            groups[without].append((int(restarts or 1), key))
    won = {
        str(key): one.set_index("sample_id")["success_saved"].fillna(False).astype(bool)
        for key, one in rows.groupby("cell_key")
    }
    found = {}
    for same in groups.values():
        few, many = min(same), max(same)
        if many[0] >= 10 * few[0]:
            both = pd.concat([won[few[1]], won[many[1]]], axis=1, keys=["few", "many"]).dropna()
            found[few[1]] = Count(int((both["many"] & ~both["few"]).sum()), len(both))
    return found or None


def _by_target(cells: Cells, probes: Mapping[str, Any], labels: Mapping[str, str], read: Any) -> dict[str, Any] | None:
    found = {}
    for cell, _ in cells.values():
        probe = probes.get("targets", {}).get(f"{cell.data}|{cell.target}")
        if probe is not None:
            found[labels.get(str(cell.target), str(cell.target))] = read(probe)
    return found or None


def _pipelines(cells: Cells, probes: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, bool] | None:
    found = {}
    for cell, meta in cells.values():
        probe = probes.get("pipelines", {}).get(f"{cell.data}|{cell.target}|{written(cell.defense)}")
        if probe is not None:
            columns = cell_columns(cell, labels, meta)
            name = columns["target"] + (f" + {columns['defense']}" if columns["defense"] else "")
            found[name] = bool(probe["differs"])
    return found or None


def _by_data(cells: Cells, probes: Mapping[str, Any], what: str, join: Any) -> dict[str, Any] | None:
    found: dict[str, list[Any]] = defaultdict(list)
    for spec in dict.fromkeys(cell.data for cell, _ in cells.values()):
        probe = probes.get("data", {}).get(str(spec), {})
        if what in probe:
            found[spec.name].append(probe[what])
    return {name: join(values) for name, values in found.items()} or None


def _calibrations(cells: Cells) -> list[Calibration] | None:
    found = {
        Calibration(written(cell.defense), alarm["calibrated_on"], str(meta["hashes"]["data"]))
        for cell, meta in cells.values()
        for alarm in meta.get("alarms", [])
    }
    return sorted(found) or None


def _nets(cells: Cells) -> dict[str, Nets] | None:
    found = {key: Nets(m["attack_net"], m["judge_net"]) for key, (_, m) in cells.items() if m.get("attack_net")}
    return found or None


def _generators(cells: Cells, probes: Mapping[str, Any]) -> dict[str, Generators] | None:
    """What each detector of generated images learned from, and what it is tested on: controls, and attacked images."""
    found: dict[str, Generators] = {}
    for cell, _ in cells.values():
        maker = probes.get("makers", {}).get(f"{cell.data}|{cell.attack}")
        for part in (*cell.defense, cell.target):
            told = probes.get("fakes", {}).get(f"{cell.data}|{part}")
            if told is not None:
                before = found.get(str(part), Generators(frozenset(), frozenset()))
                shown = {maker} | ({_weights_of(cell)} if cell.data.name == "generated" else set())
                tested = before.tested | set(told["tested"]) | {str(name) for name in shown if name}
                found[str(part)] = Generators(before.trained | set(told["trained"]), tested)
    return found or None


def _weights_of(cell: Cell) -> str | None:
    """The generator of generated data."""
    return {**registry.defaults("data", cell.data.name), **dict(cell.data.args)}.get("weights")


def _leak_audits(cells: Cells, probes: Mapping[str, Any]) -> dict[str, Audit] | None:
    found = {}
    for cell, _ in cells.values():
        for part in (*cell.defense, cell.target):
            told = probes.get("fakes", {}).get(f"{cell.data}|{part}")
            if told is not None:
                area = told["leaks"]["together"]
                found[f"{cell.data.name}, as {part} learns them"] = Audit(area["value"], area["low"], area["high"])
    return found or None


def _certified(cells: Cells, probes: Mapping[str, Any]) -> dict[str, frozenset[str]] | None:
    found = {}
    for key, (cell, _) in cells.items():
        if cell.attack is None or cell.budget is None or cell.defense:
            continue
        ids = probes.get("certified", {}).get(f"{cell.data}|{cell.target}|{cell.budget.radius}")
        if ids is not None:
            found[key] = frozenset(ids)
    return found or None
