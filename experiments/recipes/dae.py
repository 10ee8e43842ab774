"""Denoising autoencoder: rebuilds images from noisy ones through a small code, for purifying and detecting.

Trained on Gaussian noise of standard deviation `sigma` against the clean image, by mean squared error or by perceptual
distance (LPIPS plus a little mean squared error, which keeps the colours).

Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising Autoencoders" (ICML); Gu & Rigazio 2014,
"Towards Deep Neural Network Architectures Robust to Adversarial Examples", arXiv 1412.5068, section 4.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite, log10
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import stream_seed
from advgen.core.specs import Card
from advgen.core.types import Slice
from advgen.experiments.recipes._augment import noisy
from advgen.experiments.recipes._classify import BATCH, as_metric
from advgen.experiments.recipes._make import Splits, Training, Work, load_splits, make
from advgen.experiments.recipes._train import Plan
from advgen.zoo.load import Network

MSE_SHARE = 1.0  # weight of the mean squared error beside the perceptual distance


@final
@dataclass(frozen=True)
class DAE:
    data: str = "avatars"  # name of a data set, or folder:PATH
    size: int | None = None  # pixels, both sides; None = as the data set is
    sigma: float = 0.1  # standard deviation of the noise, in units of [0, 1]
    loss: Literal["mse", "lpips"] = "mse"
    net: str = "embedded"  # backbone of the perceptual loss
    width: int = 32  # channels inside
    scale: Literal[2, 4] = 2  # the code's picture is this much smaller
    depth: int = 2  # convolutions at the small size
    code: int | None = None  # channels of the narrowest layer; None = width
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 3e-3  # of AdamW, at its peak
    images: int = 0  # of the train split; 0 = all
    start_at_mean: bool = False  # begin at the mean grey of the data: for sets that are mostly black, such as mnist
    classifier: str | None = None  # a network whose accuracy on rebuilt test images goes onto the card
    name: str | None = None  # of the checkpoint; None = from the arguments

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        if not (self.sigma >= 0 and isfinite(self.sigma)):
            raise BadArgument(f"sigma must be 0 or more, got {self.sigma:g}.")
        splits = load_splits(self.data, self.size, counts={"train": self.images})
        shape = tuple(splits.train.images_u8.shape[1:])
        channels, height, width = shape
        kwargs: dict[str, Any] = {"channels": channels, "width": self.width, "scale": self.scale, "depth": self.depth}
        if self.code is not None:
            kwargs["code"] = self.code
        if self.start_at_mean:
            kwargs["start"] = round(float(splits.train.images.mean()), 3)
        described = Network(
            "denoising-autoencoder",
            kwargs,
            (),
            (channels, height, width),
        )
        noisy_validation = _fixed_noise(splits.validation, self.sigma, seed)
        plan = Plan(
            self._loss(),
            lambda network: _psnr(network, noisy_validation, splits.validation),
            self.epochs,
            self.batch_size,
            self.learning_rate,
            weight_decay=0.0,
            half_costs=0.02,
        )
        training = Training(
            self.name or self._name(seed), "autoencoder", "dae", self._args(), described, splits.hashes(),
            (splits.train.images_u8,), plan, lambda network: self._measured(network, splits, seed),
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))

    def _args(self) -> dict[str, Any]:
        """What stands on the card; an argument that came later only where it is used."""
        args = asdict(self)
        return args if self.start_at_mean else {k: v for k, v in args.items() if k != "start_at_mean"}

    def _name(self, seed: int) -> str:
        data = re.sub(r"[^a-z0-9]+", "_", self.data.lower()).strip("_") + (f"_{self.size}" if self.size else "")
        return f"dae_{data}_{self.loss}_s{self.sigma:g}_w{self.width}_seed{seed}"

    def _loss(self) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
        if self.loss == "mse":
            return lambda network, batch: (network(noisy(_float(batch), self.sigma)) - _float(batch)).square().mean()
        from advgen.core.perceptual import LPIPS

        lpips = LPIPS(self.net)

        def perceptual(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
            clean = _float(batch)
            rebuilt = network(noisy(clean, self.sigma))
            lpips.to(clean.device)
            return lpips(rebuilt, clean).mean() + MSE_SHARE * (rebuilt - clean).square().mean()

        return perceptual

    def _measured(self, network: nn.Module, splits: Splits, seed: int) -> dict[str, Any]:
        test = splits.test
        metrics: dict[str, Any] = {
            "psnr clean dB": round(_psnr(network, test.images, test), 3),
            "psnr denoised dB": round(_psnr(network, _fixed_noise(test, self.sigma, seed), test), 3),
            "psnr noisy dB": round(_psnr(nn.Identity(), _fixed_noise(test, self.sigma, seed), test), 3),
            "n": len(test.ids),
        }
        if self.classifier is not None:
            from advgen.zoo.load import zoo_load

            judge, _ = zoo_load(self.classifier)
            for what, shown in (("", test.images), (" rebuilt", _through(network, test.images))):
                right = int((_through(judge, shown).argmax(1) == test.labels).sum())
                metrics[f"{self.classifier} accuracy{what}"] = as_metric(right, len(test.ids))
        return metrics


def _float(batch: tuple[Tensor, ...]) -> Tensor:
    return batch[0].float() / 255.0


def _fixed_noise(part: Slice, sigma: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(stream_seed(seed, "train/noise", part.hash))
    return (part.images + sigma * torch.randn(part.images_u8.shape, generator=generator)).clamp(0, 1)


def _through(network: nn.Module, images: Tensor) -> Tensor:
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    return torch.cat([network(piece.to(device)).cpu() for piece in images.split(BATCH)])


def _psnr(network: nn.Module, images: Tensor, part: Slice) -> float:
    """Of the mean squared error over all pixels of a slice, in dB."""
    return -10 * log10(float((_through(network, images) - part.images).double().square().mean()) + 1e-12)
