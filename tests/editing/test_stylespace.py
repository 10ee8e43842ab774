"""S is laid out as published, and moving one of its channels is what moving the affine layer's output is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advgen.core.errors import BadArgument
from advgen.editing.shifts import Shift, edited, together
from advgen.editing.stylespace import hash_of, layout, sampled_w, statistics
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths


@pytest.fixture(scope="module")
def official() -> StyleGAN2Generator:
    """The shapes of the published 1024-pixel generators."""
    with torch.device("meta"):
        return StyleGAN2Generator(GeneratorConfig(1024, widths(1024, channel_base=32768, channel_max=512)))


def test_the_layout_of_1024_pixels_is_the_published_one(official: StyleGAN2Generator) -> None:
    """26 layers of 9088 channels, 6048 without ToRGB, those at 1, 4, 7 ... (arXiv 2011.12799, table 3)."""
    where = layout(official)
    assert where.size == 6048
    assert where.size + sum(layer.channels for layer in where.torgbs) == 9088
    assert sorted(layer.published for layer in where.convs + where.torgbs) == list(range(26))
    assert [layer.published for layer in where.torgbs] == list(range(1, 26, 3))
    channels = {layer.published: layer.channels for layer in where.convs}
    assert [channels[i] for i in (0, 11, 12, 14, 15, 17, 18, 20, 21, 23, 24)] == (
        [512, 512, 512, 512, 256, 256, 128, 128, 64, 64, 32]
    )


def test_a_place_and_its_published_name_lead_to_each_other(official: StyleGAN2Generator) -> None:
    where = layout(official)
    for place in (0, 511, 512, 3000, 6047):
        assert where.place(*where.channel(place)) == place
    with pytest.raises(BadArgument, match="1_0"):
        where.place(1, 0)


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 10_000), by=st.floats(-3, 3))
def test_editing_a_channel_is_changing_the_affine_layers_output(
    generator: StyleGAN2Generator, place: int, by: float
) -> None:
    where = layout(generator)
    place %= where.size
    w = sampled_w(generator, 2)
    shift = torch.zeros(1, where.size)
    shift[0, place] = by
    made = edited(generator, w, Shift(s=shift))
    number, channel = where.channel(place)
    name = next(layer.name for layer in where.convs if layer.published == number)
    size, conv = name.split("x")[0], name.split()[1]
    affine = getattr(getattr(generator.synthesis, f"b{size}"), conv).affine

    def moved(module: object, given: object, styles: torch.Tensor) -> torch.Tensor:
        changed = styles.clone()
        changed[:, channel] += by
        return changed

    handle = affine.register_forward_hook(moved)
    with torch.no_grad():
        expected = generator.synthesis(w)
    handle.remove()
    assert torch.equal(made, expected)


def test_no_shift_is_the_image_itself(generator: StyleGAN2Generator) -> None:
    w = sampled_w(generator, 2)
    with torch.no_grad():
        assert torch.equal(edited(generator, w, Shift()), generator.synthesis(w))


def test_shifts_add_up(generator: StyleGAN2Generator) -> None:
    s = torch.randn(2, 1, layout(generator).size)
    w = torch.randn(3, generator.num_ws, generator.w_dim)
    whole = together([Shift(s=s[0]), Shift(w=w), Shift(s=s[1]).times(2.0)])
    assert torch.equal(whole.w, w)
    assert torch.allclose(whole.s, s[0] + 2 * s[1])


def test_statistics_are_those_of_the_samples(generator: StyleGAN2Generator) -> None:
    where = layout(generator)
    with torch.no_grad():
        s = where.packed(generator.styles(sampled_w(generator, 4096)))
    stats = statistics(generator, where)
    assert torch.allclose(stats.mean, s.mean(0), atol=1e-4)
    assert torch.allclose(stats.std, s.std(0, correction=0), rtol=1e-3)


def test_the_hash_knows_one_weight_of_another(generator: StyleGAN2Generator) -> None:
    before = hash_of(generator)
    kept = generator.synthesis.b4.const.data[0, 0, 0].item()
    with torch.no_grad():
        generator.synthesis.b4.const[0, 0, 0] += 1e-3
        other = hash_of(generator)
        generator.synthesis.b4.const[0, 0, 0] = kept
    assert other != before == hash_of(generator)
