"""Any attack of foolbox, under our goals, budgets, meter and judge; an optional extra (`advgen[peers]`).

`method` is the class's name there, with or without its norm and the word Attack ("PGD", "LinfPGD", "DDN"), `options`
its arguments as text. With a budget it is asked for images at that radius, without one for the smallest change. What
comes back is judged as it is: nothing is projected afterwards.

As found in version 3.3.4: `L2FMNAttack` never projects; its success counts images that were wrong before (ours does
not); Brendel-Bethge compiles for half a minute. An alarm is one more class to it: an untargeted attack may end there,
which is no success.

Rauber et al. 2020, "Foolbox Native: Fast adversarial attacks to benchmark the robustness of machine learning models in
PyTorch, TensorFlow, and JAX", doi 10.21105/joss.02607.
"""

import inspect
import warnings
from dataclasses import dataclass
from types import ModuleType
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

SHORT = {"CW": "CarliniWagner", "FGSM": "FastGradient", "BIM": "BasicIterative"}


@final
@dataclass(frozen=True)
class Foolbox:
    paper = "Rauber et al. 2020, doi 10.21105/joss.02607"
    access = "white-box"
    goals = ("untargeted", "targeted", "pass-as-real")
    budgets = ("Linf", "L2")
    cost = "gradient"
    trial: ClassVar = {"method": "PGD", "options": "steps=100, rel_stepsize=0.05"}
    waives: ClassVar = {
        "rows_do_not_depend_on_the_batch": "it draws for a whole batch at once",
        "wins_where_logits_are_times_100": "its cross-entropy has no gradient once the softmax is saturated",
    }

    budget: Budget | None  # None for the smallest change (CW, DDN, DeepFool, HopSkipJump)
    method: str  # the class in foolbox.attacks, or PGD, FGSM, BIM, CW, DDN, EAD, …
    options: str = ""  # its arguments, "steps=10, rel_stepsize=0.1"

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        foolbox = _library()
        make = self._class(foolbox)
        named = f"foolbox.{make.__name__}"
        labels = labels_for(goal, target, named)
        if not len(images):
            return AttackResult(images.clone(), {"not_finite": torch.zeros(0, dtype=torch.bool)})
        radius = None if self.budget is None else one_radius(self.budget, named)
        taken = [name for name in inspect.signature(make.__init__).parameters if name != "self"]
        arguments = parse_options(self.options, named, taken, {})
        module = PeerModule(Counted(target, meter).as_module(rng), images.device).eval()
        with borrowed_randomness(rng.global_seed(), images.device), in_a_sentence(named, module):
            attack = make(**arguments)
            if goal.wanted is not None:
                criterion = foolbox.criteria.TargetedMisclassification(labels)
            else:
                criterion = foolbox.criteria.Misclassification(labels)
            model = foolbox.PyTorchModel(module, bounds=(0, 1), device=images.device)
            raw, clipped, _ = attack(model, images.detach().clone(), criterion, epsilons=radius)
        found, not_finite = returned(raw if radius is None else clipped, images)
        return AttackResult(found, {"not_finite": not_finite})

    def _class(self, foolbox: ModuleType) -> type[Any]:
        """The class for this method and norm."""
        method = SHORT.get(self.method, self.method)
        norm = "" if self.budget is None else self.budget.name
        norms = [norm, "LInf"] if norm == "Linf" else [norm] if norm else ["", "L2"]
        every = {name: make for name, make in vars(foolbox.attacks).items() if inspect.isclass(make)}
        tried = [f"{before}{method}{after}" for before in [*norms, ""] for after in ("", "Attack")]
        found = next((every[name] for name in tried if name in every), None)
        if found is None:
            raise UnknownName.among("method of foolbox", self.method, [*every, *SHORT])
        distance = str(getattr(found, "distance", "")).partition(" ")[0].lower()
        if norm and distance in ("linf", "l2", "l1", "l0") and distance != norm.lower():
            raise BadArgument(f"foolbox.{found.__name__} moves in {distance}, and the budget is in {norm}.")
        return found  # type: ignore[no-any-return]


def _library() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)  # it imports old names of scipy
            import foolbox
    except ModuleNotFoundError as error:
        raise BadArgument(
            f"peers/foolbox needs the package {error.name!r}, which is an extra: pip install 'advgen[peers]'."
        ) from error
    return foolbox
