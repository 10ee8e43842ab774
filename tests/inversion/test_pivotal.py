"""Pivotal tuning: nearer than the pivot, the generator untouched, every image from the same weights."""

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.types import Latents
from advgen.inversion.descent import Keep, Trace
from advgen.inversion.image2stylegan import Image2StyleGAN
from advgen.inversion.latents import synthesised, tuned
from advgen.inversion.pivotal import PivotalTuning


@pytest.fixture
def foreign():
    """Two pictures that the generator cannot make."""
    return torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(9)) * 0.5 + 0.25


@pytest.fixture
def tuning(generator, perceptual):
    def make(**more):
        first = Image2StyleGAN(generator, perceptual, space="w", steps=10)
        return PivotalTuning(generator, perceptual, **{"first": first, "steps": 12, "lr": 3e-3, **more})

    return make


def test_tuning_comes_nearer_than_the_pivot(tuning, foreign, invert):
    pivots, found = invert(tuning(steps=0), foreign), invert(tuning(), foreign)
    assert torch.equal(found.w, pivots.w)
    assert (found.distance < 0.9 * pivots.distance).all()


def test_the_generator_is_untouched_and_each_image_has_its_own(generator, perceptual, tuning, foreign, invert):
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    found = invert(tuning(), foreign)
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())
    made = synthesised(generator, found)
    torch.testing.assert_close(perceptual(made, foreign), found.distance)
    for i in range(2):
        with tuned(generator, found, i) as own:
            torch.testing.assert_close(own.synthesis(found.w[i : i + 1]).clamp(0, 1), made[i : i + 1])
        assert own is not generator
    assert set(found.tuned[0]) <= {f"synthesis.{name}" for name, _ in generator.synthesis.named_parameters()}
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())


def test_every_image_starts_from_the_same_weights(tuning, foreign, invert):
    """The second image's changes are those that it gets alone: nothing of the first is left in the weights."""
    together = invert(tuning(first=_Fixed()), foreign)
    alone = invert(tuning(first=_Fixed()), foreign[1:], ids=[1])
    assert together.tuned[1].keys() == alone.tuned[0].keys()
    assert all(torch.equal(alone.tuned[0][name], change) for name, change in together.tuned[1].items())
    assert any(not torch.equal(together.tuned[0][name], change) for name, change in together.tuned[1].items())


def test_without_tuning_the_generator_itself_is_given(generator, own, invert):
    latents = invert(Image2StyleGAN(generator, None, steps=1), own)
    with tuned(generator, latents, 0) as given:
        assert given is generator


def test_it_stops_when_near_enough(tuning, foreign, invert):
    found = invert(tuning(steps=0), foreign[:1])
    enough, trace = float(found.distance) * 0.9, Trace()
    stopped = invert(tuning(enough=enough), foreign[:1], trace=trace)
    assert float(stopped.distance) <= enough * (1 + 1e-5)
    assert 12 < len(trace.steps) < 11 + 12
    assert all(float(distance) > enough for distance in trace.perceptual[:-1])


def test_the_locality_regulariser_keeps_other_images(generator, tuning, foreign, invert):
    """Images half-way to other samples move less, at the price of the image itself."""
    plain, local = (invert(tuning(locality_weight=weight), foreign[:1]) for weight in (0.0, 10.0))
    rng = SampleRng.for_samples(3, "others", [str(i) for i in range(8)])
    between = torch.lerp(generator.mapping(rng.normal((16,))), plain.w, 0.5)

    def moved(latents):
        with tuned(generator, latents, 0) as own:
            return (own.synthesis(between) - generator.synthesis(between)).square().mean()

    assert moved(local) < 0.7 * moved(plain)


def test_a_kept_work_goes_on_to_the_same_bits(tuning, foreign, invert, tmp_path, monkeypatch):
    keep, inverter = Keep(tmp_path / "state.safetensors", every=5), tuning()
    whole = invert(inverter, foreign)
    calls, save = [], type(keep).named

    def killed(self, part):
        calls.append(part)
        if part == "tuning1":
            raise KeyboardInterrupt
        return save(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(Keep, "named", killed)
        with pytest.raises(KeyboardInterrupt):
            invert(inverter, foreign, keep=keep)
    assert calls[-2:] == ["tuning0", "tuning1"]
    resumed = invert(inverter, foreign, keep=keep)
    for mine, theirs in zip(resumed.tuned, whole.tuned, strict=True):
        assert all(torch.equal(mine[name], change) for name, change in theirs.items())


def test_weights_of_another_generator_are_refused(generator, tuning, foreign, invert):
    found = invert(tuning(steps=2), foreign[:1])
    wrong = found._replace(tuned=[{"synthesis.b4.none": torch.zeros(1)}])
    with pytest.raises(BadArgument, match=r"belong to another generator: this one has no such 'synthesis\.b4\.none'"):
        synthesised(generator, wrong)


def test_a_generator_without_weights_is_refused(toy):
    with pytest.raises(BadArgument, match="a LinearGenerator has none"):
        PivotalTuning(toy, None)


def test_the_trace_goes_on_from_the_pivots(tuning, foreign, invert):
    trace = Trace()
    invert(tuning(), foreign[:1], trace=trace)
    assert trace.steps == list(range(11 + 13))
    assert sorted(trace.seconds) == trace.seconds
    assert float(trace.loss[-1]) < float(trace.loss[10])


def test_a_mask_is_not_passed_over(tuning, foreign, invert):
    with pytest.raises(BadArgument, match="a _Fixed finds pivots without heeding a mask"):
        invert(tuning(first=_Fixed()), foreign, mask=torch.ones(1, 1, 16, 16))


def test_a_trace_is_of_one_image(tuning, foreign, invert):
    with pytest.raises(BadArgument, match="a trace is of one image, got 2"):
        invert(tuning(), foreign, trace=Trace())


def test_no_images_give_no_weights(tuning, invert):
    found = invert(tuning(), torch.zeros(0, 3, 16, 16))
    assert found.tuned == []


class _Fixed:
    """A pivot that does not depend on the batch."""

    def invert(self, images, *, rng, meter):
        w = rng.normal((16,))[:, None].expand(-1, 6, -1)
        return Latents(w, None, torch.zeros(len(images)), None)
