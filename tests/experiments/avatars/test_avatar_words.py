"""What is said and listed of avatars, how they are drawn at random, and how they move."""

import subprocess
import sys

import numpy as np
import pytest

from advgen.experiments.avatars import (
    BINARY_LABELS,
    HELD_OUT_PHRASINGS,
    HELD_OUT_SYNONYMS,
    PHRASINGS,
    SYNONYMS,
    Attributes,
    Avatar,
    attribute_table,
    caption,
    counterfactual,
    held_out,
    identity,
    sample,
    video,
)
from advgen.experiments.avatars.vocabulary import HAIR_STYLES, HATS, PLAIN_STYLES


@pytest.fixture(scope="module")
def person() -> Avatar:
    return Avatar(identity(0, 4), Attributes(hair_style="short", hair_colour="red"), grain_seed=5)


def test_the_example_of_the_design():
    smiling = Avatar(identity(0, 1), Attributes(hair_colour="red", glasses="round", expression="smile"), 0)
    assert caption(smiling, 0) == "a smiling person with short red hair and round glasses"


def test_captions_name_what_is_worn_and_nothing_else():
    kinds = {
        "glasses": ("glasses", "sunglasses", "eyeglasses", "spectacles", "shades"),
        "hat": ("hat", "cap", "beanie", "beret"),
        "earrings": ("earrings", "hoops", "studs"),
        "beard": ("beard", "stubble", "moustache", "mustache", "goatee"),
    }
    for index in range(200):
        avatar = sample(1, index)
        for unseen in (False, True):
            words = set(caption(avatar, index, held_out_words=unseen).replace(",", "").replace(";", "").split())
            for attribute, spoken in kinds.items():
                worn = getattr(avatar.attributes, attribute) != "none"
                assert bool(words & set(spoken)) == worn, (index, attribute, words)


@pytest.mark.parametrize("style", ["bun", "mohawk", "spiky", "quiff", "space buns", "bald", "puffs"])
def test_a_caption_does_not_mention_what_a_hat_hides(person, style):
    text = caption(counterfactual(person, hair_style=style, hat="beanie"), 0)
    for hidden in ("bun", "mohawk", "spiky", "quiff", "bald", "puff"):
        assert hidden not in text


def test_captions_are_grammatical_about_articles():
    for index in range(300):
        text = f" {caption(sample(2, index), index)} "
        assert not any(f" a {vowel}" in text for vowel in "aeiou"), text
        assert "  " not in text.strip()


def test_every_style_has_words(person):
    for style in HAIR_STYLES:
        for hat in HATS:
            for phrasing in range(2 * len(PHRASINGS)):
                assert "{" not in caption(counterfactual(person, hair_style=style, hat=hat), phrasing)


def test_held_out_synonyms_appear_only_when_asked_for():
    padded = [f" {word} " for word in HELD_OUT_SYNONYMS]
    for index in range(200):
        text = f" {caption(sample(3, index), index)} ".replace(",", " ").replace(";", " ")
        assert not any(word in text for word in padded), text
    assert "individual" in caption(sample(3, 0), 0, held_out_words=True)


def test_held_out_phrasings_and_synonyms_exist():
    assert set(range(len(PHRASINGS))) > HELD_OUT_PHRASINGS
    assert {word for words in SYNONYMS.values() for word in words} >= HELD_OUT_SYNONYMS
    assert not any(words[0] in HELD_OUT_SYNONYMS for words in SYNONYMS.values())


def test_phrasings_differ(person):
    assert len({caption(person, phrasing) for phrasing in range(len(PHRASINGS))}) == len(PHRASINGS)


def test_draws_do_not_depend_on_their_order():
    forward = [sample(9, index) for index in range(5)]
    identity.cache_clear()
    assert [sample(9, index) for index in reversed(range(5))] == forward[::-1]


def test_held_out_combinations_are_left_out_on_request():
    drawn = [sample(1, index) for index in range(800)]
    assert any(held_out(avatar.attributes) for avatar in drawn)
    assert not any(held_out(sample(1, index, allow_held_out=False).attributes) for index in range(800))
    kept = [index for index, avatar in enumerate(drawn) if not held_out(avatar.attributes)]
    assert all(sample(1, index, allow_held_out=False) == drawn[index] for index in kept[:50])


def test_red_hair_with_round_glasses_is_held_out():
    assert held_out(Attributes(hair_colour="red", glasses="round"))
    assert not held_out(Attributes(hair_colour="red", glasses="square"))


def test_plain_faces_look_straight_ahead():
    for index in range(60):
        a = sample(1, index, "plain").attributes
        assert (a.yaw, a.pitch, a.roll, a.gaze_x) == (0.0, 0.0, 0.0, 0.0)
        assert a.hair_style in PLAIN_STYLES


def test_identities_are_bounded_and_all_drawn():
    numbers = {sample(1, index, identities=12).identity.number for index in range(300)}
    assert numbers == set(range(12))


@pytest.mark.parametrize("arguments", [{"variety": "some"}, {"identities": 0}])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="is"):
        sample(0, 0, **arguments)


def test_rows_are_flat_and_alike():
    rows = [attribute_table(sample(1, index)) for index in range(50)]
    assert len({tuple(row) for row in rows}) == 1
    assert all(isinstance(value, str | float | bool | int) for row in rows for value in row.values())
    assert all(isinstance(rows[0][name], bool) for name in BINARY_LABELS)


def test_labels_follow_attributes(person):
    row = attribute_table(counterfactual(person, glasses="sunglasses", expression="grin", hair_style="long wavy"))
    assert (row["glasses"], row["sunglasses"], row["smiling"], row["long_hair"]) == (False, True, True, True)


def test_a_video_is_smooth_and_the_same_again(person):
    frames = video(person, 120, seed=1)
    assert frames == video(person, 120, seed=1)
    assert frames != video(person, 120, seed=2)
    yaw = np.array([frame.attributes.yaw for frame in frames])
    assert np.abs(np.diff(yaw)).max() < 3.0
    assert np.ptp(yaw) > 5.0
    assert max(frame.attributes.blink for frame in frames) == 1.0
    assert {frame.identity for frame in frames} == {person.identity}


def test_a_video_has_at_least_one_frame(person):
    with pytest.raises(ValueError, match="1 frame"):
        video(person, 0, seed=1)


def test_importing_compiles_nothing():
    code = "from advgen.experiments.avatars import kernel; print(kernel.compiled.cache_info().currsize)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "0"
    )
