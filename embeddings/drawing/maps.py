"""Words laid out on a plane by t-SNE or by their principal components, and what share of true neighbours that keeps.

Both work on vectors of length one, so that near means of high cosine. A word's true neighbours are its `NEAREST` of
the highest cosine among the words drawn; kept are those that are also among its nearest on the plane.

van der Maaten & Hinton 2008 (JMLR 9) through openTSNE (Poličar, Stražar & Zupan 2024, JSS 109); Venna & Kaski 2001 for
neighbours kept as the measure of a map.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgen.core.errors import BadArgument
from advgen.embeddings.neighbours import Rows, Shares, common, nearest_rows
from advgen.embeddings.vectors import Vectors

Method = Literal["t-sne", "pca"]
Places = NDArray[np.float64]
NEAREST = 10
LARGEST_PERPLEXITY = 30.0  # unless one is given
_STEPS = 50  # of t-SNE between two words on its progress


class WordMap(NamedTuple):
    """Words and where they are drawn."""

    words: tuple[str, ...]
    places: Places  # (N, 2)
    method: str  # as it is told to the reader, with its settings
    near: Rows  # (N, n) the true neighbours of each word among those drawn, nearest first
    cosines: NDArray[np.float32]  # (N, n) with them
    here: Rows  # (N, n) its neighbours on the plane, nearest first

    @property
    def kept(self) -> Shares:
        """(N,) the share of each word's true neighbours that are near it on the plane, too."""
        return common(self.near, self.here)

    @property
    def share(self) -> float:
        """Of true neighbours that are kept, mean over words."""
        return float(self.kept.mean())

    @property
    def chance(self) -> float:
        """The share that a plane with words at random places would keep."""
        return self.near.shape[1] / (len(self.words) - 1)


def draw(
    vectors: Vectors,
    words: Sequence[str],
    *,
    method: Method = "t-sne",
    seed: int = 0,
    perplexity: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> WordMap:
    """These words on a plane; the same seed gives the same map.

    A perplexity of None is the root of the number of words, 30 at most: groups of a few dozen words then stay wide
    enough to be read.

    Raises:
        UnknownName: a word has no vector.
        BadArgument: too few words, a word twice, or a perplexity that they cannot have.
    """
    if method not in ("t-sne", "pca"):
        raise BadArgument(f"the method must be t-sne or pca, got {method!r}.")
    if len(words) < 3:
        raise BadArgument(f"{len(words)} words make no map; three or more are needed.")
    drawn = vectors.only(words)
    points = drawn.unit.astype(np.float64)
    if method == "pca":
        places, share = principal_plane(points)
        told = f"principal components of unit vectors, which hold {share:.0%} of their variance"
    else:
        usual = min(LARGEST_PERPLEXITY, math.sqrt(len(words)), (len(words) - 1) / 3)
        chosen = max(usual, 1.0) if perplexity is None else perplexity
        places = _t_sne(points, seed, chosen, tell)
        told = f"t-SNE of cosines, perplexity {chosen:.3g}, seed {seed}"
    n = min(NEAREST, max((len(words) - 1) // 2, 1))
    near = nearest_rows(drawn, np.arange(len(words)), n)
    cosines = np.einsum("nd,nkd->nk", drawn.unit, drawn.unit[near])
    return WordMap(tuple(words), places, told, near, cosines, nearest_places(places, n))


def principal_plane(points: Places) -> tuple[Places, float]:
    """(N, 2) the points on their first two principal components, and the share of variance that these hold.

    Of each component the largest coordinate is positive, so that a map is not mirrored from machine to machine.
    """
    centred = points - points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = left[:, :2] * sizes[:2]
    places *= np.sign(places[np.abs(places).argmax(axis=0), np.arange(places.shape[1])])
    total = (sizes**2).sum()
    if total == 0:
        raise BadArgument("the words to be drawn all have the same vector; a map needs vectors that differ.")
    return places, float((sizes[:2] ** 2).sum() / total)


def nearest_places(places: Places, n: int) -> Rows:
    """(N, n) which of the others are nearest to each place on the plane, nearest first."""
    from scipy.spatial import cKDTree

    near = cKDTree(places).query(places, k=min(n + 1, len(places)))[1]
    # A word stands first among its own nearest, unless another has the same place.
    others = [row[row != i][:n] for i, row in enumerate(near)]
    rows: Rows = np.stack(others).astype(np.int64)
    return rows


def _t_sne(points: Places, seed: int, perplexity: float, tell: Callable[[str], None]) -> Places:
    most = (len(points) - 1) / 3
    if not 1 <= perplexity <= most:
        raise BadArgument(
            f"perplexity {perplexity:g} for {len(points)} words; it must lie between 1 and a third of them, {most:.0f}."
        )
    from openTSNE import TSNE

    def told(step: int, error: float, _: object) -> None:
        tell(f"t-SNE: step {step}, divergence {error:.3f}")

    method = TSNE(
        perplexity=perplexity, metric="cosine", neighbors="exact", initialization="pca", random_state=seed, n_jobs=1,
        callbacks=told, callbacks_every_iters=_STEPS,
    )  # fmt: skip
    places: Places = np.asarray(method.fit(points), dtype=np.float64)
    return places
