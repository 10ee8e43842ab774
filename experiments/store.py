"""The store: `runs/<study>/<cell key>/`, written so that a kill at any moment loses at most one part.

A cell writes parts (`part-00007.parquet`; temporary file, fsync, rename); `finish` merges them into `rows.parquet`
and writes `done.json` last. Attacked images lie under `images/<attack key>/`, as the PNG bytes that are judged, and
serve every cell that has the same ones. No torch here.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from advgen.core import registry
from advgen.core.errors import RunFolder, UserError
from advgen.core.files import write_atomically
from advgen.core.specs import GIVEN, BudgetSpec, Cell, DataSpec, Part, Row
from advgen.experiments.claims_readings import AnyClaim, claim_of
from advgen.experiments.study import Study, written

ROW_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("cell_key", pa.string()),
        ("label", pa.int64()),
        ("wanted", pa.int64()),
        ("clean_prediction", pa.int64()),
        ("clean_rejected", pa.bool_()),
        ("clean_alarm", pa.float64()),
        ("prediction", pa.int64()),
        ("success_float", pa.bool_()),
        ("success_saved", pa.bool_()),
        ("success_jpeg75", pa.bool_()),
        ("success_probability", pa.float64()),
        ("repeats", pa.int64()),
        ("rejected", pa.bool_()),
        ("alarm", pa.float64()),
        ("linf", pa.float64()),
        ("l2", pa.float64()),
        ("l1", pa.float64()),
        ("l0", pa.float64()),
        ("lpips", pa.float64()),
        ("lpips_net", pa.string()),
        ("inside", pa.bool_()),
        ("validity", pa.string()),
        ("forwards", pa.float64()),
        ("backwards", pa.float64()),
        ("generator_calls", pa.float64()),
        ("seconds", pa.float64()),
        ("peak_bytes", pa.int64()),
        ("note", pa.string()),
        ("error", pa.string()),
    ]
)
IMAGE_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("png", pa.binary()),
        ("success_float", pa.bool_()),
        ("forwards", pa.float64()),
        ("backwards", pa.float64()),
        ("generator_calls", pa.float64()),
        ("seconds", pa.float64()),
        ("peak_bytes", pa.int64()),
        ("note", pa.string()),
        ("error", pa.string()),
    ]
)
# Two runs of one study are the same when these agree; time, memory and host never do.
NOT_IDENTITY = ("seconds", "peak_bytes")


class Attacked(NamedTuple):
    """One attacked image as it is saved."""

    sample_id: str
    png: bytes | None  # None when the sample failed
    success_float: bool | None
    forwards: float
    backwards: float
    generator_calls: float
    seconds: float
    peak_bytes: int
    note: str
    error: str


class Store:
    """One run folder of one study."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def begin(self, study: Study, *, plan: Mapping[str, Any], environment: Mapping[str, Any], hash: str) -> None:
        """Creates the folder, or opens one that was begun with the same plan.

        Raises:
            RunFolder: it cannot be written, or belongs to another study.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".writable-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise RunFolder(
                f"the run folder {str(self.folder)!r} cannot be written ({error.strerror}); choose another with --out."
            ) from None
        begun = self.read_json("study.json")
        if begun is not None and begun["name"] != study.name:
            raise RunFolder(
                f"{str(self.folder)!r} holds a run of the study {begun['name']!r}, not of {study.name!r}; "
                "choose another folder with --out."
            )
        if begun is None:
            self.write_json(
                "registered.json",
                {
                    "hash": hash,
                    "question": study.question,
                    "budgets": study.budgets(),
                    "claims": [c.canonical() for c in study.claims],
                },
            )
        self.write_json(
            "study.json",
            {
                "name": study.name,
                "question": study.question,
                "description": study.description,
                "labels": study.labels(),
                "claims": [c.canonical() for c in study.claims],
                "budgets": study.budgets(),
                "study": json.loads(study.model_dump_json(exclude={"claims"})),
            },
        )
        if self.read_json("plan.json") is None:
            self.write_json("plan.json", plan)
        self.write_json("environment.json", environment)

    def claims(self) -> tuple[AnyClaim, ...]:
        """The study's claims, as it was last run."""
        return tuple(claim_of(c) for c in (self.read_json("study.json") or {}).get("claims", ()))

    def budgets(self) -> list[str]:
        """The study's budgets, as it was last run."""
        return list((self.read_json("study.json") or {}).get("budgets", ()))

    @property
    def plan(self) -> dict[str, Any]:
        """Batch size and thread count, kept on resume."""
        return dict(self.read_json("plan.json") or {})

    def is_done(self, key: str) -> bool:
        return (self.folder / key / "done.json").is_file()

    def write_rows(self, key: str, part: int, rows: Iterable[Row]) -> None:
        table = pa.Table.from_pylist([r._asdict() for r in rows], schema=ROW_SCHEMA)
        self.write_table(f"{key}/{_part_name(part)}", table)

    def has_rows(self, key: str, part: int) -> bool:
        return (self.folder / key / _part_name(part)).is_file()

    def write_images(self, key: str, part: int, images: Iterable[Attacked]) -> None:
        table = pa.Table.from_pylist([a._asdict() for a in images], schema=IMAGE_SCHEMA)
        self.write_table(f"images/{key}/{_part_name(part)}", table)

    def read_images(self, key: str, part: int) -> list[Attacked] | None:
        """The attacked images of one part; None when they have not been made."""
        path = self.folder / "images" / key / _part_name(part)
        if not path.is_file():
            return None
        return [Attacked(**record) for record in read_table(path).to_pylist()]

    def find_image(self, key: str, sample_id: str) -> Attacked | None:
        """The attacked image of one sample."""
        for path in sorted((self.folder / "images" / key).glob("part-*.parquet")):
            table = pq.read_table(path, filters=[("sample_id", "=", sample_id)])
            if table.num_rows:
                return Attacked(**table.to_pylist()[0])
        return None

    def images(self, key: str) -> Iterator[Attacked]:
        """Every attacked image of an attack key, part by part."""
        for path in sorted((self.folder / "images" / key).glob("part-*.parquet")):
            for record in read_table(path).to_pylist():
                yield Attacked(**record)

    def finish(self, key: str, cell: Cell, meta: Mapping[str, Any]) -> None:
        """Merges the parts of a cell; `done.json` comes last."""
        folder = self.folder / key
        parts = sorted(folder.glob("part-*.parquet"))
        merged = pa.concat_tables([read_table(p) for p in parts]) if parts else ROW_SCHEMA.empty_table()
        self.write_table(f"{key}/rows.parquet", merged)
        self.write_json(f"{key}/meta.json", meta)
        self.write_json(f"{key}/done.json", {"rows": merged.num_rows, "cell": cell_to_json(cell)})
        for path in parts:
            path.unlink()

    def cells(self) -> Iterator[tuple[str, Cell, dict[str, Any]]]:
        """Key, cell and meta of every finished attack cell; measurements stand in `store_readings`."""
        for done in sorted(self.folder.glob("*/done.json")):
            key, told = done.parent.name, json.loads(done.read_text())
            if "cell" in told:
                yield key, cell_from_json(told["cell"]), dict(self.read_json(f"{key}/meta.json") or {})

    def stand_ins(self) -> dict[str, str]:
        """What stood in for what, here or in any worker: name of the published thing -> name of ours."""
        found = dict(self.read_json("stand_ins.json") or {})
        for meta in self.folder.glob("*/meta.json"):
            found |= (self.read_json(f"{meta.parent.name}/meta.json") or {}).get("stand_ins", {})
        return found

    def rows(self, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """All rows of the finished cells (of `keys`, if given), each with its cell's columns."""
        wanted = None if keys is None else set(keys)
        clusters: dict[str, str] = self.read_json("clusters.json") or {}
        labels: dict[str, str] = (self.read_json("study.json") or {}).get("labels", {})
        frames = []
        for key, cell, meta in self.cells():
            if wanted is not None and key not in wanted:
                continue
            table = read_table(self.folder / key / "rows.parquet")
            frame = table.to_pandas(types_mapper=_nullable)
            for column, value in cell_columns(cell, labels, meta).items():
                frame[column] = value
            frame["cluster"] = [clusters.get(i, i) for i in frame["sample_id"]]
            frames.append(frame)
        if not frames:
            raise RunFolder(f"{str(self.folder)!r} holds no finished cell; run the study first.")
        return pd.concat(frames, ignore_index=True)

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str)
        self.write_bytes(name, text.encode())

    def read_json(self, name: str) -> Any:
        """The value of a JSON file of the run; None when there is none.

        Raises:
            RunFolder: it is there and cannot be read.
        """
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
            raise RunFolder(f"{str(path)!r} cannot be read ({error}); remove it and run the study again.") from None

    def write_table(self, name: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write_bytes(name, sink.getvalue().to_pybytes())

    def write_bytes(self, name: str, data: bytes) -> None:
        """A file of the run, whole or not there."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
        except (OSError, UserError) as error:
            raise RunFolder(
                f"{str(error).rstrip('.')}; what was finished before is kept, and the same command goes on from there."
            ) from None


def open_run(folder: str | Path) -> Store:
    """The store of a run that exists.

    Raises:
        RunFolder: there is none.
    """
    store = Store(folder)
    if store.read_json("study.json") is None:
        raise RunFolder(
            f"{str(folder)!r} is not a run folder: it has no study.json; give the folder that `run` printed."
        )
    return store


def cell_columns(cell: Cell, labels: Mapping[str, str], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a cell gives to each of its rows."""
    args = dict(cell.attack.args) if cell.attack else {}
    stop = access = ""
    if cell.attack and not cell.attack.name.startswith(GIVEN):
        attack = registry.describe("attacks", cell.attack.name)
        access = str(attack.literals.get("access", ""))
        if any(f.name == "stop" for f in attack.fields):
            stop = str(args.get("stop", registry.defaults("attacks", cell.attack.name)["stop"]))
    defense = written(cell.defense)
    return {
        "data": str(cell.data.name),
        "split": cell.data.split,
        "target": labels.get(str(cell.target), str(cell.target)),
        "goal": str(cell.goal),
        "attack": cell.attack.name if cell.attack else "",
        "attack_args": json.dumps(args, sort_keys=True) if args else "",
        "budget": cell.budget.name if cell.budget else "",
        "radius": cell.budget.radius if cell.budget else "",
        "radius_value": cell.budget.value if cell.budget else float("nan"),
        "defense": labels.get(defense, "+".join(labels.get(str(p), str(p)) for p in cell.defense)),
        "knowledge": cell.knowledge,
        "surrogate": labels.get(str(cell.surrogate), str(cell.surrogate)) if cell.surrogate else "",
        "seed": cell.seed,
        "stop": stop,
        "access": "transfer" if cell.knowledge == "transfer" else access,
        "training_seed": int(meta.get("training_seed", -1)),
    }


def cell_to_json(cell: Cell) -> Any:
    return json.loads(json.dumps(cell))


def cell_from_json(value: Any) -> Cell:
    def part(text: Any) -> Part | None:
        return None if text is None else Part(text[0], tuple((k, v) for k, v in text[1]))

    data, target, goal, attack, budget, defense, knowledge, surrogate, seed, repeats = value
    return Cell(
        DataSpec(*data[:4], tuple((k, v) for k, v in data[4])),
        part(target) or Part(""),
        part(goal) or Part(""),
        part(attack),
        None if budget is None else BudgetSpec(*budget),
        tuple(part(p) or Part("") for p in defense),
        knowledge,
        part(surrogate),
        seed,
        repeats,
    )


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed run left half-written beside its parts."""
    for left in folder.rglob(".*.part"):
        left.unlink(missing_ok=True)


def _part_name(part: int) -> str:
    return f"part-{part:05d}.parquet"


def read_table(path: Path) -> pa.Table:
    """A Parquet file of a run.

    Raises:
        RunFolder: it cannot be read.
    """
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise RunFolder(f"{str(path)!r} cannot be read ({error}); remove it and run the study again.") from None


def _nullable(kind: pa.DataType) -> Any:
    """Whole numbers and truths keep their type beside missing values."""
    if pa.types.is_boolean(kind):
        return pd.BooleanDtype()
    if pa.types.is_int64(kind):
        return pd.Int64Dtype()
    return None
