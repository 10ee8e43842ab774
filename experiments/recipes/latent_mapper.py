"""A latent mapper for one text: the third of StyleCLIP's methods, trained on latents of one generator through one CLIP.

Trained on w of the generator's own samples (with mixed rows, so that w+ of inversions is not new to it). The weights of
the loss are the paper's; its Ranger at 0.5 and 50,000 steps of two images are AdamW and a few hundred steps of sixteen.

Patashnik et al. 2021, "StyleCLIP", arXiv 2103.17249, section 5.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS, default_net
from advgen.core.rng import stream_seed
from advgen.core.specs import Card
from advgen.editing.mapper import GROUPS, KIND, LatentMapper, MapperLoss, description
from advgen.editing.networks import as_identity
from advgen.editing.prompts import ensembled
from advgen.editing.stylespace import sampled_w
from advgen.embeddings.encoders.clip import CLIP
from advgen.experiments.recipes._make import Training, Work, make
from advgen.experiments.recipes._train import Plan
from advgen.generators.stylegan2.load import load_stylegan2
from advgen.inversion.descent import identity_of
from advgen.zoo.load import load, zoo_load

HELD_OUT = 128  # latents of validation, and of the test


@final
@dataclass(frozen=True)
class LatentMapperOfText:
    prompt: str = "a person with glasses"
    generator: str = "stylegan2_avatars_64"  # name of shipped weights, or a file of a StyleGAN2
    clip: str = "clip_avatars_64"  # that guides
    clip_weights: str | None = None  # where its name does not say
    identity: str | None = None  # network whose outputs are kept; None = no such loss
    groups: str = "coarse, medium, fine"  # those that are trained; without fine, shapes alone change
    latents: int = 2048  # w that it learns from
    epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 0.05  # of AdamW, at its peak; its layers learn at a hundredth of it
    clip_weight: float = 1.0
    l2_weight: float = 0.8  # of the mean squared change of w+
    identity_weight: float = 0.1
    name: str | None = None  # of the checkpoint; None = mapper_ and the prompt

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        groups = tuple(part.strip() for part in self.groups.split(",") if part.strip())
        if self.latents < 2 or set(groups) - set(GROUPS):
            raise BadArgument(
                f"latents must be 2 or more and groups among {', '.join(GROUPS)}, got {self.latents} and {self.groups}."
            )
        generator = load_stylegan2(self.generator).generator.eval()
        encoder = CLIP(self.clip, self.clip_weights)
        loss = MapperLoss(
            generator, encoder, ensembled(encoder, self.prompt),
            None if self.identity is None else as_identity(zoo_load(self.identity)[0], load(self.identity).image_shape),
            self.clip_weight, self.l2_weight, self.identity_weight,
        )  # fmt: skip
        train, validation, test = (
            _mixed(generator, count, stream_seed(seed, f"train/latents {part}", "") % 2**31)
            for part, count in (("train", self.latents), ("validation", HELD_OUT), ("test", HELD_OUT))
        )
        made = LatentMapper(generator.num_ws, generator.w_dim, groups)
        plan = Plan(
            lambda network, batch: loss(network, batch[0]).mean(),
            lambda network: -_over(loss, network, validation),
            self.epochs,
            self.batch_size,
            self.learning_rate,
        )
        hashes = {"latents.train": identity_of("", train), "encoder.hash": encoder.hash, **description(made, generator)}
        training = Training(
            self.name or re.sub(r"[^a-z0-9]+", "_", f"mapper {self.prompt.lower()}").strip("_"), KIND, "latent_mapper",
            asdict(self), None, hashes, (train,), plan, lambda network: _measured(loss, network, test),
            create=lambda: LatentMapper(generator.num_ws, generator.w_dim, groups),
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))


def _mixed(generator: Any, n: int, seed: int) -> Tensor:
    """(N, L, D) of samples; in half of them the rows from a random one on come from another sample."""
    w, other = sampled_w(generator, n, seed=seed), sampled_w(generator, n, seed=seed + 1)
    rng = torch.Generator().manual_seed(seed)
    begin = torch.randint(1, 2 * generator.num_ws, (n,), generator=rng)
    return torch.where(torch.arange(generator.num_ws)[None, :, None] < begin[:, None, None], w, other)


@torch.no_grad()
def _over(loss: MapperLoss, network: nn.Module, w: Tensor) -> float:
    device = next(network.parameters()).device
    return float(torch.cat([loss(network, some.to(device)) for some in w.split(32)]).mean())


@torch.no_grad()
def _measured(loss: MapperLoss, network: nn.Module, w: Tensor) -> dict[str, Any]:
    """On latents that it has not seen."""
    w = w.to(next(network.parameters()).device)
    change = network(w)
    before, after = (loss.generator.synthesis(x).clamp(0, 1) for x in (w, w + change))
    gains = (loss.encoder.encode_images(after) - loss.encoder.encode_images(before)) @ loss.text.to(w)
    net = default_net(before.shape[-1]).net
    return {
        "gain of the cosine": round(float(gains.mean()), 4),
        "share that gains": round(float((gains > 0).double().mean()), 4),
        f"distance {net}": round(float(LPIPS(net).to(w.device)(after, before).mean()), 4),
        "mean squared change of w": round(float(change.square().mean()), 5),
        "n": len(w),
    }
