"""The loop: Adam, the best kept, rows apart, interrupted and resumed."""

import math

import pytest
import torch

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile
from advgen.core.meter import Meter
from advgen.inversion.descent import Keep, Trace, descend
from advgen.inversion.likeness import Terms

WANTED = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


class Stopped(Exception):
    """Stands for a process that is killed."""


def bowl(variables, step):
    off = (variables["x"] - WANTED) * torch.tensor([1.0, 3.0, 10.0])
    loss = off.square().sum(1)
    return Terms(loss, loss.detach() * 2, loss.detach() * 3)


def run(steps=40, *, evaluate=bowl, rate=0.1, **more):
    more.setdefault("meter", Meter())
    return descend({"x": torch.zeros(2, 3)}, evaluate, lambda step: {"x": rate}, steps=steps, **more)


def test_the_steps_are_those_of_adam():
    x = torch.zeros(2, 3, requires_grad=True)
    adam = torch.optim.Adam([x], lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(40):
        adam.zero_grad()
        bowl({"x": x}, 0).loss.sum().backward()
        adam.step()
    found = run(counts=lambda step: step == 40)
    torch.testing.assert_close(found.variables["x"], x.detach(), rtol=1e-6, atol=1e-6)


def test_the_best_is_kept_of_a_search_that_runs_away():
    seen = []

    def watched(variables, step):
        terms = bowl(variables, step)
        seen.append(terms.loss.detach())
        return terms

    found = run(rate=5.0, evaluate=watched)
    assert torch.equal(found.loss, torch.stack(seen).amin(0))
    assert torch.equal(bowl(found.variables, 0).loss, found.loss)
    assert (found.loss < seen[-1]).any()


def test_only_steps_that_count_are_results():
    found = run(counts=lambda step: step == 3)
    assert torch.equal(found.variables["x"], run(3, counts=lambda step: step == 3).variables["x"])


def test_rows_do_not_know_of_each_other():
    def broken(variables, step):
        terms = bowl(variables, step)
        return terms._replace(loss=terms.loss * torch.tensor([1.0, math.nan if step > 5 else 1.0]))

    found = run(evaluate=broken)
    assert torch.equal(found.variables["x"][0], run().variables["x"][0])
    assert torch.equal(found.variables["x"][1], run(5).variables["x"][1])


def test_a_row_without_any_finite_loss_is_refused():
    def broken(variables, step):
        return Terms(bowl(variables, step).loss * math.nan, torch.zeros(2), torch.zeros(2))

    with pytest.raises(BadArgument, match=r"no finite image for sample\(s\) \[0, 1\]"):
        run(evaluate=broken)


def test_variables_that_rest_do_not_move():
    start = {"x": torch.zeros(2, 3), "y": torch.ones(2, 3)}
    found = descend(
        start,
        lambda v, k: bowl({"x": v["x"] * v["y"]}, k),
        lambda step: {"y" if step % 2 else "x": 0.1},
        steps=1,
        meter=Meter(),
    )
    assert torch.equal(found.variables["y"], start["y"])
    assert not torch.equal(found.variables["x"], start["x"])


@pytest.mark.parametrize("killed_at", [1, 7, 10, 23, 39])
def test_killed_and_resumed_is_bit_for_bit_the_same(tmp_path, killed_at):
    def killed(variables, step):
        if step == killed_at:
            raise Stopped
        return bowl(variables, step)

    keep, whole_trace, whole_meter = Keep(tmp_path / "state.safetensors", every=5), Trace(), Meter()
    whole = run(trace=whole_trace, meter=whole_meter)
    with pytest.raises(Stopped):
        run(evaluate=killed, keep=keep, trace=Trace())
    trace, meter = Trace(), Meter()
    resumed = run(keep=keep, trace=trace, meter=meter)
    assert torch.equal(resumed.variables["x"], whole.variables["x"])
    assert torch.equal(resumed.loss, whole.loss)
    assert trace.steps == whole_trace.steps
    assert torch.equal(torch.stack(trace.loss), torch.stack(whole_trace.loss))
    assert sorted(trace.seconds) == trace.seconds
    assert (meter.generator_calls, meter.backwards) == (whole_meter.generator_calls, whole_meter.backwards)


def test_a_finished_work_is_not_done_again(tmp_path):
    keep = Keep(tmp_path / "state.safetensors", every=5)
    whole = run(keep=keep)

    def only_the_end(variables, step):
        assert step == 40
        return bowl(variables, step)

    assert torch.equal(run(evaluate=only_the_end, keep=keep).variables["x"], whole.variables["x"])


def test_a_state_can_be_passed_over(tmp_path):
    keep = Keep(tmp_path / "state.safetensors", every=5)
    run(7, keep=keep, rate=1.0)
    again = run(keep=keep._replace(resume=False))
    assert torch.equal(again.variables["x"], run().variables["x"])


def test_the_state_of_another_work_is_refused_by_what_differs(tmp_path):
    keep = Keep(tmp_path / "state.safetensors", every=5)
    run(keep=keep, identity={"images": "a", "settings": "b"})
    with pytest.raises(BadFile, match="its images differ; remove it, or begin anew"):
        run(keep=keep, identity={"images": "other", "settings": "b"})


def test_a_state_of_something_else_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    checkpoints.save_state(path, {"epoch": 3})
    with pytest.raises(BadFile, match="the state of something else"):
        run(keep=Keep(path))


def test_the_end_is_the_best_of_stopping_early():
    found = run(stop=lambda terms: bool((terms.loss < 5).all()))
    assert (found.loss < 5).all()
    assert (found.loss > run().loss).all()


def test_the_trace_tells_the_best_known_at_a_time():
    trace = Trace()
    for second, loss in ((1.0, 3.0), (2.0, 1.0), (3.0, 2.0)):
        trace.add(len(trace.steps), second, Terms(*(torch.tensor([loss * k, -loss]) for k in (1, 2, 3))))
    assert trace.at(0.5) is None
    assert trace.at(1.5).perceptual.tolist() == [6.0, -3.0]
    assert trace.at(9.0).loss.tolist() == [1.0, -3.0]
    assert trace.at(9.0).mse.tolist() == [3.0, -3.0]
