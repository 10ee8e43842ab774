"""Projections onto a ball cut with the box [0, 1], where clipping after projecting is not the nearest point."""

import torch
from torch import Tensor

AS_GOOD_AS_THERE = 1e-6  # of t; what a last step of Newton's in float32 still adds


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


def onto_hyperplane_and_box(points: Tensor, slopes: Tensor, margins: Tensor, norm: str) -> Tensor:
    """The nearest point of [0, 1] in `norm` at which `margins + <slopes, z - points>` is zero; (N, ...), exact.

    Where the box has no such point, the corner that comes closest. Croce & Hein 2020, arXiv 1907.02044, equation 4:
    every value moves against its slope until it meets the box, at speed 1 (Linf) or |slope| (L2); in L1 the steepest
    values move first.
    """
    x, w = points.flatten(1), slopes.flatten(1)
    # The tiny slopes of a confident sample must not underflow when multiplied.
    largest = w.abs().amax(1, keepdim=True).clamp(min=1e-30)
    w, needed = w / largest, margins.abs()[:, None] / largest
    heading = -margins.sign()[:, None] * w.sign()
    # To the side that it heads for: 1 - x, or x. Arithmetic, as masks cost many times what products do.
    gain, room = w.abs(), (0.5 + heading * (0.5 - x)).clamp(min=0)
    if norm == "L1":
        moves = _steepest_first(gain.double(), room.double(), needed.double()).to(x.dtype)
    else:
        speed = torch.ones_like(gain) if norm == "Linf" else gain
        moves = torch.minimum(_time_to_fall(gain, speed, room, needed) * speed, room)
    return (x + heading * moves).clamp(0.0, 1.0).reshape(points.shape)


def _steepest_first(gain: Tensor, room: Tensor, needed: Tensor) -> Tensor:
    order = gain.argsort(dim=1, descending=True, stable=True)
    ordered = gain.gather(1, order)
    won = (ordered * room.gather(1, order)).cumsum(1)
    before = torch.cat([torch.zeros_like(won[:, :1]), won[:, :-1]], dim=1)
    part = ((needed - before) / ordered.clamp(min=1e-300)).clamp(min=0)
    return torch.zeros_like(gain).scatter(1, order, part).minimum(room)


def _time_to_fall(gain: Tensor, speed: Tensor, room: Tensor, needed: Tensor) -> Tensor:
    """(N, 1): when sum gain * min(t * speed, room) is `needed`; where it never is, when all have stopped.

    The sum is concave and piecewise linear in t, so that Newton's method from 0 never passes the root and ends on it
    once no value stops between two steps: a handful of passes, without sorting.
    """
    rate, t = gain * speed, torch.zeros_like(needed)
    while True:
        reach = t * speed
        fallen = (gain * torch.minimum(reach, room)).sum(1, keepdim=True)
        slope = (rate * (room - reach).clamp_(min=0).sign_()).sum(1, keepdim=True)
        step = torch.where(slope > 0, (needed - fallen) / slope, 0.0).clamp_(min=0)
        t = t + step
        if bool((step <= AS_GOOD_AS_THERE * t).all()):
            return t
