"""Goals as a search sees them: another objective, or a loss that leads towards a class of the attack's choice."""

from dataclasses import dataclass, replace
from typing import Literal, Self, final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.goals import ALARM_FLOOR, MARGIN_FLOOR, LogitGoal, Objective, dlr_towards, make_goal
from advgen.core.types import Goal, Index, Outputs, Target


def with_objective(goal: Goal, objective: Objective | None, target: Target) -> Goal:
    """`goal` with another objective; None = its own.

    Raises:
        BadArgument: the target has too few logits for it, or the goal is not over logits.
    """
    if objective is None:
        return goal
    if not isinstance(goal, LogitGoal):
        raise BadArgument(f"the objective {objective!r} is one over logits, and the goal {goal.name!r} has its own.")
    return make_goal(
        goal.name,
        goal.labels,
        goal.wanted,
        decision=target.decision,
        classes=len(target.classes),
        objective=objective,
    )


@final
@dataclass(frozen=True)
class Towards:
    """Any class but the label wins, and the loss leads to one of `rivals`: targeted attacks on untargeted goals."""

    goal: Goal
    rivals: Tensor  # (N, R) classes
    column: int  # the rival that is led to
    objective: Literal["dlr", "margin"]

    @property
    def name(self) -> str:
        return self.goal.name

    @property
    def labels(self) -> Tensor:
        return self.goal.labels

    @property
    def wanted(self) -> Tensor | None:
        return self.goal.wanted

    def take(self, index: Index) -> Self:
        return replace(self, goal=self.goal.take(index), rivals=self.rivals[index])

    def turned(self, r: int) -> Self:
        """Towards the r-th rival, the first again after the last."""
        return replace(self, column=r % self.rivals.shape[1])

    def loss(self, outputs: Outputs) -> Tensor:
        logits, rival = outputs.logits, self.rivals[:, self.column]
        if self.objective == "dlr":
            main = dlr_towards(logits, self.labels, rival)
        else:
            main = (logits.gather(1, self.labels[:, None]) - logits.gather(1, rival[:, None]))[:, 0]
        if outputs.alarm is None:
            return main
        return main.clamp(min=-MARGIN_FLOOR) + outputs.alarm.clamp(min=-ALARM_FLOOR)

    def reached(self, outputs: Outputs) -> Tensor:
        return self.goal.reached(outputs)


def likeliest_rivals(outputs: Outputs, goal: Goal, count: int) -> Tensor:
    """(N, R) classes with the highest logits, the label left out, at most `count`."""
    others = outputs.logits.detach().scatter(1, goal.labels[:, None], -torch.inf)
    return others.topk(min(count, others.shape[1] - 1), dim=1).indices
