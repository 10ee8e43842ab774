"""Phrases for a map from text to latents, and the map itself on a generator that knows nothing."""

import re

import numpy as np
import pytest
import torch

from advgen.core.errors import BadArgument
from advgen.embeddings.encoders.phrase import Phrase
from advgen.embeddings.vectors import Vectors
from advgen.experiments.avatars import HELD_OUT_SYNONYMS, sample
from advgen.experiments.avatars.synonyms import UNSEEN
from advgen.experiments.recipes import _phrases as phrases
from advgen.experiments.recipes._prompts import ASPECTS, codes, mask, things, truths
from advgen.experiments.recipes._text_vectors import at_random, named


@pytest.fixture(scope="module")
def shown() -> torch.Tensor:
    return codes([sample(0, i, "full").attributes for i in range(300)])


@pytest.fixture(scope="module")
def said(shown) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    speaker, draws = phrases.Speaker(), np.random.default_rng(0)
    drawn = [(speaker.phrase(code, draws), code) for code in shown for _ in range(4)]
    return [(one[0], one[1], code) for one, code in drawn if one]


def test_every_phrase_is_true_of_its_picture(said) -> None:
    for text, asked, code in said:
        right, wrong = truths(code[None], asked[None])
        assert bool(right[0, 0]), text
        assert not bool(wrong[0, 0]), text


def test_no_phrase_holds_a_word_that_is_kept_for_tests(said) -> None:
    unseen = {word for words in UNSEEN.values() for word in words}
    unseen |= {word for word in HELD_OUT_SYNONYMS if " " not in word} - {"aged"}  # of the compound "middle-aged"
    spoken = {word for text, _, _ in said for word in re.findall(r"[a-z]+", text)}
    assert not spoken & unseen


def test_every_way_of_saying_a_thing_avoids_words_kept_for_tests() -> None:
    unseen = {word for words in UNSEEN.values() for word in words}
    ways = {
        w for s in phrases.Speaker().things for way in (*s.traits, *s.adjectives) for w in re.findall(r"[a-z]+", way)
    }
    assert not ways & unseen


def test_what_is_not_there_is_not_said(said) -> None:
    assert not any(f" {word} " in f" {text} " for text, _, _ in said for word in ("no", "without", "neutral"))


def test_some_phrases_say_little_and_some_all(said) -> None:
    counts = {int((asked != 0).sum()) for _, asked, _ in said}
    assert {1, 2, 3, 4} <= counts
    assert max(counts) > phrases.MOST


def test_kept_back_combinations_are_known(shown) -> None:
    red, round_ = ASPECTS["hair colour"].index("red"), ASPECTS["glasses"].index("round")
    one = torch.zeros(1, len(ASPECTS), dtype=torch.int32)
    one[0, list(ASPECTS).index("hair colour")] = 1 << red
    assert not bool(phrases.kept_back(one)[0])
    one[0, list(ASPECTS).index("glasses")] = 1 << round_
    assert bool(phrases.kept_back(one)[0])


def test_the_prior_is_a_share_of_those_that_can_be_seen(shown) -> None:
    beard = mask([next(s for s in things() if s.aspect == "beard" and s.values == ("full",))])
    column = shown[:, list(ASPECTS).index("beard")]
    expected = (column == 1 << ASPECTS["beard"].index("full")).float().mean()
    assert phrases.prior(shown, beard) == pytest.approx(float(expected))


def vectors(*words: str) -> Vectors:
    matrix = np.random.default_rng(0).standard_normal((len(words), 6)).astype(np.float32)
    return Vectors(words, matrix, np.array([1000 // (k + 1) for k in range(len(words))]))


def test_phrases_without_a_known_word_are_counted_and_left_out(shown) -> None:
    found = phrases.Phrases.of_codes(Phrase(vectors("red", "hair")), shown[:60], "train", whole=False)
    assert found.lost > 0
    assert len(found.texts) == len(found.vectors) == len(found.masks)
    assert int(found.of.max()) < len(found.texts)
    told = phrases.spoken(Phrase(vectors("red", "hair")), found)
    assert "hair" not in told.unknown
    assert any("no vector for" in sentence for sentence in told.sentences("these"))


def test_rare_words_are_named(shown) -> None:
    rare = Phrase(Vectors(("hair", "person", "red"), np.eye(3, 6, dtype=np.float32), np.array([900, 500, 19])))
    found = phrases.Phrases.of_codes(rare, shown[:200], "train", whole=False)
    assert phrases.spoken(rare, found).rare == ("red",)


def test_a_phrase_is_right_of_its_own_picture_and_right_is_never_wrong(shown) -> None:
    known = Phrase(vectors("person", "human", "hair", "face"))
    found = phrases.Phrases.of_codes(known, shown[:50], "train", whole=False)
    own = shown[:50][found.places]
    for way in range(found.of.shape[1]):
        right, wrong = found.truths(found.of[:, way], own)
        assert bool(right.diagonal().all())
        assert not bool((right & wrong).any())


def test_what_a_picture_hides_makes_a_phrase_neither_right_nor_wrong(shown) -> None:
    known = Phrase(vectors("person", "human", "hair", "face"))
    found = phrases.Phrases.of_codes(known, shown[:50], "train", whole=True)
    right, wrong = found.truths(found.of[:, 0], torch.zeros(1, shown.shape[1], dtype=torch.int32))
    assert not bool((right | wrong).any())


def test_random_vectors_know_the_same_words_and_nothing_else() -> None:
    true = vectors("red", "hair", "blue")
    one, again, other = at_random(true, 0), at_random(true, 0), at_random(true, 1)
    assert one.words == true.words
    assert np.array_equal(one.matrix, again.matrix)
    assert not np.array_equal(one.matrix, other.matrix)
    assert one.counts is true.counts


def test_vectors_are_named_by_kind() -> None:
    assert named("clip:clip_avatars_64") == ("clip", "clip_avatars_64")
    assert named("random:wiki.safetensors") == ("random", "wiki.safetensors")
    assert named("wiki.safetensors") == ("phrase", "wiki.safetensors")


def test_numbers_that_cannot_be_are_refused(tmp_path) -> None:
    from advgen.core import registry
    from advgen.core.meter import Meter

    recipe = registry.create("recipes", "text_to_latent", samples=0)
    with pytest.raises(BadArgument, match="samples and held_out"):
        recipe.train(tmp_path, seed=0, device="cpu", resume=False, limit=None, meter=Meter())
