"""Running: rows that do not depend on how the work was cut, killed or spread."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from advgen.core.device import choose
from advgen.experiments.assemble import Assembly
from advgen.experiments.run import run
from advgen.experiments.store import NOT_IDENTITY, Store
from advgen.experiments.study import parse

BRIGHT = 0.345  # as in the failing network


def rows_of(store: Store) -> pd.DataFrame:
    """Rows in a fixed order, without what may differ between two equal runs."""
    rows = store.rows().drop(columns=list(NOT_IDENTITY))
    return rows.sort_values(["cell_key", "sample_id"], ignore_index=True)


def run_small(text: dict[str, Any], folder: Path, **options: Any) -> Store:
    return run(parse(text, "here"), folder, device="cpu", **options)


def test_every_cell_ends_with_a_row_for_each_sample(small_study, tmp_path):
    store = run_small(small_study, tmp_path / "run")
    rows = store.rows()
    assert (rows.groupby("cell_key")["sample_id"].nunique() == 24).all()
    assert set(rows["attack"]) == {"", "image/pgd", "image/noise"}
    assert (rows["error"] == "").all()


def test_the_same_study_again_does_no_work_and_changes_nothing(small_study, tmp_path):
    first = rows_of(run_small(small_study, tmp_path / "run"))
    told = []
    again = rows_of(run_small(small_study, tmp_path / "run", tell=told.append))
    assert all(progress.was_there for progress in told)
    pd.testing.assert_frame_equal(first, again)


def test_rows_are_the_same_whatever_the_batch_size(small_study, tmp_path):
    rows = [rows_of(run_small(small_study, tmp_path / str(size), batch_size=size)) for size in (1, 7, 24)]
    for other in rows[1:]:
        discrete = ["sample_id", "cell_key", "prediction", "success_saved", "inside", "linf"]
        pd.testing.assert_frame_equal(rows[0][discrete], other[discrete])


def test_oblivious_images_are_made_once_and_judged_behind_each_defense(small_study, tmp_path):
    store = run_small(small_study, tmp_path / "run")
    keys = {meta["attack_key"] for _, cell, meta in store.cells() if cell.attack and cell.knowledge == "oblivious"}
    oblivious = [
        c for _, c, _ in store.cells() if c.attack and c.attack.name == "image/pgd" and c.knowledge == "oblivious"
    ]
    bounded = [c for c in oblivious if c.budget.radius == "16/255"]
    assert len(bounded) == 2
    assert len(keys) == 3  # PGD at the budget, PGD unbounded, noise


@pytest.mark.slow
def test_two_workers_give_the_rows_of_one(small_study, tmp_path):
    alone = rows_of(run_small(small_study, tmp_path / "one"))
    together = rows_of(run_small(small_study, tmp_path / "two", workers=2))
    pd.testing.assert_frame_equal(alone, together)


def test_a_sample_that_fails_is_a_row_with_its_error_and_the_others_go_on(small_study, network_file, tmp_path):
    small_study["grids"][0]["targets"] = [f"{network_file}:failing"]
    small_study["grids"][0]["controls"] = False
    data = parse(small_study, "here").grids[0].data[0].spec()
    bright = int((Assembly(choose("cpu")).slice(data).images.mean((1, 2, 3)) > BRIGHT).sum())
    assert 0 < bright < 24
    rows = run_small(small_study, tmp_path / "run").rows()
    attacked = rows[rows["attack"] == "image/pgd"]
    failed = attacked[attacked["error"] != ""]
    assert (failed.groupby("cell_key").size() >= bright).all()
    assert failed["error"].str.contains("this image is refused").all()
    assert failed["success_saved"].isna().all()
    assert attacked.loc[attacked["error"] == "", "success_saved"].notna().all()


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_in_the_rows_of_an_undisturbed_run(small_study, tmp_path):
    undisturbed = rows_of(run_small(small_study, tmp_path / "whole", batch_size=4))
    # A fork of this process has torch loaded already; one thread, or its first forward would hang.
    assert torch.get_num_threads() == 1
    context = multiprocessing.get_context("fork")
    moments = random.Random(0)
    folder = tmp_path / "killed"
    killed = 0
    for _ in range(10):
        child = context.Process(target=run_small, args=(small_study, folder), kwargs={"batch_size": 4})
        child.start()
        # Some files further, and a moment later: anywhere in the making of the next one.
        wanted = written(folder) + moments.randint(1, 8)
        while child.is_alive() and written(folder) < wanted:
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.03))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
    assert killed == 10, "the run ended before it could be killed ten times"
    resumed = rows_of(run_small(small_study, folder, batch_size=4))
    pd.testing.assert_frame_equal(undisturbed, resumed)
    assert not list(folder.rglob(".*.part"))


def written(folder: Path) -> int:
    """Files that any child has renamed into place; merged parts count on through their images."""
    return len(list(folder.rglob("*.parquet"))) + len(list(folder.rglob("*.json")))


@pytest.mark.slow
def test_a_stand_in_that_only_a_worker_used_is_still_told(small_study, tmp_path):
    from advgen.experiments.observed import warnings_of

    store = run_small(small_study, tmp_path / "run", workers=2)
    (tmp_path / "run" / "stand_ins.json").unlink()
    assert 16 in {warning.number for warning in warnings_of(store)}
