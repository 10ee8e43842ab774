"""A detector's scores alone: values against scikit-learn, thresholds from calibration rows, faults by line."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from advgen.core.errors import BadFile, MissingFile
from advgen.experiments.scores import judge_scores


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def lines_of(n: int = 600, *, calibration: int = 300, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    fake = rng.integers(0, 2, n)
    score = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * fake)))
    return [
        {"id": i, "score": float(s), "fake": int(f), "split": "calibration" if i < calibration else "test"}
        for i, (s, f) in enumerate(zip(score, fake, strict=True))
    ]


def test_the_area_is_that_of_scikit_learn_on_the_test_rows(tmp_path):
    lines = lines_of()
    found = judge_scores(write(tmp_path / "s.csv", lines), tmp_path / "out")
    test = [line for line in lines if line["split"] == "test"]
    assert found.area.value == pytest.approx(roc_auc_score([t["fake"] for t in test], [t["score"] for t in test]))
    assert found.area.low < found.area.value < found.area.high


def test_thresholds_come_from_the_real_calibration_rows_alone(tmp_path):
    lines = lines_of(2000, calibration=1000)
    found = judge_scores(write(tmp_path / "s.csv", lines), tmp_path / "a").points[0]
    real = sorted(line["score"] for line in lines if line["split"] == "calibration" and not line["fake"])
    assert sum(s > found.threshold for s in real) <= 0.05 * (len(real) + 1)
    moved = [line | {"score": 0.999} if line["split"] == "test" or line["fake"] else line for line in lines]
    again = judge_scores(write(tmp_path / "m.csv", moved), tmp_path / "b").points[0]
    assert again.threshold == found.threshold
    by_hand = np.mean([t["score"] > found.threshold for t in lines if t["split"] == "test" and t["fake"]])
    assert found.detected.value == pytest.approx(by_hand)


def test_a_rate_that_few_images_cannot_carry_is_refused(tmp_path):
    found = judge_scores(write(tmp_path / "s.csv", lines_of()), tmp_path / "out")
    assert found.points[2].detected is None
    assert "needs at least 10000" in found.points[2].refused
    assert "refused" in found.summary


def test_without_a_split_everything_is_tested_and_every_threshold_refused(tmp_path):
    lines = [{"score": line["score"], "fake": line["fake"]} for line in lines_of(80)]
    found = judge_scores(write(tmp_path / "s.csv", lines), tmp_path / "out")
    assert found.area.clean + found.area.adversarial == 80
    assert all(p.refused for p in found.points)


def test_calibration_error_is_told_for_probabilities_only(tmp_path):
    perfect = [{"score": float(i % 2), "fake": i % 2} for i in range(40)]
    assert judge_scores(write(tmp_path / "p.csv", perfect), tmp_path / "p").calibration.error == 0
    half = [{"score": 0.9, "fake": i % 2} for i in range(40)]
    assert judge_scores(write(tmp_path / "h.csv", half), tmp_path / "h").calibration.error == pytest.approx(0.4)
    wide = [line | {"score": 7.0} for line in perfect]
    assert judge_scores(write(tmp_path / "w.csv", wide), tmp_path / "w").calibration is None


def test_images_of_one_person_widen_the_interval(tmp_path):
    lines = [line | {"split": "test", "group": f"p{k // 20}"} for k, line in enumerate(lines_of(400))]
    for line in lines:
        line["score"] += 0.3 * (int(line["group"][1:]) % 2) * (1 if line["fake"] else -1)
    alone = [{k: v for k, v in line.items() if k != "group"} for line in lines]
    grouped = judge_scores(write(tmp_path / "g.csv", lines), tmp_path / "g").area
    single = judge_scores(write(tmp_path / "s.csv", alone), tmp_path / "s").area
    assert grouped.value == single.value
    assert grouped.high - grouped.low > single.high - single.low


def test_the_page_is_whole_and_escaped_and_the_json_agrees(tmp_path):
    found = judge_scores(write(tmp_path / "<script>x.csv", lines_of()), tmp_path / "out")
    text = found.page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;x.csv" in text
    assert "<svg" in text
    assert text.count("refused") >= 2
    told = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert told["auc"]["value"] == found.area.value


def test_one_side_alone_has_a_page_without_an_area(tmp_path):
    found = judge_scores(write(tmp_path / "s.csv", [{"score": 0.5, "fake": 1}] * 5), tmp_path / "out")
    assert found.area.value is None
    assert "not told" in found.page.read_text()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"score": "nan", "fake": 0}, "line 3: score must be finite"),
        ({"score": "high", "fake": 0}, "line 3: score must be a number"),
        ({"score": 0.5, "fake": 2}, "line 3: fake must be 0 or 1"),
        ({"score": 0.5, "fake": ""}, "line 3: score and fake must not be empty"),
    ],
)
def test_a_bad_value_is_one_sentence_with_its_line(tmp_path, line, said):
    path = write(tmp_path / "s.csv", [{"score": 0.1, "fake": 1}, line])
    with pytest.raises(BadFile, match=said):
        judge_scores(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_split_or_a_half_empty_group_is_told(tmp_path):
    path = write(tmp_path / "s.csv", [{"score": 0.1, "fake": 1, "split": "dev"}])
    with pytest.raises(BadFile, match="split must be calibration or test, got 'dev'"):
        judge_scores(path, tmp_path / "out")
    path = write(tmp_path / "g.csv", [{"score": 0.1, "fake": 1, "group": "a"}, {"score": 0.1, "fake": 1, "group": ""}])
    with pytest.raises(BadFile, match="line 3: group is empty"):
        judge_scores(path, tmp_path / "out")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingFile):
        judge_scores(tmp_path / "no.csv", tmp_path / "out")


def test_scores_bring_no_torch():
    code = "import sys, advgen.experiments.scores, advgen.experiments.report.scores_page; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
