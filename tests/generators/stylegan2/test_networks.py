"""Generator and discriminator against closed forms, per-sample statements, and derivatives taken by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.types import Generator
from advgen.generators.stylegan2 import (
    DiscriminatorConfig,
    GeneratorConfig,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    widths,
)
from advgen.generators.stylegan2.filters import binomial_filter
from advgen.generators.stylegan2.layers import minibatch_deviation, modulated_conv2d

SMALL = GeneratorConfig(16, widths(16, channel_base=64, channel_max=8), z_dim=6, w_dim=5, mapping_layers=2)
SMALL_D = DiscriminatorConfig(16, widths(16, channel_base=64, channel_max=8))


def generator(config=SMALL, seed=0):
    torch.manual_seed(seed)
    net = StyleGAN2Generator(config)
    for layer in net.synthesis.convs():
        torch.nn.init.constant_(layer.noise_strength, 0.3)
    net.mapping.w_avg.normal_()
    return net


def discriminator(config=SMALL_D, seed=0):
    torch.manual_seed(seed)
    return StyleGAN2Discriminator(config)


@pytest.mark.parametrize("up", [None, binomial_filter()])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_is_one_convolution_a_sample_with_its_own_weights(up, demodulate):
    torch.manual_seed(0)
    x, weight, styles = torch.randn(3, 4, 6, 6), torch.randn(5, 4, 3, 3), torch.randn(3, 4)
    alone = [
        modulated_conv2d(x[i : i + 1], weight, styles[i : i + 1], up=up, demodulate=demodulate, fused=True)
        for i in range(3)
    ]
    if up is None:
        for i in range(3):
            own = weight * styles[i][None, :, None, None]
            if demodulate:
                own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            torch.testing.assert_close(alone[i], functional.conv2d(x[i : i + 1], own, padding=1), atol=1e-5, rtol=0)
    for fused in (True, False):
        made = modulated_conv2d(x, weight, styles, up=up, demodulate=demodulate, fused=fused)
        torch.testing.assert_close(made, torch.cat(alone), atol=2e-5, rtol=0)


def test_demodulated_maps_of_white_noise_have_variance_one():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 64, 64)
    made = modulated_conv2d(x, torch.randn(8, 16, 3, 3), torch.rand(2, 16) * 5)
    torch.testing.assert_close(made[..., 1:-1, 1:-1].var((2, 3)), torch.ones(2, 8), atol=0.1, rtol=0)


def test_it_is_a_generator():
    net = generator()
    assert isinstance(net.mapping(torch.zeros(1, 6)), torch.Tensor)
    for name in (n for n in Generator.__dict__ if not n.startswith("_")):
        assert hasattr(net, name)


@pytest.mark.parametrize("resolution", [4, 8, 32])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_any_resolution_and_architecture_makes_images_and_logits(resolution, architecture):
    maps = widths(resolution, channel_base=32, channel_max=4)
    net = generator(GeneratorConfig(resolution, maps, 2, z_dim=4, w_dim=4, architecture=architecture))
    w = net.mapping(torch.randn(3, 4))
    assert w.shape == (3, round(2 * math.log2(resolution)) - 2, 4)
    images = net.synthesis(w)
    assert images.shape == (3, 2, resolution, resolution)
    judged = discriminator(DiscriminatorConfig(resolution, maps, 2, architecture=architecture))(images)
    assert judged.shape == (3, 1)
    assert all(p.grad is not None for p in _backward(net, judged))


def _backward(net, judged):
    judged.sum().backward()
    return net.parameters()


@pytest.mark.parametrize("resolution", [2, 24, 2048])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(BadArgument, match="power of two from 4 to 1024"):
        GeneratorConfig(resolution, (4, 4))


def test_truncation_goes_towards_the_mean_in_the_first_rows():
    net = generator()
    z = torch.randn(4, 6)
    full, half = net.mapping(z), net.mapping(z, psi=0.5, cutoff=2)
    torch.testing.assert_close(half[:, :2], (full[:, :2] + net.mean_w) / 2)
    assert torch.equal(half[:, 2:], full[:, 2:])
    assert torch.equal(net.mapping(z, psi=0), net.mean_w.expand_as(full))
    spread = [net.mapping(z, psi=psi).var(0).sum() for psi in (0.0, 0.3, 0.7, 1.0)]
    assert spread == sorted(spread)


def test_the_length_of_z_says_nothing():
    net = generator()
    z = torch.randn(4, 6)
    torch.testing.assert_close(net.mapping(z), net.mapping(z * 7), atol=1e-5, rtol=0)


def test_a_condition_changes_w_and_must_be_given():
    net = generator(replace(SMALL, c_dim=3))
    z = torch.randn(1, 6).expand(3, -1)
    w = net.mapping(z, torch.eye(3))
    assert (w[0] - w[1]).abs().max() > 1e-3
    with pytest.raises(BadArgument, match=r"condition c must have the shape \(N, 3\), got none"):
        net.mapping(z)


def test_a_conditional_discriminator_projects_on_the_mapped_condition():
    judge = discriminator(replace(SMALL_D, c_dim=3, cmap_dim=7, mapping_layers=2))
    images = torch.rand(4, 3, 16, 16)
    one, other = (judge(images, functional.one_hot(torch.full((4,), k), 3).float()) for k in (0, 1))
    assert one.shape == (4, 1)
    assert (one - other).abs().max() > 1e-4


def test_noise_is_stored_or_drawn_for_each_sample_or_left_out():
    net = generator()
    w = net.mapping(torch.randn(3, 6))
    const, none = net.synthesis(w), net.synthesis(w, noise="none")
    stored = [layer.noise_const for layer in net.synthesis.convs()]
    assert torch.equal(const, net.synthesis(w, noise=stored))
    assert not torch.equal(const, none)
    ids = ["a", "b", "c"]
    drawn = net.synthesis(w, noise="random", rng=SampleRng.for_samples(0, "sample", ids))
    alone = net.synthesis(w[1:2], noise="random", rng=SampleRng.for_samples(0, "sample", ["b"]))
    torch.testing.assert_close(drawn[1:2], alone, atol=1e-5, rtol=0)
    with pytest.raises(BadArgument, match="needs a SampleRng"):
        net.synthesis(w, noise="random")


def test_grouped_and_plain_convolutions_make_the_same_images():
    net = generator()
    w = net.mapping(torch.randn(3, 6))
    torch.testing.assert_close(net.synthesis(w, fused=True), net.synthesis(w), atol=1e-5, rtol=0)


def test_styles_lead_to_the_same_image_and_torgb_stands_last():
    net = generator()
    w = net.mapping(torch.randn(2, 6))
    styles = net.styles(w)
    assert [s.shape[1] for s in styles] == [8, 8, 8, 8, 4, 8, 8, 4]  # five convolutions, three ToRGB
    assert torch.equal(net.synthesis_from_styles(styles), net.synthesis(w))


def test_each_row_of_w_is_used():
    net = generator()
    w = net.mapping(torch.randn(1, 6)).requires_grad_()
    (grad,) = torch.autograd.grad(net.synthesis(w).square().sum(), w)
    assert (grad.abs().amax((0, 2)) > 0).all()


def test_a_clamp_bounds_what_leaves_a_layer():
    net = generator(replace(SMALL, conv_clamp=1e-3))
    images = net.synthesis(net.mapping(torch.randn(2, 6)))
    # Three ToRGB layers of at most 1e-3 each; the filter keeps magnitudes.
    assert (images - 0.5).abs().max() <= 3e-3 / 2 + 1e-6


def test_groups_of_the_minibatch_deviation_are_strided():
    features = torch.randn(8, 4, 2, 2, dtype=torch.float64)
    made = minibatch_deviation(features, group=4, maps=2)
    assert made.shape == (8, 6, 2, 2)
    for i in range(8):
        for f in range(2):
            mine = features[i % 2 :: 2, 2 * f : 2 * f + 2]
            expected = (mine.var(0, unbiased=False) + 1e-8).sqrt().mean()
            torch.testing.assert_close(made[i, 4 + f], expected.expand(2, 2))


def test_a_batch_that_groups_do_not_divide_is_refused():
    with pytest.raises(BadArgument, match="6 images cannot be cut into groups of 4"):
        discriminator()(torch.rand(6, 3, 16, 16))


def test_wrong_shapes_are_refused():
    with pytest.raises(BadArgument, match=r"w must have the shape \(N, 6, 5\)"):
        generator().synthesis(torch.zeros(1, 5, 5))
    with pytest.raises(BadArgument, match=r"images must have the shape \(N, 3, 16, 16\)"):
        discriminator()(torch.rand(4, 3, 8, 8))


def test_the_discriminator_can_be_differentiated_twice():
    """What R1 needs."""
    judge = discriminator(DiscriminatorConfig(8, (2, 2), 1)).double()
    images = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(judge, images)
    (grad,) = torch.autograd.grad(judge(images).sum(), images, create_graph=True)
    penalty = grad.square().sum()
    weight = judge.b8.conv0.weight
    (slope,) = torch.autograd.grad(penalty, weight)
    direction = torch.randn_like(weight)
    steps = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(direction, alpha=sign * 1e-5)
        (moved,) = torch.autograd.grad(judge(images).sum(), images)
        steps.append(moved.square().sum())
        with torch.no_grad():
            weight.add_(direction, alpha=-sign * 1e-5)
    torch.testing.assert_close((slope * direction).sum(), (steps[0] - steps[1]) / 2e-5, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("fused", [True, False])
def test_synthesis_can_be_differentiated_twice(fused):
    """What path lengths need."""
    net = generator(GeneratorConfig(8, (2, 2), 1, z_dim=2, w_dim=2, mapping_layers=1)).double()
    w = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)

    def images(w):
        return net.synthesis(w, fused=fused)

    assert torch.autograd.gradcheck(images, w)
    assert torch.autograd.gradgradcheck(images, w)
