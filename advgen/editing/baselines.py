"""What text edits are compared with: SeFa, directions from labels, a random direction, the best of n samples.

SeFa: Shen & Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", arXiv 2007.06600, equation 6: the
eigenvectors of A^T A, A the weights that turn w into styles. Two variants are published, and their directions differ:
`official`, the authors' program (all convolutions and the last ToRGB, each row of A scaled to length one), and
`rosinality` (all convolutions and the first ToRGB, A as it is, by a singular value decomposition, as equation 6 reads).
Directions from labels: the normal of a linear boundary (InterFaceGAN,
Shen et al. 2020, arXiv 1907.10786, section 3.2).
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.types import Generator
from advgen.editing.shifts import Shift
from advgen.editing.stylespace import Layout, sampled_w
from advgen.inversion.latents import at_rest


class Factors(NamedTuple):
    """Directions of w, the strongest first."""

    directions: Tensor  # (D, D) rows of length one
    values: Tensor  # (D,) eigenvalues, falling


@torch.no_grad()
def style_weights(generator: Generator) -> list[Tensor]:
    """(channels, D) for each style vector, its derivative by w, which is exact: styles are affine in w."""
    zero = generator.mean_w.new_zeros(1, generator.num_ws, generator.w_dim)
    each = torch.eye(generator.w_dim).to(zero)[:, None].expand(-1, generator.num_ws, -1)
    with at_rest(generator):
        base, moved = generator.styles(zero), generator.styles(each)
    return [(there - here).T for here, there in zip(base, moved, strict=True)]


def sefa(
    generator: Generator, *, variant: Literal["official", "rosinality"] = "official", layer: int | None = None
) -> Factors:
    """Directions by closed-form factorisation, over all layers of the variant or one convolution alone.

    Raises:
        BadArgument: no such variant or layer.
    """
    if variant not in ("official", "rosinality"):
        raise BadArgument(f"the variants of SeFa are official and rosinality, got {variant!r}.")
    weights, count = style_weights(generator), generator.num_ws - 1
    if layer is not None and not 0 <= layer < count:
        raise BadArgument(f"the generator has convolutions 0 to {count - 1}, got {layer}.")
    torgb = weights[-1] if variant == "official" else weights[count]
    rows = torch.cat([*weights[:count], torgb] if layer is None else [weights[layer]]).double()
    if variant == "official":
        rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    return Factors(vectors.T.flip(0).to(generator.mean_w), values.flip(0).to(generator.mean_w))


def along(direction: Tensor, generator: Generator) -> Shift:
    """A direction of w (D,) as a shift of all rows."""
    return Shift(w=direction.expand(1, generator.num_ws, -1).clone())


def from_labels(w: Tensor, labels: Tensor, *, ridge: float = 1e-2, steps: int = 50) -> Tensor:
    """(D,) of length one, the normal of the logistic boundary between labels of w (N, D), pointing to label 1.

    `ridge` is the weight of half the squared length of the normal, w in standard deviations; Newton's steps.

    Raises:
        BadArgument: one of both labels is missing.
    """
    labels = labels.double().flatten()
    if len(labels) != len(w) or not 0 < float(labels.mean()) < 1:
        raise BadArgument(
            f"a boundary needs both labels, a row of w each; got {len(w)} rows, {int(labels.sum())} of 1."
        )
    mean, std = w.double().mean(0), w.double().std(0).clamp(min=1e-12)
    x = torch.cat([(w.double() - mean) / std, torch.ones(len(w), 1).to(std)], 1)
    penalty = torch.full((x.shape[1],), ridge, dtype=torch.float64)
    penalty[-1] = 0
    weights = torch.zeros(x.shape[1], dtype=torch.float64)
    for _ in range(steps):
        p = torch.sigmoid(x @ weights)
        slope = x.T @ (p - labels) / len(x) + penalty * weights
        bend = (x * (p * (1 - p))[:, None]).T @ x / len(x) + torch.diag(penalty + 1e-9)
        step = torch.linalg.solve(bend, slope)
        weights = weights - step
        if float(step.abs().max()) < 1e-8:
            break
    normal = weights[:-1] / std
    return (normal / normal.norm()).to(w)


def random_like(shift: Shift, *, seed: int) -> Shift:
    """A random shift of the same length and the same number of moving coordinates, in the same space."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(part: Tensor | None) -> Tensor | None:
        if part is None:
            return None
        flat = part.flatten(1)
        found = torch.zeros_like(flat)
        for i, row in enumerate(flat):
            moving = int((row != 0).sum())
            places = torch.randperm(len(row), generator=generator)[:moving].to(row.device)
            values = torch.randn(moving, generator=generator).to(row)
            found[i, places] = values * (row.norm() / values.norm().clamp(min=1e-12))
        return found.reshape(part.shape)

    return Shift(drawn(shift.w), drawn(shift.s))


def random_styles(shift: Shift, where: Layout, std: Tensor, *, seed: int) -> Shift:
    """`random_like` of a shift of S, of the same length in standard deviations of the channels."""
    assert shift.s is not None
    assert len(std) == where.size
    scaled = random_like(Shift(s=shift.s / std.clamp(min=1e-12)), seed=seed)
    assert scaled.s is not None
    return Shift(s=scaled.s * std)


class Best(NamedTuple):
    """The best sample for each of N seeds."""

    w: Tensor  # (N, L, D)
    score: Tensor  # (N,)


@torch.no_grad()
def best_of(
    generator: Generator,
    score: Callable[[Tensor], Tensor],
    seeds: Sequence[int],
    *,
    calls: int,
    psi: float = 1.0,
    batch: int = 32,
) -> Best:
    """For each seed the best by `score` (images to (N,)) of `calls` samples that it draws.

    Raises:
        BadArgument: fewer than one sample a seed.
    """
    if calls < 1:
        raise BadArgument(f"the best of {calls} samples was asked for; 1 or more are needed.")
    best, scores = [], []
    with at_rest(generator):
        for seed in seeds:
            w = torch.lerp(generator.mean_w, sampled_w(generator, calls, seed=seed), psi)
            found = torch.cat([score(generator.synthesis(some).clamp(0, 1)) for some in w.split(batch)])
            best.append(w[found.argmax()])
            scores.append(found.max())
    if not best:
        return Best(generator.mean_w.new_zeros(0, generator.num_ws, generator.w_dim), generator.mean_w.new_zeros(0))
    return Best(torch.stack(best), torch.stack(scores))
