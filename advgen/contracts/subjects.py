"""Plug-in classes made ready for the contracts: budgets and trial arguments from their literals, needs from toys."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from advgen.contracts import parts, toys
from advgen.contracts.toys import Placed, Toy
from advgen.core.budgets import L0, L1, L2, Latent, Linf, Perceptual
from advgen.core.goals import LogitGoal, make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Target

USUAL = {"Linf": 8 / 255, "L2": 0.5, "L1": 2.0, "L0": 6.0, "Latent": 1.0, "Lpips": 0.03, "Identity": 0.03}
UNBOUNDED = {
    "Linf": 1.0,
    "L2": math.sqrt(math.prod(toys.SHAPE)),
    "L1": float(math.prod(toys.SHAPE)),
    "L0": float(math.prod(toys.SHAPE[1:])),
    "Latent": 1000.0,
    "Lpips": 1.0,
    "Identity": 1.0,
}


def make_ball(norm: str, radius: float | Tensor) -> Budget:
    """The budget of a norm; learned distances are stood in for by the root mean square."""
    balls: dict[str, type[Linf | L2 | L1 | L0 | Latent]] = {
        "Linf": Linf,
        "L2": L2,
        "L1": L1,
        "L0": L0,
        "Latent": Latent,
    }
    return balls[norm](radius) if norm in balls else Perceptual(norm, radius, parts.root_mean_square)


def built(cls: type[Any], args: dict[str, Any] | None = None, *, budget: Budget | None = None) -> Any:
    """An instance with the trial arguments, its needs filled with toys."""
    needs = parts.for_needs(budget if budget is not None else Linf(8 / 255))
    missing = [need for need in getattr(cls, "needs", ()) if need not in needs]
    if missing:
        raise KeyError(f"the contracts have no toy for the need {missing[0]!r}; known are {', '.join(sorted(needs))}")
    filled = {need: needs[need] for need in getattr(cls, "needs", ())}
    given = {} if budget is None else {"budget": budget}
    return cls(**{**getattr(cls, "trial", {}), **filled, **given, **(args or {})})


@final
@dataclass(frozen=True)
class Variant:
    """An attack class with one of its norms; `minimum` = it looks for the smallest change and takes no budget."""

    cls: type[Any]
    norm: str  # "" = neither a budget nor a norm: an unrestricted attack
    minimum: bool

    @property
    def goals(self) -> tuple[str, ...]:
        return tuple(getattr(self.cls, "goals", ())) or ("untargeted", "targeted")

    def build(self, radius: float | None = None, **args: Any) -> Any:
        fields = {f.name for f in dataclasses.fields(self.cls)}
        if self.minimum or not self.norm:
            return built(self.cls, ({"norm": self.norm} if self.norm and "norm" in fields else {}) | args)
        return built(self.cls, args, budget=make_ball(self.norm, USUAL[self.norm] if radius is None else radius))


def variants(cls: type[Any]) -> list[Variant]:
    """One for each norm of an attack class; learned distances have one stand-in, so the first of them is enough."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    literal: Sequence[str] = getattr(cls, "budgets", ())
    learned = [norm for norm in literal if norm in ("Lpips", "Identity")]
    norms = [norm for norm in literal if norm not in learned[1:]]
    required = "budget" in fields and fields["budget"].default is dataclasses.MISSING
    if required:
        return [Variant(cls, norm, minimum=False) for norm in norms or ("Linf",)]
    return [Variant(cls, norm, minimum=True) for norm in norms] or [Variant(cls, "", minimum=False)]


class Scene(NamedTuple):
    """A target, images at a known distance from its boundary, and what is wanted of them."""

    name: str
    target: Target
    placed: Placed
    goal: LogitGoal


def scene(name: str, target: Toy, norm: str, n: int, *, goal: str = "untargeted", seed: int = 0) -> Scene:
    """Images `toys.RADII[norm]` from the boundary (L2's for norms without a closed form)."""
    placed = toys.boundary_images(target, norm if norm in toys.RADII else "L2", n, seed=seed)
    if goal == "pass-as-real":
        chosen = placed.labels == 1
        kept = [i for i in range(n) if bool(chosen[i])]
        placed = Placed(placed.images[chosen], placed.labels[chosen], tuple(placed.ids[i] for i in kept), None)
    return Scene(name, target, placed, goal_of(target, placed.labels, goal, placed.nearest))


def known_scenes(variant: Variant, n: int = 8) -> list[Scene]:
    """Every toy with a closed form that this attack's goals allow."""
    found = []
    if "untargeted" in variant.goals:
        found += [scene("four classes", toys.linear(), variant.norm, n)]
        found += [scene("two classes", toys.two_class(), variant.norm, n)]
        found += [scene("one logit", toys.one_logit(), variant.norm, n)]
    elif "pass-as-real" in variant.goals:
        found += [scene("one logit, pass as real", toys.one_logit(), variant.norm, 2 * n, goal="pass-as-real")]
    if "targeted" in variant.goals:
        found += [scene("four classes, targeted", toys.linear(), variant.norm, n, goal="targeted")]
    return found


def usual_scene(variant: Variant, target: Toy | None = None, n: int = 5) -> Scene:
    """Images on the byte grid, some of which can be won within the usual radius."""
    goal = next((g for g in ("untargeted", "targeted", "pass-as-real") if g in variant.goals), "untargeted")
    target = target or (toys.one_logit() if goal == "pass-as-real" else toys.linear())
    found = scene("usual", target, "Linf", n if goal != "pass-as-real" else 2 * n, goal=goal)
    on_bytes = (found.placed.images * 255).round() / 255
    return found._replace(placed=found.placed._replace(images=on_bytes))


def goal_of(target: Target, labels: Tensor, name: str = "untargeted", wanted: Tensor | None = None) -> LogitGoal:
    return make_goal(name, labels, wanted, decision=target.decision, classes=len(target.classes))


class Attempt(NamedTuple):
    """One run of an attack and what the raw target says of its images."""

    images: Tensor
    note: Any
    reached: Tensor
    meter: Meter


def attempt(attack: Any, found: Scene, *, seed: int = 0, target: Target | None = None) -> Attempt:
    """Runs the attack on a scene; `target` stands in for the scene's own while it runs."""
    rng = SampleRng.for_samples(seed, "attack", found.placed.ids)
    meter = Meter()
    result = attack.run(target or found.target, found.placed.images, found.goal, rng=rng, meter=meter)
    if not isinstance(result, AttackResult):
        raise TypeError(f"run returned {type(result).__name__} where an AttackResult was expected")
    judge_rng = SampleRng.for_samples(seed, "judge/0", found.placed.ids)
    with torch.no_grad():
        reached = found.goal.reached(found.target(result.images, judge_rng))
    return Attempt(result.images, result.note, reached, meter)


def take(found: Scene, index: Tensor) -> Scene:
    """Some of a scene's images, in the order of `index`."""
    placed = found.placed
    nearest = None if placed.nearest is None else placed.nearest[index]
    ids = tuple(placed.ids[int(i)] for i in index)
    return found._replace(
        placed=Placed(placed.images[index], placed.labels[index], ids, nearest), goal=found.goal.take(index)
    )
