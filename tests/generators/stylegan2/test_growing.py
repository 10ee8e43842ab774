"""Progressive growing: a new size begins as the enlarged old one and ends as a network of its own."""

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2 import DiscriminatorConfig, GeneratorConfig, StyleGAN2Discriminator, StyleGAN2Generator
from advgen.generators.stylegan2.growing import (
    GrownView,
    Growth,
    fully_grown,
    grown_images,
    grown_logits,
    growth,
    shown,
)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    generator = StyleGAN2Generator(GeneratorConfig(32, (8, 8, 8, 8), 3, 6, 6, 0, 2)).eval()
    judge = StyleGAN2Discriminator(DiscriminatorConfig(32, (8, 8, 8, 8), architecture="skip")).eval()
    return generator, judge


def doubled(images):
    return images.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_sizes_follow_one_another_each_fading_in_and_then_alone():
    stages = [growth(seen, resolution=32, images=100) for seen in (0, 99, 100, 150, 200, 299, 300, 325, 400, 10**6)]
    assert stages == [
        (8, 1.0), (8, 1.0), (16, 0.0), (16, 0.5), (16, 1.0), (16, 1.0), (32, 0.0), (32, 0.25), (32, 1.0), (32, 1.0),
    ]  # fmt: skip


@torch.no_grad()
def test_a_size_begins_as_the_old_one_enlarged(pair):
    generator, judge = pair
    w = generator.mapping(torch.randn(3, 6))
    small = grown_images(generator, w, Growth(16, 1.0))
    assert grown_images(generator, w, Growth(32, 0.0)).equal(doubled(small))
    logits = grown_logits(judge, small, Growth(16, 1.0))
    assert torch.allclose(grown_logits(judge, doubled(small), Growth(32, 0.0)), logits, atol=1e-5)


@torch.no_grad()
def test_a_grown_pair_is_one_of_the_original_architecture(pair):
    generator, judge = pair
    w = generator.mapping(torch.randn(3, 6))
    images = grown_images(generator, w, Growth(32, 1.0))
    assert torch.allclose(fully_grown(generator).synthesis(w), images, atol=1e-5)
    assert torch.allclose(fully_grown(judge)(images), grown_logits(judge, images, Growth(32, 1.0)), atol=1e-5)


def test_real_images_lose_their_detail_as_far_as_a_size_is_fading_in():
    images = torch.rand(2, 3, 32, 32)
    halved = torch.nn.functional.avg_pool2d(images, 2)
    assert shown(images, Growth(32, 1.0)).equal(images)
    assert shown(images, Growth(16, 1.0)).equal(halved)
    assert torch.allclose(shown(images, Growth(32, 0.0)), doubled(halved))
    assert torch.allclose(shown(images, Growth(32, 0.25)), 0.25 * images + 0.75 * doubled(halved))


@torch.no_grad()
def test_a_growing_generator_is_shown_at_its_full_size(pair):
    generator, _ = pair
    z = torch.randn(2, 6)
    small = grown_images(generator, generator.mapping(z), Growth(8, 1.0))
    assert GrownView(generator, Growth(8, 1.0))(z).equal(doubled(doubled(small)))


def test_what_cannot_grow_is_refused(pair):
    _, _ = pair
    other = StyleGAN2Generator(GeneratorConfig(16, (4, 4, 4), 3, 6, 6, 0, 2, "resnet"))
    with pytest.raises(BadArgument, match="skip architecture, not resnet"):
        grown_images(other, other.mapping(torch.randn(1, 6)), Growth(8, 1.0))
    with pytest.raises(BadArgument, match="at least 1 image"):
        growth(0, resolution=32, images=0)
