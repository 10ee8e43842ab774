"""A prepared copy of a network answers as the raw one does, and the raw one has the verdict."""

import shutil

import pytest
import torch
from torch import nn

from advgen.attacks.engine import prepare
from advgen.attacks.engine._prepared import folded
from advgen.attacks.image.apgd import APGD
from advgen.contracts import toys
from advgen.core.budgets import Linf
from advgen.core.errors import BadArgument
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget

SHAPE = (3, 8, 8)
IMAGES = torch.rand((6, *SHAPE), generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)) + x)


class Unclear(nn.Module):
    """Control flow that hangs on values."""

    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def network(*more):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), Block(), *more, nn.Flatten(), nn.Linear(512, 4)
        )
        net.train()(torch.rand(64, *SHAPE))  # running statistics of its own
    return net.train()


def target(*more):
    return ModuleTarget(network(*more), tuple("abcd"), SHAPE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2))


def test_batch_norm_is_folded_away_and_nothing_else_changes():
    raw = network()
    fold = folded(raw)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fold.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in raw.modules())
    torch.testing.assert_close(fold(IMAGES), raw.eval()(IMAGES), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_traced_is_used_as_it_is_and_said():
    raw = network(Unclear())
    with pytest.warns(UserWarning, match="Sequential cannot be traced"):
        fold = folded(raw)
    torch.testing.assert_close(fold(IMAGES), raw.eval()(IMAGES))


def test_logits_of_a_bfloat16_search_are_finer_than_bfloat16():
    """Eight bits of a logit would hide what small steps gain."""
    logits = prepare(target(), "bfloat16")(IMAGES).logits
    assert not torch.equal(logits, logits.to(torch.bfloat16).float())


needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")


@pytest.mark.parametrize(
    ("fast", "atol"),
    [
        ("float32", 1e-5),
        ("bfloat16", 0.1),
        pytest.param("compiled", 1e-5, marks=[needs_compiler, pytest.mark.slow]),
        pytest.param("compiled-bfloat16", 0.1, marks=[needs_compiler, pytest.mark.slow]),
    ],
)
def test_logits_are_those_of_the_raw_network_in_float32(fast, atol):
    raw = target()
    before = {k: v.clone() for k, v in raw.network.state_dict().items()}
    quick = prepare(raw, fast)
    logits = quick(IMAGES).logits
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, raw(IMAGES).logits, rtol=1e-3, atol=atol)
    assert all(torch.equal(before[k], v) for k, v in raw.network.state_dict().items())
    assert all(p.requires_grad for p in raw.network.parameters())
    assert raw.network.training


@needs_compiler
@pytest.mark.slow
def test_a_compiled_copy_serves_any_batch_until_the_weights_change():
    raw = target()
    quick = prepare(raw, "compiled")
    assert prepare(raw, "compiled").network is quick.network
    for count in (6, 3, 1):
        torch.testing.assert_close(quick(IMAGES[:count]).logits, raw(IMAGES[:count]).logits, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        raw.network[0].weight.mul_(2.0)
    torch.testing.assert_close(prepare(raw, "compiled")(IMAGES).logits, raw(IMAGES).logits, rtol=1e-3, atol=1e-5)


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadArgument, match=r"compiling the target for a CPU needs a C\+\+ compiler"):
        prepare(target(), "compiled")


def test_a_target_that_is_no_plain_network_stays_itself():
    for other in (toys.linear(), toys.stochastic()):
        assert prepare(other, "bfloat16") is other
    assert prepare(raw := target(), "no") is raw


@pytest.mark.parametrize("stop", ["never", "success"])
def test_what_a_fast_search_calls_won_is_won_on_the_raw_network(stop):
    raw = target()
    labels = raw(IMAGES).logits.argmax(1)
    goal = make_goal("untargeted", labels, decision="argmax", classes=4)
    rng = SampleRng.for_samples(0, "attack", [str(i) for i in range(6)])
    originals = (IMAGES * 255).round() / 255
    attack = APGD(Linf(60 / 255), steps=20, fast="bfloat16", stop=stop)
    images = attack.run(raw, originals, goal, rng=rng, meter=Meter()).images
    plain_rng = SampleRng.for_samples(0, "attack", [str(i) for i in range(6)])
    plain = APGD(Linf(60 / 255), steps=20, stop=stop).run(raw, originals, goal, rng=plain_rng, meter=Meter()).images
    assert images.dtype == torch.float32
    assert int(goal.reached(raw(images)).sum()) >= int(goal.reached(raw(plain)).sum()) - 1
