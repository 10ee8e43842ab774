"""PGD on published weights: the robust accuracies that stand beside them, first 256 test images of Fashion-MNIST."""

import gzip
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from advgen.attacks.image.pgd import PGD
from advgen.core.budgets import Linf
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget

N = 256


class Real(NamedTuple):
    target: ModuleTarget
    images_u8: Tensor
    labels: Tensor
    ids: tuple[str, ...]


@pytest.fixture(scope="module")
def real(shared_data):
    folder = shared_data / "images" / "fashion-mnist"

    def read(name, header):
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=header).copy()

    images = torch.from_numpy(read("t10k-images-idx3-ubyte.gz", 16)).reshape(-1, 1, 28, 28)[:N]
    labels = torch.from_numpy(read("t10k-labels-idx1-ubyte.gz", 8))[:N].long()
    # The published network, written out here: the test does not lean on the platform's own copy of it.
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    network.load_state_dict(load_file(shared_data / "weights" / "fashion_small_standard.safetensors"))
    target = ModuleTarget(network, tuple("0123456789"), (1, 28, 28), mean=(0.2860,), std=(0.3530,))
    return Real(target, images, labels, tuple(f"fashion-mnist/test/{i}" for i in range(N)))


def robust(real, radius, *, objective="cross_entropy", seed=0, **args):
    """How many of the images are still classified right: in float, and on the saved bytes."""
    goal = make_goal("untargeted", real.labels, decision="argmax", classes=10, objective=objective)
    budget = Linf(radius)
    rng = SampleRng.for_samples(seed, "attack", real.ids)
    found = PGD(budget, **args).run(real.target, real.images_u8 / 255.0, goal, rng=rng, meter=Meter())
    saved = budget.to_uint8(found.images, real.images_u8)
    with torch.no_grad():
        return tuple(
            int((real.target(x).logits.argmax(1) == real.labels).sum()) for x in (found.images, saved.float() / 255)
        )


@pytest.mark.parametrize(
    ("radius", "in_float", "on_bytes"),
    [pytest.param(0.01, 74.2, 78.1, id="0.01"), pytest.param(0.05, 7.4, 8.6, id="0.05")],
)
def test_cross_entropy_gives_the_published_robust_accuracy(real, radius, in_float, on_bytes):
    """Within 2 images of 256 in float. 0.01 is 2.55 grey levels and 0.05 is 12.75: saved bytes keep to 2 and 12."""
    floats, saved = robust(real, radius)
    assert abs(floats - in_float / 100 * N) <= 2
    assert abs(saved - on_bytes / 100 * N) <= 3


def test_the_margin_is_within_a_few_images_of_cross_entropy(real):
    floats, saved = robust(real, 0.01, objective="margin")
    assert abs(floats - 0.742 * N) <= 4
    assert saved >= floats


def test_at_whole_grey_levels_bytes_lose_next_to_nothing(real):
    floats, saved = robust(real, 2 / 255)
    assert 0 <= saved - floats <= 3


def test_leaving_on_success_changes_the_rate_on_bytes_by_next_to_nothing(real):
    """What leaves fools on its bytes, so a rate on bytes can only be as low or lower than with best in float."""
    _, stayed = robust(real, 4 / 255, objective="margin")
    _, left = robust(real, 4 / 255, objective="margin", stop="success")
    assert abs(left - stayed) <= 3
    assert left <= stayed + 1
