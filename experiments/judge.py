"""The judge: what a saved image does to the raw target, measured by nothing that the attack has touched.

It gets bytes and numbers, never the attack's tensors, budget object or opinion; it puts purifiers, detectors and
target together by itself; distances are NumPy float64 on uint8.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from advgen.core.images import jpeg
from advgen.core.perceptual import pixel_distances
from advgen.core.rng import SampleRng
from advgen.core.specs import Row
from advgen.core.types import Defended

JPEG_QUALITY = 75
# A success rate of one half: below it a random pipeline gives the right answer more often than not.
MAJORITY = 0.5


class Verdicts(NamedTuple):
    """Of N images: what the pipeline predicts, whether it rejects, and whether the goal is met."""

    prediction: np.ndarray  # (N,) int64; for one logit 0 or 1
    rejected: np.ndarray  # (N,) bool
    alarm: np.ndarray  # (N,) float64, nan where there is no detector
    reached: np.ndarray  # (N,) bool, fooled and not rejected


def judge(
    defended: Defended,
    originals_u8: Tensor,
    adversarial_u8: Tensor,
    labels: Tensor,
    *,
    wanted: Tensor | None = None,
    goal: str,
    norm: str | None,
    radius: float | None,
    seed: int,
    ids: Sequence[str],
    repeats: int,
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None,
    lpips_net: str | None = None,
    cell_key: str = "",
    batch_size: int = 64,
    validity: Callable[[Tensor], Sequence[str]] | None = None,
) -> list[Row]:
    """One row a sample, from the bytes (N, C, H, W) uint8 as they were saved.

    A random pipeline is judged `repeats` times with streams judge/0, judge/1, ...; a success then is a majority, and
    the share stands beside it. `norm` and `radius` are the budget's name and number, for the column `inside`;
    `validity` says of saved images whether they are still what they were, for the column of that name.
    """
    device = next(iter(_parameters(defended)), torch.zeros(())).device
    asks = max(repeats, 1) if _random(defended) else 1

    def ask(images_u8: Tensor, purpose: str) -> list[Verdicts]:
        return [
            _verdicts(defended, images_u8, labels, wanted, goal, seed, f"{purpose}/{k}", ids, batch_size, device)
            for k in range(asks)
        ]

    clean = ask(originals_u8, "judge-clean")
    saved = ask(adversarial_u8, "judge")
    compressed = ask(jpeg(adversarial_u8, JPEG_QUALITY), "judge-jpeg")
    distances = pixel_distances(adversarial_u8.cpu().numpy(), originals_u8.cpu().numpy())
    perceptual = _perceptual(lpips, adversarial_u8, originals_u8, batch_size, device)
    inside = _inside(norm, radius, distances, perceptual)
    share = np.mean([v.reached for v in saved], axis=0)
    share_jpeg = np.mean([v.reached for v in compressed], axis=0)
    alarmed = bool(defended.alarms)
    still = ["not_applicable"] * len(ids) if validity is None else list(validity(adversarial_u8.cpu()))

    rows = []
    for i, sample_id in enumerate(ids):
        rows.append(
            Row(
                sample_id=sample_id,
                cell_key=cell_key,
                label=int(labels[i]),
                wanted=None if wanted is None else int(wanted[i]),
                clean_prediction=int(_majority(clean, i)),
                clean_rejected=bool(np.mean([v.rejected[i] for v in clean]) > MAJORITY) if alarmed else None,
                clean_alarm=float(np.mean([v.alarm[i] for v in clean])) if alarmed else None,
                prediction=int(_majority(saved, i)),
                success_saved=bool(share[i] > MAJORITY),
                success_jpeg75=bool(share_jpeg[i] > MAJORITY),
                success_probability=float(share[i]),
                repeats=asks,
                rejected=bool(np.mean([v.rejected[i] for v in saved]) > MAJORITY) if alarmed else None,
                alarm=float(np.mean([v.alarm[i] for v in saved])) if alarmed else None,
                linf=float(distances["linf"][i]),
                l2=float(distances["l2"][i]),
                l1=float(distances["l1"][i]),
                l0=float(distances["l0"][i]),
                lpips=None if perceptual is None else float(perceptual[i]),
                lpips_net=None if perceptual is None else lpips_net,
                inside=None if inside is None else bool(inside[i]),
                validity=still[i],
            )
        )
    return rows


def succeeds(
    defended: Defended,
    images: Tensor,
    labels: Tensor,
    *,
    wanted: Tensor | None = None,
    goal: str,
    seed: int,
    ids: Sequence[str],
    repeats: int,
    batch_size: int = 64,
) -> list[bool]:
    """Whether float images (N, C, H, W) in [0, 1] meet the goal: the number that stands beside the saved one."""
    device = next(iter(_parameters(defended)), torch.zeros(())).device
    asks = max(repeats, 1) if _random(defended) else 1
    share = np.mean(
        [
            _verdicts(defended, images, labels, wanted, goal, seed, f"judge/{k}", ids, batch_size, device).reached
            for k in range(asks)
        ],
        axis=0,
    )
    return [bool(s > MAJORITY) for s in share]


def logits_of(defended: Defended, images: Tensor, rng: SampleRng) -> Tensor:
    """What the target says of float images (N, C, H, W) behind its purifiers, without gradients."""
    with torch.no_grad():
        for purifier in defended.purifiers:
            images = purifier.purify(images, rng)
        return defended.target(images, rng).logits


def _verdicts(
    defended: Defended,
    images: Tensor,
    labels: Tensor,
    wanted: Tensor | None,
    goal: str,
    seed: int,
    purpose: str,
    ids: Sequence[str],
    batch_size: int,
    device: torch.device,
) -> Verdicts:
    logits, alarms = [], []
    with torch.no_grad():
        for begin in range(0, len(images), batch_size):
            part = slice(begin, begin + batch_size)
            shown = images[part].to(device)
            shown = shown.to(torch.float32) / 255 if shown.dtype == torch.uint8 else shown
            rng = SampleRng.for_samples(seed, purpose, ids[part])
            levels = [(a.detector.score(shown, rng) - a.threshold) / a.sigma for a in defended.alarms]
            alarms.append(torch.stack(levels).amax(0) if levels else torch.full((len(shown),), torch.nan))
            logits.append(logits_of(defended, shown, rng))
    answers = torch.cat(logits).double().cpu().numpy() if logits else np.zeros((0, len(defended.target.classes)))
    alarm = torch.cat(alarms).double().cpu().numpy() if alarms else np.zeros(0)
    rejected = alarm > 0
    prediction, fooled = _read(
        answers, labels.cpu().numpy(), None if wanted is None else wanted.cpu().numpy(), goal, defended.target.decision
    )
    return Verdicts(prediction, rejected, alarm, fooled & ~rejected)


def _read(
    logits: np.ndarray, labels: np.ndarray, wanted: np.ndarray | None, goal: str, decision: str
) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and whether it meets the goal; what is not finite has fooled nobody."""
    finite = np.isfinite(logits).all(1)
    at = np.arange(len(logits))
    if decision == "argmax":
        prediction = np.where(finite, np.where(np.isfinite(logits), logits, -np.inf).argmax(1), -1)
        fooled = prediction == wanted if goal == "targeted" else prediction != labels
        return prediction, fooled & finite
    positive = logits > 0
    if logits.shape[1] == 1:
        prediction = positive[:, 0].astype(np.int64)
        if goal == "pass-as-real":
            return prediction, ~positive[:, 0] & finite
        if goal == "targeted":
            return prediction, (prediction == wanted) & finite
        return prediction, (prediction != labels) & finite
    prediction = np.where(positive.any(1), np.where(positive, logits, -np.inf).argmax(1), -1)
    if goal == "impersonate":
        assert wanted is not None
        return prediction, positive[at, wanted] & finite
    return prediction, ~positive[at, labels] & finite


def _majority(verdicts: list[Verdicts], i: int) -> int:
    """The prediction given most often; the smallest of equals."""
    values, counts = np.unique([v.prediction[i] for v in verdicts], return_counts=True)
    return int(values[counts.argmax()])


def _perceptual(
    lpips: Callable[[Tensor, Tensor], Tensor] | None,
    adversarial_u8: Tensor,
    originals_u8: Tensor,
    batch_size: int,
    device: torch.device,
) -> np.ndarray | None:
    if lpips is None:
        return None
    values = []
    with torch.no_grad():
        for begin in range(0, len(adversarial_u8), batch_size):
            part = slice(begin, begin + batch_size)
            pair = (adversarial_u8[part].to(device) / 255.0, originals_u8[part].to(device) / 255.0)
            values.append(lpips(*pair).double().cpu().numpy())
    return np.concatenate(values) if values else np.zeros(0)


def _inside(
    norm: str | None, radius: float | None, distances: dict[str, np.ndarray], perceptual: np.ndarray | None
) -> np.ndarray | None:
    """Within the radius; Linf in whole grey levels, the others up to 1e-6."""
    if norm is None or radius is None:
        return None
    if norm == "Linf":
        return np.round(distances["linf"] * 255) <= np.floor(255 * radius + 1e-4)
    if norm in ("L2", "L1", "L0"):
        return distances[norm.lower()] <= radius * (1 + 1e-6) + 1e-9
    if norm == "Lpips" and perceptual is not None:
        return perceptual <= radius + 1e-6
    return None


def _random(defended: Defended) -> bool:
    return defended.target.stochastic or any(p.stochastic for p in defended.purifiers)


def _parameters(defended: Defended) -> list[Tensor]:
    network = getattr(defended.target, "network", None)
    return list(network.parameters())[:1] if isinstance(network, torch.nn.Module) else []
