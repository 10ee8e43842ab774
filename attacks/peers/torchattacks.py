"""Any attack of torchattacks, under our goals, budgets, meter and judge.

`method` is the class's name there, `options` its arguments as text. The budget's radius becomes its `eps` and the
budget's norm its `norm`; PGD and PGDRS in L2 are the classes PGDL2 and PGDRSL2. What comes back is judged as it is:
nothing is projected afterwards, so an image may lie outside the budget until it is rounded by the budget's rule.

As found in version 3.5.1: CW has no search over c, stops for a whole batch at once, and never moves a pixel that is
exactly 0 or 1; PGD returns its last iterate; AutoAttack runs ten iterations a gradient part; Square forgets its seed
(its draws are seeded here). An alarm is one more class to it: an untargeted attack may end there, which is no success.

Kim 2020, "Torchattacks: A PyTorch Repository for Adversarial Attacks", arXiv 2010.01950.
"""

import inspect
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.meter import Counted, Meter
from advgen.core.peers import (
    PeerModule,
    borrowed_randomness,
    in_a_sentence,
    labels_for,
    one_radius,
    parse_options,
    returned,
)
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Goal, Target

# Classes whose eps is a radius in L2; every other class with an eps and no norm means Linf.
IN_L2 = {"PGD": "PGDL2", "PGDRS": "PGDRSL2"}
# Their losses read this many of the highest logits.
CLASSES_NEEDED = {"AutoAttack": 4, "APGDT": 4}


@final
@dataclass(frozen=True)
class TorchAttacks:
    paper = "Kim 2020, arXiv 2010.01950"
    access = "white-box"
    goals = ("untargeted", "targeted", "pass-as-real")
    budgets = ("Linf", "L2")
    cost = "gradient"
    trial: ClassVar = {"method": "PGD", "options": "steps=50"}
    waives: ClassVar = {
        "rows_do_not_depend_on_the_batch": "it draws for a whole batch at once and averages the loss over it",
        "wins_where_logits_are_times_100": "its cross-entropy has no gradient once the softmax is saturated",
    }

    budget: Budget | None  # None for a method that looks for the smallest change (CW, DeepFool)
    method: str  # the class in torchattacks: PGD, CW, Square, AutoAttack, …
    options: str = ""  # its arguments, "steps=10, alpha=2/255"

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        import torchattacks

        named = f"torchattacks.{self.method}"
        known = [name for name in torchattacks.__all__ if name not in torchattacks.__wrapper__]
        if self.method not in known:
            raise UnknownName.among("method of torchattacks", self.method, known)
        labels = labels_for(goal, target, named)
        if not len(images):
            return AttackResult(images.clone(), {"not_finite": torch.zeros(0, dtype=torch.bool)})

        module = PeerModule(Counted(target, meter).as_module(rng), images.device)
        make = getattr(torchattacks, self._class())
        arguments = self._arguments(make, named)
        # A logit z stands as (-z / 2, z / 2), and an alarm as a class more, which no method needs to know of.
        classes = max(2, len(target.classes))
        self._check_classes(classes, arguments, named)
        if "n_classes" in inspect.signature(make).parameters:
            arguments.setdefault("n_classes", classes)
        with (
            borrowed_randomness(rng.global_seed(), images.device),
            in_a_sentence(named, module),
            warnings.catch_warnings(),
        ):
            # SparseFool hands a tensor to numpy in a way that numpy 2 warns of.
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy keyword")
            attack = make(module, **arguments)
            if goal.wanted is not None:
                # FAB drops every image that is not of the wanted class yet.
                if "targeted" not in attack.supported_mode or self.method == "FAB":
                    raise BadArgument(f"{named} has no targeted mode, and the goal is {goal.name!r}.")
                attack.set_mode_targeted_by_label(quiet=True)
            found, not_finite = returned(attack(images.detach().clone(), labels.clone()), images)
        return AttackResult(found, {"not_finite": not_finite})

    def _class(self) -> str:
        in_l2 = self.budget is not None and self.budget.name == "L2"
        return IN_L2.get(self.method, self.method) if in_l2 else self.method

    def _arguments(self, make: type[Any], named: str) -> dict[str, Any]:
        """The options with the budget's radius and norm."""
        taken = [name for name in inspect.signature(make.__init__).parameters if name not in ("self", "model")]
        radius_name = next((name for name in ("eps", "max_epsilon") if name in taken), None)
        fixed = {name: "the budget sets it" for name in (radius_name, "norm") if name in taken and name is not None}
        if self._class() == "OnePixel":
            fixed = {"pixels": "the budget sets it"} if self.budget is not None and self.budget.name == "L0" else {}
        arguments = parse_options(self.options, named, taken, fixed)
        if self.budget is None:
            if radius_name is not None:
                raise BadArgument(f"{named} searches inside a budget, and none was given; give one such as Linf 8/255.")
            return arguments
        if fixed.get("pixels"):
            return arguments | {"pixels": int(one_radius(self.budget, named))}
        if radius_name is None:
            return arguments
        norms = ("Linf", "L2", "L1") if "norm" in taken else ("L2",) if self._class().endswith("L2") else ("Linf",)
        if self.budget.name not in norms:
            raise BadArgument(f"{named} moves in {' or '.join(norms)}, and the budget is in {self.budget.name}.")
        arguments[radius_name] = one_radius(self.budget, named)
        if "norm" in taken:
            arguments["norm"] = self.budget.name
        return arguments

    def _check_classes(self, classes: int, arguments: dict[str, Any], named: str) -> None:
        needed = 3 if arguments.get("loss") == "dlr" else CLASSES_NEEDED.get(self.method, 2)
        if classes < needed:
            raise BadArgument(
                f"{named} needs {needed} classes for its DLR loss, and this target has {classes}; use an attack of our "
                "own, whose margin takes any number."
            )
