"""The encoder as an inverter: what it returns, what it counts, what it refuses, and as an optimiser's start."""

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS
from advgen.core.rng import SampleRng
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths
from advgen.generators.stylegan2.encoder import LatentEncoder
from advgen.inversion.encoder import EncoderInverter
from advgen.inversion.hybrid import Hybrid
from advgen.inversion.image2stylegan import Image2StyleGAN

SIDE, L, D = 16, 6, 6


def generator(seed=0, side=SIDE):
    torch.manual_seed(seed)
    maps = widths(side, channel_base=64, channel_max=8)
    net = StyleGAN2Generator(GeneratorConfig(side, maps, z_dim=D, w_dim=D, mapping_layers=2)).eval()
    net.mapping.w_avg.copy_(net.mapping.measured_mean())
    return net


def encoder(net, seed=1):
    torch.manual_seed(seed)
    made = LatentEncoder(SIDE, L, D, width=4, hidden=8)
    made.mean_w.copy_(net.mean_w)
    for level in made.levels:
        torch.nn.init.normal_(level.rows.weight, std=0.05)
    return made.eval()


def images(n=5):
    return torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def invert(inverter, pictures, seed=0):
    meter = Meter()
    rng = SampleRng.for_samples(seed, "inversion", [str(i) for i in range(len(pictures))])
    return inverter.invert(pictures, rng=rng, meter=meter), meter


def test_latents_are_the_encoders_and_the_distance_is_that_of_the_resynthesis():
    net = generator()
    inverter, lpips = EncoderInverter(encoder(net), net, LPIPS("embedded")), LPIPS("embedded")
    found, meter = invert(inverter, images())
    with torch.no_grad():
        w = inverter.encoder(images())
        distance = lpips(net.synthesis(w).clamp(0, 1), images())
    assert torch.equal(found.w, w)
    assert torch.allclose(found.distance, distance, atol=1e-6)
    assert (found.noise, found.tuned) == (None, None)
    assert (meter.generator_calls, meter.backwards) == (5, 0)


def test_without_a_perceptual_network_the_distance_is_the_root_mean_square_error():
    net = generator()
    inverter = EncoderInverter(encoder(net), net, None)
    found, _ = invert(inverter, images())
    with torch.no_grad():
        error = (net.synthesis(found.w).clamp(0, 1) - images()).square().flatten(1).mean(1).sqrt()
    assert torch.allclose(found.distance, error)


def test_the_batch_size_changes_nothing():
    net = generator()
    whole, _ = invert(EncoderInverter(encoder(net), net, None), images())
    single, meter = invert(EncoderInverter(encoder(net), net, None, batch_size=1), images())
    assert torch.allclose(whole.w, single.w, atol=1e-5)
    assert torch.allclose(whole.distance, single.distance, atol=1e-5)
    assert meter.generator_calls == 5


def test_no_images_give_no_latents():
    net = generator()
    found, _ = invert(EncoderInverter(encoder(net), net, LPIPS("embedded")), images(0))
    assert found.w.shape == (0, L, D)
    assert found.distance.shape == (0,)


def test_networks_stay_as_they_were_also_in_training_mode():
    net = generator()
    made = encoder(net).train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    found, _ = invert(EncoderInverter(made, net, None), images())
    assert made.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    assert not found.w.requires_grad


def test_an_optimiser_that_starts_from_it_only_comes_nearer():
    net = generator()
    first = EncoderInverter(encoder(net), net, None)
    then = Image2StyleGAN(net, steps=5)
    start, _ = invert(first, images())
    end, _ = invert(Hybrid(first, then), images())
    assert bool((end.distance <= start.distance + 1e-6).all())
    assert bool((end.distance < start.distance).any())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda net: EncoderInverter(encoder(net), generator(side=32), None), "32x32 pixels with 8 rows of 6"),
        (lambda net: EncoderInverter(encoder(net), generator(seed=5), None), "means of w differ"),
        (lambda net: EncoderInverter(torch.nn.Identity(), net, None), "got a Identity; train stylegan2_encoder"),
        (lambda net: EncoderInverter(encoder(net), net, None, batch_size=0), "at least 1, got 0"),
        (lambda net: invert(EncoderInverter(encoder(net), net, None), images()[:, :, :8]), "scale them first"),
    ],
)
def test_what_does_not_fit_is_one_sentence(make, sentence):
    with pytest.raises(BadArgument, match=sentence):
        make(generator())


def test_an_encoder_stored_in_half_precision_still_fits_its_generator():
    net = generator()
    made = encoder(net)
    made.load_state_dict({k: v.half() if v.is_floating_point() else v for k, v in made.state_dict().items()})
    EncoderInverter(made, net, None)
