"""`advgen report`: the page and its summary, one sample's way, strictness."""

import json
from pathlib import Path

import pytest

from advgen.cli.main import main
from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part, Row
from advgen.experiments.store import Store
from advgen.experiments.study import parse


def run_of(folder: Path, *, margin: float = 0.5, breaks: bool = True, n: int = 30) -> Path:
    """Digits, PGD, and JPEG of which PGD knew nothing."""
    study = parse(
        {
            "name": "small",
            "question": "Does JPEG stop PGD?",
            "grids": [{"data": [{"name": "digits", "count": n}], "targets": ["net"]}],
            "claims": [
                {
                    "statement": "JPEG holds",
                    "metric": "robust_accuracy",
                    "of": {"defense": "purify/jpeg", "attack": "image/pgd"},
                    "margin": margin,
                }
            ],
        },
        "here",
    )
    store = Store(folder)
    store.begin(study, plan={"batch_size": 64, "threads": 1}, environment={"device": "cpu"}, hash="0")
    base = Cell(DataSpec("digits", "test", n), Part("net"))
    attacked = base._replace(attack=Part("image/pgd"), budget=BudgetSpec("Linf", "8/255"))
    jpeg = (Part("purify/jpeg"),)
    cells = [base, base._replace(defense=jpeg), attacked, attacked._replace(defense=jpeg)]
    for k, cell in enumerate(cells):
        broken = cell.attack is not None and breaks and not cell.defense
        rows = [
            Row(f"digits/test/{i}", f"c{k}", i % 3, clean_prediction=i % 3, prediction=(i + broken) % 3,
                success_float=broken, success_saved=broken, success_jpeg75=False, linf=8 / 255, l2=0.7, lpips=0.02,
                inside=True, forwards=41.0, seconds=0.01, error="refused" if i == 4 and cell.attack else "")
            for i in range(n)
        ]  # fmt: skip
        store.write_rows(f"c{k}", 0, rows)
        store.finish(f"c{k}", cell, {"classes": ["zero", "one\x1b[31m", "two"], "hashes": {"data": "d"}})
    return folder


def test_the_summary_has_matrix_verdict_and_path(tmp_path, capsys):
    run = run_of(tmp_path / "run")
    assert main(["report", str(run), "--open", "no"]) == 0
    said = capsys.readouterr().out
    assert "Does JPEG stop PGD?" in said
    assert "NON-ADAPTIVE" in said
    assert "supported" in said
    assert "100.0% [88.3, 100.0]" in said
    assert str(run / "report.html") in said
    assert (run / "report.html").is_file()


def test_json_holds_the_same_for_a_machine(tmp_path, capsys):
    run = run_of(tmp_path / "run")
    assert main(["report", str(run), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (jpeg,) = [m for m in told["matrix"] if m["defense"] == "purify/jpeg"]
    assert jpeg["oblivious"]["robust_accuracy"]["value"] == 1.0
    assert jpeg["oblivious"]["robust_accuracy"]["n"] == 29
    assert jpeg["adaptive"] == {"missing": "not run"}
    assert told["claims"][0]["status"] == "supported"


def test_strict_fails_on_a_claim_that_does_not_hold(tmp_path, capsys):
    run = run_of(tmp_path / "run", margin=0.95)
    assert main(["report", str(run), "--open", "no", "--strict"]) == 1
    assert "claim undecided: JPEG holds" in capsys.readouterr().err
    assert (run / "report.html").is_file()


def test_a_sample_is_told_its_whole_way(tmp_path, capsys):
    run = run_of(tmp_path / "run")
    assert main(["report", str(run), "--sample", "digits/test/3"]) == 0
    said = capsys.readouterr().out
    assert "digits/test/3, label zero" in said
    assert "no defense: clean zero (right)" in said
    assert "purify/jpeg: clean zero (right)" in said
    assert "one[31m" in said  # what it was taken for, without what would steer the terminal
    assert "\x1b" not in said
    assert "8/255" in said
    assert "0.02" in said
    assert "41" in said
    assert not (run / "report.html").exists()


def test_a_sample_that_failed_is_told_with_its_error(tmp_path, capsys):
    run = run_of(tmp_path / "run")
    assert main(["report", str(run), "--sample", "digits/test/4"]) == 0
    assert "refused" in capsys.readouterr().out
    assert main(["report", str(run), "--sample", "digits/test/4", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)
    assert len(steps) == 4
    assert [s["error"] for s in steps if s["attack"] == "image/pgd"] == ["refused"] * 2


def test_an_unknown_sample_gets_the_nearest(tmp_path, capsys):
    run = run_of(tmp_path / "run")
    assert main(["report", str(run), "--sample", "digits/test/299"]) == 2
    assert "did you mean 'digits/test/29'?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["report"], ["compare", "."]])
def test_a_folder_that_is_no_run_is_one_sentence(tmp_path, capsys, words):
    assert main([*words, str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "is not a run folder" in said
    assert said.count("\n") == 1
