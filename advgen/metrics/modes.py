"""Mode coverage, share of good samples and reverse KL on data whose modes are known.

The modes are Gaussians in the plane (a ring of 8: Metz et al. 2017, arXiv 1611.02163; a grid of 25: Srivastava et al.
2017, arXiv 1705.07761), or the classes that a classifier sees. A sample belongs to its nearest mode, or to its most
probable class. It is good within three standard deviations of the mode, or when the classifier gives the class at
least `confidence`. A mode is covered when it has a good sample. Reverse KL is KL(p_model || p_data) of the shares of
the modes in nats, all samples counted: 0 when every mode is met as often as in the data, log(K / m) when m of K equal
modes are met, equally.

Lin, Khetan, Fanti and Oh 2018, "PacGAN", arXiv 1712.04086, section 4 (the definitions).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.metrics._intervals import Interval, Z, wilson

GOOD_WITHIN = 3.0  # standard deviations of a mode
CONFIDENCE = 0.5  # of the classifier: one class is more probable than all others together


class ModeReport(NamedTuple):
    """How a model's samples fall on K known modes."""

    n: int  # samples
    modes: int
    covered: int
    good: float  # share
    good_interval: Interval
    reverse_kl: float  # nats
    reverse_kl_interval: Interval
    reverse_kl_bias: float  # about what a perfect model of this n would show
    counts: tuple[int, ...]  # samples a mode


def ring(modes: int = 8, *, radius: float = 2.0) -> Tensor:
    """Centres (K, 2) at equal distances on a circle."""
    angles = torch.arange(modes) * (2 * math.pi / modes)
    return radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def grid(side: int = 5, *, spacing: float = 2.0) -> Tensor:
    """Centres (side^2, 2) of a square grid around 0."""
    line = (torch.arange(side) - (side - 1) / 2) * spacing
    return torch.cartesian_prod(line, line)


def gaussian_modes(
    samples: Tensor, centres: Tensor, *, sigma: float, shares: Sequence[float] | None = None
) -> ModeReport:
    """Samples (N, D) against Gaussians of standard deviation `sigma` around `centres` (K, D); shares None = equal.

    Raises:
        BadArgument: no samples, other dimensions than the centres', or shares that are not a distribution.
    """
    if samples.ndim != 2 or samples.shape[1:] != centres.shape[1:]:
        raise BadArgument(f"samples must be (N, {centres.shape[1]}) as the centres are, got {tuple(samples.shape)}.")
    # One chunk holds a million distances at most.
    chunks = [torch.cdist(x, centres).min(1) for x in samples.split(max(1, 2**20 // len(centres)))]
    nearest = torch.cat([c.indices for c in chunks]) if chunks else torch.empty(0, dtype=torch.int64)
    distances = torch.cat([c.values for c in chunks]) if chunks else torch.empty(0)
    return _report(nearest, distances <= GOOD_WITHIN * sigma, len(centres), shares)


def class_modes(logits: Tensor, *, shares: Sequence[float] | None = None, confidence: float = CONFIDENCE) -> ModeReport:
    """A classifier's logits (N, K) of generated images against the shares of the classes in the data; None = equal.

    The classifier's own error is in every number: give its logits of held-out real images too, and compare.

    Raises:
        BadArgument: no samples, or shares that are not a distribution.
    """
    if logits.ndim != 2:
        raise BadArgument(f"logits must be (N, K), got {tuple(logits.shape)}.")
    probable = logits.double().softmax(1).max(1)
    return _report(probable.indices, probable.values >= confidence, logits.shape[1], shares)


def _report(assigned: Tensor, good: Tensor, modes: int, shares: Sequence[float] | None) -> ModeReport:
    n = len(assigned)
    if not n:
        raise BadArgument("no samples were given; modes are counted on at least one.")
    data = torch.full((modes,), 1 / modes, dtype=torch.float64)
    if shares is not None:
        data = torch.tensor(shares, dtype=torch.float64)
        if data.shape != (modes,) or not bool((data > 0).all()) or abs(float(data.sum()) - 1) > 1e-6:
            raise BadArgument(f"shares must be {modes} positive numbers that sum to 1, got {list(shares)}.")
    counts = assigned.bincount(minlength=modes)
    covered = int((assigned[good].bincount(minlength=modes) > 0).sum())
    model = counts.double() / n
    met = model > 0
    surprise = (model[met] / data[met]).log()
    divergence = float((model[met] * surprise).sum())
    # Delta method, and the term of second order that is left when the model is right.
    first_order = float((model[met] * surprise.square()).sum()) - divergence**2
    margin = Z * math.sqrt(max(0.0, first_order) / n + (modes - 1) / (2 * n**2))
    share = float(good.double().mean())
    return ModeReport(
        n=n,
        modes=modes,
        covered=covered,
        good=share,
        good_interval=wilson(share, n),
        reverse_kl=max(0.0, divergence),
        reverse_kl_interval=(max(0.0, divergence - margin), divergence + margin),
        reverse_kl_bias=(modes - 1) / (2 * n),
        counts=tuple(counts.tolist()),
    )
