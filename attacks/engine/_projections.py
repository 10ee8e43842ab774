"""Projections onto a ball cut with the box [0, 1], where clipping after projecting is not the nearest point."""

import torch
from torch import Tensor


def onto_l1_and_box(points: Tensor, originals: Tensor, radius: float | Tensor) -> Tensor:
    """The nearest point in the L1 ball of `radius` around the originals and in [0, 1] (exact, by sorting).

    Croce & Hein 2021, "Mind the box", arXiv 2103.01208, Proposition 3.1: z = clip(x + soft(u - x, t)) with the least
    t >= 0 that brings the L1 norm down to the radius; that norm is piecewise linear in t.
    """
    x, change = originals.flatten(1).double(), (points - originals).flatten(1).double()
    limit = torch.as_tensor(radius, dtype=torch.float64, device=points.device).reshape(-1, 1)
    size = change.abs()
    room = torch.where(change > 0, 1 - x, x)  # to the box's edge
    # A value moves with t between its size less its room (before: held by the box) and its size (after: gone).
    enters = (size - room).clamp(min=0)
    breaks, order = torch.cat([enters, torch.maximum(size, enters)], dim=1).sort(dim=1)
    turns = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=1).gather(1, order)
    moving = turns.cumsum(1)  # how many values fall with t after each break
    start = size.minimum(room).sum(1, keepdim=True)
    lengths = breaks.diff(dim=1, prepend=torch.zeros_like(breaks[:, :1]))
    before = torch.cat([torch.zeros_like(moving[:, :1]), moving[:, :-1]], dim=1)
    norms = start - (before * lengths).cumsum(1)  # at each break
    last = (norms > limit).sum(1, keepdim=True) - 1  # the last break at which the norm is still above
    at = last.clamp(min=0)
    threshold = breaks.gather(1, at) + (norms.gather(1, at) - limit) / moving.gather(1, at).clamp(min=1)
    threshold = torch.where(start > limit, threshold.clamp(min=0), 0.0)
    # With no break above the radius, the first piece falls from t = 0 on.
    moved = change.sign() * (size - threshold).clamp(min=0)
    return (x + moved).clamp(0.0, 1.0).to(points.dtype).reshape(points.shape)
