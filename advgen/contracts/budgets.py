"""What budgets keep; the subject is an instance."""

import torch
from torch import Tensor

from advgen.contracts.contract import NotApplicable, named, rows
from advgen.core.budgets import TOLERANCE
from advgen.core.rng import SampleRng
from advgen.core.types import Budget

N = 6


def projects_inside_and_once(budget: Budget) -> str:
    """Projected points are inside, and projecting again moves them no more; what is inside stays where it is."""
    images, originals = _moved()
    once = budget.project(images, originals)
    outside = ~budget.contains(once, originals)
    if bool(outside.any()):
        return f"projects outside in {rows(outside)}"
    again = (budget.project(once, originals) - once).abs().flatten(1).amax(1)
    if bool((again > 10 * TOLERANCE).any()):
        return f"projecting twice moves {rows(again > 10 * TOLERANCE)}"
    return "" if torch.equal(budget.project(originals, originals), originals) else "moves the originals themselves"


def draws_inside(budget: Budget) -> str:
    """Random points are inside, and belong to their sample."""
    _, originals = _moved()
    drawn = budget.random(originals, _rng(N))
    outside = ~budget.contains(drawn, originals)
    if bool(outside.any()) and budget.closed_form:
        return f"draws outside in {rows(outside)}"
    last = torch.tensor([N - 1])
    alone = budget.take(last).random(originals[-1:], _rng(N).take(last))
    return "" if torch.equal(alone[0], drawn[-1]) else "draws depend on the batch"


def measures_from_zero(budget: Budget) -> str:
    """An image is at distance 0 from itself, others are not, and the gradient is finite there."""
    images, originals = _moved()
    at = originals.clone().requires_grad_()
    here = budget.distance(at, originals)
    if here.shape != (N,) or bool((here != 0).any()):
        return "the distance of an image to itself is not 0"
    if bool((budget.distance(images, originals) <= 0).any()):
        return "the distance of another image is not above 0"
    if here.requires_grad:
        (slope,) = torch.autograd.grad(here.sum(), at, allow_unused=True)
        if slope is not None and not bool(slope.isfinite().all()):
            return "the distance has no finite gradient at the original"
    return ""


def saves_inside(budget: Budget) -> str:
    """Bytes of a point that is inside are inside."""
    if budget.of == "coordinates":
        return NotApplicable("it measures coordinates")
    images, originals = _moved()
    originals_u8 = (originals * 255).round().to(torch.uint8)
    originals = originals_u8.float() / 255
    inside = budget.project(images, originals).clamp(0, 1)
    saved = budget.to_uint8(inside, originals_u8)
    if saved.dtype != torch.uint8 or saved.shape != images.shape:
        return f"saves {saved.dtype} {tuple(saved.shape)}"
    outside = ~budget.contains(saved.float() / 255, originals)
    return f"saves bytes outside in {rows(outside)}" if bool(outside.any()) else ""


BUDGETS = named(projects_inside_and_once, draws_inside, measures_from_zero, saves_inside)


def _moved() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    originals = torch.rand((N, 3, 8, 8), generator=generator)
    return originals + 0.3 * torch.randn(originals.shape, generator=generator), originals


def _rng(n: int, *, seed: int = 0) -> SampleRng:
    return SampleRng.for_samples(seed, "attack", [f"toy/test/{i}" for i in range(n)])
