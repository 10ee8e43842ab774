"""No attack breaks an image that is proved safe, and no smallest change is smaller than what is proved."""

import pytest
import torch

from advgen.attacks.blackbox.square import Square
from advgen.attacks.ensemble.autoattack import AutoAttack
from advgen.attacks.image.apgd import APGD
from advgen.attacks.image.mim import MIM
from advgen.attacks.minimum.cw_linf import CWLinf
from advgen.attacks.minimum.fab import FAB
from advgen.attacks.minimum.fmn import FMN
from advgen.core.budgets import Linf
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import DataSpec
from advgen.experiments.data._load import load
from advgen.metrics.certified import certified
from advgen.zoo.load import as_target

COUNT = 8
NETWORKS = [
    ("fashion_small_certified_eps01", "fashion-mnist", 25 / 255),
    ("cifar10_small_certified_2px", "cifar10", 2 / 255),
]
FIXED = {
    "apgd": lambda b: APGD(b, 20),
    "mim": lambda b: MIM(b),
    "square": lambda b: Square(b, 60),
    "autoattack": lambda b: AutoAttack(b, steps=10, queries=30, candidates=3),
}
MINIMUM = {
    "fab": FAB(norm="Linf", steps=10),
    "fmn": FMN(norm="Linf", steps=40),
    "cw_linf": CWLinf(steps=20, initial_c=0.1),
}


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda p: p[0])
def proved(request, shared_data):
    name, data, radius = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVGEN_DATA", str(shared_data))
        sample, target = load(DataSpec(data, "test", COUNT)), as_target(name)
    safe = certified(list(target.network), sample.images, sample.labels, radius, mean=target.mean, std=target.std)
    assert bool(safe.any()), "nothing is certified"
    return target, sample, radius, safe


def attacked(attack, target, sample):
    goal = make_goal("untargeted", sample.labels, decision="argmax", classes=10)
    rng = SampleRng.for_samples(0, "attack", sample.ids)
    images = attack.run(target, sample.images, goal, rng=rng, meter=Meter()).images
    with torch.no_grad():
        return images, goal.reached(target(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED)
def test_no_attack_breaks_what_is_proved(proved, name):
    target, sample, radius, safe = proved
    _, broken = attacked(FIXED[name](Linf(radius)), target, sample)
    assert not (broken & safe).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", MINIMUM)
def test_no_smallest_change_is_smaller_than_what_is_proved(proved, name):
    target, sample, radius, safe = proved
    images, broken = attacked(MINIMUM[name], target, sample)
    distance = Linf(1.0).distance(images, sample.images)
    assert (distance[broken & safe] > radius).all()
