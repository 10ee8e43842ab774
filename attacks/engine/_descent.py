"""The loop: take steps down the goal's loss in a space, under a budget, and keep the best point seen."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from advgen.attacks.engine._gradients import GradientRule, SlopeAt, nested
from advgen.attacks.engine._prepared import Fast, prepare
from advgen.attacks.engine._problem import Attempt, Found, Problem, Stop, ask, slope_of
from advgen.attacks.engine._steps import StepRule
from advgen.core.budgets import Perceptual
from advgen.core.meter import Counted

# A budget without a closed form is searched a little inside, and verified on the bytes.
SEARCHED_SHARE = 0.97


def descend(
    problem: Problem,
    *,
    steps: int,
    step_rule: StepRule,
    gradient: Sequence[GradientRule] = (),
    start: Tensor | None = None,
    samples: int = 1,
    penalty: float = 10.0,
    stop: Stop = "never",
    fast: Fast = "no",
) -> Found:
    """Takes `steps` steps down the goal's loss from `start` (coordinates; default: the originals').

    The budget is projected onto where it has a closed form for these coordinates, else it enters the loss with
    `penalty` per relative excess. `gradient` are rules about where and how the gradient is taken, the outermost first.
    `samples` draws of a random target are averaged a step (EOT, Athalye et al. 2018, arXiv 1707.07397). With
    `stop="success"` a sample leaves when its image rounded to uint8 fools a deterministic target; on a random target
    nobody leaves. With `fast` the search goes through a prepared copy of the network, and the raw one has the verdict.
    """
    if isinstance(problem.budget, Perceptual):
        problem = replace(problem, budget=problem.budget.bound(problem.originals))
    raw = replace(problem, target=Counted(problem.target, problem.meter))
    search = replace(problem, target=Counted(prepare(problem.target, fast), problem.meter))
    origin = problem.space.start(problem.originals, problem.rng)
    coordinates = (origin if start is None else start).detach().clone()
    projects = problem.budget.closed_form and (problem.space.pixels or problem.budget.of == "coordinates")
    leaves = stop == "success" and not problem.target.stochastic
    best = Best(problem, coordinates)
    active = torch.arange(len(coordinates), device=coordinates.device)
    everyone = raw

    for k in range(steps + 1):
        last = k == steps
        coordinates.requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            images = search.space.decode(coordinates)
            loss, reached = ask(search, images, samples)
            distance = None if projects else search.budget.distance(*_measured(search, images, coordinates, origin))
        inside = _inside(search, distance)
        best.offer(active, images, coordinates, loss, reached, inside, early=4 * k < 3 * steps or (last and steps < 4))
        if last:
            break
        leaving = fools_on_bytes(raw, images.detach(), reached & inside) if leaves else torch.zeros_like(reached)
        if bool(leaving.any()):
            best.settle(active, leaving, images.detach(), coordinates.detach(), loss.detach())
            if bool(leaving.all()):
                break
        # The graph holds the whole batch: those that stay are asked for their gradient from it.
        slope = slope_of(_penalised(loss, distance, search, penalty), coordinates)
        coordinates = coordinates.detach()
        if bool(leaving.any()):
            stay = (~leaving).nonzero()[:, 0]
            active, origin, raw, search = active[stay], origin[stay], raw.take(stay), search.take(stay)
            step_rule, gradient = step_rule.take(stay), [rule.take(stay) for rule in gradient]
            coordinates, slope = coordinates[stay], slope[stay]
        best.watch(active, slope, first=k == 0)
        if gradient:
            known = _slopes(search, origin, coordinates, slope, projects, samples, penalty)
            slope = nested(gradient, known, k)(coordinates)
        with torch.no_grad():
            coordinates = step_rule.step(coordinates, slope.nan_to_num_(0.0, 0.0, 0.0), k)
            if projects:
                coordinates = search.budget.project(coordinates, origin)
            coordinates = search.space.clip(coordinates)
    found = best.found()
    return found if fast == "no" else judged_raw(everyone, found, samples)


def random_start(problem: Problem) -> Tensor:
    """Coordinates drawn from the budget around the originals, inside the space's own limits."""
    origin = problem.space.start(problem.originals, problem.rng)
    if not (problem.space.pixels or problem.budget.of == "coordinates"):
        return origin
    return problem.space.clip(problem.budget.random(origin, problem.rng))


def with_restarts(problem: Problem, attempt: Attempt, *, restarts: int) -> Found:
    """Runs `attempt(problem, r)` for r = 0 .. restarts - 1, each time on the samples that have not been won yet.

    On random targets all samples are tried again: one lucky hit is not a win.
    """
    found = attempt(problem, 0)
    for r in range(1, restarts):
        again = ~(found.reached & found.inside) if not problem.target.stochastic else torch.ones_like(found.reached)
        if not bool(again.any()):
            break
        where = again.nonzero()[:, 0]
        found = _merged(found, where, attempt(problem.take(where), r))
    return found


class Best:
    """Best-so-far of a batch, updated by the samples still in."""

    def __init__(self, problem: Problem, coordinates: Tensor) -> None:
        n, device = len(coordinates), coordinates.device
        self.images = problem.originals.clone()
        self.coordinates = coordinates.clone()
        self.loss = torch.full((n,), torch.inf, device=device)
        self.reached, self.inside, self.early, self.zero, self.bad = (
            torch.zeros(n, dtype=torch.bool, device=device) for _ in range(5)
        )
        self._pixels = problem.space.pixels
        self._everyone = n

    def offer(
        self,
        active: Tensor,
        images: Tensor,
        coordinates: Tensor,
        loss: Tensor,
        reached: Tensor,
        inside: Tensor,
        *,
        early: bool,
    ) -> None:
        images, coordinates, loss = images.detach(), coordinates.detach(), loss.detach()
        full = len(active) == self._everyone
        had_inside, had_reached = self.inside, self.reached
        had_loss = self.loss
        if not full:
            had_inside, had_reached, had_loss = had_inside[active], had_reached[active], had_loss[active]
        rank, had = inside.int() * 2 + reached.int(), had_inside.int() * 2 + had_reached.int()
        better = (rank > had) | ((rank == had) & (loss < had_loss))
        if full:
            shape = (-1, *[1] * (images.dim() - 1))
            torch.where(better.reshape(shape), images, self.images, out=self.images)
            if self._pixels:
                self.coordinates = self.images
            else:
                shape = (-1, *[1] * (coordinates.dim() - 1))
                torch.where(better.reshape(shape), coordinates, self.coordinates, out=self.coordinates)
            self.loss = torch.where(better, loss, had_loss)
            self.reached = torch.where(better, reached, had_reached)
            self.inside = torch.where(better, inside, had_inside)
        else:
            where = active[better]
            self.images[where] = images[better]
            self.coordinates[where] = coordinates[better]
            self.loss[where], self.reached[where], self.inside[where] = loss[better], reached[better], inside[better]
        if early:
            self.early[active] |= reached & inside

    def settle(self, active: Tensor, gone: Tensor, images: Tensor, coordinates: Tensor, loss: Tensor) -> None:
        """What leaves is the iterate that fooled on the bytes, not the best in float."""
        where = active[gone]
        self.images[where], self.coordinates[where], self.loss[where] = images[gone], coordinates[gone], loss[gone]
        self.reached[where] = self.inside[where] = True

    def watch(self, active: Tensor, slope: Tensor, *, first: bool) -> None:
        size = slope.flatten(1).abs().amax(1)
        self.bad[active] |= ~size.isfinite()
        if first:
            self.zero[active] = size == 0

    def found(self) -> Found:
        return Found(
            self.images, self.coordinates, self.loss, self.reached, self.inside, self.early, self.zero, self.bad
        )


def fools_on_bytes(search: Problem, images: Tensor, candidates: Tensor) -> Tensor:
    """(N,) bool among `candidates`: the image rounded by the budget's rule fools, in float32."""
    where = candidates.nonzero()[:, 0]
    if not len(where):
        return torch.zeros_like(candidates)
    few = search.take(where)
    with torch.no_grad():
        originals_u8 = (few.originals * 255).round().to(torch.uint8)
        saved = few.budget.to_uint8(images[where], originals_u8).to(images.dtype) / 255
        fools = few.goal.reached(few.target(saved, few.rng)) & few.budget.contains(saved, few.originals)
    gone = torch.zeros_like(candidates)
    gone[where] = fools
    return gone


def judged_raw(problem: Problem, found: Found, samples: int) -> Found:
    """`found` with the raw target's loss and verdict on the images that a prepared copy was searched with."""
    with torch.no_grad():
        loss, reached = ask(problem, found.images, samples)
    return found._replace(loss=loss, reached=reached)


def _slopes(
    search: Problem,
    origin: Tensor,
    iterate: Tensor,
    slope: Tensor,
    projects: bool,
    samples: int,
    penalty: float,
) -> SlopeAt:
    """The gradient at any coordinates; that at the iterate itself is known already."""

    def slope_at(coordinates: Tensor) -> Tensor:
        if coordinates is iterate:
            return slope
        at = coordinates.detach().requires_grad_()
        images = search.space.decode(at)
        loss, _ = ask(search, images, samples)
        distance = None if projects else search.budget.distance(*_measured(search, images, at, origin))
        return slope_of(_penalised(loss, distance, search, penalty), at)

    return slope_at


def _penalised(loss: Tensor, distance: Tensor | None, search: Problem, penalty: float) -> Tensor:
    if distance is None:
        return loss
    return loss + penalty * (distance / search.budget.radius - SEARCHED_SHARE).clamp(min=0)


def _measured(search: Problem, images: Tensor, coordinates: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    return (coordinates, origin) if search.budget.of == "coordinates" else (images, search.originals)


def _inside(search: Problem, distance: Tensor | None) -> Tensor:
    if distance is None:
        return torch.ones(len(search.originals), dtype=torch.bool, device=search.originals.device)
    return distance.detach() <= search.budget.radius


def _merged(found: Found, where: Tensor, again: Found) -> Found:
    rank = found.inside[where].int() * 2 + found.reached[where].int()
    rank_again = again.inside.int() * 2 + again.reached.int()
    better = (rank_again > rank) | ((rank_again == rank) & (again.loss < found.loss[where]))
    merged = [column.clone() for column in found]
    for column, column_again in zip(merged[:6], again[:6], strict=True):
        column[where[better]] = column_again[better]
    merged[7][where] |= again.bad_gradient
    return Found(*merged)
