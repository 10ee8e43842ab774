"""DeepFool against closed forms and against foolbox."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from advgen.attacks.minimum.deepfool import DeepFool
from advgen.core.budgets import L2, Linf
from advgen.core.errors import BadArgument
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget

SHAPE = (1, 8, 8)


class Linear(nn.Module):
    """Per-row sums, so that a row is the same to the last bit in any batch."""

    def __init__(self, weights: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weights, self.bias = weights, bias

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1)[:, None, :] * self.weights[None]).sum(2) + self.bias


def linear_target(classes: int, *, decision: str = "argmax") -> ModuleTarget:
    weights = torch.randn(classes, 64, generator=torch.Generator().manual_seed(0))
    names = tuple(map(str, range(classes)))
    return ModuleTarget(Linear(weights, -weights.sum(1) / 2), names, SHAPE, decision=decision)


def grey_images(n: int) -> Tensor:
    return torch.randint(100, 156, (n, *SHAPE), generator=torch.Generator().manual_seed(1)) / 255


def attacked(attack: DeepFool, target: ModuleTarget, images: Tensor, *, goal_name: str = "untargeted", first: int = 0):
    logits = target(images).logits
    labels = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    goal = make_goal(goal_name, labels, labels * 0, decision=target.decision, classes=logits.shape[1])
    rng = SampleRng.for_samples(0, "attack", [str(first + i) for i in range(len(images))])
    meter = Meter()
    return attack.run(target, images, goal, rng=rng, meter=meter), goal, meter


def closed_form(target: ModuleTarget, images: Tensor, labels: Tensor, *, dual: int) -> Tensor:
    """(N,) |margin| / ||slope|| to the nearest boundary."""
    weights, logits = target.network.weights, target(images).logits
    if target.decision == "sign":
        own = labels if logits.shape[1] > 1 else labels * 0
        return logits.gather(1, own[:, None])[:, 0].abs() / weights[own].norm(p=dual, dim=1)
    margins = logits.gather(1, labels[:, None]) - logits
    slopes = (weights[labels][:, None] - weights[None]).norm(p=dual, dim=2)
    return (margins / slopes).scatter(1, labels[:, None], torch.inf).amin(1)


def lengths(images: Tensor, originals: Tensor, norm: str) -> Tensor:
    return (images - originals).flatten(1).norm(p=2 if norm == "L2" else torch.inf, dim=1)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
@pytest.mark.parametrize(("classes", "decision"), [(1, "sign"), (2, "argmax"), (4, "argmax")])
def test_the_distance_on_a_linear_target_is_margin_over_slope(norm: str, classes: int, decision: str) -> None:
    target, images = linear_target(classes, decision=decision), grey_images(32)
    result, goal, _ = attacked(DeepFool(norm=norm, rounded=False), target, images)
    assert bool(goal.reached(target(result.images)).all())
    wanted = closed_form(target, images, goal.labels, dual=2 if norm == "L2" else 1) * 1.02
    # Each step goes 1e-5 further than the boundary; a linear target needs one.
    torch.testing.assert_close(lengths(result.images, images, norm), wanted, rtol=1e-3, atol=3e-5)


def test_the_label_alone_counts_where_every_class_decides_by_sign() -> None:
    target, images = linear_target(4, decision="sign"), grey_images(32)
    labels = target(images).logits.argmax(1)
    goal = make_goal("untargeted", labels, decision="sign", classes=4)
    rng = SampleRng.for_samples(0, "attack", [str(i) for i in range(32)])
    result = DeepFool(rounded=False).run(target, images, goal, rng=rng, meter=Meter())
    accepted = target(images).logits.gather(1, labels[:, None])[:, 0] > 0
    wanted = closed_form(target, images, labels, dual=2) * 1.02 * accepted
    torch.testing.assert_close(lengths(result.images, images, "L2"), wanted, rtol=1e-3, atol=3e-5)


def test_the_budget_names_the_norm() -> None:
    target, images = linear_target(3), grey_images(4)
    by_norm, _, _ = attacked(DeepFool(norm="Linf"), target, images)
    by_budget, _, _ = attacked(DeepFool(budget=Linf(8 / 255)), target, images)
    other, _, _ = attacked(DeepFool(budget=L2(0.5)), target, images)
    assert torch.equal(by_norm.images, by_budget.images)
    assert not torch.equal(by_norm.images, other.images)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_rounded_images_fool_and_the_overshoot_is_no_larger_than_rounding_asks(norm: str) -> None:
    target, images = linear_target(4), grey_images(32)
    result, goal, meter = attacked(DeepFool(norm=norm), target, images)
    plain, _, plain_meter = attacked(DeepFool(norm=norm, rounded=False), target, images)
    rounded = (plain.images * 255).round() / 255
    assert not bool(goal.reached(target(rounded)).all())  # else there is nothing to mend here
    assert bool(goal.reached(target((result.images * 255).round() / 255)).all())
    grid = 0.5 / 255 * (8 if norm == "L2" else 1)  # half a grey level in each of 64 pixels
    assert bool((lengths(result.images, images, norm) <= lengths(plain.images, images, norm) * 1.1 + 2 * grid).all())
    assert meter.backwards == plain_meter.backwards
    assert meter.forwards - plain_meter.forwards < 17 * len(images)  # those that fool leave the search


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_black_and_white_pixels_do_not_keep_it_from_the_boundary(norm: str) -> None:
    target = linear_target(2)
    images = (torch.rand(16, *SHAPE, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    result, goal, _ = attacked(DeepFool(norm=norm), target, images)
    assert bool(goal.reached(target(result.images)).all())


def test_a_sample_does_not_depend_on_its_batch() -> None:
    target, images = linear_target(5), grey_images(9)
    together, _, _ = attacked(DeepFool(), target, images)
    for i in range(len(images)):
        alone, _, _ = attacked(DeepFool(), target, images[i : i + 1], first=i)
        assert torch.equal(alone.images[0], together.images[i])


def test_a_detector_is_passed_as_real() -> None:
    target, images = linear_target(1, decision="sign"), grey_images(16)
    result, _, _ = attacked(DeepFool(), target, images, goal_name="pass-as-real")
    assert bool((target(result.images).logits[:, 0] <= 0).all())


def test_a_wanted_class_is_refused_in_a_sentence() -> None:
    with pytest.raises(BadArgument, match=r"cannot choose a class, and the goal is 'targeted'; use minimum/cw\."):
        attacked(DeepFool(), linear_target(3), grey_images(2), goal_name="targeted")


def test_only_its_two_norms_are_taken() -> None:
    with pytest.raises(BadArgument, match="norm of minimum/deepfool must be"):
        DeepFool(norm="L1")


def test_no_images_give_no_images() -> None:
    result, _, _ = attacked(DeepFool(), linear_target(3), grey_images(0))
    assert result.images.shape == (0, *SHAPE)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_distances_agree_with_foolbox_on_a_trained_network(norm: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        foolbox = pytest.importorskip("foolbox", reason="the reference is foolbox's DeepFool")
    network, images, labels = trained_on_digits()
    target = ModuleTarget(network, tuple(map(str, range(10))), SHAPE)
    goal = make_goal("untargeted", labels, decision="argmax", classes=10)
    rng = SampleRng.for_samples(0, "attack", [str(i) for i in range(len(images))])
    ours = DeepFool(norm=norm, rounded=False).run(target, images, goal, rng=rng, meter=Meter()).images

    theirs_module = foolbox.PyTorchModel(network.eval(), bounds=(0, 1), device="cpu")
    theirs_attack = getattr(foolbox.attacks, f"{norm}DeepFoolAttack")(loss="logits")
    _, theirs, theirs_fool = theirs_attack(theirs_module, images, labels, epsilons=None)
    fool = goal.reached(target(ours)) & theirs_fool
    assert float(fool.float().mean()) > 0.98
    ratio = lengths(ours[fool], images[fool], norm) / lengths(theirs[fool], images[fool], norm)
    # The same algorithm; ours adds 1e-5 to a step, which changes where a few samples end.
    assert 0.99 < float(ratio.median()) < 1.01
    assert 0.98 < float(ratio.mean()) < 1.02


def trained_on_digits() -> tuple[nn.Module, Tensor, Tensor]:
    """A network trained for a second or two, with test images that it gets right."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (torch.tensor(digits.images, dtype=torch.float32)[:, None] * (255 / 16)).round() / 255
    labels = torch.tensor(digits.target)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(512, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(200):
        batch = torch.arange(64) + step * 64 % 1280
        loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.requires_grad_(False)
    images, labels = images[1400:1600], labels[1400:1600]
    right = network(images).argmax(1) == labels
    return network, images[right], labels[right]
