"""From another inverter's latents, some steps."""

import time

import pytest
import torch

from advgen.contracts.parts import LeastSquares
from advgen.core.meter import Meter
from advgen.inversion.descent import Keep, Trace
from advgen.inversion.hybrid import Hybrid
from advgen.inversion.image2stylegan import Image2StyleGAN


def test_it_begins_where_the_first_ended(toy, pictures, invert):
    """Least squares is the optimum already: no step can leave it, since the start counts as a result."""
    hybrid = Hybrid(LeastSquares(toy), Image2StyleGAN(toy, None, steps=20))
    assert torch.equal(invert(hybrid, pictures).w, invert(LeastSquares(toy), pictures).w)


def test_it_is_never_further_than_its_start(generator, own, invert):
    own = own[:3]
    first = Image2StyleGAN(generator, None, space="w", steps=10)
    start = invert(first, own)
    for steps in (1, 5):
        assert (
            invert(Hybrid(first, Image2StyleGAN(generator, None, steps=steps)), own).distance <= start.distance
        ).all()
    assert (invert(Hybrid(first, Image2StyleGAN(generator, None, steps=15)), own).distance < start.distance).all()


def test_both_parts_are_counted(toy, pictures, invert):
    meter = Meter()
    invert(Hybrid(LeastSquares(toy), Image2StyleGAN(toy, None, steps=5)), pictures, meter=meter)
    assert meter.generator_calls == 4 + 4 * 6


def test_a_kept_work_goes_on_to_the_same_bits(generator, own, invert, tmp_path):
    hybrid = Hybrid(Image2StyleGAN(generator, None, space="w", steps=5), Image2StyleGAN(generator, None, steps=12))
    whole, keep = invert(hybrid, own), Keep(tmp_path / "state.safetensors", every=5)

    def killed(step, seconds, terms):
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert(hybrid, own, keep=keep, trace=Trace(tell=killed))
    assert torch.equal(invert(hybrid, own, keep=keep).w, whole.w)


class Slow:
    """An answer after a twentieth of a second."""

    def __init__(self, toy):
        self.toy = toy

    def invert(self, images, *, rng, meter):
        time.sleep(0.05)
        return LeastSquares(self.toy).invert(images, rng=rng, meter=meter)


def test_the_trace_counts_the_first_part_too(toy, pictures, invert):
    trace = Trace()
    invert(Hybrid(Slow(toy), Image2StyleGAN(toy, None, steps=3)), pictures, trace=trace)
    assert trace.steps == [0, 1, 2, 3]
    assert trace.seconds[0] > 0.05


def test_the_first_answer_is_there_before_the_first_step(generator, own, perceptual, invert):
    first = Image2StyleGAN(generator, perceptual, space="w", steps=1)
    trace, heard = Trace(), []
    trace.tell = lambda step, seconds, terms: heard.append(step)
    invert(Hybrid(first, Image2StyleGAN(generator, perceptual, steps=2)), own[:2], trace=trace)
    assert trace.steps == [0, 1, 2, 3]
    assert heard == [0, 1, 2]
    assert torch.equal(trace.at(trace.seconds[0]).perceptual, invert(first, own[:2]).distance)
    assert torch.isfinite(trace.at(trace.seconds[1]).loss).all()


def test_a_trace_may_be_timed_by_the_processor(toy, pictures, invert):
    trace = Trace(clock=time.process_time)
    invert(Hybrid(Slow(toy), Image2StyleGAN(toy, None, steps=3)), pictures, trace=trace)
    assert 0 < trace.seconds[-1] < 0.05
