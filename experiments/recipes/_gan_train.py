"""StyleGAN2's training loop under Lightning Fabric: exact resume, several processes, and a way back from NaN.

Nothing random has a state (see `_gan_phases`), so a training that was killed and resumed ends in the same bits as one
that was left alone, on the same machine with the same number of threads. Where a loss or a gradient is no longer
finite, the training goes back to the state saved last and takes other draws; it gives up after `rollbacks` times.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from advgen.core import checkpoints
from advgen.core.device import choose
from advgen.core.errors import BadArgument, BadFile, UserError
from advgen.core.meter import Meter
from advgen.core.rng import stream_seed
from advgen.experiments.recipes._gan_batches import Batches
from advgen.experiments.recipes._gan_phases import PHASES, Draws, Fed, Step, Weights, average_gradients, noise_fed
from advgen.experiments.recipes._gan_watch import Look, not_finite
from advgen.experiments.recipes._interrupts import Interrupts
from advgen.experiments.recipes._train import exact
from advgen.generators.stylegan2 import (
    DiscriminatorConfig,
    GeneratorConfig,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    growing,
    losses,
)

BETAS = (0.0, 0.99)  # of Adam
# Arguments that may differ where a training is taken up again; all but its length stand on the card.
EARLIER = {"noise": "random"}  # of states that do not say
MAY_CHANGE = ("images", "precision", "learning_rate", "noise", "count", "data.train", "keep")


@dataclass(frozen=True)
class GanPlan:
    """How a StyleGAN2 is trained."""

    images: int  # real images that the discriminator sees in all, counted with repetition
    weights: Weights
    batch_size: int = 32  # over all processes
    learning_rate: float = 2.5e-3
    ema_images: int = 10_000  # half-life of the averaged weights
    mirror: bool = False  # half of the real images are flipped
    jitter: int = 0  # pixels by which real images are shifted at random, their edges repeated
    augment: Literal["none", "ada", "diffaug"] = "none"
    augmentations: str = "bgc"  # preset of ada, or policy of diffaug
    ada_target: float = 0.6  # of the mean sign of D's logits on real images
    precision: Literal["32", "bf16"] = "32"  # of the two main phases
    noise: Fed = "random"  # to the generator's layers
    grow: int = 0  # images in which a size fades in, and as many on its own; 0 = the full size from the start
    every: int = 20_000  # images between two looks, at which the state is saved
    rollbacks: int = 2


class Trained(NamedTuple):
    """What a training came to; all networks in eval mode on the CPU."""

    generator: StyleGAN2Generator  # averaged weights, at the look that validation chose
    raw_generator: StyleGAN2Generator
    discriminator: StyleGAN2Discriminator
    chosen: dict[str, Any]  # images, score
    log: list[dict[str, Any]]  # a row a look
    cost: dict[str, Any]


@dataclass
class GanRun:
    """A training, from the first step or from a saved state to the end."""

    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    data: Tensor  # uint8 (N, C, R, R)
    conditions: Tensor | None  # float (N, its length)
    plan: GanPlan
    name: str
    state: Path  # holds the training while it runs
    identity: Mapping[str, Any]  # tells two trainings apart
    seed: int
    device: str
    limit: int | None  # steps
    score: Callable[[StyleGAN2Generator], float] | None = None  # on validation data, the lower the better
    look: Look | None = None  # pictures and warnings on the way
    keep_look: Callable[[StyleGAN2Generator, int], None] | None = None  # the averaged generator, images seen
    fabric: Any = field(init=False)

    def __post_init__(self) -> None:
        self._check()
        self.fabric, self.at = _fabric(self.device)
        self.world, self.rank = self.fabric.world_size, self.fabric.global_rank
        if self.plan.batch_size % self.world:
            raise BadArgument(f"a batch of {self.plan.batch_size} cannot be cut into {self.world} equal parts.")
        whole = -(-self.plan.images // self.plan.batch_size)
        self.total = whole if self.limit is None else min(self.limit, whole)
        self.batches = Batches(
            self.data,
            self.conditions,
            self.plan.batch_size,
            self.seed,
            mirror=self.plan.mirror,
            jitter=self.plan.jitter,
        )
        self._build()

    def _build(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, "train/initial weights", ""))
            g, d = StyleGAN2Generator(self.generator), StyleGAN2Discriminator(self.discriminator)
        # A fifth faster on CPUs.
        self.g = g.to(self.at, memory_format=torch.channels_last).train()
        self.d = d.to(self.at, memory_format=torch.channels_last).train()
        self.averaged = deepcopy(self.g).eval().requires_grad_(False)
        weights, rate = self.plan.weights, self.plan.learning_rate
        self.optimizers = {
            "generator": losses.lazy_adam(
                list(self.g.parameters()), learning_rate=rate, betas=BETAS, every=weights.path_every
            ),
            "discriminator": losses.lazy_adam(
                list(self.d.parameters()), learning_rate=rate, betas=BETAS, every=weights.r1_every
            ),
        }
        self.augment, self.strength = self._augmentation()
        self.step_of = Step(
            self.g,
            self.d,
            weights,
            self.plan.batch_size,
            self._mean,
            self.augment,
            (lambda: torch.autocast(self.at.type, torch.bfloat16)) if self.plan.precision == "bf16" else None,
            torch.zeros((), device=self.at),
            noise=self.plan.noise,
        )
        self.step, self.attempt, self.seconds, self.cpu_seconds, self.looking = 0, 0, 0.0, 0.0, 0.0
        self.log: list[dict[str, Any]] = []
        self.sums: dict[str, list[float]] = {}  # of the steps since the last look
        self.best: dict[str, Any] = {}
        self.stages = [[0, self._stage()]]  # [from which image on, how]

    def train(self, *, resume: bool, meter: Meter) -> Trained:
        """Runs to the end.

        Raises:
            UserError: losses stayed non-finite after the last roll-back; the state saved last stands.
            KeyboardInterrupt: after the state was saved.
        """
        if resume and self.state.exists():
            self._restore()
        elif self.rank == 0:
            self._save()
        self.fabric.barrier()
        with meter.running(self.at), exact(), Interrupts() as interrupts:
            self._steps(interrupts, meter)
        return self._finished()

    def _steps(self, interrupts: Interrupts, meter: Meter) -> None:
        begun, cpu_begun = time.perf_counter() - self.seconds, time.process_time() - self.cpu_seconds
        between = max(1, self.plan.every // self.plan.batch_size)
        while self.step < self.total:
            wrong = self._one_step(meter)
            if wrong:
                self._roll_back(wrong)
                begun, cpu_begun = time.perf_counter() - self.seconds, time.process_time() - self.cpu_seconds
                continue
            self.step += 1
            self.seconds, self.cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
            asked = bool(self._any(interrupts.asked))
            looked = self.step % between == 0 or self.step == self.total
            if looked:
                before = time.process_time()
                self._take_look()
                self.looking += time.process_time() - before if self.step < self.total else 0.0
            if (looked or asked) and self.rank == 0:
                self._save()
            if asked and self.step < self.total:
                raise KeyboardInterrupt

    def _one_step(self, meter: Meter) -> str:
        """All phases of a step; returns what is wrong, "" if all is well."""
        images, c = self.batches.at(self.step, self.attempt, self.rank, self.world, self.at)
        self._grow()
        if self.step_of.grown is not None:
            images = growing.shown(images, self.step_of.grown)
        for phase in PHASES:
            if not self.step_of.due(phase, self.step):
                continue
            net, optimizer = self._trained_by(phase)
            optimizer.zero_grad(set_to_none=True)

            def compute(phase: str = phase) -> Tensor:
                at = f"{self.step}/{self.attempt}"
                torch.manual_seed(stream_seed(self.seed, f"train/augment/{phase}", at))
                draws = Draws(self.seed, phase, at, self.rank, self.world, self.at)
                return self.step_of.run(phase, draws, images, c)

            with torch.random.fork_rng(devices=[self.at] if self.at.type == "cuda" else []):
                loss = compute()
            if self.world > 1:
                average_gradients(list(net.parameters()), self._mean)
                loss = self._mean(loss)
            wrong = not_finite(phase, loss, net, (self.g, self.d), compute)
            if wrong:
                return wrong
            optimizer.step()
            self._note(phase, float(loss))
        seen = self.step * self.plan.batch_size
        losses.average_weights(
            self.averaged, self.g, batch=self.plan.batch_size, seen=seen, half_life=self.plan.ema_images
        )
        signs = float(self._mean(torch.stack(self.step_of.real_signs).mean()))
        self.step_of.real_signs.clear()
        self._note("real sign", signs)
        if self.strength is not None:
            self.augment.p = self.strength.observe(signs, self.plan.batch_size)
        meter.forwards += self.plan.batch_size
        meter.backwards += self.plan.batch_size
        return ""

    def _note(self, name: str, value: float) -> None:
        self.sums.setdefault(name, []).append(value)

    def _grow(self) -> None:
        if self.plan.grow:
            seen = self.step * self.plan.batch_size
            self.step_of.grown = growing.growth(seen, resolution=self.generator.resolution, images=self.plan.grow)

    def _trained_by(self, phase: str) -> tuple[nn.Module, torch.optim.Optimizer]:
        if phase in ("generator", "path lengths"):
            return self.g, self.optimizers["generator"]
        return self.d, self.optimizers["discriminator"]

    def _take_look(self) -> None:
        seen = self.step * self.plan.batch_size
        row: dict[str, Any] = {
            "images": seen,
            "seconds": round(self.seconds, 1),
            **{k: round(sum(v) / len(v), 5) for k, v in self.sums.items()},
        }
        self.sums = {}
        row |= {"path length": round(float(self.step_of.path_mean), 5)}
        if self.strength is not None:
            row["p"] = round(self.strength.p, 4)
        if self.rank == 0:
            grown = self.step_of.grown
            shown: Any = self.averaged if grown is None else growing.GrownView(self.averaged, grown)
            if grown is not None:
                row["size"] = grown.size
            if self.score is not None:
                row["score"] = round(self.score(shown), 4)
            # Without a score, or beaten by none: the latest. What is not yet grown is no choice.
            young = grown is not None and grown != (self.generator.resolution, 1.0)
            if young or not self.best or row.get("score", 0.0) <= self.best["score"]:
                weights = deepcopy({k: v.cpu() for k, v in self.averaged.state_dict().items()})
                self.best = {"score": row.get("score", 0.0), "images": seen, "weights": weights}
            if self.look is not None:
                row |= self.look.take(shown, row, self.log, self.total * self.plan.batch_size)
            if self.keep_look is not None and not young:
                self.keep_look(growing.fully_grown(self.averaged) if self.plan.grow else self.averaged, seen)
        self.log.append(row)
        self.fabric.barrier()

    def _roll_back(self, wrong: str) -> None:
        where = f"at step {self.step + 1} of {self.total}"
        if self.attempt >= self.plan.rollbacks:
            raise UserError(
                f"training {self.name} failed {where}: {wrong}, after going back {self.attempt} times; the last good "
                f"state is kept in {self.state}. Lower the learning rate, now {self.plan.learning_rate:g}."
            )
        attempt = self.attempt + 1
        self._restore()
        self.attempt = attempt
        if self.rank == 0:
            print(
                f"{self.name}: {wrong} {where}; back to step {self.step}, with other draws (attempt {attempt} of "
                f"{self.plan.rollbacks})",
                file=sys.stderr,
                flush=True,
            )

    def _save(self) -> None:
        checkpoints.save_state(
            self.state,
            {
                "identity": dict(self.identity),
                "stages": self.stages,
                "step": self.step,
                "attempt": self.attempt,
                "seconds": self.seconds,
                "cpu seconds": self.cpu_seconds,
                "looking": self.looking,
                "networks": {"G": self.g.state_dict(), "D": self.d.state_dict(), "G_ema": self.averaged.state_dict()},
                "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
                "path mean": self.step_of.path_mean,
                "strength": None if self.strength is None else self.strength.state_dict(),
                "log": self.log,
                "sums": self.sums,
                "best": self.best,
            },
        )

    def _restore(self) -> None:
        saved = checkpoints.load_state(self.state)
        began = saved.get("identity", {})
        differ = sorted(k for k in {*began, *self.identity} - {*MAY_CHANGE} if began.get(k) != self.identity.get(k))
        if differ:
            raise BadFile(
                f"{self.state} is the state of another training (other {', '.join(differ)}); "
                "resume that one, or start anew without resuming."
            )
        for name, net in (("G", self.g), ("D", self.d), ("G_ema", self.averaged)):
            net.load_state_dict(saved["networks"][name])
        for name, optimizer in self.optimizers.items():
            rates = [group["lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved["optimizers"][name])
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        self.step_of.path_mean = saved["path mean"].to(self.at)
        self.step_of.real_signs.clear()
        if self.strength is not None:
            self.strength.load_state_dict(saved["strength"])
            self.augment.p = self.strength.p
        self.step, self.attempt, self.seconds = saved["step"], saved["attempt"], saved["seconds"]
        self.cpu_seconds, self.looking = saved.get("cpu seconds", 0.0), saved.get("looking", 0.0)
        self.log, self.sums, self.best = saved["log"], saved["sums"], saved["best"]
        first = {name: began[name] for name in self._stage() if name in began}
        self.stages = saved.get("stages") or [[0, {**EARLIER, **first}]]
        before, now = {**EARLIER, **self.stages[-1][1]}, self._stage()
        if before != now:
            self.stages = [*self.stages, [self.step * self.plan.batch_size, now]]
        if before["noise"] != now["noise"]:
            self._forget_noise()

    def _forget_noise(self) -> None:
        """What noise has drawn so far must come from w from here on; scores of before do not compare then."""
        for net in (self.g, self.averaged):
            for layer, fed in zip(net.synthesis.convs(), noise_fed(self.plan.noise, net), strict=True):
                if not fed and float(layer.noise_strength.detach()):
                    layer.noise_strength.data.zero_()
                    self.best = {}

    def _stage(self) -> dict[str, Any]:
        """What may change where a training is taken up again, but for its length."""
        data = {name: self.identity[name] for name in ("count", "data.train") if name in self.identity}
        how = {"precision": self.plan.precision, "learning_rate": self.plan.learning_rate, "noise": self.plan.noise}
        return {**how, **data}

    def _finished(self) -> Trained:
        nets = [
            net.to("cpu").to(memory_format=torch.contiguous_format).eval() for net in (self.averaged, self.g, self.d)
        ]
        if self.rank == 0:
            nets[0].load_state_dict(self.best["weights"])
        if self.plan.grow:
            nets = [growing.fully_grown(net) for net in nets]
        cost = {
            "seconds": round(self.seconds, 1),
            "cpu seconds": round(self.cpu_seconds, 1),  # of this process
            "cpu seconds of looks": round(self.looking, 1),  # of those: pictures and scores on the way
            "device": str(self.at),
            "processes": self.world,
            "threads": torch.get_num_threads(),
            "steps": self.step,
            "images": self.step * self.plan.batch_size,
            "rollbacks": self.attempt,
            **({"stages": self.stages} if len(self.stages) > 1 else {}),
        }
        chosen = {name: self.best.get(name) for name in ("images", "score")}
        return Trained(nets[0], nets[1], nets[2], chosen, self.log, cost)  # type: ignore[arg-type]

    def _augmentation(self) -> tuple[Any, Any]:
        if self.plan.augment == "none":
            return None, None
        if self.plan.augment == "diffaug":
            from advgen.generators.stylegan2.diffaug import DiffAugment

            return DiffAugment(self.plan.augmentations, (self.rank, self.world)), None
        from advgen.generators.stylegan2.ada import PRESETS, AdaptiveAugmentation, AugmentationStrength

        if self.plan.augmentations not in PRESETS:
            raise BadArgument(f"unknown augmentations {self.plan.augmentations!r}; known: {', '.join(PRESETS)}.")
        augment = AdaptiveAugmentation(PRESETS[self.plan.augmentations], share=(self.rank, self.world)).to(self.at)
        strength = AugmentationStrength(target=self.plan.ada_target)
        augment.p = strength.p
        return augment, strength

    def _mean(self, value: Tensor) -> Tensor:
        return value if self.world == 1 else self.fabric.all_reduce(value, reduce_op="mean")

    def _any(self, here: bool) -> bool:
        if self.world == 1:
            return here
        return bool(self.fabric.all_reduce(torch.tensor(float(here), device=self.at), reduce_op="sum") > 0)

    def _check(self) -> None:
        plan = self.plan
        if plan.jitter < 0:
            raise BadArgument(f"jitter must be 0 or a number of pixels, got {plan.jitter}.")
        numbers = {"images": plan.images, "batch_size": plan.batch_size, "every": plan.every, "limit": self.limit}
        for what, value in numbers.items():
            if value is not None and value < 1:
                raise BadArgument(f"{what} must be at least 1, got {value}.")
        if not (plan.learning_rate > 0 and isfinite(plan.learning_rate)):
            raise BadArgument(f"learning_rate must be a positive number, got {plan.learning_rate:g}.")
        if plan.grow < 0:
            raise BadArgument(f"grow must be 0 (off) or a number of images, got {plan.grow}.")
        if plan.grow and {self.generator.architecture, self.discriminator.architecture} != {"skip"}:
            raise BadArgument("a growing pair needs the skip architecture in both: architecture=skip judging=skip.")
        group = self.discriminator.group
        if self.discriminator.deviations and group and plan.batch_size > group and plan.batch_size % group:
            raise BadArgument(f"the batch size must be a multiple of {group} (or smaller), got {plan.batch_size}.")
        if len(self.data) < 2:
            raise BadArgument("one image alone cannot train a generator; give at least 2, better some thousands.")


def _fabric(device: str) -> tuple[Any, torch.device]:
    """Fabric over one device, or over the processes that torchrun started."""
    from lightning_fabric import Fabric

    chosen = choose(str(device)).device
    if "TORCHELASTIC_RUN_ID" in os.environ:
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // here
        fabric = Fabric(accelerator=chosen.type, strategy="ddp", devices=here, num_nodes=nodes)
        fabric.launch()
        return fabric, fabric.device
    fabric = Fabric(accelerator=chosen.type, devices=1 if chosen.index is None else [chosen.index])
    return fabric, chosen
