"""Commands as a user runs them, on digits with the shipped classifier."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advgen.cli.main import main

STUDY = """
name: mine
question: Does JPEG stop PGD on digits?
grids:
- data: [{name: digits, count: 8}]
  targets: [digits_classifier]
  attacks: [{name: image/pgd, args: {steps: 4}}]
  budgets: [{name: Linf, radius: 16/255}]
  defenses: [none, purify/jpeg]
  knowledge: [oblivious, adaptive]
claims:
- statement: JPEG saves every image from everybody
  metric: robust_accuracy
  of: {defense: purify/jpeg, attack: image/pgd, radius: 16/255, knowledge: adaptive}
  relation: ">"
  margin: 0.999
"""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `advgen attack` leaves behind."""
    out = tmp_path_factory.mktemp("attack") / "out"
    words = ["attack", "image/pgd,steps=5", "image/fgsm", "digits", "--target", "digits_classifier", "--count", "8"]
    assert main([*words, "--budget", "Linf 16/255", "--out", str(out)]) == 0
    return out


def test_attack_writes_an_image_a_sample_and_attack_inside_the_budget(attacked):
    folders = sorted((attacked / "images").iterdir())
    assert len(folders) == 2
    pictures = [sorted(f.rglob("*.png")) for f in folders]
    assert [len(p) for p in pictures] == [8, 8]
    from advgen.core.specs import DataSpec
    from advgen.experiments.data._load import load

    originals = load(DataSpec("digits", "test", 8))
    for files in pictures:
        for file in files:
            at = [i.rsplit("/", 1)[-1] for i in originals.ids].index(file.stem)
            change = np.asarray(Image.open(file)).astype(int) - originals.images_u8[at, 0].numpy().astype(int)
            assert 0 < np.abs(change).max() <= 16


def test_attack_writes_a_table_with_a_line_for_each_image(attacked):
    with (attacked / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 16
    assert {line["attack"] for line in lines} == {"image/pgd", "image/fgsm"}
    assert all(line["inside"] == "True" for line in lines)
    assert (attacked / "run" / "report.html").is_file()


def test_one_samples_whole_way_is_printed(attacked, capsys):
    with (attacked / "table.csv").open(newline="") as file:
        ids = [line["sample_id"] for line in csv.DictReader(file)]
    capsys.readouterr()
    assert main(["report", str(attacked / "run"), "--sample", ids[0]]) == 0
    told = capsys.readouterr().out
    assert "image/pgd" in told
    assert ids[0] in told


def test_a_study_from_yaml_runs_reports_and_fails_under_strict_when_its_claim_does(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY)
    out = tmp_path / "run"
    assert main(["run", str(path), "--out", str(out), "--strict"]) == 1
    told = capsys.readouterr()
    assert "report" in told.out
    assert "cells" not in told.out.splitlines()[0]
    assert "[1/" in told.err
    page = (out / "report.html").read_text()
    assert "Does JPEG stop PGD on digits?" in page
    assert main(["run", str(path), "--out", str(out)]) == 0
    assert "was done" in capsys.readouterr().err


def test_two_runs_of_one_study_agree_row_by_row(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY)
    for name in ("a", "b"):
        assert main(["run", str(path), "--out", str(tmp_path / name), "--batch-size", "8" if name == "a" else "3"]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--strict"]) == 0


def test_a_plan_says_what_a_study_will_cost_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY)
    assert main(["plan", str(path), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["cells"] == 8
    assert plan["hours"] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.yaml"]


def test_judge_measures_images_that_somebody_else_made(attacked, tmp_path, capsys):
    from advgen.core.images import save_png
    from advgen.core.specs import DataSpec
    from advgen.experiments.data._load import load

    originals = load(DataSpec("digits", "test", 8))
    clean = tmp_path / "clean"
    (made,) = (f for f in (attacked / "images").iterdir() if "fgsm" in f.name)
    lines = ["file,label"]
    for i, sample_id in enumerate(originals.ids):
        name = f"{sample_id.rsplit('/', 1)[-1]}.png"
        save_png(originals.images_u8[i], clean / name)
        lines.append(f"{name},{int(originals.labels[i])}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    words = ["judge", str(clean), str(made), "--target", "digits_classifier", "--labels", str(tmp_path / "labels.csv")]
    assert main([*words, "--budget", "Linf 16/255", "--out", str(tmp_path / "judged")]) == 0
    with (attacked / "table.csv").open(newline="") as file:
        fooled = sum(r["success_saved"] == "True" for r in csv.DictReader(file) if r["attack"] == "image/fgsm")
    from advgen.experiments.store import open_run

    rows = open_run(tmp_path / "judged").rows()
    judged = rows[rows["attack"] != ""]
    assert judged["success_saved"].sum() == fooled
    assert judged["inside"].all()
