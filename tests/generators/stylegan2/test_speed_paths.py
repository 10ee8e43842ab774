"""What is done for speed changes nothing: pieces, layouts in memory, scaled weights of one image, bfloat16."""

import pytest
import torch

from advgen.generators.stylegan2 import synthesis
from advgen.generators.stylegan2.build import discriminator_of, generator_of


@pytest.fixture
def net(little):
    return little()[0]


@pytest.mark.parametrize("noise", ["const", "none", "maps"])
@pytest.mark.parametrize("at_once", [1, 5_000, 20_000])
def test_images_made_in_pieces_are_those_made_at_once(net, monkeypatch, noise, at_once):
    w = net.mapping(torch.randn(5, 6))
    if noise == "maps":
        noise = [torch.randn(5, 1, *layer.noise_const.shape) for layer in net.synthesis.convs()]
        noise[2] = noise[2][:1]  # one that all share
    with torch.no_grad():
        whole = net.synthesis(w, noise=noise)
        monkeypatch.setattr(synthesis, "_BYTES_AT_ONCE", at_once)
        torch.testing.assert_close(net.synthesis(w, noise=noise), whole, atol=1e-5, rtol=0)


def test_an_image_alone_is_that_of_its_batch(net):
    w = net.mapping(torch.randn(3, 6))
    with torch.no_grad():
        torch.testing.assert_close(net.synthesis(w[1:2]), net.synthesis(w)[1:2], atol=1e-5, rtol=0)


def test_with_and_without_gradients_images_are_the_same(net):
    w = net.mapping(torch.randn(3, 6))
    with torch.no_grad():
        made = net.synthesis(w)
    torch.testing.assert_close(made, net.synthesis(w).detach(), atol=1e-6, rtol=0)


def test_synthesis_leaves_what_it_is_given_as_it_was(net):
    w, noise = net.mapping(torch.randn(2, 6)), [layer.noise_const.clone() for layer in net.synthesis.convs()]
    styles = net.styles(w)
    before = [t.clone() for t in (*styles, *noise, *net.state_dict().values())]
    with torch.no_grad():
        net.synthesis_from_styles(styles, noise=noise)
    assert all(torch.equal(a, b) for a, b in zip(before, (*styles, *noise, *net.state_dict().values())))


def test_images_are_laid_out_plainly(net):
    """So that a view of them works as of any other images."""
    with torch.no_grad():
        assert net.synthesis(net.mapping(torch.randn(2, 6))).is_contiguous()


def test_loaded_weights_are_laid_out_as_new_ones(little):
    """Otherwise every call would copy them: at low resolutions that costs more than the convolution."""
    nets = little()
    plain = [{k: v.contiguous() for k, v in net.state_dict().items()} for net in nets]
    for net, loaded in zip(nets, (generator_of(plain[0])[0], discriminator_of(plain[1]))):
        for (name, one), other in zip(net.named_parameters(), loaded.parameters()):
            assert one.stride() == other.stride(), name
    up, same = nets[0].synthesis.b8.conv0.weight, nets[0].synthesis.b8.conv1.weight
    assert up.transpose(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert same.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_another_layout_of_weights_makes_the_same_images_and_logits(little, layout):
    net, judge = little()
    w, images = net.mapping(torch.randn(2, 6)), torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        made, logits = net.synthesis(w), judge(images)
        net.to(memory_format=layout), judge.to(memory_format=layout)
        torch.testing.assert_close(net.synthesis(w), made, atol=1e-5, rtol=0)
        torch.testing.assert_close(judge(images.contiguous(memory_format=layout)), logits, atol=1e-5, rtol=0)


def test_bfloat16_comes_by_autocast_alone_and_images_and_losses_stay_float32(little):
    net, judge = little()
    w = net.mapping(torch.randn(4, 6)).detach().requires_grad_()
    exact = net.synthesis(w)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net.synthesis(w)
        logits = judge(exact.detach())
    assert rough.dtype == torch.float32
    spread = exact.std()
    assert (rough - exact).abs().max() < 0.1 * spread  # of 8 bits, through five layers
    torch.testing.assert_close(logits.float(), judge(exact.detach()), atol=0.1, rtol=0.05)
    slopes = [torch.autograd.grad(made.square().sum(), w)[0] for made in (rough, exact)]
    assert torch.cosine_similarity(*(s.flatten() for s in slopes), dim=0) > 0.99
