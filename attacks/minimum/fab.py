"""FAB: steps to the nearest linearised boundary, drawn back towards the original; the smallest change in any norm.

Both the iterate and the original are projected onto the boundary's hyperplane inside the box; the next iterate lies
between the two, a little beyond. Where it fools, it is kept if nearer, and the search steps back towards the original.
`one_at_a_time` tries one other class after another (FAB-T, a backward a step) instead of all at every step. A target
that decides by sign, or that can reject an image, has one boundary: where the goal's loss is zero.

Croce & Hein 2020, "Minimally distorted Adversarial Examples with a Fast Adaptive Boundary Attack", arXiv 1907.02044,
Algorithm 1; defaults (100 steps, alpha 0.1, eta 1.05, beta 0.9, 3 steps of a final search) are the authors'. The final
search halves the segment to the original.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import (
    Nearest,
    Problem,
    ask,
    free_ball,
    likeliest_rivals,
    on_bytes,
    onto_hyperplane_and_box,
    prepare,
)
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target

NORMS = ("Linf", "L2", "L1")
FINAL_STEPS = 3
FIRST_OVERSHOOT, OVERSHOOTS = 0.02, 10  # beyond the boundary, doubled each time, where rounding undoes a success


@final
@dataclass(frozen=True)
class FAB:
    paper = "Croce & Hein 2020, arXiv 1907.02044"
    access = "white-box"
    goals = ("untargeted", "pass-as-real", "evade-identity")
    budgets = ("Linf", "L2", "L1")
    cost = "gradient"
    trial: ClassVar = {"steps": 20}

    budget: Budget | None = None  # None = minimum norm; a radius bounds the random starts, its norm is minimised
    norm: Literal["Linf", "L2", "L1"] = "Linf"  # what is minimised when there is no budget
    steps: int = 100  # linearisations a try
    restarts: int = 1  # tries; from the second on from a random point
    candidates: int = 9  # other classes looked at, those with the highest logits of the original
    one_at_a_time: bool = False  # a try for each of them (FAB-T), instead of all of them at every step
    alpha: float = 0.1  # largest weight of the original's projection in the next iterate
    eta: float = 1.05  # how far beyond the boundary a step goes
    beta: float = 0.9  # where between original and iterate the search goes on from after a success
    rounded: bool = True  # count a success only if the image rounded to bytes fools
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once it is inside the budget's radius
    # search a prepared copy of the network; the raw one judges
    fast: Literal["no", "float32", "bfloat16", "compiled", "compiled-bfloat16"] = "no"

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget.name not in NORMS:
            raise BadArgument(f"minimum/fab takes a budget in {', '.join(NORMS)}, got {self.budget.name}.")
        if min(self.steps, self.restarts, self.candidates) < 1:
            raise BadArgument(
                f"steps, restarts and candidates of minimum/fab must be 1 or more, "
                f"got {self.steps}, {self.restarts} and {self.candidates}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if goal.wanted is not None:
            raise BadArgument(
                f"minimum/fab goes to the nearest boundary and cannot choose a class, and the goal is "
                f"{goal.name!r}; use minimum/fmn."
            )
        norm = self.norm if self.budget is None else self.budget.name
        problem = Problem(Counted(target, meter), Pixels(), free_ball(norm), goal, images, rng, meter)
        best, in_float = (Nearest(images, problem.budget.distance) for _ in range(2))
        if not len(images):
            return AttackResult(best.images, best.note())
        with torch.no_grad():
            clean = problem.target(images, rng)
        everyone = torch.arange(len(images), device=images.device)
        best.offer(everyone, images, goal.reached(clean))
        rivals = None
        if target.decision == "argmax" and clean.alarm is None:
            rivals = likeliest_rivals(clean, goal, self.candidates)
        tries = [rivals] if rivals is None or not self.one_at_a_time else list(rivals.split(1, dim=1))
        prepared = Counted(prepare(target, self.fast), meter)
        for r in range(self.restarts):
            for boundaries in tries:
                self._try(problem, prepared, boundaries, best, in_float, norm, random_start=r > 0)
        self._final_search(problem, best, in_float)
        return AttackResult(best.images, best.note())

    def _try(
        self,
        problem: Problem,
        prepared: Target,
        rivals: Tensor | None,
        best: Nearest,
        in_float: Nearest,
        norm: str,
        *,
        random_start: bool,
    ) -> None:
        """Algorithm 1 for every sample that still has something to gain.

        A point that does not fool is asked once, for its verdict and its slope; one that fools is left for a point
        nearer to the original, which is asked again. Where many fool, a forward for the verdict comes first: it costs
        less than backwards in vain. On random targets it always does, as their draws must not depend on the batch.
        """
        active = self._wanting(best).nonzero()[:, 0]
        if not len(active):
            return
        raw = problem.take(active)
        part = _Part(
            active, raw, replace(raw, target=prepared.take(active)), None if rivals is None else rivals[active]
        )
        x = self._random_point(raw, best.distance[active]) if random_start else raw.originals.clone()
        share = 0.0  # of the samples that fooled at the last step
        known, _ = part.boundaries(x)
        for k in range(self.steps):
            best.watch(part.active, known.slopes.amax(0), first=k == 0)
            x = self._step(part.raw, x, *_nearest_boundary(known, norm), norm)
            last = k == self.steps - 1
            if last or problem.target.stochastic or share > 1 / (1 + 2 * len(known.margins)):
                seen, reached = None, part.verdict(x)
            else:
                seen, reached = part.boundaries(x)
            self._offer(part, x, reached, best, in_float)
            stay = self._wanting(best)[part.active].nonzero()[:, 0]
            if last or not len(stay):
                break
            if len(stay) < len(part.active):
                part, x, reached = part.take(stay), x[stay], reached[stay]
                seen = None if seen is None else seen.take(stay)
            nearer = (1 - self.beta) * part.raw.originals + self.beta * x
            x, share = torch.where(reached.reshape(-1, 1, 1, 1), nearer, x), float(reached.float().mean())
            known = part.boundaries(x)[0] if seen is None else part.seen_again(seen, x, reached)

    def _step(self, problem: Problem, x: Tensor, margin: Tensor, slope: Tensor, norm: str) -> Tensor:
        """Between the projections of the iterate and of the original, a little beyond the boundary (equation 9)."""
        origin = problem.originals
        ahead = onto_hyperplane_and_box(x, slope, margin, norm)  # the iterate's projection
        # The same hyperplane, seen from the original.
        back = onto_hyperplane_and_box(origin, slope, margin + (slope * (origin - x)).flatten(1).sum(1), norm)
        near, far = problem.budget.distance(ahead, x), problem.budget.distance(back, origin)
        weight = (near / (near + far).clamp(min=1e-12)).clamp(0.0, self.alpha).reshape(-1, 1, 1, 1)
        x = (1 - weight) * (x + self.eta * (ahead - x)) + weight * (origin + self.eta * (back - origin))
        return x.clamp(0.0, 1.0)

    def _wanting(self, best: Nearest) -> Tensor:
        """(N,) bool, who may still gain: not yet at the original, or with `stop` not yet inside the radius."""
        radius = 0.0 if self.budget is None or self.stop == "never" else self.budget.radius
        return best.distance > torch.as_tensor(radius, dtype=best.distance.dtype, device=best.distance.device)

    def _offer(self, part: "_Part", x: Tensor, reached: Tensor, best: Nearest, in_float: Nearest) -> None:
        """Keeps what fools; the bytes, and the raw network behind a prepared one, are asked only where `reached`."""
        if not bool(reached.any()):
            return
        where = reached.nonzero()[:, 0]
        few, shown, at = part.raw.take(where), x[where], part.active[where]
        fools = torch.ones_like(where, dtype=torch.bool)
        with torch.no_grad():
            if self.rounded:
                in_float.offer(at, shown, fools)
                saved = on_bytes(shown, few.originals)
                gains = (few.budget.distance(saved, few.originals) < best.distance[at]).nonzero()[:, 0]
                if len(gains):
                    best.offer(at[gains], saved[gains], ask(few.take(gains), saved[gains], 1)[1])
            else:
                best.offer(at, shown, fools if self.fast == "no" else ask(few, shown, 1)[1])

    def _random_point(self, problem: Problem, nearest: Tensor) -> Tensor:
        """Half as far as the nearest image that won, or as the budget reaches, at most (section 3.3)."""
        reach = 1.0 if self.budget is None else self.budget.radius
        radius = torch.minimum(nearest, torch.as_tensor(reach, dtype=nearest.dtype, device=nearest.device)) / 2
        ball = free_ball(problem.budget.name)
        start = type(ball)(radius).random(problem.originals, problem.rng)  # type: ignore[call-arg]
        return start.clamp(0.0, 1.0)

    def _overshoot(self, problem: Problem, best: Nearest, in_float: Nearest) -> None:
        """What fools in float alone goes further along its line, ever twice as far, until its bytes fool."""
        for k in range(OVERSHOOTS):
            active = (best.distance.isinf() & in_float.distance.isfinite()).nonzero()[:, 0]
            if not len(active):
                break
            few = problem.take(active)
            change = in_float.images[active] - few.originals
            saved = on_bytes(few.originals + (1 + FIRST_OVERSHOOT * 2**k) * change, few.originals)
            with torch.no_grad():
                best.offer(active, saved, ask(few, saved, 1)[1])

    def _final_search(self, problem: Problem, best: Nearest, in_float: Nearest) -> None:
        if self.rounded:
            self._overshoot(problem, best, in_float)
        active = (best.distance.isfinite() & (best.distance > 0)).nonzero()[:, 0]
        if not len(active):
            return
        problem = problem.take(active)
        near, far = problem.originals.clone(), best.images[active].clone()
        part = _Part(active, problem, problem, None)
        for _ in range(FINAL_STEPS):
            middle = (near + far) / 2
            reached = part.verdict(middle)
            self._offer(part, middle, reached, best, in_float)
            reached = reached.reshape(-1, 1, 1, 1)
            near, far = torch.where(reached, near, middle), torch.where(reached, middle, far)


@dataclass
class _Boundaries:
    """Margins (R, N) of the label over each rival, or the goal's loss, and their slopes (R, N, C, H, W), all finite."""

    margins: Tensor
    slopes: Tensor

    def take(self, index: Tensor) -> "_Boundaries":
        return _Boundaries(self.margins[:, index], self.slopes[:, index])


@dataclass
class _Part:
    """The samples that a try is still about."""

    active: Tensor  # (n,) their places in the batch
    raw: Problem  # the network that judges
    search: Problem  # the one that is searched with
    rivals: Tensor | None  # (n, R) other classes; None = the boundary is where the goal's loss is zero

    def take(self, index: Tensor) -> "_Part":
        rivals = None if self.rivals is None else self.rivals[index]
        return _Part(self.active[index], self.raw.take(index), self.search.take(index), rivals)

    def verdict(self, x: Tensor) -> Tensor:
        """(n,) bool, who fools."""
        with torch.no_grad():
            return self.search.goal.reached(self.search.target(x, self.search.rng))

    def boundaries(self, x: Tensor) -> tuple[_Boundaries, Tensor]:
        """What is seen from `x`, and who fools there: one forward, a backward a boundary."""
        x = x.detach().requires_grad_()
        outputs = self.search.target(x, self.search.rng)
        if self.rivals is None:
            values = self.search.goal.loss(outputs)[None]
        else:
            logits = outputs.logits
            values = (logits.gather(1, self.search.goal.labels[:, None]) - logits.gather(1, self.rivals)).T
        slopes = []
        for r, value in enumerate(values):
            slope = None
            if value.requires_grad:
                (slope,) = torch.autograd.grad(value.sum(), x, retain_graph=r + 1 < len(values), allow_unused=True)
            slopes.append(torch.zeros_like(x) if slope is None else slope)
        return _Boundaries(values.detach(), torch.stack(slopes)), self.search.goal.reached(outputs)

    def seen_again(self, seen: _Boundaries, x: Tensor, moved: Tensor) -> _Boundaries:
        """`seen`, looked at again from where `moved` samples are now."""
        if not bool(moved.any()):
            return seen
        where = moved.nonzero()[:, 0]
        few, _ = self.take(where).boundaries(x[where])
        seen.margins[:, where], seen.slopes[:, where] = few.margins, few.slopes
        return seen


def _nearest_boundary(known: _Boundaries, norm: str) -> tuple[Tensor, Tensor]:
    """Margin (N,) and slope of the boundary that is nearest: |margin| over the slope's dual norm (equation 6)."""
    margins, slopes = known.margins, known.slopes.nan_to_num(0.0, 0.0, 0.0)
    if len(margins) == 1:
        return margins[0], slopes[0]
    # Divided by the largest value first: tiny slopes of confident samples must not underflow when squared.
    largest = slopes.flatten(2).abs().amax(2).clamp(min=1e-30)
    unit = (slopes / largest.reshape(*largest.shape, 1, 1, 1)).flatten(2)
    dual = {"Linf": unit.abs().sum(2), "L2": unit.norm(dim=2), "L1": unit.abs().amax(2)}[norm]
    distance = torch.where(dual > 0, margins.abs() / (largest * dual), torch.inf)
    nearest, rows = distance.argmin(0), torch.arange(slopes.shape[1], device=slopes.device)
    return margins[nearest, rows], slopes[nearest, rows]
