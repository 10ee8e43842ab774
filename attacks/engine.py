"""The engine: descend a goal's loss in a space, under a budget, and keep the best point seen.

An attack assembles pieces (space, budget, goal, step rule, gradient rule) and calls `descend`. The loss is summed
over the batch, never averaged, so that a sample's gradient does not depend on its neighbours; gradients go to the
search variable only. Best-so-far ranks by (inside the budget, goal reached, loss).
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol, Self, final

import torch
from torch import Tensor

from advgen.core.budgets import Perceptual
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Budget, Goal, Index, Outputs, Space, Target

# A budget without a closed form is searched a little inside, and verified on the bytes.
SEARCHED_SHARE = 0.97

Stop = Literal["success", "never"]


@final
@dataclass(frozen=True)
class Problem:
    """What is attacked, in what space, under what budget, for what goal; one batch."""

    target: Target
    space: Space
    budget: Budget
    goal: Goal
    originals: Tensor
    rng: SampleRng
    meter: Meter

    def take(self, index: Index) -> "Problem":
        return replace(
            self,
            target=self.target.take(index),
            space=self.space.take(index),
            budget=self.budget.take(index),
            goal=self.goal.take(index),
            originals=self.originals[index],
            rng=self.rng.take(index),
        )


class StepRule(Protocol):
    """How coordinates follow a gradient: one step, in place where it can."""

    def take(self, index: Index) -> Self: ...
    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor: ...


class GradientRule(Protocol):
    """What becomes of a gradient before the step (momentum, smoothing)."""

    def take(self, index: Index) -> Self: ...
    def __call__(self, gradient: Tensor, k: int) -> Tensor: ...


class Found(NamedTuple):
    """The best point of each sample, with what the search saw on its way."""

    images: Tensor  # (N, C, H, W)
    coordinates: Tensor
    loss: Tensor  # (N,)
    reached: Tensor  # (N,) bool
    inside: Tensor  # (N,) bool
    reached_early: Tensor  # (N,) bool, reached before the last quarter of the steps
    zero_gradient: Tensor  # (N,) bool, the first gradient was exactly zero
    bad_gradient: Tensor  # (N,) bool, some gradient was not finite

    def note(self) -> dict[str, Tensor]:
        """The per-sample columns that the checks read."""
        return {
            "reached_early": self.reached_early,
            "zero_gradient": self.zero_gradient,
            "bad_gradient": self.bad_gradient,
        }


def descend(
    problem: Problem,
    *,
    steps: int,
    step_rule: StepRule,
    gradient: GradientRule | None = None,
    start: Tensor | None = None,
    samples: int = 1,
    penalty: float = 10.0,
    stop: Stop = "never",
) -> Found:
    """Takes `steps` steps down the goal's loss from `start` (coordinates; default: the originals').

    The budget is projected onto where it has a closed form for these coordinates, else it enters the loss with
    `penalty` per relative excess. `samples` draws of a random target are averaged a step (EOT, Athalye et al. 2018,
    arXiv 1707.07397). With `stop="success"` a sample leaves when its image rounded to uint8 fools a deterministic
    target; on a random target nobody leaves.
    """
    if isinstance(problem.budget, Perceptual):
        problem = replace(problem, budget=problem.budget.bound(problem.originals))
    search = replace(problem, target=Counted(problem.target, problem.meter))
    origin = problem.space.start(problem.originals, problem.rng)
    coordinates = (origin if start is None else start).detach().clone()
    projects = problem.budget.closed_form and (problem.space.pixels or problem.budget.of == "coordinates")
    leaves = stop == "success" and not problem.target.stochastic
    best = _Best(problem, coordinates)
    active = torch.arange(len(coordinates), device=coordinates.device)

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
        if leaves and bool((reached & inside).any()):
            gone = _fools_on_bytes(search, images.detach(), reached & inside)
            if bool(gone.any()):
                best.settle(active[gone], images.detach()[gone], coordinates.detach()[gone], loss.detach()[gone])
                stay = (~gone).nonzero()[:, 0]
                if len(stay) == 0:
                    break
                # The graph holds the whole batch: those that stay are asked for their gradient from it.
                slope = _slope(loss, distance, search.budget, penalty, coordinates)[stay]
                active, origin, search = active[stay], origin[stay], search.take(stay)
                step_rule = step_rule.take(stay)
                gradient = None if gradient is None else gradient.take(stay)
                coordinates = coordinates.detach()[stay]
            else:
                slope = _slope(loss, distance, search.budget, penalty, coordinates)
        else:
            slope = _slope(loss, distance, search.budget, penalty, coordinates)
        with torch.no_grad():
            coordinates = coordinates.detach()
            best.watch(active, slope, first=k == 0)
            slope = slope.nan_to_num_(0.0, 0.0, 0.0)
            slope = slope if gradient is None else gradient(slope, k)
            coordinates = step_rule.step(coordinates, slope, k)
            if projects:
                coordinates = search.budget.project(coordinates, origin)
            coordinates = search.space.clip(coordinates)
    return best.found()


def random_start(problem: Problem) -> Tensor:
    """Coordinates drawn from the budget around the originals, inside the space's own limits."""
    origin = problem.space.start(problem.originals, problem.rng)
    if not (problem.space.pixels or problem.budget.of == "coordinates"):
        return origin
    return problem.space.clip(problem.budget.random(origin, problem.rng))


def with_restarts(problem: Problem, attempt: "Attempt", *, restarts: int) -> Found:
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


class Attempt(Protocol):
    def __call__(self, problem: Problem, r: int) -> Found: ...


@final
@dataclass(frozen=True)
class Sign:
    """Steepest descent in Linf: a step of `step_size` in every coordinate."""

    step_size: float | Tensor

    def take(self, index: Index) -> "Sign":
        return Sign(_taken(self.step_size, index))

    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor:
        size = _shaped(self.step_size, gradient)
        if isinstance(size, float):
            return coordinates.sub_(gradient.sign_(), alpha=size)
        return coordinates.sub_(gradient.sign_().mul_(size))


@final
@dataclass(frozen=True)
class Normalised:
    """Steepest descent in L2: a step of length `step_size` along the gradient; no step where it is zero."""

    step_size: float | Tensor

    def take(self, index: Index) -> "Normalised":
        return Normalised(_taken(self.step_size, index))

    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor:
        # Divided by the largest value first: tiny gradients of confident samples must not underflow when squared.
        largest = gradient.abs().flatten(1).amax(1).clamp(min=1e-38).reshape(-1, *[1] * (gradient.dim() - 1))
        scaled = gradient / largest
        length = scaled.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(largest.shape)
        return coordinates.sub_(scaled / length * _shaped(self.step_size, gradient))


@final
@dataclass(frozen=True)
class Sparse:
    """Descent in L1: a step of L1 length `step_size` shared by the `share` steepest coordinates that can still move.

    Tramer & Boneh 2019 (arXiv 1904.13000, section 3.2, "SLIDE"); coordinates already at the limit they are pushed
    towards are left out.
    """

    step_size: float | Tensor
    share: float = 0.01

    def take(self, index: Index) -> "Sparse":
        return Sparse(_taken(self.step_size, index), self.share)

    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor:
        stuck = ((coordinates <= 0) & (gradient > 0)) | ((coordinates >= 1) & (gradient < 0))
        flat = gradient.masked_fill(stuck, 0.0).flatten(1)
        count = max(1, round(self.share * flat.shape[1]))
        steepest = flat.abs().topk(count, dim=1).values[:, -1:]
        chosen = (flat.abs() >= steepest.clamp(min=1e-38)).to(flat.dtype)
        direction = flat.sign() * chosen / chosen.sum(1, keepdim=True).clamp(min=1)
        return coordinates.sub_(direction.reshape(gradient.shape) * _shaped(self.step_size, gradient))


@final
class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1) with a state of its own for every coordinate."""

    def __init__(self, step_size: float, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        self.step_size = step_size
        self.betas = betas
        self.epsilon = epsilon
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    def take(self, index: Index) -> "Adam":
        kept = Adam(self.step_size, self.betas, self.epsilon)
        kept._mean = None if self._mean is None else self._mean[index]
        kept._square = None if self._square is None else self._square[index]
        return kept

    def step(self, coordinates: Tensor, gradient: Tensor, k: int) -> Tensor:
        if self._mean is None or self._square is None:
            self._mean, self._square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        first, second = self.betas
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        mean = self._mean / (1 - first ** (k + 1))
        spread = (self._square / (1 - second ** (k + 1))).sqrt_().add_(self.epsilon)
        return coordinates.sub_(mean.div_(spread), alpha=self.step_size)


def steepest(budget: Budget, step_size: float | Tensor | None, *, steps: int) -> StepRule:
    """The steepest step in the budget's norm; `step_size` None = 2.5 radius / steps (Madry et al. 2018).

    L0 steps reach the whole range of values; budgets in a learned distance have no such scale: Adam with 0.01.
    """
    if budget.name not in ("Linf", "L2", "L1", "L0", "Latent"):
        return Adam(0.01 if step_size is None else float(step_size))
    if step_size is None:
        step_size = 1.0 if budget.name == "L0" else 2.5 * budget.radius / max(steps, 1)
    if budget.name == "Linf":
        return Sign(step_size)
    if budget.name == "L1":
        return Sparse(step_size)
    return Normalised(step_size)


class _Best:
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

    def settle(self, where: Tensor, images: Tensor, coordinates: Tensor, loss: Tensor) -> None:
        """What leaves is the iterate that fooled on the bytes, not the best in float."""
        self.images[where], self.coordinates[where], self.loss[where] = images, coordinates, loss
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


def ask(search: Problem, images: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Loss and verdict, over `samples` draws of a random target (mean loss, majority verdict)."""
    if samples == 1:
        outputs: Outputs = search.target(images, search.rng)
        return search.goal.loss(outputs), search.goal.reached(outputs)
    losses, verdicts = [], []
    for _ in range(samples):
        outputs = search.target(images, search.rng)
        losses.append(search.goal.loss(outputs))
        verdicts.append(search.goal.reached(outputs).to(torch.float32))
    return torch.stack(losses).mean(0), torch.stack(verdicts).mean(0) > 0.5


def _measured(search: Problem, images: Tensor, coordinates: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    return (coordinates, origin) if search.budget.of == "coordinates" else (images, search.originals)


def _inside(search: Problem, distance: Tensor | None) -> Tensor:
    if distance is None:
        return torch.ones(len(search.originals), dtype=torch.bool, device=search.originals.device)
    return distance.detach() <= search.budget.radius


def _slope(loss: Tensor, distance: Tensor | None, budget: Budget, penalty: float, coordinates: Tensor) -> Tensor:
    """Gradient of the summed loss to the coordinates; zero where the target lets nothing through."""
    total = loss.sum()
    if distance is not None:
        total = total + (penalty * (distance / budget.radius - SEARCHED_SHARE).clamp(min=0)).sum()
    if not total.requires_grad:
        return torch.zeros_like(coordinates)
    (slope,) = torch.autograd.grad(total, coordinates, allow_unused=True)
    return torch.zeros_like(coordinates) if slope is None else slope


def _fools_on_bytes(search: Problem, images: Tensor, candidates: Tensor) -> Tensor:
    """(N,) bool among `candidates`: the image rounded by the budget's rule fools, in float32."""
    where = candidates.nonzero()[:, 0]
    few = search.take(where)
    with torch.no_grad():
        originals_u8 = (few.originals * 255).round().to(torch.uint8)
        saved = few.budget.to_uint8(images[where], originals_u8).to(images.dtype) / 255
        fools = few.goal.reached(few.target(saved, few.rng)) & few.budget.contains(saved, few.originals)
    gone = torch.zeros_like(candidates)
    gone[where] = fools
    return gone


def _merged(found: Found, where: Tensor, again: Found) -> Found:
    rank = found.inside[where].int() * 2 + found.reached[where].int()
    rank_again = again.inside.int() * 2 + again.reached.int()
    better = (rank_again > rank) | ((rank_again == rank) & (again.loss < found.loss[where]))
    merged = [column.clone() for column in found]
    for column, column_again in zip(merged[:6], again[:6], strict=True):
        column[where[better]] = column_again[better]
    merged[7][where] |= again.bad_gradient
    return Found(*merged)


def _taken(size: float | Tensor, index: Index) -> float | Tensor:
    return size[index] if isinstance(size, Tensor) and size.dim() else size


def _shaped(size: float | Tensor, like: Tensor) -> float | Tensor:
    return size.reshape(-1, *[1] * (like.dim() - 1)) if isinstance(size, Tensor) and size.dim() else size
