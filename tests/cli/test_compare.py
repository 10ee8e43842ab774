"""`advgen compare`: what it prints, and when it fails under --strict."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advgen.cli.main import main
from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part, Row
from advgen.experiments.store import ROW_SCHEMA, Store
from advgen.experiments.study import parse


@pytest.fixture
def run(tmp_path: Path) -> Path:
    study = parse({"name": "s", "question": "?", "grids": [{"data": [{"name": "digits"}], "targets": ["net"]}]}, "here")
    store = Store(tmp_path / "first")
    store.begin(study, plan={"batch_size": 64, "threads": 1}, environment={}, hash="0")
    cell = Cell(DataSpec("digits"), Part("net"), attack=Part("image/pgd"), budget=BudgetSpec("Linf", "8/255"))
    rows = [Row(f"digits/test/{i}", "k", 0, clean_prediction=0, prediction=0, success_saved=False) for i in range(9)]
    store.write_rows("k", 0, rows)
    store.finish("k", cell, {})
    return store.folder


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "second"
    shutil.copytree(run, folder)
    lines = pq.read_table(folder / "k" / "rows.parquet").to_pylist()
    lines[4]["prediction"] = 7
    pq.write_table(pa.Table.from_pylist(lines, schema=ROW_SCHEMA), folder / "k" / "rows.parquet")
    return folder


def test_equal_runs_agree(run, capsys):
    assert main(["compare", str(run), str(run), "--strict"]) == 0
    said = capsys.readouterr().out
    assert "9 of their 9 rows agree" in said
    assert "They agree." in said


def test_a_difference_is_shown_and_fails_under_strict_alone(run, other, capsys):
    assert main(["compare", str(run), str(other)]) == 0
    said = capsys.readouterr().out
    assert "8 of their 9 rows agree" in said
    assert "digits/test/4" in said
    assert "prediction" in said
    assert main(["compare", str(run), str(other), "--strict"]) == 1


def test_json_names_the_difference(run, other, capsys):
    assert main(["compare", str(run), str(other), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["agree"] is False
    (difference,) = found["differences"]
    assert (difference["sample_id"], difference["column"], difference["first"], difference["second"]) == (
        "digits/test/4", "prediction", 0, 7,
    )  # fmt: skip


def test_one_run_alone_is_refused(run, capsys):
    assert main(["compare", str(run)]) == 2
    assert "two runs or more" in capsys.readouterr().err
