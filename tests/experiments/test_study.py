"""Studies: what is read from a file is what is run, and what cannot be run is said in one sentence."""

from copy import deepcopy
from typing import Any

import pytest

from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName, UserError
from advgen.experiments.keys import attack_key, cell_key
from advgen.experiments.study import load, parse

TEXT: dict[str, Any] = {
    "name": "small",
    "question": "Does it?",
    "grids": [
        {
            "data": [{"name": "digits", "count": 8}],
            "targets": ["digits_classifier"],
            "attacks": ["image/fgsm", {"name": "image/pgd", "args": {"steps": 4}}],
            "budgets": [{"name": "Linf", "radius": "8/255"}, {"name": "L2", "radius": 0.5}],
            "defenses": ["none", "purify/jpeg", ["purify/jpeg", {"name": "detect/magnet", "args": {"fpr": 0.1}}]],
            "knowledge": ["oblivious", "adaptive"],
        }
    ],
    "claims": [
        {
            "statement": "JPEG keeps half of the images",
            "metric": "robust_accuracy",
            "of": {"defense": "purify/jpeg"},
            "relation": ">",
            "margin": 0.5,
        }
    ],
}
HASHES = {"data": "d", "target": "t"}


def changed(**grid: Any) -> dict[str, Any]:
    text = deepcopy(TEXT)
    text["grids"][0].update(grid)
    return text


def test_every_pipeline_has_its_clean_baseline_and_every_attack_its_budgets():
    cells = parse(TEXT, "here").cells()
    assert sum(c.attack is None for c in cells) == 3
    attacked = [c for c in cells if c.attack is not None and c.attack.name in ("image/fgsm",)]
    # undefended: oblivious only; two defenses: oblivious and adaptive; each in Linf and L2
    assert len(attacked) == 2 * (1 + 2 * 2)
    assert len(cells) == len(set(cells))


def test_radii_are_kept_as_written_and_read_as_numbers():
    text = changed(budgets=[{"name": "Linf", "radius": "8/255"}, {"name": "Linf", "radius": "1e-8"}])
    budgets = {c.budget for c in parse(text, "here").cells() if c.attack and c.attack.name == "image/fgsm"}
    assert {(b.radius, b.value) for b in budgets} == {("8/255", 8 / 255), ("1e-8", 1e-8)}


def test_writing_a_default_out_changes_no_key():
    plain, explicit = (
        parse(changed(attacks=[{"name": "image/pgd", "args": args}]), "here") for args in ({}, {"steps": 40})
    )
    keys = [{cell_key(c, HASHES) for c in study.cells()} for study in (plain, explicit)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "other", [{"seeds": [1]}, {"attacks": ["image/bim"]}, {"budgets": [{"name": "Linf", "radius": "9/255"}]}]
)
def test_what_determines_a_result_changes_its_key(other):
    first, second = (parse(t, "here").cells() for t in (changed(controls=False), changed(controls=False, **other)))
    keys = [{cell_key(c, HASHES) for c in cells if c.attack is not None} for cells in (first, second)]
    assert not keys[0] & keys[1]


def test_other_data_or_weights_change_every_key():
    (cell,) = parse(changed(attacks=[], defenses=["none"]), "here").cells()
    assert len({cell_key(cell, h) for h in (HASHES, {**HASHES, "data": "x"}, {**HASHES, "target": "x"})}) == 3


def test_oblivious_images_do_not_depend_on_the_defense_and_adaptive_ones_do():
    cells = [
        c for c in parse(TEXT, "here").cells() if c.attack and c.attack.name == "image/fgsm" and c.budget.name == "L2"
    ]
    oblivious = {attack_key(c, HASHES) for c in cells if c.knowledge == "oblivious"}
    adaptive = {attack_key(c, HASHES) for c in cells if c.knowledge == "adaptive"}
    assert len(oblivious) == 1
    assert len(adaptive) == 2


def test_a_yaml_file_is_the_study_it_says(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "question: Does it?\n"
        "grids:\n"
        "- data: [{name: digits, count: 8}]\n"
        "  targets: [digits_classifier]\n"
        "  attacks: [image/pgd]\n"
        "  budgets: [{name: Linf, radius: 8/255}, {name: Linf, radius: 1e-8}]\n"
    )
    study = load(str(path))
    assert study.name == "mine"
    assert sorted(study.budgets()) == ["Linf 1e-8", "Linf 8/255"]


def test_a_python_file_is_loaded_without_entering_the_import_path(tmp_path, monkeypatch):
    import sys

    (tmp_path / "mine.py").write_text(
        "from advgen.experiments.study import parse\n"
        "def study():\n"
        "    return parse({'name': 'mine', 'question': 'q', 'grids': []}, 'mine.py')\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load("mine.py").name == "mine"
    assert str(tmp_path) not in sys.path
    assert "" not in [p for p in sys.path if p == str(tmp_path)]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("a misspelt attack", changed(attacks=["image/pgdd"]), "image/pgd"),
    ("an unknown argument", changed(attacks=[{"name": "image/pgd", "args": {"step": 4}}]), "steps"),
    ("a negative radius", changed(budgets=[{"name": "Linf", "radius": -1}]), "0 or more"),
    ("a division by zero", changed(budgets=[{"name": "Linf", "radius": "8/0"}]), "division by zero"),
    ("a radius that is a word", changed(budgets=[{"name": "Linf", "radius": "big"}]), "number"),
    ("an unknown budget", changed(budgets=[{"name": "Linff", "radius": "1"}]), "Linf"),
    ("an unknown key", changed(attack=["image/pgd"]), "attacks"),
    ("an unknown knowledge", changed(knowledge=["adaptiv"]), "adaptive"),
    ("transfer from nowhere", changed(knowledge=["transfer"]), "surrogate"),
    ("a norm the attack cannot do", changed(attacks=["image/bim"], budgets=[{"name": "L2", "radius": 1}]), "Linf"),
    ("an unknown split", changed(data=[{"name": "digits", "split": "tset"}]), "test"),
    ("a misspelt defense", changed(defenses=["purify/jpg"]), "purify/jpeg"),
    ("a missing question", {"name": "x", "grids": []}, "question"),
]


@pytest.mark.parametrize(("what", "text", "says"), BAD, ids=[b[0] for b in BAD])
def test_what_cannot_be_run_is_one_sentence_with_the_remedy(what, text, says):
    with pytest.raises(UserError) as caught:
        parse(text, "here")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("broken.yaml", "grids: [1, 2", BadFile),
        ("list.yaml", "- 1\n- 2\n", BadFile),
        ("latin.yaml", b"question: \xff\xfe", BadFile),
        ("nothing.py", "x = 1\n", BadFile),
        ("wrong.py", "def study():\n    return 3\n", BadFile),
    ],
)
def test_a_file_that_is_no_study_is_named(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(kind, match=name):
        load(str(path))


def test_a_study_that_is_not_there_is_said_with_the_nearest_name():
    with pytest.raises(UnknownName, match="demo"):
        load("dem")
    with pytest.raises(MissingFile, match=r"nowhere\.yaml"):
        load("nowhere.yaml")


def test_numbers_that_are_truths_are_refused():
    with pytest.raises((BadArgument, BadFile), match="number"):
        parse(changed(budgets=[{"name": "Linf", "radius": True}]), "here")
