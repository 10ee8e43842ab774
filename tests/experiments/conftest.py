"""A small study that runs in a second: digits, a linear network of known weights, PGD and JPEG."""

from pathlib import Path
from typing import Any

import pytest

NETWORK = '''
"""A network with fixed weights: class templates of the digits, slightly blurred by their own size."""

import torch
from torch import nn

BRIGHT = 0.345  # one of them, and those that an attack makes as bright


def build():
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 16), nn.Tanh(), nn.Linear(16, 10))
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 8
    network.classes = tuple("0123456789")
    network.image_shape = (1, 32, 32)
    return network


def failing():
    """The same, but it raises on the brightest few of the first 24 digits."""

    class Failing(nn.Module):
        classes = tuple("0123456789")
        image_shape = (1, 32, 32)

        def __init__(self):
            super().__init__()
            self.inside = build()

        def forward(self, images):
            if bool((images.mean((1, 2, 3)) > BRIGHT).any()):
                raise RuntimeError("this image is refused")
            return self.inside(images)

    return Failing()
'''


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_network.py"
    path.write_text(NETWORK)
    return path


@pytest.fixture
def small_study(network_file: Path) -> dict[str, Any]:
    """Six cells and two controls on 24 digits."""
    return {
        "name": "small",
        "question": "Does JPEG stop PGD?",
        "grids": [
            {
                "data": [{"name": "digits", "count": 24}],
                "targets": [f"{network_file}:build"],
                "attacks": [{"name": "image/pgd", "args": {"steps": 4}}],
                "budgets": [{"name": "Linf", "radius": "16/255"}],
                "defenses": ["none", "purify/jpeg"],
                "knowledge": ["oblivious", "adaptive"],
            }
        ],
    }


MEASURE = '''
"""Heights by rule: what an arm adds, and chance by seed and sample."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from advgen.experiments.measured import Curve, Measured, Picture, Reading, joined, kept


@final
@dataclass(frozen=True)
class Heights:
    """The same samples under every arm; timing differs at each run."""

    quantities: ClassVar = {
        "height": {"means": "how high a sample is", "unit": "m", "better": "higher"},
        "tall": {"means": "higher than nothing", "unit": "share", "better": "higher"},
        "pairs": {"means": "the mean of all", "better": ""},
        "seconds": {"means": "time of all", "unit": "s", "better": "lower", "timing": True, "log": True},
    }
    plots = (("seconds", "height"),)

    plus: float = 0.0  # added to each
    samples: int = 12  # how many
    noise: float = 1.0  # of an arm's own
    sleep: float = 0.0  # seconds a part
    breaks: bool = False  # raises
    stands_in: bool = False  # says so
    weights: str = ""  # a checkpoint that is only named

    def inputs(self) -> Mapping[str, str]:
        return {"rule": "one"}

    def run(self, *, seed: int, device: Any, meter: Any, out: Path) -> Measured:
        if self.breaks:
            raise ZeroDivisionError("nothing to divide by")
        begun = time.perf_counter()
        parts = [kept(out, f"part-{k}", lambda k=k: self._part(seed, k, meter), meter=meter)
                 for k in range(0, self.samples, 4)]
        whole = joined(parts)
        heights = [r.value for r in whole.readings if r.quantity == "height"]
        spent = time.perf_counter() - begun
        own = [Reading.of_arm(seed, "pairs", sum(heights) / len(heights)), Reading.of_arm(seed, "seconds", spent)]
        stand_ins = {"the published ruler": "a stick"} if self.stands_in else {}
        return joined([whole, Measured(own, notes=["Heights are by rule."], stand_ins=stand_ins)])

    def _part(self, seed: int, first: int, meter: Any) -> Measured:
        time.sleep(self.sleep)
        meter.forwards += 4
        readings, curves = [], []
        for i in range(first, min(first + 4, self.samples)):
            shared = random.Random(f"{seed}/{i}").gauss(0, 1)
            own = random.Random(f"{seed}/{i}/{self.plus}/{self.weights}").gauss(0, self.noise)
            value = shared + own + self.plus
            readings += [Reading(f"ruler/{i}", "height", value), Reading(f"ruler/{i}", "tall", float(value > 0))]
            points = [(0.1 * 2**k, value - 1 / (k + 1)) for k in range(5)]
            curves.append(Curve(f"ruler/{i}", "seconds", "height", points))
        return Measured(readings, curves, [Picture(PNG, f"seed {seed}, samples from {first} on")] if not first else ())


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)
'''


@pytest.fixture
def measure_file(tmp_path: Path) -> Path:
    """A stranger's measure: `FILE:Heights`."""
    path = tmp_path / "heights.py"
    path.write_text(MEASURE)
    return path


@pytest.fixture
def measured_study(measure_file: Path) -> dict[str, Any]:
    """Two arms, the second 1.5 higher, at three seeds."""
    return {
        "name": "heights",
        "question": "Which is higher?",
        "measurements": [
            {
                "measure": f"{measure_file}:Heights",
                "args": {"noise": 0.5},
                "arms": [{"arm": "low"}, {"arm": "high", "args": {"plus": 1.5}}],
                "seeds": [0, 1, 2],
            }
        ],
        "claims": [
            {
                "statement": "high is at least half a metre higher",
                "quantity": "height",
                "of": {"arm": "high"},
                "versus": {"plus": 0.0},
                "margin": 0.5,
            }
        ],
    }
