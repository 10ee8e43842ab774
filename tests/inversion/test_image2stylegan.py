"""Image2StyleGAN: known answers on the linear toy, sample by sample the same in any batch, own images come back."""

from copy import deepcopy

import pytest
import torch

from advgen.contracts.parts import LeastSquares, root_mean_square
from advgen.core.errors import BadArgument, BadFile
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Inverter
from advgen.inversion.descent import Keep, Trace
from advgen.inversion.gate import resemblance
from advgen.inversion.image2stylegan import Image2StyleGAN
from advgen.inversion.latents import synthesised
from advgen.inversion.noise import correlation


def pixels(generator, **more):
    return Image2StyleGAN(generator, None, **{"steps": 300, "lr": 0.05, **more})


def state_of(network):
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return weights, [m.training for m in network.modules()], [p.requires_grad for p in network.parameters()]


def test_in_w_plus_it_finds_the_nearest_image_there_is(toy, pictures, invert):
    found = invert(pixels(toy), pictures)
    best = invert(LeastSquares(toy), pictures)
    torch.testing.assert_close(found.w, best.w, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.distance, best.distance, rtol=1e-5, atol=0)


def test_in_w_it_finds_the_best_with_equal_rows(toy, pictures, invert):
    """Both rows add up, and the basis is orthonormal: the best equal rows are the mean of the best free ones."""
    found = invert(pixels(toy, space="w"), pictures)
    best = invert(LeastSquares(toy), pictures).w.mean(1, keepdim=True).expand(-1, 2, -1)
    torch.testing.assert_close(found.w, best, atol=1e-3, rtol=0)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_on_the_toy_a_batch_equals_single_runs_to_the_bit(toy, pictures, invert, space):
    inverter = pixels(toy, steps=60, space=space)
    together = invert(inverter, pictures)
    turned = invert(inverter, pictures.flip(0), ids=[3, 2, 1, 0])
    assert torch.equal(turned.w.flip(0), together.w)
    for i in range(4):
        alone = invert(inverter, pictures[i : i + 1], ids=[i])
        assert torch.equal(alone.w[0], together.w[i])
        assert torch.equal(alone.distance[0], together.distance[i])


def test_on_a_network_a_batch_of_eight_equals_eight_single_runs(generator, perceptual, own, invert):
    """In another batch convolutions sum in another order: in double precision nothing but that can be left."""
    exact = Image2StyleGAN(deepcopy(generator).double(), deepcopy(perceptual).double(), steps=12, noise_steps=4)
    together = invert(exact, own)
    for i in range(8):
        alone = invert(exact, own[i : i + 1], ids=[i])
        torch.testing.assert_close(alone.w[0], together.w[i], atol=1e-7, rtol=0)
        for mine, theirs in zip(alone.noise, together.noise, strict=True):
            torch.testing.assert_close(mine[0], theirs[i], atol=1e-7, rtol=0)


def test_in_single_precision_the_images_agree_within_a_grey_level(generator, perceptual, own, invert):
    inverter = Image2StyleGAN(generator, perceptual, steps=20)
    together = synthesised(generator, invert(inverter, own[:3]))
    alone = [synthesised(generator, invert(inverter, own[i : i + 1], ids=[i])) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1 / 255, rtol=0)


@pytest.mark.parametrize(("space", "decibels"), [("w+", 30), ("w", 25)])
def test_images_of_the_generators_own_come_back(generator, perceptual, own, invert, space, decibels):
    found = synthesised(generator, invert(Image2StyleGAN(generator, perceptual, space=space, steps=200), own[:4]))
    error = (found - own[:4]).square().mean((1, 2, 3))
    assert (-10 * error.log10()).median() > decibels


def test_what_the_generator_cannot_make_is_further_in_w_than_in_w_plus(generator, perceptual, invert):
    foreign = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(9))
    in_w, in_w_plus = (
        invert(Image2StyleGAN(generator, perceptual, space=space, steps=60), foreign).distance for space in ("w", "w+")
    )
    assert (in_w > in_w_plus).all()


def test_the_generator_is_left_as_it_was(generator, perceptual, own, invert):
    generator.train()
    before = state_of(generator)
    try:
        invert(Image2StyleGAN(generator, perceptual, steps=5, noise_steps=5), own)
        after = state_of(generator)
    finally:
        generator.eval()
    assert before[1:] == after[1:]
    assert all(torch.equal(before[0][name], tensor) for name, tensor in after[0].items())
    assert all(p.grad is None for p in generator.parameters())


def test_it_starts_from_the_mean_or_from_what_is_given(toy, pictures, invert):
    still = pixels(toy, steps=0)
    assert torch.equal(invert(still, pictures).w, torch.zeros(4, 2, 8))
    start = torch.randn((4, 2, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(invert(still, pictures, start=start).w, start)
    in_w = invert(pixels(toy, steps=0, space="w"), pictures, start=start)
    assert torch.equal(in_w.w, start.mean(1, keepdim=True).expand(-1, 2, -1))


def test_a_start_of_another_shape_is_refused(toy, pictures, invert):
    with pytest.raises(BadArgument, match=r"must be w of the shape \(4, 2, 8\), got \(4, 8\)"):
        invert(pixels(toy), pictures, start=torch.zeros(4, 8))


def test_more_steps_never_end_further(generator, perceptual, own, invert):
    """Of a constant rate, a longer run begins with the shorter one, and the best is kept."""
    losses = []
    for steps in (5, 20, 60):
        trace = Trace()
        invert(Image2StyleGAN(generator, perceptual, steps=steps, rampup=0, rampdown=0), own, trace=trace)
        losses.append(trace.at(1e9).loss)
    assert (losses[1] <= losses[0]).all()
    assert (losses[2] <= losses[1]).all()


def test_in_the_opening_the_rows_move_as_one(generator, own, invert):
    """As in W: Adam does not see that the gradient is a mean instead of a sum."""
    inverter = Image2StyleGAN(generator, None, steps=10, opening=1.0)
    found = invert(inverter, own)
    torch.testing.assert_close(found.w, found.w[:, :1].expand_as(found.w), atol=1e-6, rtol=0)
    in_w = invert(Image2StyleGAN(generator, None, steps=10, space="w"), own)
    torch.testing.assert_close(found.w, in_w.w, atol=5e-3, rtol=0)  # Adam's first steps magnify rounding
    later = invert(Image2StyleGAN(generator, None, steps=10, opening=0.5), own)
    assert (later.w - later.w[:, :1]).abs().amax((1, 2)).min() > 0.01


def test_there_is_no_opening_when_a_start_is_given(generator, own, invert):
    start = torch.randn((8, generator.num_ws, 16), generator=torch.Generator().manual_seed(0))
    ways = [invert(Image2StyleGAN(generator, None, steps=3, opening=share), own, start=start).w for share in (0.0, 1.0)]
    assert torch.equal(*ways)


def test_chosen_rows_move_alone(toy, pictures, invert):
    found = invert(pixels(toy, rows=(1, 2), steps=50), pictures)
    assert torch.equal(found.w[:, 0], torch.zeros(4, 8))
    assert (found.w[:, 1] != 0).all()


def test_what_a_mask_hides_changes_nothing(generator, perceptual, own, invert):
    mask = torch.ones(1, 1, 16, 16)
    mask[..., 8:] = 0
    hidden = own.clone()
    hidden[..., 8:] = torch.rand(8, 3, 16, 8)
    inverter = Image2StyleGAN(generator, None, steps=20)
    assert torch.equal(invert(inverter, own, mask=mask).w, invert(inverter, hidden, mask=mask).w)


def test_a_hole_is_filled_by_the_generator(generator, own, invert):
    """What is seen comes back; the picture that the generator completes it to is nearer to the truth than grey."""
    mask = torch.ones(1, 1, 16, 16)
    mask[..., 6:10, 6:10] = 0
    holed = own * mask + 0.5 * (1 - mask)
    found = synthesised(generator, invert(Image2StyleGAN(generator, None, space="w", steps=150), holed, mask=mask))

    def error(images, where):
        return ((images - own).square() * where).sum((1, 2, 3))

    assert error(found, mask).median() < 0.02 * error(torch.full_like(own, 0.5), mask).median()
    assert error(found, 1 - mask).median() < 0.5 * error(holed, 1 - mask).median()


def test_noise_maps_come_after_the_latents_and_stay_noise(generator, own, invert):
    exact = deepcopy(generator).double()
    plain = invert(Image2StyleGAN(exact, None, steps=20), own[:4])
    noisy = invert(Image2StyleGAN(exact, None, steps=20, noise_steps=20), own[:4])
    free = invert(Image2StyleGAN(exact, None, steps=20, noise_steps=20, noise_weight=0), own[:4])
    assert plain.noise is None
    torch.testing.assert_close(noisy.w, plain.w, atol=1e-6, rtol=0)
    assert free.distance.mean() < noisy.distance.mean() < plain.distance.mean()
    assert (correlation(noisy.noise) < correlation(free.noise)).all()
    torch.testing.assert_close(resemblance(synthesised(exact, noisy), own[:4].double(), None), noisy.distance)


def test_latents_and_noise_can_take_turns(generator, own, invert):
    trace = Trace()
    inverter = Image2StyleGAN(generator, None, steps=10, noise_steps=6, rounds=2)
    found = invert(inverter, own, trace=trace)
    assert len(trace.steps) == 17
    assert not torch.equal(found.noise[4][0, 0], generator.synthesis.b16.conv1.noise_const)


def test_a_kept_work_goes_on_to_the_same_bits(generator, perceptual, own, invert, tmp_path):
    inverter = Image2StyleGAN(generator, perceptual, steps=12, noise_steps=12, rounds=2)
    whole, keep = invert(inverter, own), Keep(tmp_path / "state.safetensors", every=4)

    def killed(step, seconds, terms):
        if step == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert(inverter, own, keep=keep, trace=Trace(tell=killed))
    steps = []
    resumed = invert(inverter, own, keep=keep, trace=Trace(tell=lambda step, seconds, terms: steps.append(step)))
    assert steps[0] == 16
    assert torch.equal(resumed.w, whole.w)
    assert all(torch.equal(a, b) for a, b in zip(resumed.noise, whole.noise, strict=True))


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"images": lambda x: x.flip(0)}, "images"),
        ({"settings": {"lr": 0.2}}, "settings"),
        ({"ids": [4, 5, 6, 7]}, "samples"),
        ({"mask": torch.ones(1, 1, 8, 8)}, "masks"),
        ({"start": torch.ones(4, 2, 8)}, "start"),
    ],
)
def test_another_work_does_not_go_on_from_a_kept_one(toy, pictures, invert, tmp_path, change, differs):
    keep = Keep(tmp_path / "state.safetensors", every=1)
    invert(pixels(toy, steps=3), pictures, keep=keep)
    images = change.get("images", lambda x: x)(pictures)
    more = {name: change[name] for name in ("ids", "mask", "start") if name in change}
    with pytest.raises(BadFile, match=f"its {differs} differ"):
        invert(pixels(toy, steps=3, **change.get("settings", {})), images, keep=keep, **more)


def test_the_meter_counts_images(toy, pictures, invert):
    meter = Meter()
    invert(pixels(toy, steps=10), pictures, meter=meter)
    assert (meter.generator_calls, meter.backwards) == (44, 40)
    assert meter.seconds > 0


def test_no_images_give_no_latents(toy, generator, perceptual, invert):
    assert invert(pixels(toy), torch.zeros(0, 3, 8, 8)).w.shape == (0, 2, 8)
    assert invert(Image2StyleGAN(generator, perceptual), torch.zeros(0, 3, 16, 16)).distance.shape == (0,)


def test_it_is_an_inverter(toy, pictures):
    inverter: Inverter = pixels(toy, steps=1)
    found = inverter.invert(pictures, rng=SampleRng.for_samples(0, "test", "abcd"), meter=Meter())
    torch.testing.assert_close(found.distance, root_mean_square(toy.synthesis(found.w).clamp(0, 1), pictures))


def test_the_published_schedule_is_at_hand(toy):
    published = Image2StyleGAN.published(toy, None)
    assert (published.steps, published.lr, published.rampup, published.rampdown) == (5000, 0.01, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"space": "z"}, "the space must be w or w"),
        ({"steps": -1}, "steps must be 0 or more"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"rampdown": 2.0}, "rampdown is a share"),
        ({"noise_steps": 5}, "a LinearGenerator has none"),
        ({"rows": (1, 4)}, "rows are a range of w"),
        ({"rows": (0, 1), "space": "w"}, "rows are a range of w"),
        ({"rounds": 0}, "rounds must be 1 or more"),
        ({"pixel_weight": 0.0}, "nothing is left of the loss"),
    ],
)
def test_settings_that_cannot_be_are_refused(toy, pictures, invert, arguments, says):
    with pytest.raises(BadArgument, match=says):
        invert(pixels(toy, **arguments), pictures)


def test_images_of_another_size_are_refused(toy, invert):
    with pytest.raises(BadArgument, match="the generator makes 8x8 images, and these are 10x9; resize"):
        invert(pixels(toy), torch.zeros(1, 3, 9, 10))
