"""Global directions: a text as a shift of style channels, the same for every image.

Patashnik et al. 2021, "StyleCLIP", arXiv 2103.17249, section 6, equations 5 and 6: the relevance of a channel to the
text's direction, zero below beta, divided by the largest; alpha, the strength, counts in standard deviations of the
channels. `solved` is ours: the shift that
changes the picture's colours least, at 8 by 8 places and in the mean over samples, for its effect on the embedding.
What a CLIP was told nothing about (a background, clothes) costs a published direction nothing, and changes with it.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.checkpoints import load_tensors
from advgen.core.errors import BadArgument
from advgen.core.files import write_atomically
from advgen.editing.relevance import Relevance
from advgen.editing.shifts import Shift
from advgen.editing.stylespace import StyleGenerator, hash_of, layout, sampled_w
from advgen.inversion.latents import at_rest

BETA = 0.13
RIDGE = 0.01
UNIT = 0.1  # of a cosine, that strength 1 of a solved direction stands for
PLACES = 8  # a side, at which colours are compared
FEW = 20  # channels; fewer hardly change an image, by the authors' own account


class GlobalDirection(NamedTuple):
    """A text's direction in S."""

    shift: Shift  # at alpha = 1
    channels: int  # that move
    most: float  # the largest relevance


def global_direction(relevance: Relevance, text: Tensor, *, beta: float = BETA) -> GlobalDirection:
    """The published direction; `text` (D,) is a unit vector from the neutral prompt to the target.

    Raises:
        BadArgument: beta is out of range, or no channel reaches it.
    """
    _check(relevance, text)
    if not 0 <= beta < 1:
        raise BadArgument(f"beta must be at least 0 and under 1, got {beta}; 0.13 is the authors', 0.08 to 0.3 usual.")
    relevant = relevance.unit @ text.to(relevance.unit)
    most = float(relevant.abs().max())
    if most < beta or most == 0:
        raise BadArgument(
            f"no style channel reaches beta {beta:g}: the most relevant one has {most:.3f}; lower beta, or say it in "
            "other words."
        )
    kept = torch.where(relevant.abs() >= beta, relevant, 0.0)
    return GlobalDirection(Shift(s=(kept / most * relevance.std)[None]), int((kept != 0).sum()), most)


def solved(relevance: Relevance, text: Tensor, colours: Tensor, *, ridge: float = RIDGE) -> GlobalDirection:
    """The quietest shift: the smallest change of colours, and of channels `ridge` times as much, for its effect.

    colours: (S, S) Gram matrix of the changes of colours for one standard deviation of each channel (`colour_gram`).
    ridge counts in its largest eigenvalue. alpha = 1 is a change of the cosine with the text's direction by 0.1, as
    far as derivatives tell.

    Raises:
        BadArgument: a ridge that is not above 0, or an encoder that sees nothing of the channels.
    """
    _check(relevance, text)
    if not 0 < ridge < float("inf"):
        raise BadArgument(f"ridge must be above 0, got {ridge}.")
    gram = colours.double()
    wanted = relevance.mean.double() @ text.to(relevance.mean).double()
    level = ridge * torch.linalg.eigvalsh(gram)[-1]
    shift = torch.linalg.solve(gram + level * torch.eye(len(gram)).to(gram), wanted)
    effect = float(wanted @ shift)
    if not effect > 0:
        raise BadArgument("no style channel moves the embedding towards the text; say it in other words.")
    shift = (UNIT / effect * shift).to(relevance.std)
    most = float((relevance.unit @ text.to(relevance.unit)).abs().max())
    return GlobalDirection(Shift(s=(shift * relevance.std)[None]), int((shift != 0).sum()), most)


def colour_gram(
    generator: StyleGenerator, std: Tensor, *, images: int = 32, batch: int = 16, cache: Path | None = None
) -> Tensor:
    """(S, S) mean over samples of products of the changes of 8 x 8 x C colours for a standard deviation of channels."""
    where = layout(generator)
    file = None if cache is None else cache / "relevance" / f"{hash_of(generator)}-colours-{images}.safetensors"
    if file is not None and file.is_file():
        kept = load_tensors(file).get("gram")
        if kept is not None and len(kept) == where.size:
            return kept.to(std)
    total = std.new_zeros(where.size, where.size)
    for w in sampled_w(generator, images, seed=4).split(batch):
        with torch.enable_grad(), at_rest(generator):
            styles = generator.styles(w)
            s = where.packed(styles).detach().requires_grad_()
            made = generator.synthesis_from_styles(where.unpacked(s, styles)).clamp(0, 1)
            seen = functional.adaptive_avg_pool2d(made, PLACES).flatten(1)
            last = seen.shape[1] - 1
            rows = [torch.autograd.grad(seen[:, k].sum(), s, retain_graph=k < last)[0] for k in range(last + 1)]
        changes = torch.stack(rows, 1) * std  # (N, places, S)
        total += torch.einsum("nps,npt->st", changes, changes)
    gram = total / images
    if file is not None:
        from safetensors.torch import save as serialised

        write_atomically(file, serialised({"gram": gram.cpu()}))
    return gram


def _check(relevance: Relevance, text: Tensor) -> None:
    if text.ndim != 1 or len(text) != relevance.unit.shape[1]:
        raise BadArgument(
            f"the relevance was measured with an encoder of {relevance.unit.shape[1]} numbers, and the text has "
            f"{tuple(text.shape)}; take both from one encoder."
        )
