"""What targets keep; the subject is an instance."""

import torch
from torch import Tensor

from advgen.contracts.contract import GlobalRandomness, NotApplicable, named, rows
from advgen.core.rng import SampleRng
from advgen.core.types import Outputs, Target

N = 6
LOGITS_DIFFER = 1e-3  # of the largest logit: convolutions sum in another order in another batch


def returns_one_row_of_logits_an_image(target: Target) -> str:
    """float32 (N, K), K the number of classes, finite; none for no images."""
    images = _images(target.image_shape)
    for n in (N, 1, 0):
        logits = target(images[:n], _rng(n)).logits
        if logits.shape != (n, len(target.classes)):
            return f"returned {tuple(logits.shape)} for {n} images and {len(target.classes)} classes"
        if logits.dtype != torch.float32 or not bool(logits.isfinite().all()):
            return f"returned {logits.dtype} logits that are finite: {bool(logits.isfinite().all())}"
    return ""


def returns_logits_and_not_probabilities(target: Target) -> str:
    """Rows that sum to 1 within [0, 1] are a softmax, and an attack on its logarithm's gradient is another one."""
    logits = target(_images(target.image_shape), _rng(N)).logits
    if logits.shape[1] < 2:
        return NotApplicable("it has one logit")
    sums_to_one = bool(((logits.sum(1) - 1).abs() < 1e-3).all())
    return "returned probabilities where logits are meant" if sums_to_one and bool((logits >= 0).all()) else ""


def answers_each_image_by_itself(target: Target) -> str:
    """Another order of the batch, and each image alone, give the same logits, up to the order of sums."""
    images = _images(target.image_shape)
    whole = target(images, _rng(N)).logits.detach()
    room = LOGITS_DIFFER * float(whole.abs().max())
    order = torch.arange(N - 1, -1, -1)
    gap = (target(images[order], _rng(N).take(order)).logits.detach() - whole[order]).abs().amax(1)
    if bool((gap > room).any()):
        return f"gave other logits when the batch was reversed, in {rows(gap > room)}"
    alone = [target(images[i : i + 1], _rng(N).take(torch.tensor([i]))).logits.detach() for i in range(N)]
    gap = (torch.cat(alone) - whole).abs().amax(1)
    return f"gave other logits one at a time, in {rows(gap > room)}" if bool((gap > room).any()) else ""


def is_random_as_declared(target: Target) -> str:
    """Other random numbers give other logits exactly where it says `stochastic`, and never through global ones."""
    images = _images(target.image_shape)
    before = GlobalRandomness()
    once = target(images, _rng(N)).logits.detach()
    if moved := before.changed():
        return moved
    if not torch.equal(once, target(images, _rng(N)).logits.detach()):
        return "gave two answers for the same random numbers"
    differs = not torch.equal(once, target(images, _rng(N, seed=1)).logits.detach())
    if differs == target.stochastic:
        return ""
    return f"says stochastic = {target.stochastic}, and other random numbers {'do' if differs else 'do not'} matter"


def has_a_gradient_as_declared(target: Target) -> str:
    """Where it says `differentiable`, the logits' gradient to the images is finite and not zero."""
    if not target.differentiable:
        return NotApplicable("it says that it is not differentiable")
    images = _images(target.image_shape).requires_grad_()
    logits = target(images, _rng(N)).logits
    if not logits.requires_grad:
        return "says that it is differentiable, and lets no gradient through"
    (slope,) = torch.autograd.grad((logits * torch.arange(1.0, logits.shape[1] + 1)).sum(), images)
    dead = ~(slope.flatten(1).abs().amax(1) > 0)
    return f"says that it is differentiable, and has no gradient in {rows(dead)}" if bool(dead.any()) else ""


def its_module_agrees(target: Target) -> str:
    """As a torch module for other libraries it takes the same decisions, two logits at least."""
    images = _images(target.image_shape)
    outputs: Outputs = target(images, _rng(N))
    logits = target.as_module(_rng(N))(images).detach()
    if logits.shape[1] < 2:
        return "its module returned one logit"
    if outputs.alarm is not None:
        return ""
    own = outputs.logits.detach()
    mine = (own[:, 0] > 0).long() if own.shape[1] == 1 else own.argmax(1)
    return (
        ""
        if torch.equal(mine, logits.argmax(1))
        else f"its module decides otherwise in {rows(mine != logits.argmax(1))}"
    )


TARGETS = named(
    returns_one_row_of_logits_an_image,
    returns_logits_and_not_probabilities,
    answers_each_image_by_itself,
    is_random_as_declared,
    has_a_gradient_as_declared,
    its_module_agrees,
)


def _images(shape: tuple[int, int, int]) -> Tensor:
    return torch.rand((N, *shape), generator=torch.Generator().manual_seed(0))


def _rng(n: int, *, seed: int = 0) -> SampleRng:
    return SampleRng.for_samples(seed, "attack", [f"toy/test/{i}" for i in range(n)])
