"""What each style channel does to CLIP's picture of an image: once for a generator and a CLIP, then kept.

Patashnik et al. 2021, "StyleCLIP", arXiv 2103.17249, section 6: for a channel c, unit(mean over images of
unit(E(G(s + 5 sigma_c)) - E(G(s - 5 sigma_c)))). `differences` does that, many channels at a time. `jacobian` takes the
derivative instead, by vector-Jacobian products along the principal axes of the embeddings of samples: tens of backward
passes an image, instead of two forward passes a channel. How far both agree is measured in docs/editing.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import AdvgenError, BadArgument
from advgen.core.files import write_atomically
from advgen.core.types import ImageTextEncoder
from advgen.editing.stylespace import Layout, StyleGenerator, hash_of, layout, sampled_w, statistics
from advgen.inversion.latents import at_rest

SIGMAS = 5.0  # of the published differences, to either side
_SEEN = 256  # samples whose embeddings give the axes
_NOTHING = 1e-12


class Relevance(NamedTuple):
    """The effect of each of S channels on an image's embedding."""

    unit: Tensor  # (S, D) mean over images of unit changes, unit again: the published quantity
    mean: Tensor  # (S, D) mean change for one standard deviation of the channel
    agreement: Tensor  # (S,) in [0, 1], length of the mean of unit changes: 1 = the same on every image
    std: Tensor  # (S,) of the channels over samples
    centre: Tensor  # (S,) their means


@dataclass(frozen=True)
class RelevanceOf:
    """How relevance is measured."""

    images: int = 100  # samples of the generator
    method: Literal["jacobian", "differences"] = "jacobian"
    batch: int = 16  # images at a time (jacobian), or rows of channels at a time (differences)
    share: float = 0.99  # of the variance of embeddings, whose axes the jacobian is taken along; 1 = all of them
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise BadArgument(f"share is a part of the variance, above 0 and at most 1, got {self.share}.")
        if self.images < 2 or self.batch < 1:
            raise BadArgument(
                f"relevance takes 2 images or more, 1 or more at a time, got {self.images} and {self.batch}."
            )
        if self.method not in ("jacobian", "differences"):
            raise BadArgument(f"relevance is measured by jacobian or differences, got {self.method!r}.")

    def of(
        self,
        generator: StyleGenerator,
        encoder: ImageTextEncoder,
        *,
        cache: Path | None = None,
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> Relevance:
        """Measured, or read from the folder `cache`, where it is written by (generator, CLIP, settings)."""
        where = layout(generator)
        file = None
        if cache is not None:
            name = (
                f"{hash_of(generator)}-{encoder.hash}-{self.method}-{self.images}-{self.share}-{self.seed}.safetensors"
            )
            file = cache / "relevance" / name
            if (kept := _kept(file, where)) is not None:
                return Relevance(*(part.to(generator.mean_w) for part in kept))
        found = self._measured(generator, encoder, where, tell)
        if file is not None:
            _keep(file, found)
        return found

    def _measured(
        self, generator: StyleGenerator, encoder: ImageTextEncoder, where: Layout, tell: Callable[[int, int], None]
    ) -> Relevance:
        stats = statistics(generator, where)
        w = sampled_w(generator, self.images, seed=self.seed + 1)
        shape = (where.size, encoder.dim)
        units, means = torch.zeros(shape).to(w), torch.zeros(shape).to(w)
        at_once = self.batch if self.method == "jacobian" else 1
        axes = None if self.method == "differences" else self._axes(generator, encoder)
        for begin in range(0, len(w), at_once):
            some = w[begin : begin + at_once]
            if self.method == "jacobian":
                changes = jacobians(generator, encoder, where, some, axes=axes) * stats.std[:, None]
            else:
                changes = differences(generator, encoder, where, some, stats.std, rows=self.batch)
            units += functional.normalize(changes, dim=2, eps=_NOTHING).sum(0)
            means += changes.sum(0)
            tell(min(begin + at_once, len(w)), len(w))
        units, means = units / len(w), means / len(w)
        return Relevance(
            functional.normalize(units, dim=1, eps=_NOTHING), means, units.norm(dim=1), stats.std, stats.mean
        )

    @torch.no_grad()
    def _axes(self, generator: StyleGenerator, encoder: ImageTextEncoder) -> Tensor | None:
        """(K, D) the fewest principal axes of the embeddings of samples that hold the share of their variance."""
        if self.share == 1:
            return None
        with at_rest(generator):
            w = sampled_w(generator, _SEEN, seed=self.seed + 2).split(32)
            seen = torch.cat([embedded(generator, encoder, generator.styles(some)) for some in w])
        _, spread, axes = torch.linalg.svd(seen - seen.mean(0), full_matrices=False)
        shares = spread.square().cumsum(0) / spread.square().sum().clamp(min=_NOTHING)
        return axes[: int((shares < self.share).sum()) + 1]


def jacobians(
    generator: StyleGenerator, encoder: ImageTextEncoder, where: Layout, w: Tensor, *, axes: Tensor | None = None
) -> Tensor:
    """(N, S, D) derivatives of the embedding of each image of w (N, L, D) by its style channels.

    axes: (K, D) orthonormal rows; what of the derivatives lies outside of their span is left out.
    """
    with torch.enable_grad(), at_rest(generator):
        styles = generator.styles(w)
        s = where.packed(styles).detach().requires_grad_()
        seen = embedded(generator, encoder, where.unpacked(s, styles))
        seen = seen if axes is None else seen @ axes.to(seen).T
        last = seen.shape[1] - 1
        rows = [torch.autograd.grad(seen[:, k].sum(), s, retain_graph=k < last)[0] for k in range(last + 1)]
    found = torch.stack(rows, 2)
    return found if axes is None else found @ axes.to(found)


@torch.no_grad()
def differences(
    generator: StyleGenerator, encoder: ImageTextEncoder, where: Layout, w: Tensor, std: Tensor, *, rows: int
) -> Tensor:
    """(1, S, D) changes of the embedding of one image w (1, L, D) between +5 and -5 sigma of each channel, over 10.

    `rows` channels are changed at a time, each in a copy of its own.
    """
    with at_rest(generator):
        styles = generator.styles(w)
        s = where.packed(styles)
        found = []
        for places in torch.arange(where.size, device=w.device).split(rows):
            step = functional.one_hot(places, where.size).to(s) * (SIGMAS * std)
            both = torch.cat([s + step, s - step])
            expanded = [part.expand(len(both), -1) for part in styles]
            up, down = embedded(generator, encoder, where.unpacked(both, expanded)).chunk(2)
            found.append((up - down) / (2 * SIGMAS))
    return torch.cat(found)[None]


def embedded(generator: StyleGenerator, encoder: ImageTextEncoder, styles: list[Tensor]) -> Tensor:
    """(N, D) embeddings of the images of style vectors; clamped, as differences of saved images would be."""
    return encoder.encode_images(generator.synthesis_from_styles(styles).clamp(0, 1))


def _kept(file: Path, where: Layout) -> Relevance | None:
    from advgen.core.checkpoints import load_tensors

    if not file.is_file():
        return None
    try:
        tensors = load_tensors(file)
    except AdvgenError:
        return None  # cut off by a full disk: it can be made again
    if set(tensors) != set(Relevance._fields) or len(tensors["std"]) != where.size:
        return None
    return Relevance(**tensors)


def _keep(file: Path, relevance: Relevance) -> None:
    from safetensors.torch import save as serialised

    tensors = {name: part.detach().cpu().contiguous().clone() for name, part in relevance._asdict().items()}
    write_atomically(file, serialised(tensors))
