"""Toys for what plug-ins need: purifiers, detectors, networks, a generator with its inverter, encoders, an attack.

Each is computed row by row or elementwise, so results are bit-equal in any batch, and each has an exact answer:
the generator is linear, so its inverter is least squares; the texts' vectors hang on the words alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, final

import torch
from torch import Tensor, nn

from advgen.contracts import toys
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Detector, Goal, Latents, Purifier, Target


def blur(images: Tensor) -> Tensor:
    """Each pixel, and its right and lower neighbours, averaged; the border repeats."""
    right = torch.cat([images[..., 1:], images[..., -1:]], dim=-1)
    below = torch.cat([images[..., 1:, :], images[..., -1:, :]], dim=-2)
    return (images + right + below) / 3


@final
class Autoencoder(nn.Module):
    """Images to smoother images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.5), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.lerp(images, blur(images), self.strength)


def root_mean_square(images: Tensor, originals: Tensor) -> Tensor:
    """(N,) a distance where learned ones (LPIPS, identity) are meant; its gradient at zero is zero."""
    mean = (images - originals).square().flatten(1).mean(1)
    return torch.where(mean > 0, torch.where(mean > 0, mean, 1.0).sqrt(), 0.0)


@final
@dataclass(frozen=True)
class Smooth:
    """A purifier that blurs."""

    stochastic = False
    differentiable = True

    def purify(self, images: Tensor, rng: SampleRng) -> Tensor:
        return blur(images)

    def surrogate(self) -> Callable[[Tensor], Tensor]:
        return blur


@final
@dataclass(frozen=True)
class Noisy:
    """A random purifier: noise from each sample's own stream, then bytes, so that it has no gradient either."""

    sigma: float = 0.02  # standard deviation, units of [0, 1]
    stochastic = True
    differentiable = False

    def purify(self, images: Tensor, rng: SampleRng) -> Tensor:
        noisy = images.detach() + self.sigma * rng.normal(images.shape[1:]).to(images)
        return (noisy.clamp(0, 1) * 255).round() / 255

    def surrogate(self) -> Callable[[Tensor], Tensor]:
        return lambda images: images


@final
@dataclass(frozen=True)
class Roughness:
    """A detector: how much an image differs from its blurred self, less what clean images do."""

    usual: float = 0.0  # mean over the clean images
    stochastic = False
    differentiable = True

    def fit(self, clean: Tensor, *, rng: SampleRng) -> "Roughness":
        return replace(self, usual=float(self._rough(clean).mean()))

    def score(self, images: Tensor, rng: SampleRng) -> Tensor:
        return self._rough(images) - self.usual

    def surrogate(self) -> Detector:
        return self

    def _rough(self, images: Tensor) -> Tensor:
        return (images - blur(images)).abs().flatten(1).mean(1)


@final
class LinearGenerator:
    """w to images: 0.5 + the sum of w's rows over a fixed orthogonal basis; z is w, and the mean of w is 0."""

    z_dim = w_dim = 8
    num_ws = 2
    c_dim = 0

    def __init__(self, shape: tuple[int, int, int] = toys.SHAPE, seed: int = 5) -> None:
        generator = torch.Generator().manual_seed(seed)
        flat = torch.randn((math.prod(shape), self.num_ws * self.w_dim), generator=generator, dtype=torch.float64)
        self.basis = torch.linalg.qr(flat).Q.T.reshape(self.num_ws, self.w_dim, *shape).float()
        self.resolution = (shape[1], shape[2])
        self.mean_w = torch.zeros(self.w_dim)

    def mapping(self, z: Tensor, c: Tensor | None = None, *, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        w = z[:, None].repeat(1, self.num_ws, 1)
        rows = torch.arange(self.num_ws)[:, None] < (self.num_ws if cutoff is None else cutoff)
        return torch.where(rows, w * psi, w)

    def synthesis(self, w: Tensor, *, noise: str = "const", rng: SampleRng | None = None) -> Tensor:
        return self.synthesis_from_styles(self.styles(w))

    def styles(self, w: Tensor) -> list[Tensor]:
        return list(w.unbind(1))

    def synthesis_from_styles(self, styles: Sequence[Tensor]) -> Tensor:
        images = torch.full((len(styles[0]), *self.basis.shape[2:]), 0.5)
        for row, style in enumerate(styles):
            for d in range(self.w_dim):
                images = images + style[:, d, None, None, None] * self.basis[row, d]
        return images


@final
@dataclass(frozen=True)
class LeastSquares:
    """The inverter of a `LinearGenerator`: the nearest image it can make."""

    generator: LinearGenerator

    def invert(self, images: Tensor, *, rng: SampleRng, meter: Meter) -> Latents:
        basis = self.generator.basis.flatten(0, 1)
        columns = [((images - 0.5) * direction).flatten(1).sum(1) for direction in basis]
        w = torch.stack(columns, dim=1).reshape(-1, self.generator.num_ws, self.generator.w_dim)
        meter.generator_calls += len(images)
        return Latents(w, None, root_mean_square(self.generator.synthesis(w), images), None)


@final
@dataclass(frozen=True)
class WordHash:
    """Texts and images as unit vectors: a text is the mean of its words', each drawn from the word's hash."""

    dim: int = 8
    logit_scale: float = 10.0
    hash: str = "toy-word-hash"

    def unknown(self, text: str) -> Sequence[str]:
        return tuple(word for word in text.lower().split() if not word.isalpha())

    def encode(self, texts: list[str]) -> Tensor:
        if empty := [text for text in texts if not text.split()]:
            raise BadArgument(f"the text {empty[0]!r} is empty; words were expected.")
        vectors = [torch.stack([self._word(word) for word in text.lower().split()]).mean(0) for text in texts]
        return nn.functional.normalize(torch.stack(vectors) if vectors else torch.empty((0, self.dim)), dim=1)

    def encode_images(self, images: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(6)
        directions = torch.randn((self.dim, *images.shape[1:]), generator=generator)
        columns = [((images - 0.5) * direction).flatten(1).sum(1) for direction in directions]
        return nn.functional.normalize(torch.stack(columns, dim=1), dim=1)

    def _word(self, word: str) -> Tensor:
        seed = int.from_bytes(blake2b(word.encode(), digest_size=7).digest(), "little")
        return torch.randn(self.dim, generator=torch.Generator().manual_seed(seed))


@final
@dataclass(frozen=True)
class OneStep:
    """An attack for hardenings and ensembles: once along the gradient, then onto the budget."""

    budget: Budget

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        moved = images.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(goal.loss(Counted(target, meter)(moved, rng)).sum(), moved)
        return AttackResult(self.budget.project(images - slope.sign(), images).clamp(0.0, 1.0))


def samples_of(generator: LinearGenerator) -> Tensor:
    """(12, C, H, W) in [0, 1], of a generator whose w is z."""
    z = torch.randn((12, generator.z_dim), generator=torch.Generator().manual_seed(7))
    return generator.synthesis(generator.mapping(z)).clamp(0.0, 1.0)


def gallery(generator: LinearGenerator) -> Tensor:
    """(4, C, H, W), a picture for each class of the toys, as the generator makes them."""
    z = torch.randn((4, generator.z_dim), generator=torch.Generator().manual_seed(8))
    return generator.synthesis(generator.mapping(z)).clamp(0.0, 1.0)


def for_needs(budget: Budget) -> Mapping[str, Any]:
    """A toy for each name that a plug-in may put into `needs`."""
    generator, purifier = LinearGenerator(), Smooth()
    assert isinstance(purifier, Purifier)
    encoder = WordHash()
    return {
        "target": toys.linear(),
        "classifier": toys.linear(),
        "autoencoder": Autoencoder().eval(),
        "perceptual": root_mean_square,
        "purifier": purifier,
        "generator": generator,
        "inverter": LeastSquares(generator),
        "directions": torch.eye(generator.w_dim),
        "gallery": gallery(generator),
        "fakes": samples_of(generator),
        "text_encoder": encoder,
        "image_text_encoder": encoder,
        "attack": OneStep(budget),
    }
