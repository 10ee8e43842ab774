"""Measurements in a run folder: `runs/<study>/<key>/` with readings, curves and pictures; `done.json` comes last.

While it runs, a measurement has the folder `<key>/work` for what must outlive a kill; it is removed in the end.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from advgen.experiments.measured import Measured, Quantity
from advgen.experiments.measurement import Measurement, from_plain, to_plain
from advgen.experiments.store import Store, read_table

READING_SCHEMA = pa.schema(
    [("sample_id", pa.string()), ("quantity", pa.string()), ("value", pa.float64()), ("cluster", pa.string())]
)
CURVE_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("curve", pa.int64()),
        ("x_quantity", pa.string()),
        ("y_quantity", pa.string()),
        ("x", pa.float64()),
        ("y", pa.float64()),
    ]
)
CELL_COLUMNS = ("cell_key", "measure", "label", "arm", "seed", "args")
READING_COLUMNS = (*CELL_COLUMNS, *READING_SCHEMA.names, "timing")
CURVE_COLUMNS = (*CELL_COLUMNS, *CURVE_SCHEMA.names)


class Stored(NamedTuple):
    """A finished measurement."""

    key: str
    measurement: Measurement
    meta: dict[str, Any]

    @property
    def quantities(self) -> dict[str, Quantity]:
        """What was read, in the order in which the measure declares it."""
        return {q[0]: Quantity(*q) for q in self.meta["quantities"]}


def work_folder(store: Store, key: str) -> Path:
    """Where a measurement keeps what must outlive a kill."""
    folder = store.folder / key / "work"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def finish(store: Store, key: str, measurement: Measurement, measured: Measured, meta: Mapping[str, Any]) -> None:
    """Writes a measurement; whatever is there already is from a kill between two of these lines."""
    readings = [r._replace(cluster=r.cluster or r.sample_id)._asdict() for r in measured.readings]
    store.write_table(f"{key}/readings.parquet", pa.Table.from_pylist(readings, schema=READING_SCHEMA))
    points = [
        (c.sample_id, k, c.x, c.y, float(x), float(y)) for k, c in enumerate(measured.curves) for x, y in c.points
    ]
    columns = list(zip(*points, strict=True)) or [()] * len(CURVE_SCHEMA)
    store.write_table(f"{key}/curves.parquet", pa.table([pa.array(c) for c in columns], schema=CURVE_SCHEMA)
                      if points else CURVE_SCHEMA.empty_table())  # fmt: skip
    captions = {f"{k:03d}.png": p.caption for k, p in enumerate(measured.pictures)}
    for name, picture in zip(captions, measured.pictures, strict=True):
        store.write_bytes(f"{key}/pictures/{name}", picture.png)
    about = {
        **meta,
        "pictures": captions,
        "notes": list(measured.notes),
        "stand_ins": {**meta.get("stand_ins", {}), **measured.stand_ins},
    }
    store.write_json(f"{key}/meta.json", about)
    store.write_json(f"{key}/done.json", {"readings": len(readings), "measurement": to_plain(measurement)})
    (store.folder / key / "failed.json").unlink(missing_ok=True)
    shutil.rmtree(store.folder / key / "work", ignore_errors=True)


def fail(store: Store, key: str, measurement: Measurement, sentence: str, trace: str) -> None:
    """Writes down why a measurement broke off; the same command tries it again."""
    told = {"measurement": to_plain(measurement), "error": sentence, "trace": trace}
    store.write_json(f"{key}/failed.json", told)


def forget_failures(store: Store) -> None:
    """What broke off is about to be tried again."""
    for path in store.folder.glob("*/failed.json"):
        path.unlink(missing_ok=True)


def failures(store: Store) -> list[tuple[str, str]]:
    """Measurements that broke off and were not done since, each with its sentence."""
    found = []
    for path in sorted(store.folder.glob("*/failed.json")):
        if not (path.parent / "done.json").is_file():
            told = store.read_json(f"{path.parent.name}/failed.json")
            found.append((str(from_plain(told["measurement"])), str(told["error"])))
    return found


def measurements(store: Store) -> Iterator[Stored]:
    """Every finished measurement of the last command, in the order of the study."""
    wanted = store.read_json("cells.json")
    for done in sorted(store.folder.glob("*/done.json"), key=lambda p: _place(wanted, p.parent.name)):
        key = done.parent.name
        if wanted is not None and key not in wanted:
            continue
        told = json.loads(done.read_text(encoding="utf-8"))
        if "measurement" in told:
            yield Stored(key, from_plain(told["measurement"]), dict(store.read_json(f"{key}/meta.json") or {}))


def readings(store: Store) -> pd.DataFrame:
    """A line for each reading, with the columns of its measurement; no line where nothing was measured."""
    frames = []
    for one in measurements(store):
        frame = read_table(store.folder / one.key / "readings.parquet").to_pandas()
        timing = {about.name for about in one.quantities.values() if about.timing}
        frames.append(_with_cell(frame, one).assign(timing=frame["quantity"].isin(timing).to_numpy()))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(READING_COLUMNS))


def curves(store: Store) -> pd.DataFrame:
    """A line for each point of each curve, with the columns of its measurement."""
    tables = [(one, read_table(store.folder / one.key / "curves.parquet")) for one in measurements(store)]
    frames = [_with_cell(table.to_pandas(), one) for one, table in tables if table.num_rows]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(CURVE_COLUMNS))


def pictures(store: Store, one: Stored) -> list[tuple[bytes, str]]:
    """The pictures of a measurement, each with its caption."""
    folder = store.folder / one.key / "pictures"
    return [((folder / name).read_bytes(), caption) for name, caption in sorted(one.meta.get("pictures", {}).items())]


def _with_cell(frame: pd.DataFrame, one: Stored) -> pd.DataFrame:
    told, args = one.measurement, json.dumps(one.meta["arguments"], sort_keys=True)
    values = (one.key, told.measure.name, told.label, told.arm, told.seed, args)
    cell = {name: np.full(len(frame), value, dtype=object) for name, value in zip(CELL_COLUMNS, values, strict=True)}
    return pd.DataFrame(cell).join(frame)


def _place(wanted: list[str] | None, key: str) -> tuple[int, str]:
    return (wanted.index(key) if wanted and key in wanted else 0, key)
