"""Feed-forward encoder of one StyleGAN2: images to w, in milliseconds, for inversion and as a start for optimisers.

Trained on samples of the generator itself, whose w is known, and on real images through the frozen generator; first w
alone, then re-synthesis too; first equal rows, then one differing row more at a time.

Richardson et al. 2020, "Encoding in Style", arXiv 2008.00951; Tov et al. 2021, "Designing an Encoder for StyleGAN Image
Manipulation", arXiv 2102.02766.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import nn

from advgen.core import checkpoints
from advgen.core.errors import BadArgument
from advgen.core.files import sha256
from advgen.core.latent_spaces import spread
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS, default_net
from advgen.core.rng import stream_seed
from advgen.core.specs import Card
from advgen.experiments.recipes import _encode
from advgen.experiments.recipes._make import Splits, Training, Work, load_splits, make
from advgen.experiments.recipes._train import Plan
from advgen.experiments.recipes.stylegan2 import bordered
from advgen.generators.stylegan2 import StyleGAN2Generator
from advgen.generators.stylegan2.encoder import LatentEncoder
from advgen.generators.stylegan2.load import load_stylegan2
from advgen.inversion.likeness import Likeness
from advgen.zoo.load import Network


@final
@dataclass(frozen=True)
class StyleGAN2Encoder:
    generator: str = "stylegan2_avatars_64"  # name of shipped weights, or a file of a StyleGAN2
    data: str = "avatars"  # name of a data set, or folder:PATH: best what the generator was trained on
    size: int | None = None  # pixels, both sides; None = as the data set is, with a border where the generator had one
    variety: str | None = None  # of avatars: plain or full; None = the data set's own
    images: int = 0  # of the train split; 0 = all
    held_out: int = 256  # images of the validation and of the test split, and own samples, that are measured
    space: Literal["w", "w+"] = "w+"  # w = equal rows
    progressive: bool = True  # w+: rows may differ one after another, not all at once
    critic: bool = False  # e4e's latent discriminator: keeps rows where the mapping network's lie
    own: int = 16  # samples of the generator in a batch beside the real images; 0 where its condition is no class
    images_from: float = 0.25  # share of the training after which re-synthesis counts
    latent_weight: float = 0.1  # of squared errors of own samples' w, in units of the variance of w
    delta_weight: float = 2e-4  # of the length of the differences between rows
    critic_weight: float = 0.1
    perceptual_weight: float = 0.8  # beside the mean squared error, whose weight is 1
    net: str | None = None  # backbone of the perceptual loss; None = squeeze where its file is found, else embedded
    width: int = 32  # feature maps at the largest size
    depth: int = 1  # residual blocks a size
    hidden: int = 256  # features that a level's rows are made of
    epochs: int = 20
    batch_size: int = 16  # real images
    learning_rate: float = 1e-3  # of AdamW, at its peak
    name: str | None = None  # of the checkpoint; None = from the generator's name and the space

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        self._check()
        file = _file(self.generator)
        generator = load_stylegan2(file).generator.requires_grad_(False)
        splits = self._splits(generator)
        channels, side = splits.train.images_u8.shape[1:3]
        described = Network("latent-encoder", self._sizes(generator), (), (channels, side, side))
        net = self.net or default_net(side).net
        objective = self._objective(generator, net)
        plan = Plan(
            objective,
            lambda network: -objective.resynthesis(network, splits.validation.images),
            self.epochs,
            self.batch_size,
            self.learning_rate,
            weight_decay=0.0,
            before_step=objective.prepare,
        )
        args = {**asdict(self), "net": net, "generator": file.stem, "generator.sha256": sha256(file)}
        training = Training(
            self.name or self._name(file, seed), "encoder", "stylegan2_encoder", args, described, splits.hashes(),
            (splits.train.images_u8,), plan, lambda kept: _measured(kept, objective, splits, seed),
            create=self._create(generator), keep="encoder",
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))

    def _splits(self, generator: StyleGAN2Generator) -> Splits:
        args = () if self.variety is None else (("variety", self.variety),)
        counts = {"train": self.images, "validation": self.held_out, "test": self.held_out}
        splits = bordered(load_splits(self.data, self.size, args, counts=counts))
        found, wanted = splits.train.images_u8.shape[1:], (generator.config.channels, *generator.resolution)
        if tuple(found) != wanted:
            raise BadArgument(
                f"the images of {self.data} are {found[2]}x{found[1]} with {found[0]} channel(s), the generator's "
                f"{wanted[2]}x{wanted[1]} with {wanted[0]}: give size={wanted[1]}, or the data it was trained on."
            )
        return splits

    def _check(self) -> None:
        for name in ("latent_weight", "delta_weight", "critic_weight", "perceptual_weight"):
            if not (getattr(self, name) >= 0 and isfinite(getattr(self, name))):
                raise BadArgument(f"{name} must be 0 or more, got {getattr(self, name):g}.")
        if not 0 <= self.images_from < 1:
            raise BadArgument(
                f"images_from is a share of the training from 0 to less than 1, got {self.images_from:g}."
            )
        if self.own < 0 or self.held_out < 1:
            raise BadArgument(f"own must be 0 or more and held_out 1 or more, got {self.own} and {self.held_out}.")
        if self.own == 0 and (self.critic or self.images_from > 0):
            raise BadArgument(
                "without own samples (own=0) there is no w to learn from: set critic=False, images_from=0."
            )

    def _sizes(self, generator: StyleGAN2Generator) -> dict[str, Any]:
        return {
            "resolution": generator.resolution[0], "num_ws": generator.num_ws, "w_dim": generator.w_dim,
            "channels": generator.config.channels, "space": self.space, "width": self.width, "depth": self.depth,
            "hidden": self.hidden,
        }  # fmt: skip

    def _create(self, generator: StyleGAN2Generator) -> Callable[[], nn.Module]:
        def create() -> nn.Module:
            encoder = LatentEncoder(**self._sizes(generator))
            encoder.mean_w.copy_(generator.mean_w)
            return _encode.Trained(encoder, critic=self.critic)

        return create

    def _objective(self, generator: StyleGAN2Generator, net: str) -> _encode.Objective:
        # Equal rows first, until half of what is left when re-synthesis begins.
        begin = self.images_from + 0.1 * (1 - self.images_from)
        progress = (begin, self.images_from + 0.5 * (1 - self.images_from)) if self.progressive else (0.0, 0.0)
        return _encode.Objective(
            generator,
            Likeness(LPIPS(net), perceptual_weight=self.perceptual_weight),
            _encode.Schedule(self.images_from, *progress),
            self.own,
            self.latent_weight,
            self.delta_weight,
            self.critic_weight,
            spread(generator) ** 2 / generator.w_dim,
        )

    def _name(self, file: Path, seed: int) -> str:
        return re.sub(r"[^a-z0-9]+", "_", f"encoder {file.stem} {self.space.replace('+', 'plus')} seed{seed}".lower())


def _file(ref: str) -> Path:
    """Of a generator: a path as it is, a plain name among the weights."""
    path = Path(ref).expanduser()
    return path if "/" in ref or path.suffix else checkpoints.find(ref)


def _measured(encoder: nn.Module, objective: _encode.Objective, splits: Splits, seed: int) -> dict[str, Any]:
    """On test images, on own samples, and of the mean of w, which any encoder must beat."""
    assert isinstance(encoder, LatentEncoder)
    objective.to(torch.device("cpu"))
    generator, real = objective.generator, splits.test.images
    # What the encoder was trained through flatters it: another network's distances stand beside.
    nets = {net: LPIPS(net) for net in dict.fromkeys((default_net(real.shape[-1]).net, "embedded"))}
    with _seeded(seed, "own samples"):
        known = _encode.drawn_w(generator, len(real))
    own = _encode.made_of(generator, known)
    mean_w = generator.mean_w.expand(len(real), generator.num_ws, -1)
    mean = _encode.made_of(generator, mean_w[:1]).expand_as(real)
    found, again = _encode.resynthesis(encoder, generator, real)
    w, own_again = _encode.resynthesis(encoder, generator, own)
    error = (w - known).square().mean() / (generator.mean_w - known).square().mean()
    apart = (found - found.mean(1, keepdim=True)).square().mean() / objective.w_variance
    return {
        "real images": _encode.told(again, real, found, generator, nets),
        "real images by the mean of w": _encode.told(mean, real, mean_w, generator, nets),
        "own samples": _encode.told(own_again, own, w, generator, nets),
        "error of w of own samples": round(float(error), 4),  # the mean of w has 1
        "variance between rows": round(float(apart), 4),  # in variances of w
        "n": len(real),
        "distances": {net: perceptual.definition for net, perceptual in nets.items()},
        "CPU ms an image": _encode.milliseconds(encoder),
        "threads": torch.get_num_threads(),
    }


@contextmanager
def _seeded(seed: int, what: str) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, f"train/{what}", ""))
        yield
