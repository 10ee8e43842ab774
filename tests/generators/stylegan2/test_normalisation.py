"""The three normalisations of a layer's features, told apart by the statistics that each leaves."""

from dataclasses import replace

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths
from advgen.generators.stylegan2.layers import adaptive_instance_norm

CONFIG = GeneratorConfig(16, widths(16, channel_base=512, channel_max=32), z_dim=8, w_dim=8, mapping_layers=2)


def network(normalisation, **others):
    torch.manual_seed(0)
    return StyleGAN2Generator(replace(CONFIG, normalisation=normalisation, **others)).eval()


def features_of(net, w, *, name="b16.conv1"):
    found = []
    handle = net.synthesis.get_submodule(name).register_forward_hook(lambda _, __, made: found.append(made.detach()))
    with torch.no_grad():
        net.synthesis(w)
    handle.remove()
    return found[0]


def test_adain_gives_each_map_of_each_sample_the_styles_mean_and_deviation():
    features, styles = torch.randn(3, 4, 8, 8, dtype=torch.float64) * 7 + 2, torch.randn(3, 8, dtype=torch.float64)
    made = adaptive_instance_norm(features, styles)
    torch.testing.assert_close(made.mean((2, 3)), styles[:, 4:])
    torch.testing.assert_close(made.std((2, 3), correction=0), styles[:, :4].abs())


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_the_layers_of_an_adain_network_end_in_their_styles(architecture):
    net = network("adain", architecture=architecture)
    w = net.mapping(torch.randn(2, 8))
    styles = net.styles(w)[2]  # of b8.conv1
    made = features_of(net, w, name="b8.conv1")
    gain = 0.5**0.5 if architecture == "resnet" else 1.0
    scales, shifts = styles.detach().chunk(2, 1)
    torch.testing.assert_close(made.mean((2, 3)), shifts * gain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made.std((2, 3), correction=0), scales.abs() * gain, atol=1e-4, rtol=1e-3)


def test_styles_of_adain_start_at_scale_one_and_shift_nought():
    net = network("adain")
    layer = net.synthesis.b8.conv0
    outs = layer.weight.shape[0]
    assert torch.equal(layer.affine(torch.zeros(1, 8)), torch.tensor([[1.0] * outs + [0.0] * outs]))


def test_larger_styles_leave_demodulated_features_alone_and_scale_the_others():
    """Deviation over samples of what a tenfold style of the last convolution does to its features, biases being 0."""
    ratios = {}
    for normalisation in ("demodulation", "none"):
        net = network(normalisation)
        styles = net.styles(net.mapping(torch.randn(2, 8)))
        tenfold = [s * 10 if i == 4 else s for i, s in enumerate(styles)]
        found = []
        net.synthesis.b16.conv1.register_forward_hook(lambda _, __, made, found=found: found.append(made.detach()))
        with torch.no_grad():
            net.synthesis_from_styles(styles, noise="none")
            net.synthesis_from_styles(tenfold, noise="none")
        ratios[normalisation] = float(found[1].std() / found[0].std())
    assert ratios["demodulation"] == pytest.approx(1, abs=1e-4)
    assert ratios["none"] == pytest.approx(10, rel=1e-4)


def test_without_normalisation_styles_of_one_keep_features_at_a_size_of_one():
    """Roughly (filters smooth): by the equalised learning rate, as demodulation does otherwise."""
    net = network("none")
    found = []
    for size in (4, 8, 16):
        block = net.synthesis.get_submodule(f"b{size}.conv1")
        block.register_forward_hook(lambda _, __, made: found.append(float(made.std())))
    with torch.no_grad():
        net.synthesis_from_styles([torch.ones_like(s) for s in net.styles(net.mapping(torch.randn(4, 8)))])
    assert all(0.2 < deviation < 2 for deviation in found), found


def test_training_reaches_every_parameter_whatever_the_normalisation():
    for normalisation in ("demodulation", "adain", "none"):
        net = network(normalisation)
        net.synthesis(net.mapping(torch.randn(2, 8))).square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(BadArgument, match="must be demodulation, adain or none, got 'batch'"):
        network("batch")
