"""Square: random search with squares of changing colour, from scores alone; no gradient to hide.

A candidate differs from the best image in one square window (L2: two) and is kept if its loss is lower. The window's
share of the image follows a schedule; everything stays on the edge of the budget. Its loss is the margin.

Andriushchenko et al. 2020, "Square Attack: a query-efficient black-box adversarial attack via random search",
arXiv 1912.00049, Algorithms 1-3. Defaults are those of AutoAttack: 5,000 queries, first share 0.8.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import Problem, ask, fools_on_bytes, prepare, with_objective
from advgen.core.errors import BadArgument
from advgen.core.goals import LogitGoal
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import AttackResult, Budget, Goal, Target

# The share is halved after these queries of 10,000 (section 4.1 and the authors' code).
HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
AT_ONCE = 64  # queries whose random numbers are drawn together


@final
@dataclass(frozen=True)
class Square:
    paper = "Andriushchenko et al. 2020, arXiv 1912.00049"
    access = "score"
    budgets = ("Linf", "L2")
    cost = "query"
    trial: ClassVar = {"queries": 150}
    waives: ClassVar = {
        "reaches_the_closed_form_optimum": "a random search comes near the optimum, and a trial has few queries",
    }

    budget: Budget
    queries: int = 5000  # images shown to the target, the first included
    share: float = 0.8  # of the image in the first window; halved nine times on the way
    samples: int = 1  # draws of a random target averaged a query
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool
    # ask a prepared copy of the network; the raw one judges
    fast: Literal["no", "float32", "bfloat16", "compiled", "compiled-bfloat16"] = "no"

    def __post_init__(self) -> None:
        if self.queries < 1 or self.samples < 1:
            raise BadArgument(
                f"queries and samples of blackbox/square must be 1 or more, got {self.queries} and {self.samples}."
            )
        if not 0 < self.share <= 1:
            raise BadArgument(f"share of blackbox/square must lie in (0, 1], got {self.share}.")
        if self.budget.name not in self.budgets:
            raise BadArgument(f"blackbox/square takes a budget in Linf or L2, got {self.budget.name}.")

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if isinstance(goal, LogitGoal):
            goal = with_objective(goal, "margin", target)
        found = images.clone()
        queries = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        if not len(images):
            return AttackResult(found, {"queries": queries})
        raw = Problem(Counted(target, meter), Pixels(), self.budget, goal, images, rng, meter)
        problem = replace(raw, target=Counted(prepare(target, self.fast), meter))
        active = torch.arange(len(images), device=images.device)
        x = (_stripes if self.budget.name == "Linf" else _tiles)(problem)
        best, reached = self._ask(problem, x)
        leaves = self.stop == "success" and not target.stochastic
        new, changed = reached, torch.ones_like(reached)
        drawn = torch.empty(len(images), 0)

        for k in range(self.queries):
            queries[active] += 1
            if leaves and bool((new & changed).any()):
                gone = fools_on_bytes(raw, x, new & changed)
                found[active[gone]] = x[gone]
                stay = (~gone).nonzero()[:, 0]
                raw, problem, active = raw.take(stay), problem.take(stay), active[stay]
                x, best, drawn = x[stay], best[stay], drawn[stay]
            if k == self.queries - 1 or not len(active):
                break
            if k % AT_ONCE == 0:
                drawn = problem.rng.uniform((AT_ONCE, 5 + 2 * images.shape[1])).to(images)
            side = window_side(k, self.queries, self.share, images.shape)
            propose = _square if self.budget.name == "Linf" else _two_windows
            candidate = propose(problem, x, side, drawn[:, k % AT_ONCE])
            loss, new = self._ask(problem, candidate)
            changed = loss < best
            x = torch.where(changed.reshape(-1, 1, 1, 1), candidate, x)
            best = torch.where(changed, loss, best)
        found[active] = x
        return AttackResult(found, {"queries": queries})

    def _ask(self, problem: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            loss, reached = ask(problem, x, self.samples)
        # What is not finite is no progress.
        return loss.nan_to_num(torch.inf, torch.inf, torch.inf), reached


def window_side(k: int, queries: int, share: float, shape: tuple[int, ...] | torch.Size) -> int:
    """Pixels on a side of window k: a square of the scheduled share of the image, inside it."""
    done = k * 10_000 // queries
    share /= 2 ** sum(done > limit for limit in HALVED_AFTER)
    height, width = shape[-2:]
    return min(max(round((share * height * width) ** 0.5), 1), height, width)


def _stripes(problem: Problem) -> Tensor:
    """Vertical stripes, a column and channel at + or - the radius (section 3.2)."""
    channels, _, width = problem.originals.shape[1:]
    sign = problem.rng.integers(0, 2, (channels, 1, width)).to(problem.originals) * 2 - 1
    return (problem.originals + sign * _column(problem)).clamp(0.0, 1.0)


def _square(problem: Problem, x: Tensor, side: int, drawn: Tensor) -> Tensor:
    """One window of one colour, each channel at + or - the radius (Algorithm 2)."""
    originals, channels = problem.originals, x.shape[1]
    rows, columns = _places(drawn[:, 0], drawn[:, 1], side, x)
    sign = (drawn[:, 5 : 5 + channels] < 0.5).to(x) * 2 - 1
    change = sign[:, :, None, None] * _column(problem)
    window = _window(rows, columns, side, x)
    return torch.where(window, (originals + change).clamp(0.0, 1.0), x)


def _tiles(problem: Problem) -> Tensor:
    """A grid of 5 x 5 bumps, signs at random in each tile and channel, scaled to the radius."""
    x = problem.originals
    channels, height, width = x.shape[1:]
    side = max(min(height, width) // 5, 1)
    bump = _bump(side).to(x)
    down, across = height // side, width // side
    sign = problem.rng.integers(0, 2, (channels, down, across)).to(x) * 2 - 1
    change = torch.zeros_like(x)
    filled = sign.repeat_interleave(side, 2).repeat_interleave(side, 3) * bump.repeat(down, across)
    top, left = (height - down * side) // 2, (width - across * side) // 2
    change[:, :, top : top + down * side, left : left + across * side] = filled
    length = change.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    return (x + change / length * _column(problem)).clamp(0.0, 1.0)


def _two_windows(problem: Problem, x: Tensor, side: int, drawn: Tensor) -> Tensor:
    """The mass of one window, and what the box had cut off, goes into a bump in another (Algorithm 3)."""
    originals, channels = problem.originals, x.shape[1]
    side = max(side, 3) if min(x.shape[2:]) >= 3 else side
    side += 1 - side % 2 if side < min(x.shape[2:]) else 0
    first = _window(*_places(drawn[:, 0], drawn[:, 1], side, x), side, x)
    second = _window(*_places(drawn[:, 2], drawn[:, 3], side, x), side, x)
    change = x - originals
    spare = (_column(problem).square() - change.square().sum((1, 2, 3), keepdim=True)).clamp(min=0)
    mass = (change * (first | second)).square().sum((2, 3), keepdim=True)  # a channel
    available = (mass + spare / channels).sqrt()
    inside = change * first
    direction = inside / inside.square().sum((2, 3), keepdim=True).sqrt().clamp(min=1e-12)
    sign = (drawn[:, 5 : 5 + channels] < 0.5).to(x) * 2 - 1
    bumps = torch.stack([_bump(side), _bump(side).T]).to(x)[(drawn[:, 4] < 0.5).long()]
    rows, columns = _places(drawn[:, 0], drawn[:, 1], side, x)
    direction = direction + _put(bumps, rows, columns, x) * sign[:, :, None, None]
    length = direction.square().sum((2, 3), keepdim=True).sqrt().clamp(min=1e-12)
    moved = torch.where(first, direction / length * available, change * ~second)
    return problem.budget.project((originals + moved).clamp(0.0, 1.0), originals)


def _bump(side: int) -> Tensor:
    """(side, side), of length 1: two halves of opposite sign, each highest in its middle (section 3.3, eta)."""
    upper, lower = _hill(side // 2, side), _hill(side - side // 2, side)
    bump = torch.cat([upper, -lower])
    return bump / bump.norm()


def _hill(height: int, width: int) -> Tensor:
    hill = torch.zeros(height, width)
    middle_row, middle_column = height // 2, width // 2
    for k in range(max(middle_row, middle_column) + 1):
        top, left = middle_row - k, middle_column - k
        hill[max(top, 0) : top + 2 * k + 1, max(left, 0) : left + 2 * k + 1] += 1 / (k + 1) ** 2
    return hill / hill.norm() if height else hill


def _places(u: Tensor, v: Tensor, side: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Upper left corners (N,) of windows, uniform over all that fit, from uniform numbers."""
    height, width = x.shape[-2:]
    rows = (u * (height - side + 1)).long().clamp(max=height - side)
    return rows, (v * (width - side + 1)).long().clamp(max=width - side)


def _window(rows: Tensor, columns: Tensor, side: int, x: Tensor) -> Tensor:
    """(N, 1, H, W) bool."""
    height, width = x.shape[-2:]
    down = torch.arange(height, device=x.device) - rows[:, None]
    across = torch.arange(width, device=x.device) - columns[:, None]
    return (((down >= 0) & (down < side))[:, :, None] & ((across >= 0) & (across < side))[:, None, :])[:, None]


def _put(bumps: Tensor, rows: Tensor, columns: Tensor, x: Tensor) -> Tensor:
    """(N, 1, H, W): each bump at its place."""
    n, side = len(bumps), bumps.shape[-1]
    field = torch.zeros(n, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    steps = torch.arange(side, device=x.device)
    each = torch.arange(n, device=x.device)[:, None, None]
    field[each, 0, (rows[:, None] + steps)[:, :, None], (columns[:, None] + steps)[:, None, :]] = bumps
    return field


def _column(problem: Problem) -> Tensor:
    radius = torch.as_tensor(problem.budget.radius, dtype=problem.originals.dtype, device=problem.originals.device)
    return radius.reshape(-1, 1, 1, 1) if radius.dim() else radius
