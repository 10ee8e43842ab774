"""Latent spaces: a search that moves what a generator makes images of, around the latents of one batch.

Coordinates are offsets from where the batch begins, so that a search in W may begin at an inversion in W+. What a
coordinate counts in makes the kinds comparable: rows of w in the root mean square distance of w from its mean, style
channels in their standard deviation over samples, z and noise maps in their own standard deviation, 1.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, final

import torch
from torch import Tensor

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Index, Latents

Kind = Literal["z", "w", "w+", "s", "noise"]
KINDS: tuple[Kind, ...] = ("z", "w", "w+", "s", "noise")
DRAWS = 4096  # z over which spreads are taken
STYLE_DRAWS = 256  # z over which style channels' are


@final
@dataclass(frozen=True)
class LatentSpace:
    """Offsets of one batch's latents: (N, 1, D) for w, (N, L, D) for w+, (N, Z) for z, (N, 1, S) for s and noise.

    Built by `around` or `from_nothing`. `reach` keeps every row of w within so many root mean square distances of the
    mean of w: what lies farther out the generator has never been asked for.
    """

    generator: Generator
    kind: Kind
    w: Tensor  # (N, L, D), where the search begins
    noise: tuple[Tensor, ...] | None = None  # maps (N or 1, 1, H, W), where the images have their own
    z: Tensor | None = None  # (N, Z), of a search that begins at samples
    spread: float = 1.0  # of w from its mean
    reach: float | None = None
    scales: tuple[Tensor, ...] = ()  # of style channels, a vector a layer
    meter: Meter | None = None
    own: tuple[Generator, ...] | None = None  # a generator an image, where its weights were tuned
    unit: float = field(default=1.0, init=False)
    pixels: bool = field(default=False, init=False)

    @classmethod
    def around(
        cls,
        generator: Generator,
        latents: Latents,
        kind: Kind,
        *,
        reach: float | None = None,
        meter: Meter | None = None,
    ) -> "LatentSpace":
        """The space around inverted images.

        Raises:
            UnknownName: no such kind.
            BadArgument: z, which an image has none of.
        """
        if kind not in KINDS:
            raise UnknownName.among("latent space", kind, KINDS)
        if kind == "z":
            raise BadArgument("an image has no z of its own; search in w, w+ or s, or begin at samples.")
        noise = None if latents.noise is None else tuple(latents.noise)
        if kind == "noise" and noise is None:
            noise = tuple(maps_of(generator))
        scales = style_scales(generator) if kind == "s" else ()
        own = None if latents.tuned is None else tuple(_tuned(generator, change) for change in latents.tuned)
        return cls(generator, kind, latents.w.detach(), noise, None, spread(generator), reach, scales, meter, own)

    @classmethod
    def from_nothing(
        cls, generator: Generator, rng: SampleRng, *, psi: float = 1.0, reach: float | None = None,
        kind: Kind = "z", meter: Meter | None = None,
    ) -> "LatentSpace":  # fmt: skip
        """The space around samples, one drawn for each row of `rng`."""
        z = rng.normal((generator.z_dim,)).to(generator.mean_w)
        with torch.no_grad():
            w = generator.mapping(z, psi=psi)
        if kind == "z":
            return cls(generator, kind, w, None, z, spread(generator), reach, (), meter)
        made = Latents(w, None, w.new_zeros(len(w)), None)
        return cls.around(generator, made, kind, reach=reach, meter=meter)

    def take(self, index: Index) -> Self:
        n = len(self.w)
        noise = None if self.noise is None else tuple(m[index] if len(m) == n else m for m in self.noise)
        own = None if self.own is None else tuple(self.own[i] for i in torch.arange(n)[index.cpu()].tolist())
        return replace(self, w=self.w[index], noise=noise, z=None if self.z is None else self.z[index], own=own)

    def start(self, originals: Tensor, rng: SampleRng) -> Tensor:
        n = len(self.w)
        if self.kind == "z":
            assert self.z is not None
            return torch.zeros_like(self.z)
        if self.kind == "w+":
            return torch.zeros_like(self.w)
        if self.kind == "w":
            return self.w.new_zeros(n, 1, self.w.shape[2])
        if self.kind == "s":
            return self.w.new_zeros(n, 1, sum(len(s) for s in self.scales))
        return self.w.new_zeros(n, 1, sum(m[0].numel() for m in self.noise or ()))

    def decode(self, coordinates: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1]; the clamp lets gradients of pixels inside through."""
        if self.meter is not None:
            self.meter.generator_calls += len(coordinates)
        if self.own is None:
            return self._made(coordinates, self.generator).clamp(0.0, 1.0)
        alone = [self.take(torch.tensor([i]))._made(coordinates[i : i + 1], own) for i, own in enumerate(self.own)]
        return torch.cat(alone).clamp(0.0, 1.0) if alone else self._made(coordinates, self.generator)

    def latents(self, coordinates: Tensor) -> Tensor:
        """(N, L, D), of the kinds that move w."""
        if self.kind == "z":
            assert self.z is not None
            return self.generator.mapping(self.z + coordinates)
        return self.w + coordinates * self.spread if self.kind in ("w", "w+") else self.w

    def clip(self, coordinates: Tensor) -> Tensor:
        if self.reach is None or self.kind not in ("w", "w+"):
            return coordinates
        mean = self.generator.mean_w
        away = self.w + coordinates * self.spread - mean
        length = away.norm(dim=2, keepdim=True).clamp(min=1e-12)
        # An inversion that already lies farther out may stay where it is.
        limit = (self.w - mean).norm(dim=2, keepdim=True).clamp(min=self.reach * self.spread)
        inside: Tensor = (mean + away * (limit / length).clamp(max=1) - self.w) / self.spread
        return inside.mean(1, keepdim=True) if self.kind == "w" else inside

    def _made(self, coordinates: Tensor, generator: Any) -> Tensor:
        images: Tensor
        if self.kind == "s":
            parts = torch.split(coordinates[:, 0], [len(s) for s in self.scales], dim=1)
            with torch.no_grad():
                styles = generator.styles(self.w)
            moved = [s + part * scale for s, part, scale in zip(styles, parts, self.scales, strict=True)]
            images = generator.synthesis_from_styles(moved, **self._own_noise(self.noise))
        elif self.kind == "noise":
            maps = self.noise or ()
            parts = torch.split(coordinates[:, 0], [m[0].numel() for m in maps], dim=1)
            moved = [m + part.reshape(len(part), *m.shape[1:]) for m, part in zip(maps, parts, strict=True)]
            images = generator.synthesis(self.w, noise=moved)
        else:
            images = generator.synthesis(self.latents(coordinates), **self._own_noise(self.noise))
        return images

    def _own_noise(self, maps: Sequence[Tensor] | None) -> dict[str, Any]:
        return {} if maps is None else {"noise": list(maps)}


@final
@dataclass(frozen=True)
class AlongDirections:
    """Coefficients (N, K) of directions of w around one batch; 1 is as far as a sample typically lies from the mean."""

    base: LatentSpace  # of w+
    directions: Tensor  # (K, L, D), each of root mean square length 1 over its rows
    unit: float = field(default=1.0, init=False)
    pixels: bool = field(default=False, init=False)

    @classmethod
    def of(cls, base: LatentSpace, directions: Tensor) -> "AlongDirections":
        """From directions (K, D) for all rows, or (K, L, D), of any length.

        Raises:
            BadArgument: directions of another shape, or one of length 0.
        """
        layers, dim = base.w.shape[1:]
        if directions.dim() == 2:
            directions = directions[:, None].expand(-1, layers, -1)
        if directions.dim() != 3 or tuple(directions.shape[1:]) != (layers, dim):
            raise BadArgument(
                f"directions must have the shape (K, {dim}) or (K, {layers}, {dim}), got {tuple(directions.shape)}."
            )
        length = directions.flatten(1).norm(dim=1) / layers**0.5
        if not bool((length > 0).all()):
            raise BadArgument("a direction has no length, so it leads nowhere.")
        return cls(base, (directions / length[:, None, None]).to(base.w))

    def take(self, index: Index) -> Self:
        return replace(self, base=self.base.take(index))

    def start(self, originals: Tensor, rng: SampleRng) -> Tensor:
        return self.base.w.new_zeros(len(self.base.w), len(self.directions))

    def decode(self, coordinates: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1]."""
        return self.base.decode(torch.einsum("nk,kld->nld", coordinates, self.directions))

    def clip(self, coordinates: Tensor) -> Tensor:
        return coordinates


@torch.no_grad()
def spread(generator: Generator) -> float:
    """Root mean square distance of w from its mean, over fixed z (arXiv 1912.04958, appendix D: one number)."""
    w = _samples(generator, DRAWS)[:, 0]
    return float((w - generator.mean_w).square().sum(1).mean().sqrt())


@torch.no_grad()
def style_scales(generator: Any) -> tuple[Tensor, ...]:
    """Standard deviation of every style channel over fixed z, a vector a layer (arXiv 2011.12799, section 3)."""
    styles = generator.styles(_samples(generator, STYLE_DRAWS))
    return tuple(s.flatten(1).std(0) for s in styles)


def maps_of(generator: Any) -> list[Tensor]:
    """The generator's constant noise maps, (1, 1, H, W) each.

    Raises:
        BadArgument: a generator without noise.
    """
    synthesis = getattr(generator, "synthesis", None)
    convs = getattr(synthesis, "convs", None)
    if convs is None:
        raise BadArgument("this generator has no noise maps; search in z, w, w+ or s.")
    return [layer.noise_const.detach()[None, None] for layer in convs()]


def _tuned(generator: Generator, change: Mapping[str, Tensor]) -> Generator:
    """A copy with its weights changed; the one given stays as it is."""
    own = deepcopy(generator)
    weights = dict(own.named_parameters())  # type: ignore[attr-defined]
    with torch.no_grad():
        for name, by in change.items():
            weights[name].add_(by.to(weights[name]))
    return own


def _samples(generator: Generator, count: int) -> Tensor:
    """(count, L, D) of fixed z; classes in turn where there are any."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(0)).to(generator.mean_w)
    c = torch.eye(generator.c_dim)[torch.arange(count) % generator.c_dim].to(z) if generator.c_dim else None
    return generator.mapping(z, c)
