"""From a sentence to faces: a joint space and a conditional mapper of one text encoder and one generator, in one file.

The hook of the command line: `load_map` reads a checkpoint of the recipe `text_to_latent`, `encoder_of` makes the text
encoder that it was trained with, `faces_of` gives latents and images of a sentence, and says which words it lacks.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from advgen.core import checkpoints, registry
from advgen.core.errors import BadArgument, BadFile
from advgen.core.specs import Card
from advgen.core.types import Generator, TextEncoder
from advgen.editing.conditional import ConditionalMapper
from advgen.editing.joint import JointSpace
from advgen.inversion.latents import at_rest

RARE = 20  # occurrences in the corpus, from which a word's vector can be relied on
_SIZES = ("text_dim", "num_ws", "w_dim", "rows", "z_dim", "width", "blocks", "dim", "hidden")
_BATCH = 64


class TextToLatent(nn.Module):
    """Both halves, trained side by side on the same phrases and latents; they share no weight."""

    def __init__(
        self,
        text_dim: int,
        num_ws: int,
        w_dim: int,
        rows: int,
        z_dim: int,
        width: int,
        blocks: int,
        dim: int,
        hidden: int,
    ) -> None:
        super().__init__()
        self.joint = JointSpace(text_dim, num_ws, w_dim, dim, hidden)
        self.mapper = ConditionalMapper(text_dim, num_ws, w_dim, rows, z_dim, width, blocks)


class LoadedMap(NamedTuple):
    """A map in eval mode, and its card: `args` name its generator and its vectors."""

    network: TextToLatent
    card: Card


class Faces(NamedTuple):
    """What a sentence gave."""

    w: Tensor  # (N, L, D)
    images: Tensor  # (N, C, H, W) in [0, 1]
    cosine: Tensor  # (N,) of the sentence and the latent in the joint space
    unknown: tuple[str, ...]  # words of the sentence without a vector
    rare: tuple[str, ...]  # words under 20 occurrences


def described(network_sizes: dict[str, int]) -> dict[str, Any]:
    """The sizes of a map as they stand on its card."""
    return {f"map.{name}": network_sizes[name] for name in _SIZES}


def load_map(ref: str | Path) -> LoadedMap:
    """The map of a shipped name or a path.

    Raises:
        MissingFile: it is not there.
        BadFile: it is no map from text to latents.
    """
    path = Path(ref).expanduser()
    path = path if path.suffix or path.parent != Path() else checkpoints.find(str(ref))
    tensors, card = checkpoints.load(path)
    sizes = {name: card.args.get(f"map.{name}") for name in _SIZES}
    if not all(isinstance(size, int) for size in sizes.values()):
        raise BadFile(f"{path} is no map from text to latents: its card lacks map.text_dim and the like.")
    network = TextToLatent(**sizes)  # type: ignore[arg-type]
    whole = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    try:
        network.load_state_dict(whole)
    except RuntimeError as error:
        raise BadFile(f"{path} does not hold the map that its card describes: {str(error).splitlines()[-1]}") from None
    return LoadedMap(network.eval().requires_grad_(False), card)


def encoder_of(card: Card) -> TextEncoder:
    """The text encoder that a map was trained with, checked by its hash.

    Raises:
        BadArgument: a control with random vectors, or the encoder has changed since.
    """
    kind, ref = str(card.args.get("encoder")), card.args.get("vectors")
    if kind not in ("phrase", "clip"):
        raise BadArgument(f"{card.name} was trained with {kind} vectors, a control: there is no encoder of its texts.")
    encoder: TextEncoder = registry.create("encoders", kind, **{"vectors" if kind == "phrase" else "model": ref})
    if encoder.hash != card.args.get("encoder.hash"):
        raise BadArgument(
            f"{card.name} was trained with other vectors than {ref} is now (hash {encoder.hash[:8]}…, expected "
            f"{str(card.args.get('encoder.hash'))[:8]}…): train it again, or bring the old ones back."
        )
    return encoder


def check_fits(network: TextToLatent, generator: Generator) -> None:
    """Refuses a map of another generator.

    Raises:
        BadArgument: other sizes, or another mean of w.
    """
    mapper = network.mapper
    if (mapper.num_ws, mapper.w_dim) != (generator.num_ws, generator.w_dim):
        raise BadArgument(
            f"the map was made for latents of {mapper.num_ws} rows of {mapper.w_dim}, this generator's have "
            f"{generator.num_ws} of {generator.w_dim}; take the map that was trained for it."
        )
    away = (network.joint.mean_w - generator.mean_w).square().mean().sqrt()
    if float(away) > 0.5 * float(network.joint.spread_w):
        raise BadArgument(
            "the map was made for another generator of the same sizes: their means of w differ; take the map that was "
            "trained for it."
        )


def encoded(encoder: TextEncoder, text: str) -> tuple[Tensor, tuple[str, ...], tuple[str, ...]]:
    """A sentence's vector (1, T), its words without one, and its rare words.

    Raises:
        BadArgument: the sentence is empty, or no word of it is known.
    """
    rare = getattr(encoder, "rare", None)
    return encoder.encode([text]), tuple(encoder.unknown(text)), tuple(rare(text, under=RARE)) if rare else ()


@torch.no_grad()
def latents_of(
    network: TextToLatent, text: Tensor, z: Tensor, *, guidance: float = 2.0, steps: int = 12, candidates: int = 1
) -> Tensor:
    """(N, L, D): latents of phrase vectors (N, T) and z (N * candidates, z_dim), those of a phrase side by side.

    Of several candidates the one nearest to its phrase in the joint space is kept; no image is made for it.
    """
    w = torch.cat([
        network.mapper(t, some, guidance=guidance, steps=steps)
        for t, some in zip(text.repeat_interleave(candidates, 0).split(1024), z.split(1024), strict=True)
    ])  # fmt: skip
    return w if candidates == 1 else best_of(network, text, w.unflatten(0, (len(text), candidates)))


@torch.no_grad()
def best_of(network: TextToLatent, text: Tensor, w: Tensor) -> Tensor:
    """(N, L, D): for each phrase vector (N, T) that of its latents (N, K, L, D) which the joint space finds nearest."""
    n, k = w.shape[:2]
    near = network.joint.of_latents(w.flatten(0, 1)).unflatten(0, (n, k)) @ network.joint.of_text(text)[:, :, None]
    return w[torch.arange(n), near[:, :, 0].argmax(1)]


@torch.no_grad()
def faces_of(
    loaded: LoadedMap,
    encoder: TextEncoder,
    generator: Generator,
    text: str,
    seeds: Sequence[int],
    *,
    guidance: float = 2.0,
    candidates: int = 1,
    own: bool = False,
) -> Faces:
    """Latents and images of a sentence, one a seed. `candidates`: see `latents_of`.

    own: candidates are the generator's own latents in place of the mapper's; with 256 of them nearer to what is asked
    for, and never beyond what the generator makes.

    Raises:
        BadArgument: a map of another generator; a sentence that is empty or of unknown words; no seeds.
    """
    if not seeds or candidates < 1:
        raise BadArgument(f"one seed and one candidate at least were expected, got {len(seeds)} and {candidates}.")
    check_fits(loaded.network, generator)
    vector, unknown, rare = encoded(encoder, text)
    size = generator.z_dim if own else loaded.network.mapper.z_dim
    rows = [np.random.RandomState(seed).randn(candidates, size) for seed in seeds]
    z = torch.from_numpy(np.concatenate(rows)).float()
    vectors = vector.expand(len(seeds), -1)
    if own:
        every = generator.mapping(z.to(generator.mean_w)).cpu().unflatten(0, (len(seeds), candidates))
        w = best_of(loaded.network, vectors, every)
    else:
        w = latents_of(loaded.network, vectors, z, guidance=guidance, candidates=candidates)
    cosine = (loaded.network.joint.of_latents(w) * loaded.network.joint.of_text(vectors)).sum(1)
    with at_rest(generator):
        made = [generator.synthesis(some).clamp(0, 1) for some in w.to(generator.mean_w).split(_BATCH)]
    return Faces(w, torch.cat(made), cosine, unknown, rare)
