"""The latent mapper: a small network, trained for one text, that says how each image's latents must change.

Patashnik et al. 2021, "StyleCLIP", arXiv 2103.17249, section 5, equations 3 and 4: three networks, for the coarse (rows
0 to 3 of w+), medium (4 to 7) and fine rows (the rest), each a pixel norm and four layers of a hundredth of the
learning rate; w + 0.1 M(w). The loss weighs CLIP 1, the mean squared change 0.8, identity 0.1. The recipe
`latent_mapper` trains it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile
from advgen.core.specs import Card, Scalar
from advgen.core.types import Generator, ImageTextEncoder
from advgen.editing.latent import Identity
from advgen.editing.shifts import Shift
from advgen.editing.stylespace import hash_of
from advgen.generators.stylegan2.layers import FullyConnected, unit_second_moment
from advgen.inversion.latents import at_rest
from advgen.inversion.likeness import ClampThrough

GROUPS = ("coarse", "medium", "fine")
FIRST_ROWS = (0, 4, 8)
STEP = 0.1  # of M(w)
KIND = "mapper"
_LR = 0.01  # of the layers, relative


@final
class LatentMapper(nn.Module):
    """w (N, L, D) to its change at strength 1, (N, L, D); rows of groups that are left out stay."""

    def __init__(self, num_ws: int, w_dim: int, groups: Sequence[str] = GROUPS) -> None:
        super().__init__()
        if not groups or set(groups) - set(GROUPS):
            raise BadArgument(
                f"the groups of a mapper are among {', '.join(GROUPS)}, got {', '.join(groups) or 'none'}."
            )
        self.num_ws, self.w_dim = num_ws, w_dim
        self.groups = tuple(name for name in GROUPS if name in groups and rows_of(name, num_ws).start < num_ws)
        self.nets = nn.ModuleDict({name: _network(w_dim) for name in self.groups})

    def forward(self, w: Tensor) -> Tensor:
        """The change, 0.1 M(w)."""
        change = torch.zeros_like(w)
        for name, net in self.nets.items():
            rows = rows_of(name, self.num_ws)
            part = w[:, rows]
            flat = unit_second_moment(part.flatten(0, 1))
            change[:, rows] = STEP * net(flat).reshape(part.shape)
        return change

    def shift(self, w: Tensor) -> Shift:
        """The edit of latents w (N, L, D), as a shift."""
        with torch.no_grad():
            return Shift(w=self(w))


class MapperLoss(NamedTuple):
    """What a mapper is trained for; the published weights."""

    generator: Generator
    encoder: ImageTextEncoder
    text: Tensor  # (D,) of length one
    identity: Identity | None = None
    clip_weight: float = 1.0
    l2_weight: float = 0.8
    identity_weight: float = 0.1

    def __call__(self, mapper: nn.Module, w: Tensor) -> Tensor:
        """(N,) for latents w (N, L, D); gradients go to the mapper alone."""
        with at_rest(self.generator, self.identity):
            change: Tensor = mapper(w)
            made = ClampThrough.apply(self.generator.synthesis(w + change))  # type: ignore[no-untyped-call]
            loss = self.clip_weight * (1 - self.encoder.encode_images(made) @ self.text.to(w))
            loss = loss + self.l2_weight * change.square().flatten(1).mean(1)
            if self.identity is None or not self.identity_weight:
                return loss
            with torch.no_grad():
                own = self.identity(self.generator.synthesis(w).clamp(0, 1))
            return loss + self.identity_weight * (1 - (self.identity(made) * own).sum(1))


class Mapper(NamedTuple):
    """A trained mapper and what its file says."""

    network: LatentMapper
    card: Card


def description(mapper: LatentMapper, generator: Generator) -> dict[str, Scalar]:
    """What a card's args hold of a mapper, for `load_mapper` to rebuild it."""
    shape = {"num_ws": mapper.num_ws, "w_dim": mapper.w_dim, "groups": list(mapper.groups)}
    return {"mapper.network": json.dumps(shape), "mapper.generator": hash_of(generator)}


def load_mapper(ref: str, generator: Generator) -> Mapper:
    """The mapper of a file or of shipped weights by name, for the generator that it was trained for.

    Raises:
        MissingFile: it is not there.
        BadFile: damaged, no mapper, or one of another generator.
    """
    path = Path(ref).expanduser()
    file = (
        path if "/" in ref or path.suffix else checkpoints.find(ref, remedy="Train it: `advgen train latent_mapper`.")
    )
    checkpoint = checkpoints.load(file)
    card = checkpoint.card
    if card.kind != KIND or "mapper.network" not in card.args:
        raise BadFile(f"{file} is a {card.kind}; a mapper, made by `advgen train latent_mapper`, was expected.")
    own, given = str(card.args["mapper.generator"]), hash_of(generator)
    if own != given:
        raise BadFile(
            f"the mapper {file} was trained for another generator (its weights' hash is {own[:12]}, this one's is "
            f"{given[:12]}); take the generator that it was trained for, or train it anew."
        )
    network = LatentMapper(**json.loads(str(card.args["mapper.network"])))
    network.load_state_dict({name: tensor.float() for name, tensor in checkpoint.tensors.items()})
    return Mapper(network.eval().requires_grad_(False).to(generator.mean_w.device), card)


def rows_of(group: str, num_ws: int) -> slice:
    """The rows of w+ of a group."""
    at = GROUPS.index(group)
    first = FIRST_ROWS[at]
    end = num_ws if at == len(GROUPS) - 1 else min(FIRST_ROWS[at + 1], num_ws)
    return slice(first, max(first, end))


def _network(w_dim: int) -> nn.Sequential:
    return nn.Sequential(*(FullyConnected(w_dim, w_dim, lr=_LR, active=True) for _ in range(4)))
