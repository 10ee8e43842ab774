"""Edits along a difference of texts: from one phrase to another, and sums of phrases ("king - man + woman").

A latent is carried back to the z that the first phrase would have made it of, and forward under the second: what both
phrases leave open stays. The shift is what differs; it is added to every row of w+, so that what an inversion found in
the rows is kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.core.types import TextEncoder
from advgen.editing.conditional import ConditionalMapper
from advgen.editing.joint_maps import TextToLatent
from advgen.editing.shifts import Shift

_NOTHING = 1e-6  # length of a sum that cancels out


class Term(NamedTuple):
    sign: int
    phrase: str


def terms(text: str) -> tuple[Term, ...]:
    """The parts of "king - man + woman"; a sign stands between spaces, so that a hyphen is none.

    Raises:
        BadArgument: a sign without a phrase.
    """
    found: list[tuple[int, list[str]]] = [(1, [])]
    for k, word in enumerate(text.split()):
        if word in ("+", "-"):
            found[k and len(found) :] = [(-1 if word == "-" else 1, [])]
        else:
            found[-1][1].append(word)
    if not all(words for _, words in found):
        raise BadArgument(f"a sum of phrases is written `king - man + woman`, got {text!r}.")
    return tuple(Term(sign, " ".join(words)) for sign, words in found)


def summed(encoder: TextEncoder, parts: Sequence[Term]) -> Tensor:
    """(1, T) of length one: the sum of the phrases' unit vectors.

    Raises:
        BadArgument: a phrase that the encoder does not hold, or a sum that cancels out.
    """
    rows = encoder.encode([part.phrase for part in parts])
    total = (torch.tensor([[float(part.sign)] for part in parts]) * rows).sum(0, keepdim=True)
    if float(total.norm()) < _NOTHING:
        raise BadArgument(f"the sum of {', '.join(part.phrase for part in parts)} cancels out; use other phrases.")
    return functional.normalize(total, dim=1)


@torch.no_grad()
def text_shift(
    network: TextToLatent, w: Tensor, before: Tensor | None, after: Tensor, *, guidance: float = 2.0, steps: int = 12
) -> Shift:
    """The shift (N, L, D) of latents w (N, L, D) from what a phrase (1 or N, T; none: no phrase) says to another.

    Raises:
        BadArgument: vectors of another encoder.
    """
    mapper = network.mapper
    n = len(w)
    source = None if before is None else before.expand(n, -1)
    z = mapper.z_of(w, source, steps=steps)
    told = mapper.condition(after.expand(n, -1), n)
    return Shift(w=mapper.latents(_ahead(mapper, z, told, source, guidance, steps)) - _own(mapper, w))


@torch.no_grad()
def mean_shift(
    network: TextToLatent, before: Tensor | None, after: Tensor, *, z: Tensor, guidance: float = 2.0, steps: int = 12
) -> Shift:
    """One shift (1, L, D) for any latent: the mean over z (N, z_dim) of the way from one phrase to the other."""
    mapper, n = network.mapper, len(z)
    source = None if before is None else before.expand(n, -1)
    told = mapper.condition(after.expand(n, -1), n)
    begin = mapper.condition(source, n)
    own = mapper.latents(_ahead_under(mapper, z, begin, begin, 1.0, steps))
    return Shift(w=(mapper.latents(_ahead(mapper, z, told, source, guidance, steps)) - own).mean(0, keepdim=True))


def _ahead(
    mapper: ConditionalMapper, z: Tensor, told: Tensor, source: Tensor | None, guidance: float, steps: int
) -> Tensor:
    """Forward under the second phrase, away from the first by guidance."""
    return _ahead_under(mapper, z, told, mapper.condition(source, len(z)), guidance, steps)


def _ahead_under(
    mapper: ConditionalMapper, z: Tensor, told: Tensor, untold: Tensor, guidance: float, steps: int
) -> Tensor:
    return mapper.carried(z, told, untold, guidance, 0.0, 1.0, steps)


def _own(mapper: ConditionalMapper, w: Tensor) -> Tensor:
    """What the mapper keeps of a latent: all of it, or its first row."""
    return mapper.latents(mapper.coordinates(w))
