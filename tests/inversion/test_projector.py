"""The projector: noise on w that decays, noise maps beside it, only clean steps as results."""

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.inversion.descent import Keep, Trace
from advgen.inversion.latents import synthesised
from advgen.inversion.projector import Projector


def on_the_toy(toy, **more):
    return Projector(toy, None, **{"steps": 60, "noise_maps": False, "pixel_weight": 1.0, **more})


def test_it_comes_near_its_own_images(generator, perceptual, own, invert):
    found = invert(Projector(generator, perceptual, steps=60), own[:2])
    with torch.no_grad():
        mean = generator.synthesis(generator.mean_w.expand(2, generator.num_ws, -1)).clamp(0, 1)
    assert (found.distance < 0.3 * perceptual(mean, own[:2])).all()
    torch.testing.assert_close(perceptual(synthesised(generator, found), own[:2]), found.distance)


def test_its_rows_are_equal_and_its_maps_are_normal(generator, perceptual, own, invert):
    found = invert(Projector(generator, perceptual, steps=8), own[:2])
    assert torch.equal(found.w, found.w[:, :1].expand_as(found.w))
    for each in found.noise:
        torch.testing.assert_close(each.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(each.square().mean((1, 2, 3)), torch.ones(2), atol=1e-4, rtol=0)


def test_the_same_seed_and_sample_take_the_same_way_in_any_batch(toy, pictures, invert):
    together = invert(on_the_toy(toy), pictures)
    for i in range(4):
        assert torch.equal(invert(on_the_toy(toy), pictures[i : i + 1], ids=[i]).w[0], together.w[i])
    assert not torch.equal(invert(on_the_toy(toy), pictures, ids=[5, 6, 7, 8]).w, together.w)


def test_what_was_seen_under_noise_is_no_result(toy, pictures, invert):
    """With noise to the last step, only the very end is clean."""
    trace = Trace()
    found = invert(on_the_toy(toy, wandering=1.0, wander=50.0), pictures, trace=trace)
    assert torch.allclose(found.distance, trace.mse[-1].sqrt())
    assert (trace.loss[-1] > torch.stack(trace.loss).amin(0)).any()


def test_the_rate_rises_and_falls(toy, pictures, invert):
    """The first step has rate 0, and so has the last: neither moves anything."""
    trace = Trace()
    invert(on_the_toy(toy, wander=0.0), pictures, trace=trace)
    assert torch.equal(trace.loss[0], trace.loss[1])
    assert not torch.equal(trace.loss[1], trace.loss[2])
    last, before, middle = (float((trace.loss[-k] - trace.loss[-k - 1]).abs().max()) for k in (1, 5, 30))
    assert last <= before <= middle


def test_a_kept_work_goes_on_to_the_same_bits(generator, perceptual, own, invert, tmp_path):
    inverter = Projector(generator, perceptual, steps=12)
    whole, keep = invert(inverter, own[:2]), Keep(tmp_path / "state.safetensors", every=5)

    def killed(step, seconds, terms):
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert(inverter, own[:2], keep=keep, trace=Trace(tell=killed))
    resumed = invert(inverter, own[:2], keep=keep)
    assert torch.equal(resumed.w, whole.w)
    assert all(torch.equal(a, b) for a, b in zip(resumed.noise, whole.noise, strict=True))


def test_without_a_perceptual_network_it_asks_for_pixels(toy, pictures, invert):
    with pytest.raises(BadArgument, match="give pixel_weight"):
        invert(on_the_toy(toy, pixel_weight=0.0), pictures)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"steps": 0}, "steps must be 1 or more"), ({"wander": -1.0}, "wander must be 0"), ({"rampup": 2.0}, "a share")],
)
def test_settings_that_cannot_be_are_refused(toy, arguments, says):
    with pytest.raises(BadArgument, match=says):
        on_the_toy(toy, **arguments)
