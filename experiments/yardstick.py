"""Yardsticks: how far everyday changes move an image, so that a budget's number means something.

Measured on the data a study uses, at its size: JPEG at quality 75, a shift of one pixel, noise of 8/255, another
image of the same class or person, and the nearest image of another.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from advgen.core.images import jpeg, to_float
from advgen.core.perceptual import LPIPS, pixel_distances
from advgen.core.rng import SampleRng
from advgen.core.types import Slice

COUNT = 64  # images of the slice that yardsticks are measured on
NOISE = 8 / 255


def yardsticks(sample: Slice, metric: LPIPS | None, *, seed: int) -> dict[str, dict[str, Any]]:
    """Median Linf, L2 and LPIPS of each yardstick over the first images of a slice, with their n."""
    images_u8 = sample.images_u8[:COUNT]
    ids = sample.ids[:COUNT]
    shifted = torch.cat([images_u8[..., 1:], images_u8[..., -1:]], dim=-1)
    noise = SampleRng.for_samples(seed, "yardstick", ids).uniform(images_u8.shape[1:], -NOISE, NOISE)
    noisy = ((to_float(images_u8) + noise).clamp(0, 1) * 255).round().to(torch.uint8)
    changed = {
        "JPEG quality 75": (jpeg(images_u8, 75), images_u8),
        "shift of one pixel": (shifted, images_u8),
        "uniform noise of 8/255": (noisy, images_u8),
    }
    same = _same(sample)
    if same is not None:
        changed[f"another image of the same {_word(sample)}"] = same
    measured = {name: _medians(a, b, metric) for name, (a, b) in changed.items()}
    nearest = _nearest_other(images_u8, _groups(sample)[: len(ids)], metric)
    if nearest is not None:
        measured[f"nearest image of another {_word(sample)}"] = nearest
    return measured


def clusters(sample: Slice) -> dict[str, str]:
    """The person (or other group) of each sample, where the data know it: images of one are not independent."""
    return dict(zip(sample.ids, _groups(sample), strict=True)) if _has_groups(sample) else {}


def _groups(sample: Slice) -> list[str]:
    if _has_groups(sample):
        return [str(group) for group in sample.table.column("group").to_pylist()]
    return [str(int(label)) for label in sample.labels]


def _has_groups(sample: Slice) -> bool:
    return sample.table.column("group").to_pylist() != list(sample.ids)


def _word(sample: Slice) -> str:
    return "person" if _has_groups(sample) else "class"


def _same(sample: Slice) -> tuple[Tensor, Tensor] | None:
    """Pairs of images of one group: each with the next of its own."""
    groups = _groups(sample)
    last: dict[str, int] = {}
    pairs = []
    for i, group in enumerate(groups):
        if group in last:
            pairs.append((last[group], i))
        last[group] = i
        if len(pairs) == COUNT:
            break
    if not pairs:
        return None
    first, second = (torch.tensor(side) for side in zip(*pairs, strict=True))
    return sample.images_u8[second], sample.images_u8[first]


def _medians(changed: Tensor, originals: Tensor, metric: LPIPS | None) -> dict[str, Any]:
    distances = pixel_distances(changed.numpy(), originals.numpy())
    medians: dict[str, Any] = {name: float(np.median(distances[name])) for name in ("linf", "l2")}
    medians["lpips"] = None if metric is None else float(_lpips(metric, changed, originals).median())
    return {**medians, "n": len(originals)}


def _nearest_other(images_u8: Tensor, groups: list[str], metric: LPIPS | None) -> dict[str, Any] | None:
    """For each image the closest one of another group, in L2 and in LPIPS apart."""
    others = [[j for j in range(len(groups)) if groups[j] != groups[i]] for i in range(len(groups))]
    if not groups or not all(others):
        return None
    flat = to_float(images_u8).flatten(1).double()
    l2 = torch.cdist(flat, flat)
    linf = torch.cdist(flat, flat, p=float("inf"))
    found: dict[str, Any] = {
        "linf": float(np.median([float(linf[i, o].min()) for i, o in enumerate(others)])),
        "l2": float(np.median([float(l2[i, o].min()) for i, o in enumerate(others)])),
        "lpips": None,
        "n": len(groups),
    }
    if metric is not None:
        # All pairs would be n^2 forwards: the ten closest in L2 are enough to find the nearest.
        closest = []
        for i, o in enumerate(others):
            near = torch.tensor(o)[l2[i, o].argsort()[:10]]
            closest.append(
                float(_lpips(metric, images_u8[near], images_u8[i : i + 1].expand(len(near), -1, -1, -1)).min())
            )
        found["lpips"] = float(np.median(closest))
    return found


def _lpips(metric: LPIPS, changed: Tensor, originals: Tensor) -> Tensor:
    device = next(metric.parameters()).device
    with torch.no_grad():
        return metric(to_float(changed).to(device), to_float(originals).to(device)).cpu()
