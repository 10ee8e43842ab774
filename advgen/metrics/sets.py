"""FID, KID, precision and recall, and Inception Score of two sets of images, with intervals (torch-fidelity).

The numbers are torch-fidelity's, on features that were taken once:
- FID (Heusel et al. 2017, arXiv 1706.08500): covariances with ddof 1; see `fid` for its equation.
- KID (Binkowski et al. 2018, arXiv 1801.01401, equation 4): the unbiased MMD^2 under (x.y / D + 1)^3, mean over 100
  subsets of 1,000 images, or of the smaller set where it has fewer. Slightly below 0 is a value like any other.
- precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991, equation 1): the share of generated images inside
  the ball of some real one whose radius is the distance to its 3rd nearest real neighbour; recall, the other way round.
- Inception Score (Salimans et al. 2016, arXiv 1606.03498): exp of the mean KL from p(y|x) to p(y), over 10 splits of
  the shuffled images; only with a feature network that has logits.

Intervals are 95% and tell how far the number moves with other images, as many. FID: delete-a-group jackknife over both
sets, 20 groups, Student's t with 38 degrees of freedom; the same gives the bias that too few images cause. KID: the
first-order variance of its U-statistic, and that of the mean over the subsets. Precision and recall: Wilson's, the
balls taken as they are. Inception Score: Student's t over the splits.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.metrics._intervals import GROUPS, Interval, Z, jackknife, wilson
from advgen.metrics.features import Features, fingerprints, resolved
from advgen.metrics.fid import frechet_distance

NEIGHBOURS = 3
SPLITS = 10
SUBSETS = 100
SUBSET_SIZE = 1000
_EXTRACTOR = "advgen-rows"
_KID_ROWS = 5000  # of each set, for the variance of KID: the kernel matrix grows with the square
_CHUNK = 1000
_LOGIT_FLOOR = 600.0  # below the largest; exp(-600) is still a number in float64


class SetReport(NamedTuple):
    """How far generated images are from real ones; None where a number has no meaning, and `notes` says why."""

    fid: float
    fid_interval: Interval | None
    fid_bias: float | None  # what of `fid` comes from the number of images alone
    kid: float
    kid_interval: Interval | None
    precision: float | None
    precision_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None
    inception_score: float | None
    inception_score_interval: Interval | None
    n_real: int
    n_fake: int
    dim: int  # of the features
    features: str  # name of the feature network
    features_hash: str
    stands_in_for: str | None  # what the feature network replaces; None for the published one
    notes: tuple[str, ...]


def compare_sets(
    real_u8: Tensor, fake_u8: Tensor, *, features: Features | str = "auto", seed: int = 0, batch_size: int = 64
) -> SetReport:
    """The distance of generated images from real ones, both uint8 (N, C, H, W), of one size.

    `features` is a `Features` or the name of one; `seed` draws KID's subsets, the splits and the groups.

    Raises:
        BadArgument: fewer than 2 images in a set, not uint8, or of two sizes.
    """
    network = resolved(features)
    for name, images in (("real", real_u8), ("generated", fake_u8)):
        if len(images) < 2:
            raise BadArgument(f"sets of images are compared from 2 images up, got {len(images)} {name}.")
    if real_u8.shape[1:] != fake_u8.shape[1:]:
        raise BadArgument(
            f"real images are {tuple(real_u8.shape[1:])}, generated ones {tuple(fake_u8.shape[1:])}: one size is "
            "needed, since scaling one set alone shows in every number; scale both in the same way."
        )
    real = network.of(real_u8, batch_size=batch_size)
    fake, logits = network.with_logits(fake_u8, batch_size=batch_size)
    measured = _measured(real, fake, logits, seed)
    report = SetReport(
        **measured,
        n_real=len(real),
        n_fake=len(fake),
        dim=real.shape[1],
        features=network.name,
        features_hash=network.hash,
        stands_in_for=network.stands_in_for,
        notes=(),
    )
    repeated = {name: _repeated(images) for name, images in (("real", real_u8), ("generated", fake_u8))}
    return report._replace(notes=_notes(report, repeated, has_logits=logits is not None))


def _measured(real: Tensor, fake: Tensor, logits: Tensor | None, seed: int) -> dict[str, Any]:
    subset_size = min(SUBSET_SIZE, len(real), len(fake))
    neighbours = min(len(real), len(fake)) > NEIGHBOURS
    splits = logits is not None and len(fake) >= 2 * SPLITS
    found = _by_torch_fidelity(real, fake, logits if splits else None, seed, subset_size, with_balls=neighbours)
    fid = found["frechet_inception_distance"]
    moved = jackknife(frechet_distance, real, fake, value=fid, seed=seed)
    kid = found["kernel_inception_distance_mean"]
    margin = _kid_margin(real, fake, found["kernel_inception_distance_std"], subset_size, seed)
    precision, recall = found.get("precision"), found.get("recall")
    score, score_std = found.get("inception_score_mean"), found.get("inception_score_std")
    return {
        "fid": fid,
        "fid_interval": (max(0.0, fid - moved.margin), fid + moved.margin) if moved else None,
        "fid_bias": moved.bias if moved else None,
        "kid": kid,
        "kid_interval": (kid - margin, kid + margin) if margin is not None else None,
        "precision": precision,
        "precision_interval": wilson(precision, len(fake)) if precision is not None else None,
        "recall": recall,
        "recall_interval": wilson(recall, len(real)) if recall is not None else None,
        "inception_score": score,
        "inception_score_interval": _score_interval(score, score_std) if score is not None else None,
    }


def _by_torch_fidelity(
    real: Tensor, fake: Tensor, logits: Tensor | None, seed: int, subset_size: int, *, with_balls: bool
) -> dict[str, float]:
    """torch-fidelity's numbers; its extractor hands on the features that are the rows of its data sets."""
    from torch_fidelity import calculate_metrics

    _register_extractor()
    rows = fake
    if logits is not None:
        # A class that no image has any probability of would give 0 times infinity.
        floored = (logits - logits.amax(1, keepdim=True)).clamp(min=-_LOGIT_FLOOR)
        rows = torch.cat([fake, floored], dim=1)
    found: dict[str, float] = calculate_metrics(
        input1=_rows(rows),
        input2=_rows(real),
        feature_extractor=_EXTRACTOR,
        advgen_dim=fake.shape[1],
        fid=True,
        kid=True,
        prc=with_balls,
        isc=logits is not None,
        isc_splits=SPLITS,
        kid_subsets=SUBSETS,
        kid_subset_size=subset_size,
        prc_neighborhood=NEIGHBOURS,
        rng_seed=seed,
        batch_size=_CHUNK,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    return found


def _rows(features: Tensor) -> Any:
    from torch.utils.data import Dataset

    class Rows(Dataset[Tensor]):
        def __len__(self) -> int:
            return len(features)

        def __getitem__(self, place: int) -> Tensor:
            if place >= len(features):
                raise IndexError(place)
            return features[place]

    return Rows()


def _register_extractor() -> None:
    """Makes the extractor that hands rows on known to torch-fidelity, once a process."""
    from torch_fidelity import FeatureExtractorBase, register_feature_extractor
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    if _EXTRACTOR in FEATURE_EXTRACTORS_REGISTRY:
        return

    class RowsExtractor(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], *, advgen_dim: int, **_kwargs: Any) -> None:
            super().__init__(name, features_list)
            self.dim = advgen_dim

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "features", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
            parts = {"features": rows[:, : self.dim], "logits": rows[:, self.dim :]}
            return tuple(parts[name] for name in self.features_list)

    register_feature_extractor(_EXTRACTOR, RowsExtractor)


def _kid_margin(real: Tensor, fake: Tensor, subset_std: float, subset_size: int, seed: int) -> float | None:
    """Half the width of KID's interval."""
    if min(len(real), len(fake)) < 2 * GROUPS:
        return None
    rng = np.random.default_rng(seed)
    some = [x[torch.from_numpy(rng.permutation(len(x))[:_KID_ROWS])] for x in (real, fake)]
    variance = 0.0
    for (rows, other), count in zip((some, some[::-1]), (len(real), len(fake))):
        influence = 2 * (_mean_kernel(rows, rows) - _mean_kernel(rows, other))
        variance += float(influence.var()) / count
    if subset_size < max(len(real), len(fake)):
        variance += subset_std**2 / SUBSETS
    return Z * math.sqrt(variance)


def _mean_kernel(rows: Tensor, others: Tensor) -> Tensor:
    """(N,) mean of KID's kernel from each row to the others, itself left out when they are the same set."""
    means = []
    wide = others.double()
    for chunk in rows.double().split(_CHUNK):
        kernel = (chunk @ wide.T / rows.shape[1] + 1) ** 3
        total = kernel.sum(1)
        if others is rows:
            own = (chunk.square().sum(1) / rows.shape[1] + 1) ** 3
            means.append((total - own) / (len(others) - 1))
        else:
            means.append(total / len(others))
    return torch.cat(means)


def _score_interval(score: float, std: float) -> Interval:
    # torch-fidelity's standard deviation has ddof 0.
    margin = float(stats.t.ppf(0.975, SPLITS - 1)) * std / math.sqrt(SPLITS - 1)
    return score - margin, score + margin


def _repeated(images_u8: Tensor) -> int:
    """How many images are equal to an earlier one, byte for byte."""
    return len(images_u8) - len(set(fingerprints(images_u8)))


def _notes(report: SetReport, repeated: dict[str, int], *, has_logits: bool) -> tuple[str, ...]:
    notes = []
    if report.stands_in_for:
        notes.append(
            f"{report.features} features stand in for {report.stands_in_for}: the numbers rank sets among themselves "
            "and cannot be compared with papers."
        )
    fewest = min(report.n_real, report.n_fake)
    if fewest <= report.dim:
        notes.append(
            f"{fewest} images for {report.dim} feature dimensions: a covariance lacks full rank and FID is mostly "
            "bias; trust KID, or bring more images."
        )
    if report.fid_bias is not None and report.fid_bias > 0.5 * report.fid:
        notes.append(
            f"about {report.fid_bias:.3g} of the FID of {report.fid:.3g} comes from the number of images alone; "
            f"compare it with values of {report.n_fake} images only."
        )
    if fewest < SUBSET_SIZE:
        notes.append(f"KID's subsets hold {fewest} images, the size of the smaller set, instead of {SUBSET_SIZE}.")
    if report.n_real != report.n_fake:
        notes.append(
            f"precision and recall depend on the sizes, {report.n_real} and {report.n_fake} images here: compare "
            "values of equal sizes."
        )
    for name, count in repeated.items():
        if count:
            notes.append(
                f"{count} {name} images repeat another one: balls of precision and recall shrink to points, and "
                "intervals are too narrow."
            )
    if report.precision is None:
        notes.append(f"precision and recall need more than {NEIGHBOURS} images in each set.")
    if report.fid_interval is None:
        notes.append(f"intervals of FID and KID need {2 * GROUPS} images in each set.")
    if not has_logits:
        notes.append(f"{report.features} has no logits, so there is no Inception Score.")
    elif report.inception_score is None:
        notes.append(f"Inception Score needs {2 * SPLITS} images for its {SPLITS} splits.")
    return tuple(notes)
