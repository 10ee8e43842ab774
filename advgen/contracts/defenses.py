"""What purifiers and detectors keep."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from advgen.contracts import parts, toys
from advgen.contracts.contract import GlobalRandomness, NotApplicable, bad_images, named, rows
from advgen.contracts.subjects import built
from advgen.core.alarms import threshold_at
from advgen.core.budgets import Linf
from advgen.core.rng import SampleRng

N = 6


@final
@dataclass(frozen=True)
class Defense:
    """A purifier or detector class."""

    cls: type[Any]

    @property
    def purifies(self) -> bool:
        return hasattr(self.cls, "purify")

    def ready(self) -> Any:
        """An instance; a detector is fitted on clean images."""
        made = built(self.cls)
        return made if self.purifies else made.fit(_clean(1), rng=_rng(range(12), "train"))

    def answer(self, made: Any, images: Tensor, which: Any = range(N), *, seed: int = 0) -> Tensor:
        """Purified images, or scores (N,)."""
        rng = _rng(which, seed=seed)
        found: Tensor = made.purify(images, rng) if self.purifies else made.score(images, rng)
        return found


def keeps_shape_dtype_and_range(defense: Defense) -> str:
    """Images come back as images; scores are one finite float32 an image. Exact 0 and 1 are images too."""
    made = defense.ready()
    images = _images()
    images[0], images[1] = 0.0, 1.0
    images[2] = (images[2] > 0.5).float()
    found = defense.answer(made, images)
    if defense.purifies:
        return bad_images(found.detach(), images)
    if found.shape != (N,):
        return f"returned scores of the shape {tuple(found.shape)} for {N} images"
    if found.dtype != torch.float32:
        return f"returned scores as {found.dtype} where float32 was expected"
    return "" if bool(found.isfinite().all()) else f"returned scores that are not finite in {rows(~found.isfinite())}"


def takes_no_images(defense: Defense) -> str:
    """A batch of none gives none."""
    found = defense.answer(defense.ready(), _images()[:0], range(0))
    return "" if len(found) == 0 else f"returned {len(found)} answers for no images"


def is_random_as_declared(defense: Defense) -> str:
    """The same random numbers give the same answer; others give another one exactly where it says `stochastic`."""
    made, images = defense.ready(), _images()
    once = defense.answer(made, images)
    if not torch.equal(once, defense.answer(made, images)):
        return "gave two answers for the same random numbers"
    differs = not torch.equal(once, defense.answer(made, images, seed=1))
    if differs and not made.stochastic:
        return "says that it is not stochastic, and its answer depends on the random numbers"
    return "says that it is stochastic, and its answer does not" if made.stochastic and not differs else ""


def rows_do_not_depend_on_the_batch(defense: Defense) -> str:
    """Another order of the batch, and each image alone, give the same answer to the last bit."""
    made, images = defense.ready(), _images()
    whole = defense.answer(made, images)
    order = torch.arange(N - 1, -1, -1)
    backwards = defense.answer(made, images[order], order.tolist())
    if not torch.equal(backwards, whole[order]):
        return "gave other answers when the batch was reversed"
    alone = torch.cat([defense.answer(made, images[i : i + 1], [i]) for i in range(N)])
    differs = (alone != whole).flatten(1).any(1) if defense.purifies else alone != whole
    return f"gave other answers one at a time, in {rows(differs)}" if bool(differs.any()) else ""


def leaves_its_inputs_unchanged(defense: Defense) -> str:
    """Images and the networks that it was given are as they were; global generators too."""
    needs = parts.for_needs(Linf(8 / 255))
    given = {need: needs[need] for need in getattr(defense.cls, "needs", ())}
    networks = [v for v in given.values() if isinstance(v, torch.nn.Module)]
    state = [{k: v.clone() for k, v in network.state_dict().items()} for network in networks]
    made = built(defense.cls, given)
    made = made if defense.purifies else made.fit(_clean(1), rng=_rng(range(12), "train"))
    images, before = _images(), GlobalRandomness()
    defense.answer(made, images)
    if not torch.equal(images, _images()):
        return "wrote into the images that it was given"
    for network, old in zip(networks, state, strict=True):
        if any(not torch.equal(old[k], v) for k, v in network.state_dict().items()):
            return "changed the network that it was given"
        if network.training:
            return "changed the mode of the network that it was given"
    return before.changed()


def has_a_gradient_as_declared(defense: Defense) -> str:
    """Where it says `differentiable`, every image has a gradient that is not zero."""
    made = defense.ready()
    if not made.differentiable:
        return NotApplicable("it says that it is not differentiable")
    return _gradient(lambda images: defense.answer(made, images), "it says that it is differentiable")


def its_surrogate_has_a_gradient(defense: Defense) -> str:
    """The surrogate answers in the same shape and lets a gradient through to every image."""
    surrogate = defense.ready().surrogate()
    images = _images()
    if defense.purifies:
        if surrogate(images).shape != images.shape:
            return "its surrogate changes the images' shape"
        return _gradient(surrogate, "its surrogate stands in for it")
    return _gradient(lambda x: surrogate.score(x, _rng(range(N))), "its surrogate stands in for it")


def fit_returns_a_new_detector(defense: Defense) -> str:
    """`fit` leaves the detector that it is called on alone, and fitting twice gives the same one."""
    if defense.purifies:
        return NotApplicable("a purifier is not fitted")
    made = built(defense.cls)
    before = dict(vars(made))
    fitted = made.fit(_clean(1), rng=_rng(range(12), "train"))
    if fitted is made:
        return "fit returned the detector itself"
    if any(vars(made)[k] is not before[k] for k in before) or vars(made).keys() != before.keys():
        return "fit wrote to the detector that it was called on"
    again = made.fit(_clean(1), rng=_rng(range(12), "train"))
    same = torch.equal(defense.answer(fitted, _images()), defense.answer(again, _images()))
    return "" if same else "two fits on the same images score differently"


def scoring_teaches_it_nothing(defense: Defense) -> str:
    """Scores of an image do not change after other images were scored, calibration images among them."""
    if defense.purifies:
        return NotApplicable("a purifier is not calibrated")
    made, images = defense.ready(), _images()
    before = defense.answer(made, images)
    defense.answer(made, _clean(2), range(12))
    return "" if torch.equal(before, defense.answer(made, images)) else "its scores changed after it scored others"


def fewer_false_alarms_need_a_higher_threshold(defense: Defense) -> str:
    """The threshold does not fall as the rate of false alarms does, and scores tell clean images apart."""
    if defense.purifies:
        return NotApplicable("a purifier has no threshold")
    clean = torch.cat([_clean(seed) for seed in range(3, 13)])
    scores = defense.answer(defense.ready(), clean, range(len(clean))).detach().double()
    if float(scores.std()) == 0:
        return f"gives all {len(clean)} clean images the same score"
    thresholds = [threshold_at(scores, fpr=fpr) for fpr in (0.3, 0.2, 0.1)]
    return "" if thresholds == sorted(thresholds) else f"has thresholds {thresholds} at 30%, 20% and 10% false alarms"


DEFENSES = named(
    keeps_shape_dtype_and_range,
    takes_no_images,
    is_random_as_declared,
    rows_do_not_depend_on_the_batch,
    leaves_its_inputs_unchanged,
    has_a_gradient_as_declared,
    its_surrogate_has_a_gradient,
    fit_returns_a_new_detector,
    scoring_teaches_it_nothing,
    fewer_false_alarms_need_a_higher_threshold,
)


def _images() -> Tensor:
    return torch.rand((N, *toys.SHAPE), generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1


def _clean(seed: int) -> Tensor:
    return torch.rand((12, *toys.SHAPE), generator=torch.Generator().manual_seed(seed)) * 0.8 + 0.1


def _rng(which: Any, purpose: str = "defense", *, seed: int = 0) -> SampleRng:
    return SampleRng.for_samples(seed, purpose, [f"toy/test/{i}" for i in which])


def _gradient(through: Any, why: str) -> str:
    images = _images().requires_grad_()
    found = through(images)
    if not found.requires_grad:
        return f"{why}, and it lets no gradient through"
    (slope,) = torch.autograd.grad(found.square().sum(), images)
    dead = slope.flatten(1).abs().amax(1) == 0
    if not bool(slope.isfinite().all()):
        return f"{why}, and its gradient is not finite"
    return f"{why}, and its gradient is zero in {rows(dead)}" if bool(dead.any()) else ""
