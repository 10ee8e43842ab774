"""Goals: the loss is below zero exactly where the verdict says so, for every kind of target."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.goals import ALARM_FLOOR, MARGIN_FLOOR, make_goal
from advgen.core.types import Outputs

settings.register_profile("shared", deadline=None, max_examples=60)
settings.load_profile("shared")

N, K = 4, 5


def logits(classes, low=-50.0, high=50.0):
    numbers = st.floats(low, high, width=32, allow_subnormal=False)
    return st.lists(numbers, min_size=N * classes, max_size=N * classes).map(
        lambda v: torch.tensor(v).reshape(N, classes)
    )


labels_of = lambda classes: st.lists(st.integers(0, classes - 1), min_size=N, max_size=N).map(torch.tensor)


@st.composite
def goals(draw):
    """A goal of any kind, with logits for it and the plain-language answer to whether each row reached it."""
    name = draw(st.sampled_from(["untargeted", "targeted", "binary", "pass-as-real", "impersonate", "evade-identity"]))
    if name in ("untargeted", "targeted"):
        z, labels, wanted = draw(logits(K)), draw(labels_of(K)), draw(labels_of(K))
        goal = make_goal(name, labels, wanted, decision="argmax", classes=K)
        best = z.argmax(1)
        return goal, z, best == wanted if name == "targeted" else best != labels
    if name in ("binary", "pass-as-real"):
        z = draw(logits(1))
        labels = draw(labels_of(2)) if name == "binary" else torch.ones(N, dtype=torch.int64)
        goal = make_goal("untargeted" if name == "binary" else name, labels, decision="sign", classes=1)
        return goal, z, (z[:, 0] > 0).long() != labels
    z, labels, wanted = draw(logits(K)), draw(labels_of(K)), draw(labels_of(K))
    goal = make_goal(name, labels, wanted, decision="sign", classes=K)
    accepted = z > 0
    rows = torch.arange(N)
    return goal, z, accepted[rows, wanted] if name == "impersonate" else ~accepted[rows, labels]


@given(goals())
def test_the_verdict_is_the_plain_one(drawn):
    goal, z, reached = drawn
    assert torch.equal(goal.reached(Outputs(z)), reached)


@given(goals())
def test_the_margin_is_below_zero_exactly_where_the_goal_is_reached_and_not_tied(drawn):
    goal, z, reached = drawn
    loss = goal.loss(Outputs(z))
    assert torch.equal(loss[loss != 0] < 0, reached[loss != 0])


@given(goals(), st.sampled_from([1e-3, 100.0]))
def test_a_factor_on_the_logits_changes_the_margin_and_no_verdict(drawn, factor):
    goal, z, _ = drawn
    torch.testing.assert_close(goal.loss(Outputs(z * factor)), goal.loss(Outputs(z)) * factor, rtol=1e-4, atol=1e-6)
    assert torch.equal(goal.reached(Outputs(z * factor)), goal.reached(Outputs(z)))


@given(logits(K, -3, 3), labels_of(K), labels_of(K), st.booleans())
def test_a_constant_on_all_logits_changes_nothing_for_an_argmax(z, labels, wanted, targeted):
    """Code that masks the label's logit with zero finds that zero as the best other one where all are negative."""
    goal = make_goal("targeted" if targeted else "untargeted", labels, wanted, decision="argmax", classes=K)
    loss, lower = goal.loss(Outputs(z)), goal.loss(Outputs(z - 100))
    torch.testing.assert_close(lower, loss, rtol=0, atol=1e-4)


@given(goals(), st.data())
def test_what_remains_after_samples_leave_is_the_same_goal(drawn, data):
    goal, z, reached = drawn
    index = torch.tensor(data.draw(st.lists(st.integers(0, N - 1), max_size=N)), dtype=torch.int64)
    few = goal.take(index)
    assert torch.equal(few.loss(Outputs(z[index])), goal.loss(Outputs(z))[index])
    assert torch.equal(few.reached(Outputs(z[index])), reached[index])
    mask = torch.zeros(N, dtype=torch.bool)
    mask[index] = True
    assert torch.equal(goal.take(mask).loss(Outputs(z[mask])), goal.loss(Outputs(z))[mask])


@given(goals(), st.lists(st.floats(-3, 3, width=32), min_size=N, max_size=N))
def test_a_rejected_image_has_not_reached_its_goal(drawn, alarms):
    goal, z, reached = drawn
    alarm = torch.tensor(alarms)
    assert torch.equal(goal.reached(Outputs(z, alarm)), reached & (alarm <= 0))


@given(goals(), st.lists(st.floats(-3, 3, width=32), min_size=N, max_size=N))
def test_neither_margin_nor_alarm_buys_slack_for_the_other(drawn, alarms):
    """At its floor the other term still decides: far beyond one boundary, the loss is the other's distance."""
    goal, z, _ = drawn
    alarm = torch.tensor(alarms)
    loss = goal.loss(Outputs(z, alarm))
    margin = goal.loss(Outputs(z))
    torch.testing.assert_close(loss, margin.clamp(min=-MARGIN_FLOOR) + alarm.clamp(min=-ALARM_FLOOR))
    assert (loss >= -MARGIN_FLOOR - ALARM_FLOOR).all()


@given(logits(K, -5, 5), labels_of(K), labels_of(K))
def test_cross_entropy_is_torchs(z, labels, wanted):
    untargeted = make_goal("untargeted", labels, decision="argmax", classes=K, objective="cross_entropy")
    targeted = make_goal("targeted", labels, wanted, decision="argmax", classes=K, objective="cross_entropy")
    log_p = z.double().log_softmax(1)
    torch.testing.assert_close(untargeted.loss(Outputs(z)).double(), log_p[torch.arange(N), labels], atol=1e-5, rtol=0)
    torch.testing.assert_close(targeted.loss(Outputs(z)).double(), -log_p[torch.arange(N), wanted], atol=1e-5, rtol=0)


@given(logits(1, -8, 8), labels_of(2))
def test_one_logit_is_worth_two_of_half_its_size(z, labels):
    """Logit z says what (-z / 2, z / 2) says, in margin and in cross-entropy."""
    two = torch.cat([-z / 2, z / 2], dim=1)
    one_goal = make_goal("untargeted", labels, decision="sign", classes=1)
    two_goal = make_goal("untargeted", labels, decision="argmax", classes=2)
    torch.testing.assert_close(one_goal.loss(Outputs(z)), two_goal.loss(Outputs(two)))


def test_a_logit_of_exactly_zero_is_not_accepted():
    zero = Outputs(torch.zeros(2, 1))
    goal = make_goal("untargeted", torch.tensor([0, 1]), decision="sign", classes=1)
    assert goal.reached(zero).tolist() == [False, True]
    person = Outputs(torch.zeros(1, 3))
    one = torch.tensor([1])
    assert not make_goal("impersonate", one - 1, one, decision="sign", classes=3).reached(person).any()
    assert make_goal("evade-identity", one, decision="sign", classes=3).reached(person).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("classes", [1, 3])
def test_what_is_not_finite_has_fooled_nobody(value, classes):
    goal = make_goal("untargeted", torch.tensor([1]), decision="sign" if classes == 1 else "argmax", classes=classes)
    assert not goal.reached(Outputs(torch.full((1, classes), value))).any()


@pytest.mark.parametrize(
    ("name", "decision", "classes", "match"),
    [
        ("untargetted", "argmax", 3, "untargeted"),
        ("targeted", "argmax", 3, "wanted class"),
        ("impersonate", "sign", 3, "wanted class"),
        ("pass-as-real", "argmax", 3, "sign"),
        ("pass-as-real", "sign", 3, "one logit"),
        ("untargeted", "argmax", 1, "sign"),
        ("untargeted", "argmax", 2, "label is 2"),
    ],
)
def test_goals_that_a_target_cannot_have_are_refused_in_a_sentence(name, decision, classes, match):
    with pytest.raises((BadArgument, UnknownName), match=match):
        make_goal(name, torch.tensor([0, 2]), decision=decision, classes=classes)
