"""HopSkipJump: from decisions alone; a gradient at the boundary from random probes, a hop, and back to the boundary.

It begins at a random image that fools (up to `tries`), goes to the boundary between it and the original, and repeats:
estimate the boundary's direction from which probes fool, step along it as far as still fools, come back by bisection.
What is returned is the nearest image whose bytes fool.

Chen et al. 2020, "HopSkipJumpAttack: A Query-Efficient Decision-Based Attack", arXiv 1904.02144, Algorithms 1 and 2;
40 steps, 100 sqrt(t) probes up to 10,000, gamma 1 and a first probe of 0.1 are those of the authors' code.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import Nearest, Problem, free_ball, on_bytes
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target

FIRST_PROBE = 0.1  # length of the first probes, before a distance is known
HALVINGS = 12  # of a hop that does not fool
BEYOND = (1.0, 1.02, 1.1)  # times a change that fools in float, offered as bytes


@final
@dataclass(frozen=True)
class HopSkipJump:
    paper = "Chen et al. 2020, arXiv 1904.02144"
    access = "decision"
    goals = ("untargeted", "pass-as-real", "evade-identity")
    budgets = ("L2", "Linf")
    cost = "query"
    trial: ClassVar = {"steps": 3, "probes": 20}
    waives: ClassVar = {
        "reaches_the_closed_form_optimum": "a walk along the boundary nears the optimum with thousands of queries",
    }

    budget: Budget | None = None  # None = minimum norm; a radius is only judged against, its norm is the one minimised
    norm: Literal["L2", "Linf"] = "L2"  # what is minimised when there is no budget
    steps: int = 40  # hops
    probes: int = 100  # random directions of the first hop; hop t has sqrt(t) times as many
    most_probes: int = 10000  # of a hop
    tries: int = 100  # random images, to begin with
    queries: int | None = None  # a hop that may take a sample beyond so many is not begun; None = no limit

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget.name not in self.budgets:
            raise BadArgument(f"blackbox/hopskipjump takes a budget in L2 or Linf, got {self.budget.name}.")
        if min(self.steps, self.probes, self.most_probes, self.tries) < 1:
            raise BadArgument(
                "steps, probes, most_probes and tries of blackbox/hopskipjump must be 1 or more, "
                f"got {self.steps}, {self.probes}, {self.most_probes} and {self.tries}."
            )

        if self.queries is not None and self.queries < 1:
            raise BadArgument(f"queries of blackbox/hopskipjump must be 1 or more, got {self.queries}.")

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if goal.wanted is not None:
            raise BadArgument(
                f"blackbox/hopskipjump begins at a random image, which is hardly of a wanted class, and the goal is "
                f"{goal.name!r}; use blackbox/square."
            )
        norm = self.norm if self.budget is None else self.budget.name
        problem = Problem(Counted(target, meter), Pixels(), free_ball(norm), goal, images, rng, meter)
        best = Nearest(images, problem.budget.distance)
        if not len(images):
            return AttackResult(best.images, {"queries": torch.zeros(0, dtype=torch.int64)})
        everyone = torch.arange(len(images), device=images.device)
        best.offer(everyone, images, _fools(problem, images))
        x, begun, asked = self._begin(problem)
        asked += 1
        active = (begun & (best.distance > 0)).nonzero()[:, 0]
        problem, x = problem.take(active), x[active]
        dimensions = images[0].numel()
        # How close to the boundary a bisection ends, as a share of the way (section 3.3).
        theta = 1 / dimensions**1.5 if norm == "L2" else 1 / dimensions**2
        # A sample's own count does not depend on how long the others of its batch take.
        most = math.ceil(math.log2(1 / theta)) + 1 + HALVINGS + len(BEYOND)
        if len(active):
            x = self._to_boundary(problem, active, x, theta, norm, best, asked)

        for t in range(1, self.steps + 1):
            probes = min(int(self.probes * t**0.5), self.most_probes)
            if self.queries is not None:
                stay = (asked[active] + probes + most <= self.queries).nonzero()[:, 0]
                active, problem, x = active[stay], problem.take(stay), x[stay]
            if not len(active):
                break
            distance = problem.budget.distance(x, problem.originals)
            factor = dimensions**0.5 if norm == "L2" else dimensions
            length = torch.full_like(distance, FIRST_PROBE) if t == 1 else factor * theta * distance
            direction = self._direction(problem, x, length, probes, norm)
            asked[active] += probes
            x = self._hop(problem, active, x, direction, distance / t**0.5, asked)
            x = self._to_boundary(problem, active, x, theta, norm, best, asked)
        return AttackResult(best.images, {"queries": asked})

    def _begin(self, problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
        """A random image that fools for each sample (N, C, H, W), who has one (N,), and queries spent (N,)."""
        x = problem.originals.clone()
        asked = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        begun = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _ in range(self.tries):
            if bool(begun.all()):
                break
            waiting = (~begun).nonzero()[:, 0]
            few = problem.take(waiting)
            drawn = few.rng.uniform(x.shape[1:]).to(x)
            fools = _fools(few, drawn)
            asked[waiting] += 1
            x[waiting[fools]], begun[waiting[fools]] = drawn[fools], True
        return x, begun, asked

    def _to_boundary(
        self, problem: Problem, active: Tensor, x: Tensor, theta: float, norm: str, best: Nearest, asked: Tensor
    ) -> Tensor:
        """Between original and x, the nearest point found that fools: a line in L2, ever smaller balls in Linf.

        It is offered to `best`.
        """
        origin = problem.originals
        high = torch.ones(len(x), device=x.device)
        limit = torch.full_like(high, theta)
        if norm == "Linf":  # blended by clipping to a ball, whose radius is searched
            high = problem.budget.distance(x, origin)
            limit = (high * theta).clamp(max=theta)
        low = torch.zeros_like(high)
        while bool(((high - low) > limit).any()):
            middle = (low + high) / 2
            if bool(((middle == low) | (middle == high)).all()):
                break  # as fine as floats go
            fools = _fools(problem, _blended(origin, x, middle, norm))
            unsettled = (high - low) > limit
            asked[active] += unsettled
            high = torch.where(fools & unsettled, middle, high)
            low = torch.where(~fools & unsettled, middle, low)
        x = _blended(origin, x, high, norm)
        self._keep(problem, active, x, best)
        asked[active] += len(BEYOND)
        return x

    def _direction(self, problem: Problem, x: Tensor, length: Tensor, count: int, norm: str) -> Tensor:
        """The boundary's normal (N, C, H, W), from which of `count` probes fool (equation 12, mean taken off)."""
        total, plain, verdicts = torch.zeros_like(x), torch.zeros_like(x), torch.zeros(len(x), device=x.device)
        for _ in range(count):
            u = problem.rng.normal(x.shape[1:]).to(x) if norm == "L2" else problem.rng.uniform(x.shape[1:], -1, 1).to(x)
            u = u / u.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
            probe = (x + length.reshape(-1, 1, 1, 1) * u).clamp(0.0, 1.0)
            u = (probe - x) / length.clamp(min=1e-12).reshape(-1, 1, 1, 1)  # as the box left it
            verdict = _fools(problem, probe).to(x) * 2 - 1
            total += verdict.reshape(-1, 1, 1, 1) * u
            plain, verdicts = plain + u, verdicts + verdict
        mean = verdicts / count
        # Where all probes agree there is nothing to take off.
        one_sided = mean.abs() == 1
        slope = torch.where(one_sided.reshape(-1, 1, 1, 1), total, total - mean.reshape(-1, 1, 1, 1) * plain)
        if norm == "Linf":
            return slope.sign()
        return slope / slope.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, 1, 1, 1)

    def _hop(
        self, problem: Problem, active: Tensor, x: Tensor, direction: Tensor, length: Tensor, asked: Tensor
    ) -> Tensor:
        """As far along the direction as still fools, halving from `length`; where nothing does, no hop."""
        hopped, landed = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _ in range(HALVINGS):
            candidate = (x + length.reshape(-1, 1, 1, 1) * direction).clamp(0.0, 1.0)
            fools = _fools(problem, candidate) & ~landed
            asked[active] += ~landed
            hopped = torch.where(fools.reshape(-1, 1, 1, 1), candidate, hopped)
            landed |= fools
            if bool(landed.all()):
                break
            length = torch.where(landed, length, length / 2)
        return hopped

    def _keep(self, problem: Problem, active: Tensor, x: Tensor, best: Nearest) -> None:
        """Offers the bytes of x, and of two points a little beyond the boundary: rounding may undo x itself."""
        for beyond in BEYOND:
            saved = on_bytes(problem.originals + beyond * (x - problem.originals), problem.originals)
            best.offer(active, saved, _fools(problem, saved))


def _fools(problem: Problem, images: Tensor) -> Tensor:
    with torch.no_grad():
        return problem.goal.reached(problem.target(images, problem.rng))


def _blended(origin: Tensor, x: Tensor, share: Tensor, norm: str) -> Tensor:
    share = share.reshape(-1, 1, 1, 1)
    if norm == "L2":
        return origin + share * (x - origin)
    return torch.minimum(torch.maximum(x, origin - share), origin + share)
