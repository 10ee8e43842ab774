"""The shared training loop: interrupted or not it ends in the same bits, and validation alone chooses."""

import os
import signal

import pytest
import torch
from torch import nn

from advgen.core.checkpoints import load_state
from advgen.core.errors import BadArgument, BadFile
from advgen.core.meter import Meter
from advgen.experiments.recipes._train import Plan, fit

ROWS, BATCH, EPOCHS = 40, 8, 3
STEPS = EPOCHS * ROWS // BATCH  # 15, five an epoch


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))


def data():
    x = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(1))
    return x, x.sum(1, keepdim=True)


class Training:
    """A training with random draws in its loss, in which something happens at some of its steps."""

    def __init__(self, folder, happens=(), do=None, *, score=None, epochs=EPOCHS, learning_rate=1e-2):
        self.file, self.happens, self.do, self.calls = folder / "state.safetensors", happens, do, 0
        self.plan = Plan(self.loss, score or self.score, epochs, BATCH, learning_rate)

    def loss(self, net, batch):
        self.calls += 1
        if self.calls in self.happens:
            self.do()
        x, y = batch
        return (net(x + 0.1 * torch.randn(x.shape)) - y).square().mean()

    def score(self, net):
        x, y = data()
        return -float((net(x) - y).square().mean())

    def run(self, *, resume, limit=None, seed=0, identity=None):
        self.net = network()
        return fit(
            self.net, data(), self.plan, name="toy", state=self.file, identity=identity or {"toy": 1}, seed=seed,
            device="cpu", resume=resume, limit=limit, meter=Meter(),
        )  # fmt: skip


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def crash():
    raise RuntimeError("the machine goes down")


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    fitted = Training(tmp_path_factory.mktemp("undisturbed")).run(resume=False)
    assert fitted.steps == STEPS
    return fitted


@pytest.mark.parametrize("stop", [interrupt, terminate])
@pytest.mark.parametrize("step", [1, 3, 5, 6, 10, 14])
def test_a_training_interrupted_at_any_step_and_resumed_ends_in_the_same_bits(tmp_path, undisturbed, step, stop):
    first = Training(tmp_path, (step,), stop)
    with pytest.raises(KeyboardInterrupt):
        first.run(resume=False)
    assert load_state(first.file)["step"] == step  # the step that had begun was finished
    second = Training(tmp_path)
    resumed = second.run(resume=True)
    assert second.calls == STEPS - step
    assert same(resumed.network.state_dict(), undisturbed.network.state_dict())
    assert (resumed.score, resumed.epoch, resumed.steps) == (undisturbed.score, undisturbed.epoch, undisturbed.steps)


def test_interrupted_again_and_again_it_still_ends_in_the_same_bits(tmp_path, undisturbed):
    for _ in range(STEPS - 1):
        with pytest.raises(KeyboardInterrupt):
            Training(tmp_path, (1,), interrupt).run(resume=True)
    assert same(Training(tmp_path).run(resume=True).network.state_dict(), undisturbed.network.state_dict())


@pytest.mark.parametrize("step", [2, 6, 13])
def test_after_a_crash_it_goes_on_from_the_last_epoch_to_the_same_bits(tmp_path, undisturbed, step):
    with pytest.raises(RuntimeError, match="goes down"):
        Training(tmp_path, (step,), crash).run(resume=False)
    second = Training(tmp_path)
    resumed = second.run(resume=True)
    assert second.calls == STEPS - (step - 1) // 5 * 5
    assert same(resumed.network.state_dict(), undisturbed.network.state_dict())


def test_a_killed_process_leaves_a_state_that_resumes_to_the_same_bits(tmp_path, undisturbed):
    child = os.fork()
    if child == 0:
        Training(tmp_path, (8,), lambda: os.kill(os.getpid(), signal.SIGKILL)).run(resume=False)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert same(Training(tmp_path).run(resume=True).network.state_dict(), undisturbed.network.state_dict())


def test_the_callers_random_numbers_and_handlers_are_neither_used_nor_changed(tmp_path, undisturbed):
    torch.manual_seed(123)
    before, handler = torch.get_rng_state(), signal.getsignal(signal.SIGINT)
    fitted = Training(tmp_path).run(resume=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert signal.getsignal(signal.SIGINT) is handler
    assert same(fitted.network.state_dict(), undisturbed.network.state_dict())


def test_another_seed_gives_another_network(tmp_path, undisturbed):
    fitted = Training(tmp_path).run(resume=False, seed=1)
    assert not same(fitted.network.state_dict(), undisturbed.network.state_dict())


def test_the_state_of_another_training_is_not_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Training(tmp_path, (3,), interrupt).run(resume=False)
    with pytest.raises(BadFile, match=r"another training \(other toy\)"):
        Training(tmp_path).run(resume=True, identity={"toy": 2})
    assert Training(tmp_path).run(resume=False, identity={"toy": 2}).steps == STEPS


@pytest.mark.parametrize(("scores", "chosen"), [((1, 3, 2), 2), ((3, 2, 1), 1), ((1, 1, 1), 1), ((1, 2, 3), 3)])
def test_the_epoch_with_the_best_score_is_kept_and_the_earliest_of_equals(tmp_path, scores, chosen):
    seen, told = [], iter(scores)

    def score(net):
        seen.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        return float(next(told))

    fitted = Training(tmp_path, score=score).run(resume=False)
    assert (fitted.epoch, fitted.score) == (chosen, max(scores))
    assert same(fitted.network.state_dict(), seen[chosen - 1])


def test_a_loss_that_is_no_number_ends_the_training_in_one_sentence(tmp_path):
    training = Training(tmp_path, learning_rate=1e30)
    with pytest.raises(BadArgument, match=r"training toy failed: the loss became .* lower the learning rate") as told:
        training.run(resume=False)
    assert "\n" not in str(told.value)


def test_a_limit_makes_a_short_training_that_is_still_validated(tmp_path):
    training = Training(tmp_path)
    fitted = training.run(resume=False, limit=7)
    assert (training.calls, fitted.steps) == (7, 7)
    assert fitted.cost["samples_seen"] == 7 * BATCH


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_step_is_refused(tmp_path, limit):
    with pytest.raises(BadArgument, match="limit must be at least 1"):
        Training(tmp_path).run(resume=False, limit=limit)


def test_progress_goes_to_stderr_alone(tmp_path, capsys):
    Training(tmp_path).run(resume=False)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("toy: epoch ") == EPOCHS
