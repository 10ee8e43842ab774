"""Goals: when an attack has succeeded, as a loss to minimise and a verdict, both (N,) over what the target says.

The margin (Carlini & Wagner 2017, arXiv 1608.04644, objective f6) works for any number of logits, one included;
cross-entropy is there for comparison with published runs, and so is DLR, the margin divided by how far the first and
third logit are apart (Croce & Hein 2020, arXiv 2003.01690, equations 6 and 7; three classes, targeted four). Where the
target can reject an image, its alarm is added in clean standard deviations, and both terms are floored so that neither
buys slack for the other.
"""

from dataclasses import dataclass, replace
from typing import Literal, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.specs import GOALS
from advgen.core.types import Index, Outputs

MARGIN_FLOOR = 1.0  # with an alarm: logits beyond the boundary after which only the alarm counts
ALARM_FLOOR = 0.25  # clean standard deviations below the threshold after which only the margin counts

Decision = Literal["argmax", "sign"]
Objective = Literal["margin", "cross_entropy", "dlr"]
OBJECTIVES = ("margin", "cross_entropy", "dlr")
DLR_FLOOR = 1e-12  # of the denominator, as in the authors' code


@final
@dataclass(frozen=True)
class LogitGoal:
    """A goal over logits (N, K). `watched` is the logit it is about: the label's, or the wanted one's."""

    name: str
    labels: Tensor  # (N,) true classes; 0 or 1 for a target with one logit
    wanted: Tensor | None
    decision: Decision
    objective: Objective = "margin"
    binary: bool = False  # one logit: label 1 stands for logit > 0

    def take(self, index: Index) -> Self:
        wanted = None if self.wanted is None else self.wanted[index]
        return replace(self, labels=self.labels[index], wanted=wanted)

    def loss(self, outputs: Outputs) -> Tensor:
        """(N,), minimised; below zero exactly where the goal is reached (margin, no ties)."""
        objectives = {"margin": self._margin, "cross_entropy": self._cross_entropy, "dlr": self._dlr}
        main = objectives[self.objective](outputs.logits)
        if outputs.alarm is None:
            return main
        return main.clamp(min=-MARGIN_FLOOR) + outputs.alarm.clamp(min=-ALARM_FLOOR)

    def reached(self, outputs: Outputs) -> Tensor:
        """(N,) bool: fooled and not rejected. What is not finite has fooled nobody."""
        logits = outputs.logits
        if self.decision == "argmax":
            prediction = logits.argmax(1)
            fooled = prediction == self.wanted if self.wanted is not None else prediction != self.labels
        else:
            signed = self._signed(logits)
            fooled = torch.where(self._must_be_accepted(), signed < 0, signed <= 0)
        fooled = fooled & logits.isfinite().all(1)
        return fooled if outputs.alarm is None else fooled & (outputs.alarm <= 0)

    def _margin(self, logits: Tensor) -> Tensor:
        if self.decision == "sign":
            return self._signed(logits)
        watched = self.labels if self.wanted is None else self.wanted
        own = logits.gather(1, watched[:, None])[:, 0]
        others = logits.scatter(1, watched[:, None], -torch.inf).amax(1)
        return own - others if self.wanted is None else others - own

    def _cross_entropy(self, logits: Tensor) -> Tensor:
        if self.decision == "sign":
            return F.softplus(self._signed(logits))
        if self.wanted is None:
            return -F.cross_entropy(logits, self.labels, reduction="none")
        return F.cross_entropy(logits, self.wanted, reduction="none")

    def _dlr(self, logits: Tensor) -> Tensor:
        if self.wanted is None:
            highest = logits.topk(3, dim=1).values
            return self._margin(logits) / (highest[:, 0] - highest[:, 2] + DLR_FLOOR)
        return dlr_towards(logits, self.labels, self.wanted)

    def _signed(self, logits: Tensor) -> Tensor:
        """The logit that must change sign, times the sign it has to lose."""
        if self.name == "impersonate":
            assert self.wanted is not None
            return -logits.gather(1, self.wanted[:, None])[:, 0]
        if self.name == "evade-identity":
            return logits.gather(1, self.labels[:, None])[:, 0]
        if self.binary:
            if self.name == "pass-as-real":
                return logits[:, 0]
            wanted = 1 - self.labels if self.wanted is None else self.wanted
            return torch.where(wanted == 1, -logits[:, 0], logits[:, 0])
        return logits.gather(1, self.labels[:, None])[:, 0]

    def _must_be_accepted(self) -> Tensor:
        """(N,) bool: success needs a logit strictly above zero, as a logit of exactly 0 is not accepted."""
        if self.name == "impersonate":
            return torch.ones_like(self.labels, dtype=torch.bool)
        if self.name == "untargeted":
            return self.labels == 0 if self.binary else torch.zeros_like(self.labels, dtype=torch.bool)
        if self.name == "targeted" and self.wanted is not None:
            return self.wanted == 1 if self.binary else torch.zeros_like(self.labels, dtype=torch.bool)
        return torch.zeros_like(self.labels, dtype=torch.bool)


def dlr_towards(logits: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    """(N,) targeted DLR, minimised: (z_y - z_t) / (z_1 - (z_3 + z_4) / 2), for four logits or more."""
    gap = logits.gather(1, labels[:, None]) - logits.gather(1, wanted[:, None])
    highest = logits.topk(4, dim=1).values
    return gap[:, 0] / (highest[:, 0] - (highest[:, 2] + highest[:, 3]) / 2 + DLR_FLOOR)


def make_goal(
    name: str,
    labels: Tensor,
    wanted: Tensor | None = None,
    *,
    decision: Decision,
    classes: int,
    objective: Objective = "margin",
) -> LogitGoal:
    """The goal of one batch, checked against the target's decision.

    Raises:
        UnknownName: no such goal or objective.
        BadArgument: a goal that this kind of target cannot have, or labels outside its classes.
    """
    if name not in GOALS:
        raise UnknownName.among("goal", name, GOALS)
    if objective not in OBJECTIVES:
        raise UnknownName.among("objective", objective, OBJECTIVES)
    least = 3 if wanted is None else 4
    if objective == "dlr" and (decision == "sign" or classes < least):
        raise BadArgument(
            f"the objective 'dlr' divides by a difference of logits and needs {least} of them, and this target "
            f"{'decides by sign' if decision == 'sign' else f'has {classes}'}; use 'margin'."
        )
    if name in ("targeted", "impersonate") and wanted is None:
        raise BadArgument(f"the goal {name!r} needs the wanted class of each image, and none was given.")
    if name in ("untargeted", "pass-as-real", "evade-identity"):
        wanted = None
    if name in ("pass-as-real", "impersonate", "evade-identity") and decision != "sign":
        raise BadArgument(f"the goal {name!r} is for targets that decide by sign, and this one takes the argmax.")
    if name == "pass-as-real" and classes != 1:
        raise BadArgument(f"the goal 'pass-as-real' needs a detector with one logit, and this target has {classes}.")
    if decision == "argmax" and classes < 2:
        raise BadArgument("a target with one logit decides by sign; declare it with decision='sign'.")
    limit = 2 if classes == 1 else classes
    for what, values in (("label", labels), ("wanted class", wanted)):
        if values is not None and len(values) and not 0 <= int(values.min()) <= int(values.max()) < limit:
            raise BadArgument(
                f"a {what} is {int(values.min() if values.min() < 0 else values.max())}, "
                f"and this target has classes 0 to {limit - 1}."
            )
    return LogitGoal(name, labels, wanted, decision, objective, binary=classes == 1)
