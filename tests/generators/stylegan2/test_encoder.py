"""The encoder network: where it starts, which rows may differ, and that a card rebuilds it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.config import sizes
from advgen.generators.stylegan2.encoder import LatentEncoder, delta_norm
from advgen.zoo.networks import build

L, D = 6, 5


def encoder(resolution=16, *, space="w+", seed=0, drawn=True, **sizes):
    """With something in its last layers, which begin at zero, and in its mean."""
    torch.manual_seed(seed)
    made = LatentEncoder(resolution, L, D, space=space, width=4, hidden=8, **sizes)
    made.mean_w.normal_()
    if drawn:
        for level in made.levels:
            torch.nn.init.normal_(level.rows.weight)
    return made.eval()


def images(n=3, resolution=16, channels=3):
    return torch.rand(n, channels, resolution, resolution, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("space", ["w", "w+"])
def test_untrained_it_gives_the_mean_of_w(space):
    made = encoder(space=space, drawn=False)
    assert torch.equal(made(images()), made.mean_w.expand(3, L, D))


@torch.no_grad()
@settings(deadline=None, max_examples=25)
@given(st.integers(1, L))
def test_rows_beyond_the_active_ones_equal_the_first(active):
    made = encoder()
    made.active.fill_(active)
    w = made(images())
    same = (w == w[:, :1]).all(2).all(0)
    assert same.tolist() == [row == 0 or row >= active for row in range(L)]


@torch.no_grad()
def test_one_row_more_leaves_the_others_as_they_were():
    made, before = encoder(), None
    for active in range(1, L + 1):
        made.active.fill_(active)
        w = made(images())
        if before is not None:
            assert torch.equal(w[:, : active - 1], before[:, : active - 1])
        before = w


@torch.no_grad()
def test_in_w_all_rows_are_equal_and_depend_on_the_image():
    w = encoder(space="w")(images())
    assert torch.equal(w, w[:, :1].expand(-1, L, -1))
    assert (w[0] - w[1]).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_of_image_gives_rows(resolution, channels):
    made = LatentEncoder(resolution, 2 * len(sizes(resolution)), D, channels, width=2, hidden=4).eval()
    assert made(images(2, resolution, channels)).shape == (2, 2 * len(sizes(resolution)), D)


@torch.no_grad()
def test_an_images_rows_do_not_depend_on_its_batch():
    made, several = encoder(), images(7)
    alone = torch.cat([made(image[None]) for image in several])
    assert torch.allclose(made(several), alone, atol=1e-5)


def test_equal_rows_have_no_delta_norm_and_a_finite_gradient():
    w = torch.randn(3, 1, D).expand(-1, L, -1).clone().requires_grad_(True)
    norm = delta_norm(w)
    assert torch.equal(norm, torch.zeros(3))
    norm.sum().backward()
    assert torch.equal(w.grad, torch.zeros_like(w))


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 100))
def test_the_delta_norm_is_the_length_of_one_moved_row(length):
    w = torch.zeros(2, L, D, dtype=torch.float64)
    w[:, 3, 1] = length
    assert torch.allclose(delta_norm(w), torch.full((2,), length, dtype=torch.float64))


def test_moving_the_first_row_moves_away_from_all_others():
    w = torch.zeros(1, L, D)
    w[:, 0, 0] = 2.0
    assert float(delta_norm(w)) == 2.0 * (L - 1)


def test_a_card_rebuilds_it():
    made = encoder()
    again = build("latent-encoder", resolution=16, num_ws=L, w_dim=D, width=4, hidden=8).eval()
    again.load_state_dict(made.state_dict())
    with torch.no_grad():
        assert torch.equal(again(images()), made(images()))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: encoder()(images(resolution=32)), r"\(N, 3, 16, 16\), got \(3, 3, 32, 32\); scale them first"),
        (lambda: encoder()(images(channels=1)), r"got \(3, 1, 16, 16\)"),
        (lambda: LatentEncoder(16, L, D, space="z"), "must be w or w\\+, got 'z'"),
        (lambda: LatentEncoder(24, L, D), "power of two"),
        (lambda: LatentEncoder(16, L, D, width=0), "must be 1 or more"),
    ],
)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(BadArgument, match=sentence):
        call()
