"""Latents and the images they stand for: synthesis with own noise and own weights, distance from the mean, files."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument, BadFile
from advgen.core.files import write_atomically
from advgen.core.types import Generator, Latents


@contextmanager
def at_rest(*networks: object) -> Iterator[None]:
    """Eval mode and no gradients of weights inside; both are as they were afterwards."""
    modules = [network for network in networks if isinstance(network, nn.Module)]
    training = [m for module in modules for m in module.modules() if m.training]
    learning = [p for module in modules for p in module.parameters() if p.requires_grad]
    for each in training:
        each.training = False
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for each in training:
            each.training = True
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def tuned(generator: Generator, latents: Latents, i: int) -> Iterator[Generator]:
    """The generator with the weights of sample `i`: a copy, so the one given stays as it is; itself without tuning.

    Raises:
        BadArgument: the weights belong to another generator.
    """
    if latents.tuned is None:
        yield generator
        return
    if not isinstance(generator, nn.Module):
        raise BadArgument(f"tuned weights were given, and a {type(generator).__name__} has no weights.")
    own = copy.deepcopy(generator)
    weights = dict(own.named_parameters())
    with torch.no_grad():
        for name, change in latents.tuned[i].items():
            if name not in weights or weights[name].shape != change.shape:
                raise BadArgument(f"the tuned weights belong to another generator: this one has no such {name!r}.")
            weights[name].add_(change.to(weights[name]))
    yield own


def synthesised(generator: Generator, latents: Latents) -> Tensor:
    """(N, C, H, W) images in [0, 1] of latents, with their noise maps and tuned weights."""
    noise: Any = "const" if latents.noise is None else latents.noise
    with torch.no_grad(), at_rest(generator):
        if latents.tuned is None:
            return generator.synthesis(latents.w, noise=noise).clamp(0, 1)
        made = []
        for i in range(len(latents.w)):
            maps: Any = noise if isinstance(noise, str) else [each[i : i + 1] for each in noise]
            with tuned(generator, latents, i) as own:
                made.append(own.synthesis(latents.w[i : i + 1], noise=maps))
        return torch.cat(made).clamp(0, 1)


def distance_to_mean(generator: Generator, w: Tensor, unit: float) -> Tensor:
    """(N,) how far w (N, L, D) lies from the mean, rows averaged, in `unit`s: 1 is where samples lie by `spread`."""
    return (w - generator.mean_w).square().sum(2).mean(1).sqrt() / max(unit, 1e-12)


def joined(parts: Sequence[Latents]) -> Latents:
    """Latents of several batches as one; all have noise maps or none, likewise tuned weights."""
    assert parts, "nothing to join"
    if len({(part.noise is None, part.tuned is None) for part in parts}) > 1:
        raise BadArgument("latents with and without noise maps or tuned weights cannot be joined.")
    noise, weights = [part.noise for part in parts], [part.tuned for part in parts]
    return Latents(
        torch.cat([part.w for part in parts]),
        None if noise[0] is None else [torch.cat(maps) for maps in zip(*(each or () for each in noise), strict=True)],
        torch.cat([part.distance for part in parts]),
        None if weights[0] is None else [one for each in weights for one in each or ()],
    )


def taken(latents: Latents, index: Tensor) -> Latents:
    """Some of the samples; `index` is a bool mask (N,) or positions."""
    positions = index.nonzero()[:, 0] if index.dtype == torch.bool else index
    at = positions.to(latents.w.device)
    return Latents(
        latents.w[at],
        None
        if latents.noise is None
        else [each[at] if len(each) == len(latents.w) else each for each in latents.noise],
        latents.distance[positions.to(latents.distance.device)],
        None if latents.tuned is None else [latents.tuned[int(i)] for i in positions],
    )


class Saved(NamedTuple):
    """One image's latents as a file holds them."""

    latents: Latents  # of one sample
    about: Mapping[str, Any]  # what `save_latents` was told: generator, method, source, numbers


def save_latents(path: Path, latents: Latents, i: int, about: Mapping[str, object]) -> None:
    """Writes sample `i` as safetensors: `w`, `distance`, `noise.00` ..., `tuned.NAME`; `about` goes into its metadata.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    from safetensors.torch import save as serialised

    one = taken(latents, torch.tensor([i]))
    tensors = {"w": one.w, "distance": one.distance}
    tensors |= {f"noise.{k:02d}": each for k, each in enumerate(one.noise or ())}
    tensors |= {f"tuned.{name}": each for name, each in (one.tuned or [{}])[0].items()}
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = {"advgen_latents": json.dumps({**about, "tuned": one.tuned is not None})}
    write_atomically(path, serialised(plain, metadata=text))


def load_latents(path: Path) -> Saved:
    """What `save_latents` wrote, on the CPU.

    Raises:
        MissingFile: there is no such file.
        BadFile: damaged, or other tensors than an image's latents.
    """
    from safetensors import safe_open

    from advgen.core.checkpoints import load_tensors

    tensors = load_tensors(path)
    with safe_open(str(path), "pt") as file:
        text = (file.metadata() or {}).get("advgen_latents")
    if text is None or not {"w", "distance"} <= set(tensors):
        raise BadFile(
            f"{path} holds tensors but no latents of an image; a file written by `advgen invert` was expected."
        )
    about = json.loads(text)
    noise = [tensors[name] for name in sorted(tensors) if name.startswith("noise.")]
    own = {name.removeprefix("tuned."): t for name, t in tensors.items() if name.startswith("tuned.")}
    tuned_weights = [own] if about.pop("tuned", False) else None
    return Saved(Latents(tensors["w"], noise or None, tensors["distance"], tuned_weights), about)
