"""Alarms: the threshold of a detector, from clean images that it was neither fitted nor tested on.

The threshold is a score of the calibration images themselves, chosen so that a new clean image is rejected with
probability at most `fpr`, whatever the distribution of the scores (split conformal prediction; Bates et al. 2023,
"Testing for outliers with conformal p-values", arXiv 2104.08279, Proposition 1). An interpolated quantile has no such
guarantee, and an index that rounds to zero rejects everything.
"""

import math

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.types import Alarm, Detector

EXPECTED_FALSE_ALARMS = 10  # at the least, on the calibration images; below it the threshold is a guess about the tail


def calibrate(
    detector: Detector, clean_images: Tensor, *, fpr: float, rng: SampleRng, slice_hash: str, batch_size: int = 256
) -> Alarm:
    """The alarm of a fitted detector at a rate of false alarms, from clean images (N, C, H, W) and their slice's hash.

    Raises:
        BadArgument: `fpr` is not between 0 and 1 or below 10 / N, or the scores are not finite or all equal.
    """
    _check_fpr(fpr, len(clean_images))
    rows = torch.arange(len(clean_images))
    with torch.no_grad():
        scores = torch.cat([detector.score(clean_images[i], rng.take(i)) for i in torch.split(rows, batch_size)])
    scores = scores.detach().double().cpu()
    threshold = threshold_at(scores, fpr=fpr)
    sigma = float(scores.std())
    if sigma == 0.0:
        raise BadArgument(
            f"{_name(detector)} gives all {len(scores)} clean images the same score ({threshold:g}); it cannot tell "
            "images apart."
        )
    return Alarm(detector, threshold, sigma, fpr, slice_hash)


def threshold_at(scores: Tensor, *, fpr: float) -> float:
    """The clean score above which at most a share `fpr` of new clean images lie, from clean scores (N,).

    Of N + 1 exchangeable scores a new one is among the m largest with probability m / (N + 1), so the m-th largest of
    the N is the threshold, m = floor(fpr (N + 1)). An image is rejected when its score is greater.

    Raises:
        BadArgument: `fpr` is not between 0 and 1 or below 10 / N, or a score is not finite.
    """
    n = len(scores)
    _check_fpr(fpr, n)
    bad = int((~torch.isfinite(scores)).sum())
    if bad:
        raise BadArgument(f"{bad} of {n} clean scores are not finite; a threshold cannot be taken from them.")
    # 0.29 * 100 is 28.999999999999996 in floats.
    m = math.floor(fpr * (n + 1) + 1e-9)
    return float(torch.sort(scores, descending=True).values[m - 1])


def _check_fpr(fpr: float, n: int) -> None:
    if not 0.0 < fpr < 1.0:
        raise BadArgument(f"the rate of false alarms must be between 0 and 1, got {fpr:g}.")
    if fpr * n < EXPECTED_FALSE_ALARMS - 1e-9:
        needed = math.ceil(EXPECTED_FALSE_ALARMS / fpr - 1e-9)
        raise BadArgument(
            f"a rate of false alarms of {fpr:g} needs {needed:,} clean calibration images "
            f"({EXPECTED_FALSE_ALARMS} false alarms among them), got {n:,}; calibrate on more, or raise the rate."
        )


def _name(detector: object) -> str:
    return f"the detector {type(detector).__name__}"
