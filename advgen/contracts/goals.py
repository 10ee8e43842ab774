"""What goals keep; the subject is an instance for one batch."""

from typing import Any

import torch
from torch import Tensor

from advgen.contracts.contract import NotApplicable, named, rows
from advgen.core.types import Goal, Outputs


def is_reached_where_the_loss_is_below_zero(goal: Goal) -> str:
    """With the margin, verdict and loss agree on every logit, so nothing counts that was not searched for."""
    if getattr(goal, "objective", "margin") != "margin":
        return NotApplicable("its loss is not the margin")
    n = len(goal.labels)
    for scale, shift in ((1.0, 0.0), (100.0, 0.0), (1.0, -100.0), (1e-3, 0.0)):
        outputs = Outputs(_logits(goal, n) * scale + (shift if getattr(goal, "decision", "") == "argmax" else 0.0))
        wrong = goal.reached(outputs) != (goal.loss(outputs) < 0)
        if bool(wrong.any()):
            return f"verdict and loss disagree with logits times {scale:g} plus {shift:g}, in {rows(wrong)}"
    return ""


def is_never_reached_by_what_is_not_finite(goal: Goal) -> str:
    """Logits of NaN or infinity have fooled nobody."""
    n = len(goal.labels)
    for value in (torch.nan, torch.inf, -torch.inf):
        if bool(goal.reached(Outputs(torch.full_like(_logits(goal, n), value))).any()):
            return f"is reached by logits of {value}"
    return ""


def is_not_reached_where_rejected(goal: Goal) -> str:
    """An alarm above 0 is a rejection, and its loss falls with the alarm."""
    n = len(goal.labels)
    logits = _logits(goal, n)
    loud, quiet = torch.full((n,), 0.5), torch.full((n,), -0.5)
    if bool(goal.reached(Outputs(logits, loud)).any()):
        return "is reached by images that were rejected"
    if not torch.equal(goal.reached(Outputs(logits, quiet)), goal.reached(Outputs(logits))):
        return "a silent alarm changes its verdict"
    return (
        ""
        if bool((goal.loss(Outputs(logits, quiet)) < goal.loss(Outputs(logits, loud))).all())
        else ("its loss does not fall with the alarm")
    )


def takes_its_own_samples(goal: Goal) -> str:
    """What remains when samples leave gives the same losses."""
    n = len(goal.labels)
    logits, index = _logits(goal, n), torch.arange(n - 1, -1, -2)
    same = torch.equal(goal.take(index).loss(Outputs(logits[index])), goal.loss(Outputs(logits))[index])
    return "" if same else "its losses are another sample's after samples left"


GOALS = named(
    is_reached_where_the_loss_is_below_zero,
    is_never_reached_by_what_is_not_finite,
    is_not_reached_where_rejected,
    takes_its_own_samples,
)


def _logits(goal: Any, n: int) -> Tensor:
    classes = 1 if getattr(goal, "binary", False) else 1 + int(max(goal.labels.max(), 3))
    return torch.randn((n, classes), generator=torch.Generator().manual_seed(2))
