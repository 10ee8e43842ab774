"""What the encoder recipe minimises: w of the generator's own samples, re-synthesis of real images, editable rows.

Losses and weights: Richardson et al. 2020, arXiv 2008.00951, section 3.2 (pSp: mean squared error 1, LPIPS 0.8);
Tov et al. 2021, arXiv 2102.02766, section 4 (e4e: length of the deltas 2e-4, latent discriminator 0.1 with R1 of 10).
The two compare an encoder's w with no known one; here half of a batch are samples of the generator, whose w is known.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from advgen.core.latent_spaces import spread
from advgen.generators.stylegan2 import StyleGAN2Generator
from advgen.generators.stylegan2.encoder import LatentEncoder, delta_norm
from advgen.generators.stylegan2.layers import FullyConnected
from advgen.inversion.gate import Quality, quality
from advgen.inversion.likeness import Likeness, Metric

_NAMES = {"mse": "mse", "psnr": "psnr dB", "ssim": "ssim", "w_distance": "distance from the mean of w"}
BATCH = 32  # images at a time where nothing is trained
CRITIC_LR = 0.2  # of the critic's weights, relative to the encoder's
R1 = 10.0


@dataclass(frozen=True)
class Schedule:
    """What is on when, in shares of the training."""

    images_from: float  # re-synthesis counts from here on; before, w of own samples alone, which is cheap
    deltas_from: float  # until here all rows are equal
    deltas_until: float  # from here on every row may differ; in between, one more at a time

    def rows(self, done: float, num_ws: int) -> int:
        """Rows that may differ from the first one, itself counted."""
        if done >= self.deltas_until:
            return num_ws
        if done < self.deltas_from:
            return 1
        return 1 + int((num_ws - 1) * (done - self.deltas_from) / (self.deltas_until - self.deltas_from))


class Trained(nn.Module):
    """The encoder, and what serves its training only."""

    done: Tensor

    def __init__(self, encoder: LatentEncoder, *, critic: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.critic = LatentCritic(len(encoder.mean_w)) if critic else None
        self.register_buffer("done", torch.zeros(()), persistent=False)  # share of the training

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(images)


class LatentCritic(nn.Sequential):
    """Rows (N, D) to logits (N, 1): above 0 = a w of the mapping network, below 0 = an encoder's."""

    def __init__(self, w_dim: int) -> None:
        layers = [FullyConnected(w_dim, w_dim, lr=CRITIC_LR, active=True) for _ in range(3)]
        super().__init__(*layers, FullyConnected(w_dim, 1, lr=CRITIC_LR))


@dataclass(frozen=True)
class Objective:
    """The loss of a batch; draws come from torch's global generator, seeded a step."""

    generator: StyleGAN2Generator
    likeness: Likeness
    schedule: Schedule
    own: int  # the generator's samples in a batch
    latent_weight: float  # of squared errors of w, in units of w's variance
    delta_weight: float
    critic_weight: float
    w_variance: float  # mean over D

    def prepare(self, network: nn.Module, done: float) -> None:
        """Sets what the schedule says, before a step."""
        assert isinstance(network, Trained)
        network.done.fill_(done)
        if network.encoder.space == "w+":
            network.encoder.active.fill_(self.schedule.rows(done, network.encoder.num_ws))

    def to(self, device: torch.device) -> None:
        """Moves the generator and the perceptual network."""
        self.generator.to(device)
        if isinstance(self.likeness.perceptual, nn.Module):
            self.likeness.perceptual.to(device)

    def resynthesis(self, encoder: nn.Module, images: Tensor) -> float:
        """The loss of the re-synthesis alone, the mean over images (N, C, R, R)."""
        at = next(encoder.parameters()).device
        self.to(at)
        losses = []
        for some in (piece.to(at) for piece in images.split(BATCH)):
            losses.append(self.likeness.to(some)(self.generator.synthesis(encoder(some))).loss)
        return float(torch.cat(losses).double().mean())

    def __call__(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        images_too = float(network.done) >= self.schedule.images_from
        real = batch[0].float() / 255.0
        self.to(real.device)
        # Own samples take the place of the real images that do not count yet.
        known = drawn_w(self.generator, self.own if images_too else self.own + len(real))
        real = real if images_too else real[:0]
        with torch.no_grad():
            samples = self.generator.synthesis(known).clamp(0, 1)
        images = torch.cat([real, samples])
        w = network(images)
        loss = self.delta_weight * delta_norm(w).mean()
        if len(known):
            loss = loss + self.latent_weight * (w[len(real) :] - known).square().mean() / self.w_variance
        if images_too:
            loss = loss + self.likeness.to(images)(self.generator.synthesis(w)).loss.mean()
        if network.critic is not None:
            loss = loss + self.critic_weight * fooling(network.critic, w) + telling(network.critic, w, known)
        return loss


def drawn_w(generator: StyleGAN2Generator, count: int) -> Tensor:
    """w (count, L, D) of random z; with a condition, of random unit vectors (classes)."""
    z = torch.randn(count, generator.z_dim)
    c = torch.eye(generator.c_dim)[torch.randint(generator.c_dim, (count,))] if generator.c_dim else None
    at = generator.mean_w
    with torch.no_grad():
        return generator.mapping(z.to(at), None if c is None else c.to(at))


def fooling(critic: LatentCritic, w: Tensor) -> Tensor:
    """The encoder's side of the game, with gradients to w alone."""
    frozen = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    return functional.softplus(-functional_call(critic, frozen, w.flatten(0, 1))).mean()


def telling(critic: LatentCritic, w: Tensor, known: Tensor) -> Tensor:
    """The critic's side, with its R1 penalty on known rows; gradients to the critic alone."""
    rows = known[:, 0].detach().requires_grad_(True)
    logits = critic(rows)
    (slope,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
    told = functional.softplus(-logits).mean() + functional.softplus(critic(w.detach().flatten(0, 1))).mean()
    return told + R1 / 2 * slope.square().sum(1).mean()


def resynthesis(encoder: LatentEncoder, generator: StyleGAN2Generator, images: Tensor) -> tuple[Tensor, Tensor]:
    """w of images (N, C, R, R) and what the generator makes of it, (N, C, R, R) in [0, 1]."""
    w = torch.cat([encoder(some) for some in images.split(BATCH)])
    return w, made_of(generator, w)


def made_of(generator: StyleGAN2Generator, w: Tensor) -> Tensor:
    """Images in [0, 1] of w (N, L, D)."""
    return torch.cat([generator.synthesis(some).clamp(0, 1) for some in w.split(BATCH)])


def told(
    made: Tensor, images: Tensor, w: Tensor, generator: StyleGAN2Generator, nets: Mapping[str, Metric]
) -> dict[str, float]:
    """Means over N re-syntheses of N images, all on the CPU; a distance by each of `nets`."""
    unit, found = spread(generator), {}
    for net, perceptual in nets.items():
        pieces = [
            quality(a, b, perceptual=perceptual, generator=generator, w=c, unit=unit)
            for a, b, c in zip(made.split(BATCH), images.split(BATCH), w.split(BATCH))
        ]
        for name, parts in zip(Quality._fields, zip(*pieces)):
            found[f"distance {net}" if name == "distance" else _NAMES[name]] = torch.cat(parts).double().mean()
    return {name: round(float(mean), 5) for name, mean in found.items() if not mean.isnan()}


def milliseconds(encoder: LatentEncoder) -> float:
    """CPU time of one image on its own, median of 30; of all threads together."""
    image = torch.rand(1, *encoder.shape, generator=torch.Generator().manual_seed(0))
    taken = []
    for _ in range(33):
        begun = time.process_time()
        encoder(image)
        taken.append(time.process_time() - begun)
    return round(1e3 * median(taken[3:]), 2)
