"""One step of StyleGAN2's training: four phases, each with draws of its own, on one process or on several.

Everything random in a phase is drawn for the whole batch from (seed, phase, step) alone, and a process keeps every
world-th row from its rank on. Strided so, the groups of the minibatch standard deviation stay whole, and several
processes compute the losses of one that holds the whole batch. Gradients are averaged by hand after each phase: through
DDP's wrapper the gradients of R1 and of path lengths would stay local in silence.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advgen.core.rng import stream_seed
from advgen.generators.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator, growing, losses

PHASES = ("generator", "path lengths", "discriminator", "R1")  # in the official program's order

Fed = Literal["random", "last", "none"]  # noise maps drawn for every layer, for the last alone, for none


@dataclass(frozen=True)
class Weights:
    """How the losses are weighed and how often the regularisers run."""

    r1_gamma: float  # of squared gradients to images in [-1, 1]
    r1_every: int = 16  # steps; 0 = never
    path_weight: float = 2.0
    path_every: int = 4  # steps; 0 = never
    path_shrink: int = 2  # path lengths see this fraction of the batch
    mixing: float = 0.9  # probability of two z in one image


class Draws:
    """Random numbers of one phase for the whole batch, of which this process gets its rows."""

    def __init__(self, seed: int, phase: str, at: str, rank: int, world: int, device: torch.device) -> None:
        self._generator = torch.Generator().manual_seed(stream_seed(seed, f"train/{phase}", at))
        self.rank, self.world, self.device = rank, world, device

    def normal(self, rows: int, *shape: int) -> Tensor:
        """(rows / world, *shape)."""
        return self.mine(torch.randn(rows, *shape, generator=self._generator))

    def below(self, high: int, *shape: int) -> Tensor:
        """Whole numbers 0 to high - 1, the same on every process."""
        return torch.randint(high, shape, generator=self._generator)

    def chance(self) -> float:
        """A number in [0, 1), the same on every process."""
        return float(torch.rand((), generator=self._generator))

    def mine(self, rows: Tensor) -> Tensor:
        """This process' share of rows that all have."""
        return rows[self.rank :: self.world].to(self.device)


@dataclass
class Step:
    """The networks and what a step needs beside them; `run` computes one phase's gradients."""

    generator: StyleGAN2Generator
    discriminator: StyleGAN2Discriminator
    weights: Weights
    batch: int  # images over all processes
    mean_over_processes: Callable[[Tensor], Tensor]
    augment: Callable[[Tensor], Tensor] | None = None
    autocast: Callable[[], AbstractContextManager[Any]] | None = None  # for the two main phases; penalties stay float32
    path_mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    real_signs: list[Tensor] = field(default_factory=list)  # of D's logits on real images, for adaptive augmentation
    grown: growing.Growth | None = None  # where a growing training stands
    noise: Fed = "random"  # what is not fed must come from w

    def due(self, phase: str, step: int) -> bool:
        """Whether a phase runs at this step."""
        every = {"path lengths": self.weights.path_every, "R1": self.weights.r1_every}.get(phase, 1)
        return bool(every) and step % every == 0

    def run(self, phase: str, draws: Draws, images: Tensor, c: "Conditions | None") -> Tensor:
        """The phase's loss, a scalar; gradients are in the network that it trains.

        `images` and `c` are this process' own.
        """
        for_generator = phase in ("generator", "path lengths")
        self.generator.requires_grad_(for_generator)
        self.discriminator.requires_grad_(not for_generator)
        return {
            "generator": self._generator,
            "path lengths": self._paths,
            "discriminator": self._discriminator,
            "R1": self._r1,
        }[phase](draws, images, c)

    def _generator(self, draws: Draws, images: Tensor, c: "Conditions | None") -> Tensor:
        with self._cast():
            fake, _ = self._generated(draws, self.batch, c)
            loss = losses.generator_loss(self._judged(fake, c and c.generated))
        loss.backward()
        return loss.detach()

    def _paths(self, draws: Draws, images: Tensor, c: "Conditions | None") -> Tensor:
        count = max(draws.world, self.batch // self.weights.path_shrink)
        fake, w = self._generated(draws, count, c)
        noise = draws.normal(count, *fake.shape[1:])
        lengths = losses.path_lengths(fake, w, noise)
        over_all = self.mean_over_processes(lengths.detach().mean())
        found = losses.path_penalty(lengths, self.path_mean, global_mean=over_all)
        self.path_mean = found.mean
        gain = self.weights.path_weight * self.weights.path_every
        # Adam forgets old gradients of the weights that a penalty does not reach, too.
        (found.penalty * gain + 0 * fake.sum()).backward()
        return found.penalty.detach()

    def _discriminator(self, draws: Draws, images: Tensor, c: "Conditions | None") -> Tensor:
        with self._cast():
            with torch.no_grad():
                fake, _ = self._generated(draws, self.batch, c)
            on_fake = losses.discriminator_loss(self._judged(fake, c and c.generated))
        on_fake.backward()
        with self._cast():
            logits = self._judged(images, c and c.real)
            on_real = losses.real_loss(logits)
        on_real.backward()
        self.real_signs.append(logits.detach().sign().mean())
        return on_fake.detach() + on_real.detach()

    def _r1(self, draws: Draws, images: Tensor, c: "Conditions | None") -> Tensor:
        images = images.detach().requires_grad_()
        logits = self._judged(images, c and c.real)
        penalty = losses.r1_penalty(logits, images).mean()
        (penalty * (self.weights.r1_gamma / 2 * self.weights.r1_every) + 0 * logits.sum()).backward()
        return penalty.detach()

    def _generated(self, draws: Draws, count: int, c: "Conditions | None") -> tuple[Tensor, Tensor]:
        """Images and w of this process' share of `count` new z; moves the mean of w."""
        net = self.generator
        some = None if c is None else c.generated[: count // draws.world]
        w = net.mapping(draws.normal(count, net.z_dim), some)
        losses.track_mean(net.mapping, self.mean_over_processes(w[:, 0].detach().float().mean(0)))
        if self.weights.mixing > 0:
            cutoff = 1 + int(draws.below(net.num_ws - 1)) if net.num_ws > 1 else 1
            mixes = draws.chance() < self.weights.mixing
            other = draws.normal(count, net.z_dim)
            if mixes:
                w = losses.mixed_styles(w, net.mapping(other, some), cutoff)
        sizes = [layer.noise_const.shape for layer in net.synthesis.convs()]
        fed = noise_fed(self.noise, net)
        noise = [draws.normal(count, 1, *size) if f else None for size, f in zip(sizes, fed, strict=True)]
        if self.grown is not None:
            return growing.grown_images(net, w, self.grown, noise=noise), w
        return net.synthesis(w, noise=noise), w

    def _judged(self, images: Tensor, c: Tensor | None) -> Tensor:
        seen = images if self.augment is None else self.augment(images)
        if self.grown is not None:
            return growing.grown_logits(self.discriminator, seen, self.grown, c)
        return self.discriminator(seen, c).float()

    def _cast(self) -> AbstractContextManager[Any]:
        return torch.enable_grad() if self.autocast is None else self.autocast()


@dataclass(frozen=True)
class Conditions:
    """This process' conditions: of its real images, and for the images that it generates; (N, C) each."""

    real: Tensor
    generated: Tensor


def noise_fed(noise: Fed, net: StyleGAN2Generator) -> list[bool]:
    """Which layers get noise maps, from the first to the last."""
    count = sum(1 for _ in net.synthesis.convs())
    return [noise == "random" or (noise == "last" and layer == count - 1) for layer in range(count)]


def average_gradients(parameters: Sequence[nn.Parameter], mean_over_processes: Callable[[Tensor], Tensor]) -> None:
    """Replaces gradients by their mean over processes, in one message."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    flat = mean_over_processes(torch.cat([g.flatten() for g in gradients]))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
