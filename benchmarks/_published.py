"""Published networks with their test images, and CPU time taken in pairs: what the benchmarks of attacks share."""

import os
import time
from collections.abc import Callable
from math import comb
from statistics import median
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from advgen.core.goals import Objective, make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import DataSpec
from advgen.core.targets import ModuleTarget
from advgen.core.types import Attack, AttackResult
from advgen.experiments.data._load import load as load_data
from advgen.zoo.load import as_target, zoo_load

# Grey levels of Linf, those a network was trained or proved for, else what takes a standard network most of its images.
LEVELS = {
    "mnist_lenet_standard": 25,
    "mnist_lenet_advtrained_eps03": 76,
    "mnist_small_certified_eps01": 25,
    "fashion_small_standard": 3,
    "fashion_small_certified_eps01": 25,
    "cifar10_resnet20_standard": 2,
    "cifar10_resnet4b_adv": 2,
    "cifar10_resnet2b_adv": 2,
    "cifar10_small_certified_2px": 2,
    "cifar10_small_certified_8px": 8,
}
NORMALISED_IN_BATCHES = ("cifar10_resnet20_standard",)  # the one with BatchNorm


class Setting(NamedTuple):
    name: str
    network: nn.Module  # takes [0, 1], eval mode, parameters frozen
    target: ModuleTarget
    images: Tensor  # (N, C, H, W)
    labels: Tensor
    ids: tuple[str, ...]

    def first(self, count: int) -> "Setting":
        return self._replace(images=self.images[:count], labels=self.labels[:count], ids=self.ids[:count])

    def right(self, images: Tensor) -> Tensor:
        """(N,) bool, by the raw network."""
        with torch.no_grad():
            parts = [self.network(part).argmax(1) for part in images.split(256)]
        return torch.cat(parts) == self.labels

    def run(
        self,
        attack: Attack,
        *,
        seed: int = 0,
        batch: int = 256,
        objective: Objective = "margin",
        meter: Meter | None = None,
    ) -> AttackResult:
        """The attack on all images, batch after batch."""
        meter = Meter() if meter is None else meter
        found = []
        for at in range(0, len(self.images), batch):
            part = slice(at, at + batch)
            goal = make_goal(
                "untargeted",
                self.labels[part],
                decision="argmax",
                classes=len(self.target.classes),
                objective=objective,
            )
            rng = SampleRng.for_samples(seed, "attack", self.ids[part])
            found.append(attack.run(self.target, self.images[part], goal, rng=rng, meter=meter).images)
        return AttackResult(torch.cat(found), {})


def published(name: str, count: int) -> Setting:
    """A network of `LEVELS` and the first `count` test images of its data."""
    sample = load_data(DataSpec(_data_of(name), "test", count, None, ()))
    target = as_target(name)
    network = zoo_load(name)[0].requires_grad_(False)
    return Setting(name, network, target, sample.images_u8.float() / 255, sample.labels, sample.ids)


def _data_of(name: str) -> str:
    first = name.partition("_")[0]
    return {"fashion": "fashion-mnist"}.get(first, first)


class Ratio(NamedTuple):
    seconds: float  # median CPU seconds of a run
    ratio: float  # median over pairs, to the reference
    low: float
    high: float

    def shown(self) -> str:
        return f"{self.ratio:.2f} ({self.low:.2f} to {self.high:.2f})"


def compared(work: Callable[[], object], reference: Callable[[], object], pairs: int) -> Ratio:
    """CPU time of `work` over `reference`, which goes first in every other pair; both have been run before."""
    seconds, ratios = [], []
    for pair in range(pairs):
        order = (work, reference) if pair % 2 else (reference, work)
        times = [cpu_seconds(step) for step in order]
        mine, theirs = (times[0], times[1]) if pair % 2 else (times[1], times[0])
        seconds.append(mine)
        ratios.append(mine / theirs)
    return Ratio(median(seconds), median(ratios), *median_interval(ratios))


def cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def median_interval(values: list[float], level: float = 0.9) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with at least `level` (binomial)."""
    ordered, n = sorted(values), len(values)
    for k in range(n // 2, 0, -1):
        inside = sum(comb(n, i) for i in range(k, n - k + 1)) / 2**n
        if inside >= level:
            return ordered[k - 1], ordered[n - k]
    return ordered[0], ordered[-1]
