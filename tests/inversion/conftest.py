"""A little StyleGAN2 with something in every tensor, its own images, and the toy generator with a known answer."""

from collections.abc import Callable, Sequence

import pytest
import torch

from advgen.contracts.parts import LinearGenerator
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS
from advgen.core.rng import SampleRng
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths
from advgen.inversion.own_images import own_images


def make_generator(size: int = 16, seed: int = 0, **sizes: int) -> StyleGAN2Generator:
    """Random weights, images of ordinary contrast, noise that shows, and the mean of w measured."""
    torch.manual_seed(seed)
    config = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, **sizes}
    generator = StyleGAN2Generator(GeneratorConfig(size, widths(size, channel_base=128, channel_max=16), **config))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("torgb.weight"):
                parameter.mul_(0.3)
            if name.endswith("noise_strength"):
                parameter.fill_(0.1)
        generator.mapping.w_avg.copy_(generator.mapping.measured_mean())
    return generator.eval()


@pytest.fixture(scope="session")
def generator() -> StyleGAN2Generator:
    return make_generator()


@pytest.fixture(scope="session")
def perceptual() -> LPIPS:
    """The network that ships with the platform."""
    return LPIPS("embedded")


@pytest.fixture(scope="session")
def own(generator: StyleGAN2Generator) -> torch.Tensor:
    """Eight images that the little generator made."""
    return own_images(generator, 8)[0]


@pytest.fixture
def toy() -> LinearGenerator:
    return LinearGenerator()


@pytest.fixture
def pictures() -> torch.Tensor:
    """Four images of the toy's size that it cannot make exactly."""
    return torch.rand((4, 3, 8, 8), generator=torch.Generator().manual_seed(1)) * 0.4 + 0.3


@pytest.fixture
def invert() -> Callable[..., object]:
    """Calls an inverter with streams for samples 0, 1, ... of seed 0."""

    def call(inverter: object, images: torch.Tensor, *, ids: Sequence[int] | None = None, **more: object) -> object:
        names = [str(i) for i in (range(len(images)) if ids is None else ids)]
        more.setdefault("meter", Meter())
        return inverter.invert(images, rng=SampleRng.for_samples(0, "test", names), **more)

    return call
