import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.editing.conditional import ConditionalMapper
from advgen.editing.joint_edits import summed, terms, text_shift
from advgen.editing.joint_maps import TextToLatent

SPREAD = 0.5  # of each cluster


def clusters(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two phrases, and the latents of which each is true: around (2, 2, 0) and (-2, 2, 0)."""
    draws = torch.Generator().manual_seed(0)
    which = torch.arange(n) % 2
    text = torch.eye(4)[which]
    middle = torch.tensor([[2.0, 2.0, 0.0], [-2.0, 2.0, 0.0]])[which]
    w = middle + SPREAD * torch.randn(n, 3, generator=draws)
    return text, w[:, None].expand(-1, 5, -1)


@pytest.fixture(scope="module")
def mapper() -> ConditionalMapper:
    torch.manual_seed(0)
    text, w = clusters(2048)
    mapper = ConditionalMapper(text_dim=4, num_ws=5, w_dim=3, rows=1, z_dim=3, width=48, blocks=2)
    mapper.fit_to(text, w)
    optimizer = torch.optim.Adam(mapper.parameters(), 4e-3)
    for _ in range(400):
        rows = torch.randint(2048, (256,))
        optimizer.zero_grad()
        mapper.loss(text[rows], w[rows]).backward()
        optimizer.step()
    return mapper.eval().requires_grad_(False)


def sampled(mapper: ConditionalMapper, which: int, guidance: float) -> torch.Tensor:
    z = torch.randn(400, 3, generator=torch.Generator().manual_seed(9))
    return mapper(torch.eye(4)[[which]].expand(400, -1), z, guidance=guidance)[:, 0]


@pytest.mark.parametrize("which", [0, 1])
def test_a_phrase_gives_latents_of_which_it_is_true_and_that_vary_as_those_do(mapper, which):
    w = sampled(mapper, which, guidance=1.0)
    side = 1 if which == 0 else -1
    assert float((w[:, 0] * side > 0).float().mean()) > 0.97
    assert w.mean(0).tolist() == pytest.approx([2 * side, 2, 0], abs=0.2)
    assert w.std(0).tolist() == pytest.approx([SPREAD] * 3, abs=0.2)


def test_no_phrase_gives_latents_of_all_phrases(mapper):
    z = torch.randn(400, 3, generator=torch.Generator().manual_seed(9))
    text = torch.eye(4)[[0]].expand(400, -1)
    w = mapper(text, z, guidance=0.0)[:, 0]
    assert float((w[:, 0] > 0).float().mean()) == pytest.approx(0.5, abs=0.1)


def test_rows_of_w_are_equal_and_of_w_plus_their_own(mapper):
    assert float(mapper(torch.eye(4), torch.randn(4, 3)).diff(dim=1).abs().max()) == 0
    plus = ConditionalMapper(4, 5, 3, rows=5, z_dim=15, width=8, blocks=1).requires_grad_(False)
    assert float(plus(torch.eye(4), torch.randn(4, 15)).diff(dim=1).abs().max()) > 0


def test_coordinates_and_latents_are_each_others_way_back(mapper):
    _, w = clusters(16)
    assert torch.allclose(mapper.latents(mapper.coordinates(w)), w, atol=1e-5)


def test_the_z_of_a_latent_makes_the_latent_again(mapper):
    text, w = clusters(32)
    again = mapper(text, mapper.z_of(w, text, steps=40), guidance=1.0, steps=40)
    assert float((again - w).abs().mean()) < 0.02


def test_an_edit_moves_latents_to_the_other_phrase_and_keeps_the_rest(mapper):
    network = TextToLatent(4, 5, 3, 1, 3, 48, 2, 4, 4)
    network.mapper = mapper
    _, w = clusters(200)
    ones, texts = w[::2], torch.eye(4)
    moved = ones + text_shift(network, ones, texts[:1], texts[1:2], guidance=1.0, steps=24).w
    assert float((moved[:, 0, 0] < 0).float().mean()) > 0.95
    for kept in (1, 2):
        told = torch.corrcoef(torch.stack([moved[:, 0, kept], ones[:, 0, kept]]))[0, 1]
        assert float(told) > 0.9
    same = text_shift(network, ones, texts[:1], texts[:1], guidance=1.0, steps=40).w
    assert same is not None
    assert float(same.abs().mean()) < 0.03


def test_differences_between_rows_survive_an_edit(mapper):
    network = TextToLatent(4, 5, 3, 1, 3, 48, 2, 4, 4)
    network.mapper = mapper
    w = clusters(8)[1] + 0.1 * torch.randn(8, 5, 3, generator=torch.Generator().manual_seed(2))
    shift = text_shift(network, w, None, torch.eye(4)[1:2]).w
    assert shift is not None
    assert torch.allclose((w + shift).diff(dim=1), w.diff(dim=1), atol=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("king - man + woman", [(1, "king"), (-1, "man"), (1, "woman")]),
        ("a cat-eye frame", [(1, "a cat-eye frame")]),
        ("- red hair + blue hair", [(-1, "red hair"), (1, "blue hair")]),
    ],
)
def test_sums_of_phrases_are_read(text, expected):
    assert list(terms(text)) == expected


@pytest.mark.parametrize("text", ["", "king - ", "+ + a"])
def test_sums_that_lack_a_phrase_are_refused(text):
    with pytest.raises(BadArgument, match="king - man"):
        terms(text)


def test_a_sum_that_cancels_out_is_refused():
    class Same:
        def encode(self, texts):
            return torch.ones(len(texts), 4) / 2

    with pytest.raises(BadArgument, match="cancels out"):
        summed(Same(), terms("a - b"))


def test_wrong_sizes_are_refused(mapper):
    with pytest.raises(BadArgument, match="rows must be 1 or 5"):
        ConditionalMapper(4, 5, 3, rows=2, z_dim=3)
    with pytest.raises(BadArgument, match=r"z must have the shape \(N, 3\)"):
        mapper(torch.eye(4), torch.zeros(4, 2))
    with pytest.raises(BadArgument, match="phrase vectors"):
        mapper(torch.zeros(4, 9), torch.zeros(4, 3))
