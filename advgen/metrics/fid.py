"""FID against a fixed set of real images, cheap enough to be taken while a generator trains.

FID = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), m and S the mean and covariance (ddof 1) of the features of two
sets. Since S1 S2 has the eigenvalues of R S2 R with R the symmetric root of S1, the last term is a sum of square roots
of eigenvalues of a symmetric matrix: no complex numbers, no iteration, fit for covariances without full rank.

Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash equilibrium",
arXiv 1706.08500, equation 6.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.metrics.features import Features, resolved


class _Moments(NamedTuple):
    mean: Tensor  # (D,) float64
    covariance: Tensor  # (D, D) float64, ddof 1
    n: int


class FidProbe:
    """Holds the statistics of the real images; `of` gives the FID of another set to them.

    Images are uint8 (N, C, H, W). `features` is a `Features` or the name of one. FID falls with n at equal quality:
    compare values of the same number of images only; `n_real` and `dim` are there to be written beside them.

    Raises:
        BadArgument: fewer than 2 images, or not uint8.
    """

    def __init__(self, real_u8: Tensor, features: Features | str = "auto", *, batch_size: int = 64) -> None:
        self.features = resolved(features)
        self.batch_size = batch_size
        real = _moments(self.features.of(real_u8, batch_size=batch_size), "real")
        self.n_real = real.n
        self.dim = len(real.mean)
        self._real = real
        self._root = _root(real.covariance)

    def of(self, fake_u8: Tensor | Iterable[Tensor]) -> float:
        """FID of uint8 images (N, C, H, W), or of batches of them (which need not be in memory together)."""
        batches = [fake_u8] if isinstance(fake_u8, Tensor) else fake_u8
        rows = [self.features.of(batch, batch_size=self.batch_size) for batch in batches]
        if not rows:
            raise BadArgument("a set of no images has no FID.")
        return self.of_features(torch.cat(rows))

    def of_features(self, fake: Tensor) -> float:
        """FID of features (N, D) that this probe's network gave."""
        generated = _moments(fake, "generated")
        return _distance(self._real, self._root, generated)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """FID of two sets of features, (N, D) and (M, D)."""
    one, other = _moments(first, "first"), _moments(second, "second")
    return _distance(one, _root(one.covariance), other)


def _moments(features: Tensor, name: str) -> _Moments:
    """Mean and covariance (ddof 1) of features (N, D), in float64.

    Raises:
        BadArgument: fewer than 2 rows.
    """
    if len(features) < 2:
        raise BadArgument(f"FID needs at least 2 {name} images for a covariance, got {len(features)}.")
    rows = features.double()
    mean = rows.mean(0)
    centred = rows - mean
    return _Moments(mean, centred.T @ centred / (len(rows) - 1), len(rows))


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _distance(one: _Moments, root: Tensor, other: _Moments) -> float:
    shared = torch.linalg.eigvalsh(root @ other.covariance @ root).clamp(min=0).sqrt().sum()
    spread = one.covariance.trace() + other.covariance.trace() - 2 * shared
    # Rounding may leave a distance of 0 a little below it.
    return max(0.0, float((one.mean - other.mean).square().sum() + spread))
