"""Every plug-in that is registered keeps every contract, or says in a waiver why not."""

from importlib.util import find_spec

import pytest
import torch

from advgen.contracts import attacks, data, defenses, elsewhere, optimum, toys
from advgen.contracts.run import check_plugin, contracts_of, judged
from advgen.contracts.subjects import goal_of, make_ball
from advgen.core import registry

ELSEWHERE = "gives_the_same_in_another_process"
CONTRACTS = {
    "attacks": [*attacks.ATTACKS, *optimum.OPTIMUM, ELSEWHERE],
    "defenses": [*defenses.DEFENSES, ELSEWHERE],
    "data": [*data.DATA],
}
PLUGINS = [(kind, p.name) for kind in CONTRACTS for p in registry.listing(kind) if not p.broken]
PAIRS = [(kind, name, contract) for kind, name in PLUGINS for contract in CONTRACTS[kind]]

# Hardenings train a network; their contracts are their own tests.
PAIRS = [pair for pair in PAIRS if not pair[1].startswith("harden/")]


@pytest.fixture(scope="session")
def digests():
    """What each plug-in gives in another process: one process for all of them."""
    classes = [registry.load_class(kind, name) for kind, name in PLUGINS if kind != "data"]
    return elsewhere.digests([elsewhere.address_of(cls) for cls in classes])


@pytest.mark.parametrize(("kind", "name", "contract"), PAIRS, ids=[f"{name}-{contract}" for _, name, contract in PAIRS])
def test_a_plug_in_keeps_its_contract(kind, name, contract, request, monkeypatch):
    if kind == "data" and name in ("mnist", "fashion-mnist", "cifar10", "faces"):
        monkeypatch.setenv("ADVGEN_DATA", str(request.getfixturevalue("shared_data")))
    if name == "peers/foolbox" and find_spec("foolbox") is None:
        pytest.skip("needs the extra advgen[peers]")
    cls = registry.load_class(kind, name)
    digests = request.getfixturevalue("digests") if contract == ELSEWHERE else {}
    check = contracts_of(cls, digests=digests)[contract]
    result = judged(contract, check, cls, getattr(cls, "waives", {}))
    assert result.verdict != "failed", result.detail
    if result.verdict == "not applicable":
        pytest.skip(result.detail)


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_waivers_name_contracts(kind, name):
    waives = registry.describe(kind, name).literals.get("waives", {})
    assert set(waives) <= set(CONTRACTS[kind])


BUDGETS = {"Linf": 8 / 255, "L2": 0.5, "L1": 2.0, "L0": 6, "Latent": 0.5, "Lpips": 0.03}
TARGETS = ("linear", "two_class", "one_logit", "matcher", "saturated", "masked", "stochastic", "all_negative")


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_keeps_its_contracts(name):
    for radius in (BUDGETS[name], torch.full((6,), float(BUDGETS[name]))):
        assert [r for r in check_plugin(make_ball(name, radius)) if r.verdict == "failed"] == []


@pytest.mark.parametrize("name", [*TARGETS, "times_100", "training_network"])
def test_a_toy_target_keeps_its_contracts(name):
    assert [r for r in check_plugin(getattr(toys, name)()) if r.verdict == "failed"] == []


@pytest.mark.parametrize("name", ["untargeted", "targeted", "one logit"])
def test_a_goal_keeps_its_contracts(name):
    target = toys.one_logit() if name == "one logit" else toys.linear()
    labels = torch.arange(6) % (2 if name == "one logit" else 4)
    goal = goal_of(target, labels, "targeted" if name == "targeted" else "untargeted", 3 - labels)
    assert [r for r in check_plugin(goal) if r.verdict == "failed"] == []
