"""A little StyleGAN2, and an encoder of images and texts whose answers are known."""

from collections.abc import Sequence
from hashlib import blake2b

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths


class Colours:
    """Says how red, green and blue an image is and how bright its upper half; texts name these, "x" means nothing."""

    dim = 4
    hash = "colours"
    logit_scale = 10.0
    words = {"red": 0, "green": 1, "blue": 2, "light": 3}
    neutral = ("picture", "a", "of", "x")

    def __init__(self) -> None:
        self.encoded = 0

    def unknown(self, text: str) -> Sequence[str]:
        return tuple(w for w in text.replace(".", "").split() if w not in self.words and w not in self.neutral)

    def encode(self, texts: list[str]) -> Tensor:
        self.encoded += len(texts)
        rows = torch.full((len(texts), 4), 0.5)
        for row, text in zip(rows, texts, strict=True):
            for word in text.replace(".", "").split():
                if word in self.words:
                    row[self.words[word]] += 1.0
        return functional.normalize(rows, dim=1)

    def encode_images(self, images: Tensor) -> Tensor:
        upper = images[:, :, : images.shape[2] // 2].mean((1, 2, 3))
        return functional.normalize(torch.cat([images.mean((2, 3)), upper[:, None]], 1), dim=1)


def make_generator(size: int = 16, seed: int = 0, **sizes: int) -> StyleGAN2Generator:
    """Random weights, images of ordinary contrast, and the mean of w measured."""
    torch.manual_seed(seed)
    config = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, **sizes}
    generator = StyleGAN2Generator(GeneratorConfig(size, widths(size, channel_base=128, channel_max=16), **config))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("torgb.weight"):
                parameter.mul_(0.3)
        generator.mapping.w_avg.copy_(generator.mapping.measured_mean())
    return generator.eval()


@pytest.fixture(scope="session")
def generator() -> StyleGAN2Generator:
    return make_generator()


@pytest.fixture(scope="session")
def other() -> StyleGAN2Generator:
    """Of the same sizes."""
    return make_generator(seed=1)


@pytest.fixture
def colours() -> Colours:
    return Colours()


def digest(generator: StyleGAN2Generator) -> str:
    whole = blake2b()
    for name, tensor in generator.state_dict().items():
        whole.update(name.encode() + tensor.numpy().tobytes())
    return whole.hexdigest()


@pytest.fixture(autouse=True)
def unchanged(generator: StyleGAN2Generator):
    """No edit leaves a mark on the generator: not on weights, modes or gradients."""
    before = digest(generator), generator.training, [p.requires_grad for p in generator.parameters()]
    yield
    after = digest(generator), generator.training, [p.requires_grad for p in generator.parameters()]
    assert after == before
    assert all(p.grad is None for p in generator.parameters())
