"""Other libraries as attacks of ours, and our attacks against theirs."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advgen.attacks.image.pgd import PGD
from advgen.attacks.minimum.cw import CW
from advgen.attacks.peers.art import ART
from advgen.attacks.peers.torchattacks import TorchAttacks
from advgen.core.budgets import L2, Linf
from advgen.core.errors import BadArgument, UnknownName
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget
from advgen.core.types import Attack, Goal

SHAPE = (1, 8, 8)
PEERS = [
    TorchAttacks(Linf(0.1), "PGD", "steps=5"),
    TorchAttacks(L2(0.5), "PGD", "steps=5"),
    TorchAttacks(Linf(0.1), "Square", "n_queries=20"),
    TorchAttacks(None, "CW", "steps=20, c=10"),
    ART(Linf(0.1), "PGD", "max_iter=5, num_random_init=1"),
    ART(L2(0.5), "APGD", "max_iter=5"),
    ART(None, "CW", "max_iter=3"),
    ART(None, "HopSkipJump", "max_iter=1, max_eval=20, init_eval=10"),
]
NAMES = [f"{type(p).__name__}-{p.method}-{p.budget.name if p.budget else 'minimum'}" for p in PEERS]


@dataclass
class Digits:
    target: ModuleTarget
    images: Tensor
    labels: Tensor

    def goal(self, name: str = "untargeted", objective: str = "margin") -> Goal:
        wanted = (self.labels + 1) % 10
        return make_goal(name, self.labels, wanted, decision="argmax", classes=10, objective=objective)

    def attacked(self, attack: Attack, goal: Goal | None = None, meter: Meter | None = None) -> Tensor:
        rng = SampleRng.for_samples(0, "attack", [str(i) for i in range(len(self.images))])
        return attack.run(self.target, self.images, goal or self.goal(), rng=rng, meter=meter or Meter()).images

    def won(self, images: Tensor, goal: Goal | None = None) -> Tensor:
        return (goal or self.goal()).reached(self.target(images))

    def lengths(self, images: Tensor) -> Tensor:
        return (images - self.images).flatten(1).norm(dim=1)


@pytest.fixture(scope="module")
def digits() -> Digits:
    """A network trained for about a second, with images that it gets right."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (torch.tensor(data.images, dtype=torch.float32)[:, None] * (255 / 16)).round() / 255
    labels = torch.tensor(data.target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(300):
        batch = torch.arange(64) + step * 64 % 1280
        loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    optimiser.zero_grad()
    network.train()
    images, labels = images[1400:1600], labels[1400:1600]
    right = network(images).argmax(1) == labels
    return Digits(ModuleTarget(network, tuple(map(str, range(10))), SHAPE), images[right][:64], labels[right][:64])


def few(digits: Digits, n: int = 4) -> Digits:
    return Digits(digits.target, digits.images[:n], digits.labels[:n])


@pytest.mark.parametrize("attack", PEERS, ids=NAMES)
def test_a_peer_gives_images_counts_its_calls_and_leaves_everything_as_it_was(attack: Attack, digits: Digits) -> None:
    some = few(digits)
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    originals, meter = some.images.clone(), Meter()
    images = some.attacked(attack, meter=meter)
    again = some.attacked(attack)
    assert images.shape == originals.shape
    assert images.dtype == torch.float32
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert torch.equal(images, again)
    assert meter.forwards > 0
    assert torch.equal(some.images, originals)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()
    assert some.target.network.training
    assert all(p.requires_grad and p.grad is None for p in some.target.network.parameters())


def test_the_meter_holds_the_true_number_of_calls(digits: Digits) -> None:
    meter = Meter()
    few(digits).attacked(TorchAttacks(Linf(0.1), "PGD", "steps=7"), meter=meter)
    assert (meter.forwards, meter.backwards) == (28, 28)


@pytest.mark.parametrize(
    "attack",
    [TorchAttacks(L2(3.0), "PGD", "steps=30"), ART(L2(3.0), "PGD", "max_iter=30")],
    ids=["torchattacks", "art"],
)
def test_a_wanted_class_is_passed_on(attack: Attack, digits: Digits) -> None:
    some = few(digits, 8)
    goal = some.goal("targeted")
    assert float(some.won(some.attacked(attack, goal), goal).float().mean()) > 0.7


@pytest.mark.parametrize(
    "attack",
    [TorchAttacks(Linf(0.2), "PGD", "steps=40"), ART(Linf(0.2), "PGD")],
    ids=["torchattacks", "art"],
)
def test_a_detector_with_one_logit_is_passed_as_real(attack: Attack) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with torch.no_grad():
        network[1].weight.fill_(0.1)
        network[1].bias.fill_(-2.7)
    target = ModuleTarget(network, ("fake",), SHAPE, decision="sign")
    images = torch.full((3, *SHAPE), 0.5)
    goal = make_goal("pass-as-real", torch.ones(3, dtype=torch.int64), decision="sign", classes=1)
    rng = SampleRng.for_samples(0, "attack", ["a", "b", "c"])
    found = attack.run(target, images, goal, rng=rng, meter=Meter()).images
    assert bool(goal.reached(target(found)).all())


@pytest.mark.parametrize("radius", [0.05, 0.1, 0.15])
def test_pgd_breaks_what_torchattacks_pgd_breaks_from_the_same_start(radius: float, digits: Digits) -> None:
    steps, step = 20, radius / 8
    theirs = digits.attacked(TorchAttacks(Linf(radius), "PGD", f"steps={steps}, alpha={step}, random_start=False"))
    goal = digits.goal(objective="cross_entropy")
    ours = digits.attacked(PGD(Linf(radius), steps=steps, step_size=step, random_start=False), goal)
    won_theirs, won_ours = digits.won(theirs), digits.won(ours)
    assert int(won_theirs.sum()) > 0
    # The same iterates, up to float order; ours keeps the best of them, theirs the last.
    assert not bool((won_theirs & ~won_ours).any())
    assert int(won_ours.sum()) - int(won_theirs.sum()) <= 2


def test_cw_finds_smaller_changes_than_torchattacks_and_art(digits: Digits) -> None:
    some = few(digits, 16)
    ours = some.attacked(CW(steps=100, rounded=False))
    assert bool(some.won(ours).all())
    theirs = some.attacked(TorchAttacks(None, "CW", "steps=100, c=10"))
    arts = some.attacked(ART(None, "CW", "max_iter=5, binary_search_steps=7, initial_const=0.01"))
    for other in (theirs, arts):
        both = some.won(other)
        assert int(both.sum()) >= 8
        assert some.lengths(ours)[both].median() <= some.lengths(other)[both].median() * 1.001


def test_black_pixels_move_for_cw_and_not_for_torchattacks(digits: Digits) -> None:
    some = few(digits, 4)
    black = some.images == 0
    ours, theirs = some.attacked(CW(steps=40, searches=6)), some.attacked(TorchAttacks(None, "CW", "steps=40, c=10"))
    assert bool((ours[black] > 0).any())
    assert not bool((theirs[black] > 0).any())


def test_rounding_undoes_successes_of_art_and_none_of_cw(digits: Digits) -> None:
    some = few(digits, 16)
    to_bytes = lambda images: (images * 255).round() / 255
    theirs = some.attacked(ART(None, "DeepFool", "max_iter=50"))
    assert int(some.won(to_bytes(theirs)).sum()) < 16
    assert bool(some.won(to_bytes(some.attacked(CW(steps=40, step_size=0.03)))).all())


@pytest.mark.parametrize(
    ("attack", "error", "sentence"),
    [
        (TorchAttacks(Linf(0.1), "PDG"), UnknownName, "unknown method of torchattacks 'PDG': did you mean 'PGD'"),
        (ART(Linf(0.1), "PGDD"), UnknownName, "unknown method of ART 'PGDD': did you mean 'PGD'"),
        (TorchAttacks(Linf(0.1), "PGD", "step=3"), UnknownName, "torchattacks.PGD 'step': did you mean 'steps'"),
        (ART(Linf(0.1), "PGD", "steps=3"), UnknownName, "unknown option of art.ProjectedGradientDescent 'steps'"),
        (TorchAttacks(Linf(0.1), "PGD", "steps 3"), BadArgument, "must read like 'steps=10, alpha=2/255', got"),
        (TorchAttacks(Linf(0.1), "PGD", "eps=1"), BadArgument, "'eps' of torchattacks.PGD is not an option: the"),
        (TorchAttacks(Linf(0.1), "PGD", "alpha=f(2)"), BadArgument, "alpha of torchattacks.PGD must be a number"),
        (TorchAttacks(L2(0.1), "FGSM"), BadArgument, "torchattacks.FGSM moves in Linf, and the budget is in L2"),
        (ART(L2(0.1), "BIM"), BadArgument, "art.BasicIterativeMethod moves in Linf, and the budget is in L2"),
        (TorchAttacks(None, "PGD"), BadArgument, "searches inside a budget, and none was given"),
        (ART(Linf(0.1), "PGD", "max_iter=-1"), BadArgument, "art.ProjectedGradientDescent cannot attack this target"),
    ],
)  # fmt: skip
def test_faults_are_told_in_a_sentence(attack: Attack, error: type, sentence: str, digits: Digits) -> None:
    with pytest.raises(error) as caught:
        few(digits).attacked(attack)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_without_a_targeted_mode_says_so(digits: Digits) -> None:
    some = few(digits)
    for attack in (TorchAttacks(None, "DeepFool"), ART(None, "DeepFool")):
        with pytest.raises(BadArgument, match="has no targeted mode"):
            some.attacked(attack, some.goal("targeted"))


def test_autoattack_on_two_classes_names_what_it_needs() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    target = ModuleTarget(network, ("a", "b"), SHAPE)
    goal = make_goal("untargeted", torch.zeros(1, dtype=torch.int64), decision="argmax", classes=2)
    rng = SampleRng.for_samples(0, "attack", ["a"])
    with pytest.raises(BadArgument, match="needs 4 classes for its DLR loss, and this target has 2"):
        TorchAttacks(Linf(0.1), "AutoAttack").run(target, torch.zeros(1, *SHAPE), goal, rng=rng, meter=Meter())


def test_a_matcher_is_refused_because_peers_take_the_highest_logit() -> None:
    target = ModuleTarget(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), ("a", "b", "c"), SHAPE, decision="sign")
    goal = make_goal("evade-identity", torch.zeros(1, dtype=torch.int64), decision="sign", classes=3)
    rng = SampleRng.for_samples(0, "attack", ["a"])
    with pytest.raises(BadArgument, match="goes by the highest logit"):
        ART(Linf(0.1), "PGD").run(target, torch.zeros(1, *SHAPE), goal, rng=rng, meter=Meter())


@pytest.mark.parametrize("attack", [TorchAttacks(Linf(0.1), "PGD"), ART(Linf(0.1), "PGD")], ids=["torchattacks", "art"])
def test_the_targets_own_error_comes_through(attack: Attack) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise OSError("the disk is gone")

    target = ModuleTarget(Broken(), ("a", "b"), SHAPE)
    goal = make_goal("untargeted", torch.zeros(1, dtype=torch.int64), decision="argmax", classes=2)
    rng = SampleRng.for_samples(0, "attack", ["a"])
    with pytest.raises(OSError, match="the disk is gone"):
        attack.run(target, torch.zeros(1, *SHAPE), goal, rng=rng, meter=Meter())


def test_a_peer_never_hands_float64_to_the_network() -> None:
    class Strict(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert images.dtype == torch.float32
            return torch.stack([images.flatten(1).sum(1) - 32, 32 - images.flatten(1).sum(1)], 1)

    target = ModuleTarget(Strict(), ("a", "b"), SHAPE)
    images = torch.full((2, *SHAPE), 0.52)
    goal = make_goal("untargeted", torch.zeros(2, dtype=torch.int64), decision="argmax", classes=2)
    rng = SampleRng.for_samples(0, "attack", ["a", "b"])
    attack = ART(None, "HopSkipJump", "max_iter=1, max_eval=20, init_eval=10")
    assert attack.run(target, images, goal, rng=rng, meter=Meter()).images.dtype == torch.float32
