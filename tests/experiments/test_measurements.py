"""Measurements: run, resumed, spread and refused as attack cells are."""

import multiprocessing
import os
import random
import signal
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from advgen.core.device import choose
from advgen.core.errors import BadArgument, BadFile, UnknownName, UserError
from advgen.core.meter import Meter
from advgen.core.specs import Part
from advgen.experiments import store_readings
from advgen.experiments.keys import measurement_key
from advgen.experiments.measured import Curve, Measured, Picture, Reading, checked, from_json, kept, to_json
from advgen.experiments.measurement import Measurement, arguments, quantities_of
from advgen.experiments.measuring import key_of
from advgen.experiments.observed import observe
from advgen.experiments.run import run
from advgen.experiments.store import Store, open_run
from advgen.experiments.study import parse

NOTHING_SAID = lambda sentence: None


def run_small(text: dict[str, Any], folder: Path, **options: Any) -> Store:
    return run(parse(text, "here"), folder, device="cpu", **options)


def identity(store: Store) -> pd.DataFrame:
    """Readings in a fixed order, without what may differ between two equal runs."""
    table = store_readings.readings(store)
    kept_rows = table[~table["timing"].astype(bool)]
    return kept_rows.sort_values(["cell_key", "quantity", "sample_id"], ignore_index=True)


def with_args(text: dict[str, Any], **args: Any) -> dict[str, Any]:
    changed = deepcopy(text)
    changed["measurements"][0]["args"] |= args
    return changed


def test_every_arm_has_its_readings_at_every_seed(measured_study, tmp_path):
    table = store_readings.readings(run_small(measured_study, tmp_path / "run"))
    counts = table.groupby(["arm", "seed", "quantity"]).size().unstack()
    assert counts.index.tolist() == [(arm, seed) for arm in ("high", "low") for seed in (0, 1, 2)]
    assert (counts[["height", "tall"]] == 12).all().all()
    assert (counts[["pairs", "seconds"]] == 1).all().all()


def test_seeds_come_one_after_another_so_that_a_stopped_run_has_every_arm(measured_study):
    order = [(m.seed, m.arm) for m in parse(measured_study, "here").every_measurement()]
    assert order == [(seed, arm) for seed in (0, 1, 2) for arm in ("low", "high")]


def test_the_same_study_again_does_no_work_and_changes_nothing(measured_study, tmp_path):
    first = store_readings.readings(run_small(measured_study, tmp_path / "run"))
    told = []
    again = store_readings.readings(run_small(measured_study, tmp_path / "run", tell=told.append))
    assert [p.was_there for p in told] == [True] * 6
    pd.testing.assert_frame_equal(first, again)  # timing too: nothing was measured anew


def test_curves_pictures_and_notes_are_kept(measured_study, tmp_path):
    store = run_small(measured_study, tmp_path / "run")
    curves = store_readings.curves(store)
    assert len(curves) == 6 * 12 * 5
    one = next(store_readings.measurements(store))
    ((png, caption),) = store_readings.pictures(store, one)
    assert png.startswith(b"\x89PNG")
    assert caption == "seed 0, samples from 0 on"
    assert one.meta["notes"] == ["Heights are by rule."]
    assert one.meta["forwards"] == 12
    assert not (store.folder / one.key / "work").exists()


@pytest.mark.slow
def test_two_workers_give_the_readings_of_one(measured_study, tmp_path):
    alone = identity(run_small(measured_study, tmp_path / "one"))
    together = identity(run_small(measured_study, tmp_path / "two", workers=2))
    pd.testing.assert_frame_equal(alone, together)


def test_killed_at_random_moments_it_ends_in_the_readings_of_an_undisturbed_run(measured_study, tmp_path):
    text = with_args(measured_study, sleep=0.02)
    undisturbed = identity(run_small(text, tmp_path / "whole"))
    assert torch.get_num_threads() == 1  # else the fork's first forward would hang
    context = multiprocessing.get_context("fork")
    moments, folder, killed = random.Random(0), tmp_path / "killed", 0
    for _ in range(8):
        child = context.Process(target=run_small, args=(text, folder))
        child.start()
        wanted = written(folder) + moments.randint(1, 6)
        while child.is_alive() and written(folder) < wanted:
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.02))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
    assert killed >= 6, "the run ended before it could be killed"
    store = run_small(text, folder)
    pd.testing.assert_frame_equal(undisturbed, identity(store))
    # A part that was made before a kill is not made again, and what it cost is still counted.
    assert {one.meta["forwards"] for one in store_readings.measurements(store)} == {12}


def written(folder: Path) -> int:
    """Files that any child has renamed into place."""
    return sum(1 for p in folder.rglob("*") if p.suffix in (".parquet", ".json", ".png"))


def test_a_measurement_that_breaks_off_is_told_and_the_others_go_on(measured_study, tmp_path):
    measured_study["measurements"][0]["arms"].append({"arm": "broken", "args": {"breaks": True}})
    said = []
    store = run_small(measured_study, tmp_path / "run", say=said.append)
    assert set(store_readings.readings(store)["arm"]) == {"low", "high"}
    assert any("broken, seed 0 broke off: ZeroDivisionError: nothing to divide by" in s for s in said)
    assert len(store_readings.failures(store)) == 3
    told = []
    run_small(measured_study, tmp_path / "run", tell=told.append)
    assert [p.was_there for p in told] == [True, True, False] * 3  # the broken one is tried again


def test_a_stand_in_raises_its_warning_and_the_checks_of_attacks_are_not_asked(measured_study, tmp_path):
    checks = observe(run_small(with_args(measured_study, stands_in=True), tmp_path / "run")).checks
    assert [w.number for w in checks.warnings] == [16]
    assert checks.quiet == (11,)
    assert checks.not_run == ()


def test_changed_claims_are_shown_post_hoc(measured_study, tmp_path):
    store = run_small(measured_study, tmp_path / "run")
    assert [v.post_hoc for v in observe(store).verdicts] == [False]
    measured_study["claims"][0]["margin"] = 0.6
    assert [v.post_hoc for v in observe(run_small(measured_study, tmp_path / "run")).verdicts] == [True]


def test_a_planted_difference_is_found_and_no_difference_is_not_claimed(measured_study, tmp_path):
    same = {"statement": "pairs differ", "quantity": "height", "of": {"arm": "low"}, "versus": {"arm": "also low"}}
    measured_study["measurements"][0]["arms"].append({"arm": "also low", "args": {"weights": "another"}})
    measured_study["claims"].append(same)
    found = observe(run_small(measured_study, tmp_path / "run")).verdicts
    assert [v.status for v in found] == ["supported", "undecided"]
    assert found[0].value == pytest.approx(1.5, abs=0.4)
    assert found[0].n == 36


def test_attacks_and_measurements_stand_in_one_run(small_study, measured_study, tmp_path):
    at = {"defense": "purify/jpeg", "knowledge": "adaptive", "budget": "Linf", "radius": "16/255"}
    jpeg = {"statement": "JPEG", "metric": "robust_accuracy", "of": at, "margin": 0.9}
    claims = [*measured_study["claims"], jpeg]
    both = {**small_study, "measurements": measured_study["measurements"], "claims": claims}
    store = run_small(both, tmp_path / "run")
    found = observe(store)
    assert len(store.rows()) > 0
    assert len(found.read.readings) > 0
    about_measured, about_attacks = found.verdicts
    assert about_measured.status == "supported"
    assert about_attacks.status in ("refuted", "undecided")
    assert len(found.checks.quiet) + len(found.checks.warnings) + len(found.checks.not_run) == 23


def test_only_some_can_be_asked_for(measured_study, tmp_path):
    store = run_small(measured_study, tmp_path / "run", only=lambda cell: "high" in str(cell))
    assert set(store_readings.readings(store)["arm"]) == {"high"}
    with pytest.raises(BadArgument, match="--only"):
        run_small(measured_study, tmp_path / "none", only=lambda cell: False)


def test_defaults_and_names_change_no_key_and_arguments_seeds_and_content_do(measure_file):
    plain = Measurement(Part.of(f"{measure_file}:Heights"), "a")
    keys = {
        name: measurement_key(m, hashes)
        for name, m, hashes in (
            ("plain", plain, {"rule": "one"}),
            ("named", plain._replace(arm="b", label="there"), {"rule": "one"}),
            ("default", plain._replace(measure=Part.of(plain.measure.name, {"plus": 0.0})), {"rule": "one"}),
            ("argument", plain._replace(measure=Part.of(plain.measure.name, {"plus": 1.0})), {"rule": "one"}),
            ("seed", plain._replace(seed=1), {"rule": "one"}),
            ("content", plain, {"rule": "two"}),
        )
    }
    assert keys["plain"] == keys["named"] == keys["default"] == key_of(plain, choose("cpu"), say=NOTHING_SAID)
    assert len({keys[k] for k in ("plain", "argument", "seed", "content")}) == 4


def test_the_seed_is_put_into_recipes_and_nowhere_else(measure_file):
    name = f"{measure_file}:Heights"
    recipe = Measurement(Part.of(name, {"weights": "recipe:dae:data=digits,seed={seed}"}), "a", seed=3)
    assert arguments(recipe)["weights"] == "recipe:dae:data=digits,seed=3"
    assert arguments(Measurement(Part.of(name, {"weights": "{seed}"}), "a", seed=3))["weights"] == "{seed}"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"measure": "HERE:Hights"}, "has no class Hights"),
        ({"args": {"puls": 1}}, "did you mean 'plus'"),
        ({"args": {"plus": "high"}}, "must be a number"),
        ({"arms": []}, "has no arm"),
        ({"arms": [{"plus": 1}, {"arm": "again", "args": {"plus": 1}}]}, "are the same"),
        ({"arms": [{"arm": "a"}, {"arm": "a", "args": {"plus": 1}}]}, "are the same"),
        ({"seeds": [0, 0]}, "each once"),
        ({"seeds": []}, "at least 1"),
        ({"seed": 3}, "did you mean 'seeds'"),
        ({"args": {"weights": "recipe:daee:data=digits"}}, "did you mean 'dae'"),
        ({"args": {"weights": "recipe:dae:dat=digits"}}, "did you mean 'data'"),
    ],
)
def test_a_bad_measurement_is_refused_in_one_sentence(measured_study, measure_file, change, sentence):
    measured_study["claims"] = []
    if "measure" in change:
        change = {"measure": change["measure"].replace("HERE", str(measure_file))}
    measured_study["measurements"][0] |= change
    with pytest.raises(UserError, match=sentence) as raised:
        parse(measured_study, "here")
    assert "\n" not in str(raised.value)


def test_a_study_of_nothing_is_refused():
    with pytest.raises(BadFile, match="neither grids"):
        parse({"name": "empty", "question": "?"}, "here")


@pytest.mark.parametrize(
    ("quantities", "sentence"),
    [
        ("{}", "declares no quantity"),
        ("{'height': 'metres'}", "not a dict of dicts"),
        ("{'height': {'unit': 'm'}}", "does not say what it means"),
        ("{'height': {'means': 'x', 'better': 'more'}}", "lower, higher or empty"),
        ("{'height': {'means': 'x', 'units': 'm'}}", "known are"),
    ],
)
def test_a_measure_that_does_not_declare_itself_is_refused(tmp_path, quantities, sentence):
    path = tmp_path / "bad.py"
    path.write_text(
        '"""Bad."""\nfrom dataclasses import dataclass\nfrom typing import ClassVar, final\n\n\n'
        f"@final\n@dataclass(frozen=True)\nclass Bad:\n    quantities: ClassVar = {quantities}\n"
    )
    with pytest.raises(BadFile, match=sentence):
        quantities_of(f"{path}:Bad")


def test_a_measure_may_give_only_what_it_declares():
    declared = {"height": object()}
    good = Reading("a", "height", 1.0)
    assert checked(Measured([good]), "m", declared).readings == [good]
    for wrong, sentence in (
        (Measured([]), "no reading"),
        (Measured([good, good]), "2 readings of height for the sample a"),
        (Measured([good._replace(value=float("nan"))]), "not finite"),
        (Measured([good], [Curve("a", "height", "height", [(0.0, float("inf"))])]), "not finite"),
    ):
        with pytest.raises(BadFile, match=sentence):
            checked(wrong, "m", declared)
    with pytest.raises(UnknownName, match="did you mean 'height'"):
        checked(Measured([good._replace(quantity="hight")]), "m", declared)


def test_a_kept_part_is_made_once_and_comes_back_to_the_last_digit(tmp_path):
    readings = [Reading("a", "x", 0.1 + 0.2), Reading("b", "x", None, "c")]
    curve = Curve("a", "x", "y", [(1e-300, 1 / 3)])
    whole = Measured(readings, [curve], [Picture(b"\x89PNG", "é")], ["n"], {"p": "o"})
    made = []

    def make() -> Measured:
        made.append(1)
        meter.forwards += 7
        return whole

    meter = Meter()
    assert kept(tmp_path, "one", make, meter=meter) == whole
    again = Meter()
    assert kept(tmp_path, "one", make, meter=again) == from_json(to_json(whole))
    assert (len(made), meter.forwards, again.forwards) == (1, 7, 7)
    assert from_json(to_json(whole)).readings == whole.readings


def test_an_opened_run_without_measurements_has_empty_tables(small_study, tmp_path):
    store = open_run(run_small(small_study, tmp_path / "run").folder)
    assert list(store_readings.measurements(store)) == []
    assert len(store_readings.readings(store)) == len(store_readings.curves(store)) == 0


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """A recipe that is a file of the caller's, and a cache of its own."""
    from advgen.experiments import trained as cache

    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    path = tmp_path / "trainer.py"
    path.write_text(TRAINER)
    return f"recipe:{path}"


TRAINER = '''
"""Trains nothing, or fails."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
import yaml

from advgen.core import checkpoints
from advgen.core.errors import UserError
from advgen.core.specs import Card


@final
@dataclass(frozen=True)
class Trainer:
    """One number as a checkpoint."""

    number: float = 0.0  # what is stored
    diverges: bool = False  # stops with an error

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: Any, meter: Any) -> Card:
        if self.diverges:
            raise UserError("the loss is NaN in step 7.")
        tensors = {"number": torch.tensor([self.number + seed])}
        card = Card("number", "classifier", "trainer", {}, seed, "d", "", {}, {}, "MIT")
        return checkpoints.save(out / "number.safetensors", tensors, card)
'''


def with_weights(text: dict[str, Any], **arms: str) -> dict[str, Any]:
    changed = deepcopy(text)
    changed["measurements"][0]["arms"] = [{"arm": name, "args": {"weights": ref}} for name, ref in arms.items()]
    changed["claims"] = []
    return changed


def test_what_an_arm_reads_is_trained_once_for_each_seed_and_its_hash_is_in_the_key(measured_study, trainer, tmp_path):
    said: list[str] = []
    text = with_weights(
        measured_study, one=f"{trainer}:Trainer:number=1,seed={{seed}}", two=f"{trainer}:Trainer:number=20"
    )
    store = run_small(text, tmp_path / "run", say=said.append)
    assert "training 4 checkpoints that the study reads; they are kept." in said
    hashes = {m.measurement[1::2]: m.meta["hashes"]["weights"] for m in store_readings.measurements(store)}
    assert len(set(hashes.values())) == 4
    assert len({hashes["two", seed] for seed in (0, 1, 2)}) == 1
    told: list[Any] = []
    run_small(text, tmp_path / "run", tell=told.append)
    assert all(p.was_there for p in told)


def test_a_training_that_fails_costs_its_own_measurements_only(measured_study, trainer, tmp_path):
    text = with_weights(measured_study, good=f"{trainer}:Trainer:number=1", bad=f"{trainer}:Trainer:diverges=true")
    store = run_small(text, tmp_path / "run")
    assert set(store_readings.readings(store)["arm"]) == {"good"}
    assert [sentence for _, sentence in store_readings.failures(store)] == [
        "it was not trained: the loss is NaN in step 7."
    ] * 3
    assert len(store.read_json("cells.json")) == 6
    with pytest.raises(UserError, match="the loss is NaN in step 7"):
        run_small(with_weights(measured_study, bad=f"{trainer}:Trainer:diverges=true"), tmp_path / "none")


def test_the_examples_of_the_docs_are_a_study_and_a_measure(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8")
    study = parse(yaml.safe_load(_example(text, "yaml")), "docs")
    assert [m.arm for m in study.every_measurement()] == ["narrow", "window 10"] * 3
    path = tmp_path / "sharpness.py"
    path.write_text(_example(text, "python"))
    assert list(quantities_of(f"{path}:Sharpness")) == ["sharpness", "seconds"]


def _example(text: str, kind: str) -> str:
    return text.split(f"```{kind}\n")[1].split("```")[0]
