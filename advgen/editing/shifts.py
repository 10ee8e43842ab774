"""An edit as a shift of latents, in w+ or in S: what it does at strength 1. Shifts add up, so edits can be composed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.types import Generator, Latents
from advgen.editing.stylespace import layout
from advgen.inversion.latents import at_rest, taken, tuned


class Shift(NamedTuple):
    """Where an edit moves latents; a part that is None stays."""

    w: Tensor | None = None  # (N or 1, L, D)
    s: Tensor | None = None  # (N or 1, S), convolutions alone

    def times(self, strength: float | Tensor) -> "Shift":
        """The shift at a strength, one for all or (N,)."""

        def scaled(part: Tensor | None) -> Tensor | None:
            if part is None or isinstance(strength, int | float):
                return None if part is None else part * strength
            return part * strength.to(part).reshape(-1, *[1] * (part.ndim - 1))

        return Shift(scaled(self.w), scaled(self.s))

    def take(self, index: Tensor) -> "Shift":
        """That of some samples."""
        w, s = (p if p is None or len(p) == 1 else p[index.to(p.device)] for p in self)
        return Shift(w, s)


def together(shifts: Sequence[Shift]) -> Shift:
    """Their sum: several prompts at once."""
    ws, ss = [x.w for x in shifts if x.w is not None], [x.s for x in shifts if x.s is not None]
    return Shift(sum(ws[1:], ws[0]) if ws else None, sum(ss[1:], ss[0]) if ss else None)


def edited(generator: Generator, w: Tensor, shift: Shift, *, noise: Any = "const") -> Tensor:
    """(N, C, H, W) of shifted latents w (N, L, D), nominally in [0, 1], not clamped; differentiable.

    Raises:
        BadArgument: a shift that does not fit the generator.
    """
    if shift.w is not None:
        if tuple(shift.w.shape[1:]) != tuple(w.shape[1:]):
            raise BadArgument(f"a shift of w {tuple(shift.w.shape[1:])} does not fit latents {tuple(w.shape[1:])}.")
        w = w + shift.w.to(w)
    if shift.s is None:
        return generator.synthesis(w, noise=noise)
    where = layout(generator)
    if shift.s.shape[1] != where.size:
        raise BadArgument(f"a shift of {shift.s.shape[1]} style channels does not fit a generator of {where.size}.")
    styles = generator.styles(w)
    moved = where.unpacked(where.packed(styles) + shift.s.to(w), styles)
    own = {} if isinstance(noise, str) and noise == "const" else {"noise": noise}
    images: Tensor = generator.synthesis_from_styles(moved, **own)  # type: ignore[attr-defined]
    return images


def pictures(
    generator: Generator, latents: Latents, shift: Shift, strength: float | Tensor = 1.0, *, batch: int = 32
) -> Tensor:
    """(N, C, H, W) in [0, 1] of latents with their noise maps and tuned weights, edited at a strength."""
    made = []
    at_once = 1 if latents.tuned is not None else batch
    with torch.no_grad(), at_rest(generator):
        for index in torch.arange(len(latents.w)).split(at_once):
            some = taken(latents, index)
            own = strength[index.to(strength.device)] if isinstance(strength, Tensor) and strength.ndim else strength
            part = shift.take(index).times(own)
            with tuned(generator, some, 0) as network:
                made.append(edited(network, some.w, part, noise="const" if some.noise is None else some.noise))
    return torch.cat(made).clamp(0, 1) if made else latents.w.new_zeros(0, 3, *generator.resolution)
