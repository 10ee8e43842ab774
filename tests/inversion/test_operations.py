"""Latent algebra by its closed forms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advgen.core.errors import BadArgument
from advgen.inversion.operations import crossover, mixing_table, morph, transfer_expression, transfer_style, truncate

N, L, D = 3, 6, 4


def latents(seed=0, n=N):
    return torch.randn(n, L, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 12))
def test_a_morph_starts_and_ends_at_its_ends_and_goes_in_equal_steps(steps):
    a, b = latents(0), latents(1)
    line = morph(a, b, steps=steps)
    assert line.shape == (N, steps, L, D)
    assert torch.equal(line[:, 0], a)
    assert torch.equal(line[:, -1], b)
    assert torch.allclose(line.diff(dim=1), ((b - a) / (steps - 1))[:, None].expand(-1, steps - 1, -1, -1))


def test_a_morph_backwards_is_the_morph_read_backwards():
    a, b = latents(0), latents(1)
    assert torch.allclose(morph(a, b, steps=5), morph(b, a, steps=5).flip(1))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, L))
def test_style_transfer_takes_the_fine_rows_of_the_style(layer):
    content, style = latents(0), latents(1)
    mixed = transfer_style(content, style, layer=layer)
    assert torch.equal(mixed[:, :layer], content[:, :layer])
    assert torch.equal(mixed[:, layer:], style[:, layer:])


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(0, L - 1)))
def test_crossover_there_and_back_is_the_identity(rows):
    a, b = latents(0), latents(1)
    mixed, rest = crossover(a, b, rows=rows), crossover(b, a, rows=rows)
    assert torch.equal(crossover(mixed, rest, rows=rows), a)
    assert torch.equal(crossover(a, b, rows=set(range(L)) - rows), rest)


def test_crossover_leaves_its_inputs_alone():
    a, b = latents(0), latents(1)
    crossover(a, b, rows=[1])[:] = 0
    assert torch.equal(a, latents(0))
    assert torch.equal(b, latents(1))


@settings(deadline=None, max_examples=25)
@given(st.floats(-3, 3))
def test_an_expression_given_to_the_neutral_latent_makes_the_expressive_one_at_strength_one(strength):
    w, expressive, neutral = latents(0), latents(1), latents(2)
    assert torch.allclose(transfer_expression(neutral, expressive, neutral), expressive)
    moved = transfer_expression(w, expressive, neutral, strength=strength)
    assert torch.allclose(transfer_expression(moved, neutral, expressive, strength=strength), w)


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 1), st.floats(0, 1))
def test_truncations_multiply_and_scale_the_distance_to_the_mean(first, second):
    w, mean = latents(0), latents(1)[0, 0]
    twice = truncate(truncate(w, mean, psi=first), mean, psi=second)
    assert torch.allclose(twice, truncate(w, mean, psi=first * second))
    assert torch.allclose((twice - mean).norm(), first * second * (w - mean).norm())


def test_truncation_keeps_what_lies_behind_the_cutoff():
    w, mean = latents(0), latents(1)[0, 0]
    cut = truncate(w, mean, psi=0.0, cutoff=2)
    assert torch.equal(cut[:, :2], mean.expand(N, 2, D))
    assert torch.equal(cut[:, 2:], w[:, 2:])


def test_a_mixing_table_holds_the_crossover_of_every_pair():
    down, across = latents(0), latents(1, n=5)
    table = mixing_table(down, across, rows=[0, 3])
    assert table.shape == (N, 5, L, D)
    for a in range(N):
        for b in range(5):
            assert torch.equal(table[a, b], crossover(down[a : a + 1], across[b : b + 1], rows=[0, 3])[0])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: morph(latents(), latents(), steps=1), "at least 2 steps"),
        (lambda: morph(latents(), latents(n=2), steps=2), "latents of one shape"),
        (lambda: morph(latents()[0], latents()[0], steps=2), r"shape \(N, L, D\), got \(6, 4\)"),
        (lambda: transfer_style(latents(), latents(), layer=7), "from 0 to 6, got 7"),
        (lambda: crossover(latents(), latents(), rows=[6]), "row 6 was asked for; these latents have rows 0 to 5"),
        (lambda: mixing_table(latents(), latents()[:, :3], rows=[0]), "latents of one shape"),
        (lambda: truncate(latents(), torch.zeros(3), psi=0.5), r"shape \(4,\), got \(3,\)"),
        (lambda: transfer_expression(latents(), latents(n=1), latents(n=1)), "latents of one shape"),
    ],
)
def test_bad_latents_are_one_sentence(call, sentence):
    with pytest.raises(BadArgument, match=sentence):
        call()
