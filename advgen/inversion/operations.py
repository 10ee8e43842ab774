"""What is done with latents (N, L, D): morphing, style transfer, crossover, expression transfer, truncation, mixing.

Abdal et al. 2019, "Image2StyleGAN: How to Embed Images Into the StyleGAN Latent Space?", arXiv 1904.03189, section 5
(morphing, style transfer, expression transfer); Abdal et al. 2020, "Image2StyleGAN++", arXiv 1911.11544 (crossover).
Truncation and mixing: Karras et al., arXiv 1812.04948, appendix B and section 3.1. Rows are counted from the coarsest.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from advgen.core.errors import BadArgument


def morph(start: Tensor, end: Tensor, *, steps: int) -> Tensor:
    """(N, steps, L, D): equal steps along the straight line between two latents, both ends included.

    Raises:
        BadArgument: fewer than 2 steps, or latents of different shapes.
    """
    _check(start, end)
    if steps < 2:
        raise BadArgument(f"a morph has at least 2 steps, its two ends; got {steps}.")
    share = torch.linspace(0, 1, steps).to(start).reshape(1, -1, 1, 1)
    # In this form both ends come out to the last bit.
    return (1 - share) * start[:, None] + share * end[:, None]


def transfer_style(content: Tensor, style: Tensor, *, layer: int) -> Tensor:
    """Rows before `layer` of `content`, from `layer` on of `style`; 0 is all style, L all content.

    Raises:
        BadArgument: no such layer, or latents of different shapes.
    """
    _check(content, style)
    rows = content.shape[1]
    if not 0 <= layer <= rows:
        raise BadArgument(f"the style begins at a layer from 0 to {rows}, got {layer}.")
    return crossover(content, style, rows=range(layer, rows))


def crossover(into: Tensor, other: Tensor, *, rows: Iterable[int]) -> Tensor:
    """`into` with some of its `rows` replaced by those of `other`.

    Raises:
        BadArgument: a row that is not there, or latents of different shapes.
    """
    _check(into, other)
    taken = list(rows)
    _check_rows(taken, into.shape[1])
    mixed = into.clone()
    mixed[:, taken] = other[:, taken]
    return mixed


def transfer_expression(w: Tensor, expressive: Tensor, neutral: Tensor, *, strength: float = 1.0) -> Tensor:
    """w + strength (expressive - neutral): what tells two latents of one person apart, given to another.

    Raises:
        BadArgument: latents of different shapes.
    """
    _check(expressive, neutral)
    _check(w, expressive)
    return w + strength * (expressive - neutral)


def truncate(w: Tensor, mean_w: Tensor, *, psi: float, cutoff: int | None = None) -> Tensor:
    """Latents drawn towards `mean_w` (D,): `psi` 1 leaves them, 0 gives the mean; the first `cutoff` rows, None = all.

    Raises:
        BadArgument: a mean of another length.
    """
    _check(w)
    if tuple(mean_w.shape) != (w.shape[-1],):
        raise BadArgument(f"mean_w must have the shape ({w.shape[-1]},), got {tuple(mean_w.shape)}.")
    drawn = mean_w + psi * (w - mean_w)
    return drawn if cutoff is None else torch.cat([drawn[:, :cutoff], w[:, cutoff:]], 1)


def mixing_table(down: Tensor, across: Tensor, *, rows: Iterable[int]) -> Tensor:
    """(A, B, L, D): entry (a, b) is latent a of `down` with `rows` of latent b of `across`.

    Raises:
        BadArgument: a row that is not there, or latents of different shapes but for their number.
    """
    _check(down[:0], across[:0])
    taken = list(rows)
    _check_rows(taken, down.shape[1])
    table = down[:, None].repeat(1, len(across), 1, 1)
    table[:, :, taken] = across[None, :, taken]
    return table


def _check(w: Tensor, other: Tensor | None = None) -> None:
    if w.ndim != 3:
        raise BadArgument(f"latents must have the shape (N, L, D), got {tuple(w.shape)}.")
    if other is not None and other.shape != w.shape:
        raise BadArgument(f"latents of one shape were expected, got {tuple(w.shape)} and {tuple(other.shape)}.")


def _check_rows(rows: list[int], count: int) -> None:
    wrong = [row for row in rows if not 0 <= row < count]
    if wrong:
        raise BadArgument(f"row {wrong[0]} was asked for; these latents have rows 0 to {count - 1}.")
