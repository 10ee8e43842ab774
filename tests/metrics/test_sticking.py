"""Details that follow, stay, or go half of the way, made on purpose."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.metrics.sticking import sticking

SHIFTS = [(4.0, 0.0), (0.0, -3.0), (3.0, 2.0), (2.5, -1.5)]


def waves(seed: int, low: float, high: float, *, shift: tuple[float, float] = (0, 0), side: int = 64) -> Tensor:
    """(4, 1, side, side) of random waves with frequencies between `low` and `high` cycles a pixel, moved exactly."""
    generator = torch.Generator().manual_seed(seed)
    frequencies = low + (high - low) * torch.rand(4, 40, generator=generator)
    angles = 6.2832 * torch.rand(4, 40, generator=generator)
    phases = 6.2832 * torch.rand(4, 40, generator=generator)
    y, x = torch.meshgrid(*(torch.arange(side) - float(by) for by in (shift[1], shift[0])), indexing="ij")
    fx, fy = frequencies * angles.cos(), frequencies * angles.sin()
    argument = 6.2832 * (fx[..., None, None] * x + fy[..., None, None] * y) + phases[..., None, None]
    return argument.cos().mean(1, keepdim=True)


def content(shift: tuple[float, float] = (0, 0)) -> Tensor:
    return waves(0, 0.02, 0.08, shift=shift)


def details(shift: tuple[float, float] = (0, 0)) -> Tensor:
    return 0.3 * waves(1, 0.2, 0.4, shift=shift)


@pytest.mark.parametrize("shift", SHIFTS)
def test_details_that_move_along_give_1(shift: tuple[float, float]) -> None:
    report = sticking(content() + details(), content(shift) + details(shift), shift)
    assert report.details == pytest.approx(torch.ones(4), abs=0.03)
    assert report.content == pytest.approx(torch.ones(4), abs=0.1)
    assert report.details_match.min() > 0.9


@pytest.mark.parametrize("shift", SHIFTS)
def test_details_that_stay_give_0_while_the_content_moves(shift: tuple[float, float]) -> None:
    report = sticking(content() + details(), content(shift) + details(), shift)
    assert report.details == pytest.approx(torch.zeros(4), abs=0.05)
    assert report.content == pytest.approx(torch.ones(4), abs=0.1)


@pytest.mark.parametrize("way", [0.25, 0.5, 0.75])
def test_details_that_go_part_of_the_way_give_that_part(way: float) -> None:
    report = sticking(content() + details(), content((4, 2)) + details((4 * way, 2 * way)), (4, 2))
    assert report.details == pytest.approx(torch.full((4,), way), abs=0.05)


def test_details_drawn_anew_do_not_match() -> None:
    other = 0.3 * waves(2, 0.2, 0.4)
    report = sticking(content() + details(), content((4, 0)) + other, (4, 0))
    assert report.details_match.max() < 0.5
    assert report.content_match.min() > 0.9


def test_what_lies_outside_the_mask_does_not_count() -> None:
    """On the left details follow, on the right they stay."""
    moved = content((4, 0)) + torch.cat([details((4, 0))[..., :32], details()[..., 32:]], dim=3)
    left = torch.zeros(1, 1, 64, 64)
    left[..., :28] = 1
    right = torch.zeros(1, 1, 64, 64)
    right[..., 36:] = 1
    first = content() + details()
    assert sticking(first, moved, (4, 0), mask=left).details == pytest.approx(torch.ones(4), abs=0.05)
    assert sticking(first, moved, (4, 0), mask=right).details == pytest.approx(torch.zeros(4), abs=0.05)
    both = sticking(first, moved, (4, 0)).details
    assert 0.2 < both.min() < both.max() < 0.8


def test_contrast_and_brightness_do_not_matter() -> None:
    first, moved = content() + details(), content((3, 0)) + details((1.5, 0))
    plain, changed = sticking(first, moved, (3, 0)), sticking(first, 0.2 * moved + 0.6, (3, 0))
    assert torch.allclose(plain.details, changed.details, atol=1e-6)


def test_colour_images_are_compared_by_their_grey() -> None:
    first, moved = (functional.pad(x.expand(-1, 3, -1, -1), (0, 0)) for x in (details(), details((3, 0))))
    assert torch.allclose(sticking(first, moved, (3, 0)).details, torch.ones(4).double(), atol=0.05)


def test_bad_input_is_refused() -> None:
    with pytest.raises(BadArgument, match="must not be 0"):
        sticking(details(), details(), (0, 0))
    with pytest.raises(BadArgument, match="margin of 38"):
        sticking(details(), details(), (25, 0))
    with pytest.raises(BadArgument, match="moved ones"):
        sticking(details(), details()[:2], (2, 0))
