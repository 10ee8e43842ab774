"""Face matcher: pictures of one person to one place of a sphere, with the threshold that says "the same person".

Trained with an additive angular margin (ArcFace: Deng et al. 2019, arXiv 1801.07698, equation 3) or an additive cosine
margin (CosFace: Wang et al. 2018, arXiv 1801.09414, equation 4), which grows from 0 in the first third of the steps.
No person of training is among those of validation, calibration or test. The card holds the threshold at a rate of
false acceptances on the calibration persons, and what it accepts on the test persons, with intervals over persons.
`matcher:NAME` attacks it; without a threshold on its card it is no target.
"""

from dataclasses import asdict, dataclass
from math import pi
from pathlib import Path
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.specs import Card, DataSpec, Scalar
from advgen.core.types import Slice
from advgen.experiments.data._load import load
from advgen.experiments.recipes import _verify
from advgen.experiments.recipes._augment import augmented
from advgen.experiments.recipes._make import Training, Work, make
from advgen.experiments.recipes._train import Plan
from advgen.zoo.load import Network, zoo_load
from advgen.zoo.networks import build

SPLITS = ("train", "validation", "calibration", "test")
POPULATION = 311  # of avatars that train; calibration and validation take the next two, test the data sets' own
GROWING = 1 / 3  # share of the steps in which the margin grows


@final
@dataclass(frozen=True)
class Matcher:
    data: str = "avatars"  # avatars; faces; or folder:PATH, a sub-folder for each person
    size: int = 64  # pixels, both sides
    architecture: Literal["face-cnn", "face-mixer"] = "face-cnn"
    border: int = 12  # pixels that the network cuts off on each side: hair and background
    width: int = 24  # channels of the first layer, or of a patch
    dimensions: int = 96  # of the sphere
    persons: int = 800  # of the avatars that train
    images: int = 12_000  # of them
    margin: Literal["arcface", "cosface"] = "arcface"
    by: float = 0.15  # that the own angle (radians) or cosine must be ahead
    scale: float = 24.0  # of cosines in the softmax, and of the target's logits
    far: float = 0.01  # pairs of two persons that may be taken for one
    augment: Literal["none", "flip", "light"] = "light"  # random changes that keep the person
    blur: float = 0.33  # share of the pictures that are blurred a little
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 3e-3  # of AdamW, at its peak
    start: str | None = None  # a matcher whose weights training begins with: a name or file
    name: str | None = None  # of the checkpoint; None = from the data, the architecture and the size

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        parts = {split: self._part(split) for split in SPLITS}
        train, validation = parts["train"], parts["validation"]
        persons, numbers = torch.unique(train.labels, return_inverse=True)
        if len(persons) < 2:
            raise BadArgument(f"{self.data} has {len(persons)} person to train on; a matcher needs two, a folder each.")
        for split in ("validation", "calibration", "test"):
            pairs = _verify.paired(torch.zeros(len(parts[split].ids), 1), parts[split].labels)
            _verify.require_pairs(pairs, self.far, f"the {len(parts[split].ids)} {split} pictures of {self.data}")
        kwargs: dict[str, Scalar] = {
            "size": self.size, "border": self.border, "width": self.width, "dimensions": self.dimensions
        }  # fmt: skip
        described = Network(self.architecture, kwargs, (), (3, self.size, self.size), "sign")
        hashes: dict[str, Scalar] = {f"data.{split}": part.hash for split, part in parts.items()}
        if self.start is not None:
            hashes["start.sha256"] = zoo_load(self.start)[1].file_hash

        def loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
            images_u8, person = batch
            with torch.autocast(images_u8.device.type, torch.bfloat16):
                cosines = network(self._seen(images_u8)).float()
            margin = self.by * float(network.get_submodule("head").grown)
            return F.cross_entropy(self.scale * ahead(cosines, person, self.margin, margin), person)

        def grow(network: nn.Module, share: float) -> None:
            network.get_submodule("head").grown = min(1.0, share / GROWING)  # type: ignore[assignment]

        def score(network: nn.Module) -> float:
            return _verify.separation(_verify.pairs_of(network.get_submodule("network"), validation), self.far)

        training = Training(
            self.name or f"{self.data.rpartition('/')[2]}_matcher_{self.size}", "matcher", "matcher", asdict(self),
            described, hashes, (train.images_u8, numbers),
            Plan(
                loss, score, self.epochs, self.batch_size, self.learning_rate, weight_decay=0.05, half_costs=0.005,
                before_step=grow,
            ),
            lambda network: measured(network, parts["calibration"], parts["test"], self.far),
            licence="MIT" if self.data == "avatars" else "weights MIT; data: as its owner says",
            create=lambda: _Training(self._network(kwargs), len(persons), self.dimensions),
            keep="network",
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))

    def _part(self, split: str) -> Slice:
        if self.data != "avatars":
            by = (("by", "folder"),) if self.data.startswith("folder:") else ()
            return load(DataSpec(self.data, split, 0, self.size, by))
        population, persons, count = {
            "train": (POPULATION, self.persons, self.images),
            "validation": (POPULATION + 1, 64, 512),
            "calibration": (POPULATION + 2, 128, 1024),
            "test": (0, 128, 1024),
        }[split]
        return load(DataSpec("avatars", split, count, self.size, (("identities", persons), ("seed", population))))

    def _seen(self, images_u8: Tensor) -> Tensor:
        images = augmented(images_u8.float() / 255.0, self.augment)
        rows = torch.rand(len(images)) < self.blur
        if bool(rows.any()):
            small = F.avg_pool2d(images[rows], 3, 1, 1, count_include_pad=False)
            images[rows] = torch.lerp(images[rows], small, torch.rand(len(small), 1, 1, 1).to(small))
        return images.to(memory_format=torch.channels_last)

    def _network(self, kwargs: dict[str, Scalar]) -> nn.Module:
        network = build(self.architecture, **kwargs)
        if self.start is not None:
            begun, card = zoo_load(self.start)
            try:
                network.load_state_dict(begun.state_dict())
            except RuntimeError:
                raise BadArgument(
                    f"{self.start} is not a {self.architecture} of width {self.width}, size {self.size} and "
                    f"{self.dimensions} dimensions (it is a {card.args.get('network.architecture', card.kind)}), so "
                    "training cannot begin with its weights."
                ) from None
        return network


def ahead(cosines: Tensor, person: Tensor, margin: str, by: float) -> Tensor:
    """(N, P) cosines with each picture's own made harder by a margin of angle or cosine."""
    own = cosines.gather(1, person[:, None])
    if margin == "cosface":
        harder = own - by
    else:
        angle = torch.acos(own.clamp(-1 + 1e-6, 1 - 1e-6))
        # Beyond pi the cosine would rise again; from there on it falls along a line.
        harder = torch.where(angle + by < pi, torch.cos(angle + by), own - by * torch.sin(torch.tensor(by)))
    return cosines.scatter(1, person[:, None], harder)


def measured(network: nn.Module, calibration: Slice, test: Slice, far: float) -> dict[str, Any]:
    """What stands on a matcher's card: the threshold, and what it accepts of other persons' pictures."""
    calibrating, testing = _verify.pairs_of(network, calibration), _verify.pairs_of(network, test)
    at = round(_verify.threshold(calibrating, far), 6)
    low, high = _verify.threshold_interval(calibrating, far)
    return {
        "threshold": at,
        "threshold interval": [round(low, 6), round(high, 6)],
        "far of calibration": far,
        "calibrated on": _counts(calibrating),
        "genuine pairs accepted": _verify.accepted(testing, at, genuine=True),
        "impostor pairs accepted": _verify.accepted(testing, at, genuine=False),
    }


def _counts(pairs: _verify.Pairs) -> dict[str, int]:
    return {"impostor pairs": int((~pairs.genuine).sum()), "persons": int(pairs.second.max()) + 1}


class _Training(nn.Module):
    """Cosines of pictures to one learned place a person; only for training."""

    def __init__(self, network: nn.Module, persons: int, dimensions: int) -> None:
        super().__init__()
        self.network = network
        self.head = _Head(persons, dimensions)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.network(images))


class _Head(nn.Module):
    grown: float = 0.0  # share of the margin that counts

    def __init__(self, persons: int, dimensions: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(persons, dimensions))

    def forward(self, embedded: Tensor) -> Tensor:
        return embedded @ F.normalize(self.places, dim=1).T
