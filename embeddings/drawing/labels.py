"""Labels beside points so that no two overlap: those that find no room are left out, not drawn over others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Which part of a label's width and height lies left of and below its point, in order of preference: right, left,
# above, below, then the corners.
_SIDES = ((0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1), (0, 0), (0, 1), (1, 0), (1, 1))


class Label(NamedTuple):
    """A label that found room, and its box."""

    point: int
    left: float
    bottom: float
    right: float
    top: float


def place(
    points: Floats, sizes: Floats, *, within: tuple[float, float, float, float], gap: float, first: Sequence[int] = (),
    lines: Sequence[tuple[int, int]] = (),
) -> list[Label]:  # fmt: skip
    """Labels of `sizes` (N, 2) beside `points` (N, 2), `gap` away from them, `within` left, bottom, right and top.

    The points of `first` choose before the others, which follow in their order. Of the sides of a point that are free,
    the one is taken whose label hides the fewest points and least of the `lines` from point to point.
    """
    seen = np.concatenate([points, *(_along(points[a], points[b], sizes[:, 1].min() / 2) for a, b in lines)])
    boxes = np.empty((len(points), 4))
    placed: list[Label] = []
    for i in dict.fromkeys([*first, *range(len(points))]):
        taken = boxes[: len(placed)]
        best: tuple[int, Label] | None = None
        for across, up in _SIDES:
            left = points[i, 0] + gap * (1 - 2 * across) - across * sizes[i, 0]
            bottom = points[i, 1] + gap * (1 - 2 * up) - up * sizes[i, 1]
            label = Label(i, left, bottom, left + sizes[i, 0], bottom + sizes[i, 1])
            if _leaves(label, within) or _meets(label, taken):
                continue
            hidden = _covers(label, seen)
            if best is None or hidden < best[0]:
                best = hidden, label
            if not hidden:
                break
        if best is not None:
            boxes[len(placed)] = best[1][1:]
            placed.append(best[1])
    return placed


def _along(start: Floats, end: Floats, step: float) -> Floats:
    """Places on the line between, so close that no label slips between them."""
    return np.linspace(start, end, int(np.ceil(np.hypot(*(end - start)) / step)) + 1)[1:-1]


def _leaves(label: Label, within: tuple[float, float, float, float]) -> bool:
    left, bottom, right, top = within
    return label.left < left or label.bottom < bottom or label.right > right or label.top > top


def _meets(label: Label, boxes: Floats) -> bool:
    apart = (
        (boxes[:, 0] >= label.right) | (boxes[:, 2] <= label.left)
        | (boxes[:, 1] >= label.top) | (boxes[:, 3] <= label.bottom)
    )  # fmt: skip
    return not bool(apart.all())


def _covers(label: Label, points: Floats) -> int:
    """How many points the label would hide."""
    x, y = points.T
    return int(((x > label.left) & (x < label.right) & (y > label.bottom) & (y < label.top)).sum())
