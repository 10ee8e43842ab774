"""The oracle's word in rows: the same person stays valid, another's face became the target, and its errors are told."""

import json

import pytest
import torch
from torch import nn

from advgen.core.device import choose
from advgen.core.errors import BadArgument
from advgen.core.specs import Card, Cell, DataSpec, Part, Row
from advgen.core.targets import ModuleTarget
from advgen.experiments import validity
from advgen.experiments.assemble import Assembly
from advgen.experiments.judge import judge
from advgen.experiments.keys import validity_key
from advgen.experiments.report import validity as page
from advgen.experiments.report.run import RunView
from advgen.experiments.validity import BECAME_TARGET, NOT_APPLICABLE, VALID

COUNT = 48
DATA = DataSpec("avatars", "test", COUNT, 64)
TOY = Part("toy")
IMPERSONATE = Cell(DATA, TOY, goal=Part.of("impersonate", {"wanted": "next"}))
DODGE = IMPERSONATE._replace(goal=Part("evade-identity"))
EVERY = torch.arange(COUNT)


class Always(nn.Module):
    """Accepts every face as everybody's."""

    def forward(self, images):
        return images.mean((1, 2, 3))[:, None] * torch.ones(128) + 1


def card(file_hash):
    return Card("toy", "matcher", "none", {}, 0, "", file_hash, {}, {}, "MIT")


@pytest.fixture(scope="module")
def assembly():
    made = Assembly(choose("cpu"))
    classes = tuple(f"person {k}" for k in range(128))
    made.give_target(TOY, DATA, ModuleTarget(Always(), classes, (3, 64, 64), decision="sign"), card("toy"))
    return made


@pytest.fixture(scope="module")
def sample(assembly):
    return assembly.slice(DATA)


def share(found, verdict):
    return sum(one == verdict for one in found) / len(found)


def test_faces_as_drawn_are_valid_whoever_is_wanted(assembly, sample):
    """The card says that 1 person in 500 drawn at random is nearer than the right one."""
    wanted = assembly.wanted(IMPERSONATE, sample, EVERY, 128)
    found = validity.judge_of(IMPERSONATE, sample, EVERY, wanted, assembly)(sample.images_u8)
    assert share(found, VALID) > 0.9


def test_the_face_of_the_wanted_person_has_become_the_target(assembly, sample):
    """The source is said to be another, and the face is wholly the wanted one's."""
    sources, others = validity.persons(sample, EVERY), validity.persons(sample, EVERY.roll(1))
    known = [k for k in range(COUNT) if sources[k] != others[k]]
    found = validity.verdicts(
        assembly.oracle(), sample.images_u8[known], [others[k] for k in known], [sources[k] for k in known]
    )
    assert share(found, BECAME_TARGET) > 0.9


def test_a_dodging_face_must_still_be_nearer_to_its_person_than_to_nearly_everybody(assembly, sample):
    ask = validity.judge_of(DODGE, sample, EVERY, None, assembly)
    assert share(ask(sample.images_u8), VALID) > 0.9
    assert share(ask(sample.images_u8.roll(1, 0)), BECAME_TARGET) > 0.75


@pytest.mark.parametrize(
    "cell",
    [
        IMPERSONATE._replace(goal=Part("untargeted")),
        IMPERSONATE._replace(data=DATA._replace(name="digits")),
        IMPERSONATE._replace(data=DATA._replace(args=(("label", "glasses"),))),
    ],
)
def test_where_no_person_is_known_in_numbers_nothing_is_said(cell, assembly, sample):
    assert validity.judge_of(cell, sample, EVERY, EVERY, assembly) is None


def test_a_wanted_class_that_is_no_avatar_is_not_judged(assembly, sample):
    sources = validity.persons(sample, EVERY[:2])
    found = validity.verdicts(assembly.oracle(), sample.images_u8[:2], sources, [None, sources[0]])
    assert found[0] == NOT_APPLICABLE
    assert found[1] != NOT_APPLICABLE


def test_the_oracle_cannot_be_attacked_where_it_judges(sample):
    made = Assembly(choose("cpu"))
    target = ModuleTarget(Always(), ("person 0",), (3, 64, 64), decision="sign")
    made.give_target(TOY, DATA, target, card(made.oracle().card.file_hash))
    with pytest.raises(BadArgument, match="judge_attributes_64 is the oracle"):
        validity.judge_of(DODGE, sample, EVERY, None, made)


def test_the_judge_writes_the_word_into_its_rows(assembly, sample):
    rows = judge(
        assembly.defended(DODGE), sample.images_u8[:2], sample.images_u8[:2], sample.labels[:2], goal="evade-identity",
        norm=None, radius=None, seed=0, ids=sample.ids[:2], repeats=1, validity=lambda images: ["valid", BECAME_TARGET],
    )  # fmt: skip
    assert [row.validity for row in rows] == [VALID, BECAME_TARGET]


@pytest.mark.parametrize(("cell", "missed"), [(IMPERSONATE, 0.1), (DODGE, 0.25)])
def test_both_errors_are_measured_on_faces_that_nobody_attacked(cell, missed, assembly, monkeypatch):
    monkeypatch.setattr(validity, "COUNT", 64)
    found = validity.errors(cell, None, assembly)["as drawn"]
    assert found["called changed"]["n"] >= 60
    assert found["called changed"]["value"] < 0.1
    assert found["missed"]["value"] < missed


def test_the_page_shows_fooled_and_valid_beside_the_oracles_errors(tmp_path):
    told = {"called changed": {"value": 0.25, "low": 0.2, "high": 0.3, "n": 99}, "missed": {"value": None, "n": 0}}
    errors = {"validity": {validity_key(IMPERSONATE, None): {"as drawn": told}}, "makers": {}}
    (tmp_path / "probes.json").write_text(json.dumps(errors))
    rows = page_rows([(True, VALID), (True, BECAME_TARGET), (False, VALID), (True, VALID)])

    class Store:
        def read_json(self, name):
            return json.loads((tmp_path / name).read_text())

    view = RunView(Store())
    view.__dict__.update({"cells": {"k": (IMPERSONATE, {})}, "_by_cell": {"k": rows}, "rows": rows})
    shown = page.validity(view)
    for rate in ("75.0%", "50.0%", "25.0%"):  # fooled, fooled and valid, became the target; the last is its error too
        assert rate in shown


def page_rows(verdicts):
    import pandas as pd

    base = Row("", "k", 0)._asdict()
    lines = [
        {**base, "sample_id": str(k), "success_saved": hit, "validity": word} for k, (hit, word) in enumerate(verdicts)
    ]
    more = {"attack": "latent/pgd", "attack_args": "", "target": "toy", "goal": "impersonate", "defense": "",
            "knowledge": "oblivious"}  # fmt: skip
    return pd.DataFrame(lines).assign(**more)
