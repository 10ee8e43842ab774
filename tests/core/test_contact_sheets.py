"""Contact sheets: pixels stay as they are, labels are drawn, facts come back."""

import numpy as np
import pytest
import torch

from advgen.core.contact_sheets import ContactSheet, read_facts
from advgen.core.errors import BadArgument


def image(value, side=16, channels=3):
    return torch.full((channels, side, side), value, dtype=torch.uint8)


def whole(picture, value):
    """Pixels of a sheet that have exactly this grey value."""
    return int((np.asarray(picture) == value).all(2).sum())


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (16, 3), (64, 3), (200, 3)])
def test_images_are_enlarged_by_a_whole_factor_and_never_changed(side, channels):
    noise = torch.randint(0, 256, (channels, side, side), dtype=torch.uint8)
    picture = np.asarray(ContactSheet([[noise]]).picture())
    scale = -(-80 // side)
    expected = noise.expand(3, -1, -1).permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)
    assert (picture[4 : 4 + scale * side, 4 : 4 + scale * side] == expected).all()


def test_every_cell_is_there_once_and_none_stays_empty():
    cells = [[image(40), None], [image(90), image(140)]]
    picture = ContactSheet(cells).picture()
    assert [whole(picture, value) for value in (40, 90, 140)] == [80 * 80] * 3


@pytest.mark.parametrize(
    "labels",
    [
        {"rows": ["seed 4294967295", "b"]},
        {"columns": ["a quite long label indeed", "b"]},
        {"captions": [["seed 0", "seed 1"], ["seed 2", "seed 3"]]},
        {"footer": "one line and then another " * 12},
        {"rows": ["a", "b"], "columns": ["c", "d"], "footer": "x", "margins": True},
    ],
)
def test_labels_take_room_of_their_own_and_leave_ink(labels):
    cells = [[image(40), image(60)], [image(90), image(140)]]
    plain, labelled = ContactSheet(cells).picture(), ContactSheet(cells, **labels).picture()
    assert labelled.width >= plain.width
    assert labelled.width * labelled.height > plain.width * plain.height
    dark = lambda picture: int((np.asarray(picture.convert("L")) < 30).sum())
    assert dark(plain) == 0
    assert dark(labelled) > 20
    at_least = whole(plain, 40)  # no label covers a picture
    assert all(whole(labelled, value) >= at_least for value in (40, 60, 90, 140))


def test_facts_come_back_from_the_file(tmp_path):
    facts = {"sheet": "grid", "seeds": [0, 7, 4294967295], "psi": 0.7, "class": None}
    ContactSheet([[image(1)]], facts=facts).save(tmp_path / "deep" / "sheet.png")
    assert read_facts(tmp_path / "deep" / "sheet.png") == facts


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([], "needs images"),
        ([[None]], "needs images"),
        ([[image(1)], [image(1), image(2)]], "as many places in every row"),
        ([[image(1), image(1, side=8)]], "of one size"),
        ([[image(1)] * 100] * 26, "at most 2500 images"),
    ],
)
def test_bad_sheets_are_one_sentence(cells, sentence):
    with pytest.raises(BadArgument, match=sentence):
        ContactSheet(cells)
