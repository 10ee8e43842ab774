"""Pictures from a text."""

import csv

import pytest
import torch

from advgen.core.errors import BadArgument, UnknownName
from advgen.editing.from_text import FromText, from_text, save


@pytest.mark.parametrize("method", ["best", "latent"])
def test_pictures_show_more_of_the_text_than_plain_samples(generator, colours, method) -> None:
    made = from_text(FromText("red", method, calls=6, steps=6), generator, colours, (0, 1, 2, 3))
    assert (made.score >= made.first - 0.01).all()
    assert made.score.mean() > made.first.mean()
    assert made.calls == (6 if method == "best" else 13)


def test_a_seeds_picture_does_not_depend_on_the_others(generator, colours) -> None:
    asked = FromText("red", calls=4)
    together, alone = (from_text(asked, generator, colours, seeds) for seeds in ((3, 8), (8,)))
    assert torch.allclose(together.w[1], alone.w[0])


def test_what_is_written(generator, colours, tmp_path) -> None:
    asked = FromText("red", calls=2)
    made = from_text(asked, generator, colours, (0, 5, 6, 7, 9))
    sheet = save(made, asked, (0, 5, 6, 7, 9), tmp_path / "out")
    assert sheet.exists()
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").read_text().splitlines()))
    assert [row["seed"] for row in rows] == ["0", "5", "6", "7", "9"]
    assert (tmp_path / "out" / "seed0005.png").exists()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: FromText("red", "magic"), UnknownName),
        (lambda: FromText("red", calls=0), BadArgument),
        (lambda: FromText("red", steps=0), BadArgument),
    ],
)
def test_what_cannot_be_is_refused(make, error) -> None:
    with pytest.raises(error):
        make()


def test_an_empty_text_is_refused(generator, colours) -> None:
    with pytest.raises(BadArgument, match="prompt is empty"):
        from_text(FromText(" "), generator, colours, (0,))
