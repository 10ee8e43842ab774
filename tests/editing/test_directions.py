"""Relevance, global directions and their files."""

import pytest
import torch
from torch.nn import functional

from advgen.core.errors import BadArgument, BadFile
from advgen.editing.directions import Direction, load_direction, save_direction
from advgen.editing.global_directions import colour_gram, global_direction, solved
from advgen.editing.prompts import ensembled, text_direction, usable
from advgen.editing.relevance import Relevance, RelevanceOf, differences, embedded, jacobians
from advgen.editing.shifts import Shift, edited
from advgen.editing.stylespace import layout, sampled_w, statistics


def test_the_jacobian_is_the_limit_of_differences(generator, colours) -> None:
    where, w = layout(generator), sampled_w(generator, 1)
    exact = jacobians(generator, colours, where, w)
    # +-5 sigma of a thousandth is a step of 0.005.
    steps = differences(generator, colours, where, w, torch.full((where.size,), 1e-3), rows=16) / 1e-3
    assert (exact - steps).abs().max() < 2e-3 * exact.abs().max() + 2e-4


def test_channels_at_once_change_nothing(generator, colours) -> None:
    where, w = layout(generator), sampled_w(generator, 1)
    std = statistics(generator, where).std
    one, many = (differences(generator, colours, where, w, std, rows=rows) for rows in (1, 40))
    assert torch.allclose(one, many, atol=1e-6)


def test_both_ways_find_the_same_relevant_channels(generator, colours) -> None:
    """At +-5 sigma the little generator bends; the channels that matter most are still the same."""
    text = text_direction(colours, "red", "x")
    found = [RelevanceOf(8, method, 16).of(generator, colours) for method in ("jacobian", "differences")]
    one, other = (r.unit @ text for r in found)
    assert functional.cosine_similarity(one, other, dim=0) > 0.8


def test_relevance_is_measured_once(generator, other, colours, tmp_path) -> None:
    told: list[int] = []
    first = RelevanceOf(4).of(generator, colours, cache=tmp_path, tell=lambda done, total: told.append(done))
    second = RelevanceOf(4).of(generator, colours, cache=tmp_path, tell=lambda done, total: told.append(-1))
    assert told == [4]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(RelevanceOf(4).of(other, colours, cache=tmp_path).std, first.std)
    (file, _) = sorted((tmp_path / "relevance").iterdir())
    file.write_bytes(file.read_bytes()[:100])
    RelevanceOf(4).of(generator, colours, cache=tmp_path)  # a cut file is made again


@pytest.mark.parametrize("kind", ["global", "solved"])
def test_a_direction_makes_images_more_of_what_the_text_says(generator, colours, kind) -> None:
    text, relevant = text_direction(colours, "red", "x"), RelevanceOf(32).of(generator, colours)
    if kind == "global":
        shift = global_direction(relevant, text, beta=0.2).shift
    else:
        shift = solved(relevant, text, colour_gram(generator, relevant.std, images=8)).shift.times(0.5)
    w = sampled_w(generator, 64, seed=9)
    with torch.no_grad():
        before, after = (
            colours.encode_images(edited(generator, w, s).clamp(0, 1)) for s in (Shift(), shift.times(2.0))
        )
    assert ((after - before) @ text > 0).double().mean() >= 0.9


def relevance(units: torch.Tensor) -> Relevance:
    n = len(units)
    return Relevance(units, units * 0.1, torch.ones(n), torch.linspace(1, 2, n), torch.zeros(n))


def test_the_published_formula() -> None:
    """Below beta nothing, the largest is 1, times the standard deviation."""
    found = global_direction(
        relevance(torch.tensor([[0.8, 0.6], [-0.4, 0.9], [0.1, 1.0]])), torch.tensor([1.0, 0.0]), beta=0.2
    )
    assert torch.allclose(found.shift.s, torch.tensor([[1.0, -0.5 * 1.5, 0.0]]))
    assert (found.channels, found.most) == (2, pytest.approx(0.8))


def test_a_higher_beta_leaves_fewer_channels() -> None:
    units = functional.normalize(torch.randn(200, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    text = functional.normalize(torch.ones(8), dim=0)
    counts = [global_direction(relevance(units), text, beta=beta).channels for beta in (0, 0.1, 0.2, 0.4)]
    assert counts[0] == 200
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 4


def test_of_two_channels_that_serve_the_text_the_quieter_one_moves() -> None:
    effects = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    colours = torch.diag(torch.tensor([1.0, 0.01, 1.0]))
    shift = solved(relevance(effects), torch.tensor([1.0, 0.0]), colours, ridge=1e-3).shift.s[0] / torch.linspace(
        1, 2, 3
    )
    assert shift[1] > 50 * shift[0] > 0
    assert shift[2] == 0
    assert shift @ relevance(effects).mean[:, 0] == pytest.approx(0.1)  # what strength 1 stands for


def test_colours_change_as_their_gram_matrix_says(generator) -> None:
    where = layout(generator)
    std = statistics(generator, where).std
    gram = colour_gram(generator, std, images=4)
    small = 1e-2 * torch.randn(where.size, generator=torch.Generator().manual_seed(0))
    w = sampled_w(generator, 4, seed=4)
    with torch.no_grad():
        one, other = (
            functional.adaptive_avg_pool2d(edited(generator, w, s).clamp(0, 1), 8)
            for s in (Shift(), Shift(s=(small * std)[None]))
        )
    assert (other - one).square().flatten(1).sum(1).mean() == pytest.approx(float(small @ gram @ small), rel=0.1)


@pytest.mark.parametrize(("beta", "said"), [(0.99, "no style channel reaches beta 0.99"), (-1, "beta must be")])
def test_a_beta_that_leaves_nothing_is_refused(beta: float, said: str) -> None:
    with pytest.raises(BadArgument, match=said):
        global_direction(relevance(torch.tensor([[0.8, 0.6]])), torch.tensor([1.0, 0.0]), beta=beta)


def test_a_direction_belongs_to_its_generator(generator, other, tmp_path) -> None:
    path = tmp_path / "red.safetensors"
    shift = Shift(s=torch.randn(1, layout(generator).size))
    save_direction(path, Direction(shift, {"target": "red"}), generator)
    again = load_direction(path, generator)
    assert torch.equal(again.shift.s, shift.s)
    assert again.about == {"target": "red"}
    with pytest.raises(BadFile, match="made for another generator"):
        load_direction(path, other)


def test_other_files_are_no_directions(generator, tmp_path) -> None:
    from safetensors.torch import save_file

    save_file({"s": torch.zeros(1, 3)}, tmp_path / "plain.safetensors")
    with pytest.raises(BadFile, match="no direction"):
        load_direction(tmp_path / "plain.safetensors", generator)


def test_templates_of_unknown_words_are_left_out(colours) -> None:
    assert usable(colours, ("{}", "a picture of {}", "an etching of {}")) == ("{}", "a picture of {}")
    assert usable(colours, ("an etching of {}",)) == ("{}",)


def test_a_prompt_is_the_mean_over_templates(colours) -> None:
    own = ensembled(colours, "red", ("{}", "{} light"))
    rows = colours.encode(["red", "red light"])
    assert torch.allclose(own, functional.normalize(rows.mean(0), dim=0))


@pytest.mark.parametrize(
    ("target", "neutral", "said"),
    [("  ", "x", "prompt is empty"), ("red", "", "prompt is empty"), ("a", "x", "the same")],
)
def test_texts_without_a_direction_are_refused(colours, target: str, neutral: str, said: str) -> None:
    with pytest.raises(BadArgument, match=said):
        text_direction(colours, target, neutral)


def test_a_template_without_a_place_is_refused(colours) -> None:
    with pytest.raises(BadArgument, match="must hold"):
        ensembled(colours, "red", ("a picture",))


def test_embeddings_are_of_the_clamped_image(generator, colours) -> None:
    w = sampled_w(generator, 2)
    with torch.no_grad():
        seen = embedded(generator, colours, generator.styles(w))
        assert torch.allclose(seen, colours.encode_images(generator.synthesis(w).clamp(0, 1)))


def test_few_axes_of_the_embedding_are_enough(generator, colours) -> None:
    whole, few = (RelevanceOf(8, share=share).of(generator, colours) for share in (1.0, 0.99))
    text = text_direction(colours, "red", "x")
    assert functional.cosine_similarity(whole.unit @ text, few.unit @ text, dim=0) > 0.98
