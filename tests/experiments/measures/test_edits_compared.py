"""The edits that methods are compared on."""

import pytest

from advgen.core.errors import UnknownName
from advgen.experiments.avatars import sample
from advgen.experiments.edits.attributes import VALUES, true_counterfactual
from advgen.experiments.measures._edits import EDITS, named


def test_a_list_names_its_edits_in_order() -> None:
    assert list(named("hat, glasses")) == ["hat", "glasses"]
    with pytest.raises(UnknownName, match="did you mean 'glasses'"):
        named("glases")


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_can_be_read_and_drawn(name: str) -> None:
    """The judge knows its values, and the renderer can draw what should come out."""
    asked = EDITS[name]
    assert set(asked.change.accepted()) <= set(VALUES[asked.change.attribute])
    avatar = sample(0, 3, "plain", 128)
    assert true_counterfactual(avatar, [asked.change]) is not None
    assert asked.target != asked.neutral
