"""What our PGD costs beside a bare loop, and beside other libraries as they are shipped.

python benchmarks/attacks.py [--json] [--data FOLDER]

First table: PGD-40 (Linf 8/255, step 2/255, from the image, cross-entropy, `stop="never"`) through the engine against
the least that such an attack can do (forward, backward to the input, sign step, clamp to ball and box): ratio of
process CPU time on one thread, 15 paired runs in alternating order after a warm-up, median with its 90% interval from
order statistics. The engine's extra work is a best-so-far image, loss and verdict for every sample, and one more
forward to rank the last iterate. Then the same with the search on a prepared copy (`fast`): BatchNorm folded and
channels-last, in float32 and in bfloat16.
Second table: the same attack by each library in its own way; robust accuracy is that of the image as bytes, clipped to
the budget, by the raw network.

ResNet-20 on CIFAR-10 test images where FOLDER (default: ADVGEN_DATA, else ../shared/data) has both; otherwise the
network is untrained and the images are noise, which changes the accuracies and hardly the times.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.attacks.engine import Fast
from advgen.attacks.image.pgd import PGD
from advgen.attacks.peers.art import ART
from advgen.attacks.peers.torchattacks import TorchAttacks
from advgen.core.budgets import Linf
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget
from advgen.core.types import Attack
from advgen.zoo.networks import Normalised, build

RADIUS, STEP, STEPS, BATCH, PAIRS = 8 / 255, 2 / 255, 40, 64, 15
GOAL = 1.05
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Setting(NamedTuple):
    network: nn.Module  # takes [0, 1], eval mode, parameters frozen
    target: ModuleTarget
    images: Tensor  # (BATCH, 3, 32, 32)
    labels: Tensor
    what: str


class Ratio(NamedTuple):
    name: str
    seconds: float  # median CPU seconds of a run
    ratio: float  # median over pairs, to the bare loop
    low: float
    high: float
    robust: float  # share of the batch still right after the attack, on bytes


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument("--data", type=Path, default=_data_folder(), help="folder with images/ and weights/")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="paired runs a row")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    setting = load(options.data)

    if not options.json:
        print(f"{setting.what}, batch {BATCH}, PGD-{STEPS} Linf 8/255, one thread, CPU time\n", flush=True)
    engine = compared("advgen PGD", ours(setting), setting, options.pairs)
    prepared = [
        compared(f"advgen {fast}", ours(setting, fast), setting, options.pairs) for fast in ("float32", "bfloat16")
    ]
    if not options.json:
        show([engine, *prepared])
        verdict = "met" if engine.low <= GOAL else "missed"
        print(f"\ngoal: at most {GOAL} times the bare loop ({options.pairs} pairs): {verdict}", flush=True)
    # Differences between libraries are large: a third of the pairs shows them.
    pairs = max(3, options.pairs // 3)
    shipped = [compared(name, attack, setting, pairs) for name, attack in libraries(setting).items()]
    if options.json:
        rows = {"what": setting.what, "goal": GOAL, "pairs": options.pairs, "engine": engine._asdict()}
        rows |= {"prepared": [row._asdict() for row in prepared]}
        print(json.dumps(rows | {"libraries": [row._asdict() for row in shipped]}, indent=2))
    else:
        print(f"\nlibraries as shipped ({pairs} pairs):")
        show([engine, *shipped])
    return 0


def bare(setting: Setting) -> Tensor:
    """The least that PGD can do."""
    originals = setting.images
    low, high = originals - RADIUS, originals + RADIUS
    x = originals.clone()
    for _ in range(STEPS):
        x.requires_grad_()
        loss = F.cross_entropy(setting.network(x), setting.labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            x = torch.minimum(torch.maximum(x + STEP * slope.sign(), low), high).clamp(0, 1)
    return x


def ours(setting: Setting, fast: Fast = "no") -> Callable[[], Tensor]:
    attack = PGD(Linf(RADIUS), steps=STEPS, step_size=STEP, random_start=False, fast=fast)
    return lambda: run(attack, setting)


def libraries(setting: Setting) -> dict[str, Callable[[], Tensor]]:
    steps = f"steps={STEPS}, alpha={STEP}, random_start=False"
    rows: dict[str, Callable[[], Tensor]] = {
        "torchattacks PGD": lambda: run(TorchAttacks(Linf(RADIUS), "PGD", steps), setting),
        "ART PGD": lambda: run(ART(Linf(RADIUS), "PGD", f"max_iter={STEPS}, eps_step={STEP}"), setting),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # foolbox imports old names of scipy
        try:
            import foolbox
        except ModuleNotFoundError:
            return rows
    model = foolbox.PyTorchModel(setting.network, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=False)
    rows["foolbox PGD"] = lambda: attack(model, setting.images, setting.labels, epsilons=RADIUS)[1]
    return rows


def run(attack: Attack, setting: Setting) -> Tensor:
    goal = make_goal("untargeted", setting.labels, decision="argmax", classes=10, objective="cross_entropy")
    rng = SampleRng.for_samples(0, "attack", [str(i) for i in range(BATCH)])
    return attack.run(setting.target, setting.images, goal, rng=rng, meter=Meter()).images


def compared(name: str, attack: Callable[[], Tensor], setting: Setting, pairs: int) -> Ratio:
    """Paired with the bare loop, which goes first in every other pair."""
    images, _ = attack(), bare(setting)
    seconds, ratios = [], []
    for pair in range(pairs):
        order = (attack, lambda: bare(setting)) if pair % 2 else (lambda: bare(setting), attack)
        times = [_cpu_seconds(step) for step in order]
        mine, theirs = (times[0], times[1]) if pair % 2 else (times[1], times[0])
        seconds.append(mine)
        ratios.append(mine / theirs)
    low, high = median_interval(ratios)
    return Ratio(name, float(np.median(seconds)), float(np.median(ratios)), low, high, robust_accuracy(setting, images))


def robust_accuracy(setting: Setting, images: Tensor) -> float:
    saved = Linf(RADIUS).to_uint8(images, (setting.images * 255).round().to(torch.uint8))
    with torch.no_grad():
        right = setting.network(saved.to(torch.float32) / 255).argmax(1) == setting.labels
    return float(right.float().mean())


def median_interval(values: list[float], level: float = 0.9) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with at least `level` (binomial)."""
    ordered, n = sorted(values), len(values)
    for k in range(n // 2, 0, -1):
        inside = sum(comb(n, i) for i in range(k, n - k + 1)) / 2**n
        if inside >= level:
            return ordered[k - 1], ordered[n - k]
    return ordered[0], ordered[-1]


def show(rows: list[Ratio]) -> None:
    print(f"{'attack':<18} {'CPU s':>8} {'x bare':>8}  {'90% interval':<16} {'robust':>7}")
    for row in rows:
        interval = f"{row.low:.3f} .. {row.high:.3f}"
        print(f"{row.name:<18} {row.seconds:>8.2f} {row.ratio:>8.3f}  {interval:<16} {row.robust:>6.1%}")


def load(data: Path) -> Setting:
    weights, pixels = (
        data / "weights/cifar10_resnet20_standard.safetensors",
        data / "images/cifar10/cifar10_test_1000.npz",
    )
    torch.manual_seed(0)
    plain = build("resnet20")
    what = "ResNet-20 (untrained), noise"
    images, labels = torch.randint(0, 256, (BATCH, 3, 32, 32)) / 255, torch.randint(0, 10, (BATCH,))
    if weights.is_file() and pixels.is_file():
        from safetensors.torch import load_file

        plain.load_state_dict(load_file(weights))
        arrays = np.load(pixels)
        images_u8, labels = _images_and_labels({name: arrays[name] for name in arrays.files})
        images = images_u8[:BATCH].to(torch.float32) / 255
        labels = labels[:BATCH]
        what = "ResNet-20, CIFAR-10"
    network = Normalised(plain, MEAN, STD).eval().requires_grad_(False)
    target = ModuleTarget(network, tuple(map(str, range(10))), (3, 32, 32))
    return Setting(network, target, images, labels, what)


def _images_and_labels(arrays: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    pixels = next(a for a in arrays.values() if a.ndim == 4)
    labels = next(a for a in arrays.values() if a.ndim == 1)
    images = torch.from_numpy(pixels)
    return images if images.shape[1] == 3 else images.permute(0, 3, 1, 2), torch.from_numpy(labels.astype(np.int64))


def _data_folder() -> Path:
    given = os.environ.get("ADVGEN_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"


def _cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    sys.exit(main())
