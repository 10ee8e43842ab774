"""Pictures: the same bytes for the same avatar, parts and landmarks where they should be, edits that stay local."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from advgen.experiments import avatars
from advgen.experiments.avatars import PARTS, Attributes, Avatar, counterfactual, identity, render, render_batch, sample
from advgen.experiments.avatars.vocabulary import (
    BEARDS,
    EARRINGS,
    EXPRESSIONS,
    EYE_COLOURS,
    GLASSES,
    HAIR_STYLES,
    HATS,
    NECKLINES,
    TINTED,
)

# Soft shadows of an edit reach far with a grey level or two; a pixel counts as changed above that.
CHANGED = 2


@pytest.fixture(scope="module")
def person() -> Avatar:
    return Avatar(identity(0, 4), Attributes(hair_style="short"), grain_seed=5)


def pixels_of(avatar: Avatar, part: str, size: int = 64) -> int:
    return int((render(avatar, size).parts == PARTS[part]).sum())


def share_changed(a: Avatar, b: Avatar, size: int = 64) -> float:
    one, other = (render(x, size).image.astype(int) for x in (a, b))
    return float((np.abs(one - other).max(axis=2) > CHANGED).mean())


def digest_of(count: int, size: int) -> str:
    images, parts = render_batch([sample(3, index) for index in range(count)], size)
    return hashlib.blake2b(images.tobytes() + parts.tobytes()).hexdigest()


def test_a_second_process_draws_the_same_bytes():
    code = "\n".join(
        [
            "import hashlib",
            "from advgen.experiments.avatars import render_batch, sample",
            "images, parts = render_batch([sample(3, index) for index in range(12)], 48)",
            "print(hashlib.blake2b(images.tobytes() + parts.tobytes()).hexdigest())",
        ]
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == digest_of(12, 48)


def test_a_batch_draws_what_single_calls_draw():
    people = [sample(4, index) for index in range(6)]
    images, parts = render_batch(people, 40)
    for avatar, image, part in zip(people, images, parts, strict=True):
        single = render(avatar, 40)
        np.testing.assert_array_equal(single.image, image)
        np.testing.assert_array_equal(single.parts, part)


@pytest.mark.parametrize("size", [32, 33, 64, 100, 256])
def test_every_size_is_drawn(person, size):
    picture = render(person, size)
    assert picture.image.shape == (size, size, 3)
    assert picture.image.dtype == np.uint8
    assert picture.parts.shape == (size, size)
    assert picture.landmarks.shape == (len(avatars.LANDMARKS), 2)
    assert picture.image.std() > 20


@pytest.mark.parametrize("size", [31, 257])
def test_other_sizes_are_refused(person, size):
    with pytest.raises(ValueError, match="32 to 256"):
        render(person, size)


def test_no_pixel_fails():
    # A failed sum is drawn as pure black, which no ink is.
    images, _ = render_batch([sample(5, index) for index in range(300)], 32)
    assert (images.astype(int).sum(axis=3) > 2).all()


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"earrings": "hoops"}, 0.05),
        ({"earrings": "studs"}, 0.02),
        ({"gaze_x": 0.9}, 0.03),
        ({"blink": 1.0}, 0.06),
        ({"glasses": "round"}, 0.14),
        ({"expression": "smile"}, 0.10),
        ({"hair_colour": "blue"}, 0.25),
    ],
)
def test_an_edit_stays_where_it_belongs(person, change, limit):
    assert 0.0 < share_changed(person, counterfactual(person, **change)) < limit


def test_an_edit_leaves_the_rest_equal_to_the_byte(person):
    before, after = render(person, 96).image, render(counterfactual(person, gaze_x=0.9, earrings="drops"), 96).image
    np.testing.assert_array_equal(before[:20], after[:20])
    np.testing.assert_array_equal(before[-12:], after[-12:])


def test_an_unknown_attribute_is_refused(person):
    with pytest.raises(ValueError, match="hair_style"):
        counterfactual(person, hairstyle="bob")


def test_an_unknown_value_is_refused_with_the_nearest(person):
    with pytest.raises(ValueError, match="round"):
        counterfactual(person, glasses="roud")


@pytest.mark.parametrize("glasses", GLASSES)
def test_lenses_show_exactly_what_the_label_says(person, glasses):
    wearer = counterfactual(person, glasses=glasses)
    assert (pixels_of(wearer, "frame") > 20) == (glasses != "none")
    assert (pixels_of(wearer, "tinted lens") > 40) == (glasses in TINTED)
    assert (pixels_of(wearer, "clear lens") > 40) == (glasses not in (*TINTED, "none"))


@pytest.mark.parametrize(
    ("part", "name", "values"), [("hat", "hat", HATS), ("beard", "beard", BEARDS), ("earring", "earrings", EARRINGS)]
)
@pytest.mark.parametrize("yaw", [-26.0, 0.0, 26.0])
def test_a_part_is_there_if_and_only_if_it_is_worn(person, part, name, values, yaw):
    for value in values:
        wearer = counterfactual(person, **{name: value}, yaw=yaw)
        assert (pixels_of(wearer, part) > 0) == (value != "none"), value


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_only_the_bald_have_no_hair(person, style):
    assert (pixels_of(counterfactual(person, hair_style=style), "hair") > 0) == (style != "bald")


def test_what_is_worn_shows_in_every_draw():
    names = {"hat": "hat", "earrings": "earring", "beard": "beard", "glasses": "frame"}
    people = [sample(6, index) for index in range(150)]
    _, parts = render_batch(people, 64)
    for index, (avatar, part) in enumerate(zip(people, parts, strict=True)):
        for attribute, name in names.items():
            worn = getattr(avatar.attributes, attribute) != "none"
            assert bool((part == PARTS[name]).any()) == worn, (index, attribute)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("neckline", NECKLINES[::3])
def test_every_face_has_eyes_lips_and_clothes(person, expression, neckline):
    picture = counterfactual(person, expression=expression, neckline=neckline)
    for part in ("eye", "iris", "lips", "brow", "neck", "clothes", "ear", "background", "face"):
        assert pixels_of(picture, part) > 0 or (part == "neck" and neckline == "turtleneck"), part


def test_landmarks_lie_inside_the_frame():
    for index in range(100):
        points = render(sample(8, index), 64).landmarks
        assert (points > 0).all(), index
        assert (points < 64).all(), index


def test_pupils_lie_on_the_iris_of_frontal_faces():
    eyes = [PARTS["iris"], PARTS["eye"]]
    for number in range(20):
        picture = render(Avatar(identity(2, number), Attributes(gaze_x=0.5), 1), 128)
        for name in ("left pupil", "right pupil"):
            x, y = picture.landmarks[avatars.LANDMARKS.index(name)].astype(int)
            assert picture.parts[y, x] in eyes, (number, name)


def test_the_mouth_landmarks_follow_a_turned_head(person):
    for yaw in (-25.0, 25.0):
        picture = render(counterfactual(person, yaw=yaw), 128)
        x, y = picture.landmarks[avatars.LANDMARKS.index("mouth bottom")].astype(int)
        assert (picture.parts[y - 4 : y + 3, x - 3 : x + 4] == PARTS["lips"]).any()


def test_identities_differ_and_one_identity_does_not():
    plain = Attributes()
    people = [Avatar(identity(0, number), plain, 3) for number in range(40)]
    images, _ = render_batch(people, 64)
    same, _ = render_batch(people[:1], 64)
    np.testing.assert_array_equal(same[0], images[0])
    gaps = [np.abs(images[a].astype(int) - images[b]).mean() for a in range(40) for b in range(a)]
    assert min(gaps) > 1.0
    assert {person.skin for person in (avatar.identity for avatar in people)} == set(avatars.vocabulary.SKIN_TONES)


def test_eye_colours_are_told_apart(person):
    seen = {avatars.identity(0, number).eye_colour for number in range(100)}
    assert seen == set(EYE_COLOURS)
