"""Images by seed. Seed n is the same z in every program that follows the official one: NumPy's RandomState(n)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.images import grid, save_png, to_uint8
from advgen.core.provenance import Provenance, Source
from advgen.core.rng import SampleRng
from advgen.generators.stylegan2.generator import StyleGAN2Generator

MAX_SEED = 2**32 - 1


def latents(generator: StyleGAN2Generator, seeds: Sequence[int]) -> Tensor:
    """z (N, Z), a row a seed."""
    rows = [np.random.RandomState(seed).randn(generator.z_dim) for seed in seeds]
    return torch.from_numpy(np.stack(rows)).to(generator.mean_w)


def condition_of(generator: StyleGAN2Generator, label: int | None, count: int) -> Tensor | None:
    """The condition (N, C) of one class; None for a generator without any.

    Raises:
        BadArgument: a class is missing, given without need, or out of range.
    """
    if generator.c_dim and label is None:
        raise BadArgument(f"this generator has {generator.c_dim} classes; say which with --class 0.")
    if label is None:
        return None
    if not 0 <= label < generator.c_dim:
        known = f"0 to {generator.c_dim - 1}" if generator.c_dim else "none: leave --class out"
        raise BadArgument(f"class {label} was asked for; this generator has {known}.")
    return torch.eye(generator.c_dim)[label].expand(count, -1).to(generator.mean_w)


@torch.no_grad()
def images_of(
    generator: StyleGAN2Generator,
    seeds: Sequence[int],
    *,
    psi: float = 1.0,
    cutoff: int | None = None,
    label: int | None = None,
    noise: str = "const",
    batch: int = 8,
) -> Iterator[Tensor]:
    """uint8 (C, H, W), an image a seed.

    Raises:
        BadArgument: see `condition_of`.
    """
    for at in range(0, len(seeds), batch):
        some = seeds[at : at + batch]
        c = condition_of(generator, label, len(some))
        w = generator.mapping(latents(generator, some), c, psi=psi, cutoff=cutoff)
        rng = SampleRng.for_samples(0, "generate", [str(seed) for seed in some])
        yield from to_uint8(generator.synthesis(w, noise=noise, rng=rng).clamp(0, 1))


def save_images(
    generator: StyleGAN2Generator,
    seeds: Sequence[int],
    out: Path,
    *,
    psi: float = 1.0,
    cutoff: int | None = None,
    label: int | None = None,
    noise: str = "const",
    sources: tuple[Source, ...] = (),
) -> list[Path]:
    """Writes `seed0000.png`, ... and `grid.png` with all of them; returns their paths, the grid last.

    `sources` are the files that the generator came from, for the pictures' provenance.

    Raises:
        BadArgument: no PNG here holds the generator's channels; see also `images_of`.
    """
    if generator.config.channels not in (1, 3):
        raise BadArgument(f"images of {generator.config.channels} channels cannot be saved; grey or RGB is expected.")
    made, paths = [], []
    about = {"psi": psi, "cutoff": cutoff, "class": label, "noise": noise}

    def provenance(**shown: object) -> Provenance:
        return Provenance("trainedAlgorithmicMedia", "advgen generate", {**about, **shown}, sources)

    for seed, image in zip(seeds, images_of(generator, seeds, psi=psi, cutoff=cutoff, label=label, noise=noise)):
        paths.append(out / f"seed{seed:04d}.png")
        save_png(image, paths[-1], provenance=provenance(seed=seed))
        made.append(image)
    paths.append(out / "grid.png")
    save_png(grid(made), paths[-1], provenance=provenance(seeds=list(seeds)))
    return paths


def seeds_of(text: str, what: str = "seeds") -> list[int]:
    """ "0-15", "3", or "0-3,8,20-21"; `what` is what errors call them.

    Raises:
        BadArgument: not of this form, out of range, or more than 100,000.
    """
    seeds: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise BadArgument(f"{what} are written 0-15 or 1,5,8-11, got {text!r}.")
        start, end = int(first), int(last if dash else first)
        if end < start or end > MAX_SEED:
            raise BadArgument(f"{what} go upwards from 0 to {MAX_SEED}, got {piece.strip()!r}.")
        if len(seeds) + end - start >= 100_000:
            raise BadArgument(f"{text!r} asks for more than 100000 {what}; give fewer.")
        seeds += range(start, end + 1)
    return list(dict.fromkeys(seeds))
