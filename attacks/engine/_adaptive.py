"""APGD's loop: projected steps with momentum, whose size is halved where a sample stops getting better.

A search space, a budget and a goal go in as for `descend`, so APGD runs wherever PGD does.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
arXiv 2003.01690, Algorithm 1; for L1 Croce & Hein 2021, "Mind the box", arXiv 2103.01208, Algorithm 1.
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from advgen.attacks.engine._descent import Best, fools_on_bytes, judged_raw
from advgen.attacks.engine._prepared import Fast, prepare
from advgen.attacks.engine._problem import Found, Problem, Stop, ask, slope_of
from advgen.attacks.engine._projections import onto_l1_and_box
from advgen.attacks.engine._schedules import Halving, Progress, Schedule, Sparsity
from advgen.attacks.engine._steps import shaped
from advgen.core.budgets import L1
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted

# L1 begins in larger balls (section 3.3 of the second paper): times the radius, share of the steps.
LARGER_BALLS = ((3.0, 0.3), (2.0, 0.3))


def descend_adaptively(
    problem: Problem,
    *,
    steps: int,
    start: Tensor | None = None,
    samples: int = 1,
    momentum: float = 0.75,
    rho: float = 0.75,
    stop: Stop = "never",
    fast: Fast = "no",
) -> Found:
    """APGD from `start` (coordinates; default: the originals'), its arguments otherwise those of `descend`.

    `momentum` is the weight of the new step beside the last one, `rho` the share of steps that must get better.

    Raises:
        BadArgument: the budget cannot be projected onto in this space.
    """
    if not (problem.budget.closed_form and (problem.space.pixels or problem.budget.of == "coordinates")):
        raise BadArgument(f"APGD projects onto its budget, and {problem.budget.name} has no projection; use image/pgd.")
    if problem.budget.name != "L1":
        return _loop(problem, steps, start, samples, momentum, rho, stop, fast)
    left = steps
    for times, share in LARGER_BALLS:
        larger = replace(problem, budget=L1(problem.budget.radius * times))
        first = None if start is None else _inside(larger, start, problem.originals)
        found = _loop(larger, max(1, int(share * steps)), first, samples, momentum, rho, "never", fast)
        start, left = found.coordinates, left - max(1, int(share * steps))
    assert start is not None
    start = _inside(problem, start, problem.originals)
    return _loop(problem, max(1, left), start, samples, momentum, rho, stop, fast)


def _loop(
    problem: Problem,
    steps: int,
    start: Tensor | None,
    samples: int,
    momentum: float,
    rho: float,
    stop: Stop,
    fast: Fast,
) -> Found:
    origin = problem.space.start(problem.originals, problem.rng)
    everyone = raw = replace(problem, target=Counted(problem.target, problem.meter))
    search = replace(problem, target=Counted(prepare(problem.target, fast), problem.meter))
    leaves = stop == "success" and not problem.target.stochastic
    x = (origin if start is None else start).detach().clone()
    best, seen = Best(problem, x), Progress.before(x, origin)
    schedule: Schedule
    if problem.budget.name == "L1":
        schedule = Sparsity(problem.budget, x, origin, steps=steps)
    else:
        schedule = Halving(problem.budget, x, steps=steps, momentum=momentum, rho=rho)

    for k in range(steps + 1):
        last = k == steps
        x.requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            images = search.space.decode(x)
            loss, reached = ask(search, images, samples)
        early = 4 * k < 3 * steps or (last and steps < 4)
        best.offer(seen.active, images, x, loss, reached, torch.ones_like(reached), early=early)
        if last:
            break
        leaving = fools_on_bytes(raw, images.detach(), reached) if leaves else torch.zeros_like(reached)
        if bool(leaving.any()):
            best.settle(seen.active, leaving, images.detach(), x.detach(), loss.detach())
            if bool(leaving.all()):
                break
        slope, x, loss = slope_of(loss, x), x.detach(), loss.detach()
        if bool(leaving.any()):
            stay = (~leaving).nonzero()[:, 0]
            raw, search, seen, schedule = raw.take(stay), search.take(stay), seen.take(stay), schedule.take(stay)
            x, slope, loss = x[stay], slope[stay], loss[stay]
        best.watch(seen.active, slope, first=k == 0)

        with torch.no_grad():
            slope = slope.nan_to_num_(0.0, 0.0, 0.0)
            back = schedule.look(k, seen.note(x, loss, slope), seen)
            x, slope = torch.where(shaped(back, x), seen.best, x), torch.where(shaped(back, x), seen.best_slope, slope)
            following = schedule.step(x, slope, k, seen, partial(_inside, search, origin=seen.origin))
            seen.previous, x = x, following
    found = best.found()
    return found if fast == "no" else judged_raw(everyone, found, samples)


def _inside(search: Problem, z: Tensor, origin: Tensor) -> Tensor:
    """Onto the budget and the space's own limits."""
    if search.budget.name == "L1" and search.space.pixels:
        return onto_l1_and_box(z, origin, search.budget.radius)
    return search.space.clip(search.budget.project(z, origin))
