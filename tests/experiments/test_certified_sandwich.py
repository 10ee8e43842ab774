"""No attack goes below a certified bound: on provably trained networks, PGD breaks no image that CROWN proves safe."""

import pytest
import torch

from advgen.attacks.image.pgd import PGD
from advgen.core.budgets import Linf
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import DataSpec
from advgen.experiments.data._load import load
from advgen.metrics.certified import certified
from advgen.zoo.load import as_target

COUNT = 16
NETWORKS = [
    ("mnist_small_certified_eps01", "mnist", 0.1),
    ("fashion_small_certified_eps01", "fashion-mnist", 0.1),
    ("cifar10_small_certified_2px", "cifar10", 2 / 255),
    ("cifar10_small_certified_8px", "cifar10", 8 / 255),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "data", "radius"), NETWORKS)
def test_no_attack_goes_below_the_certified_bound(name, data, radius, shared_data, monkeypatch):
    monkeypatch.setenv("ADVGEN_DATA", str(shared_data))
    sample = load(DataSpec(data, "test", COUNT))
    target = as_target(name)
    safe = certified(list(target.network), sample.images, sample.labels, radius, mean=target.mean, std=target.std)
    assert bool(safe.any()), "nothing is certified: the sandwich has no bread"
    broken = torch.zeros(COUNT, dtype=torch.bool)
    for objective in ("margin", "cross_entropy"):
        goal = make_goal("untargeted", sample.labels, decision="argmax", classes=10, objective=objective)
        rng = SampleRng.for_samples(0, "attack", sample.ids)
        budget = Linf(radius)
        found = PGD(budget, steps=40, restarts=2).run(target, sample.images, goal, rng=rng, meter=Meter()).images
        saved = budget.to_uint8(found, sample.images_u8).to(torch.float32) / 255
        for images in (found, saved):
            with torch.no_grad():
                broken |= target(images).logits.argmax(1) != sample.labels
    assert not bool((broken & safe).any())
