"""Plug-ins with one fault each: what they are for is to be caught."""

import random
from dataclasses import dataclass, replace
from itertools import count
from typing import ClassVar

import numpy as np
import torch

from advgen.attacks.engine import Problem, descend, random_start, steepest
from advgen.contracts.parts import Smooth, blur
from advgen.core.meter import Counted, Meter
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget

CALLS = count()
PROCESS = hash("another process has another hash of strings")


def search(attack, target, images, goal, rng, meter, **changes):
    problem = Problem(target, Pixels(), attack.budget, goal, images, rng, meter)
    problem = replace(problem, **changes)
    start = random_start(problem)
    return descend(
        problem, steps=attack.steps, step_rule=steepest(attack.budget, None, steps=attack.steps), start=start
    )


@dataclass(frozen=True)
class Sound:
    """Plain descent: it keeps everything, so that a fault added to it is the only one."""

    budgets = ("Linf",)
    trial: ClassVar = {"steps": 30}

    budget: Budget
    steps: int = 30

    def run(self, target, images, goal, *, rng, meter):
        return AttackResult(search(self, target, images, goal, rng, meter).images)


class Float64(Sound):
    caught_by = "keeps_shape_dtype_and_range"

    def run(self, target, images, goal, *, rng, meter):
        return AttackResult(super().run(target, images, goal, rng=rng, meter=meter).images.double())


class OutOfRange(Sound):
    caught_by = "keeps_shape_dtype_and_range"

    def run(self, target, images, goal, *, rng, meter):
        return AttackResult(super().run(target, images, goal, rng=rng, meter=meter).images * 2)


class NoteOfTheBatch(Sound):
    caught_by = "keeps_shape_dtype_and_range"

    def run(self, target, images, goal, *, rng, meter):
        found = super().run(target, images, goal, rng=rng, meter=meter)
        return AttackResult(found.images, {"loss": torch.zeros(())})


class TenthOver(Sound):
    caught_by = "keeps_the_budget_on_saved_bytes"

    def run(self, target, images, goal, *, rng, meter):
        wider = replace(self.budget, radius=1.1 * self.budget.radius)
        return AttackResult(search(self, target, images, goal, rng, meter, budget=wider).images)


class WritesIntoImages(Sound):
    caught_by = "leaves_its_inputs_unchanged"

    def run(self, target, images, goal, *, rng, meter):
        found = super().run(target, images, goal, rng=rng, meter=meter)
        images.copy_(found.images)
        return found


class WritesToItself(Sound):
    caught_by = "leaves_its_inputs_unchanged"

    def run(self, target, images, goal, *, rng, meter):
        found = super().run(target, images, goal, rng=rng, meter=meter)
        object.__setattr__(self, "last", found)
        return found


class LeavesEvalMode(Sound):
    caught_by = "leaves_the_target_unchanged"

    def run(self, target, images, goal, *, rng, meter):
        if hasattr(target, "network"):
            target.network.eval()
        return super().run(target, images, goal, rng=rng, meter=meter)


class LeavesGradients(Sound):
    caught_by = "leaves_the_target_unchanged"

    def run(self, target, images, goal, *, rng, meter):
        if hasattr(target, "network"):
            target.network(images).sum().backward()
        return super().run(target, images, goal, rng=rng, meter=meter)


class SeedsTorch(Sound):
    caught_by = "leaves_global_randomness_alone"

    def run(self, target, images, goal, *, rng, meter):
        torch.manual_seed(0)
        torch.rand(1)
        return super().run(target, images, goal, rng=rng, meter=meter)


class DrawsFromNumpy(Sound):
    caught_by = "leaves_global_randomness_alone"

    def run(self, target, images, goal, *, rng, meter):
        np.random.rand()
        return super().run(target, images, goal, rng=rng, meter=meter)


class DrawsFromPython(Sound):
    caught_by = "leaves_global_randomness_alone"

    def run(self, target, images, goal, *, rng, meter):
        random.random()
        return super().run(target, images, goal, rng=rng, meter=meter)


class ForgetsTheSeed(Sound):
    caught_by = "gives_the_same_images_for_the_same_seed"

    def run(self, target, images, goal, *, rng, meter):
        rng = rng.fork(str(next(CALLS)))
        return super().run(target, images, goal, rng=rng, meter=meter)


class HashOfAString(Sound):
    caught_by = "gives_the_same_in_another_process"

    def run(self, target, images, goal, *, rng, meter):
        return super().run(target, images, goal, rng=rng.fork(str(PROCESS)), meter=meter)


class MeanOfTheBatch(Sound):
    """As torchattacks' CW, whose early stop looks at the loss of the whole batch."""

    caught_by = "rows_do_not_depend_on_the_batch"

    def run(self, target, images, goal, *, rng, meter):
        found = super().run(target, images, goal, rng=rng, meter=meter)
        return AttackResult(self.budget.project(found.images + 1e-4 * images.mean(), images).clamp(0, 1))


class SilencesErrors(Sound):
    caught_by = "a_raising_target_is_not_silenced"

    def run(self, target, images, goal, *, rng, meter):
        try:
            return super().run(target, images, goal, rng=rng, meter=meter)
        except RuntimeError:
            return AttackResult(images)


class NeedsAnImage(Sound):
    caught_by = "takes_no_images"

    def run(self, target, images, goal, *, rng, meter):
        images[0].max()
        return super().run(target, images, goal, rng=rng, meter=meter)


class AsksUnmetered(Sound):
    caught_by = "counts_every_forward_and_backward"

    def run(self, target, images, goal, *, rng, meter):
        with torch.no_grad():
            target(images, rng)
        return super().run(target, images, goal, rng=rng, meter=meter)


class BackwardUnmetered(Sound):
    caught_by = "counts_every_forward_and_backward"

    def run(self, target, images, goal, *, rng, meter):
        found = super().run(target, images, goal, rng=rng, meter=Meter())
        meter.forwards += (self.steps + 1) * len(images)
        return found


class TenthUnder(Sound):
    caught_by = "reaches_the_closed_form_optimum"

    def run(self, target, images, goal, *, rng, meter):
        narrower = replace(self.budget, radius=0.9 * self.budget.radius)
        return AttackResult(search(self, target, images, goal, rng, meter, budget=narrower).images)


class TwiceTheBudget(Sound):
    caught_by = "never_beats_the_closed_form_optimum"

    def run(self, target, images, goal, *, rng, meter):
        wider = replace(self.budget, radius=2 * self.budget.radius)
        return AttackResult(search(self, target, images, goal, rng, meter, budget=wider).images)


class GivesUpFarAway(Sound):
    caught_by = "unbounded_always_wins"

    def run(self, target, images, goal, *, rng, meter):
        if self.budget.radius > 0.5:
            return AttackResult(images)
        return super().run(target, images, goal, rng=rng, meter=meter)


class MasksWithZero(Sound):
    """Takes the best other logit of logits times a mask: the label's own zero wins where all are negative."""

    caught_by = "wins_where_all_logits_are_negative"

    def run(self, target, images, goal, *, rng, meter):
        x = images.clone().requires_grad_()
        logits = Counted(target, meter)(x, rng).logits
        if logits.shape[1] > 1:
            mask = torch.nn.functional.one_hot(goal.labels, logits.shape[1])
            other = ((1 - mask) * logits).amax(1)
            loss = (mask * logits).sum(1) - other
            if goal.wanted is not None:
                loss = goal.loss(type(target(x, rng))(logits))
            slope = torch.autograd.grad(loss.sum(), x)[0] if bool((other != 0).any()) else torch.zeros_like(x)
        else:
            slope = torch.autograd.grad(goal.loss(target(x, rng)).sum(), x)[0]
        return AttackResult((images - self.budget.radius * slope.sign()).clamp(0, 1))


class CrossEntropy(Sound):
    """Its gradient underflows where the target is sure."""

    caught_by = "wins_where_logits_are_times_100"

    def run(self, target, images, goal, *, rng, meter):
        goal = replace(goal, objective="cross_entropy")
        problem = Problem(target, Pixels(), self.budget, goal, images, rng, meter)
        found = descend(problem, steps=self.steps, step_rule=steepest(self.budget, None, steps=self.steps))
        return AttackResult(found.images)


class TanhAtTheEdge(Sound):
    """As torchattacks' CW: exact 0 and 1 are infinite in tanh space and never move."""

    caught_by = "moves_pixels_that_are_0_or_1"

    def run(self, target, images, goal, *, rng, meter):
        found = super().run(target, images, goal, rng=rng, meter=meter)
        return AttackResult(torch.where((images == 0) | (images == 1), images, found.images))


class WorseWithMoreSteps(Sound):
    caught_by = "more_steps_never_lose"

    def run(self, target, images, goal, *, rng, meter):
        found = super().run(target, images, goal, rng=rng, meter=meter)
        return AttackResult(images) if self.steps > 60 else found


@dataclass(frozen=True)
class SoundPurifier:
    """Blurs."""

    stochastic = False
    differentiable = True

    def purify(self, images, rng):
        return blur(images)

    def surrogate(self):
        return Smooth().surrogate()


class CropsImages(SoundPurifier):
    caught_by = "keeps_shape_dtype_and_range"

    def purify(self, images, rng):
        return blur(images)[..., 1:]


class BrightensBeyondOne(SoundPurifier):
    caught_by = "keeps_shape_dtype_and_range"

    def purify(self, images, rng):
        return blur(images) * 1.1


class PurifierNeedsAnImage(SoundPurifier):
    caught_by = "takes_no_images"

    def purify(self, images, rng):
        return blur(images) + 0 * images[0].max()


class HidesItsNoise(SoundPurifier):
    caught_by = "is_random_as_declared"

    def purify(self, images, rng):
        return (blur(images) + 0.01 * rng.normal(images.shape[1:])).clamp(0, 1)


class SaysItIsRandom(SoundPurifier):
    caught_by = "is_random_as_declared"
    stochastic = True


class SubtractsTheBatchMean(SoundPurifier):
    caught_by = "rows_do_not_depend_on_the_batch"

    def purify(self, images, rng):
        return (blur(images) - images.mean(0, keepdim=True) + 0.5).clamp(0, 1)


class PurifiesInPlace(SoundPurifier):
    caught_by = "leaves_its_inputs_unchanged"

    def purify(self, images, rng):
        with torch.no_grad():
            images.copy_(blur(images))
        return blur(images)


class NoGradientThrough(SoundPurifier):
    caught_by = "has_a_gradient_as_declared"

    def purify(self, images, rng):
        return (blur(images) * 255).round() / 255


class NoGradientInTheSurrogate(SoundPurifier):
    caught_by = "its_surrogate_has_a_gradient"

    def surrogate(self):
        return lambda images: images.detach()


@dataclass(frozen=True)
class SoundDetector:
    """Roughness, beyond what is usual."""

    usual: float = 0.0
    stochastic = False
    differentiable = True

    def fit(self, clean, *, rng):
        return replace(self, usual=float((clean - blur(clean)).abs().mean()))

    def score(self, images, rng):
        return (images - blur(images)).abs().flatten(1).mean(1) - self.usual

    def surrogate(self):
        return self


class ScoresTheBatch(SoundDetector):
    caught_by = "keeps_shape_dtype_and_range"

    def score(self, images, rng):
        return super().score(images, rng).mean()


class FitsItself(SoundDetector):
    caught_by = "fit_returns_a_new_detector"

    def fit(self, clean, *, rng):
        object.__setattr__(self, "usual", float(clean.mean()))
        return self


class LearnsWhileScoring(SoundDetector):
    caught_by = "scoring_teaches_it_nothing"

    def score(self, images, rng):
        found = super().score(images, rng)
        object.__setattr__(self, "usual", float(found.detach().mean()))
        return found


class SaysTheSameOfAll(SoundDetector):
    caught_by = "fewer_false_alarms_need_a_higher_threshold"

    def score(self, images, rng):
        return super().score(images, rng) * 0
