"""Claims are decided by interval and corrected p-value, paired where samples match; or they say why not."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from advgen.core.errors import BadArgument, UnknownName, UserError
from advgen.core.specs import Row
from advgen.experiments.claims import Claim, claims_hash, is_post_hoc
from advgen.experiments.verdicts import decide

N = 200
RNG = np.random.default_rng


def cell(success: np.ndarray, *, attack: str = "image/pgd", defense: str = "", **columns: object) -> pd.DataFrame:
    """Rows of one cell in which every original is right and the attack succeeds as told."""
    n = len(success)
    table = pd.DataFrame([Row(f"avatars/test/{i}", f"{attack}{defense}", 0)._asdict() for i in range(n)])
    answers = {"clean_prediction": 0, "prediction": success.astype(int), "success_saved": success.astype(bool)}
    where = {"data": "avatars", "split": "test", "target": "identity", "goal": "untargeted", "surrogate": "", "seed": 0}
    how = {"attack": attack, "attack_args": "", "knowledge": "adaptive", "stop": "never", "access": "white-box"}
    budget = {"budget": "Linf", "radius": "8/255", "radius_value": 8 / 255, "inside": True, "rejected": False}
    sample = {"cluster": table["sample_id"], "training_seed": -1}
    return table.assign(**answers, **where, **how, **budget, **sample, defense=defense).assign(**columns)


def hardness(seed: int = 0) -> np.ndarray:
    return RNG(seed).random(N)


DAE, NONE = {"defense": "purify/dae"}, {"defense": ""}


def verdict(rows: pd.DataFrame, **claim: object):
    return decide(rows, [Claim("it is so", **claim)])[0]


def test_a_clear_paired_difference_is_supported_and_its_reverse_refuted() -> None:
    rows = pd.concat([cell(hardness() < 0.9), cell(hardness() < 0.6, defense="purify/dae")])
    claim = {"metric": "robust_accuracy", "of": DAE, "versus": NONE}
    assert verdict(rows, **claim).status == "supported"
    assert verdict(rows, **claim, relation="<").status == "refuted"
    assert verdict(rows, **claim).value == pytest.approx(((hardness() < 0.9) & (hardness() >= 0.6)).mean())


def test_the_margin_is_part_of_the_claim() -> None:
    rows = pd.concat([cell(hardness() < 0.9), cell(hardness() < 0.6, defense="purify/dae")])
    claim = {"metric": "robust_accuracy", "of": DAE, "versus": NONE}
    assert verdict(rows, **claim, margin=0.15).status == "supported"
    assert verdict(rows, **claim, margin=0.30).status == "undecided"
    assert verdict(rows, **claim, margin=0.50).status == "refuted"


def test_a_difference_inside_its_interval_is_undecided_and_says_what_could_have_been_seen() -> None:
    rows = pd.concat([cell(RNG(1).random(N) < 0.5), cell(RNG(2).random(N) < 0.5, defense="purify/dae")])
    found = verdict(rows, metric="success", of=DAE, versus=NONE)
    assert found.status == "undecided"
    assert "power 80%" in found.note


def test_a_number_alone_is_tested_with_wilson() -> None:
    rows = cell(np.arange(N) < 20)
    found = verdict(rows, metric="success", of={}, relation="<", margin=0.2)
    assert found.status == "supported"
    assert found.interval == pytest.approx((0.0656, 0.1493), abs=1e-3)
    assert verdict(rows, metric="success", of={}, relation=">", margin=0.08).status == "undecided"


def test_the_worst_attack_counts_sample_by_sample() -> None:
    rows = pd.concat([cell(np.arange(N) < 100, attack="a"), cell(np.arange(N) >= 100, attack="b")])
    assert verdict(rows, metric="robust_accuracy", of={}, relation="<", margin=0.1).value == 0
    assert verdict(rows, metric="robust_accuracy", of={"attack": "a"}, relation="<", margin=0.1).value == 0.5


@pytest.mark.slow
def test_false_verdicts_on_equal_defenses_stay_below_the_level_over_several_claims() -> None:
    false = 0
    for seed in range(50):
        rng = RNG(seed)
        rows = pd.concat([cell(rng.random(60) < 0.5, defense=d) for d in ("", "d1", "d2", "d3", "d4")])
        claims = [Claim(d, "success", {"defense": d}, NONE, "<") for d in ("d1", "d2", "d3", "d4")]
        false += any(v.status in ("supported", "refuted") for v in decide(rows, claims))
    assert false <= 6


def test_holm_takes_back_what_one_of_many_claims_would_have_shown() -> None:
    rows = cell(np.arange(100) < 61).iloc[:100]  # p = 0.035 against one half
    alone = Claim("more than half", "success", {}, margin=0.5)
    assert decide(rows, [alone])[0].status == "supported"
    together = decide(rows, [alone, Claim("more than 0.6", "success", {}, margin=0.6)])
    assert together[0].status == "undecided"
    assert "correction" in together[0].note


def test_three_training_seeds_widen_the_interval() -> None:
    wins = {0: 0.35, 1: 0.6, 2: 0.85}
    rows = pd.concat([cell(hardness(s) < p, defense="purify/dae", training_seed=s) for s, p in wins.items()])
    one = verdict(rows, metric="success", of={**DAE, "training_seed": 1}, margin=0.45)
    three = verdict(rows, metric="success", of=DAE, margin=0.45)
    assert one.status == "supported"
    assert three.status == "undecided"
    assert three.interval[1] - three.interval[0] > 2 * (one.interval[1] - one.interval[0])


def test_three_training_seeds_meet_the_one_undefended_network_sample_by_sample() -> None:
    trained = [cell(hardness() < p, defense="purify/dae", training_seed=s) for s, p in enumerate((0.3, 0.32, 0.34))]
    found = verdict(pd.concat([cell(hardness() < 0.9), *trained]), metric="success", of=DAE, versus=NONE, relation="<")
    assert (found.status, found.n) == ("supported", 3 * N)


def test_clusters_widen_the_interval() -> None:
    cluster = np.arange(N) // 20
    lucky = RNG(3).random(10)[cluster] < 0.5
    rows = cell(lucky)
    flat = verdict(rows, metric="success", of={}).interval
    clustered = verdict(rows.assign(cluster=cluster.astype(str)), metric="success", of={}).interval
    assert clustered[1] - clustered[0] > 2 * (flat[1] - flat[0])


def test_area_and_detection_are_tested_on_alarms() -> None:
    rng = RNG(4)
    scores = {"clean_alarm": rng.normal(-2, 1, N), "alarm": rng.normal(1, 1, N)}
    held = cell(np.zeros(N), attack="", split="calibration").assign(clean_alarm=rng.normal(-2, 1, N))
    held["sample_id"] = held["cluster"] = [f"avatars/calibration/{i}" for i in range(N)]
    rows = pd.concat([cell(np.zeros(N), **scores), held])
    assert verdict(rows, metric="auc", of={"split": "test"}, margin=0.9).status == "supported"
    assert verdict(rows, metric="tpr_at_5", of={"split": "test"}, margin=0.75).status == "supported"
    refused = verdict(rows, metric="tpr_at_1", of={"split": "test"}, margin=0.5)
    assert refused.status == "untestable"
    assert "1000 clean calibration images" in refused.note


def test_medians_are_compared_on_the_same_samples() -> None:
    base = RNG(5).random(N)
    rows = pd.concat([cell(np.ones(N), lpips=base), cell(np.ones(N), attack="minimum/cw", lpips=base - 0.05)])
    claim = {
        "metric": "median_lpips",
        "of": {"attack": "minimum/cw"},
        "versus": {"attack": "image/pgd"},
        "relation": "<",
    }
    found = verdict(rows, **claim)
    assert (found.status, found.value) == ("supported", pytest.approx(-0.05))


def test_selections_without_a_common_sample_are_compared_unpaired() -> None:
    other = cell(RNG(6).random(N) < 0.9, data="digits")
    other["sample_id"] = other["cluster"] = [f"digits/test/{i}" for i in range(N)]
    rows = pd.concat([cell(RNG(7).random(N) < 0.5), other])
    found = verdict(rows, metric="success", of={"data": "digits"}, versus={"data": "avatars"})
    assert found.status == "supported"
    assert "unpaired" in found.note


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        ({"defense": "purify/daee"}, "did you mean 'purify/dae'"),
        ({}, "several values of defense"),
        ({"defense": "", "attack": ""}, "not measured"),
    ],
)
def test_what_the_rows_cannot_answer_is_untestable_with_the_reason(selector: dict, reason: str) -> None:
    rows = pd.concat([cell(hardness() < 0.9), cell(hardness() < 0.6, defense="purify/dae")])
    baseline = cell(np.zeros(N), attack="").assign(success_saved=None)
    found = verdict(pd.concat([rows, baseline.astype({"success_saved": object})]), metric="success", of=selector)
    assert found.status == "untestable"
    assert reason in found.note


def test_samples_with_errors_leave_the_claim() -> None:
    rows = cell(np.ones(N)).assign(error=[""] * 150 + ["the target raised."] * 50)
    assert verdict(rows, metric="success", of={}).n == 150


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ({"metric": "robust_acuracy"}, "did you mean 'robust_accuracy'"),
        ({"of": {"defence": ""}}, "did you mean 'defense'"),
        ({"relation": "=="}, "relation is one of"),
        ({"margin": 5}, "5% is 0.05"),
        ({"margin": float("nan")}, "finite"),
        ({"statement": " "}, "needs a statement"),
        ({"of": "purify/dae"}, "mapping"),
    ],
)
def test_a_malformed_claim_is_refused_in_one_sentence(claim: dict, sentence: str) -> None:
    good = {"statement": "it is so", "metric": "success", "of": {}}
    with pytest.raises(UserError, match=sentence) as raised:
        Claim(**{**good, **claim})
    assert isinstance(raised.value, BadArgument | UnknownName)


def test_changed_claims_are_post_hoc_and_reordered_ones_are_not() -> None:
    first, second = Claim("a", "success", {"attack": "x", "defense": ""}), Claim("b", "auc", {})
    stored = claims_hash("does it?", [first, second], [("Linf", "8/255")])
    same = Claim("a", "success", {"defense": "", "attack": "x"})
    assert not is_post_hoc(stored, "does it?", [second, same], [("Linf", "8/255")])
    assert not is_post_hoc(None, "does it?", [], [])
    assert is_post_hoc(stored, "does it?", [first, second], [("Linf", "9/255")])
    assert is_post_hoc(stored, "did it?", [first, second], [("Linf", "8/255")])
    assert is_post_hoc(stored, "does it?", [first, Claim("b", "auc", {}, margin=0.1)], [("Linf", "8/255")])


def test_claims_load_without_numpy_and_verdicts_without_torch() -> None:
    code = (
        "import sys, advgen.experiments.claims; assert not {'numpy', 'pandas', 'scipy', 'torch'} & set(sys.modules); "
        "import advgen.experiments.verdicts; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
