"""Detectors of generated images in a run: which they are, what they are tested on, and what the page says of it."""

import json

import pytest

from advgen.core.device import choose
from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part
from advgen.experiments import fakes
from advgen.experiments.assemble import Assembly
from advgen.experiments.checks_setting import check_18_only_its_own_generator, check_19_leak_audit
from advgen.experiments.evidence import CheckWarning, Evidence
from advgen.experiments.observed import _generators, _leak_audits
from advgen.experiments.report import fakes as page
from advgen.experiments.report.run import RunView

DATA = DataSpec("avatars", "test", 24, 64)
SPECTRUM = Part("detect/spectrum")


def cell(weights=None, defense=SPECTRUM):
    attack = Part.of("latent/pgd", {} if weights is None else {"weights": weights})
    return Cell(DATA, Part("x"), attack=attack, budget=BudgetSpec("Latent", "1/2"), defense=(defense,))


def area(value, low, high):
    return {"value": value, "low": low, "high": high}


def probes(one, *, maker, together):
    told = {
        "trained": ["ours"],
        "tested": ["ours"],
        "leaks": {"real": 20, "fake": 20, "together": together, "features": {"format": area(0.5, 0.4, 0.6)}},
        "controls": {
            "real": {"mean": -1.0, "called generated": [0.05, 0.01, 0.2], "n": 24},
            "<b>inverted": {"mean": 2.0, "called generated": [1.0, 0.9, 1.0], "n": 24, "area": area(1.0, 0.9, 1.0)},
        },
        "fpr": 0.05,
    }
    return {"fakes": {f"{DATA}|{SPECTRUM}": told}, "makers": {f"{DATA}|{one.attack}": maker}}


@pytest.mark.parametrize("name", ["detect/spectrum", "detect/clip_linear", "detect/inversion"])
def test_a_detector_that_is_given_a_generator_or_its_samples_is_one_of_generated_images(name):
    assert fakes.learns_fakes(Part(name))


@pytest.mark.parametrize("name", ["detect/lpips", "detect/magnet", "purify/jpeg", "given:mine"])
def test_others_are_not(name):
    assert not fakes.learns_fakes(Part(name))


@pytest.mark.parametrize(("maker", "warns"), [("ours", True), ("another", False)])
def test_warning_18_asks_for_a_generator_that_the_detector_has_not_seen(maker, warns):
    one = cell()
    found = _generators({"k": (one, {})}, probes(one, maker=maker, together=area(0.5, 0.4, 0.6)))
    warning = check_18_only_its_own_generator(None, Evidence(generators=found))
    assert isinstance(warning, CheckWarning) == warns


@pytest.mark.parametrize(("together", "warns"), [((0.5, 0.4, 0.6), False), ((0.9, 0.8, 0.95), True)])
def test_warning_19_reads_the_audit_of_the_run(together, warns):
    one = cell()
    found = _leak_audits({"k": (one, {})}, probes(one, maker="ours", together=area(*together)))
    assert isinstance(check_19_leak_audit(None, Evidence(leak_audits=found)), CheckWarning) == warns


def test_the_page_shows_controls_and_audit_and_escapes_names(tmp_path):
    one = cell()
    (tmp_path / "probes.json").write_text(json.dumps(probes(one, maker="ours", together=area(0.5, 0.4, 0.6))))

    class Store:
        def read_json(self, name):
            return json.loads((tmp_path / name).read_text())

    view = RunView(Store())
    view.__dict__["cells"] = {"k": (one, {})}
    shown = page.fakes(view)
    assert "&lt;b&gt;inverted" in shown
    assert "100.0%" in shown
    assert "all together" in shown
    view.__dict__["cells"] = {}
    assert page.fakes(view) == ""


@pytest.mark.slow
def test_the_shipped_generator_is_seen_by_its_spectrum_and_its_control_shows_it(tmp_path):
    real_target = cell()._replace(target=Part("matcher:avatars_matcher_64"))
    told = fakes.audited(SPECTRUM, real_target, Assembly(choose("cpu")))
    own = next(control for name, control in told["controls"].items() if name.endswith("its own"))
    inverted = told["controls"]["real, inverted and saved again"]
    assert own["called generated"][0] > 0.9
    assert inverted["called generated"][0] > 0.9
    assert told["controls"]["real"]["called generated"][0] < 0.25
    assert told["leaks"]["together"]["low"] < 0.6
