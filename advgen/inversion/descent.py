"""The loop that every inversion runs: Adam over tensors of N rows, the best so far kept, interrupted and resumed.

Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1) is written out over a plain dict of tensors, so that its state is
tensors too and every operation is elementwise: a row never learns of the others. Random numbers come from (seed,
purpose, sample id, step), so that nothing of them has to be kept.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile
from advgen.core.meter import Meter
from advgen.inversion.likeness import Terms

Variables = Mapping[str, Tensor]  # name to (N, ...)
BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Keep(NamedTuple):
    """Where an optimisation writes its state, and how often."""

    path: Path
    every: int = 50  # steps
    resume: bool = True  # go on from the file where there is one; False = begin anew and overwrite it

    def named(self, part: str) -> "Keep":
        """The same for one part of a longer work: `NAME.PART.safetensors`."""
        return self._replace(path=self.path.with_name(f"{self.path.stem}.{part}.safetensors"))


@dataclass
class Trace:
    """What happened, a row a step: for curves of quality against seconds."""

    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # since the start; the time between two runs is left out
    loss: list[Tensor] = field(default_factory=list)  # each (N,), of that step's iterate
    perceptual: list[Tensor] = field(default_factory=list)
    mse: list[Tensor] = field(default_factory=list)
    tell: Callable[[int, float, Terms], None] | None = None  # hears of each step at once
    clock: Callable[[], float] = time.perf_counter  # time.process_time leaves out what else the machine does

    def part(self) -> "Trace":
        """An empty one that hears and is timed alike, for a part of the work."""
        return Trace(tell=self.tell, clock=self.clock)

    def add(self, step: int, seconds: float, terms: Terms) -> None:
        """One evaluation."""
        self.steps.append(step)
        self.seconds.append(seconds)
        for rows, values in ((self.loss, terms.loss), (self.perceptual, terms.perceptual), (self.mse, terms.mse)):
            rows.append(values.detach().cpu())
        if self.tell is not None:
            self.tell(step, seconds, terms)

    def answered(self, seconds: float, distance: Tensor) -> None:
        """Latents (N,) that came without a step, of which only the perceptual distance is known: any step is better."""
        unknown = torch.full(distance.shape, math.inf)
        self.steps.append(self.steps[-1] + 1 if self.steps else 0)
        self.seconds.append(seconds)
        for rows, values in ((self.loss, unknown), (self.perceptual, distance), (self.mse, unknown)):
            rows.append(values.detach().cpu())

    def extend(self, part: "Trace", *, seconds: float) -> None:
        """Adds the trace of a part that began `seconds` after this one did."""
        first = self.steps[-1] + 1 if self.steps else 0
        self.steps += [first + step for step in part.steps]
        self.seconds += [seconds + spent for spent in part.seconds]
        for rows, more in ((self.loss, part.loss), (self.perceptual, part.perceptual), (self.mse, part.mse)):
            rows += more

    def at(self, seconds: float) -> Terms | None:
        """The terms of each sample's best iterate among those known after so many seconds; None before the first."""
        known = sum(spent <= seconds for spent in self.seconds)
        if not known:
            return None
        best = torch.stack(self.loss[:known]).nan_to_num(nan=math.inf).argmin(0, keepdim=True)
        return Terms(*(torch.stack(rows[:known]).gather(0, best)[0] for rows in (self.loss, self.perceptual, self.mse)))


class Found(NamedTuple):
    """The end of an optimisation."""

    variables: dict[str, Tensor]  # each row's best
    loss: Tensor  # (N,) there


def descend(
    start: Variables,
    evaluate: Callable[[Variables, int], Terms],
    rates: Callable[[int], Mapping[str, float]],
    *,
    steps: int,
    counts: Callable[[int], bool] = lambda step: True,
    afterwards: Callable[[dict[str, Tensor], Mapping[str, float]], None] = lambda variables, moved: None,
    stop: Callable[[Terms], bool] = lambda terms: False,
    keep: Keep | None = None,
    identity: Mapping[str, str] | None = None,
    trace: Trace | None = None,
    meter: Meter,
) -> Found:
    """Minimises the loss of every row; returns its best iterate among the steps that `counts` admits, 0 to `steps`.

    `rates` gives the learning rate of each variable that moves in a step. `afterwards` may change variables after one,
    and hears which had moved.
    `stop` sees each evaluation, and ends the work. `identity` says what a kept state belongs to.

    Raises:
        BadFile: the kept state belongs to something else.
        BadArgument: no iterate of a row has a finite loss.
    """
    state = _State(dict(start), len(next(iter(start.values()))))
    if keep is not None and keep.resume and keep.path.exists():
        state.restore(keep.path, identity or {}, trace)
        meter.generator_calls += state.evaluated
        meter.backwards += state.differentiated
    clock = time.perf_counter if trace is None else trace.clock
    spent, begun = state.seconds, clock()
    while True:
        moving = dict(rates(state.step)) if state.step < steps else {}
        variables = {name: value.detach().requires_grad_(name in moving) for name, value in state.now.items()}
        with torch.set_grad_enabled(bool(moving)):
            terms = evaluate(variables, state.step)
        state.evaluated += state.rows
        meter.generator_calls += state.rows
        if counts(state.step):
            state.rank(terms.loss.detach())
        state.seconds = spent + clock() - begun
        if trace is not None:
            trace.add(state.step, state.seconds, terms)
        if state.step >= steps or stop(terms):
            break
        if moving:
            slopes = torch.autograd.grad((terms.loss + terms.penalty).sum(), [variables[name] for name in moving])
            state.differentiated += state.rows
            meter.backwards += state.rows
            for (name, rate), slope in zip(moving.items(), slopes, strict=True):
                state.move(name, slope, rate)
        afterwards(state.now, moving)
        state.step += 1
        if keep is not None and state.step % keep.every == 0:
            state.seconds = spent + clock() - begun
            state.save(keep.path, identity or {}, trace)
    if keep is not None:
        state.save(keep.path, identity or {}, trace)
    meter.seconds += state.seconds
    broken = (~torch.isfinite(state.loss)).nonzero()[:, 0].tolist()
    if broken:
        raise BadArgument(
            f"the generator makes no finite image for sample(s) {broken}: its weights or the start are broken."
        )
    return Found(state.best, state.loss)


class _State:
    """Everything that decides how an optimisation goes on."""

    def __init__(self, start: dict[str, Tensor], rows: int) -> None:
        self.rows = rows
        self.step = 0
        self.now = {name: value.detach().clone() for name, value in start.items()}
        self.best = {name: value.clone() for name, value in self.now.items()}
        self.first = {name: torch.zeros_like(value) for name, value in self.now.items()}
        self.second = {name: torch.zeros_like(value) for name, value in self.now.items()}
        self.moves = dict.fromkeys(self.now, 0)
        self.loss = torch.full((rows,), math.inf)
        self.seconds = 0.0
        self.evaluated = 0
        self.differentiated = 0

    def rank(self, loss: Tensor) -> None:
        """Keeps the rows that are better than before; a loss that is no number never is."""
        better = loss.cpu() < self.loss
        self.loss = torch.where(better, loss.cpu(), self.loss)
        for name, value in self.now.items():
            self.best[name] = torch.where(_along(better, value), value, self.best[name])

    def move(self, name: str, slope: Tensor, rate: float) -> None:
        """One step of Adam; a row whose gradient is not finite stays where it is."""
        finite = torch.isfinite(slope).reshape(self.rows, -1).all(1)
        slope = torch.where(_along(finite, slope), slope, 0.0)
        self.moves[name] += 1
        one, two = BETAS
        first, second = self.first[name], self.second[name]
        first.lerp_(slope, 1 - one)
        second.mul_(two).addcmul_(slope, slope, value=1 - two)
        root = second.sqrt().div_(math.sqrt(1 - two ** self.moves[name])).add_(EPSILON)
        self.now[name].addcdiv_(first, root, value=-rate / (1 - one ** self.moves[name]))

    def save(self, path: Path, identity: Mapping[str, str], trace: Trace | None) -> None:
        fields = {name: value for name, value in vars(self).items() if name != "rows"}
        own = ("tell", "clock")
        rows = None if trace is None else {name: value for name, value in vars(trace).items() if name not in own}
        checkpoints.save_state(path, {"inversion": dict(identity), "state": fields, "trace": rows})

    def restore(self, path: Path, identity: Mapping[str, str], trace: Trace | None) -> None:
        kept = checkpoints.load_state(path)
        theirs = kept.get("inversion")
        if not isinstance(theirs, dict):
            raise BadFile(f"{path} is the state of something else than an inversion; remove it, or give another name.")
        other = [name for name, value in identity.items() if theirs.get(name) != value]
        if other:
            raise BadFile(
                f"{path} is the state of another inversion: its {' and '.join(other)} differ; remove it, or begin anew."
            )
        for name, value in kept["state"].items():
            at = getattr(self, name)
            if isinstance(at, dict) and name != "moves":
                value = {key: tensor.to(at[key]) for key, tensor in value.items()}
            setattr(self, name, value)
        if trace is not None and kept["trace"] is not None:
            # The last evaluation of a run that had ended is made again.
            rows = sum(step < self.step for step in kept["trace"]["steps"])
            for name, values in kept["trace"].items():
                setattr(trace, name, values[:rows])


def identity_of(settings: object, *tensors: Tensor) -> str:
    """A hash of settings (by their repr) and tensors, for a state to be known by."""
    whole = blake2b(repr(settings).encode(), digest_size=16)
    for tensor in tensors:
        whole.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        whole.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _along(rows: Tensor, like: Tensor) -> Tensor:
    return rows.to(like.device).reshape(-1, *[1] * (like.ndim - 1))
