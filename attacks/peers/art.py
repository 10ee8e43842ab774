"""Evasion attacks of the Adversarial Robustness Toolbox, under our goals, budgets, meter and judge.

`method` is the class's name in `art.attacks.evasion` or one of the usual short ones (PGD, FGSM, BIM, APGD, CW);
`options` are its arguments as text. The budget's radius becomes its `eps` and the budget's norm its `norm`; where it
asks for a step and none is given, 2.5 eps / max_iter (APGD's kin: eps, which they double). What comes back is judged
as it is: nothing is projected afterwards, so an image may lie outside the budget until it is rounded by its rule.

As found in version 1.20.1: HopSkipJump and BoundaryAttack hand float64 to the network (cast here) and draw their first
image from a generator that nobody can seed (seeded here); "AutoAttack" is another ensemble than Croce and Hein's
(DeepFool in place of FAB, no targeted parts); a network is left in eval mode with gradients on its parameters (it
never sees ours). An alarm is one more class to it: an untargeted attack may end there, which is no success.

Nicolae et al. 2018, "Adversarial Robustness Toolbox v1.0.0", arXiv 1807.01069.
"""

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

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

SHORT = {
    "APGD": "AutoProjectedGradientDescent",
    "BIM": "BasicIterativeMethod",
    "Boundary": "BoundaryAttack",
    "CW": "CarliniL2Method",
    "EAD": "ElasticNet",
    "FGSM": "FastGradientMethod",
    "MIM": "MomentumIterativeMethod",
    "PGD": "ProjectedGradientDescent",
    "Square": "SquareAttack",
    "ZOO": "ZooAttack",
}
# Those that take a classifier, its logits and true labels: no patches, sounds, detectors of objects, probabilities, nor
# SaliencyMapMethod, whose labels are the wanted ones even where none is wanted.
METHODS = (
    "AutoAttack",
    "AutoConjugateGradient",
    "AutoProjectedGradientDescent",
    "BasicIterativeMethod",
    "BoundaryAttack",
    "CarliniL0Method",
    "CarliniL2Method",
    "CarliniLInfMethod",
    "DeepFool",
    "ElasticNet",
    "FastGradientMethod",
    "GeoDA",
    "HopSkipJump",
    "MomentumIterativeMethod",
    "PixelAttack",
    "ProjectedGradientDescent",
    "RescalingAutoConjugateGradient",
    "SignOPTAttack",
    "SpatialTransformation",
    "SquareAttack",
    "ThresholdAttack",
    "ZooAttack",
)
# Their first step is twice eps_step.
DOUBLES_ITS_STEP = (
    "AutoAttack",
    "AutoConjugateGradient",
    "AutoProjectedGradientDescent",
    "RescalingAutoConjugateGradient",
)
NORMS = {"Linf": math.inf, "L2": 2}
OURS = ("self", "estimator", "classifier", "verbose", "summary_writer", "estimator_orig", "targeted")


@final
@dataclass(frozen=True)
class ART:
    paper = "Nicolae et al. 2018, arXiv 1807.01069"
    access = "white-box"
    goals = ("untargeted", "targeted", "pass-as-real")
    budgets = ("Linf", "L2")
    cost = "gradient"
    trial: ClassVar = {"method": "PGD", "options": "max_iter=50"}
    waives: ClassVar = {
        "rows_do_not_depend_on_the_batch": "it draws for a whole batch at once and averages the loss over it",
        "wins_where_logits_are_times_100": "its cross-entropy has no gradient once the softmax is saturated",
    }

    budget: Budget | None  # None for a method that looks for the smallest change (CW, DeepFool, HopSkipJump)
    method: str  # the class in art.attacks.evasion, or PGD, FGSM, BIM, APGD, CW, …
    options: str = ""  # its arguments, "max_iter=10, eps_step=2/255"

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        # Its import draws from Python's global generator.
        with borrowed_randomness(rng.global_seed(), images.device):
            from art.attacks import evasion
            from art.estimators.classification import PyTorchClassifier

        name = SHORT.get(self.method, self.method)
        if name not in METHODS:
            raise UnknownName.among("method of ART", self.method, [*METHODS, *SHORT])
        named = f"art.{name}"
        labels = labels_for(goal, target, named)
        if not len(images):
            return AttackResult(images.clone(), {"not_finite": torch.zeros(0, dtype=torch.bool)})

        make = getattr(evasion, name)
        taken = [p for p in inspect.signature(make.__init__).parameters if p != "self"]
        arguments = self._arguments(name, taken, len(images), targeted=goal.wanted is not None)
        module = PeerModule(Counted(target, meter).as_module(rng), images.device)
        with (
            borrowed_randomness(rng.global_seed(), images.device),
            _seeded_random_states(rng.global_seed()),
            in_a_sentence(named, module),
            np.errstate(divide="ignore", invalid="ignore"),  # SquareAttack in L2 divides by windows of no change
        ):
            classes = _logits(module, images)
            classifier = PyTorchClassifier(
                module,
                loss=nn.CrossEntropyLoss(),
                input_shape=tuple(images.shape[1:]),
                nb_classes=classes,
                clip_values=(0.0, 1.0),
                device_type="gpu" if images.device.type == "cuda" else "cpu",
            )
            one_hot = np.eye(classes, dtype=np.float32)[labels.cpu().numpy()]
            attack = make(classifier, **arguments)
            given = images.detach().cpu().numpy().copy()
            found = torch.from_numpy(np.asarray(attack.generate(x=given, y=one_hot)))
        found, not_finite = returned(found.to(images.device), images)
        return AttackResult(found, {"not_finite": not_finite})

    def _arguments(self, name: str, taken: list[str], n: int, *, targeted: bool) -> dict[str, Any]:
        """The options with what the budget, the goal and the batch set."""
        named = f"art.{name}"
        fixed = {p: "the budget sets it" for p in ("eps", "norm") if p in taken}
        fixed["targeted"] = "the goal sets it"
        arguments = parse_options(self.options, named, [p for p in taken if p not in OURS], fixed)
        if targeted and "targeted" not in taken:
            raise BadArgument(f"{named} has no targeted mode, and this goal wants a class.")
        if "targeted" in taken:
            arguments["targeted"] = targeted
        if "verbose" in taken:
            arguments["verbose"] = False
        if "batch_size" in taken and name != "ZooAttack":  # whose batches of more than one fail
            arguments.setdefault("batch_size", n)
        if self.budget is None:
            if "eps" in taken:
                raise BadArgument(f"{named} searches inside a budget, and none was given; give one such as Linf 8/255.")
            return arguments
        if "norm" in taken:
            if self.budget.name not in NORMS:
                raise BadArgument(f"{named} moves in {' or '.join(NORMS)}, and the budget is in {self.budget.name}.")
            arguments["norm"] = NORMS[self.budget.name]
        elif "eps" in taken and self.budget.name != "Linf":
            raise BadArgument(f"{named} moves in Linf, and the budget is in {self.budget.name}.")
        if "eps" in taken:
            eps = arguments["eps"] = one_radius(self.budget, named)
            if "eps_step" in taken:
                steps = arguments.get("max_iter", 100 if "max_iter" in taken else 10)
                step = eps if name in DOUBLES_ITS_STEP else 2.5 * eps / max(steps, 3)
                arguments.setdefault("eps_step", step)
        return arguments


def _logits(module: PeerModule, images: Tensor) -> int:
    """How many logits the module gives: two for one, and one more with an alarm."""
    with torch.no_grad():
        return module(images[:1]).shape[1]


@contextmanager
def _seeded_random_states(seed: int) -> Iterator[None]:
    """`np.random.RandomState()` without a seed, which would ask the operating system, gets one here."""
    plain = np.random.RandomState
    draws = iter(range(seed, 2**62))

    class Seeded(plain):  # type: ignore[valid-type,misc]
        def __init__(self, seed: Any = None) -> None:
            super().__init__(next(draws) % 2**32 if seed is None else seed)

    np.random.RandomState = Seeded  # type: ignore[misc]
    try:
        yield
    finally:
        np.random.RandomState = plain  # type: ignore[misc]
