"""Claims over measurements: decided over seeds and samples, paired where they match; or they say why not."""

import json

import numpy as np
import pandas as pd
import pytest

from advgen.core.errors import BadArgument, UnknownName, UserError
from advgen.experiments.claims import Claim
from advgen.experiments.claims_readings import QuantityClaim, RankClaim, claim_of
from advgen.experiments.store_readings import CURVE_COLUMNS
from advgen.experiments.study import parse
from advgen.experiments.verdicts import Read, decide

NO_CURVES = pd.DataFrame(columns=list(CURVE_COLUMNS))
NO_ROWS = pd.DataFrame()


def arm(name: str, values: np.ndarray, *, quantity: str = "height", first: int = 0, **args: object) -> pd.DataFrame:
    """Readings (seeds, samples) of one arm."""
    m, n = values.shape
    seeds = np.repeat(np.arange(m), n)
    ids = [f"ruler/{i}" for i in np.tile(np.arange(first, first + n), m)] if n > 1 else [f"seed/{s}" for s in seeds]
    return pd.DataFrame(
        {
            "cell_key": [f"{name}/{s}" for s in seeds], "measure": "heights", "label": "", "arm": name,
            "seed": seeds.astype(object), "args": json.dumps(args), "sample_id": ids, "quantity": quantity,
            "value": values.ravel(), "cluster": ids, "timing": False,
        }
    )  # fmt: skip


def values(plus: float, seed: int, *, seeds: int = 3, samples: int = 30) -> np.ndarray:
    """Samples shared by all arms, and chance of the arm's own."""
    shared = np.random.default_rng(99).normal(size=(seeds, samples))
    return plus + shared + 0.3 * np.random.default_rng(seed).normal(size=(seeds, samples))


def verdict(readings: pd.DataFrame, curves: pd.DataFrame = NO_CURVES, units: dict | None = None, **claim: object):
    return decide(NO_ROWS, [claim_of({"statement": "it is so", **claim})], read=Read(readings, curves, units or {}))[0]


BOTH = pd.concat([arm("low", values(2, 1), plus=0), arm("high", values(3, 2), plus=1)])


def test_a_clear_paired_difference_is_supported_and_its_reverse_refuted():
    claim = {"quantity": "height", "of": {"arm": "high"}, "versus": {"arm": "low"}, "margin": 0.5}
    assert verdict(BOTH, **claim).status == "supported"
    assert verdict(BOTH, **claim, relation="<").status == "refuted"
    assert verdict(BOTH, **claim | {"margin": 1.0}).status == "undecided"


def test_pairing_takes_out_what_the_samples_share():
    difference = verdict(BOTH, quantity="height", of={"arm": "high"}, versus={"arm": "low"})
    alone = verdict(BOTH, quantity="height", of={"arm": "high"})
    assert _width(difference) < 0.5 * _width(alone)


def test_arms_are_chosen_by_name_or_by_argument():
    by_name = verdict(BOTH, quantity="height", of={"arm": "high"}, versus={"arm": "low"})
    by_argument = verdict(BOTH, quantity="height", of={"plus": 1}, versus={"plus": 0})
    assert by_name[1:] == by_argument[1:]


def test_a_ratio_is_tested_against_a_ratio():
    seconds = pd.concat(
        [arm("slow", np.array([[10.0], [11.0], [12.0], [11.5]])), arm("quick", np.array([[5.0], [5.4], [6.1], [5.8]]))]
    )
    claim = {"quantity": "height", "of": {"arm": "quick"}, "versus": {"arm": "slow"}, "ratio": True, "relation": "<"}
    found = verdict(seconds, **claim, margin=0.7)
    assert found.status == "supported"
    assert found.value == pytest.approx(22.3 / 44.5)
    assert verdict(seconds, **claim, margin=0.3).status == "refuted"


@pytest.mark.slow
def test_false_verdicts_on_equal_arms_stay_below_the_level():
    false = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        arms = [rng.normal(size=(3, 1)) + rng.normal(size=(3, 20)) for _ in range(2)]  # three trainings each
        readings = pd.concat([arm("a", arms[0]), arm("b", arms[1])])
        found = verdict(readings, quantity="height", of={"arm": "a"}, versus={"arm": "b"})
        false += found.status in ("supported", "refuted")
    assert false <= 9  # 5% of 100, and room for chance


def test_three_seeds_that_agree_by_luck_are_undecided():
    readings = pd.concat([arm("a", np.array([[1.2], [1.5], [1.9]])), arm("b", np.array([[1.0], [1.0], [1.0]]))])
    found = verdict(readings, quantity="height", of={"arm": "a"}, versus={"arm": "b"})
    assert found.status == "undecided"


def test_one_seed_says_so():
    readings = pd.concat([arm("a", values(1, 1, seeds=1)), arm("b", values(0, 2, seeds=1))])
    found = verdict(readings, quantity="height", of={"arm": "a"}, versus={"arm": "b"})
    assert found.status == "supported"
    assert "One seed" in found.note


def test_one_training_meets_three_of_the_other_side_sample_by_sample():
    readings = pd.concat([arm("fixed", values(0, 1, seeds=1)), arm("trained", values(1, 2))])
    found = verdict(readings, quantity="height", of={"arm": "trained"}, versus={"arm": "fixed"})
    assert found.n == 90
    assert found.status == "supported"


def test_arms_without_a_common_sample_are_compared_unpaired():
    readings = pd.concat([arm("a", values(5, 1)), arm("b", values(0, 2), first=100)])
    found = verdict(readings, quantity="height", of={"arm": "a"}, versus={"arm": "b"})
    assert found.status == "supported"
    assert "unpaired" in found.note


def test_samples_that_one_side_alone_has_are_left_out_and_counted():
    short = arm("b", values(0, 2)).iloc[:-10]
    found = verdict(pd.concat([arm("a", values(1, 1)), short]), quantity="height", of={"arm": "a"}, versus={"arm": "b"})
    assert found.n == 80
    assert "80 of 90 readings have a partner" in found.note


def test_all_claims_of_a_study_are_corrected_together():
    readings = pd.concat([arm(f"a{k}", values(0.06 * (k == 0), k)) for k in range(8)])
    claims = [
        claim_of({"statement": str(k), "quantity": "height", "of": {"arm": f"a{k}"}, "versus": {"arm": "a7"}})
        for k in range(7)
    ]
    alone = decide(NO_ROWS, claims[:1], read=Read(readings, NO_CURVES))[0]
    together = decide(NO_ROWS, claims, read=Read(readings, NO_CURVES))[0]
    assert together.p > alone.p


def test_values_that_never_vary_are_decided_by_the_sign_test_and_shares_by_their_bounds():
    same = pd.concat([arm("a", np.full((1, 20), 3.0)), arm("b", np.full((1, 20), 1.0))])
    found = verdict(same, quantity="height", of={"arm": "a"}, versus={"arm": "b"})
    assert (found.status, found.value, found.interval) == ("supported", 2.0, (2.0, 2.0))
    share = verdict(arm("a", np.ones((1, 20))), units={"height": "share"}, quantity="height", of={}, margin=0.95)
    assert share.status == "undecided"
    assert share.interval == pytest.approx((0.025 ** (1 / 20), 1.0))


def test_ranks_are_compared_over_arms():
    ppl, fid = (5.0, 4, 3, 2.5, 2, 1), (50.0, 40, 30, 25, 22, 10)
    readings = pd.concat(
        [
            arm(f"g{k}", np.full((2, 1), number[k]) + [[0.0], [0.01]], quantity=name)
            for name, number in (("ppl", ppl), ("fid", fid))
            for k in range(6)
        ]
    )
    claim = {"ranks": ["ppl", "fid"], "of": {}, "relation": ">", "margin": 0.0}
    found = verdict(readings, **claim)
    assert (found.status, found.value, found.n) == ("supported", pytest.approx(1), 6)
    few = readings[readings["arm"].isin(["g0", "g1", "g2"])]
    assert verdict(few, **claim).status == "untestable"


def test_a_claim_reads_a_curve_at_a_place():
    def curves(name: str, quick: float) -> pd.DataFrame:
        frame = arm(name, values(quick, 1)).drop(columns=["value", "quantity", "cluster", "timing"])
        frame = frame.assign(curve=0, x_quantity="seconds", y_quantity="height")
        return pd.concat([frame.assign(x=x, y=np.arange(90) % 7 + quick * (x > 1)) for x in (0.5, 2.0)])

    drawn = pd.concat([curves("a", 1.0), curves("b", 0.0)])
    claim = {"quantity": "height", "of": {"arm": "a"}, "versus": {"arm": "b"}}
    assert verdict(BOTH, drawn, **claim, at={"seconds": 3}).value == pytest.approx(1)
    assert verdict(BOTH, drawn, **claim, at={"seconds": 1}).value == pytest.approx(0)
    nothing = verdict(BOTH, drawn, **claim, at={"seconds": 0.1})
    assert nothing.status == "untestable"


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"of": {}}, "several values of arm"),
        ({"of": {"arm": "high"}, "quantity": "weight"}, "has a weight"),
        ({"of": {"arm": "none"}}, "no finished measurement"),
        ({"of": {"plus": 1}}, "several values of label (here, there)"),
    ],
)
def test_what_the_readings_cannot_answer_is_untestable_with_the_reason(claim, reason):
    elsewhere = arm("high", values(3, 2), plus=1).assign(label="there", cell_key="elsewhere")
    readings = pd.concat([BOTH.assign(label="here"), elsewhere]) if "label" in reason else BOTH
    found = verdict(readings, **{"quantity": "height", **claim})
    assert found.status == "untestable"
    assert reason in found.note


def test_nothing_measured_is_untestable():
    found = decide(NO_ROWS, [claim_of({"statement": "s", "quantity": "height", "of": {}})])
    assert found[0].status == "untestable"


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ({"quantity": "height"}, "needs `of`"),
        ({"of": {}}, "one of metric"),
        ({"quantity": "height", "metric": "success", "of": {}}, "one of metric"),
        ({"quantity": "height", "of": {}, "ratio": True}, "give `versus`"),
        ({"quantity": "height", "of": {}, "versus": {}, "ratio": True, "margin": 0}, "above 0"),
        ({"quantity": "height", "of": "high"}, "is a mapping"),
        ({"quantity": "height", "of": {}, "margn": 1}, "did you mean 'margin'"),
        ({"quantity": "height", "of": {}, "relation": "=="}, "relation is one of"),
        ({"quantity": "height", "of": {}, "at": {"a": 1, "b": 2}}, "one quantity and its value"),
        ({"ranks": ["a"], "of": {}}, "two quantities"),
        ({"ranks": ["a", "b"], "of": {}, "margin": 1}, "between -1 and 1"),
    ],
)
def test_a_malformed_claim_is_refused_in_one_sentence(claim, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        claim_of({"statement": "it is so", **claim})
    assert isinstance(raised.value, BadArgument | UnknownName)


def test_each_kind_of_claim_comes_back_from_its_plain_values():
    for claim in (
        Claim("a", "success", {}),
        QuantityClaim("b", "height", {"arm": "x"}, {"arm": "y"}, "<", 0.7, ratio=True, at={"seconds": 1.0}),
        RankClaim("c", ("ppl", "fid"), {}),
    ):
        assert claim_of(json.loads(json.dumps(claim.canonical()))).canonical() == claim.canonical()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"quantity": "hight"}, "did you mean 'height'"),
        ({"of": {"arm": "hihg"}}, "did you mean 'high'"),
        ({"of": {"arms": "high"}}, "did you mean 'arm'"),
        ({"of": {"plus": 1.5, "arm": "low"}}, "no measurement has all of"),
        ({"at": {"second": 1}}, "did you mean 'seconds'"),
    ],
)
def test_a_claim_that_no_measurement_can_answer_is_refused_before_the_run(measured_study, change, sentence):
    measured_study["claims"][0] |= change
    with pytest.raises(UserError, match=sentence):
        parse(measured_study, "here")


def test_a_claim_over_measurements_needs_some(small_study):
    small_study["claims"] = [{"statement": "s", "quantity": "height", "of": {}}]
    with pytest.raises(BadArgument, match="the study has none"):
        parse(small_study, "here")


def _width(found) -> float:
    return found.interval[1] - found.interval[0]
