"""The verdict on what was read before and after, without any network."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from advgen.experiments.avatars import LANDMARKS
from advgen.experiments.edits.attributes import ATTRIBUTES, FINE, KEPT, UNSEEN, VALUES, Change
from advgen.experiments.edits.portraits import PARAMETERS
from advgen.experiments.edits.reading import Reading
from advgen.experiments.edits.verdicts import judged

BASE = {name: values[0] for name, values in VALUES.items()}


def read(*rows, sure=1.0):
    """A reading that gives the named values the probability `sure`, and the first other value the rest."""
    made = {}
    for name, values in VALUES.items():
        part = torch.zeros(len(rows), len(values))
        for i, row in enumerate(rows):
            place = values.index({**BASE, **row}[name])
            part[i, place] = sure
            part[i, (place + 1) % len(values)] = 1 - sure
        made[name] = part
    return Reading(made, torch.zeros(len(rows), len(PARAMETERS)), torch.zeros(len(rows), len(LANDMARKS), 2))


BEARD = [(Change("beard", "full"),)]


def test_the_change_alone_is_exact():
    told = judged(read({}), read({"beard": "full"}), BEARD)
    assert (told.already[0], told.asked_for[0], told.exact[0], told.others[0]) == (False, True, True, ())


def test_nothing_changed_is_not_what_was_asked_for():
    told = judged(read({}), read({}), BEARD)
    assert not told.asked_for[0]
    assert not told.exact[0]
    assert told.others[0] == ()


def test_what_was_there_before_is_said():
    assert judged(read({"beard": "full"}), read({"beard": "full"}), BEARD).already[0]


@given(st.sampled_from([name for name in KEPT if name != "beard"]), st.data())
def test_any_other_change_is_named_and_spoils_the_verdict(name, data):
    other = data.draw(st.sampled_from(VALUES[name][1:]))
    told = judged(read({}), read({"beard": "full", name: other}), BEARD)
    assert told.asked_for[0]
    assert not told.exact[0]
    assert told.others[0] == (name,)


def test_a_doubt_is_not_a_change():
    """The pictures are read with different values, and each leaves the other's open."""
    one, other = read({"expression": "neutral"}, sure=0.6), read({"expression": "smile"}, sure=0.6)
    one.probabilities["expression"][0] = torch.tensor([0.55, 0.45, 0, 0])
    other.probabilities["expression"][0] = torch.tensor([0.45, 0.55, 0, 0])
    assert judged(one, other, BEARD).others[0] == ()


def test_a_hat_may_hide_the_cut_and_the_colour_of_the_hair():
    told = judged(
        read({}), read({"hat": "beanie", "hair_style": "bowl cut", "hair_colour": "red"}), [(Change("hat", "beanie"),)]
    )
    assert told.exact[0]


def test_two_short_cuts_under_a_hat_are_alike_and_without_one_they_are_not():
    under = {"hat": "beanie"}
    beard = {"beard": "full"}
    assert judged(read(under), read({**under, **beard, "hair_style": "bowl cut"}), BEARD).exact[0]
    assert not judged(read({}), read({**beard, "hair_style": "bowl cut"}), BEARD).exact[0]
    assert not judged(read(under), read({**under, **beard, "hair_style": "bob"}), BEARD).exact[0]


def test_any_value_of_a_group_is_what_was_asked_for():
    asked = [(Change("expression", "smiling"),)] * 3
    told = judged(
        read({}, {}, {}), read({"expression": "smile"}, {"expression": "grin"}, {"expression": "surprised"}), asked
    )
    assert told.exact.tolist() == [True, True, False]


def test_what_the_originals_truth_hides_is_not_compared():
    values = np.zeros((1, len(ATTRIBUTES)), int)
    hidden = values.copy()
    hidden[0, ATTRIBUTES.index("age")] = UNSEEN
    after = read({"beard": "full", "age": "elderly"})
    assert judged(read({}), after, BEARD, truths=(values, values)).others[0] == ("age",)
    assert judged(read({}), after, BEARD, truths=(hidden, hidden)).others[0] == ()


def test_shapes_and_sorts_are_read_only_where_they_are_asked_for():
    assert set(KEPT) == set(ATTRIBUTES) - set(FINE)
    asked = [(Change("glasses_kind", "cat-eye"),)]
    assert judged(read({}), read({"glasses_kind": "cat-eye", "glasses": "clear"}), asked).exact[0]
    assert not judged(read({}), read({"glasses_kind": "round", "glasses": "clear"}), asked).asked_for[0]


def test_no_pictures_get_no_verdicts():
    assert judged(read(), read(), []).exact.shape == (0,)
