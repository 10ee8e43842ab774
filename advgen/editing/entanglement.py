"""What a direction changes: an attribute table for one, an entanglement matrix for several.

An attribute's shift is the mean change of its logit, in standard deviations of that logit over the originals (the
measure of StyleSpace's attribute dependency, Wu et al. 2020, arXiv 2011.12799, section 5, without its absolute value).
The classifier is handed in, and its own error belongs beside the table.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Logits = Callable[[Tensor], Tensor]  # images (N, C, H, W) to (N, A), above 0 = present


class AttributeRow(NamedTuple):
    """What happens to one attribute."""

    attribute: str
    before: float  # share of images that show it
    after: float
    shift: float  # mean change of its logit in standard deviations
    turned_on: float  # share of all images
    turned_off: float
    n: int


@torch.no_grad()
def attribute_table(originals: Tensor, edited: Tensor, logits: Logits, names: Sequence[str]) -> list[AttributeRow]:
    """A row an attribute, of N originals and what a direction made of them."""
    before, after = logits(originals), logits(edited)
    assert before.shape[1] == len(names), f"{before.shape[1]} logits for {len(names)} names"
    shifts = _shifts(before, after)
    on, off = (before <= 0) & (after > 0), (before > 0) & (after <= 0)
    rows = []
    for a, name in enumerate(names):
        shares = ((before[:, a] > 0), (after[:, a] > 0), on[:, a], off[:, a])
        first, last, up, down = (float(share.double().mean()) for share in shares)
        rows.append(AttributeRow(name, first, last, float(shifts[a]), up, down, len(originals)))
    return rows


@torch.no_grad()
def entanglement(originals: Tensor, edited: Sequence[Tensor], logits: Logits) -> Tensor:
    """(directions, A) shift of every attribute by every direction; a clean direction has one large number a row."""
    before = logits(originals)
    return torch.stack([_shifts(before, logits(made)) for made in edited])


def _shifts(before: Tensor, after: Tensor) -> Tensor:
    return (after - before).mean(0) / before.std(0).clamp(min=1e-6)
