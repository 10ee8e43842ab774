"""What can be asked of an edit, and when a picture shows it."""

import numpy as np
import pytest

from advgen.core.errors import BadArgument, UnknownName
from advgen.experiments import avatars
from advgen.experiments.edits.attributes import (
    ATTRIBUTES,
    GROUPS,
    UNSEEN,
    VALUES,
    Change,
    for_each,
    parse,
    true_counterfactual,
    truth,
)

PERSON = avatars.identity(0, 3)


def shown(**attributes):
    avatar = avatars.Avatar(PERSON, avatars.Attributes(hair_style="bob", **attributes), 5)
    return truth(avatar, avatars.render(avatar, 64).parts)


def value(name, **attributes):
    place = shown(**attributes)[name]
    return None if place == UNSEEN else VALUES[name][place]


@pytest.mark.parametrize("name", [name for name in ATTRIBUTES if name != "skin"])
def test_the_renderers_answer_to_every_change_shows_what_was_asked_for(name):
    avatar = avatars.Avatar(PERSON, avatars.Attributes(hair_style="bob"), 5)
    for asked in (*VALUES[name], *GROUPS.get(name, {})):
        change = Change(name, asked)
        changed = true_counterfactual(avatar, (change,))
        place = truth(changed, avatars.render(changed, 64).parts)[name]
        assert VALUES[name][place] in change.accepted()


def test_a_change_of_one_attribute_leaves_the_others_as_they_were():
    avatar = avatars.Avatar(PERSON, avatars.Attributes(hair_style="bob"), 5)
    changed = true_counterfactual(avatar, (Change("beard", "full"),))
    one, other = (truth(a, avatars.render(a, 64).parts) for a in (avatar, changed))
    assert {name for name in one if one[name] != other[name]} == {"beard"}


def test_what_a_hat_hides_is_not_judged():
    avatar = avatars.Avatar(PERSON, avatars.Attributes(hair_style="short", hat="beanie"), 5)
    assert truth(avatar, avatars.render(avatar, 64).parts)["hair_style"] == UNSEEN
    assert truth(avatar, np.zeros((64, 64), np.uint8))["hair_colour"] == UNSEEN


def test_an_age_between_young_and_elderly_is_not_judged():
    assert [value("age", age=age) for age in (0.0, 0.5, 0.9)] == ["young", None, "elderly"]


def test_hair_half_turned_grey_has_no_judged_colour_but_dyed_hair_has():
    assert [value("hair_colour", hair_colour="brown", age=age) for age in (0.3, 0.75, 0.95)] == ["brown", None, "grey"]
    assert value("hair_colour", hair_colour="teal", age=0.75) == "teal"


def test_clear_and_tinted_glasses_are_told_apart_and_their_shapes_beside():
    assert (value("glasses", glasses="round"), value("glasses", glasses="sunglasses")) == ("clear", "tinted")
    assert value("glasses_kind", glasses="cat-eye") == "cat-eye"


def test_changes_are_read_from_text():
    assert parse("hat=beanie, expression=smiling") == (Change("hat", "beanie"), Change("expression", "smiling"))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("hat", BadArgument, "none, beanie"),
        ("hats=beanie", UnknownName, "hat"),
        ("hat=beany", UnknownName, "beanie"),
    ],
)
def test_a_change_that_there_is_not_is_refused_with_what_there_is(text, kind, said):
    with pytest.raises(kind, match=said):
        parse(text)


def test_one_change_is_asked_of_every_image_and_rows_of_their_own():
    hat, beard = Change("hat", "beanie"), Change("beard", "full")
    assert for_each(hat, 2) == ((hat,), (hat,))
    assert for_each((hat, beard), 1) == ((hat, beard),)
    assert for_each([[hat], [beard]], 2) == ((hat,), (beard,))


def test_rows_that_do_not_fit_the_images_are_refused():
    hat = Change("hat", "beanie")
    with pytest.raises(BadArgument, match="3 images need 3 rows"):
        for_each([[hat]], 3)
    with pytest.raises(BadArgument, match="different attributes"):
        for_each((hat, Change("hat", "none")), 1)


def test_another_skin_is_another_person():
    with pytest.raises(BadArgument, match="another person"):
        true_counterfactual(avatars.Avatar(PERSON, avatars.Attributes(), 5), (Change("skin", "dark"),))
