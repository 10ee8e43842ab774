"""A compiled synthesis gives the plain network's images and gradients, and leaves its weights alone."""

import shutil

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths
from advgen.generators.stylegan2.compiling import compile_synthesis


def small():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = GeneratorConfig(8, widths(8, channel_base=64, channel_max=8), z_dim=8, w_dim=8, mapping_layers=2)
        return StyleGAN2Generator(config).eval()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore")  # torch's own, of what it finds on this machine
def test_images_and_gradients_are_the_plain_networks():
    plain, quick = small(), compile_synthesis(small())
    names = list(plain.state_dict())
    w = torch.randn(2, plain.num_ws, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    images, again = plain.synthesis(w), quick.synthesis(w)
    torch.testing.assert_close(again, images, rtol=0, atol=1e-5)
    slopes = [torch.autograd.grad(x.square().sum(), w)[0] for x in (images, again)]
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-5)
    assert list(quick.state_dict()) == names


def test_without_a_compiler_it_is_refused(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadArgument, match=r"needs a C\+\+ compiler"):
        compile_synthesis(small())
