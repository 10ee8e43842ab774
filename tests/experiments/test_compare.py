"""Two runs side by side: identity row by row, differences by paired tests."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part, Row
from advgen.experiments.compare import compare, significant
from advgen.experiments.stats import mcnemar
from advgen.experiments.store import ROW_SCHEMA, Store
from advgen.experiments.study import parse

BUDGET = BudgetSpec("Linf", "8/255")


def write(folder: Path, *, defense: str = "purify/jpeg", share: float = 0.5, key: str = "a", n: int = 80) -> Store:
    """A baseline and one attacked cell behind a defense; the attack breaks a share of the images."""
    study = parse(
        {
            "name": "two",
            "question": "?",
            "grids": [{"data": [{"name": "digits", "count": n}], "targets": ["net"], "defenses": [defense]}],
        },
        "here",
    )
    store = Store(folder)
    env = {"versions": {"torch": "2"}, "device": "cpu", "commit": key}
    store.begin(study, plan={"batch_size": 64, "threads": 1}, environment=env, hash="0")
    base = Cell(DataSpec("digits", "test", n), Part("net"), defense=(Part(defense),))
    for k, cell in enumerate((base, base._replace(attack=Part("image/pgd"), budget=BUDGET))):
        rows = []
        for i in range(n):
            broken = k == 1 and i < share * n
            rows.append(
                Row(f"digits/test/{i}", f"{key}{k}", 0, clean_prediction=0, prediction=int(broken),
                    success_saved=broken, success_probability=float(broken), linf=0.03, inside=True,
                    seconds=float(np.random.default_rng().random()))
            )  # fmt: skip
        store.write_rows(f"{key}{k}", 0, rows)
        store.finish(f"{key}{k}", cell, {"hashes": {"data": "d"}})
    return store


def planted(store: Store, folder: Path, **change: Any) -> Store:
    """A copy of a run in which row 5 of the attacked cell is changed."""
    shutil.copytree(store.folder, folder)
    path = folder / "a1" / "rows.parquet"
    lines = pq.read_table(path).to_pylist()
    lines[5].update(change)
    pq.write_table(pa.Table.from_pylist(lines, schema=ROW_SCHEMA), path)
    return Store(folder)


def test_a_run_agrees_with_itself_made_again_whatever_its_seconds(tmp_path):
    found = compare(write(tmp_path / "a"), write(tmp_path / "b"))
    assert found.agree
    assert found.same_study
    assert (found.shared_cells, found.rows, found.differing_rows) == (2, 160, 0)


@pytest.mark.parametrize(
    ("column", "value"), [("prediction", 4), ("success_saved", None), ("linf", 0.0301), ("error", "x"), ("alarm", 0.1)]
)
def test_a_planted_difference_is_found_and_named(tmp_path, column, value):
    first = write(tmp_path / "a")
    found = compare(first, planted(first, tmp_path / "b", **{column: value}))
    assert not found.agree
    assert [(d.sample_id, d.column, d.second) for d in found.differences] == [("digits/test/5", column, value)]
    assert "image/pgd" in found.differences[0].cell


def test_seconds_and_memory_are_no_identity(tmp_path):
    first = write(tmp_path / "a")
    assert compare(first, planted(first, tmp_path / "b", seconds=99.0, peak_bytes=7)).agree


def test_a_missing_cell_of_one_study_is_no_agreement(tmp_path):
    first = write(tmp_path / "a")
    shutil.copytree(first.folder, tmp_path / "b")
    (tmp_path / "b" / "a1" / "done.json").unlink()
    found = compare(first, Store(tmp_path / "b"))
    assert not found.agree
    assert len(found.only_first) == 1


def test_two_defenses_are_compared_image_by_image(tmp_path):
    found = compare(write(tmp_path / "a", share=0.5), write(tmp_path / "b", defense="purify/dae", share=0.2, key="b"))
    assert not found.same_study
    clean, attacked = sorted(found.pairs, key=lambda p: "pgd" in p.cell)
    assert not significant(clean)
    assert significant(attacked)
    assert not found.agree
    assert attacked.difference.value == pytest.approx(-0.3)
    assert (attacked.first.value, attacked.second.value) == (0.5, 0.8)
    broken = [np.arange(80) < share * 80 for share in (0.5, 0.2)]
    assert attacked.p == pytest.approx(2 * mcnemar(*broken))  # Holm over two cells
    assert "purify/jpeg | purify/dae" in attacked.cell


def test_runs_that_differ_by_chance_alone_agree(tmp_path):
    found = compare(write(tmp_path / "a", share=0.5), write(tmp_path / "b", defense="purify/dae", share=0.51, key="b"))
    assert len(found.pairs) == 2
    assert found.agree


def test_what_the_runs_were_made_with_is_told_where_it_differs(tmp_path):
    found = compare(write(tmp_path / "a"), write(tmp_path / "b", defense="purify/dae", key="b"))
    assert found.notices == ("commit: a | b",)


def test_other_images_under_the_same_name_are_told(tmp_path):
    first = write(tmp_path / "a")
    second = write(tmp_path / "b", key="b")
    for key, _, _ in list(second.cells()):
        second.write_json(f"{key}/meta.json", {"hashes": {"data": "other"}})
    assert any("are not the same in both runs" in notice for notice in compare(first, second).notices)


def test_missing_values_equal_missing_values(tmp_path):
    first = write(tmp_path / "a")
    assert first.rows()["alarm"].isna().all()
    assert compare(first, first).agree
