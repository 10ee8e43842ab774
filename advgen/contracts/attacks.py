"""What every attack keeps, whatever it searches: form, budget, state, rows, failures, cost."""

from typing import Any, Self, final

import numpy as np
import torch
from torch import Tensor, nn

from advgen.contracts import subjects, toys
from advgen.contracts.contract import GlobalRandomness, NotApplicable, bad_images, first_violation, named, rows
from advgen.contracts.subjects import Scene, Variant, attempt, goal_of, take, usual_scene
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.targets import TargetModule
from advgen.core.types import Index, Outputs, Target


def keeps_shape_dtype_and_range(variant: Variant) -> str:
    """Images come back as float32, finite, in [0, 1], without a graph; notes are columns (N,)."""
    found = usual_scene(variant)
    tried = attempt(variant.build(), found)
    n = len(found.placed.images)
    for name, column in tried.note.items():
        if not isinstance(column, Tensor) or column.shape != (n,):
            return f"the note {name!r} is not a tensor of one value for each of {n} images"
    return bad_images(tried.images, found.placed.images)


def keeps_the_budget_on_saved_bytes(variant: Variant) -> str:
    """The image as saved (uint8, by the budget's rounding rule) lies inside, measured in float64; the float one too."""
    if variant.minimum or not variant.norm:
        return NotApplicable("it has no budget")
    attack, found = variant.build(), usual_scene(variant)
    originals = found.placed.images
    originals_u8 = (originals * 255).round().to(torch.uint8)
    for stop in ("never", "success"):
        if stop == "success" and not hasattr(attack, "stop"):
            continue
        attack = variant.build(**({"stop": stop} if hasattr(attack, "stop") else {}))
        images = attempt(attack, found).images
        if attack.budget.of == "coordinates":
            return NotApplicable("its budget lies in coordinates, not in images")
        outside = ~attack.budget.contains(images, originals)
        if bool(outside.any()):
            return f"leaves the {variant.norm} budget in float in {rows(outside)}"
        saved = attack.budget.to_uint8(images, originals_u8)
        radius = subjects.USUAL[variant.norm]
        outside = torch.tensor(_distance(variant.norm, saved, originals_u8) > radius * (1 + 1e-9) + 1e-12)
        if bool(outside.any()):
            return f"leaves the {variant.norm} budget on the saved bytes in {rows(outside)}"
    return ""


def leaves_its_inputs_unchanged(variant: Variant) -> str:
    """Images, labels, the attack's fields and the networks among them are as they were."""
    attack, found = variant.build(), usual_scene(variant)
    images, labels = found.placed.images.clone(), found.goal.labels.clone()
    before, weights = dict(vars(attack)), _weights(attack)
    attempt(attack, found)
    if not torch.equal(images, found.placed.images):
        return "wrote into the images that it was given"
    if found.placed.images.requires_grad or found.placed.images.grad is not None:
        return "left a gradient on the images that it was given"
    if not torch.equal(labels, found.goal.labels):
        return "wrote into the labels"
    same = vars(attack).keys() == before.keys() and all(vars(attack)[k] is before[k] for k in before)
    if not same:
        return "wrote to its own fields"
    changed = [name for name, tensor in _weights(attack).items() if not torch.equal(tensor, weights[name])]
    return f"changed {changed[0]} of a network that it was given" if changed else ""


def leaves_the_target_unchanged(variant: Variant) -> str:
    """A network left in train mode comes back so: mode, batch norm statistics, requires_grad, gradients."""
    target = toys.training_network()
    if "untargeted" not in variant.goals and "targeted" not in variant.goals:
        return NotApplicable("its goals need a target that decides by sign")
    usual = usual_scene(variant)
    labels = target(usual.placed.images).logits.argmax(1)
    name = usual.goal.name
    wanted = (labels + 1) % len(target.classes) if name == "targeted" else None
    found = Scene("network", target, usual.placed, goal_of(target, labels, name, wanted))
    state = {k: v.clone() for k, v in target.network.state_dict().items()}
    kept = torch.ones(len(next(iter(target.network.parameters()))))
    next(iter(target.network.parameters())).grad = kept.clone()
    attempt(variant.build(), found)
    if any(not m.training for m in target.network.modules()):
        return "left the network in eval mode"
    if any(not torch.equal(state[k], v) for k, v in target.network.state_dict().items()):
        return "changed the network's parameters or batch norm statistics"
    if not all(p.requires_grad for p in target.network.parameters()):
        return "left parameters that no longer learn"
    first, *others = target.network.parameters()
    if first.grad is None or not torch.equal(first.grad, kept):
        return "changed a gradient that was there before"
    return "left gradients on the network's parameters" if any(p.grad is not None for p in others) else ""


def leaves_global_randomness_alone(variant: Variant) -> str:
    """The global generators of torch, numpy and python are where they were."""
    found = usual_scene(variant, None if "pass-as-real" in _only(variant) else toys.stochastic())
    attack = variant.build()
    before = GlobalRandomness()
    attempt(attack, found)
    return before.changed()


def gives_the_same_images_for_the_same_seed(variant: Variant) -> str:
    """Twice in a row, with another state of the global generators in between."""
    found, attack = usual_scene(variant), variant.build()
    state = torch.get_rng_state()
    once = attempt(attack, found).images
    torch.rand(3)
    again = attempt(attack, found).images
    torch.set_rng_state(state)
    return "" if torch.equal(once, again) else "gave other images for the same seed"


def rows_do_not_depend_on_the_batch(variant: Variant) -> str:
    """Another order of the batch, and an image alone, give the same images to the last bit."""
    found, attack = usual_scene(variant), variant.build()
    n = len(found.placed.images)
    whole = attempt(attack, found).images
    order = torch.arange(n - 1, -1, -1)
    differs = (attempt(attack, take(found, order)).images != whole[order]).flatten(1).any(1)
    if bool(differs.any()):
        return f"gave other images when the batch was reversed, in {rows(differs)}"
    for i in (0, n - 1):
        if not torch.equal(attempt(attack, take(found, torch.tensor([i]))).images[0], whole[i]):
            return f"gave another image for row {i} alone"
    return ""


def a_raising_target_is_not_silenced(variant: Variant) -> str:
    """The target's own error comes through, so that the caller can find the image that caused it."""
    if "pass-as-real" in _only(variant):
        return NotApplicable("its goals need a target that decides by sign")
    found, attack = usual_scene(variant, toys.raising()), variant.build()
    images = found.placed.images.clone()
    images[-1] = 1.0
    rng = SampleRng.for_samples(0, "attack", found.placed.ids)
    try:
        attack.run(found.target, images, found.goal, rng=rng, meter=Meter())
    except toys.Refused:
        return ""
    except Exception as error:
        return f"raised {type(error).__name__} in place of the target's own error"
    return "returned although its target had raised"


def takes_no_images(variant: Variant) -> str:
    """A batch of none gives none."""
    found = take(usual_scene(variant), torch.zeros(0, dtype=torch.int64))
    attack = variant.build()
    rng = SampleRng.for_samples(0, "attack", ())
    result = attack.run(found.target, found.placed.images, found.goal, rng=rng, meter=Meter())
    return bad_images(result.images, found.placed.images)


def counts_every_forward_and_backward(variant: Variant) -> str:
    """The meter agrees with a target that counts what it is asked, image by image."""
    found = usual_scene(variant)
    watched = Watched(found.target)
    meter = attempt(variant.build(), found, target=watched).meter
    return first_violation(
        _compared("forwards", meter.forwards, watched.count.forwards),
        _compared("backwards", meter.backwards, watched.count.backwards),
    )


ATTACKS = named(
    keeps_shape_dtype_and_range,
    keeps_the_budget_on_saved_bytes,
    leaves_its_inputs_unchanged,
    leaves_the_target_unchanged,
    leaves_global_randomness_alone,
    gives_the_same_images_for_the_same_seed,
    rows_do_not_depend_on_the_batch,
    a_raising_target_is_not_silenced,
    takes_no_images,
    counts_every_forward_and_backward,
)


class Count:
    """What really went through a target, in images."""

    forwards = 0
    backwards = 0


@final
class Watched:
    """A target that counts, apart from the meter: the backward is counted where it happens."""

    def __init__(self, target: Target, count: Count | None = None) -> None:
        self._target = target
        self.count = Count() if count is None else count
        self.decision = target.decision
        self.classes = target.classes
        self.image_shape = target.image_shape
        self.stochastic = target.stochastic
        self.differentiable = target.differentiable

    def __call__(self, images: Tensor, rng: SampleRng | None = None) -> Outputs:
        self.count.forwards += len(images)
        outputs = self._target(images, rng)
        return outputs._replace(logits=_CountBackward.apply(outputs.logits, self.count))

    def take(self, index: Index) -> Self:
        return type(self)(self._target.take(index), self.count)

    def as_module(self, rng: SampleRng | None = None) -> nn.Module:
        return TargetModule(self, rng)


class _CountBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, count: Count) -> Tensor:
        ctx.count = count
        return logits.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        ctx.count.backwards += len(slopes[0])
        return slopes[0], None


def _weights(attack: Any) -> dict[str, Tensor]:
    """Copies of every tensor of the networks that fill the attack's needs."""
    found = {}
    for need in getattr(attack, "needs", ()):
        part = getattr(attack, need)
        tensors = part.state_dict() if isinstance(part, nn.Module) else getattr(part, "__dict__", {})
        found |= {f"{need}.{k}": v.clone() for k, v in tensors.items() if isinstance(v, Tensor)}
    return found


def _compared(what: str, metered: int, counted: int) -> str:
    return "" if metered == counted else f"the meter holds {metered} {what}, and the target saw {counted}"


def _only(variant: Variant) -> tuple[str, ...]:
    """The goals, where none of them is for a target that takes the argmax."""
    return () if {"untargeted", "targeted"} & set(variant.goals) else variant.goals


def _distance(norm: str, saved: Tensor, originals_u8: Tensor) -> np.ndarray:
    """(N,) float64 in units of [0, 1], from bytes, without the budget's own code."""
    change = (saved.numpy().astype(np.float64) - originals_u8.numpy().astype(np.float64)) / 255
    flat = change.reshape(len(change), -1)
    if norm == "L0":
        return (change != 0).any(axis=1).reshape(len(change), -1).sum(axis=1).astype(np.float64)
    if norm in ("Lpips", "Identity"):
        return np.sqrt((flat**2).mean(axis=1))
    order = {"Linf": np.inf, "L2": 2, "L1": 1}[norm]
    return np.linalg.norm(flat, ord=order, axis=1)
