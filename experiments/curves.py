"""Detectors and trade-offs: ROC, AUC, operating points, calibration, risk against coverage, Pareto fronts. Plain
arrays.

DeLong et al. 1988 (Biometrics 44:837) in the midrank form of Sun & Xu 2014 (IEEE SPL 21:1389); calibration error of
Guo et al. 2017 (arXiv 1706.04599, eq. 3); risk-coverage of Geifman & El-Yaniv 2017 (arXiv 1705.08500). A higher score
is more suspect.
"""

from collections.abc import Sequence
from math import ceil, exp, log, sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats as distributions

from advgen.core.errors import BadArgument
from advgen.experiments.stats import Rate, bootstrap, quantiles, rate

FALSE_ALARM_RATES = (0.05, 0.01, 0.001)


class Roc(NamedTuple):
    """Shares of clean (fpr) and adversarial (tpr) images with a score above each threshold, from (0, 0) to (1, 1)."""

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray


class Area(NamedTuple):
    """Area under the ROC curve with its interval; no value when a side is empty."""

    value: float | None
    low: float | None
    high: float | None
    clean: int
    adversarial: int


class OperatingPoint(NamedTuple):
    """What a detector does at one wanted false-alarm rate, or the sentence that says why no number is given."""

    wanted: float
    threshold: float | None
    detected: Rate | None  # of the adversarial images
    false_alarms: Rate | None  # of the clean test images
    refused: str = ""


class RiskCoverage(NamedTuple):
    """Share answered (coverage) and share wrong among the answered (risk), least suspect first; and the mean risk."""

    coverage: np.ndarray
    risk: np.ndarray
    area: float | None


class Calibration(NamedTuple):
    """Expected calibration error and its bins: mean probability, observed share, count."""

    error: float | None
    predicted: np.ndarray
    observed: np.ndarray
    count: np.ndarray


def roc(clean: Sequence[float], adversarial: Sequence[float]) -> Roc:
    """ROC of the rule `score > threshold`, a point for each distinct score; ties move both axes at once."""
    clean, adversarial = _finite(clean), _finite(adversarial)
    _both(clean, adversarial)
    cuts = np.concatenate([[np.inf], np.unique(np.concatenate([clean, adversarial]))[::-1]])
    above = lambda scores: (
        1 - np.searchsorted(np.sort(scores), cuts, side="left") / len(scores)
    )  # share with score >= cut
    return Roc(above(clean), above(adversarial), cuts)


def auc(clean: Sequence[float], adversarial: Sequence[float], *, level: float = 0.95) -> Area:
    """P(adversarial > clean) + P(equal) / 2 with DeLong's interval on the logit scale, for independent images.

    Perfect separation has no DeLong variance; its bound is the exact one for no exchange among the smaller side.
    Adversarial images made from the same clean ones belong to `clustered_auc`.
    """
    clean, adversarial = _finite(clean), _finite(adversarial)
    m, n = len(clean), len(adversarial)
    if m == 0 or n == 0:
        return Area(None, None, None, m, n)
    joint = distributions.rankdata(np.concatenate([adversarial, clean]))
    of_adversarial = (joint[:n] - distributions.rankdata(adversarial)) / m
    of_clean = 1 - (joint[n:] - distributions.rankdata(clean)) / n
    value = float(of_adversarial.mean())
    if m == 1 or n == 1:
        return Area(value, 0.0, 1.0, m, n)
    sigma = sqrt(of_adversarial.var(ddof=1) / n + of_clean.var(ddof=1) / m)
    return Area(value, *_logit_interval(value, sigma, min(m, n), level), m, n)


def clustered_auc(
    clean: Sequence[float],
    adversarial: Sequence[float],
    clean_clusters: Sequence[object],
    adversarial_clusters: Sequence[object],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Area:
    """AUC with an interval from resampling whole clusters, which carry their clean and their adversarial images
    along.
    """
    scores = np.concatenate([np.asarray(clean, float), np.asarray(adversarial, float)])
    names = np.concatenate([np.asarray(clean_clusters, str), np.asarray(adversarial_clusters, str)])
    suspect = np.arange(len(scores)) >= len(clean)
    kept = np.isfinite(scores)
    scores, names, suspect = scores[kept], names[kept], suspect[kept]
    plain = auc(scores[~suspect], scores[suspect], level=level)
    if plain.value is None or plain.value in (0.0, 1.0) or len(np.unique(names)) < 3:
        return plain
    areas = bootstrap(lambda weights: weighted_auc(scores, suspect, weights), names, resamples=resamples, seed=seed)
    return Area(plain.value, *quantiles(areas, level), plain.clean, plain.adversarial)


def weighted_auc(scores: np.ndarray, suspect: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Areas (B,) of scores (N,) under bootstrap weights (B, N); NaN where a side has no weight."""
    order = np.argsort(scores[~suspect])
    ranked, of_clean, of_suspect = scores[~suspect][order], weights[:, ~suspect][:, order], weights[:, suspect]
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(of_clean, axis=1)], axis=1)
    beaten = [below[:, np.searchsorted(ranked, scores[suspect], side)] for side in ("left", "right")]
    pairs = of_suspect.sum(1) * of_clean.sum(1)
    won = (of_suspect * (beaten[0] + beaten[1])).sum(1) / 2
    return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)


def operating_points(
    calibration: Sequence[float],
    clean: Sequence[float],
    adversarial: Sequence[float],
    *,
    wanted: Sequence[float] = FALSE_ALARM_RATES,
) -> list[OperatingPoint]:
    """Detection at wanted false-alarm rates, thresholds from a clean calibration split that is neither of the other
    two.

    The threshold is the ceil((n + 1)(1 - rate))-th smallest calibration score, so that a new clean image raises the
    alarm (score > threshold) with probability at most the rate. A rate below 10 / n rests on fewer than ten images
    and is refused.
    """
    calibration, clean, adversarial = np.sort(_finite(calibration)), _finite(clean), _finite(adversarial)
    points = []
    for share in wanted:
        if not 0 < share < 1:
            raise BadArgument(f"a false-alarm rate lies between 0 and 1, such as 0.05, got {share}.")
        if reason := refusal(share, len(calibration)):
            points.append(OperatingPoint(share, None, None, None, reason))
            continue
        threshold = float(calibration[ceil((len(calibration) + 1) * (1 - share) - 1e-9) - 1])
        points.append(OperatingPoint(share, threshold, rate(adversarial > threshold), rate(clean > threshold)))
    return points


def refusal(false_alarm_rate: float, n: int) -> str:
    """Why `n` calibration images cannot carry this false-alarm rate; empty when they can (ten false alarms)."""
    needed = ceil(10 / false_alarm_rate - 1e-9)
    if n >= needed:
        return ""
    return (
        f"a false-alarm rate of {false_alarm_rate:.2%} needs at least {needed} clean calibration images, there are {n}."
    )


def alarm_point(clean_alarm: Sequence[float], alarm: Sequence[float]) -> tuple[Rate, Rate]:
    """False alarms on clean images and detections on adversarial ones where thresholds are already subtracted: alarm
    > 0.
    """
    return rate(_finite(clean_alarm) > 0), rate(_finite(alarm) > 0)


def calibration_error(probabilities: Sequence[float], outcomes: Sequence[bool], *, bins: int = 15) -> Calibration:
    """Expected calibration error: the count-weighted mean of |mean probability - observed share| over equal-width
    bins.
    """
    probabilities, outcomes = np.asarray(probabilities, float), np.asarray(outcomes, float)
    if probabilities.size and (np.isnan(probabilities).any() or probabilities.min() < 0 or probabilities.max() > 1):
        raise BadArgument(
            "calibration error needs probabilities in [0, 1]; pass scores through their calibration first."
        )
    if probabilities.size == 0:
        return Calibration(None, *(np.zeros(0),) * 3)
    index = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    used = count > 0
    predicted = np.bincount(index, probabilities, bins)[used] / count[used]
    observed = np.bincount(index, outcomes, bins)[used] / count[used]
    error = float((count[used] * np.abs(predicted - observed)).sum() / len(probabilities))
    return Calibration(error, predicted, observed, count[used])


def risk_coverage(suspicion: Sequence[float], wrong: Sequence[float]) -> RiskCoverage:
    """Risk at each coverage when the most suspect images are refused first; equal scores are refused together."""
    suspicion, wrong = np.asarray(suspicion, float), np.asarray(wrong, float)
    kept = np.isfinite(suspicion) & np.isfinite(wrong)
    suspicion, wrong = suspicion[kept], wrong[kept]
    if len(wrong) == 0:
        return RiskCoverage(np.zeros(0), np.zeros(0), None)
    order = np.argsort(suspicion, kind="stable")
    answered = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(wrong[order]) / answered
    last_of_tie = np.append(np.diff(suspicion[order]) > 0, True)
    coverage, risk = answered[last_of_tie] / len(wrong), risk[last_of_tie]
    return RiskCoverage(coverage, risk, float(np.sum(risk * np.diff(coverage, prepend=0.0))))


def pareto(minimised: np.ndarray) -> np.ndarray:
    """Mask (N,) of the points (N, D) that no other point beats: as low on every axis and lower on one. Equal points
    all stay.
    """
    points = np.asarray(minimised, float)
    as_low = (points[:, None, :] <= points[None, :, :]).all(2)
    lower = (points[:, None, :] < points[None, :, :]).any(2)
    return ~(as_low & lower).any(0)


def _logit_interval(value: float, sigma: float, smaller: int, level: float) -> tuple[float, float]:
    if value in (0.0, 1.0) or sigma == 0:
        unseen = 1 - ((1 - level) / 2) ** (1 / smaller)
        return max(0.0, value - unseen), min(1.0, value + unseen)
    z = distributions.norm.ppf(0.5 + level / 2)
    middle, half = log(value / (1 - value)), z * sigma / (value * (1 - value))
    expit = lambda x: 1 / (1 + exp(-x)) if x > -700 else 0.0
    return expit(middle - half), expit(middle + half)


def _both(clean: np.ndarray, adversarial: np.ndarray) -> None:
    if len(clean) == 0 or len(adversarial) == 0:
        raise BadArgument(f"a ROC curve needs clean and adversarial scores, got {len(clean)} and {len(adversarial)}.")


def _finite(scores: Sequence[float]) -> np.ndarray:
    scores = np.asarray(scores, float)
    return scores[np.isfinite(scores)]
