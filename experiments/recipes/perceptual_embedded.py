"""Backbone of the embedded perceptual distance, taught to rank changes as LPIPS with SqueezeNet ranks them.

A distillation: the teacher's distances between pictures and their distorted selves (and other pictures) are what the
student's distances are regressed on, in logarithms, so that weak changes count as much as strong ones. It stands in for
the published LPIPS where no published file is at hand, and is not it. Needs the SqueezeNet file and the pictures of
CIFAR-10 and Fashion-MNIST; the card says how well it ranks distortions that it was not trained on.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", arXiv 1801.03924.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import stream_seed
from advgen.core.specs import Args, Card
from advgen.core.types import Slice
from advgen.experiments.recipes._distort import TRAINED, UNSEEN, Distortion, distorted
from advgen.experiments.recipes._make import Splits, Training, Work, load_splits, make
from advgen.experiments.recipes._train import Plan

SOURCES: Mapping[str, Args] = {"avatars": (("variety", "full"),), "cifar10": (), "fashion-mnist": ()}
FLOOR = 1e-3  # added before the logarithm: changes of one grey level need not be told apart from none


@final
@dataclass(frozen=True)
class PerceptualEmbedded:
    size: int = 32  # pixels of the training pictures; the network takes any size from 16
    images: int = 1600  # of each source
    distortions: int = 3  # of each picture in a batch
    epochs: int = 2
    batch_size: int = 24  # pictures; pairs are `distortions` times as many
    learning_rate: float = 2e-3  # of AdamW, at its peak

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        from advgen.core.perceptual import LPIPS

        if self.distortions < 1:
            raise BadArgument(f"distortions must be at least 1, got {self.distortions}.")
        teacher = LPIPS("squeeze")
        sources = {name: self._source(name, args) for name, args in SOURCES.items()}
        pictures = torch.cat([_rgb(splits.train) for splits in sources.values()])
        held = [_pairs(_rgb(s.validation), TRAINED, teacher, seed, name) for name, s in sources.items()]
        hashes = {key: value for name, splits in sources.items() for key, value in splits.hashes(name).items()}
        plan = Plan(
            lambda network, batch: self._loss(network, teacher, batch[0].float() / 255.0),
            lambda network: sum(_spearman(network, pairs) for pairs in held) / len(held),
            self.epochs,
            self.batch_size,
            self.learning_rate,
            after_step=_keep_positive,
        )
        training = Training(
            "perceptual_embedded", "perceptual", "perceptual_embedded", asdict(self), None, hashes,
            (pictures,), plan, lambda network: _measured(network, teacher, sources, seed),
            licence="MIT; distilled from LPIPS 0.1 (BSD 2-Clause) on torchvision's SqueezeNet 1.1 (BSD 3-Clause)",
            stands_in_for="published LPIPS backbone", create=_student,
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))

    def _source(self, name: str, args: Args) -> Splits:
        return load_splits(name, self.size, args, counts={"train": self.images, "validation": 200, "test": 200})

    def _loss(self, network: nn.Module, teacher: Any, pictures: Tensor) -> Tensor:
        rows = torch.arange(len(pictures)).repeat(self.distortions)
        originals = pictures[rows]
        changed = distorted(originals.cpu(), TRAINED, twice=0.3).to(pictures.device)
        teacher.to(pictures.device)
        with torch.no_grad():
            wanted = teacher.distance_to(changed, teacher.reference(pictures).take(rows))
        return (torch.log(network(changed, originals) + FLOOR) - torch.log(wanted + FLOOR)).square().mean()


class _Pairs(NamedTuple):
    originals: Tensor
    changed: Tensor
    wanted: Tensor  # (N,) the teacher's distances


def _student() -> nn.Module:
    from advgen.core.perceptual import LPIPS

    return LPIPS("embedded", trained=False).requires_grad_(True)


def _keep_positive(network: nn.Module) -> None:
    with torch.no_grad():
        for weight in network.linear:
            weight.clamp_(min=0)


def _rgb(part: Slice) -> Tensor:
    return part.images_u8.expand(-1, 3, -1, -1).contiguous()


def _pairs(pictures_u8: Tensor, family: Mapping[str, Distortion], teacher: Any, seed: int, name: str) -> _Pairs:
    originals = pictures_u8.float() / 255.0
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(stream_seed(seed, "train/held-out pairs", name))
        changed = distorted(originals, family)
        return _Pairs(originals, changed, teacher.cpu()(changed, originals, batch_size=64))


def _spearman(network: nn.Module, pairs: _Pairs) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(_distances(network, pairs), pairs.wanted.numpy()).statistic)


def _distances(network: nn.Module, pairs: _Pairs) -> Any:
    device = next(network.parameters()).device
    pieces = zip(pairs.changed.split(64), pairs.originals.split(64))
    return torch.cat([network(a.to(device), b.to(device)).cpu() for a, b in pieces]).numpy()


def _measured(network: nn.Module, teacher: Any, sources: Mapping[str, Splits], seed: int) -> dict[str, Any]:
    """Spearman's correlation with the teacher on test pictures, for distortions of training and for unseen ones."""
    found: dict[str, Any] = {}
    for told, family in (("trained distortions", TRAINED), ("unseen distortions", UNSEEN)):
        for name, splits in sources.items():
            pairs = _pairs(_rgb(splits.test), family, teacher, seed, f"test/{name}")
            found[f"spearman with squeeze, {told}, {name}"] = round(_spearman(network, pairs), 4)
    return {**found, "n a source": len(next(iter(sources.values())).test.ids)}
