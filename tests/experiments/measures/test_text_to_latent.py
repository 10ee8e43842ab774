"""What a map from text to latents is asked for."""

import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.experiments.avatars import sample
from advgen.experiments.avatars.people import held_out
from advgen.experiments.avatars.synonyms import UNSEEN
from advgen.experiments.measures import _asked, text_to_latent
from advgen.experiments.recipes._phrases import prior
from advgen.experiments.recipes._prompts import codes, mask


@pytest.fixture(scope="module")
def shown() -> torch.Tensor:
    drawn = [sample(0, i, "plain", allow_held_out=False).attributes for i in range(3000)]
    assert not any(held_out(a) for a in drawn)
    return codes(drawn)


def test_prompts_ask_for_one_to_three_things_of_a_small_prior(shown) -> None:
    prompts = _asked.drawn(shown, 30)
    assert {len(p.changes) for p in prompts} == {1, 2, 3}
    assert len({p.text for p in prompts}) == 30
    for thing in _asked.askable(shown):
        assert prior(shown, mask([thing.said])) <= _asked.MOST


def test_every_arm_is_asked_the_same(shown) -> None:
    one, again = _asked.drawn(shown, 12), _asked.drawn(shown, 12)
    assert [p.text for p in one] == [p.text for p in again]
    assert [p.name for p in _asked.drawn(shown, 20)][:12] == [p.name for p in one]


def test_what_is_asked_for_is_known_to_the_judge(shown) -> None:
    for prompt in (*_asked.drawn(shown, 30), *_asked.synonyms(shown), *_asked.combined(shown, 10)):
        assert all(change.accepted() for change in prompt.changes)


def test_combined_prompts_ask_for_what_no_training_picture_shows(shown) -> None:
    for prompt in _asked.combined(shown, 10):
        assert not bool(_asked.satisfied(shown, prompt.mask).any())


def test_a_synonym_stands_where_the_usual_word_stands(shown) -> None:
    usual = {prompt.changes: prompt for prompt in _asked.usual(shown)}
    asked = _asked.synonyms(shown)
    assert len(asked) > 20
    for prompt in asked:
        assert prompt.word in prompt.text.split()
        if prompt.changes in usual:
            assert usual[prompt.changes].word in UNSEEN
            assert torch.equal(usual[prompt.changes].mask, prompt.mask)


def test_analogies_are_squares_of_phrases(shown) -> None:
    phrases, quads = _asked.grid_of_phrases(shown)
    assert len(set(phrases)) == len(phrases)
    a, b, c, d = (phrases[k] for k in quads[0])
    assert b.removeprefix(a) == d.removeprefix(c) != ""


def test_what_is_not_known_leaves_the_analogies_that_still_stand(shown) -> None:
    phrases, quads = _asked.grid_of_phrases(shown)
    kept, left = _asked.only_known(phrases, quads, [k != quads[0][1] for k in range(len(phrases))])
    assert len(kept) == len(phrases) - 1
    assert 0 < len(left) < len(quads)
    before = {tuple(phrases[k] for k in quad) for quad in quads}
    assert {tuple(kept[k] for k in quad) for quad in left} < before


def test_a_generator_without_phrases_cannot_stand_for_one_trained_with_them() -> None:
    with pytest.raises(BadArgument, match="was not conditioned on captions"):
        text_to_latent._conditioned("stylegan2_fashion_32")
