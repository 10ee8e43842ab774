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


def test_the_trace_counts_the_first_part_too(toy, pictures, invert):
    class Slow:
        def invert(self, images, *, rng, meter):
            time.sleep(0.05)
            return LeastSquares(toy).invert(images, rng=rng, meter=meter)

    trace = Trace()
    invert(Hybrid(Slow(), Image2StyleGAN(toy, None, steps=3)), pictures, trace=trace)
    assert trace.steps == [0, 1, 2, 3]
    assert trace.seconds[0] > 0.05
