import math

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.editing.joint import JointSpace
from advgen.editing.joint_retrieval import answered, found, kept, ranks, spearman


@pytest.fixture
def space() -> JointSpace:
    torch.manual_seed(0)
    return JointSpace(text_dim=6, num_ws=3, w_dim=4, dim=5, hidden=8)


def pairs(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(1)
    return torch.randn(n, 6, generator=draws), torch.randn(n, 3, 4, generator=draws)


def test_without_other_right_phrases_the_loss_is_that_of_the_paper(space):
    text, w = pairs(7)
    logits = space.log_scale.exp() * space.of_text(text) @ space.of_latents(w).T
    own = torch.arange(7)
    expected = -(logits.log_softmax(1)[own, own].mean() + logits.log_softmax(0)[own, own].mean()) / 2
    right = torch.eye(7, dtype=torch.bool)
    assert float(space.loss(text, w, right, ~right).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_what_is_neither_right_nor_wrong_costs_nothing(space):
    text, w = pairs(7)
    right = torch.eye(7, dtype=torch.bool)
    assert float(space.loss(text, w, right, torch.zeros_like(right)).detach()) == pytest.approx(0, abs=1e-6)


def test_an_equal_caption_pushes_nothing_away(space):
    """Two pictures of one caption: at the best the two latents share it, and neither is pushed."""
    text, w = pairs(2)
    text[1], w[1] = text[0], w[0]
    latents = w.clone().requires_grad_()
    everything = torch.ones(2, 2, dtype=torch.bool)
    space.loss(text, latents, everything, ~everything).backward()
    assert latents.grad is not None
    assert float(latents.grad.abs().max()) < 1e-6


def test_the_temperature_stays_where_the_paper_keeps_it(space):
    with torch.no_grad():
        space.log_scale.fill_(9.0)
    space.bound_scale()
    assert float(space.log_scale.detach()) == pytest.approx(math.log(100))


def test_vectors_of_another_encoder_are_refused(space):
    with pytest.raises(BadArgument, match=r"\(N, 6\) were expected, got \(2, 7\)"):
        space.of_text(torch.zeros(2, 7))


def test_training_finds_its_pairs():
    torch.manual_seed(0)
    text, w = pairs(32)
    space = JointSpace(6, 3, 4, 16, 64)
    space.fit_to(text, w)
    optimizer = torch.optim.Adam(space.parameters(), 5e-3)
    right = torch.eye(32, dtype=torch.bool)
    for _ in range(150):
        optimizer.zero_grad()
        space.loss(text, w, right, ~right).backward()
        optimizer.step()
    assert found((space.of_text(text) @ space.of_latents(w).T).detach(), right).at_1 == 1


def test_ranks_count_what_stands_before_the_best_hit():
    cosines = torch.tensor([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.2, 0.2, 0.2]])
    same = torch.tensor([[True, False, False], [False, False, True], [False, True, False]])
    assert ranks(cosines, same).tolist() == [1, 3, 3]  # a tie with a wrong one is lost
    told = found(cosines, same)
    assert (told.at_1, told.at_5, told.median_rank) == (pytest.approx(1 / 3), 1, 3)


def test_an_equal_caption_is_a_hit():
    cosines = torch.tensor([[0.1, 0.9]])
    assert ranks(cosines, torch.tensor([[True, True]])).tolist() == [1]


def test_a_query_without_a_hit_is_refused():
    with pytest.raises(BadArgument, match="no hit"):
        ranks(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool))


def test_a_turned_space_keeps_everything():
    vectors = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1))).Q
    told = kept(vectors, 3 * vectors @ turn + 2)
    assert told.distances == pytest.approx(1, abs=1e-6)
    assert told.neighbours == pytest.approx(1)


def test_a_foreign_space_keeps_what_chance_keeps():
    draws = torch.Generator().manual_seed(0)
    told = kept(torch.randn(200, 20, generator=draws), torch.randn(200, 20, generator=draws))
    assert abs(told.distances) < 0.05
    assert told.neighbours == pytest.approx(told.chance, abs=0.02)


def test_a_parallelogram_is_an_analogy():
    sides = torch.eye(4)
    corners = torch.stack([sides[0], sides[0] + sides[3], sides[1], sides[1] + sides[3], sides[2], sides[2] + sides[3]])
    assert answered(corners, [(0, 1, 2, 3), (2, 3, 4, 5)]) == 1
    assert answered(corners, [(0, 1, 2, 5)]) == 0


def test_spearman_shares_the_ranks_of_equals():
    from scipy.stats import spearmanr

    one, other = torch.tensor([1.0, 2, 2, 5, 0]), torch.tensor([3.0, 1, 4, 4, 0])
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)
