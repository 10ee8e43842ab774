"""The page of measurements: every number with its interval and n, nothing of attacks, names that cannot break out."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from advgen.cli._report import as_json
from advgen.cli.main import main
from advgen.experiments.report.build import build, html
from advgen.experiments.report.measured import curve_of
from advgen.experiments.report.run import RunView
from advgen.experiments.run import run
from advgen.experiments.store import Store, open_run
from advgen.experiments.store_readings import readings
from advgen.experiments.study import load, parse

EVIL = "<script>alert(1)</script> 50% & _co"
SOURCE = '''
"""Numbers by rule."""

from dataclasses import dataclass
from typing import ClassVar, final

from advgen.experiments.measured import Curve, Measured, Picture, Reading


@final
@dataclass(frozen=True)
class Rule:
    """Numbers by rule."""

    quantities: ClassVar = {
        "distance_far": {"means": "how far <b>", "unit": "m", "better": "lower", "log": True},
        "hits": {"means": "how often", "unit": "share", "better": "higher"},
        "seconds": {"means": "how long", "unit": "s", "better": "lower", "timing": True},
    }
    plots = (("seconds", "distance_far"), ("hits", "distance_far"))

    plus: float = 1.0  # added
    fails: bool = False  # raises

    def inputs(self):
        return {"rule": "r"}

    def run(self, *, seed, device, meter, out):
        if self.fails:
            raise ValueError("it cannot be")
        meter.generator_calls += 5
        far = [Reading(f"s/{i}", "distance_far", self.plus + i / 10 + seed / 20) for i in range(8)]
        hits = [Reading(f"s/{i}", "hits", float((i + seed) % 3 > 0)) for i in range(8)]
        curve = Curve("s/0", "seconds", "distance_far", [(0.5, 2.0 + self.plus), (1.0 + seed / 10, self.plus)])
        png = bytes.fromhex("89504e470d0a1a0a")
        return Measured([*far, *hits, Reading.of_arm(seed, "seconds", 3.0 + seed)], [curve],
                        [Picture(png, "<i>one</i>")], ["A note with <b>."], {"the published <net>": "ours"})
'''


def text_of(file: Path, **more: Any) -> dict[str, Any]:
    entry = {
        "measure": f"{file}:Rule",
        "arms": [{"arm": "near"}, {"arm": EVIL, "args": {"plus": 3.0}}],
        "seeds": [0, 1, 2],
        "label": "here",
    }
    claim = {"statement": f"far {EVIL}", "quantity": "distance_far", "of": {"plus": 3.0}, "versus": {"arm": "near"},
             "ratio": True, "margin": 1.2}  # fmt: skip
    return {"name": "rule", "question": f"Is it {EVIL}?", "measurements": [entry], "claims": [claim]} | more


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("measured")
    file = folder / "rule.py"
    file.write_text(SOURCE)
    return run(parse(text_of(file), "here"), folder / "run", device="cpu")


def test_the_page_has_its_parts_and_none_of_attacks(measured):
    page = html(RunView(measured))
    parts = re.findall(r'<section id="([a-z]+)"', page)
    assert parts == ["claims", "warnings", "measured", "plots", "shots", "cost", "environment"]
    assert "The other checks look at attacked images" in page


def test_nothing_breaks_out_and_nothing_is_fetched(measured):
    page = html(RunView(measured))
    assert "<script" not in page
    assert "<i>one</i>" not in page
    assert "<b>." not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_every_mean_has_its_interval_and_n(measured):
    page = html(RunView(measured))
    cells = re.findall(r'<td data-label="[^"]*">(.*?)</td>', page)
    assert len(cells) == 2 * 3
    assert all('class="value"' in c and 'class="interval"' in c for c in cells)
    assert sum("n = 8 samples, 3 seeds" in c for c in cells) == 4
    assert sum(">3 seeds<" in c for c in cells) == 2  # one number a seed
    assert "lower is better" in page


def test_the_claim_is_shown_as_a_ratio_with_what_was_wanted(measured):
    page = html(RunView(measured))
    assert "distance far, ratio" in page
    assert "wanted &gt; 1.2" in page
    assert "supported" in page


def test_curves_are_lines_and_other_pairs_a_point_an_arm(measured):
    page = html(RunView(measured))
    charts = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(charts) == 2
    assert charts[0].count('class="line arm-') == 2
    assert charts[1].count('class="cross arm-') == 2


def test_the_tables_beside_the_page_say_the_same(measured, tmp_path):
    page = build(measured, tmp_path / "page.html")
    means = pd.read_csv(tmp_path / "page-measured.csv")
    assert set(means["quantity"]) == {"distance_far", "hits", "seconds"}
    table = readings(measured)
    near = means[(means["arm"] == "near") & (means["quantity"] == "distance_far")].iloc[0]
    values = table[(table["arm"] == "near") & (table["quantity"] == "distance_far")]["value"]
    assert near["value"] == pytest.approx(values.mean())
    assert len(pd.read_csv(tmp_path / "page-readings.csv")) == len(pd.read_parquet(tmp_path / "page-readings.parquet"))
    assert len(pd.read_csv(tmp_path / "page-curves.csv")) == 12
    tex = (tmp_path / "page-measured.tex").read_text()
    assert r"50\% \& \_co" in tex
    assert tex.count(r"\begin{tabular}") == 1
    assert page.read_text() == html(RunView(measured))


def test_the_study_beside_the_page_runs_again(measured, tmp_path):
    build(measured, tmp_path / "page.html")
    again = load(str(tmp_path / "page-study.yaml"))
    assert again.every_measurement() == parse(again.model_dump(), "x").every_measurement()
    assert [c.canonical() for c in again.claims] == [c.canonical() for c in measured.claims()]


def test_json_says_the_same_for_a_machine(measured):
    told = json.loads(json.dumps(as_json(RunView(measured), Path("x")), default=str))
    assert told["cells"] == {"finished": 6, "planned": 6}
    assert told["claims"][0]["status"] == "supported"
    assert len(told["measured"]) == 6


def test_a_failure_and_an_unfinished_run_are_told(measured, tmp_path):
    file = tmp_path / "rule.py"
    file.write_text(SOURCE)
    text = text_of(file)
    text["measurements"][0]["arms"].append({"arm": "fails", "args": {"fails": True}})
    store = run(parse(text, "here"), tmp_path / "run", device="cpu")
    page = html(RunView(store))
    assert "6 of 9 measurements are finished" in page
    assert "ValueError: it cannot be" in page


def test_a_run_in_which_nothing_finished_has_a_page(tmp_path):
    file = tmp_path / "rule.py"
    file.write_text(SOURCE)
    text = text_of(file, claims=[])
    text["measurements"][0]["arms"] = [{"arm": "fails", "args": {"fails": True}}]
    page = html(RunView(run(parse(text, "here"), tmp_path / "run", device="cpu")))
    assert "No measurement has finished" in page
    assert "Matrix" not in page


def curves(**points: list[tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"cell_key": "k", "seed": 0, "sample_id": sample, "curve": 0, "x": x, "y": y}
            for sample, some in points.items()
            for x, y in some
        ]
    )


def test_curves_of_as_many_points_are_averaged_point_by_point():
    found = curve_of(curves(a=[(1, 4), (2, 2)], b=[(1, 4), (8, 0)]), "arm", "arm-1", log=False)
    assert (list(found.x), list(found.y)) == ([1, 5], [4, 1])
    assert list(curve_of(curves(a=[(1, 4), (2, 2)], b=[(1, 4), (8, 0)]), "arm", "arm-1", log=True).x) == [1, 4]


def test_a_shorter_curve_holds_its_last_point_where_another_goes_on():
    found = curve_of(curves(a=[(1, 4), (2, 2)], b=[(1, 4), (3, 3), (4, 0)]), "arm", "arm-1", log=False)
    assert (found.x[0], found.x[-1]) == (1, 4)
    assert found.y[0] == 4
    assert found.y[-1] == pytest.approx(1)  # 2 is held, 0 is reached


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"claims": [{"statement": "s", "quantity": "distance", "of": {}}]}, "did you mean 'distance_far'"),
        ({"measurements": [{"measure": "rul"}]}, "unknown measure 'rul'"),
        ({"measurements": []}, "has no cell"),
        ({"measurements": [{"measure": "HERE", "arms": [{"plus": "up"}]}]}, "must be a number"),
    ],
)
def test_a_bad_study_file_is_one_sentence_and_exit_code_2(tmp_path, capsys, monkeypatch, change, sentence):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "rule.py"
    file.write_text(SOURCE)
    text = json.dumps({**text_of(file, claims=[]), **change}).replace("HERE", f"{file}:Rule")
    (tmp_path / "bad.yaml").write_text(text)  # JSON is YAML
    assert main(["run", "bad.yaml"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("advgen:")]
    assert len(said) == 1
    assert sentence in said[0]


def test_the_commands_work_on_a_run_of_measurements(measured, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "study.yaml"
    build(measured, tmp_path / "page.html")
    (tmp_path / "page-study.yaml").rename(study)
    assert main(["plan", str(study)]) == 0
    assert "not known of 2 arms" in capsys.readouterr().out
    assert main(["run", str(study)]) == 0
    said = capsys.readouterr().out
    assert "distance far (m)" in said
    assert "supported" in said
    assert main(["plan", str(study), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measuring_hours"] is not None  # the run in runs/ is known now
    assert main(["report", "runs/rule", "--open", "no", "--strict"]) == 1  # a stand-in was used
    capsys.readouterr()
    assert main(["report", "runs/rule", "--sample", "s/3"]) == 0
    assert "distance_far" in capsys.readouterr().out
    assert main(["compare", "runs/rule", str(measured.folder), "--strict"]) == 0
    assert "96 of their 96 readings agree" in capsys.readouterr().out
    assert open_run("runs/rule").claims()[0].canonical() == measured.claims()[0].canonical()
