"""The training loop that every recipe here shares, under Lightning Fabric: exact resume, validation chooses.

Nothing random has a state: the order of an epoch hangs on (seed, epoch), the draws of a step (augmentation, noise,
dropout) on (seed, step). So a training that was killed at any moment and resumed ends in the same bits as one that was
left alone, on the same machine with the same number of threads.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from math import ceil, cos, isfinite, pi
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advgen.core import checkpoints
from advgen.core.device import choose
from advgen.core.errors import BadArgument, BadFile
from advgen.core.meter import Meter
from advgen.core.rng import stream_seed
from advgen.experiments.recipes._interrupts import Interrupts
from advgen.experiments.recipes._progress import Progress

Loss = Callable[[nn.Module, tuple[Tensor, ...]], Tensor]


@dataclass(frozen=True)
class Plan:
    """How a network is trained. Draws inside `loss` may use torch's global generator: it is seeded at each step."""

    loss: Loss  # (network, batch) -> a scalar, the mean over the batch
    score: Callable[[nn.Module], float]  # on the validation split alone; the highest is kept, the earliest among equals
    epochs: int
    batch_size: int = 64
    learning_rate: float = 1e-3  # of AdamW, at its peak
    weight_decay: float = 1e-4
    half_costs: float = 0.002  # the score that weights in half precision may lose, or they are kept whole
    before_step: Callable[[nn.Module, float], None] | None = None  # told the share of all steps that are done
    after_step: Callable[[nn.Module], None] | None = None  # puts weights back to where they must lie
    warm_up: float = 0.1  # share of the steps in which the learning rate rises; then it falls along a cosine


class Fitted(NamedTuple):
    """What a training came to; its network holds the weights that validation chose."""

    network: nn.Module
    score: float
    epoch: int  # counted from 1, of the chosen weights
    steps: int
    cost: dict[str, Any]


def fit(
    network: nn.Module,
    data: tuple[Tensor, ...],
    plan: Plan,
    *,
    name: str,
    state: Path,
    identity: Mapping[str, Any],
    seed: int,
    device: str,
    resume: bool,
    limit: int | None,
    meter: Meter,
) -> Fitted:
    """Trains `network` in place on `data`, tensors of one length, and gives it the weights of the best epoch.

    `state` is the file that holds the training while it runs; `identity` tells two trainings apart. `limit` makes it a
    short training of that many steps.

    Raises:
        BadArgument: numbers that cannot be, or the loss is no longer finite.
        BadFile: the state to resume is that of another training.
        KeyboardInterrupt: after the state was saved.
    """
    _check(plan, limit)
    run = _Run(network, data, plan, name, state, {**identity, "seed": seed, "limit": limit}, seed, device, limit)
    if resume and state.exists():
        run.restore()
    forked = [run.device] if run.device.type == "cuda" else []
    with meter.running(run.device), torch.random.fork_rng(devices=forked), exact(), Interrupts() as interrupts:
        run.train(interrupts, meter)
    return run.finished()


class _Run:
    def __init__(
        self,
        network: nn.Module,
        data: tuple[Tensor, ...],
        plan: Plan,
        name: str,
        state: Path,
        identity: Mapping[str, Any],
        seed: int,
        device: str,
        limit: int | None,
    ) -> None:
        from lightning_fabric import Fabric

        self.device = choose(str(device)).device
        self.fabric = Fabric(
            accelerator=self.device.type, devices=1 if self.device.index is None else [self.device.index]
        )
        self.bare, self.data, self.plan, self.name, self.file, self.identity = (
            network,
            data,
            plan,
            name,
            state,
            identity,
        )
        self.seed = seed
        self.epoch_steps = ceil(len(data[0]) / plan.batch_size)
        whole = plan.epochs * self.epoch_steps
        self.total = whole if limit is None else min(limit, whole)
        # A quarter faster on CPUs.
        network.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, foreach=False
        )
        self.network, self.optimizer = self.fabric.setup(network, optimizer)
        self.step, self.seconds, self.last = 0, 0.0, float("nan")
        self.best: dict[str, Any] = {"score": float("-inf"), "epoch": 0, "weights": {}}

    def train(self, interrupts: Interrupts, meter: Meter) -> None:
        begun = time.perf_counter() - self.seconds
        with Progress(self.name, self.total) as progress:
            losses: list[float] = []
            while self.step < self.total:
                losses.append(self._one_step(meter))
                self.step += 1
                self.seconds = time.perf_counter() - begun
                progress.stepped(self.step, losses[-1])
                if self.step % self.epoch_steps == 0 or self.step == self.total:
                    self._validate()
                    progress.validated(
                        ceil(self.step / self.epoch_steps), sum(losses) / len(losses), self.last, self.best["score"]
                    )
                    losses = []
                    self.save()
                elif interrupts.asked:
                    self.save()
                if interrupts.asked:
                    raise KeyboardInterrupt

    def save(self) -> None:
        checkpoints.save_state(
            self.file,
            {
                "identity": dict(self.identity),
                "step": self.step,
                "seconds": self.seconds,
                "network": self.bare.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "best": self.best,
            },
        )

    def restore(self) -> None:
        saved = checkpoints.load_state(self.file)
        if saved.get("identity") != dict(self.identity):
            differ = sorted(k for k, v in self.identity.items() if saved.get("identity", {}).get(k) != v)
            raise BadFile(
                f"{self.file} is the state of another training (other {', '.join(differ) or 'arguments'}); "
                "resume that one, or start anew without resuming."
            )
        self.bare.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.seconds, self.best = saved["step"], saved["seconds"], saved["best"]

    def finished(self) -> Fitted:
        self.bare.load_state_dict(self.best["weights"])
        self.bare.to("cpu").to(memory_format=torch.contiguous_format).eval()
        cost = {
            "seconds": round(self.seconds, 1),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "steps": self.step,
            "samples_seen": self.step * self.plan.batch_size,
        }
        return Fitted(self.bare, self.best["score"], self.best["epoch"], self.step, cost)

    def _one_step(self, meter: Meter) -> float:
        epoch, k = divmod(self.step, self.epoch_steps)
        order = torch.Generator().manual_seed(stream_seed(self.seed, "train/order", str(epoch)))
        chosen = torch.randperm(len(self.data[0]), generator=order)[k * self.plan.batch_size :][: self.plan.batch_size]
        torch.manual_seed(stream_seed(self.seed, "train/step", str(self.step)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * self._schedule()
        self.network.train()
        if self.plan.before_step is not None:
            self.plan.before_step(self.bare, self.step / self.total)
        self.optimizer.zero_grad()
        loss = self.plan.loss(self.network, tuple(t[chosen].to(self.device) for t in self.data))
        value = float(loss.detach())
        self._refuse_bad("loss", value)
        self.fabric.backward(loss)
        self.optimizer.step()
        if self.plan.after_step is not None:
            self.plan.after_step(self.bare)
        meter.forwards += len(chosen)
        meter.backwards += len(chosen)
        return value

    def _schedule(self) -> float:
        rising = max(1, round(self.plan.warm_up * self.total))
        if self.step < rising:
            return (self.step + 1) / rising
        return 0.5 * (1 + cos(pi * (self.step - rising) / max(1, self.total - rising)))

    def _validate(self) -> None:
        self.bare.eval()
        with torch.no_grad():
            self.last = self.plan.score(self.bare)
        self._refuse_bad("validation score", self.last)
        if self.last > self.best["score"]:
            weights = deepcopy({k: v.detach().to("cpu") for k, v in self.bare.state_dict().items()})
            self.best = {"score": self.last, "epoch": ceil(self.step / self.epoch_steps), "weights": weights}

    def _refuse_bad(self, what: str, value: float) -> None:
        if not isfinite(value):
            raise BadArgument(
                f"training {self.name} failed: the {what} became {value} near step {self.step + 1} of {self.total}; "
                f"lower the learning rate, now {self.plan.learning_rate:g}."
            )


@contextmanager
def exact() -> Iterator[None]:
    """cuDNN's deterministic kernels, without changing them for the caller."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def _check(plan: Plan, limit: int | None) -> None:
    for what, value in (("epochs", plan.epochs), ("batch_size", plan.batch_size), ("limit", limit)):
        if value is not None and value < 1:
            raise BadArgument(f"{what} must be at least 1, got {value}.")
    if not (plan.learning_rate > 0 and isfinite(plan.learning_rate)):
        raise BadArgument(f"learning_rate must be a positive number, got {plan.learning_rate:g}.")
